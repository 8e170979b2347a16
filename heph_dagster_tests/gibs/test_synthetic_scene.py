import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM
from heph_dagster.gibs.synthetic import (
    DEALT,
    DIMMEST_VALID,
    POLAR_NIGHT,
    SWATH_GAP,
    Anomaly,
    Kind,
    SyntheticDay,
    render_day,
    schedule,
)
from heph_dagster.gibs.synthetic.anomalies import WARPED
from heph_dagster.gibs.synthetic.canvas import BASE_SHAPE, Strip, land, spectral_noise, strips
from heph_dagster.gibs.synthetic.measure import measure

TERRA = "MODIS_Terra_CorrectedReflectance_TrueColor"
SNPP = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
DAY = dt.date(2020, 9, 27)
SOLSTICE = dt.date(2020, 12, 21)
MISSING = [kind for kind in DEALT if kind.is_missing]
MISCOLOURED = [kind for kind in DEALT if kind.colour]


def digest(day: SyntheticDay) -> str:
    parts = hashlib.sha256(json.dumps([anomaly.to_dict() for anomaly in day.anomalies]).encode())
    for array in (day.image, day.expected_data, day.truth):
        parts.update(array.tobytes())
    return parts.hexdigest()


def black(image):
    return ~image.any(axis=-1)


def area(mask):
    edges = np.sin(np.radians(np.linspace(90, -90, len(mask) + 1)))
    return EARTH_RADIUS_KM**2 * 2 * math.pi / mask.shape[1] * float(mask.sum(axis=1) @ -np.diff(edges))


def haversine(a, b):
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a), np.radians(b)
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(h))


@pytest.fixture(scope="module")
def clean():
    return {layer: render_day(layer, SOLSTICE, seed=3, level=0, kinds=()) for layer in (TERRA, SNPP)}


@pytest.fixture(scope="module", params=[TERRA, SNPP])
def broken(request):
    """A day with every kind at once, at level 1."""
    return render_day(request.param, SOLSTICE, seed=3, level=1, kinds=DEALT)


def test_arrays(clean):
    for day in clean.values():
        assert day.image.shape == (320, 640, 3)
        assert (day.image.dtype, day.truth.dtype, day.expected_data.dtype) == (np.uint8, np.uint8, bool)
        assert day.anomalies == ()


def test_black_is_what_is_not_expected(clean):
    for day in clean.values():
        np.testing.assert_array_equal(black(day.image), ~day.expected_data)
        np.testing.assert_array_equal(day.truth != 0, ~day.expected_data)
        assert day.image[day.expected_data].max(axis=-1).min() >= DIMMEST_VALID


def test_expected_gaps_and_night(clean):
    assert (clean[TERRA].truth == SWATH_GAP).sum() > 500
    assert not (clean[SNPP].truth == SWATH_GAP).any()
    for day in clean.values():
        night = np.flatnonzero((day.truth == POLAR_NIGHT).any(axis=1))
        assert night[0] == 0
        assert 90 - 0.5625 * night[-1] == pytest.approx(65, abs=4)


def test_night_is_at_the_south_pole_in_june():
    truth = render_day(TERRA, dt.date(2020, 6, 20), seed=0, level=0, kinds=()).truth
    assert (truth[-1] == POLAR_NIGHT).all()
    assert not (truth[:160] == POLAR_NIGHT).any()


def test_earth_is_recognisable(clean):
    """Sahara, open ocean and Greenland, by the median of many days' clouds: here the darkest of three."""
    images = [clean[TERRA].image, *(render_day(TERRA, DAY, seed=s, level=0, kinds=()).image for s in (1, 2))]

    def colour(lon, lat):
        row, column = int((90 - lat) / 0.5625), int((lon + 180) / 0.5625)
        spots = [image[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3) for image in images]
        return np.median(np.concatenate([spot[spot.any(axis=1)] for spot in spots]), axis=0)

    red, green, blue = colour(12, 24)
    assert red > green > blue > 80
    assert colour(120, -78).min() > 180
    ocean = colour(-30, 25)
    assert ocean[2] == ocean.max()


@pytest.mark.parametrize(
    ("lon", "lat", "is_land"), [(10, 25, True), (-55, -5, True), (-30, 0, False), (100, -80, True)]
)
def test_land(lon, lat, is_land):
    assert land(0)[int((90 - lat) / 0.5625), int((lon + 180) / 0.5625)] == is_land


def test_false_colour_is_another_picture_of_the_same_day(clean):
    for bands, strongest in (("Bands721", 2), ("Bands367", 0)):
        day = render_day(f"MODIS_Terra_CorrectedReflectance_{bands}", SOLSTICE, seed=3, level=0, kinds=())
        np.testing.assert_array_equal(day.truth, clean[TERRA].truth)
        antarctica = np.median(day.image[295:315].reshape(-1, 3), axis=0)
        assert antarctica.argmax() == strongest
        assert np.ptp(antarctica) > 100


@pytest.mark.slow
def test_same_seed_same_bytes(clean):
    again = render_day(TERRA, SOLSTICE, seed=3, level=0, kinds=())
    assert digest(again) == digest(clean[TERRA])
    code = (
        "import datetime as dt; from heph_dagster.gibs.synthetic import render_day;"
        "from heph_dagster_tests.gibs.test_synthetic_scene import digest;"
        f"render_day('{SNPP}', dt.date(2021, 1, 1), seed=9, level=0);"
        f"print(digest(render_day('{TERRA}', dt.date(2020, 12, 21), seed=3, level=0, kinds=())))"
    )
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert other.stdout.strip() == digest(clean[TERRA])


def test_seeds_and_days_differ(clean):
    for seed, day in ((4, SOLSTICE), (3, SOLSTICE + dt.timedelta(days=16))):
        other = render_day(TERRA, day, seed=seed, level=0, kinds=())
        assert (other.image != clean[TERRA].image).any(axis=-1).mean() > 0.5


def test_every_kind_is_there_once(broken):
    assert [anomaly.kind for anomaly in broken.anomalies] == list(DEALT)
    assert [anomaly.id for anomaly in broken.anomalies] == list(range(1, len(DEALT) + 1))
    assert set(np.unique(broken.truth)) - {SWATH_GAP} == {0, POLAR_NIGHT, *range(1, len(DEALT) + 1)}
    assert [anomaly.code for anomaly in broken.anomalies] == [2] * 5 + [3] * 4 + [4]


def test_missing_pixels_are_black_and_were_expected(broken):
    missing = np.isin(broken.truth, [a.id for a in broken.anomalies if a.kind.is_missing])
    np.testing.assert_array_equal(black(broken.image), missing | ~broken.expected_data)
    assert broken.expected_data[missing].all()


def test_miscoloured_pixels_are_saturated(broken):
    for anomaly in broken.anomalies:
        if anomaly.kind.colour is None:
            continue
        pixels = broken.image[broken.truth == anomaly.id].astype(int)
        assert np.ptp(pixels, axis=1).min() >= 230
        on = np.array(anomaly.kind.colour) > 0
        hue = ((pixels >= 230) == on).all(axis=1) & (pixels[:, ~on] == 0).all(axis=1)
        assert hue.mean() > (0.85 if anomaly.kind is Kind.MAGENTA else 0.999)


def test_nothing_outside_the_truth_is_touched(broken):
    whole = render_day(broken.layer, SOLSTICE, seed=3, level=1, kinds=())
    anomalous = (broken.truth > 0) & (broken.truth < SWATH_GAP)
    np.testing.assert_array_equal(broken.image[~anomalous], whole.image[~anomalous])
    np.testing.assert_array_equal(broken.expected_data, whole.expected_data)
    changed = (broken.image != whole.image).any(axis=-1)
    assert changed[anomalous].mean() > 0.95


def test_records_fit_the_masks(broken):
    for anomaly in broken.anomalies:
        mask = broken.truth == anomaly.id
        assert anomaly.area_km2 == pytest.approx(area(mask), abs=1)
        west, south, east, north = anomaly.bbox
        assert -180 <= west < 180
        assert -180 < east <= 180
        rows = np.flatnonzero(mask.any(axis=1))
        assert (north, south) == (90 - rows[0] * 0.28125, 90 - (rows[-1] + 1) * 0.28125)
        lon = (np.flatnonzero(mask.any(axis=0)) + 0.5) * 0.28125 - 180
        assert all(west < x < east if west < east else x > west or x < east for x in lon)
        assert 0 < anomaly.extent_km <= math.pi * EARTH_RADIUS_KM
        assert anomaly.area_km2 <= math.pi / 4 * anomaly.extent_km**2 * 1.3
        assert json.loads(json.dumps(anomaly.to_dict()))["kind"] == anomaly.kind.value


def test_where_anomalies_lie(broken):
    by_kind = {anomaly.kind: anomaly for anomaly in broken.anomalies}
    assert "polar_night" in by_kind[Kind.MISSING_AT_POLAR_NIGHT].touches
    assert "polar_night" not in by_kind[Kind.MISSING_GRANULE].touches
    across = by_kind[Kind.MISSING_AT_ANTIMERIDIAN]
    assert "antimeridian" in across.touches
    assert across.bbox[0] > across.bbox[2]
    mask = broken.truth == across.id
    assert mask[:, 0].any()
    assert mask[:, -1].any()
    assert by_kind[Kind.EDGE_WARP].touches[-1] == "antimeridian"
    assert by_kind[Kind.MISSING_ORBIT].extent_km > 10_000
    assert by_kind[Kind.SMALL_HOLE].area_km2 < 1.2e6


@pytest.mark.parametrize("broken", [TERRA], indirect=True)  # one layer is enough
def test_levels_agree(broken):
    fine = render_day(broken.layer, SOLSTICE, seed=3, level=2, kinds=DEALT)
    for coarse, precise in zip(broken.anomalies, fine.anomalies, strict=True):
        assert coarse.kind == precise.kind
        assert coarse.area_km2 == pytest.approx(precise.area_km2, rel=0.05)
        assert coarse.extent_km == pytest.approx(precise.extent_km, rel=0.05, abs=80)
    shrunk = fine.image.reshape(640, 2, 1280, 2, 3).mean(axis=(1, 3))
    both = (broken.truth == 0) & (fine.truth[::2, ::2] == 0)
    assert np.corrcoef(shrunk[both].ravel(), broken.image[both].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("kind", [Kind.SMALL_HOLE, Kind.GREEN, Kind.MISSING_GRANULE])
def test_one_kind_alone(kind):
    day = render_day(TERRA, DAY, seed=11, level=0, kinds=[kind])
    assert [anomaly.kind for anomaly in day.anomalies] == [kind]


@pytest.mark.parametrize("layer", [TERRA, SNPP])
@pytest.mark.parametrize("kind", WARPED)
def test_warped_edges(layer, kind):
    """Only the warped pixels change, and they show what lies further inside along their row."""
    day = render_day(layer, DAY, seed=11, level=1, kinds=[kind])
    whole = render_day(layer, DAY, seed=11, level=1, kinds=())
    (warp,) = day.anomalies
    assert (warp.kind, warp.code) == (kind, 4)
    assert ("antimeridian" in warp.touches) == (kind in {Kind.EDGE_WARP, Kind.EDGE_COPY})
    warped = day.truth == 1
    np.testing.assert_array_equal(day.image[~warped], whole.image[~warped])
    assert (day.image != whole.image).any(axis=-1)[warped].mean() > 0.5
    if kind in {Kind.EDGE_COPY, Kind.SWATH_COPY}:
        errors = [
            np.abs(np.roll(whole.image, -lag, axis=1)[warped].astype(int) - day.image[warped]).mean()
            for lag in range(-25, 26)
        ]
        lag = abs(int(np.argmin(errors)) - 25) * 0.28125
        assert 2.3 < lag < 6.2
        assert min(errors) < 0.4 * errors[25]
        # The strip is as wide as it is displaced: it shows its neighbour.
        assert np.median(warped.sum(axis=1)[warped.any(axis=1)]) * 0.28125 == pytest.approx(lag, abs=0.6)


def test_borders_that_nobody_asks_for_are_not_dealt():
    assert set(WARPED) & set(DEALT) == {Kind.EDGE_WARP}


def test_eclipse_comes_by_itself():
    day = render_day(SNPP, dt.date(2020, 6, 21), seed=1, level=0, kinds=())
    whole = render_day(SNPP, dt.date(2020, 6, 19), seed=1, level=0, kinds=())
    (eclipse,) = day.anomalies
    assert (eclipse.kind, eclipse.code, eclipse.id) == (Kind.ECLIPSE, 5, 1)
    shadow = day.truth == 1
    core = shadow & black(day.image)
    assert core.any()
    assert day.image[shadow & ~core].max(axis=-1).min() >= DIMMEST_VALID
    assert day.image[shadow].mean() < 0.7 * whole.image[whole.truth == 0].mean()


def test_partial_eclipse_has_no_black():
    (eclipse,) = render_day(TERRA, dt.date(2024, 4, 8), seed=1, level=0, kinds=()).anomalies
    assert eclipse.code == 6
    assert eclipse.area_km2 > 1e6


@given(st.integers(0, 2**32), st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)), st.sampled_from([TERRA, SNPP]))
def test_any_month_has_eight_anomalous_days_and_all_kinds(seed, first, layer):
    dealt = [schedule(layer, first + dt.timedelta(days=i), seed=seed) for i in range(30)]
    assert sum(bool(kinds) for kinds in dealt) >= 8
    assert max(len(kinds) for kinds in dealt) == 2
    assert {kind for kinds in dealt for kind in kinds} == set(DEALT)
    assert all(len(set(kinds)) == len(kinds) for kinds in dealt)


@pytest.mark.parametrize(
    ("anomalous", "counts"), [(1, [1]), (4, [1, 1, 2, 2]), (7, [1] * 4 + [2] * 3), (10, [1, 2] * 5)]
)
def test_so_many_days_of_ten_carry_anomalies(anomalous, counts):
    first = dt.date.fromordinal(DAY.toordinal() // 10 * 10)
    for block in range(5):
        days = [first + dt.timedelta(days=10 * block + i) for i in range(10)]
        dealt = [len(schedule(SNPP, day, seed=3, anomalous=anomalous)) for day in days]
        assert sorted(number for number in dealt if number) == sorted(counts)


@pytest.mark.parametrize("anomalous", [0, 11])
def test_no_block_has_fewer_than_one_or_more_than_ten_anomalous_days(anomalous):
    with pytest.raises(ValueError, match=f"{anomalous} anomalous days are not within 1 to 10"):
        schedule(SNPP, DAY, seed=3, anomalous=anomalous)


def test_schedule_differs_by_layer_and_seed():
    days = [DAY + dt.timedelta(days=i) for i in range(60)]
    decks = {tuple(schedule(layer, day, seed=seed) for day in days) for layer in (TERRA, SNPP) for seed in (0, 1)}
    assert len(decks) == 4


def test_day_carries_what_it_is_dealt():
    day = next(d for i in range(10) if len(schedule(TERRA, d := DAY + dt.timedelta(days=i), seed=5)) == 2)
    scene = render_day(TERRA, day, seed=5, level=0)
    assert tuple(anomaly.kind for anomaly in scene.anomalies) == schedule(TERRA, day, seed=5)
    many = render_day(TERRA, day, seed=5, level=0, anomalous=9)
    assert tuple(anomaly.kind for anomaly in many.anomalies) == schedule(TERRA, day, seed=5, anomalous=9)


def test_measure_of_a_known_box():
    truth = np.zeros((640, 1280), np.uint8)
    truth[320:356, [*range(1262, 1280), *range(36)]] = 7
    truth[356, 5] = POLAR_NIGHT
    record = measure(truth, 7, Kind.SMALL_HOLE, 2)
    assert record.bbox == (174.9375, -10.125, -169.875, 0.0)
    assert record.area_km2 == pytest.approx(
        EARTH_RADIUS_KM**2 * math.radians(54 * 0.28125) * math.sin(math.radians(10.125)), abs=1
    )
    assert record.touches == ("polar_night", "antimeridian")
    diagonal = haversine((-0.14, -9.98), (14.76, -0.14))
    assert record.extent_km == pytest.approx(diagonal, rel=0.01)


def test_measure_of_a_single_pixel():
    truth = np.zeros((320, 640), np.uint8)
    truth[100, 200] = 1
    assert measure(truth, 1, Kind.RED, 3) == Anomaly(1, Kind.RED, 3, 3263.0, 0.0, (-67.5, 33.1875, -66.9375, 33.75), ())


@pytest.mark.parametrize("level", range(5))
def test_strips_make_up_the_world(level):
    parts = list(strips(level))
    assert parts[0].rows.start == 0
    assert parts[-1].rows.stop == 320 * 2**level
    assert all(a.rows.stop == b.rows.start for a, b in itertools.pairwise(parts))
    assert all(part.shape[0] * part.shape[1] < 1_500_000 for part in parts)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_sampling_in_strips_is_sampling_the_whole(level):
    field = spectral_noise(np.random.default_rng(0), BASE_SHAPE, slope=1.5, lowest=10)
    whole = Strip(level).sample(field)
    parts = np.concatenate([strip.sample(field) for strip in strips(level)])
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_noise_is_normalised_and_band_limited():
    noise = spectral_noise(np.random.default_rng(0), (64, 128), slope=1, lowest=4, highest=16)
    assert noise.mean() == pytest.approx(0, abs=1e-5)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(noise, axis=1))
    assert spectrum[:, 17:].max() < 1e-3 * spectrum.max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "GOES-East_ABI_GeoColor"}, "no orbit is known"),
        ({"level": -1}, "level -1 is not within 0 to 8"),
        ({"level": 9}, "level 9 is not within 0 to 8"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"seed": -1, "kinds": ()}, "seed -1 is negative"),
        ({"kinds": [Kind.ECLIPSE]}, "an eclipse cannot be planned"),
        ({"kinds": [Kind.MISSING_ORBIT] * 40}, "no room for missing_orbit"),
    ],
)
def test_bad_arguments(changes, message):
    arguments = {"layer": TERRA, "day": DAY, "seed": 0, "level": 0, "kinds": None} | changes
    with pytest.raises(ValueError, match=message):
        render_day(**arguments)


def test_records_are_frozen(broken):
    with pytest.raises(dataclasses.FrozenInstanceError):
        broken.anomalies[0].id = 5
