"""Hues of the pixels of a day, and in which parts of the world each occurs.

A hue is told where a pixel has a colour: grey land, cloud, ice, glint and the dark do not count. Hues are counted with
their chroma, because cloud and haze wash a colour out, and nothing makes it stronger: a vivid yellow is strange where
sand is as yellow, but pale.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.anomalies.usable import check_world, observed
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import JPEG_BLACK, Image, raster_size, read_pixels
from heph_dagster.gibs.reduced import read_reduced

HUES = 18
"""Of 20 degrees each, from red through green and blue."""
CHROMAS = 14
"""Steps of the chroma (the difference between the highest and the lowest channel): 32 to 47, ... 240 to 255."""
COLOURLESS = HUES * CHROMAS
"""Bin of the pixels that have no hue; the others are `chroma step * HUES + hue`."""
CELLS = (36, 72)
"""Rows from north to south and columns from west to east that the world is divided into: 5 degrees."""

_LEAST_CHROMA, _CHROMA_STEP = 32, 16
_PRESENT_KM2 = 500.0  # less of a colour in a cell is noise; two pixels at 16km
_FINEST_WIDTH = 2560  # finer images are averaged to 16km: what is found does not depend on what was downloaded
_COARSEST_HEIGHT = 90
_LEAST_COLOURED = 0.001  # of what is observed; the real days have 5 % and more

Presence = NDArray[np.bool_]


@dataclass(frozen=True)
class Hues:
    """What colours the pixels of a global image have.

    Attributes:
        bins: Height x width, 0 to `COLOURLESS`.
        chroma: Height x width, difference between the highest and the lowest channel.
    """

    bins: NDArray[np.uint8]
    chroma: NDArray[np.uint8]


def read_hues(path: Path, layer: Layer) -> Hues:
    """The hues of a day's mosaic, at 16km or coarser.

    Args:
        path: The mosaic.
        layer: Its layer, whose format says how black its no data is.

    Raises:
        RasterError: The mosaic cannot be read.
        UnusableImageError: It is no picture of the whole world, it is empty, or of one colour, or it has no colours.
    """
    check_world(path, _COARSEST_HEIGHT, "colours are judged on")
    fine = raster_size(path)[0] > _FINEST_WIDTH
    image = read_reduced(path, (_FINEST_WIDTH, _FINEST_WIDTH // 2)) if fine else read_pixels(path)
    if image.ndim == 2:
        raise UnusableImageError("the image has one band; colours are judged on RGB images")
    return find_hues(image, JPEG_BLACK if layer.format == "jpg" else 0)


def find_hues(image: Image, darkest: int = JPEG_BLACK) -> Hues:
    """The hues of a global image.

    Args:
        image: Height x width x 3 (RGB) or 4 (RGBA).
        darkest: Highest value of a channel where there is no data.

    Raises:
        UnusableImageError: The image is empty, or of one colour, or it has no colours.
    """
    seen = observed(image, darkest)
    rgb = np.ascontiguousarray(image[..., :3])
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL))
    chroma = cv2.multiply(saturation, value, scale=1 / 255) * seen
    levels = np.arange(256)
    steps = np.where(levels < _LEAST_CHROMA, CHROMAS, (levels - _LEAST_CHROMA) // _CHROMA_STEP) * HUES
    bins = cv2.add(cv2.LUT(hue, (levels * HUES // 256).astype(np.uint8)), cv2.LUT(chroma, steps.astype(np.uint8)))
    np.minimum(bins, COLOURLESS, out=bins)
    if np.count_nonzero(bins < COLOURLESS) < _LEAST_COLOURED * cv2.countNonZero(seen):
        raise UnusableImageError("the image has no colours: all of it is black, white or grey")
    return Hues(bins, chroma)


def cells_of(height: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The cell of each row and of each column of an image of the whole world."""
    rows, cols = CELLS
    return (
        ((np.arange(height) + 0.5) * rows / height).astype(np.int32),
        ((np.arange(width) + 0.5) * cols / width).astype(np.int32),
    )


def presence(hues: Hues) -> Presence:
    """Which colours a day has in which cells.

    A colour counts as there where the cell or one beside it has some of its hue, or of the hues next to it, with its
    chroma, or a stronger one, or one a step weaker.

    Args:
        hues: Hues of the whole world (EPSG:4326).

    Returns:
        36 x 72 x 253: by cell and bin; the last is whether there is any colour.
    """
    rows, cols = CELLS
    height, width = hues.bins.shape
    cell_row, cell_col = cells_of(height, width)
    keys = (cell_row[:, None] * cols + cell_col[None, :]) * (COLOURLESS + 1) + hues.bins
    counts = np.bincount(keys.ravel(), minlength=rows * cols * (COLOURLESS + 1))
    counts = counts.reshape(rows, cols, COLOURLESS + 1)[..., :COLOURLESS].reshape(rows, cols, CHROMAS, HUES)
    pixel_km2 = np.bincount(cell_row, row_areas(height, width), rows) / np.bincount(cell_row, minlength=rows)
    areas = counts * pixel_km2[:, None, None, None]
    stronger = np.cumsum(areas[..., ::-1, :], axis=-2)[..., ::-1, :]
    near = stronger + np.roll(stronger, 1, axis=-1) + np.roll(stronger, -1, axis=-1)
    within = near[..., np.maximum(np.arange(CHROMAS) - 1, 0), :]
    present = np.concatenate([within.reshape(rows, cols, COLOURLESS), stronger[..., :1, :].sum(axis=-1)], axis=-1)
    here = present >= _PRESENT_KM2
    here |= np.roll(here, 1, axis=1) | np.roll(here, -1, axis=1)
    around = np.pad(here, ((1, 1), (0, 0), (0, 0)))
    return np.asarray(here | around[:-2] | around[2:])
