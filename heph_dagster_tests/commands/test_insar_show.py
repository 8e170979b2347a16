"""`heph insar show`: pictures of annotations, and what was said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
from heph_dagster.png import check_png
from heph_dagster_tests.hephaestus.records import deformed, quiet, write_pair, write_records
from heph_dagster_tests.test_cli import heph

DEFORMED, QUIET = deformed(8), quiet(12, secondary_date="20181210")
DETAILS = (
    "2018-11-28 to 2018-12-04, 6 days  |  descending orbit 124  |  deformation and earthquake  |  phase unrest  |  "
    "confidence 0.8  |  turbulent mixing"
)
BROKEN = quiet(20, primary_date="tomorrow")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Imported annotations, one of which has an interferogram; the current folder is empty."""
    folder = tmp_path / "data" / "hephaestus"
    write_annotations(folder, read_annotations(write_records(tmp_path / "json", DEFORMED, QUIET, BROKEN)))
    write_pair(folder / "raw", DEFORMED, 300, 260)
    (folder / "frame_names.json").write_text('{"124D_05291_081406": "Etna, Vulcano"}', "utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_the_picture_is_written_and_what_was_said_printed(data: Path) -> None:
    lines = heph("insar", "show", 8).stdout.splitlines()
    assert lines == [
        "8   124D_05291_081406   Sicily: Etna",
        DETAILS,
        "volcanoes of the frame: Etna, Vulcano",
        "0: Mogi, high, x 10 to 40, y 20 to 60 px",
        "1: Earthquake, x 100 to 130, y 100 to 130 px",
        DEFORMED["caption"],
        "8.png",
    ]
    assert [path.name for path in Path().iterdir()] == ["8.png"]
    assert check_png(Path("8.png").read_bytes()).width == 1448


def test_the_same_seed_gives_the_same_bytes(data: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        heph("insar", "show", 8, "--out", f"{name}.png", "--seed", seed, "--size", 64)
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_json_has_the_facts(data: Path) -> None:
    told: dict[str, Any] = json.loads(heph("insar", "show", 8, "--json", "--out", "some/where.png").stdout)
    assert Path("some/where.png").is_file()
    assert (told["picture"], told["warnings"], told["unique_id"]) == ("some/where.png", [], 8)
    assert [each["activity"] for each in told["deformations"]] == ["Mogi", "Earthquake"]
    assert told["caption"] == DEFORMED["caption"]


def test_what_is_wrong_with_crops_is_told(data: Path) -> None:
    (data / "raw/124D_05291_081406/interferograms/20181128_20181204/20181128_20181204.geo.cc.png").unlink()
    warnings = json.loads(heph("insar", "show", 8, "--json", "--size", 280).stdout)["warnings"]
    small = "the interferogram of 300 x 260 px is smaller than the crop, the rest of which is 0"
    assert warnings == [f"Crop {index}: {small}; its coherence is not there." for index in range(2)]


def test_annotations_and_archive_may_be_elsewhere(tmp_path: Path, data: Path) -> None:
    records = write_records(tmp_path / "other", QUIET)
    write_pair(tmp_path / "archive", QUIET, 230, 240)
    lines = heph("insar", "show", 12, "--annotations", records, "--raw", tmp_path / "archive").stdout.splitlines()
    assert lines[0] == "12   124D_05291_081406   Sicily: Etna"
    assert lines[-1] == "12.png"


def test_an_interferogram_that_is_not_on_disk_is_an_error_after_the_facts(data: Path) -> None:
    result = heph("insar", "show", 12, code=1)
    assert result.stdout.splitlines()[-1] == QUIET["caption"]
    assert result.stderr.startswith("Error: there is no interferogram in ")
    assert result.stderr.endswith("put 20181128_20181210.geo.diff.png or InSAR.png there (`heph insar download raw`)\n")
    assert json.loads(heph("insar", "show", 12, "--json", code=1).stdout)["picture"] is None
    assert not list(Path().iterdir())


def test_an_unknown_id_is_told_with_the_nearest(data: Path) -> None:
    error = heph("insar", "show", 11, code=1).stderr
    assert error == f"Error: annotation 11 is not among the 2 in {data}; the nearest ID is 12\n"


def test_an_annotation_that_was_rejected_is_told_with_the_reason(tmp_path: Path, data: Path) -> None:
    error = heph("insar", "show", 20, code=1).stderr
    assert error.startswith(f"Error: annotation 20 is not in {data}, because 20.json was rejected: ")
    assert "primary_date" in error
    source = tmp_path / "json"
    assert f"is not in {source}, because" in heph("insar", "show", 20, "--annotations", source, code=1).stderr


def test_a_source_without_annotations_is_told(tmp_path: Path, data: Path) -> None:
    source = write_records(tmp_path / "broken", BROKEN)
    error = heph("insar", "show", 3, "--annotations", source, code=1).stderr
    assert error == f"Error: {source} has no annotations; 1 files were rejected\n"


def test_without_an_import_there_is_a_remedy() -> None:
    assert "import annotations first (heph insar import)" in heph("insar", "show", 8, code=1).stderr


def test_other_kinds_of_pictures_are_refused(data: Path) -> None:
    assert "8.jpg should end in .png" in heph("insar", "show", 8, "--out", "8.jpg", code=2).stderr
