"""Which days to download, and whether there is room."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.download import DayRequest
from heph_dagster.gibs.images import DayImages
from heph_dagster.gibs.manifest import TileRecord
from heph_dagster.gibs.partial import PartialDay
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.plan import Need, NoRoomError, check_room, last_check, need_of, plan_days, record_check
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, NDVI

SERVER = [Period(date(2015, 11, 24), date(2015, 11, 26)), Period(date(2015, 11, 28), date(2015, 11, 28))]


def test_the_end_is_not_included_and_gaps_are_missing(viirs: Layer) -> None:
    plan = plan_days(viirs, SERVER, date(2015, 11, 25), date(2015, 11, 29))
    assert plan.days == [date(2015, 11, 25), date(2015, 11, 26), date(2015, 11, 28)]
    assert plan.missing == [date(2015, 11, 27)]
    assert plan.notices == []


def test_the_start_is_the_first_day_of_the_layer_and_never_before(viirs: Layer) -> None:
    assert plan_days(viirs, SERVER, None, date(2015, 11, 26)).days == [date(2015, 11, 24), date(2015, 11, 25)]
    plan = plan_days(viirs, SERVER, date(2012, 1, 1), date(2015, 11, 26))
    assert plan.days == [date(2015, 11, 24), date(2015, 11, 25)]
    assert plan.notices == [f"{viirs.identifier} begins on 2015-11-24: the days from 2012-01-01 on are left out"]
    # What the server has wins over the catalogue.
    older = [Period(date(2012, 1, 19), date(2012, 1, 20)), *SERVER]
    assert plan_days(viirs, older, date(2012, 1, 19), date(2012, 1, 21)).days == [date(2012, 1, 19), date(2012, 1, 20)]


def test_days_of_other_cadences_are_those_of_the_server(catalogue: Catalogue) -> None:
    plan = plan_days(
        catalogue[NDVI], [Period(date(2020, 9, 13), date(2020, 9, 29), "P8D")], date(2020, 9, 14), date(2020, 9, 29)
    )
    assert plan.days == [date(2020, 9, 21)]
    assert plan.missing == []


def test_an_empty_range_is_refused(viirs: Layer) -> None:
    with pytest.raises(
        ValueError, match="no day lies from 2015-11-25 to before 2015-11-25: the end date is not included"
    ):
        plan_days(viirs, SERVER, date(2015, 11, 25), date(2015, 11, 25))


def test_the_server_tells_where_a_layer_begins(viirs: Layer) -> None:
    later = [Period(date(2020, 1, 1), date(2020, 1, 3))]
    assert plan_days(viirs, later, None, date(2020, 1, 3)).days == [date(2020, 1, 1), date(2020, 1, 2)]
    plan = plan_days(viirs, later, date(2019, 12, 1), date(2020, 1, 2))
    assert (plan.days, plan.missing) == ([date(2020, 1, 1)], [])
    with pytest.raises(ValueError, match="begins on 2020-01-01: there is nothing before 2019-12-31"):
        plan_days(viirs, later, date(2019, 12, 1), date(2019, 12, 31))


def test_the_next_check_starts_at_the_first_day_that_lacks(viirs: Layer, catalogue: Catalogue) -> None:
    end = date(2015, 12, 1)
    assert plan_days(viirs, SERVER, date(2015, 11, 25), end).checked_until() == date(2015, 11, 27)
    plan = plan_days(viirs, SERVER, date(2015, 11, 28), end)
    assert plan.checked_until() == date(2015, 11, 29)
    assert plan.checked_until([date(2015, 11, 28)]) == date(2015, 11, 28)
    assert plan_days(viirs, SERVER, date(2015, 11, 25), date(2015, 11, 27)).checked_until() == date(2015, 11, 27)
    # The composite of 21 September may come after the range has ended.
    composites = [Period(date(2020, 9, 5), date(2020, 9, 13), "P8D")]
    assert plan_days(catalogue[NDVI], composites, None, date(2020, 9, 30)).checked_until() == date(2020, 9, 14)


def test_the_mark_of_a_check_never_moves_back(viirs: Layer, tmp_path: Path) -> None:
    assert last_check(tmp_path, viirs, 4326) is None
    record_check(tmp_path, viirs, 4326, date(2015, 11, 29))
    record_check(tmp_path, viirs, 3031, date(2016, 1, 1))
    record_check(tmp_path, viirs, 4326, date(2014, 1, 1))
    assert last_check(tmp_path, viirs, 4326) == date(2015, 11, 29)
    assert last_check(tmp_path, viirs, 3031) == date(2016, 1, 1)


@pytest.mark.parametrize("text", ['{"4326/', '{"4326/A": "yesterday"}', '{"4326/A": 3}', "[]"])
def test_a_damaged_list_of_checks_is_named(viirs: Layer, tmp_path: Path, text: str) -> None:
    (tmp_path / "last_checks.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"last_checks\.json is not the days until which .*: delete it"):
        last_check(tmp_path, viirs, 4326)


def test_a_disk_that_is_too_small_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "not" / "yet"
    check_room(folder, Need(10, 400_000))
    with pytest.raises(
        NoRoomError, match=r"the days need about 400000000.0 GB, and .* has room for .*: choose fewer days"
    ):
        check_room(folder, Need(10**13, 4 * 10**17))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(NoRoomError, match=r"the days need about 2\.0 MB, and .* has room for 1\.0 MB"):
        check_room(folder, Need(50, 2_000_000))


def test_what_is_on_disk_needs_no_room(tmp_path: Path, viirs: Layer, archive: Path) -> None:
    shutil.copytree(archive / "4326" / f"{DAYS[0]}", tmp_path / "4326" / f"{DAYS[0]}")
    request = DayRequest(viirs, EPSG, LEVEL, tmp_path)
    window = request.layout.window
    images = DayImages(layer=viirs, window=window, kind="mrf")
    unfinished = mosaic_path(tmp_path, EPSG, DAYS[1], viirs)
    with PartialDay(unfinished, request.layout) as partial:
        partial.recover({"window": str(window)})
        for tile in list(window.tiles())[:2]:
            partial.add(TileRecord(*tile, "", 404, 0, None, None, None, None, datetime.now(UTC)), b"")
    assert need_of(request, DAYS, images) == Need(4 + 6, 10 * 40_000)
    assert need_of(replace(request, refresh=True), DAYS, images) == Need(6 + 4 + 6, 10 * 40_000)
    # What was got for another window is thrown away.
    west = replace(request, bbox=(-180, -90, 0, 90))
    assert need_of(west, DAYS[1:2], images).tiles == west.layout.tiles
    jpg = DayImages(layer=viirs, window=window, kind="jpg", size=(1024, 512))
    assert need_of(request, DAYS, jpg).bytes == 10 * 40_000 + 2 * 2 * 80_000
    assert need_of(request, DAYS, images, ".jpg").tiles == 6 + 4 + 6
