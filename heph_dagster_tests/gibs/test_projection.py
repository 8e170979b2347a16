"""Geographic boxes at the poles."""

from __future__ import annotations

import math

import pytest

from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.projection import projected_box


def test_a_geographic_box_stays_as_it_is() -> None:
    assert projected_box(4326, (170.0, -10.0, -170.0, 10.0)) == (170.0, -10.0, -170.0, 10.0)


@pytest.mark.parametrize(("epsg", "latitudes"), [(3413, (80.0, 90.0)), (3031, (-90.0, -80.0))])
def test_the_cap_around_a_pole_is_a_square_around_the_origin(epsg: int, latitudes: tuple[float, float]) -> None:
    left, bottom, right, top = projected_box(epsg, (-180.0, latitudes[0], 180.0, latitudes[1]))
    assert (left, bottom) == pytest.approx((-right, -top), rel=1e-4)
    # 10 degrees of latitude; the scale is true at 70 degrees, and 3 % smaller at the pole.
    assert right == pytest.approx(10 * 111_694 * 0.97, rel=0.01)


def test_greenland_lies_below_the_pole_and_to_the_left() -> None:
    # EPSG:3413 has 45 W straight down.
    left, bottom, right, top = projected_box(3413, (-60.0, 60.0, -30.0, 82.0))
    assert left == pytest.approx(-right, rel=1e-3)
    assert bottom < top < -800_000
    assert bottom == pytest.approx(-3_330_000, rel=0.01)
    window = grid(3413).window(3, (left, bottom, right, top))
    assert (window.col, window.row, window.cols, window.rows) == (6, 9, 4, 6)


def test_a_box_across_the_antimeridian_is_the_short_way_around() -> None:
    across = projected_box(3413, (170.0, 70.0, -170.0, 75.0))
    same = projected_box(3413, (-10.0, 70.0, 10.0, 75.0))
    assert [math.hypot(*across[k : k + 2]) for k in (0, 2)] == pytest.approx(
        [math.hypot(*same[k : k + 2]) for k in (2, 0)], rel=1e-6
    )


@pytest.mark.parametrize("bbox", [(0.0, 50.0, 10.0, 50.0), (0.0, 60.0, 400.0, 70.0), (0.0, math.nan, 1.0, 80.0)])
def test_boxes_that_are_none_are_named(bbox: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="should be west, south, east and north in degrees"):
        projected_box(3413, bbox)


def test_the_other_hemisphere_is_outside() -> None:
    with pytest.raises(ValueError, match="lies outside the imagery of EPSG:3413"):
        projected_box(3413, (10.0, -60.0, 12.0, -50.0))
