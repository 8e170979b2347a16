"""The inventory of a raw archive: all that is there, and what is wrong with it."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
from heph_dagster.hephaestus.inventory import (
    ImageFile,
    Pair,
    annotated_pairs,
    count_problems,
    inventory_path,
    read_inventory,
    take_inventory,
    write_inventory,
)
from heph_dagster_tests.hephaestus.raw_archive import FRAME, png, write_pair
from heph_dagster_tests.hephaestus.records import quiet, write_records

USUAL = "20181128_20181204"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """An archive with two sound pairs."""
    write_pair(tmp_path, USUAL)
    write_pair(tmp_path, "20181204_20181216", plain=True)
    return tmp_path


def problems(raw: Path, annotated: dict[str, list[int]] | None = None) -> dict[str, tuple[str, ...]]:
    """Problems of all pairs that have any."""
    return {pair.dates: pair.problems for pair in take_inventory(raw, FRAME, annotated or {}) if pair.problems}


def test_a_row_tells_all_of_a_pair(raw: Path) -> None:
    first, second = take_inventory(raw, FRAME, {USUAL: [12]})
    name = f"{FRAME}/interferograms/{USUAL}/{USUAL}"
    assert first == Pair(
        frame=FRAME,
        dates=USUAL,
        primary=date(2018, 11, 28),
        secondary=date(2018, 12, 4),
        baseline_days=6,
        unique_id=12,
        layout="licsar",
        interferogram=ImageFile(
            path=f"{name}.geo.diff.png", bytes=len(png()), width=7, height=5, channels=3, depth=8, colour="rgb"
        ),
        coherence=ImageFile(
            path=f"{name}.geo.cc.png", bytes=len(png(channels=1)), width=7, height=5, channels=1, depth=8, colour="grey"
        ),
    )
    assert (second.layout, second.unique_id, second.baseline_days, second.problems) == ("plain", None, 12, ())
    assert second.interferogram is not None
    assert second.interferogram.path == f"{FRAME}/interferograms/20181204_20181216/InSAR.png"


def test_an_archive_that_is_not_there_has_no_pairs(tmp_path: Path) -> None:
    assert take_inventory(tmp_path / "none", FRAME, {}) == []
    with pytest.raises(ValueError, match=r"'\.\.' is not a frame ID"):
        take_inventory(tmp_path, "..", {})


def test_missing_images_are_told(raw: Path) -> None:
    write_pair(raw, "20190101_20190107", coherence=None)
    write_pair(raw, "20190102_20190108", interferogram=None)
    write_pair(raw, "20190103_20190109", None, None)
    assert problems(raw) == {
        "20190101_20190107": ("missing coherence",),
        "20190102_20190108": ("missing interferogram",),
        "20190103_20190109": ("missing interferogram", "missing coherence"),
    }
    assert [pair.layout for pair in take_inventory(raw, FRAME, {})] == ["licsar", "plain", "licsar", "licsar", None]


def test_unreadable_images_are_told_with_the_reason(raw: Path) -> None:
    flipped = bytearray(png())
    flipped[60] ^= 1
    write_pair(raw, "20190101_20190107", interferogram=bytes(flipped))
    write_pair(raw, "20190102_20190108", png()[:70], b"")
    write_pair(raw, "20190103_20190109", interferogram=b"<html>not found</html>")
    folder = write_pair(raw, "20190104_20190110", interferogram=None)
    (folder / "InSAR.png").symlink_to("nowhere")
    assert problems(raw) == {
        "20190101_20190107": (
            "unreadable interferogram: the PNG is damaged: chunk b'IDAT' at byte 33 has another checksum",
        ),
        "20190102_20190108": (
            "unreadable interferogram: the PNG is cut short after 70 bytes",
            "unreadable coherence: it is empty",
        ),
        "20190103_20190109": ("unreadable interferogram: it is not a PNG: it begins with b'<html>no'",),
        "20190104_20190110": ("missing interferogram",),
    }


def test_grey_interferograms_and_other_sizes_are_told(raw: Path) -> None:
    write_pair(raw, "20190101_20190107", png(channels=1))
    write_pair(raw, "20190102_20190108", png(8, 5), png(8, 5, 1))
    write_pair(raw, "20190103_20190109", coherence=png(5, 7, 1))
    assert problems(raw) == {
        "20190101_20190107": ("grey interferogram: colour type grey, 8 bits",),
        "20190102_20190108": ("unusual size: 8 x 5 px instead of 7 x 5 px",),
        "20190103_20190109": ("sizes differ: 7 x 5 px, and the coherence 5 x 7 px",),
    }


def test_odd_names_are_told(raw: Path) -> None:
    for name in ("20190107_20190101", "20190101_20190101", "20190230_20190301", "copy of 20190101"):
        write_pair(raw, name)
    (raw / FRAME / "interferograms" / "notes.txt").touch()
    (raw / FRAME / "interferograms" / ".DS_Store").touch()
    assert problems(raw) == {
        "20190107_20190101": ("days not in order: the second is 6 days before the first",),
        "20190101_20190101": ("days are equal",),
        "20190230_20190301": ("not two days: it should be YYYYMMDD_YYYYMMDD",),
        "copy of 20190101": ("not two days: it should be YYYYMMDD_YYYYMMDD",),
        "notes.txt": ("not two days: it should be YYYYMMDD_YYYYMMDD", "not a folder"),
    }


def test_no_name_stops_the_inventory(raw: Path, tmp_path: Path) -> None:
    folder = raw / FRAME / "interferograms"
    (folder / ("x" * 250)).mkdir()
    os.mkdir(os.fsencode(folder) + b"/\xff")  # noqa: PTH102 - no text
    pairs = take_inventory(raw, FRAME, {})
    assert [(pair.dates, pair.problems[1:]) for pair in pairs[2:]] == [
        ("x" * 250, ("unreadable folder: File name too long",)),
        ("\ufffd", ("missing interferogram", "missing coherence")),
    ]
    write_inventory(tmp_path / "inventory.parquet", pairs)
    assert read_inventory(tmp_path / "inventory.parquet") == pairs


def test_the_licsar_name_is_taken_where_there_are_two(raw: Path) -> None:
    write_pair(raw, USUAL, coherence=None, plain=True)
    write_pair(raw, "20181204_20181216", interferogram=None)
    first, second = take_inventory(raw, FRAME, {})
    assert (first.layout, first.problems) == (
        "licsar",
        (f"two layouts: InSAR.png is not read, but {USUAL}.geo.diff.png",),
    )
    assert (second.layout, second.problems) == (
        "mixed",
        ("two layouts: Coherence.png is not read, but 20181204_20181216.geo.cc.png",),
    )


def test_annotations_are_joined_and_none_is_lost(raw: Path, tmp_path: Path) -> None:
    records = [
        quiet(3), quiet(9), quiet(4, primary_date="20200101", secondary_date="20200107"),
        quiet(5, frameID="144A_SM_REUN_S6"),
    ]  # fmt: skip
    assert annotated_pairs(tmp_path, FRAME) == {}
    write_annotations(tmp_path, read_annotations(write_records(tmp_path / "json", *records)))
    annotated = annotated_pairs(tmp_path, FRAME)
    assert annotated == {USUAL: [3, 9], "20200101_20200107": [4]}
    first, second, third = take_inventory(raw, FRAME, annotated | {USUAL: [9, 3]})
    assert (first.unique_id, first.problems) == (3, ("several annotations: 3, 9",))
    assert (second.unique_id, second.on_disk) == (None, True)
    assert (third.unique_id, third.on_disk, third.problems) == (4, False, ("not on disk",))


def test_a_table_is_read_as_it_was_written(raw: Path, tmp_path: Path) -> None:
    path = inventory_path(tmp_path, FRAME)
    with pytest.raises(FileNotFoundError, match=rf"{FRAME}.parquet is not there: materialize"):
        read_inventory(path)
    write_pair(raw, "20190101_20190107", b"", None)
    write_pair(raw, "notes", b"")
    pairs = take_inventory(raw, FRAME, {"20200101_20200107": [4]})
    write_inventory(path, pairs)
    assert read_inventory(path) == pairs
    assert count_problems(pairs) == {
        "missing coherence": 1, "not on disk": 1, "not two days": 1, "unreadable interferogram": 2,
    }  # fmt: skip
