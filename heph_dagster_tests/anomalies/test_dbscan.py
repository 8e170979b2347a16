"""Density clustering on the ground: the same as scikit-learn's DBSCAN, at any resolution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from heph_dagster.anomalies.dbscan import cluster_pixels
from heph_dagster.anomalies.sphere import EARTH_RADIUS_KM, region_areas, row_areas


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(2, 24),
    share=st.sampled_from([0.03, 0.1, 0.3, 0.7, 1.0]),
    radius_km=st.floats(100, 6000),
    least=st.floats(0.5, 12),
)
def test_the_clusters_are_those_of_scikit_learn(
    seed: int, height: int, share: float, radius_km: float, least: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((height, 2 * height)) < share).astype(np.uint8)
    mask[0, 0] = 1
    areas = row_areas(*mask.shape)
    count, labels = cluster_pixels(mask, radius_km, least * areas.mean())
    rows, cols = np.nonzero(mask)
    places = np.radians(np.stack([90 - (rows + 0.5) * 180 / height, (cols + 0.5) * 180 / height], axis=1))
    weights = areas[rows] / (least * areas.mean())
    expected = DBSCAN(eps=radius_km / EARTH_RADIUS_KM, min_samples=1, metric="haversine", algorithm="brute")
    expected.fit(places, sample_weight=weights)
    found, reference = labels[rows, cols], expected.labels_
    assert not labels[mask == 0].any()
    np.testing.assert_array_equal(found == 0, reference == -1)
    # Cores have one cluster each; a border pixel may be of any that has a core in reach.
    core = expected.core_sample_indices_
    assert len(set(zip(found[core].tolist(), reference[core].tolist(), strict=True))) == count
    assert set(found[core].tolist()) == set(range(1, count + 1))
    apart = 2 * np.arcsin(np.sqrt(np.clip(_haversine(places[:, None], places[None, core]), 0, 1))) * EARTH_RADIUS_KM
    for number, cluster in enumerate(found.tolist()):
        if cluster:
            assert apart[number][found[core] == cluster].min() <= radius_km * (1 + 1e-9)


def _haversine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    across = np.cos(a[..., 0]) * np.cos(b[..., 0]) * np.sin((a[..., 1] - b[..., 1]) / 2) ** 2
    return np.sin((a[..., 0] - b[..., 0]) / 2) ** 2 + across


def test_nothing_is_found_in_nothing() -> None:
    count, labels = cluster_pixels(np.zeros((90, 180), np.uint8), 150, 1e4)
    assert count == 0
    assert not labels.any()


def test_clusters_are_numbered_from_the_north_and_specks_are_none() -> None:
    mask = np.zeros((180, 360), np.uint8)
    mask[100:106, 200:206] = mask[40:46, 300:306] = 1
    mask[10, 10] = mask[150, 20] = 1
    count, labels = cluster_pixels(mask, 150, 30_000)
    assert count == 2
    assert (labels[40:46, 300:306] == 1).all()
    assert (labels[100:106, 200:206] == 2).all()
    assert np.count_nonzero(labels) == 72


@pytest.mark.parametrize(("row", "cols"), [(90, [358, 359, 0, 1]), (0, [0, 120, 240]), (179, [10, 100, 190, 280])])
def test_neighbours_are_those_on_the_globe(row: int, cols: list[int]) -> None:
    """Across the antimeridian, and all around a pole."""
    mask = np.zeros((180, 360), np.uint8)
    mask[row, cols] = 1
    count, labels = cluster_pixels(mask, 150, 1.5 * row_areas(180, 360)[row])
    assert count == 1
    assert (labels[row, cols] == 1).all()


def test_the_other_side_of_a_pole_is_near() -> None:
    mask = np.zeros((25, 50), np.uint8)
    mask[0, [0, 25]] = 1
    assert cluster_pixels(mask, 790, 1)[0] == 2
    assert cluster_pixels(mask, 810, 1)[0] == 1


@pytest.mark.parametrize(
    ("apex", "row", "cols", "radius_km"),
    [
        (40, 39, (97, 103), 250),
        (139, 140, (97, 103), 250),
        (40, 41, (97, 103), 250),
        (0, 1, (0, 120, 240), 230),
        (179, 178, (0, 120, 240), 230),
    ],
)
def test_what_lies_apart_is_joined_by_what_lies_between(
    apex: int, row: int, cols: tuple[int, ...], radius_km: float
) -> None:
    """Pixels of a row that only see each other by one of the next row: on either side of it, or around a pole."""
    mask = np.zeros((180, 360), np.uint8)
    mask[row, list(cols)] = 1
    assert cluster_pixels(mask, radius_km, 1)[0] == len(cols)
    mask[apex, 100] = 1
    assert cluster_pixels(mask, radius_km, 1)[0] == 1


def test_a_finer_image_has_the_same_clusters() -> None:
    """What 16km and 4km show of the same patches: areas and numbers agree."""
    rng = np.random.default_rng(5)
    fine = np.zeros((2880, 5760), np.uint8)
    for row, col in rng.integers((200, 200), (2500, 5400), (12, 2)):
        fine[row : row + 120, col : col + 160] = 1
    coarse = cv2.resize(fine, (1440, 720), interpolation=cv2.INTER_NEAREST_EXACT)
    results = [cluster_pixels(mask, 150, 10_000) for mask in (fine, coarse)]
    assert results[0][0] == results[1][0] > 3
    areas = [np.sort(region_areas(*result)[1:]) for result in results]
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.03)
