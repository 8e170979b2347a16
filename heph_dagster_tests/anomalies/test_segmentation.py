"""Segmentation: images whose parts are known, by both methods."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.segmentation import (
    Segmentation,
    kmeans_segmentation,
    meanshift_segmentation,
    pixel_features,
)
from heph_dagster.gibs.raster import Image

RED, GREEN, BLUE = (200, 0, 0), (0, 160, 0), (0, 0, 120)


def flags(height: int = 24, width: int = 48) -> Image:
    """A red half, a green third of the rest, and a blue corner."""
    image = np.empty((height, width, 3), np.uint8)
    image[:], image[:, width // 2 :], image[height // 3 :, width // 2 :] = RED, BLUE, GREEN
    return image


def parts(height: int = 24, width: int = 48) -> np.ndarray:
    numbers = np.zeros((height, width), np.uint8)
    numbers[:, width // 2 :] = 2
    numbers[height // 3 :, width // 2 :] = 1
    return numbers


def cluster(method: str, image: Image) -> Segmentation:
    return kmeans_segmentation(image, 3) if method == "kmeans" else meanshift_segmentation(image, 0.8)


@pytest.mark.parametrize("method", ["kmeans", "meanshift"])
def test_parts_of_one_colour_are_clusters_largest_first(method: str) -> None:
    result = cluster(method, flags())
    assert np.array_equal(result.clusters, parts())
    assert result.colours.tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert np.array_equal(result.picture, flags())
    assert result.fitted == (48, 24)
    assert [each["share"] for each in result.figures()] == pytest.approx([1 / 2, 1 / 3, 1 / 6])


@pytest.mark.parametrize(("method", "fitted"), [("kmeans", (512, 256)), ("meanshift", (128, 64))])
def test_a_large_image_is_fitted_small_and_cut_at_its_own_size(method: str, fitted: tuple[int, int]) -> None:
    result = cluster(method, flags(960, 1920))
    assert result.fitted == fitted
    assert np.array_equal(result.clusters, parts(960, 1920))


def test_features_are_those_of_gibs_ml() -> None:
    image = np.array([[[0, 10, 0], [50, 20, 0]], [[100, 40, 0], [25, 30, 0]]], np.uint8)
    expected = [[0, 0, 0, 0.25, 0], [0, 1, 0.5, 0.5, 0], [1, 0, 1, 1, 0], [1, 1, 0.25, 0.75, 0]]
    assert pixel_features(image, image.max(axis=(0, 1))).tolist() == expected


def test_kmeans_ends_where_every_pixel_is_nearest_to_the_mean_of_its_own() -> None:
    image = np.random.default_rng(4).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    result = kmeans_segmentation(image, 6, seed=2)
    features = pixel_features(image, image.max(axis=(0, 1)))
    numbers = result.clusters.ravel()
    assert np.bincount(numbers).tolist() == sorted(np.bincount(numbers), reverse=True)
    means = np.stack([features[numbers == number].mean(axis=0) for number in range(6)])
    nearest = np.linalg.norm(features[:, None] - means, axis=2).argmin(axis=1)
    assert np.array_equal(nearest, numbers)
    colours = [image.reshape(-1, 3)[numbers == number].mean(axis=0) for number in range(6)]
    assert np.array_equal(result.colours, np.round(colours))


def test_the_seed_decides() -> None:
    image = np.random.default_rng(4).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    first, again, other = (kmeans_segmentation(image, 6, seed=seed).clusters for seed in (2, 2, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_wider_kernel_gives_fewer_clusters() -> None:
    counts = [len(meanshift_segmentation(flags(), bandwidth).colours) for bandwidth in (0.3, 0.8, 3.0)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0] > 3, counts[1:]) == (True, [3, 1])


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_of_one_colour_is_cut_by_place(value: int) -> None:
    result = kmeans_segmentation(np.full((10, 40, 3), value, np.uint8), 2)
    left = result.clusters[0, 0]
    assert (result.clusters[:, :20] == left).all()
    assert (result.clusters[:, 20:] == 1 - left).all()
    assert result.colours.tolist() == [[value] * 3] * 2


def test_a_single_pixel_is_one_cluster() -> None:
    pixel = np.full((1, 1, 3), 7, np.uint8)
    for result in (kmeans_segmentation(pixel, 1), meanshift_segmentation(pixel)):
        assert (result.clusters.tolist(), result.colours.tolist()) == ([[0]], [[7, 7, 7]])


@pytest.mark.parametrize("number", [0, 257])
def test_other_numbers_of_clusters_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=rf"48 x 24 px can be cut into 1 to 256 clusters, not into {number}"):
        kmeans_segmentation(flags(), number)


def test_an_image_has_no_more_clusters_than_pixels() -> None:
    with pytest.raises(ValueError, match="3 x 2 px can be cut into 1 to 6 clusters, not into 7"):
        kmeans_segmentation(flags(2, 3), 7)


@pytest.mark.parametrize("bandwidth", [0, -1, float("nan"), float("inf")])
def test_a_bandwidth_is_positive(bandwidth: float) -> None:
    with pytest.raises(ValueError, match="the bandwidth of mean shift is positive and finite, not"):
        meanshift_segmentation(flags(), bandwidth)


def test_too_small_a_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bandwidth of 0.01 gives 1152 clusters, more than 256: use a greater one"):
        meanshift_segmentation(flags(), 0.01)


def test_only_rgb_is_segmented() -> None:
    with pytest.raises(ValueError, match=r"RGB images of height x width x 3 are segmented, not \(4, 4\)"):
        meanshift_segmentation(np.zeros((4, 4), np.uint8))
