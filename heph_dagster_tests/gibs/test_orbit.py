import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM, SATELLITES, orbital_sun, passes, satellite_of
from heph_dagster.gibs.sun import solar_zenith
from heph_dagster.gibs.swath import coverage

DAY = dt.date(2020, 9, 27)
TERRA, AQUA, SNPP = (SATELLITES[name] for name in ("MODIS_Terra", "MODIS_Aqua", "VIIRS_SNPP"))
LEVEL = 1
ROWS = 320 * 2**LEVEL
DEG = 180 / ROWS


def row_of(latitude):
    return int((90 - latitude) / DEG)


def gaps(row):
    """Widths in px of the runs of False that do not touch the ends of a row."""
    change = np.flatnonzero(np.diff(row.astype(np.int8)))
    starts, stops = change[row[change]], change[~row[change]]
    stops = stops[stops > starts[0]] if len(starts) else stops
    return stops - starts[: len(stops)]


@pytest.fixture(scope="module")
def terra():
    return coverage(TERRA, DAY, LEVEL)


@pytest.fixture(scope="module")
def snpp():
    return coverage(SNPP, DAY, LEVEL)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("MODIS_Terra_CorrectedReflectance_TrueColor", "MODIS_Terra"),
        ("MODIS_Aqua_Data_No_Data", "MODIS_Aqua"),
        ("VIIRS_NOAA21_CorrectedReflectance_BandsM11-I2-I1", "VIIRS_NOAA21"),
    ],
)
def test_satellite_of_a_layer(layer, name):
    assert satellite_of(layer).name == name


@pytest.mark.parametrize("layer", ["GOES-East_ABI_GeoColor", "MODIS_Terrace", ""])
def test_unknown_satellite(layer):
    with pytest.raises(ValueError, match="starts with none of MODIS_Terra, MODIS_Aqua"):
        satellite_of(layer)


def test_periods():
    assert TERRA.period_s / 60 == pytest.approx(98.88, abs=0.01)
    assert SNPP.period_s / 60 == pytest.approx(101.5, abs=0.01)
    assert TERRA.spacing_deg == pytest.approx(24.72, abs=0.01)


@given(st.sampled_from(list(SATELLITES.values())), st.dates(dt.date(2000, 1, 1), dt.date(2040, 1, 1)))
def test_passes_go_on_across_days_and_repeat_after_16(satellite, day):
    today, tomorrow = passes(satellite, day), passes(satellite, day + dt.timedelta(days=1))
    at = dict(zip(today.number.tolist(), today.time_s, strict=True))
    shared = [
        (number, time) for number, time in zip(tomorrow.number.tolist(), tomorrow.time_s, strict=True) if number in at
    ]
    assert shared
    assert all(at[number] == pytest.approx(time + 86_400, abs=0.01) for number, time in shared)
    assert passes(satellite, day + dt.timedelta(days=16)).longitude == pytest.approx(today.longitude, abs=1e-6)
    assert np.diff(today.time_s) == pytest.approx(satellite.period_s)
    local_time = today.time_s / 3600 + today.longitude / 15
    assert local_time == pytest.approx(satellite.local_time)


def test_terra_flew_path_196_of_the_worldwide_reference_system():
    path = (-64.60 - passes(TERRA, DAY).longitude) / (360 / 233)
    assert path == pytest.approx(np.round(path), abs=0.02)


def test_modis_leaves_gaps_at_the_equator(terra):
    widths = gaps(terra.reached[row_of(0)]) * DEG * math.pi / 180 * EARTH_RADIUS_KM
    assert len(widths) == 14
    assert ((widths > 300) & (widths < 600)).all()


def test_modis_gaps_are_lenses(terra):
    width = [np.mean(gaps(terra.reached[row_of(lat)])) for lat in (0.1, 10, 20, 26)]
    assert width == sorted(width, reverse=True)
    northern = slice(row_of(25), row_of(0))
    assert all(13 <= len(gaps(row)) <= 15 for row in terra.reached[northern])
    assert terra.reached[: row_of(31)].all()
    assert terra.reached[row_of(-31) :].all()


def test_gaps_move_from_day_to_day(terra):
    tomorrow = coverage(TERRA, DAY + dt.timedelta(days=1), LEVEL)
    assert (tomorrow.reached[row_of(0)] != terra.reached[row_of(0)]).sum() * DEG > 50


def test_viirs_leaves_no_gap(snpp):
    assert snpp.reached.all()


@pytest.mark.parametrize("name", SATELLITES)
def test_distances_and_times_are_within_the_swath_and_the_day(name):
    satellite = SATELLITES[name]
    seen = coverage(satellite, DAY, 0)
    assert np.abs(seen.cross_km[seen.imaged]).max() <= satellite.half_swath_km
    assert (np.isnan(seen.time_s) == ~seen.imaged).all()
    assert (seen.number[~seen.imaged] == -1).all()
    lon = (np.arange(640) + 0.5) * 0.5625 - 180
    local_time = seen.time_s / 3600 + lon / 15
    tropics = slice(107, 213)
    assert np.nanmax(np.abs(local_time[tropics] - satellite.local_time)) < 1.6


def test_terra_flies_southward_and_sees_the_east_on_its_left(terra):
    column = 1280 // 2
    rows = np.flatnonzero(terra.index[:, column] == terra.index[row_of(0), column])
    assert (np.diff(terra.along_rad[rows, column]) > 0).all()
    row = row_of(0)
    columns = np.flatnonzero(terra.index[row] == terra.index[row, column])
    assert (np.diff(terra.cross_km[row, columns]) < 0).all()


def test_nadir_follows_the_ground_track():
    """Vallado's equations for the point below the satellite, turned by the Earth's rotation."""
    seen = coverage(AQUA, DAY, 2, zenith_cutoff=None)
    step = 180 / 1280
    inclination = math.radians(AQUA.inclination_deg)
    for number in (8, 12):
        for along in np.radians([-70, -40, 0.5, 30, 60]):
            lat = math.degrees(math.asin(math.sin(inclination) * math.sin(along)))
            lon = math.degrees(math.atan2(math.cos(inclination) * math.sin(along), math.cos(along)))
            lon += seen.passes.longitude[number] - along / (2 * math.pi) * AQUA.period_s / 86_400 * 360
            row, column = int((90 - lat) / step), int((lon + 180) / step)
            assert seen.index[row, column] == number
            assert abs(seen.cross_km[row, column]) < 15
            assert seen.along_rad[row, column] == pytest.approx(along, abs=0.003)


def test_sun_seen_from_the_orbit_is_the_sun_seen_from_the_ground(snpp):
    sun = orbital_sun(SNPP, DAY)
    row, column = np.nonzero(snpp.imaged)
    row, column = row[::997], column[::997]
    along, cross = snpp.along_rad[row, column], snpp.cross_km[row, column] / EARTH_RADIUS_KM
    latitude = 90 - (row + 0.5) * DEG
    local_time = snpp.time_s[row, column] / 3600 + ((column + 0.5) * DEG - 180) / 15
    expected = solar_zenith(latitude, local_time, DAY)
    assert np.degrees(np.arccos(sun.cos_zenith(along, cross))) == pytest.approx(expected, abs=0.15)
    assert expected.max() < 88.2


def test_night_is_at_the_winter_pole():
    june, december = (coverage(TERRA, dt.date(2020, *day), 0).imaged for day in ((6, 20), (12, 21)))
    assert not june[int(158 / 0.5625) :].any()
    assert june[: int(150 / 0.5625)].mean() > 0.9
    assert not december[: int(22 / 0.5625)].any()
    assert december[int(30 / 0.5625) :].mean() > 0.9


def test_strips_are_parts_of_the_whole(terra):
    strip = coverage(TERRA, DAY, LEVEL, rows=slice(64, 96))
    assert (strip.index == terra.index[64:96]).all()
    np.testing.assert_array_equal(strip.cross_km, terra.cross_km[64:96])
    np.testing.assert_array_equal(strip.reached, terra.reached[64:96])


@settings(max_examples=4, deadline=None)
@given(st.dates(dt.date(2012, 1, 1), dt.date(2030, 1, 1)))
def test_levels_agree(day):
    coarse, fine = coverage(SNPP, day, 0), coverage(SNPP, day, 1)
    imaged = fine.imaged.reshape(320, 2, 640, 2).mean(axis=(1, 3))
    assert (np.abs(coarse.imaged - imaged) > 0.75).mean() < 1e-3
    assert coarse.imaged.mean() == pytest.approx(fine.imaged.mean(), abs=4e-3)  # a row of level 0 is 1/320


@pytest.mark.parametrize(
    ("level", "rows", "message"),
    [(-1, None, "level -1 is negative"), (1, slice(2, 8), "rows 2:8 do not lie on")],
)
def test_bad_grid(level, rows, message):
    with pytest.raises(ValueError, match=message):
        coverage(TERRA, DAY, level, rows=rows)
