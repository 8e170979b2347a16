"""`heph check`: frozen days and stale layers, from a shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.server import running_server
from heph_dagster_tests.conftest import DAYS, EPSG, VIIRS, earth
from heph_dagster_tests.test_cli import heph


@pytest.fixture
def today(catalogue: Catalogue, viirs: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[date]:
    """Today, for a server whose newest day is yesterday's."""
    day = datetime.now(UTC).date()
    write_day(tmp_path / "archive", viirs, EPSG, day - timedelta(days=1), earth(day, level=0))
    with running_server(tmp_path / "archive", catalogue) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        yield day


def store(root: Path, layer: Layer, day: date, image_of: date) -> None:
    write_day(root, layer, EPSG, day, earth(image_of, level=0))


def test_days_that_are_as_they_should_be(today: date, viirs: Layer, tmp_path: Path) -> None:
    for day in DAYS[:2]:
        store(tmp_path / "data", viirs, day, day)
    lines = heph("check", VIIRS, "--start", DAYS[0], "--end", DAYS[1]).stdout.splitlines()
    assert lines[0].startswith(
        f"ok     {VIIRS}: the newest day on the server is {today - timedelta(days=1)}, 1 days ago"
    )
    assert lines[1:] == [
        "ok     2020-09-25: no earlier day on disk to compare with",
        "ok     2020-09-26 repeats none of 1 earlier days",
    ]


@pytest.mark.usefixtures("today")
def test_a_frozen_day_ends_with_an_error_code(viirs: Layer, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    for day in DAYS[:2]:
        store(root, viirs, day, DAYS[0])
    arguments = ("check", VIIRS, "--start", DAYS[0], "--end", DAYS[1], "--output_dir", root)
    text = heph(*arguments, code=1).stdout
    assert "FROZEN 2020-09-26 is frozen: 100% of its data equals 2020-09-25, byte by byte" in text
    report = json.loads(heph(*arguments, "--json", code=1).stdout)
    assert [(day["day"], day["flagged"], day["repeats"]) for day in report["frozen"]] == [
        ("2020-09-25", False, None), ("2020-09-26", True, "2020-09-25"),
    ]  # fmt: skip
    assert (report["stale"]["flagged"], report["missing"]) == (False, [])
    assert mosaic_path(root, EPSG, DAYS[1], viirs).with_suffix(".frozen.json").exists()


def test_a_stale_layer_ends_with_an_error_code(
    gibs_url: str, viirs: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)
    store(tmp_path / "data", viirs, DAYS[0], DAYS[0])
    report = json.loads(heph("check", VIIRS, "--start", DAYS[0], "--json", code=1).stdout)
    stale = report["stale"]
    assert (stale["flagged"], stale["newest"], stale["due"]) == (True, "2020-09-28", "2020-10-02")
    assert stale["delay"] == {"days": 2, "learned_from": 0}
    assert [day["flagged"] for day in report["frozen"]] == [False]


@pytest.mark.usefixtures("today")
def test_a_day_that_cannot_be_read_does_not_keep_the_others(viirs: Layer, tmp_path: Path) -> None:
    for day in (DAYS[0], DAYS[1], DAYS[1] + timedelta(days=1)):
        store(tmp_path / "data", viirs, day, day)
    path = mosaic_path(tmp_path / "data", EPSG, DAYS[1], viirs)
    path.write_text("nonsense", "utf-8")
    lines = heph("check", VIIRS, "--start", DAYS[0], "--end", DAYS[1] + timedelta(days=1), code=1).stdout.splitlines()
    assert lines[1:] == [
        "ok     2020-09-25: no earlier day on disk to compare with",
        f"ERROR  2020-09-26 cannot be compared: {path} is not an MRF: syntax error: line 1, column 0",
        "ok     2020-09-27 repeats none of 1 earlier days",
    ]


@pytest.mark.usefixtures("today")
def test_days_that_are_not_there_are_named(viirs: Layer, tmp_path: Path) -> None:
    store(tmp_path / "data", viirs, DAYS[0], DAYS[0])
    result = heph("check", VIIRS, "--start", DAYS[0], "--end", DAYS[1], code=1)
    assert "Not on disk and not checked: 2020-09-26" in result.output
    assert "has no day of" in heph("check", VIIRS, "--start", DAYS[1], code=1).output
    assert (
        "the range ends on 2020-09-25, before"
        in heph("check", VIIRS, "--start", DAYS[1], "--end", DAYS[0], code=1).output
    )
