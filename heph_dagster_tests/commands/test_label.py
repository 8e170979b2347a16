"""`heph label` and `heph labels`, from a shell."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster_tests.conftest import DAYS, EPSG, VIIRS
from heph_dagster_tests.test_cli import heph


@pytest.fixture
def root(tmp_path: Path, viirs: Layer) -> Path:
    """A data root, the setting's, with a day that a method calls normal."""
    path = mosaic_path(tmp_path / "data", EPSG, DAYS[0], viirs).with_suffix(".missing_data.json")
    path.parent.mkdir(parents=True)
    facts = {"labels": [0], "method": "black-regions", "version": "2", "verdict": "normal"}
    path.write_text(json.dumps(facts), "utf-8")
    return tmp_path / "data"


@pytest.mark.usefixtures("root")
def test_a_day_is_labelled_and_shown() -> None:
    text = heph("label", VIIRS, DAYS[0], "2", "3").stdout
    assert text == f"{VIIRS} 2020-09-25: 2 missing unexpected, 3 miscoloured\n"
    heph("label", VIIRS, DAYS[1], "0")
    lines = heph("labels", VIIRS).stdout.splitlines()
    assert lines[:3] == [
        "day         source     by hand    automatic  differing  label",
        "2020-09-25  hand       2 3        0          2          2 missing unexpected, 3 miscoloured",
        "2020-09-26  hand       0                                0 normal",
    ]
    assert " ".join(lines[3:]) == (
        "2 days, 2 labelled by hand; 1 have both labels, 1 of them differ. "
        "Data that an eclipse made black count as not missing."
    )


def test_a_label_is_taken_back(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "labels.txt"
    source.write_text("val 2020-09-26 \n", "utf-8")
    heph("labels", VIIRS, "--import", source)
    heph("label", VIIRS, DAYS[0], "2", "3")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    text = heph("label", VIIRS, DAYS[0], "--remove").stdout
    assert text == f"{VIIRS} 2020-09-25: removed 2 missing unexpected, 3 miscoloured (heph label, {today})\n"
    rows = json.loads(heph("labels", VIIRS, "--json").stdout)["rows"]
    assert [(row["codes"], row["source"]) for row in rows] == [([0], "automatic"), ([0], "hand")]
    text = heph("label", VIIRS, DAYS[1], "--remove", "--output_dir", root).stdout
    assert text == f"{VIIRS} 2020-09-26: removed 0 normal (labels.txt, {today})\n"
    assert len(json.loads(heph("labels", VIIRS, "--json").stdout)["rows"]) == 1


def test_disagreements_are_shown(root: Path) -> None:
    heph("label", VIIRS, DAYS[0], "2", "--output_dir", root)
    heph("label", VIIRS, DAYS[1], "3")
    report = json.loads(heph("labels", VIIRS, "--disagreements", "--json").stdout)
    assert (report["days"], report["eclipse_is_missing"], report["imported"]) == (2, False, None)
    (row,) = report["rows"]
    assert (row["day"], row["hand"], row["automatic"], row["differing"]) == ("2020-09-25", [2], [0], [2])


def test_a_file_is_imported(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "labels.txt"
    source.write_text("train 2020-09-25 2\nval 2020-09-26 \n", "utf-8")
    assert f"{source}: 2 days added, 0 replaced, 0 unchanged\n" in heph("labels", VIIRS, "--import", source).stdout
    source.write_text("train 2020-09-25 3\n", "utf-8")
    error = heph("labels", VIIRS, "--import", source, code=1).output
    assert "contradicts hand labels of 1 days (2020-09-25): --replace takes those of the file" in error
    options = ("--import", source, "--replace", "--eclipse-is-missing", "--json")
    report = json.loads(heph("labels", VIIRS, *options, "--output_dir", root).stdout)
    assert report["imported"] == {"added": 0, "replaced": 1, "unchanged": 0}
    assert report["eclipse_is_missing"] is True
    assert [row["codes"] for row in report["rows"]] == [[3], [0]]


def test_what_is_wrong_is_said() -> None:
    assert "Error: '9' is no label code; they are 0 to 6" in heph("label", VIIRS, DAYS[0], "9", code=1).output
    assert "2015-11-23 is before the first day" in heph("label", VIIRS, "2015-11-23", "2", code=1).output
    for wrong in ([], ["2", "--remove"]):
        assert "Give CODES, or --remove." in heph("label", VIIRS, DAYS[0], *wrong, code=2).output
    error = heph("label", VIIRS, DAYS[0], "--remove", code=1).output
    assert f"Error: {VIIRS} has no hand label of 2020-09-25 below " in error
    assert f"has no labels of {VIIRS}: heph run makes some" in heph("labels", VIIRS, code=1).output
    assert "--replace goes with --import" in heph("labels", VIIRS, "--replace", code=1).output
