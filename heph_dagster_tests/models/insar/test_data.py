"""Which crops a learner of interferograms is given."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from heph_dagster.hephaestus.frame_crops import crops_folder
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.splits import Part, Split, SplitError, read_split, write_split
from heph_dagster.models.errors import DataError
from heph_dagster.models.insar.data import OUTPUTS, PartCrops, copies, load_crops
from heph_dagster_tests.models.insar.conftest import FRAMES, SIZE, make_insar, simple_crop


def test_parts_and_labels_are_those_of_split_and_crops(insar: Path) -> None:
    data = load_crops(insar, "temporal")
    assert {part: len(crops.names) for part, crops in data.parts.items()} == {"train": 40, "val": 20, "test": 20}
    assert (data.size, data.without_coherence, data.split) == (SIZE, 0, "temporal")
    train = data.parts[Part.TRAIN]
    assert train.deformed == 20
    shown = {name: dict(zip(OUTPUTS, row, strict=True)) for name, row in zip(train.names, train.truth, strict=True)}
    assert [name for name, value in shown["3"].items() if value] == ["deformation", "dyke", "medium"]
    assert not any(shown["4"].values())


def test_the_fingerprint_tells_of_pixels_and_parts(insar: Path, tmp_path: Path) -> None:
    before = load_crops(insar, "temporal").fingerprint
    assert load_crops(insar, "temporal").fingerprint == before
    assert load_crops(make_insar(tmp_path / "same"), "temporal").fingerprint == before
    shutil.copytree(insar, tmp_path / "other")
    changed = [simple_crop(number, FRAMES[2], 2020) for number in range(2001, 2021)]
    mask = changed[0].mask.copy()
    mask[0, 0] = 1
    changed[0] = replace(changed[0], mask=mask)
    write_shards(crops_folder(tmp_path / "other", FRAMES[2]), changed)
    assert load_crops(tmp_path / "other", "temporal").fingerprint != before


def with_split(insar: Path, folder: Path, change) -> Path:
    """The same crops with a split whose rows are changed."""
    shutil.copytree(insar, folder)
    split = read_split(folder / "splits", "temporal")
    rows = [row for each in split.rows.to_pylist() for row in change(each)]
    write_split(folder / "splits", "temporal", Split(pa.Table.from_pylist(rows, split.rows.schema), split.missing))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: [] if row["part"] == "val" else [row], "the split temporal has no crops to val"),
        (
            lambda row: [] if row["part"] == "test" and row["deformation"] else [row],
            "of the 10 crops of the split temporal that test, none deform: crops of more frames make some",
        ),
        (
            lambda row: [] if row["part"] == "train" and not row["deformation"] else [row],
            "of the 20 crops of the split temporal that train, all deform",
        ),
        (
            lambda row: [] if row["part"] == "train" and row["deformation"] and int(row["name"]) > 14 else [row],
            "7 of the crops that train deform, too few",
        ),
        (lambda row: [row, row | {"name": "gone"}], "1 crops of the split temporal are not there, first gone"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(insar: Path, tmp_path: Path, change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_crops(with_split(insar, tmp_path / "changed", change), "temporal")


def test_a_split_that_is_not_there_is_named(insar: Path) -> None:
    with pytest.raises(SplitError, match="make the split published first"):
        load_crops(insar, "published")


def test_rare_kinds_come_more_often_and_calm_crops_as_often_as_asked_for() -> None:
    truth = np.zeros((120, len(OUTPUTS)), bool)
    truth[:20, 0] = truth[:19, 3] = truth[19, 4] = True  # 19 sills, one spheroid
    crops = PartCrops(tuple(map(str, range(120))), truth)
    times = copies(crops, calm=0.5, repeat_below=0.2)
    assert times["19"] == pytest.approx(2)  # sqrt(0.2 / 0.05)
    assert times["0"] == 1
    assert sum(times[str(number)] for number in range(20, 120)) == pytest.approx(0.5 * 21)
    assert set(copies(crops, calm=None, repeat_below=0).values()) == {1.0}
