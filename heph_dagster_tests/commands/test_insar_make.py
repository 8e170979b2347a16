from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from heph_dagster.cli import main
from heph_dagster_tests.hephaestus.archives import ETNA, REUNION, make_archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "data" / "hephaestus")


def heph(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["insar", *arguments])


def test_a_frame_goes_from_inventory_to_split(folder: Path) -> None:
    frames = json.loads(heph("inventory", "--json").stdout)
    assert frames[ETNA]["on_disk"] == 4
    assert frames[ETNA]["only_annotated"] == 1
    assert frames[REUNION]["problems"] == {"unreadable interferogram": 1}
    masks = heph("masks")
    assert f"{ETNA}: 2 masks, 4 deformations, 1 rejects" in masks.stdout
    assert "  rejected annotation 3: there is no interferogram in" in masks.stdout
    crops = heph("crops", "--size", "64", "--seed", "3")
    assert f"{ETNA}: 15 crops, classes (none 12, Mogi 2, Earthquake 1), 0 with warning, 2 rejects" in crops.stdout
    assert "  rejected annotation 4, polygon 1: the polygon lies outside" in crops.stdout
    split = heph("split", "--test-frame", REUNION)
    assert "frames: train 12 + 3, val 0 + 0, test 0 + 1 (not deformed + deformed); 0 missing" in split.stdout
    assert "warning: frames has no crops to val" in split.stderr
    assert json.loads(heph("split", "--json").stdout)["temporal"]["train/1"] == 4


def test_only_some_frames_are_made(folder: Path) -> None:
    made = json.loads(heph("crops", "--frame", REUNION, "--json").stdout)
    assert list(made) == [REUNION]
    assert made[REUNION]["crops"] == 1
    assert "cut short" in made[REUNION]["rejects"][0]


def test_what_is_not_there_is_an_error() -> None:
    for command, message in (
        ("inventory", "has no frames: run heph insar download raw, or heph insar synthesize"),
        ("crops", "is not there: import annotations first (heph insar import)"),
        ("split", "has no crops: make those of some frames first (heph insar crops)"),
    ):
        result = heph(command)
        assert result.exit_code == 1
        assert message in result.stderr


def test_of_many_rejects_the_first_are_shown(folder: Path) -> None:
    for path in (folder / "raw" / ETNA / "interferograms").glob("*/*.diff.png"):
        path.unlink()
    lines = heph("crops", "--frame", ETNA).stdout.splitlines()
    assert lines[0] == f"{ETNA}: 0 crops, no classes, 0 with warning, 4 rejects"
    assert lines[3].startswith("  rejected annotation 3: ")
    assert lines[4:] == [f"  and 1 more: crops/{ETNA}.rejects.parquet"]


def test_frames_that_nobody_has_are_an_error(folder: Path) -> None:
    heph("crops", "--size", "64")
    for command, option, code, message in (
        ("inventory", "--frame", 1, "999A_0: nothing of it is in "),
        ("masks", "--frame", 2, "no annotation is of 999A_0"),
        ("crops", "--frame", 2, "no annotation is of 999A_0"),
        ("split", "--test-frame", 2, "there are no crops of 999A_0"),
    ):
        result = heph(command, option, "999A_0")
        assert result.exit_code == code
        assert message in result.stderr
    assert not list(folder.rglob("*999A_0*"))


def test_without_the_raw_archive_no_crops_are_made(folder: Path) -> None:
    (folder / "raw").rename(folder / "elsewhere")
    result = heph("crops")
    assert result.exit_code == 1
    assert "raw has no frames: run heph insar download raw, or heph insar synthesize" in result.stderr
    assert not (folder / "crops").exists()


def test_without_annotations_the_inventory_says_so(folder: Path) -> None:
    (folder / "annotations.parquet").unlink()
    result = heph("inventory", "--frame", ETNA)
    assert result.stdout.startswith(f"{ETNA}: 4 on disk, 0 only annotated, problems (")
    assert "no annotations are imported (heph insar import)" in result.stderr


def test_a_frame_that_is_none_fails_alone(folder: Path) -> None:
    result = heph("inventory", "--frame", "../etc", "--frame", ETNA)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{ETNA}: 4 on disk")
    assert "../etc: '../etc' is not a frame ID" in result.stderr
