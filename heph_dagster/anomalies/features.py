"""Features of a day's image: a histogram of oriented gradients (texture) and one of hue (colour).

Sources: Dalal and Triggs, "Histograms of oriented gradients for human detection" (CVPR 2005).
gibs-ml's own features are kept as the variant `gibs-ml`, oddities included: blue counts 0.144 in place of 0.114, only
gradients that point to 90 to 270 degrees from the left are counted, and nothing is normalised.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.raster import Image

Variant = Literal["dalal-triggs", "gibs-ml"]
SIZE = (512, 256)
"""Width and height in px of the image that features are made of, so that they do not depend on the download's level."""
HUE_BINS = 360
_CELL = 8
_BLOCK = 16
_ORIENTATIONS = 9
_MOST = 0.2
_FLAT = 1e-6
_GIBS_ML_GREY = (0.299, 0.587, 0.144)


def feature_vector(image: Image, variant: Variant = "dalal-triggs", hue_bins: int = HUE_BINS) -> NDArray[np.float64]:
    """Texture, then colour, of an image.

    Args:
        image: Height x width x 3, RGB.
        variant: `dalal-triggs` brings the image to `SIZE` first; `gibs-ml` takes it as it is.
        hue_bins: Bins of the hue histogram.

    Returns:
        float64 vector: for each cell of 8 x 8 px its 9 orientations, then the hue histogram.

    Raises:
        ValueError: The image is not RGB, or too small or of an odd size for gibs-ml's cells.
    """
    _check_rgb(image)
    if variant == "gibs-ml":
        return np.concatenate([gibs_ml_hog(image), gibs_ml_hue_histogram(image, hue_bins)])
    small = shrink(image)
    return np.concatenate([hog(small), hue_histogram(small, hue_bins)])


def shrink(image: Image) -> Image:
    """An image at `SIZE`, every pixel of it counted."""
    _check_rgb(image)
    return cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)


def hog(image: Image) -> NDArray[np.float64]:
    """Histograms of unsigned gradient orientations, normalised in blocks of 2 x 2 cells.

    Each gradient is shared between the two orientations nearest to its own. Blocks do not overlap, so that each cell
    counts once.

    Args:
        image: Height x width x 3 (RGB), in multiples of 16 px.

    Returns:
        For each block of 16 x 16 px, row by row: 4 cells x 9 orientations from 0 (across) to 160 degrees, of norm 1.

    Raises:
        ValueError: The image's sides are no multiples of 16 px.
    """
    height, width = image.shape[:2]
    if height % _BLOCK or width % _BLOCK:
        raise ValueError(f"an image of {width} x {height} px cannot be cut into blocks of {_BLOCK} px: shrink it first")
    grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
    kernel = np.array([[-1, 0, 1]], np.float32)
    across, down = (cv2.filter2D(grey, -1, each, borderType=cv2.BORDER_REPLICATE) for each in (kernel, kernel.T))
    magnitude, angle = cv2.cartToPolar(across, down, angleInDegrees=True)
    # A row of blocks stays in the processor's cache.
    strips = [slice(row, row + _BLOCK) for row in range(0, height, _BLOCK)]
    sums = np.stack([_cell_sums(magnitude[strip], angle[strip]) for strip in strips])
    cells = _BLOCK // _CELL
    blocks = sums.reshape(-1, cells, width // _BLOCK, cells, _ORIENTATIONS).transpose(0, 2, 1, 3, 4)
    return _clipped_norm(blocks.reshape(-1, cells * cells * _ORIENTATIONS)).ravel()


def _cell_sums(magnitude: NDArray[np.float32], angle: NDArray[np.float32]) -> NDArray[np.float64]:
    """Magnitudes of the gradients of each cell by orientation, shared between the two nearest: cells x 9."""
    height, width = magnitude.shape
    position = angle * np.float32(_ORIENTATIONS / 180)
    lower = position.astype(np.int64)
    upper = (position - lower) * magnitude
    cols, circle = width // _CELL, 2 * _ORIENTATIONS + 2  # 0 to 360 degrees, and the orientation above
    cell = (np.arange(height) // _CELL)[:, None] * cols + np.arange(width) // _CELL
    place, places = (cell * circle + lower).ravel(), height // _CELL * cols * circle
    sums = np.zeros(places)
    sums += np.bincount(place, (magnitude - upper).ravel(), places)
    sums[1:] += np.bincount(place, upper.ravel(), places)[:-1]
    turns = sums.reshape(-1, circle)
    folded = turns[:, :_ORIENTATIONS] + turns[:, _ORIENTATIONS : 2 * _ORIENTATIONS]
    folded[:, :2] += turns[:, 2 * _ORIENTATIONS :]
    return folded


def hue_histogram(image: Image, bins: int = HUE_BINS) -> NDArray[np.float64]:
    """Share of pixels by hue; grey, black and white pixels have none and are left out.

    Args:
        image: Height x width x 3, RGB.
        bins: Bins, of equal width, from red over green and blue back to red.

    Returns:
        float64 vector that adds up to 1, or to 0 for an image without colour.
    """
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    coloured = (hsv[..., 1] > 0).astype(np.uint8)
    counts = cv2.calcHist([hsv], [0], coloured, [bins], [0, 360]).ravel().astype(np.float64)
    return counts / max(counts.sum(), 1)


def gibs_ml_hog(image: Image) -> NDArray[np.float64]:
    """What gibs-ml computes as HOG.

    Args:
        image: Height x width x 3, RGB.

    Returns:
        Mean magnitude of gradients of each of 9 orientations, for each cell, row by row.

    Raises:
        ValueError: The sides leave 5 to 7 px beyond whole cells, where gibs-ml fails too.
    """
    height, width = image.shape[:2]
    if max(height % _CELL, width % _CELL) > _CELL // 2 or min(height, width) < _CELL:
        raise ValueError(f"gibs-ml's features cannot be made of {width} x {height} px: use a multiple of {_CELL}")
    grey = np.dot(image, _GIBS_ML_GREY)  # its rounding decides of gradients straight up and down
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :-1] = np.diff(grey, axis=1)
    down[:-1] = np.diff(grey, axis=0)
    # Angles from -90 to 270 degrees: those of the first quarter, and 0 itself, are in no bin.
    angle = np.arctan2(down, across + 1e-15) * (180 / np.pi) + 90
    number = np.searchsorted(np.arange(_ORIENTATIONS + 1) * 180 / _ORIENTATIONS, angle, side="right") - 1
    number[angle <= 0] = _ORIENTATIONS
    rows, cols = height // _CELL, width // _CELL
    row, col = np.arange(height) // _CELL, np.arange(width) // _CELL
    cell = np.where(row < rows, row, 0)[:, None] * cols + np.where(col < cols, col, 0)
    inside = (row < rows)[:, None] & (col < cols)
    place = cell * (_ORIENTATIONS + 1) + number.astype(np.int64)
    weight = np.sqrt(across**2 + down**2) * inside  # several times as fast as hypot
    sums = np.bincount(place.ravel(), weight.ravel(), rows * cols * (_ORIENTATIONS + 1))
    return (sums.reshape(-1, _ORIENTATIONS + 1)[:, :_ORIENTATIONS] / _CELL**2).ravel()


def gibs_ml_hue_histogram(image: Image, bins: int = HUE_BINS) -> NDArray[np.float64]:
    """What gibs-ml computes as hue histogram: share of all pixels by hue, those without colour counted as red.

    Args:
        image: Height x width x 3, RGB.
        bins: Bins of equal width.
    """
    red, green, blue = np.moveaxis(image / 255, -1, 0)
    brightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = brightest - darkest
    divisor = np.where(spread > 0, spread, 1)
    sixth = np.select(
        [spread == 0, blue == brightest, green == brightest],
        [0, 4 + (red - green) / divisor, 2 + (blue - red) / divisor],
        (green - blue) / divisor,
    )
    hue = sixth / 6 % 1 * 255
    return np.histogram(hue, np.linspace(0, 255, bins + 1))[0] / hue.size


def _check_rgb(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"features are made of RGB images of height x width x 3, not of {image.shape}")


def _clipped_norm(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """L2-Hys: norm 1, no value over 0.2, norm 1 again; a block without gradients stays 0."""
    for limit in (_MOST, np.inf):
        norm = np.linalg.norm(blocks, axis=1, keepdims=True)
        blocks = np.minimum(np.divide(blocks, norm, out=np.zeros_like(blocks), where=norm > _FLAT), limit)
    return blocks
