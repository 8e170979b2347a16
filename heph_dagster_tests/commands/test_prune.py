"""`heph prune`: what it asks, lists and removes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.partial import PartialDay
from heph_dagster_tests.conftest import EPSG, TERRA, VIIRS, earth
from heph_dagster_tests.test_cli import heph

TODAY = datetime.now(UTC).date()


@pytest.fixture
def mosaics(tmp_path: Path, catalogue: Catalogue) -> list[Path]:
    """Mosaics of two layers that are 0 to 3 days old."""
    return [
        write_day(tmp_path, catalogue[name], EPSG, TODAY - timedelta(days=age), earth(TODAY, 0))
        for age in range(4)
        for name in (VIIRS, TERRA)
    ]


@pytest.mark.parametrize(("keep", "left"), [(0, 2), (1, 4), (2, 6), (3, 8), (100_000, 8)])
def test_whole_days_before_today_stay(tmp_path: Path, mosaics: list[Path], keep: int, left: int) -> None:
    heph("prune", "--keep-days", keep, "--yes", "--output_dir", tmp_path)
    assert [path.exists() for path in mosaics] == [True] * left + [False] * (8 - left)


def test_a_dry_run_lists_and_removes_nothing(tmp_path: Path, mosaics: list[Path]) -> None:
    lines = heph("prune", "--keep-days", 2, "--dry-run", "--output_dir", tmp_path).stdout.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [
        [f"{TODAY - timedelta(days=3)}", "4326", name] for name in (TERRA, VIIRS)
    ]
    assert all(line.endswith("MB would be freed") for line in lines[2:])
    report = json.loads(heph("prune", "--keep-days", 2, "--dry-run", "--json", "--output_dir", tmp_path).stdout)
    assert report["dry_run"] is True
    assert {Path(name).name for name in report["days"][0]["files"]} >= {f"{TERRA}.mrf"}
    assert all(path.exists() for path in mosaics)


def test_freed_bytes_are_told_by_layer(tmp_path: Path, mosaics: list[Path]) -> None:
    before = {path: path.stat().st_size for path in tmp_path.rglob(f"{VIIRS}.*")}
    report = json.loads(
        heph("prune", "--keep-days", 1, "--layer", VIIRS, "--yes", "--json", "--output_dir", tmp_path).stdout
    )
    assert report["freed"] == {VIIRS: sum(size for path, size in before.items() if not path.exists())}
    assert report["before"] == f"{TODAY - timedelta(days=1)}"
    assert [day["day"] for day in report["days"]] == [f"{TODAY - timedelta(days=age)}" for age in (3, 2)]
    assert all(path.exists() for path in mosaics if path.stem == TERRA)
    again = heph("prune", "--keep-days", 1, "--layer", VIIRS, "--output_dir", tmp_path)
    assert again.stdout == "nothing to remove\n"


def test_without_a_terminal_it_does_not_guess(tmp_path: Path, mosaics: list[Path]) -> None:
    result = heph("prune", "--keep-days", 0, "--output_dir", tmp_path, code=1)
    assert "this would remove 3 days of 2 layers (" in result.output
    assert "there is no terminal to ask on: give --yes" in result.output
    assert all(path.exists() for path in mosaics)


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 0)])
def test_on_a_terminal_it_asks(tmp_path: Path, mosaics: list[Path], answer: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        command = [sys.executable, "-m", "heph_dagster.cli", "prune", "--keep-days", "3", "--output_dir", str(tmp_path)]
        assert subprocess.run(command, stdin=theirs, capture_output=True, check=False).returncode == 0  # nothing to ask
        command[command.index("3")] = "2"
        result = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert result.returncode == code, result.stderr
    assert "Remove 1 days of 2 layers (" in result.stderr
    assert [path.exists() for path in mosaics[6:]] == [bool(code)] * 2


def test_a_day_in_use_is_told(tmp_path: Path, mosaics: list[Path], viirs: Layer) -> None:
    with PartialDay(mosaics[6], Layout(viirs.grid(EPSG).window(0))):
        result = heph("prune", "--keep-days", 2, "--yes", "--json", "--output_dir", tmp_path)
    report = json.loads(result.stdout)
    assert report["in_use"] == [str(mosaics[6])]
    assert list(report["freed"]) == [TERRA]
    assert f"{mosaics[6]} is being downloaded: left alone" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "Nope"], "unknown layer 'Nope'"),
        (["--epsg", "3857"], "EPSG:3857 is not one of the projections"),
        (["--output_dir", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_what_is_not_known_is_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in heph("prune", "--keep-days", 1, "--output_dir", tmp_path, *arguments, code=1).output
