"""The climatology of hues: exact sums of days, in one file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.climatology import ClimatologyError, HueClimatology, climatology_path
from heph_dagster.anomalies.hues import CELLS, COLOURLESS, Presence
from heph_dagster.gibs.catalogue import Layer

FIRST = date(2024, 1, 1)
NEW = date(2025, 1, 1)


@pytest.fixture
def path(tmp_path: Path, viirs: Layer) -> Path:
    return climatology_path(tmp_path, 4326, viirs)


@pytest.fixture
def climatology(path: Path, viirs: Layer) -> Iterator[HueClimatology]:
    with HueClimatology(path, viirs, 4326) as climatology:
        yield climatology


def contribution(seed: int) -> Presence:
    present = np.random.default_rng(seed).random((*CELLS, COLOURLESS + 1)) < 0.2
    present[..., COLOURLESS] = True
    return present


def sums(path: Path) -> tuple[int, bytes]:
    with sqlite3.connect(path) as file:
        days, counts = file.execute("SELECT days, presence FROM sums").fetchone()
    file.close()
    return days, counts


def test_sums_depend_on_the_days_and_not_on_how_they_came(path: Path, viirs: Layer, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with HueClimatology(path, viirs, 4326) as one, HueClimatology(other, viirs, 4326) as two:
        for number in range(4):
            one.put(FIRST + timedelta(days=number), "a", contribution(number))
        for number in (3, 9, 1, 0, 7):
            two.put(FIRST + timedelta(days=number), "a", contribution(0))
            two.put(FIRST + timedelta(days=number), "b", contribution(number))
        two.remove(FIRST + timedelta(days=9))
        two.leave_out(FIRST + timedelta(days=7), "b", "it is bad")
        two.put(FIRST + timedelta(days=2), "b", contribution(2))
        two.remove(NEW)
        assert sums(path) == sums(other)
        assert sums(path)[0] == 4
        assert one.days() == {FIRST + timedelta(days=number): "a" for number in range(4)}
        assert two.days() == {FIRST + timedelta(days=number): "b" for number in (0, 1, 2, 3, 7)}
        assert two.left_out() == {FIRST + timedelta(days=7): "it is bad"}
        for number in range(4):
            day = FIRST + timedelta(days=number)
            np.testing.assert_array_equal(one.unusual(day)[1], two.unusual(day)[1])
        for day in one.days():
            one.remove(day)
        assert one.days() == {}
    with HueClimatology(tmp_path / "empty.sqlite", viirs, 4326):
        assert sums(path) == sums(tmp_path / "empty.sqlite")
    assert sums(path)[0] == 0


def test_it_is_kept_between_openings(path: Path, viirs: Layer) -> None:
    with HueClimatology(path, viirs, 4326) as climatology:
        climatology.put(FIRST, "a", contribution(1))
        before = climatology.unusual(NEW)
    with HueClimatology(path, viirs, 4326) as climatology:
        days, unusual = climatology.unusual(NEW)
        assert (days, climatology.days()) == (1, {FIRST: "a"})
        np.testing.assert_array_equal(unusual, before[1])


def test_a_day_does_not_speak_for_itself(climatology: HueClimatology) -> None:
    for number in range(5):
        climatology.put(FIRST + timedelta(days=number), "a", contribution(number))
    without = climatology.unusual(NEW)
    climatology.put(NEW, "a", np.ones((*CELLS, COLOURLESS + 1), bool))
    days, unusual = climatology.unusual(NEW)
    assert days == 5
    np.testing.assert_array_equal(unusual, without[1])


def world(**colours: tuple[slice, slice]) -> Presence:
    """Presence of some bins in some cells; all cells have a colour."""
    present = np.zeros((*CELLS, COLOURLESS + 1), bool)
    present[..., COLOURLESS] = True
    for number, cells in colours.items():
        present[(*cells, int(number[1:]))] = True
    return present


def test_what_never_occurs_anywhere_is_unusual_everywhere(climatology: HueClimatology) -> None:
    for number in range(4):
        climatology.put(FIRST + timedelta(days=number), "a", world(b2=(slice(None), slice(None))))
    unusual = climatology.unusual(NEW)[1]
    assert not unusual[..., 2].any()
    assert unusual[..., 3].all()
    assert not unusual[..., COLOURLESS].any()
    np.testing.assert_array_equal(unusual, climatology.unheard_of(NEW)[1])


def test_what_is_common_elsewhere_becomes_unusual_as_days_go_by(climatology: HueClimatology) -> None:
    tenth = world(b2=(slice(None), slice(0, 7)))
    seen = []
    for number in range(24):
        climatology.put(FIRST + timedelta(days=number), "a", tenth)
        seen.append(bool(climatology.unusual(NEW)[1][10, 50, 2]))
    # (5 days * 7/72) / (days + 5 days) falls below 2 % with the 20th day.
    assert seen == [False] * 19 + [True] * 5
    assert not climatology.unusual(NEW)[1][10, 3, 2]
    assert not climatology.unheard_of(NEW)[1][..., 2].any()


def test_a_single_day_proves_nothing(climatology: HueClimatology) -> None:
    here = (slice(10, 12), slice(20, 23))
    for number in range(10):
        climatology.put(FIRST + timedelta(days=number), "a", world(**({"b7": here} if number < 1 else {})))
    assert climatology.unusual(NEW)[1][..., 7].all()
    climatology.put(FIRST + timedelta(days=11), "a", world(b7=here))
    unusual = climatology.unusual(NEW)[1]
    assert not unusual[(*here, 7)].any()
    assert unusual[0, 0, 7]


def test_a_file_of_another_layer_is_refused(path: Path, climatology: HueClimatology, terra: Layer) -> None:
    with pytest.raises(ClimatologyError, match=r"is of VIIRS_SNPP_.* in EPSG:4326, not of MODIS_Terra_.*; remove it"):
        HueClimatology(path, terra, 4326)


def test_a_file_of_another_version_is_refused(path: Path, climatology: HueClimatology, viirs: Layer) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 7")
    file.close()
    with pytest.raises(ClimatologyError, match="has version 7, not 2; remove it"):
        HueClimatology(path, viirs, 4326)


def test_a_file_of_something_else_is_refused(path: Path, viirs: Layer) -> None:
    path.parent.mkdir()
    path.write_text("no database, but text long enough to be looked at" * 9, "utf-8")
    with pytest.raises(
        ClimatologyError, match=r"hue_climatology\.sqlite cannot be read: file is not a database; remove"
    ):
        HueClimatology(path, viirs, 4326)


def test_a_change_that_fails_leaves_everything_as_it_was(path: Path, climatology: HueClimatology) -> None:
    climatology.put(FIRST, "a", contribution(1))
    before = sums(path)
    with pytest.raises(sqlite3.IntegrityError, match=r"days\.mosaic"):
        climatology.put(FIRST, None, contribution(2))
    assert sums(path) == before
    assert climatology.days() == {FIRST: "a"}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE sums SET days = 3", "counts 3 days and has 2"),
        ("DELETE FROM days WHERE day = '2024-01-01'", "counts 2 days and has 1"),
        ("UPDATE sums SET presence = x'00'", "cannot be read"),
        ("UPDATE sums SET days = 1; DELETE FROM days WHERE day = '2024-01-01'", "has colours on 0 to 2 of 1 days"),
    ],
)
def test_sums_that_cannot_be_those_of_the_days_are_found(
    climatology: HueClimatology, path: Path, statement: str, reason: str
) -> None:
    for number in range(2):
        climatology.put(FIRST + timedelta(days=number), "a", contribution(number))
    climatology.check()
    with sqlite3.connect(path) as file:
        file.executescript(statement)
    file.close()
    with pytest.raises(ClimatologyError, match=f"{path.name} {reason}"):
        climatology.check()
