import datetime as dt
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.sun import (
    DAYLIGHT_CUTOFF_DEG,
    declination,
    eclipse_obscuration,
    eclipse_obscuration_grid,
    equation_of_time,
    may_eclipse,
    solar_zenith,
    subsolar_point,
)

# Solar eclipses of 2000-2025 of every kind, from NASA's Five Millennium Canon (greatest eclipse, UTC day).
ECLIPSES = [
    (2000, 2, 5), (2000, 7, 1), (2001, 6, 21), (2002, 6, 10), (2003, 11, 23), (2005, 4, 8), (2006, 3, 29),
    (2007, 3, 19), (2008, 8, 1), (2009, 1, 26), (2009, 7, 22), (2010, 7, 11), (2011, 1, 4), (2011, 7, 1),
    (2012, 11, 13), (2013, 11, 3), (2015, 3, 20), (2016, 9, 1), (2017, 8, 21), (2018, 2, 15), (2019, 7, 2),
    (2019, 12, 26), (2020, 6, 21), (2021, 12, 4), (2022, 10, 25), (2023, 4, 20), (2024, 4, 8), (2025, 9, 21),
]  # fmt: skip


def at(hour, minute, second=0):
    return 3600 * hour + 60 * minute + second


def grid(rows):
    step = 180 / rows
    return (np.arange(2 * rows) + 0.5) * step - 180, 90 - (np.arange(rows) + 0.5) * step


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2020, 3, 20), 0.13),
        (dt.date(2020, 6, 20), 23.44),
        (dt.date(2020, 9, 22), 0.02),
        (dt.date(2020, 12, 21), -23.44),
        (dt.date(2024, 2, 11), -14.10),
    ],
)
def test_declination(day, expected, no_network):
    assert declination(day) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("day", "minutes"),
    [(dt.date(2024, 11, 3), 16.45), (dt.date(2024, 2, 11), -14.2), (dt.date(2024, 6, 13), 0.0)],
)
def test_equation_of_time(day, minutes):
    assert equation_of_time(day) == pytest.approx(minutes, abs=0.2)


def test_subsolar_point_moves_westward_with_the_hours():
    day = dt.date(2024, 4, 8)
    noon, evening = subsolar_point(day), subsolar_point(day, at(18, 0))
    assert evening.longitude == pytest.approx(noon.longitude - 90, abs=0.02)


def test_zenith_angle_is_zero_below_the_sun():
    day = dt.date(2020, 12, 21)
    noon = 12 + subsolar_point(day).longitude / 15
    assert solar_zenith(declination(day), noon, day) == pytest.approx(0, abs=0.01)
    assert solar_zenith([-90.0, 90.0], 10.5, day) == pytest.approx([66.56, 113.44], abs=0.01)


def test_polar_night_is_at_the_winter_pole():
    latitude = np.array([85.0, 70.0, 0.0, -70.0, -85.0])
    december = solar_zenith(latitude, 10.5, dt.date(2020, 12, 21)) > DAYLIGHT_CUTOFF_DEG
    assert december.tolist() == [True, True, False, False, False]
    june = solar_zenith(latitude, 10.5, dt.date(2020, 6, 20)) > DAYLIGHT_CUTOFF_DEG
    assert june.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("day", "seconds", "lon", "lat", "expected"),
    [
        (dt.date(2024, 4, 8), at(18, 17, 15), -104.1, 25.3, 1.0),
        (dt.date(2017, 8, 21), at(18, 25, 30), -87.7, 37.0, 1.0),
        (dt.date(2023, 10, 14), at(17, 59, 30), -83.1, 11.4, 0.907),  # annular: the ratio of the discs
        (dt.date(2024, 4, 8), at(19, 25), -74.0, 40.7, 0.90),  # New York, partial
        (dt.date(2024, 4, 1), at(18, 17), -104.1, 25.3, 0.0),
        (dt.date(2024, 4, 8), at(18, 17, 15), 75.9, -25.3, 0.0),  # the other side of the Earth
    ],
)
def test_obscuration_of_known_eclipses(day, seconds, lon, lat, expected, no_network):
    assert eclipse_obscuration(day, seconds, lon, lat) == pytest.approx(expected, abs=0.01)


def test_path_of_totality_is_as_wide_as_it_was():
    """198 km wide across the path in 2024, which runs north-eastward there: some 2 degrees of latitude."""
    latitude = np.arange(22, 29, 0.05)
    total = latitude[eclipse_obscuration(dt.date(2024, 4, 8), at(18, 17, 15), -104.1, latitude) == 1]
    assert total.mean() == pytest.approx(25.3, abs=0.15)
    assert 1.5 < np.ptp(total) < 2.6


def test_eclipse_grid_is_exact_and_leaves_out_unseen_pixels():
    day, (lon, lat) = dt.date(2024, 4, 8), grid(160)
    seconds = np.full((160, 320), at(18, 17, 15), dtype=np.float32)
    seconds[:40] = np.nan
    fast = eclipse_obscuration_grid(day, seconds, lon, lat)
    assert fast == pytest.approx(eclipse_obscuration(day, seconds, lon, lat[:, None]), abs=1e-6)
    assert fast.max() > 0.98
    assert not fast[:40].any()


def test_all_of_a_window_gives_the_same_as_its_parts():
    day = dt.date(2024, 4, 8)
    alone = eclipse_obscuration(day, at(18, 17), -104.1, 24.0)
    among = eclipse_obscuration(day, [at(10, 0), at(18, 17), at(23, 0)], -104.1, 24.0)[1]
    assert alone == among


@pytest.mark.parametrize("day", [dt.date(*day) for day in ECLIPSES])
def test_quick_test_misses_no_eclipse(day):
    assert may_eclipse(day)


def test_quick_test_excludes_most_days():
    days = [dt.date(2000, 1, 1) + dt.timedelta(days=i) for i in range(9131)]
    assert sum(may_eclipse(day) for day in days) < 250


@given(st.dates(dt.date(2000, 1, 1), dt.date(2035, 12, 31)))
def test_quick_test_of_a_longer_window_is_no_stricter(day):
    assert may_eclipse(day, -86_400, 2 * 86_400) or not may_eclipse(day)


def test_nothing_seen_is_nothing_eclipsed():
    lon, lat = grid(8)
    nothing = np.full((8, 16), np.nan)
    assert not eclipse_obscuration_grid(dt.date(2024, 4, 8), nothing, lon, lat).any()
    assert not eclipse_obscuration(dt.date(2024, 4, 8), nothing, 0.0, 0.0).any()


def test_days_without_known_leap_seconds_are_fine():
    assert declination(dt.date(2045, 6, 20)) == pytest.approx(23.43, abs=0.05)


def test_import_leaves_astropy_alone():
    code = "import heph_dagster.gibs.sun, sys; sys.exit('astropy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_eclipses_need_no_network_when_the_tables_are_years_old():
    """With the clock two years ahead, which makes the tables that came with astropy too old by its own rules."""
    code = """
import datetime as dt, socket
import numpy as np
from astropy.time import Time
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
ahead = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=730)
Time.now = classmethod(lambda cls: cls(ahead))
from heph_dagster.gibs.sun import eclipse_obscuration
print(float(eclipse_obscuration(dt.date(2028, 7, 22), np.array([3 * 3600.0]), np.array([126.9]), np.array([-15.6]))[0]))
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    # Total over the Kimberley in Australia at 3 h UTC.
    assert float(printed) > 0.98
