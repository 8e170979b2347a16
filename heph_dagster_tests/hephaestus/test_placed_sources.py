from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest
import shapely

from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.synthetic.deformation import Ellipse, Source, fitted, phase, place
from heph_dagster.hephaestus.synthetic.halfspace import Displacement
from heph_dagster.hephaestus.synthetic.orbit import line_of_sight
from heph_dagster_tests.hephaestus.synthetic import ASCENDING, DESCENDING, annotation, deformation, oval

SHAPE = (260, 300)


def inside(polygon, shape=SHAPE) -> np.ndarray:
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    return shapely.contains_xy(shapely.Polygon(polygon), x, y)


def placed(wanted, seed: int = 1, frame: str = DESCENDING) -> tuple[Source, np.ndarray]:
    sight = line_of_sight(frame)
    source = fitted(wanted, sight, np.random.default_rng(seed), sinks=False)
    return source, phase((source,), SHAPE, sight)


@pytest.mark.parametrize("frame", [ASCENDING, DESCENDING])
def test_the_satellite_is_to_the_left_of_its_right_looking_flight(frame: str) -> None:
    sight = line_of_sight(frame)
    assert sight.east**2 + sight.north**2 + sight.up**2 == pytest.approx(1)
    assert sight.up == pytest.approx(0.777, abs=1e-3)
    assert (sight.east < 0) == (frame == ASCENDING)  # ascending it is in the west, descending in the east
    heading = np.array([np.sin(np.radians(sight.heading)), np.cos(np.radians(sight.heading))])
    assert heading @ [sight.east, sight.north] == pytest.approx(0, abs=1e-12)
    assert (heading[1] > 0) == (frame == ASCENDING)


def test_ground_that_rises_comes_nearer_and_loses_phase() -> None:
    sight = line_of_sight(ASCENDING)
    up, west = (sight.towards(Displacement(*np.array(moved)[:, None]))[0] for moved in ((0, 0, 1.0), (-1.0, 0, 0)))
    assert up > 0 < west
    rising = placed(deformation(Activity.SILL))[1]
    sinking = place(annotation(deformation(Activity.SILL), phase=Phase.REBOUND), sight, np.random.default_rng(1))
    assert rising.min() < -pi < pi > rising.max()
    assert phase(sinking, SHAPE, sight).max() > pi


def test_a_frame_without_a_letter_is_no_frame() -> None:
    with pytest.raises(ValueError, match="'124X_05291_081406' is not a frame ID"):
        line_of_sight("124X_05291_081406")


@pytest.mark.parametrize("activity", list(Activity))
@pytest.mark.parametrize("where", [{}, {"along": 40, "across": 16, "direction": 0.6}], ids=["round", "long"])
@pytest.mark.parametrize("frame", [ASCENDING, DESCENDING])
def test_fringes_fill_the_outline_and_not_much_more(activity: Activity, where: dict, frame: str) -> None:
    wanted = deformation(activity, None if activity is Activity.EARTHQUAKE else Intensity.MEDIUM, **where)
    for seed in range(3):
        field = np.abs(placed(wanted, seed, frame)[1])
        outline = inside(wanted.polygon)
        seen = field >= pi  # half a fringe
        assert np.mean(seen[outline]) > 0.6
        assert np.sum(seen & ~outline) < 0.45 * outline.sum()
        far = ~inside(oval(150.4, 130.7, 3 * where.get("along", 18), 3 * where.get("along", 18)))
        assert field[far].max() < 2 * pi / 3


@pytest.mark.parametrize("activity", [Activity.MOGI, Activity.SILL, Activity.SPHEROID])
def test_one_lobe_has_the_area_and_the_middle_of_the_outline(activity: Activity) -> None:
    wanted = deformation(activity, Intensity.HIGH, along=26, across=15, direction=-0.7)
    seen = np.abs(placed(wanted)[1]) >= pi
    outline = inside(wanted.polygon)
    assert np.sum(seen & outline) / np.sum(seen | outline) > 0.75
    assert seen.sum() == pytest.approx(outline.sum(), rel=0.15)
    for found, expected in zip(np.nonzero(seen), np.nonzero(outline), strict=True):
        assert found.mean() == pytest.approx(expected.mean(), abs=0.6)


@pytest.mark.parametrize("activity", [each for each in Activity if each is not Activity.EARTHQUAKE])
def test_fringes_grow_with_the_intensity(activity: Activity) -> None:
    for seed in range(4):
        number = [np.abs(placed(deformation(activity, level), seed)[1]).max() / (2 * pi) for level in Intensity]
        assert 0.85 < number[0] < 1.4 < number[1] < 2.5 < number[2] < 4.9


def test_small_outlines_get_no_more_fringes_than_px_can_show() -> None:
    tiny = deformation(Activity.MOGI, Intensity.HIGH, along=4, across=4)
    assert placed(tiny)[0].fringes == pytest.approx(4 / 2.2, rel=0.05)


def test_an_unidentified_source_is_one_of_several() -> None:
    kinds = {placed(deformation(Activity.UNIDENTIFIED), seed)[0].activity for seed in range(20)}
    assert kinds == {Activity.MOGI, Activity.DYKE, Activity.SILL, Activity.SPHEROID}


def test_an_ellipse_has_the_axes_of_what_it_is_made_of() -> None:
    found = Ellipse.of(oval(80.25, 61.5, 30, 12, np.radians(30)))
    assert (found.x, found.y) == pytest.approx((80.25, 61.5), abs=0.01)
    assert (found.along, found.across) == pytest.approx((30, 12), rel=0.02)
    assert found.strike == pytest.approx(120, abs=0.5)  # 30 degrees clockwise from the east
    assert found.turned().strike == pytest.approx(30, abs=0.5)


def test_the_phase_of_sources_adds_up_and_is_that_of_each_px() -> None:
    sight = line_of_sight(DESCENDING)
    sources = place(
        annotation(deformation(Activity.DYKE), deformation(Activity.MOGI, x=60, y=60)), sight, np.random.default_rng(2)
    )
    both = phase(sources, SHAPE, sight)
    assert both == pytest.approx(phase(sources[:1], SHAPE, sight) + phase(sources[1:], SHAPE, sight), abs=1e-4)
    x, y = np.meshgrid(np.arange(SHAPE[1], dtype=float), np.arange(SHAPE[0], dtype=float))
    exact = sources[0].shape(x, y, sight)
    exact *= 2 * pi * sources[0].fringes / np.abs(exact).max()
    # The strongest place may lie between px: a fortieth of a fringe.
    assert np.abs(phase(sources[:1], SHAPE, sight) + exact).max() < 0.05 * pi


def test_a_source_beside_the_image_is_cut() -> None:
    sight = line_of_sight(DESCENDING)
    source, whole = placed(deformation(Activity.SILL))
    moved = phase((replace(source, x=source.x - 140, y=source.y + 120),), SHAPE, sight)
    assert moved[160:, :40] == pytest.approx(whole[40:140, 140:180], abs=0.02)
