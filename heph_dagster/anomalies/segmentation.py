"""Segmentation of an image: groups of pixels that are near each other in place and colour.

gibs-ml's `kmeans_segmentation` and `meanshift_segmentation` by scikit-learn, on the same features. There neither has
defaults, k-means stops after one step, and mean shift draws its starts at random and fails in Python 3. Here mean shift
starts from a grid as wide as the bandwidth, and of modes within a bandwidth (there: half of one) that with the most
pixels counts.

Sources: S. Lloyd, Least squares quantization in PCM (1982); D. Comaniciu and P. Meer, Mean shift: a robust approach
toward feature space analysis (2002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.files import replacing
from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.class_raster import write_class_raster
from heph_dagster.gibs.raster import Image

MOST_CLUSTERS = 256
NUM_CLUSTERS = 8
BANDWIDTH = 0.3
KMEANS_PIXELS = 512 * 256
MEANSHIFT_PIXELS = 128 * 64
"""Centres of larger images are looked for in an average of this many pixels; then every pixel goes to the nearest."""
_BLOCK_ROWS = 64

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Segmentation:
    """An image in clusters.

    Attributes:
        clusters: Height x width, the cluster of each pixel, 0 to N - 1, largest first.
        colours: N x 3, the mean colour of each (RGB).
        fitted: Width and height in px of the image in which the centres were looked for.
    """

    clusters: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    fitted: tuple[int, int]

    @property
    def picture(self) -> Image:
        """Height x width x 3 (RGB): each pixel with the mean colour of its cluster."""
        return self.colours[self.clusters]

    def figures(self) -> list[dict[str, Any]]:
        """Share of the pixels and mean colour of each cluster."""
        shares = np.bincount(self.clusters.ravel(), minlength=len(self.colours)) / self.clusters.size
        return [
            {"share": share, "colour": colour}
            for share, colour in zip(shares.tolist(), self.colours.tolist(), strict=True)
        ]


def kmeans_segmentation(image: Image, num_clusters: int = NUM_CLUSTERS, seed: int = 0) -> Segmentation:
    """Segment an image by k-means.

    Args:
        image: Height x width x 3, RGB.
        num_clusters: Number of clusters, 1 to 256.
        seed: Of the first centres (k-means++): the same seed gives the same clusters.

    Raises:
        ValueError: The image is not RGB, or it cannot be cut into so many clusters.
    """
    height, width = _check_rgb(image)
    if not 1 <= num_clusters <= min(MOST_CLUSTERS, height * width):
        raise ValueError(
            f"an image of {width} x {height} px can be cut into 1 to {min(MOST_CLUSTERS, height * width)} clusters, "
            f"not into {num_clusters}"
        )

    def centres(features: Features) -> Features:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits  # scikit-learn's own

        with threadpool_limits(1):  # sums over threads are rounded in the order in which these end
            fitted = KMeans(num_clusters, n_init=1, max_iter=1000, tol=0, random_state=seed).fit(features)
        return fitted.cluster_centers_

    return _segment(image, KMEANS_PIXELS, centres)


def meanshift_segmentation(image: Image, bandwidth: float = BANDWIDTH) -> Segmentation:
    """Segment an image by mean shift with a flat kernel; the number of clusters follows from the bandwidth.

    Args:
        image: Height x width x 3, RGB.
        bandwidth: Radius of the kernel in the space of `pixel_features`, where each feature goes from 0 to 1.

    Raises:
        ValueError: The image is not RGB, the bandwidth is not positive and finite, or it gives more than 256 clusters.
    """
    _check_rgb(image)
    if not 0 < bandwidth < np.inf:
        raise ValueError(f"the bandwidth of mean shift is positive and finite, not {bandwidth}")

    def centres(features: Features) -> Features:
        from sklearn.cluster import MeanShift

        starts = np.unique(np.round(features / bandwidth), axis=0) * bandwidth
        found: Features = MeanShift(bandwidth=bandwidth, seeds=starts).fit(features).cluster_centers_
        if len(found) > MOST_CLUSTERS:
            raise ValueError(
                f"a bandwidth of {bandwidth} gives {len(found)} clusters, more than {MOST_CLUSTERS}: use a greater one"
            )
        return found

    return _segment(image, MEANSHIFT_PIXELS, centres)


def write_segmentation(path: Path, segmentation: Segmentation, like: Path) -> Path:
    """Write a segmentation: its picture, and its numbers beside it.

    Args:
        path: The `.png` to write.
        segmentation: What to write.
        like: The image that it is of, which lends extent and projection.

    Returns:
        The numbers: a GeoTIFF of that name, whose palette has the clusters' colours.
    """
    labels = path.with_suffix(".tif")
    with replacing(labels) as part:
        palette = {number: (*colour, 255) for number, colour in enumerate(segmentation.colours.tolist())}
        write_class_raster(part, segmentation.clusters, palette, like)
    with replacing(path) as part:
        part.write_bytes(encode(segmentation.picture, "png"))
    return labels


def pixel_features(image: Image, top: NDArray[np.uint8], rows: slice = slice(None)) -> Features:
    """What pixels are compared by, as in gibs-ml: row, column, red, green and blue, each divided by its greatest value.

    Args:
        image: Height x width x 3, RGB.
        top: Greatest values of red, green and blue.
        rows: Rows of the pixels.

    Returns:
        Pixels x 5, row by row; a value whose greatest one is 0 is 0.
    """
    height, width = image.shape[:2]
    row, col = np.meshgrid(np.arange(height)[rows], np.arange(width), indexing="ij")
    values = np.column_stack([row.ravel(), col.ravel(), image[rows].reshape(-1, 3)])
    return values / np.maximum([height - 1, width - 1, *top], 1)


def _segment(image: Image, most_pixels: int, centres: Callable[[Features], Features]) -> Segmentation:
    from sklearn.metrics import pairwise_distances_argmin

    height, width = image.shape[:2]
    top = image.max(axis=(0, 1))
    small = _shrunk(image, most_pixels)
    found = centres(pixel_features(small, top))
    numbers = np.empty((height, width), np.intp)
    for row in range(0, height, _BLOCK_ROWS):
        rows = slice(row, row + _BLOCK_ROWS)
        numbers[rows] = pairwise_distances_argmin(pixel_features(image, top, rows), found).reshape(-1, width)
    pixels = np.bincount(numbers.ravel(), minlength=len(found))
    order = np.argsort(-pixels, kind="stable")[: np.count_nonzero(pixels)]
    sums = [np.bincount(numbers.ravel(), image[..., band].ravel(), len(found)) for band in range(3)]
    colours = np.stack(sums, axis=1)[order] / pixels[order, None]
    ranks = np.zeros(len(found), np.uint8)
    ranks[order] = np.arange(len(order))
    return Segmentation(ranks[numbers], np.round(colours).astype(np.uint8), (small.shape[1], small.shape[0]))


def _shrunk(image: Image, most_pixels: int) -> Image:
    height, width = image.shape[:2]
    scale = (most_pixels / (height * width)) ** 0.5
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _check_rgb(image: Image) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"RGB images of height x width x 3 are segmented, not {image.shape}")
    return image.shape[0], image.shape[1]
