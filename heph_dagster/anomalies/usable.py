"""Whether an image can tell anything of a day: it is of the whole world, has data, and is of more than one colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.raster import Image, black, raster_size, read_place

_LEAST_OBSERVED = 0.01
_LEAST_DEVIATION = 3.0  # of any channel; JPEG and noise make 1 or 2 of one colour, real days have 50


def check_world(path: Path, least_height: int, purpose: str) -> None:
    """Make sure that an image is one of the whole world (EPSG:4326) and fine enough.

    Args:
        path: The image. One that does not say where it lies is taken at its size.
        least_height: Height in px that it needs.
        purpose: What images are used for, as the message begins: `colours are judged on`.

    Raises:
        RasterError: GDAL cannot read it.
        UnusableImageError: It is not.
    """
    width, height = raster_size(path)
    if height < least_height or abs(width - 2 * height) > height / 50:
        raise UnusableImageError(
            f"the image is {width} x {height} px; {purpose} images of the whole world, "
            f"twice as wide as high and at least {least_height} px high"
        )
    bbox, _ = read_place(path)
    if bbox is not None and not np.allclose(bbox, grid(4326).extent, rtol=0, atol=360 / width):
        west, south, east, north = bbox
        raise UnusableImageError(
            f"the image is a box, {west:g} to {east:g} E and {south:g} to {north:g} N; {purpose} images of the whole "
            "world"
        )


def observed(image: Image, darkest: int) -> Image:
    """Where an image has data.

    Args:
        image: Height x width x 3 (RGB) or 4 (RGBA).
        darkest: Highest value of a channel where there is no data.

    Returns:
        Height x width, 1 where there are data, else 0.

    Raises:
        UnusableImageError: There are hardly any, or all of them are of one colour.
    """
    rgb = np.ascontiguousarray(image[..., :3])
    seen = 1 - black(rgb, darkest)
    if image.shape[2] == 4:
        seen &= image[..., 3] > 0
    share = cv2.countNonZero(seen) / seen.size
    if share < _LEAST_OBSERVED:
        raise UnusableImageError(f"{1 - share:.1%} of the image are without data")
    check_variety(float(cv2.meanStdDev(rgb, mask=seen)[1].max()))
    return seen


def check_variety(deviation: float) -> None:
    """Make sure that the data of an image are not all of one colour.

    Args:
        deviation: Greatest standard deviation of their channels.

    Raises:
        UnusableImageError: They are.
    """
    if deviation < _LEAST_DEVIATION:
        raise UnusableImageError("all of the image is of one colour")
