"""Atomic writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from heph_dagster.files import is_temporary, replacing, temporary


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    with replacing(target) as part:
        part.write_text("{}", "utf-8")
        assert part.suffix == ".json"
        assert (is_temporary(part), is_temporary(target)) == (True, False)
        assert not target.exists()
    assert target.read_text("utf-8") == "{}"
    assert list(target.parent.iterdir()) == [target]


def test_what_is_made_of_a_temporary_name_is_temporary_too(tmp_path: Path) -> None:
    part = temporary(tmp_path / "a.missing_data.tif", ".tif")
    overviews = part.with_name(f"{part.name}.ovr.tmp")  # of GDAL's COG driver
    assert is_temporary(overviews)
    assert is_temporary(temporary(part, ".work.tif"))
    assert not is_temporary(tmp_path / ".a.parquet.lock")


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old", "utf-8")
    with pytest.raises(ValueError, match="non-hexadecimal"), replacing(target) as part:
        part.write_bytes(b"hal" + bytes.fromhex("half"))
    assert target.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]
