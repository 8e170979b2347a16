from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise
from math import pi

import numpy as np
import pytest

from heph_dagster.hephaestus.annotation import Activity, Intensity
from heph_dagster.hephaestus.synthetic.atmosphere import atmosphere, orbital_ramp, turbulence
from heph_dagster.hephaestus.synthetic.coherence import TURN, phase_density, phase_noise
from heph_dagster.hephaestus.synthetic.colours import STEPS, colour_numbers, palette
from heph_dagster.hephaestus.synthetic.damage import glacier_phase
from heph_dagster.hephaestus.synthetic.deformation import phase
from heph_dagster.hephaestus.synthetic.interferogram import Interferogram, synthesize
from heph_dagster.hephaestus.synthetic.scene import LARGEST_CHANGE, image_shape, scenes, usual_shape
from heph_dagster_tests.hephaestus.synthetic import ASCENDING, DESCENDING, annotation, deformation, small_scene


def made(*deformations, scene=None, **fields) -> Interferogram:
    scene = scene or small_scene()
    return synthesize(annotation(*deformations, frame=scene.frame, **fields), scene)


def cycles(interferogram: Interferogram) -> np.ndarray:
    """The phase that the colours show, in cycles from 0 to 1; NaN without data."""
    return np.where(interferogram.numbers > 0, (interferogram.numbers - 0.5) / STEPS - 0.5, np.nan) % 1


def test_a_cycle_of_the_phase_is_a_cycle_of_colours() -> None:
    turn = np.arange(-2 * TURN, 2 * TURN, dtype=np.int32)
    numbers = colour_numbers(turn)
    assert (numbers.min(), numbers.max()) == (1, STEPS)
    assert np.array_equal(numbers[:TURN], numbers[TURN : 2 * TURN])
    assert np.sum(np.diff(numbers.astype(int)) < 0) == 4  # it wraps once a cycle, and rises elsewhere
    found, counts = np.unique(numbers[:TURN], return_counts=True)
    assert found.size == STEPS
    assert counts.max() - counts.min() <= 1


def test_colours_are_those_of_licsar() -> None:
    # pha.cpt of licsar_proc: steps of 0.025 rad.
    table = {-3.15: (49, 55, 149), -2.5: (70, 118, 180), -1.0: (193, 227, 239), 0.0: (250, 248, 191),
             1.0: (253, 193, 115), 2.5: (213, 47, 39), 3.1: (168, 3, 38)}  # fmt: skip
    assert palette()[0].tolist() == [0, 0, 0]
    for radians, colour in table.items():
        number = int(np.clip((radians + 0.0125) / (2 * pi) * STEPS + STEPS / 2, 0, STEPS - 1)) + 1
        assert np.abs(palette()[number].astype(int) - colour).max() <= 3
        assert colour_numbers(np.array([round((radians + 0.0125) / (2 * pi) * TURN)]))[0] == number


def test_colours_show_the_deformation_that_was_modelled() -> None:
    scene = small_scene()
    found = made(deformation(Activity.SILL, Intensity.HIGH), scene=scene)
    modelled = phase(found.sources, scene.shape, scene.sight) / (2 * pi)
    near = np.s_[100:160, 120:180]
    rest = np.exp(2j * pi * (cycles(found) - modelled)[near])
    # What is left of the phase is what little the atmosphere and the noise add, the same all over.
    assert abs(rest.mean()) > 0.8
    assert abs(np.exp(2j * pi * cycles(found)[near]).mean()) < 0.65


def test_there_are_no_data_around_a_leaning_swath() -> None:
    for frame, leans in ((DESCENDING, 1), (ASCENDING, -1)):
        found = made(scene=small_scene(frame))
        empty = found.numbers == 0
        assert 0.1 < empty.mean() < 0.5
        assert np.array_equal(empty, found.coherence == 0)
        assert not found.image[empty].any()
        assert found.image[~empty].any(axis=1).all()
        left = [np.nonzero(~empty[row])[0][0] for row in (60, 200)]
        assert (left[0] - left[1]) * leans > 10  # the swath of a descending orbit goes down to the left


@pytest.mark.parametrize("x", [30, 270])
def test_no_outline_is_cut_by_the_swath(x: float) -> None:
    marked = deformation(Activity.SILL, x=x, y=30, along=16, across=12)
    low, high = marked.polygon.min(axis=0), marked.polygon.max(axis=0)
    found = made(marked, scene=replace(small_scene(), bounds=(*low, *high)))
    box = np.s_[int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1]
    assert found.numbers[box].all()


@pytest.mark.parametrize("level", [5, 60, 128, 230])
def test_noise_has_the_distribution_that_the_coherence_gives(level: int) -> None:
    noise = phase_noise(np.full((400, 400), level, np.uint8), np.random.default_rng(1)) * (2 * pi / TURN)
    places = np.linspace(-pi, pi, 4001)
    density = phase_density(places, level / 255)
    assert np.sum(density) * (places[1] - places[0]) == pytest.approx(1, rel=1e-3)
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert noise.var() == pytest.approx(np.sum(places**2 * density) / density.sum(), rel=0.03)


def test_a_single_look_without_coherence_is_all_noise() -> None:
    assert phase_density(np.array([-3.0, 0.0, 2.0]), 0.0, looks=1) == pytest.approx(1 / (2 * pi))


def test_the_image_is_as_noisy_as_the_coherence_says() -> None:
    found = made(low_coherence=1)
    turn = np.exp(2j * pi * np.nan_to_num(cycles(found)))
    steady = np.abs(turn[:, :-1] + turn[:, 1:]) / 2  # 1 where neighbours agree
    level = found.coherence[:, :-1].astype(int)
    agreement = [steady[(level >= low) & (level < low + 25)].mean() for low in (1, 26, 51, 76)]
    assert agreement == sorted(agreement)
    assert agreement[-1] - agreement[0] > 0.1


def test_low_coherence_and_no_information_are_seen_in_the_coherence() -> None:
    median = [np.median(image[image > 0]) for image in
              (made(**flags).coherence for flags in ({}, {"low_coherence": 1}, {"no_info": 1}))]  # fmt: skip
    assert median[0] > 120
    assert 35 < median[1] < 95
    assert median[2] < 30
    marked = made(deformation(Activity.SILL), low_coherence=1)
    assert np.median(marked.coherence[122:140, 142:160]) >= 100  # an annotator has seen it


def test_coherence_is_lost_with_time() -> None:
    longer = made(secondary=date(2020, 8, 1)).coherence
    assert np.median(longer[longer > 0]) < np.median(made().coherence[made().coherence > 0])


def test_turbulence_has_the_spectrum_of_a_turbulent_layer() -> None:
    power = np.zeros((512, 257))
    for seed in range(6):
        field = turbulence((512, 512), np.random.default_rng(seed))
        assert (field.mean(), field.std()) == pytest.approx((0, 1), abs=1e-3)
        power += np.abs(np.fft.rfft2(field * np.outer(np.hanning(512), np.hanning(512)))) ** 2
    wavenumber = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None, :])
    for low, high, slope in ((0.01, 0.1, -8 / 3), (0.2, 0.45, -11 / 3)):
        middles = np.geomspace(low, high, 9)
        means = [power[(wavenumber >= a) & (wavenumber < b)].mean() for a, b in pairwise(middles)]
        fit = np.polyfit(np.log(np.sqrt(middles[1:] * middles[:-1])), np.log(means), 1)[0]
        assert fit == pytest.approx(slope, abs=0.25)


def test_the_atmosphere_is_as_strong_as_annotated() -> None:
    heights = small_scene().heights
    for seed in range(5):
        found = [atmosphere(level, heights, np.random.default_rng(seed)) for level in range(4)]
        follows = [abs(np.corrcoef(field.ravel(), heights.ravel())[0, 1]) for field in found]
        assert found[0].std() < 0.7
        assert 1.1 < found[2].std() <= found[3].std() * 1.5
        assert found[0].std() < found[1].std()
        assert follows[1] > 0.9
        assert follows[2] < 0.5
        assert np.ptp(found[1]) > 2 * pi


def test_orbital_fringes_are_a_ramp() -> None:
    shape = (120, 150)
    for seed in range(5):
        ramp = orbital_ramp(shape, 1, np.random.default_rng(seed))
        y, x = np.mgrid[: shape[0], : shape[1]]
        terms = np.stack((np.ones(ramp.size), x.ravel(), y.ravel(), (x * y).ravel()), axis=1)
        assert np.linalg.lstsq(terms, ramp.ravel(), rcond=None)[1] == pytest.approx(0, abs=1e-3)
        assert 2 * 2 * pi * 0.9 < np.ptp(ramp) < 6 * 2 * pi * 1.7
        assert np.ptp(orbital_ramp(shape, 0, np.random.default_rng(seed))) < pi


def test_glaciers_are_on_the_heights() -> None:
    heights = small_scene().heights
    ice = glacier_phase(heights, np.random.default_rng(1))
    assert 0.02 < np.mean(ice > 0) < 0.04
    assert heights[ice > 0].mean() > np.quantile(heights, 0.95)
    assert np.abs(np.diff(ice, axis=0)).max() < pi  # smooth enough to be seen as fringes
    assert ice.max() > 2 * 2 * pi * 0.99


def test_errors_of_the_processing_are_seen_and_hide_no_outline() -> None:
    marked = deformation(Activity.SILL)
    scene = small_scene()
    plain, bursts, swaths, corrupted, bars = (
        made(marked, scene=scene, **flags)
        for flags in ({}, {"processing_error": 2}, {"processing_error": 3}, {"corrupted": 1}, {"image_artifacts": 1})
    )
    lost = [np.sum((plain.numbers > 0) & (each.numbers == 0)) / np.sum(plain.numbers > 0)
            for each in (bursts, swaths, corrupted, bars)]  # fmt: skip
    assert 0.01 < lost[0] < 0.06
    assert 0.15 < lost[1] < 0.5
    assert 0.05 < lost[2] < 0.7
    assert lost[3] == 0
    assert np.median(corrupted.coherence[corrupted.coherence > 0]) < np.median(plain.coherence[plain.coherence > 0])
    for each in (bursts, swaths, corrupted, bars):
        assert each.numbers[117:145, 132:169].all()
    _, counts = np.unique(bars.numbers[bars.coherence == 255], return_counts=True)
    assert counts.max() > 60


def test_frames_share_their_ground_and_differ_from_each_other() -> None:
    first, second = small_scene(), small_scene("022D_05184_131313")
    assert np.array_equal(first.heights, small_scene().heights)
    assert not np.array_equal(first.heights, second.heights)
    assert not np.array_equal(first.heights, small_scene(seed=4).heights)
    summit = np.unravel_index(first.heights.argmax(), first.heights.shape)
    assert np.hypot(summit[0] - 65, summit[1] - 75) < 12  # the volcano, at half of the resolution


def test_a_frame_grows_with_its_outlines_and_has_its_volcanoes_there() -> None:
    height, width = usual_shape(DESCENDING, 1)
    edge = deformation(Activity.SILL, x=width + 40.0, y=height / 2)
    near = deformation(Activity.SILL, x=width + 42.0, y=height / 2)
    far = deformation(Activity.MOGI, x=100.0, y=90.0, along=30, across=30)
    quiet = annotation(unique_id=9, frame=ASCENDING)
    found = scenes([annotation(edge, unique_id=8), annotation(near, far, unique_id=2), quiet], 1)
    assert list(found) == [DESCENDING, ASCENDING]
    scene = found[DESCENDING]
    assert scene.shape == (height, int(np.ceil(edge.polygon[:, 0].max() + 2)) + 24)
    assert [(each.x, each.y) for each in scene.volcanoes] == [
        pytest.approx((width + 42.0, height / 2)), pytest.approx((100.0, 90.0))
    ]  # fmt: skip
    assert found[ASCENDING].shape == usual_shape(ASCENDING, 1)
    assert len(found[ASCENDING].volcanoes) == 1
    assert scenes([quiet], 1)[ASCENDING] == found[ASCENDING]


def test_a_few_interferograms_of_a_frame_have_another_size() -> None:
    scene = small_scene()
    days = [date(2016, 1, 1 + day) for day in range(30)] + [date(2017, month, 2) for month in range(1, 13)]
    pairs = [annotation(frame=scene.frame, primary=first, secondary=date(2018, 1, last))
             for first in days for last in range(1, 13)]  # fmt: skip
    shapes = [image_shape(scene, each) for each in pairs]
    others = [each for each in shapes if each != scene.shape]
    assert 0.003 < len(others) / len(shapes) < 0.05
    assert all(abs(a - b) <= LARGEST_CHANGE for shape in others for a, b in zip(shape, scene.shape, strict=True))
    odd = pairs[shapes.index(others[0])]
    found = synthesize(odd, scene)
    assert found.numbers.shape == found.coherence.shape == others[0]
    corner = deformation(Activity.MOGI, x=280.0, y=240.0, along=14, across=14)
    held = image_shape(scene, replace(odd, deformations=(corner,)))
    assert held[0] >= 254 + 24
    assert held[1] >= 294 + 24


def test_an_annotation_needs_the_scene_of_its_frame() -> None:
    with pytest.raises(ValueError, match=f"annotation 5 is of {ASCENDING}, the scene of {DESCENDING}"):
        synthesize(annotation(frame=ASCENDING), small_scene())
    outside = annotation(deformation(Activity.SILL, x=295.0), frame=DESCENDING)
    with pytest.raises(ValueError, match="annotation 5 has an outline outside of its image of 300 x 260 px"):
        synthesize(outside, small_scene())
