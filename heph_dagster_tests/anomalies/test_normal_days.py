"""Which days on disk a climatology is made of."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.climatology import LEAST_DAYS, HueClimatology, climatology_path
from heph_dagster.anomalies.hues import find_hues, presence
from heph_dagster.anomalies.miscolour import label_miscolouring
from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster_tests.anomalies.painting import DAYS, FIRST, MAGENTA, cut_off, painted, store
from heph_dagster_tests.conftest import EPSG


def test_only_normal_days_are_added_and_each_once(tmp_path: Path, viirs: Layer, terra: Layer) -> None:
    store(tmp_path, viirs, DAYS[0], painted(DAYS[0]), (5,))
    store(tmp_path, viirs, DAYS[1], painted(DAYS[1]), (1,))
    store(tmp_path, viirs, DAYS[2], painted(DAYS[2]))
    store(tmp_path, viirs, DAYS[3], np.zeros((320, 640, 3), np.uint8))
    write_day(tmp_path, viirs, EPSG, DAYS[4], painted(DAYS[4]))
    store(tmp_path, terra, DAYS[5], painted(DAYS[5]))
    seen: list[date] = []
    update = add_normal_days(tmp_path, viirs, EPSG, seen.append)
    assert (update.added, update.days, update.removed, update.failed) == (DAYS[1:3], 2, [], {})
    assert update.left_out == {DAYS[3]: "100.0% of the image are without data"}
    assert seen == DAYS[1:4]
    again = add_normal_days(tmp_path, viirs, EPSG, seen.append)
    assert (again.added, again.days, again.left_out) == ([], 2, update.left_out)
    assert seen == DAYS[1:4]
    store(tmp_path, viirs, DAYS[1], painted(DAYS[6]))
    store(tmp_path, viirs, DAYS[2], painted(DAYS[2]), (6,))
    store(tmp_path, viirs, DAYS[3], painted(DAYS[3]))
    third = add_normal_days(tmp_path, viirs, EPSG)
    assert (third.added, third.removed, third.left_out, third.days) == ([DAYS[1], DAYS[3]], [DAYS[2]], {}, 2)
    path = climatology_path(tmp_path, EPSG, viirs)
    with HueClimatology(path, viirs, EPSG) as one, HueClimatology(tmp_path / "other", viirs, EPSG) as other:
        for day, source in ((DAYS[1], DAYS[6]), (DAYS[3], DAYS[3])):
            pixels = read_pixels(write_day(tmp_path / "archive", viirs, EPSG, day, painted(source)))
            other.put(day, "a", presence(find_hues(pixels)))
        np.testing.assert_array_equal(one.unusual(DAYS[7])[1], other.unusual(DAYS[7])[1])


def test_days_of_a_fault_are_not_learnt(root: Path, viirs: Layer) -> None:
    bad = [FIRST + timedelta(days=20 + number) for number in range(3)]
    for day in bad:
        store(root, viirs, day, painted(day, MAGENTA))
    update = add_normal_days(root, viirs, EPSG)
    assert (update.added, update.days) == ([], 8)
    assert update.left_out == dict.fromkeys(bad, "it has patches of colours that no other day has")
    assert label_miscolouring(root, viirs, EPSG, bad[2]).result.verdict == "miscoloured"


@pytest.mark.parametrize("place", range(LEAST_DAYS + 1))
def test_a_fault_among_the_first_days_is_found_once_there_are_enough(tmp_path: Path, viirs: Layer, place: int) -> None:
    bad = DAYS[place]
    for number, day in enumerate(DAYS[: LEAST_DAYS + 1], 1):
        store(tmp_path, viirs, day, painted(day, MAGENTA if day == bad else None))
        update = add_normal_days(tmp_path, viirs, EPSG)
        assert update.days == number - (number > LEAST_DAYS)
    assert update.left_out == {bad: "it has patches of colours that no other day has"}
    assert update.added == DAYS[LEAST_DAYS : LEAST_DAYS + 1] * (bad != DAYS[LEAST_DAYS])
    store(tmp_path, viirs, DAYS[LEAST_DAYS + 1], painted(DAYS[LEAST_DAYS + 1]))
    assert add_normal_days(tmp_path, viirs, EPSG).days == LEAST_DAYS + 1
    with HueClimatology(climatology_path(tmp_path, EPSG, viirs), viirs, EPSG) as climatology:
        assert climatology.unguarded() == set()


def test_a_day_with_holes_is_learnt_where_it_has_data(tmp_path: Path, viirs: Layer) -> None:
    image = painted(FIRST)
    image[:, :320] = 0
    store(tmp_path, viirs, FIRST, image, (2,))
    assert add_normal_days(tmp_path, viirs, EPSG).added == [FIRST]
    with HueClimatology(climatology_path(tmp_path, EPSG, viirs), viirs, EPSG) as climatology:
        _, counts = climatology._without(DAYS[1])
    whole = presence(find_hues(read_pixels(write_day(tmp_path / "whole", viirs, EPSG, FIRST, painted(FIRST)))))
    # A cell knows its neighbours' colours, and the world is round.
    assert not counts[:, 1:35].any()
    np.testing.assert_array_equal(counts[:, 38:70], whole[:, 38:70])


def test_a_day_that_cannot_be_read_does_not_stop_the_others(root: Path, viirs: Layer) -> None:
    store(root, viirs, DAYS[0], painted(DAYS[1])).write_text("no mosaic", "utf-8")
    days = [FIRST + timedelta(days=20 + number) for number in range(3)]
    mosaics = [store(root, viirs, day, painted(day)) for day in days]
    cut_off(mosaics[0])
    mosaics[1].with_suffix(".missing_data.json").write_text("{}", "utf-8")
    update = add_normal_days(root, viirs, EPSG)
    assert update.added == [days[2]]
    assert {day: str(error).split(".", 1)[1] for day, error in update.failed.items()} == {
        DAYS[0]: "mrf is not an MRF: syntax error: line 1, column 0",
        days[0]: "mrf: 1 of 2 tiles are not what they were; heph verify --mend downloads again what is damaged",
        days[1]: "missing_data.json is damaged (KeyError('labels')): delete it, and judge the day again",
    }
