"""Which days on disk a climatology is made of."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np

from heph_dagster.anomalies.climatology import HueClimatology, climatology_path
from heph_dagster.anomalies.hues import find_hues, presence
from heph_dagster.anomalies.miscolour import label_miscolouring
from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster_tests.anomalies.painting import DAYS, FIRST, MAGENTA, painted, store
from heph_dagster_tests.conftest import EPSG


def test_only_normal_days_are_added_and_each_once(tmp_path: Path, viirs: Layer, terra: Layer) -> None:
    store(tmp_path, viirs, DAYS[0], painted(DAYS[0]), (2,))
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
    store(tmp_path, viirs, DAYS[2], painted(DAYS[2]), (2,))
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


def test_a_day_that_cannot_be_read_does_not_stop_the_others(root: Path, viirs: Layer) -> None:
    store(root, viirs, DAYS[0], painted(DAYS[1])).write_text("no mosaic", "utf-8")
    more = FIRST + timedelta(days=20)
    store(root, viirs, more, painted(more))
    update = add_normal_days(root, viirs, EPSG)
    assert (update.added, list(update.failed)) == ([more], [DAYS[0]])
    assert "cannot be read" in str(update.failed[DAYS[0]])
