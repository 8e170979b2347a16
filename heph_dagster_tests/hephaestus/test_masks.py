from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.hephaestus.annotation import Activity, Deformation
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.masks import class_mask, footprint
from heph_dagster_tests.conftest import REAL_DATA

WIDTH, HEIGHT = 60, 40
coordinates = st.floats(-20, 80, allow_nan=False)
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9).map(np.array)


@given(polygons)
def test_a_footprint_is_what_opencv_fills(polygon: np.ndarray) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(expected, [np.trunc(polygon).astype(np.int32)], 1)
    place = footprint(polygon, WIDTH, HEIGHT)
    np.testing.assert_array_equal(place.within(0, 0, WIDTH, HEIGHT), expected)
    assert place.area == expected.sum()
    if place.area:
        assert place.inside[[0, -1]].any(axis=1).all()
        assert place.inside[:, [0, -1]].any(axis=0).all()


def test_vertices_are_cut_to_whole_pixels_and_the_outline_counts() -> None:
    place = footprint(np.array([[2.9, 3.9], [5.1, 3.2], [5.9, 6.8], [2.0, 6.0]]), WIDTH, HEIGHT)
    assert (place.x, place.y, place.width, place.height, place.area, place.cut) == (2, 3, 4, 4, 16, False)


def test_a_polygon_outside_covers_nothing() -> None:
    place = footprint(np.array([[70.0, 1.0], [90.0, 1.0], [80.0, 9.0]]), WIDTH, HEIGHT)
    assert (place.area, place.cut) == (0, True)
    assert not place.within(0, 0, WIDTH, HEIGHT).any()


def square(activity: Activity, low: int, high: int) -> Deformation:
    return Deformation(activity, None, np.array([[low, low], [high, low], [high, high], [low, high]], float))


def test_smaller_deformations_are_painted_over_larger_ones_in_any_order() -> None:
    mogi, dyke = square(Activity.MOGI, 2, 21), square(Activity.DYKE, 10, 14)
    for deformations in ([mogi, dyke], [dyke, mogi]):
        places = [footprint(each.polygon, WIDTH, HEIGHT) for each in deformations]
        mask = class_mask(deformations, places, 0, 0, WIDTH, HEIGHT)
        assert np.bincount(mask.ravel()).tolist() == [WIDTH * HEIGHT - 400, 400 - 25, 25]
        assert (mask[10:15, 10:15] == Activity.DYKE).all()


@given(st.lists(st.tuples(st.sampled_from(Activity), polygons), min_size=1, max_size=5))
def test_no_pixel_has_a_class_that_was_not_annotated_there(drawn: list[tuple[Activity, np.ndarray]]) -> None:
    deformations = [Deformation(activity, None, polygon) for activity, polygon in drawn]
    places = [footprint(each.polygon, WIDTH, HEIGHT) for each in deformations]
    mask = class_mask(deformations, places, 0, 0, WIDTH, HEIGHT)
    covered = {activity: np.zeros((HEIGHT, WIDTH), bool) for activity in Activity}
    for each, place in zip(deformations, places, strict=True):
        covered[each.activity] |= place.within(0, 0, WIDTH, HEIGHT)
    for activity, there in covered.items():
        assert there[mask == activity].all()
    np.testing.assert_array_equal(mask > 0, np.any(list(covered.values()), axis=0))


@given(st.lists(polygons, min_size=1, max_size=3), st.integers(-30, 70), st.integers(-30, 50), st.integers(1, 60))
def test_a_window_of_a_mask_is_a_part_of_it(drawn: list[np.ndarray], x: int, y: int, size: int) -> None:
    deformations = [Deformation(Activity(1 + index), None, polygon) for index, polygon in enumerate(drawn)]
    places = [footprint(each.polygon, WIDTH, HEIGHT) for each in deformations]
    padded = np.pad(class_mask(deformations, places, 0, 0, WIDTH, HEIGHT), 100)
    window = class_mask(deformations, places, x, y, size, size)
    np.testing.assert_array_equal(window, padded[100 + y : 100 + y + size, 100 + x : 100 + x + size])


def test_masks_of_real_annotations_are_the_predecessors() -> None:
    golden = REAL_DATA / "golden" / "hephaestus_masks.npz"
    if not golden.exists():
        pytest.skip(f"{golden} is not there")
    annotations = {
        e.unique_id: e for e in read_annotations(REAL_DATA / "hephaestus" / "annotations.tar.gz").annotations
    }
    with np.load(golden) as masks:
        assert len(masks.files) == 24
        for name in masks.files:
            expected = masks[name]
            deformations = annotations[int(name.removeprefix("masks_"))].deformations
            assert len(deformations) == len(expected)
            for each, mask in zip(deformations, expected, strict=True):
                height, width = mask.shape
                covered = footprint(each.polygon, width, height).within(0, 0, width, height)
                np.testing.assert_array_equal(covered * np.uint8(each.activity), mask)
