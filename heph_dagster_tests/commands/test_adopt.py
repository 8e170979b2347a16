"""`heph adopt`: a whole gibs-ml folder."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.defs.runs import instance_at
from heph_dagster.gibs.archive import encode
from heph_dagster_tests.conftest import DAYS, NDVI, TERRA, VIIRS, earth
from heph_dagster_tests.test_cli import heph

SPLITS = "train 2020-09-25 2\nval 2020-09-26 \n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two days of an active layer, one of them before its first day, a day of another layer, and split files."""
    tree = tmp_path / "gibs-ml"
    image = encode(earth(DAYS[0], 0), "jpg")
    for name in (f"2020-09-25/{VIIRS}.jpg", f"2001-01-01/{VIIRS}.jpg", f"2020-09-25/{NDVI}.jpg"):
        path = tree / "4326" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    (tree / "4326" / f"{VIIRS}.txt").write_text(SPLITS, "utf-8")
    (tree / "modis.txt").write_text(SPLITS, "utf-8")
    (tree / "notebooks").mkdir()
    return tree


def materialized(home: Path, layer: str = VIIRS) -> set[str]:
    with instance_at(home) as instance:
        return instance.get_materialized_partitions(dg.AssetKey(["gibs", layer, "image"]))


def state(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.glob("4326/**/*")}


def test_a_folder_is_taken_in_and_its_days_are_marked(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    result = heph("adopt", tree)
    assert result.stdout.splitlines() == [
        "3 days (3 adopted)",
        "2 split files (2 adopted)",
        f"gibs/{VIIRS}/image: 1 days marked as materialized",
    ]
    assert f"gibs/{VIIRS}/image has no partition for 2001-01-01: adopted, but not marked" in result.stderr
    assert f"gibs/{NDVI}/image is no asset: 1 days adopted, but not marked. HEPH_LAYERS adds layers" in result.stderr
    assert "left alone, being no folder of an EPSG code: notebooks" in result.stderr
    assert len(list(root.glob("4326/*/*.mrf"))) == 3
    assert (root / "4326" / f"{VIIRS}.txt").read_text("utf-8") == SPLITS
    assert (root / "4326" / f"{TERRA}.txt").read_text("utf-8") == SPLITS
    assert materialized(root / "dagster") == {"2020-09-25"}


def test_adopting_twice_changes_nothing(tree: Path, tmp_path: Path) -> None:
    heph("adopt", tree)
    before = state(tmp_path / "data")
    report = json.loads(heph("adopt", tree, "--json").stdout)
    assert {each["outcome"] for each in report["files"]} == {"kept"}
    assert (report["marked"], report["rejected"], report["ignored"]) == ({}, {}, ["notebooks"])
    assert state(tmp_path / "data") == before
    again = json.loads(heph("adopt", tree, "--json", "--replace").stdout)
    assert {each["outcome"] for each in again["files"]} == {"replaced"}
    assert again["marked"] == {f"gibs/{VIIRS}/image": ["2020-09-25"]}


def test_a_folder_is_adopted_in_place(tree: Path) -> None:
    files = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    for outcome in ("adopted", "kept", "replaced", "kept"):
        options = ["--replace"] if outcome == "replaced" else []
        report = json.loads(heph("adopt", tree, "--output_dir", tree, "--json", *options).stdout)
        images = [each for each in report["files"] if each["day"]]
        assert [each["outcome"] for each in images] == [outcome] * 3
    assert {path: path.read_bytes() for path in files} == files
    assert len(list(tree.glob("4326/*/*.mrf"))) == 3


def test_another_root_has_a_dagster_home_of_its_own(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    heph("adopt", tree, "--output_dir", tmp_path / "other")
    assert materialized(tmp_path / "other" / "dagster") == {"2020-09-25"}
    assert not (tmp_path / "home").exists()
    heph("adopt", tree)
    assert materialized(tmp_path / "home") == {"2020-09-25"}


def test_rejected_files_are_listed_and_end_with_an_error_code(tree: Path, tmp_path: Path) -> None:
    broken, wrong = tree / "4326" / "2020-09-26" / f"{VIIRS}.jpg", tree / "4326" / f"{NDVI}.txt"
    broken.parent.mkdir()
    broken.write_bytes(b"busy")
    wrong.write_text("train 2020-09-25\ntrain 2020-09-26 9\n", "utf-8")
    (tree / "README.txt").write_text("about", "utf-8")
    (tree / f"{VIIRS}.txt").write_text(SPLITS.replace("2\n", "3\n"), "utf-8")
    (tree / "3857").mkdir()
    (tree / "3857" / f"{VIIRS}.txt").write_text(SPLITS, "utf-8")
    report = json.loads(heph("adopt", tree, "--json", code=1).stdout)
    assert len(report["files"]) == 5
    reasons = report["rejected"]
    assert reasons.pop(str(tree / "README.txt")).startswith("unknown layer 'README'")
    assert reasons.pop(str(tree / "3857" / f"{VIIRS}.txt")).startswith(f"{VIIRS} is not available in EPSG:3857")
    assert reasons == {
        str(broken): "is neither JPEG, PNG nor TIFF: it begins with b'busy'",
        str(wrong): "line 2: '9' is no label code; they are 0 to 6",
        str(tree / f"{VIIRS}.txt"): f"{tree / '4326' / VIIRS}.txt is of the same layer and says otherwise: "
        "remove one of the two",
    }
    assert f"{broken}: is neither JPEG" in heph("adopt", tree, code=1).stderr
    assert not (tmp_path / "data" / "4326" / f"{NDVI}.txt").exists()


def test_split_files_that_are_there_are_kept_unless_replaced(tree: Path, tmp_path: Path) -> None:
    own = tmp_path / "data" / "4326" / f"{VIIRS}.txt"
    own.parent.mkdir(parents=True)
    own.write_text("test 2020-01-01 1\n", "utf-8")
    heph("adopt", tree)
    assert own.read_text("utf-8") == "test 2020-01-01 1\n"
    heph("adopt", tree, "--replace")
    assert own.read_text("utf-8") == SPLITS


def test_a_folder_that_is_no_such_folder_is_named(tree: Path, tmp_path: Path) -> None:
    result = heph("adopt", tmp_path, code=1)
    assert f"{tmp_path} holds nothing to adopt, neither images" in result.output
    assert "name the folder that gibs-ml calls data" in result.output


def test_an_adopted_day_is_kept_by_a_download_of_its_level(
    tree: Path, tmp_path: Path, gibs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)
    heph("adopt", tree)
    days = ("--start_date", "2020-09-25", "--end_date", "2020-09-27", "--json")
    report = json.loads(heph("download", *days, "--level", 0).stdout)
    assert [(day["outcome"], day["verified_by"]) for day in report["days"]] == [("kept", "origin"), ("new", "header")]
    assert "give --refresh to replace it" in heph("download", *days, "--level", 1, code=1).stdout
