"""Parquet files that are replaced while they are read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heph_dagster.tables import read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]}).replace_schema_metadata({"version": "1"})
    write_table(tmp_path / "new" / "a.parquet", table)
    for columns, expected in ((None, table), (["b"], table.select(["b"])), ([], table.select([]))):
        found = read_table(tmp_path / "new" / "a.parquet", columns)
        assert (found, found.schema.metadata) == (expected, {b"version": b"1"})


def test_a_table_that_is_replaced_is_read_as_it_was_or_is(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, pa.table({"a": np.zeros(1)}))
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(lambda: [write_table(path, pa.table({"a": np.zeros(n)})) for n in range(1, 200)])
        while not written.done():
            assert not read_table(path)["a"].to_numpy().any()
        written.result()
    assert len(read_table(path)) == 199


def test_a_damaged_table_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, pa.table({"a": np.random.default_rng(0).random(1000)}))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    assert pq.read_metadata(path).num_rows == 1000
    with pytest.raises(OSError, match="CRC checksum"):
        read_table(path)
