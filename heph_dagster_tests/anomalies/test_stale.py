"""Stale layers: when the newest day is too old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from heph_dagster.anomalies.stale import Delay, default_delay, find_stale, freshness_windows, usual_delay
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.server import running_server
from heph_dagster_tests.conftest import EPSG, NDVI, earth
from heph_dagster_tests.gibs.downloading import fetch

NEWEST = date(2024, 4, 1)
LISTED = [Period(date(2024, 3, 20), NEWEST), Period(date(2015, 11, 24), date(2024, 3, 1))]


@pytest.fixture
def recent(tmp_path: Path, catalogue: Catalogue, viirs: Layer) -> Iterator[tuple[str, date]]:
    """A server of the six days before today, and of six that are older by 100 days; and today."""
    today = datetime.now(UTC).date()
    for back in (*range(1, 7), *range(101, 107)):
        write_day(tmp_path / "archive", viirs, EPSG, today - timedelta(days=back), earth(today, level=0))
    with running_server(tmp_path / "archive", catalogue) as url:
        yield url, today


@pytest.mark.parametrize(("delay", "due"), [(1, date(2024, 4, 4)), (2, date(2024, 4, 5))])
def test_the_next_day_is_due_when_it_is_over_and_the_usual_delay_has_passed(
    viirs: Layer, delay: int, due: date
) -> None:
    in_time = find_stale(viirs, LISTED, due, Delay(delay))
    assert (in_time.flagged, in_time.newest, in_time.due) == (False, NEWEST, due)
    late = find_stale(viirs, LISTED, due + timedelta(days=1), Delay(delay))
    assert late.flagged
    assert f"the newest day on the server is 2024-04-01, {delay + 3} days ago; the next is due by {due}" in late.message
    assert late.as_json()["due"] == f"{due}"


def test_composites_are_due_at_their_own_cadence(catalogue: Catalogue) -> None:
    layer = catalogue[NDVI]
    assert default_delay(layer) == Delay(30)
    periods = [Period(date(2024, 1, 1), date(2024, 3, 7), "P8D")]  # the last begins on 2024-03-05
    result = find_stale(layer, periods, date(2024, 4, 20), Delay(30))
    assert (result.newest, result.due, result.flagged) == (date(2024, 3, 5), date(2024, 4, 20), False)
    assert find_stale(layer, periods, date(2024, 4, 21), Delay(30)).flagged


def test_a_layer_that_ended_is_not_stale(viirs: Layer) -> None:
    ended = viirs.model_copy(update={"last_day": NEWEST})
    result = find_stale(ended, LISTED, date(2026, 1, 1), Delay(2))
    assert (result.flagged, result.due, result.message) == (False, None, f"{viirs.identifier} ended on 2024-04-01")


def test_a_layer_without_days_is_stale_and_its_successor_is_named(viirs: Layer) -> None:
    renamed = viirs.model_copy(update={"successor": "Another"})
    result = find_stale(renamed, [], NEWEST, Delay(2))
    assert result.flagged
    assert result.message.endswith(f"lists no days at all; GIBS continues {viirs.identifier} as Another")


@pytest.mark.parametrize("backs", [range(1, 5), range(101, 107)], ids=["too few", "too late"])
def test_times_that_tell_nothing_leave_the_default(
    recent: tuple[str, date], viirs: Layer, tmp_path: Path, backs: range
) -> None:
    url, today = recent
    fetch(url, viirs, tmp_path, *(today - timedelta(days=back) for back in backs), level=0)
    assert usual_delay(tmp_path, viirs, EPSG, today - timedelta(days=backs.start - 1)) == Delay(2, 0)


def test_the_delay_is_learned_from_the_times_of_recent_days(
    recent: tuple[str, date], viirs: Layer, tmp_path: Path
) -> None:
    url, today = recent
    days = [today - timedelta(days=back) for back in range(1, 7)]
    fetch(url, viirs, tmp_path, *days, level=0)
    # Ended 0, 1, 2, 3, 4 and 5 days before they were fetched: the upper quartile is 3.75.
    assert usual_delay(tmp_path, viirs, EPSG, today) == Delay(4, 6)
    mosaic_path(tmp_path, EPSG, days[0], viirs).write_text("nonsense", "utf-8")
    # 1, 2, 3, 4 and 5 days.
    assert usual_delay(tmp_path, viirs, EPSG, today) == Delay(4, 5)
    manifest = next(mosaic_path(tmp_path, EPSG, days[1], viirs).parent.glob("*.tiles.parquet"))
    content = bytearray(manifest.read_bytes())
    content[40 : len(content) // 2] = bytes(len(content) // 2 - 40)
    manifest.write_bytes(content)
    assert usual_delay(tmp_path, viirs, EPSG, today) == Delay(2, 0)


@pytest.mark.parametrize(("period", "fail"), [("P8D", 38), ("P1M", 61), ("P1Y", 396)])
def test_nothing_new_is_usual_for_a_step_and_the_usual_delay(viirs: Layer, period: str, fail: int) -> None:
    assert freshness_windows(viirs) == (timedelta(hours=30), timedelta(days=3))
    assert freshness_windows(viirs.model_copy(update={"period": period})) == (None, timedelta(days=fail))
