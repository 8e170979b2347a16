"""Which days to download, and whether there is room."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.plan import NoRoomError, check_room, last_check, plan_days, record_check
from heph_dagster_tests.conftest import NDVI

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


def test_late_days_are_checked_again(viirs: Layer, tmp_path: Path) -> None:
    assert last_check(tmp_path, viirs, 4326) is None
    plan = plan_days(viirs, SERVER, date(2015, 11, 25), date(2015, 12, 1))
    record_check(tmp_path, viirs, 4326, plan.checked_until(date(2015, 12, 1)))
    record_check(tmp_path, viirs, 3031, date(2016, 1, 1))
    assert last_check(tmp_path, viirs, 4326) == date(2015, 11, 29)
    assert last_check(tmp_path, viirs, 3031) == date(2016, 1, 1)


def test_a_disk_that_is_too_small_is_told_before(viirs: Layer, tmp_path: Path) -> None:
    check_room(tmp_path / "not" / "yet", viirs, 10)
    with pytest.raises(
        NoRoomError, match=r"tiles need about 400000000.0 GB, and .* has room for .*: choose fewer days"
    ):
        check_room(tmp_path / "not" / "yet", viirs, 10**13)
