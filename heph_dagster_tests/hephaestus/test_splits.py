"""Which crops train, validate and test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.published_split import published_split
from heph_dagster.hephaestus.records import check_record
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.shards import read_manifest
from heph_dagster.hephaestus.splits import (
    TEST_FRAMES,
    Part,
    Split,
    SplitError,
    crop_items,
    frame_split,
    read_split,
    shared_frames,
    shared_images,
    shared_interferograms,
    temporal_split,
    write_split,
)
from heph_dagster_tests.conftest import REAL_DATA
from heph_dagster_tests.hephaestus.making_crops import FRAME, deformed_crop, make_crop
from heph_dagster_tests.hephaestus.records import deformed, quiet

PUBLISHED = REAL_DATA / "hephaestus" / "train_test_split.json"


def annotations(*records: dict[str, Any]) -> list[Annotation]:
    return [check_record(json.dumps(record).encode())[0] for record in records]


def annotation_items(found: Iterable[Annotation]) -> pa.Table:
    """What is split: a crop of the name of each annotation."""
    rows = [
        {
            **{field: getattr(each, field) for field in ("unique_id", "frame", "primary", "secondary")},
            "name": f"{each.unique_id}",
            "deformation": bool(each.deformations),
        }
        for each in found
    ]
    return pa.Table.from_pylist(rows, crop_items([]).schema)


def pairs(*days: tuple[str, str]) -> pa.Table:
    """One annotation for each pair of days."""
    records = [quiet(number, primary_date=one, secondary_date=two) for number, (one, two) in enumerate(days)]
    return annotation_items(annotations(*records))


def parts(split: Split) -> dict[str, str]:
    return dict(zip(split.rows["name"].to_pylist(), split.rows["part"].to_pylist(), strict=True))


def reasons(split: Split) -> dict[str, str]:
    return dict(zip(split.missing["name"].to_pylist(), split.missing["reason"].to_pylist(), strict=True))


def archive(frames: int, each: int) -> pa.Table:
    """Annotations of test frames and others, every fifth of which shows a deformation."""
    names = [*TEST_FRAMES, *(f"{number:03d}A_00001_131313" for number in range(frames))]
    records = []
    for frame in names:
        for number in range(each):
            make, secondary = (quiet, deformed)[number % 5 == 0], date(2019, 1, 1) + timedelta(number)
            records.append(make(len(records), frameID=frame, secondary_date=f"{secondary:%Y%m%d}"))
    return annotation_items(annotations(*records))


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    path = tmp_path / "train_test_split.json"
    train = {"0": ["7_0.json", "7_1.json", "9_0.json", "8_1.json"], "1": ["8_0.json", "8_2.json", "7_2.json"]}
    val = {"0": ["7_3.json", "notes.txt"], "1": ["10.json", "10_0.json"]}
    path.write_text(json.dumps({"train": train, "val": val, "test": {"1": ["8_0.json"], "0": []}}), "utf-8")
    return path


@pytest.fixture
def known() -> list[Annotation]:
    single = {"activity_type": ["Sill"], "intensity_level": ["Low"], "is_crowd": 0, "label": ["Deformation"]}
    only = deformed(10, **single, segmentation_mask=[deformed()["segmentation_mask"][0]])
    return annotations(quiet(7), deformed(8), only)


def test_every_published_name_is_found_or_missing(split_file: Path, known: list[Annotation]) -> None:
    crops = crop_items(
        [manifest(split_file.parent / "crops", [make_crop("7_0"), make_crop("7_2"), deformed_crop("10")])]
    )
    split = published_split(split_file, crops, known)
    assert parts(split) == {"7_0": "train", "10": "val"}
    assert reasons(split) == {
        "7_1": "annotation 7 is there, but this crop was not made",
        "9_0": "annotation 9 is not in the table",
        "8_1": "the published class is no deformation, the annotation says deformation",
        "8_0": "it stands 2 times in the file",
        "8_2": "annotation 8 has 2 deformations, none of which gives this name",
        "7_2": "the published class is deformation, the annotation says no deformation",
        "7_3": "annotation 7 is there, but this crop was not made",
        "notes.txt": "it is no name of a crop: <uniqueID>.json or <uniqueID>_<number>.json",
        "10_0": "annotation 10 has 1 deformations, none of which gives this name",
    }
    assert len(split.rows) + len(split.missing) == 12
    assert split.missing["part"].to_pylist().count("test") == 1


def test_without_crops_names_are_those_that_annotations_give(split_file: Path, known: list[Annotation]) -> None:
    split = published_split(split_file, annotations=known)
    assert parts(split) == {"7_0": "train", "7_1": "train", "7_3": "val", "10": "val"}
    assert split.rows.to_pylist()[3] == {
        "name": "10", "unique_id": 10, "frame": FRAME, "primary": date(2018, 11, 28), "secondary": date(2018, 12, 4),
        "deformation": True, "part": "val",
    }  # fmt: skip


def test_without_annotations_nobody_tells_why(split_file: Path) -> None:
    crops = crop_items([manifest(split_file.parent / "crops", [make_crop("7_0"), make_crop("7_2")])])
    split = published_split(split_file, crops)
    assert parts(split) == {"7_0": "train"}
    assert reasons(split)["7_1"] == "there is no crop of this name"
    assert reasons(split)["7_2"].startswith("the published class is deformation")


def manifest(folder: Path, crops: Iterable[Any]) -> pa.Table:
    write_shards(folder, crops)
    return read_manifest(folder)


def test_rejects_tell_why_there_is_no_crop(split_file: Path, known: list[Annotation]) -> None:
    crops = crop_items([manifest(split_file.parent / "crops", [make_crop("7_0")])])
    split = published_split(split_file, crops, known, {"7": "it is not there", "7_0": "too late", "10": "too small"})
    assert parts(split) == {"7_0": "train"}
    found = reasons(split)
    assert found["7_1"] == found["7_3"] == "the crop could not be made: it is not there"
    assert found["10"] == "the crop could not be made: too small"


@pytest.mark.parametrize(
    "content", ['{"train"', "[]", '{"train": []}', '{"train": {"2": ["1.json"]}}', '{"x": {"0": ["1"]}}']
)
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content, "utf-8")
    with pytest.raises(SplitError, match=r"split\.json is no published split of train, val and test"):
        published_split(path)
    with pytest.raises(SplitError, match="is not there: put the published"):
        published_split(tmp_path / "other.json")


def test_frames_are_in_one_part_each() -> None:
    items = archive(frames=30, each=20)
    split = frame_split(items)
    assert (len(split.rows), len(split.missing)) == (len(items), 0)
    assert shared_frames(split) == shared_interferograms(split) == shared_images(split) == []
    frames = split.rows.to_pandas().groupby("part")["frame"].unique()
    assert set(frames["test"]) == set(TEST_FRAMES)
    # Three frames of 30, which all have the same share of deformations, are a tenth.
    assert (len(frames["val"]), len(frames["train"])) == (3, 27)
    assert split.counts() == {
        "train/0": 432, "train/1": 108, "val/0": 48, "val/1": 12, "test/0": 48, "test/1": 12, "missing": 0,
    }  # fmt: skip


def test_frames_depend_on_the_seed_and_not_on_the_order() -> None:
    items = archive(frames=30, each=5)
    first = parts(frame_split(items))
    assert parts(frame_split(items.take(pa.array(range(len(items) - 1, -1, -1))))) == first
    assert parts(frame_split(items, seed=1)) != first


def test_the_primary_day_decides_the_part_by_time() -> None:
    split = temporal_split(
        pairs(
            ("20140101", "20140113"),
            ("20190531", "20190612"),  # its second image is in the next part
            ("20190601", "20190612"),
            ("20191231", "20200106"),
            ("20200101", "20200106"),
            ("20211231", "20220106"),
            ("20131231", "20140106"),
            ("20220101", "20220106"),
        )
    )
    assert list(parts(split).values()) == ["train", "train", "val", "val", "test", "test"]
    assert reasons(split) == {
        "6": "its primary day 2013-12-31 is in no part's period",
        "7": "its primary day 2022-01-01 is in no part's period",
    }
    assert shared_interferograms(split) == []
    assert shared_frames(split) == [FRAME]
    assert shared_images(split) == [(FRAME, date(2019, 6, 12)), (FRAME, date(2020, 1, 6))]


def test_what_parts_share_is_found() -> None:
    row = {"unique_id": 7, "frame": FRAME, "primary": date(2019, 1, 1), "deformation": False}
    rows = pa.Table.from_pylist(
        [
            row | {"name": "7_0", "secondary": date(2019, 1, 7), "part": "val"},
            row | {"name": "7_1", "secondary": date(2019, 1, 7), "part": "test"},
            row | {"name": "8_0", "secondary": date(2019, 1, 13), "part": "val"},
            row | {"name": "9_0", "secondary": date(2019, 1, 19), "part": "val", "frame": "012D_07075_080504"},
        ]
    )
    split = Split(rows, rows.slice(0, 0))
    assert shared_interferograms(split) == [(FRAME, date(2019, 1, 1), date(2019, 1, 7))]
    assert shared_frames(split) == [FRAME]


def test_a_split_is_kept_as_tables(tmp_path: Path) -> None:
    split = temporal_split(pairs(("20190101", "20190113"), ("20190101", "20190119"), ("20130101", "20130113")))
    write_split(tmp_path, "temporal", split)
    again = read_split(tmp_path, "temporal")
    assert (again.rows, again.missing) == (split.rows, split.missing)
    assert again.names(Part.TRAIN) == ["0", "1"]
    assert pd.read_parquet(tmp_path / "temporal.parquet")["part"].to_list() == ["train", "train"]
    with pytest.raises(SplitError, match="is not there: make the split published first"):
        read_split(tmp_path, "published")


def test_tables_of_different_runs_are_an_error(tmp_path: Path) -> None:
    day = ("20180101", "20180113")
    write_split(tmp_path, "a", frame_split(pairs(day, day)))
    rows = (tmp_path / "a.parquet").read_bytes()
    write_split(tmp_path, "a", frame_split(pairs(day)))
    assert len(read_split(tmp_path, "a").rows) == 1
    (tmp_path / "a.parquet").write_bytes(rows)
    with pytest.raises(SplitError, match="are of different runs: make the split a again"):
        read_split(tmp_path, "a")


def test_test_frames_are_frames() -> None:
    with pytest.raises(ValueError, match="'Etna' is not a frame ID"):
        frame_split(pairs(("20180101", "20180113")), test_frames=["Etna"])


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published split is not here; see HEPH_REAL_DATA")
def test_the_published_split_of_the_real_annotations() -> None:
    real = read_annotations(PUBLISHED.with_name("annotations.tar.gz")).annotations
    split = published_split(PUBLISHED, annotations=real)
    assert len(split.rows) + len(split.missing) == 216_312
    assert split.counts() == {
        "train/0": 147_055, "train/1": 1324, "val/0": 4890, "val/1": 97, "test/0": 19_295, "test/1": 379,
        "missing": 43_272,
    }  # fmt: skip
    assert {reason.partition(" is ")[2] for reason in set(split.missing["reason"].to_pylist())} == {"not in the table"}
    # Val and test have the same frames, and 1,899 interferograms in common; train has others.
    assert shared_frames(split) == sorted(TEST_FRAMES)
    assert len(shared_interferograms(split)) == 1899
    items = annotation_items(real)
    by_frame, by_time = frame_split(items), temporal_split(items)
    assert shared_frames(by_frame) == shared_interferograms(by_time) == []
    assert by_frame.counts()["val/1"] == pytest.approx(0.1 * (1453 - 239), rel=0.2)
    assert by_time.counts() == {
        "train/0": 7269, "train/1": 908, "val/0": 2149, "val/1": 129, "test/0": 5064, "test/1": 416, "missing": 0,
    }  # fmt: skip
