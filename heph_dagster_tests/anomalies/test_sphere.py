"""Regions measured on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.sphere import (
    EARTH_AREA_KM2,
    label_regions,
    measure_regions,
    region_areas,
    row_areas,
)

DEGREE_KM = 111.1949


def box(height: int, west: float, south: float, east: float, north: float) -> np.ndarray:
    """A mask of a box in degrees; it crosses the antimeridian where west is greater than east."""
    width = 2 * height
    lon = -180 + (np.arange(width) + 0.5) * 360 / width
    lat = 90 - (np.arange(height) + 0.5) * 180 / height
    across = (lon > west) & (lon < east) if west < east else (lon > west) | (lon < east)
    return (across & ((lat > south) & (lat < north))[:, None]).astype(np.uint8)


@pytest.mark.parametrize("height", [180, 360, 1280])
def test_all_pixels_together_are_the_earth(height: int) -> None:
    assert row_areas(height, 2 * height).sum() * 2 * height == pytest.approx(EARTH_AREA_KM2, rel=1e-12)


@pytest.mark.parametrize("height", [180, 720])
@pytest.mark.parametrize(
    "bounds", [(10, -20, 30, 20), (170, -10, -160, 10), (-180, 60, -170, 90), (100, -90, 180, -80)]
)
def test_a_box_measures_the_same_at_every_resolution(height: int, bounds: tuple[float, float, float, float]) -> None:
    west, south, east, north = bounds
    mask = box(height, *bounds)
    count, labels = label_regions(mask)
    assert count == 1
    region = measure_regions(labels, [1])[0]
    width = (east - west) % 360
    area = EARTH_AREA_KM2 * width / 720 * (np.sin(np.radians(north)) - np.sin(np.radians(south)))
    assert region.area_km2 == pytest.approx(area, rel=1e-9)
    assert region_areas(count, labels)[1] == pytest.approx(area, rel=1e-9)
    assert region.bbox == bounds
    assert region.longitude == pytest.approx((west + width / 2 + 180) % 360 - 180)
    assert south < region.latitude < north


def test_extents_are_great_circles() -> None:
    def extent(*bounds: float) -> float:
        return measure_regions(label_regions(box(180, *bounds))[1], [1])[0].extent_km

    assert extent(0, 0, 10, 1) == pytest.approx(np.hypot(10, 1) * DEGREE_KM, rel=1e-3)
    assert extent(175, 0, -175, 1) == pytest.approx(np.hypot(10, 1) * DEGREE_KM, rel=1e-3)
    assert extent(0, 80, 10, 81) == pytest.approx(218, rel=0.02)


def test_regions_are_joined_across_the_antimeridian_only() -> None:
    mask = box(90, 170, 0, -170, 10) | box(90, 170, 20, 180, 30) | box(90, -180, 40, -170, 50) | box(90, 0, 0, 4, 4)
    count, labels = label_regions(mask)
    assert count == 4
    assert labels[42, 0] == labels[42, -1] > 0
    assert len(np.unique(labels)) == 5


def test_corners_do_not_join() -> None:
    assert label_regions(np.eye(4, 8, dtype=np.uint8))[0] == 4


def test_no_regions() -> None:
    count, labels = label_regions(np.zeros((10, 20), np.uint8))
    assert count == 0
    assert region_areas(count, labels) == pytest.approx([EARTH_AREA_KM2])


def test_a_belt_around_the_earth() -> None:
    region = measure_regions(label_regions(box(180, -181, -5, 181, 5))[1], [1])[0]
    assert region.bbox == (-180, -5, 180, 5)
    assert region.extent_km == pytest.approx(180 * DEGREE_KM, rel=0.01)
