"""Parquet files that are replaced while others read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heph_dagster.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of a Parquet file as it is now, its checksums verified.

    pyarrow's own function opens the file twice, and takes it for damaged when it was replaced in between.

    Args:
        path: The file.
        columns: Names of the columns to read; all by default.

    Returns:
        The table, with the metadata that was written with it.

    Raises:
        OSError: The file cannot be read, or a checksum is wrong.
        ArrowException: It is no Parquet file.
    """
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        return pq.ParquetFile(file, page_checksum_verification=True).read(columns)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table whose file appears whole or not at all, with checksums."""
    import pyarrow.parquet as pq

    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
