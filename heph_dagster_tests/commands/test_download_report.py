"""What `heph download` shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from heph_dagster.commands.download_report import Meter, report
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import GibsClient, GibsError
from heph_dagster.gibs.download import FailedDay, FetchedDay
from heph_dagster.gibs.gdal_download import GdalImage
from heph_dagster_tests.conftest import DAYS

DAY = FetchedDay(DAYS[0], Path("a.mrf"), 1, "new", 4, 2, 4, 1000, 1.0, "header")


def test_the_meter_counts_what_comes_as_it_comes() -> None:
    meter = Meter("a", 4, 6)
    meter.add(DAYS[0], 2, 0)  # from an earlier try
    meter.add(DAYS[0], 3, 600)
    assert (meter.tiles, meter.bytes) == (5, 600)
    meter.add(DAYS[1], 4, 300)
    meter.day(DAY)
    assert (meter.tiles, meter.bytes) == (10, 900)
    meter.day(FailedDay(DAYS[1], GibsError("no")))
    assert (meter.tiles, meter.bytes) == (6, 900)
    meter.day(replace(DAY, day=DAYS[2], outcome="kept"))
    meter.day(replace(DAY, day=DAYS[2] + timedelta(days=1), outcome="unchanged"))
    assert (meter.tiles, meter.bytes) == (18, 900)


def test_gdals_images_count_when_they_are_whole() -> None:
    meter = Meter("a", 2, 6)
    for day, outcome in zip(DAYS, ("new", "kept"), strict=False):
        meter.day(GdalImage(day, Path("a.png"), 1, outcome, 6, 500, 1.0))
    assert (meter.tiles, meter.bytes) == (12, 500)


def test_a_reason_is_told_once_and_days_as_runs(viirs: Layer, capsys: pytest.CaptureFixture[str]) -> None:
    days = [DAYS[0] + timedelta(days=number) for number in range(5)]
    failed = [FailedDay(day, GibsError("gone")) for day in [days[2], days[1]]] + [FailedDay(days[4], GibsError("no"))]
    report(viirs, GibsClient("http://a"), [DAY, *failed], [*days[:3], days[4]], as_json=False)
    captured = capsys.readouterr()
    assert captured.out == "1 days (1 new), 0.0 MB\n"
    assert captured.err.splitlines() == [
        "2020-09-26 to 2020-09-27: gone",
        "2020-09-29: no",
        "The server does not have 4 days: 2020-09-25 to 2020-09-27, 2020-09-29",
    ]
