"""gibs-ml's own search for missing data, kept to compare with.

It looks for black in an image of 4096 x 2048 px, and drops every hole that hangs together with the top or the bottom
edge: those of the polar night, and with them the holes that touch it.

Source: NASA's gibs-ml, the notebooks image_labeling_missing_data_*.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.raster import Image

VERSION = "1"
SIZE = (4096, 2048)
"""Width and height in px that the sizes of the kernels are meant for."""
_SMALL = (4, 4)
_LARGE = (30, 30)
_LARGE_SHARE = 0.165


@dataclass(frozen=True)
class GibsMlHoles:
    """What gibs-ml finds in an image.

    Attributes:
        count: Number of holes.
        share_before: Share of pixels that are black.
        share_after: Share of pixels of the holes, grown by the kernels.
        missing: gibs-ml's verdict: there is a hole, or there is none and more than 16.5 % is black.
        mask: Height x width, 255 in a hole, else 0.
    """

    count: int
    share_before: float
    share_after: float
    missing: bool
    mask: NDArray[np.uint8]


def find_holes(image: Image) -> GibsMlHoles:
    """Search an image as gibs-ml does.

    Args:
        image: Height x width x 3, RGB, at `SIZE` for holes of the size that gibs-ml means.

    Raises:
        ValueError: The image is not RGB.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"gibs-ml's method takes RGB images of height x width x 3, not {image.shape}")
    # gibs-ml weighs red as blue and blue as red: of black pixels that makes a difference where one is 1 to 4.
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    black = np.where(grey == 0, np.uint8(255), np.uint8(0))
    holes = cv2.dilate(cv2.erode(black, np.ones(_SMALL, np.uint8)), np.ones(_LARGE, np.uint8))
    # Filling from each pixel of the top and bottom row removes the regions that have one there.
    _, regions = cv2.connectedComponents(holes, connectivity=4)
    holes[np.isin(regions, np.union1d(regions[0], regions[-1]))] = 0
    left = np.unique(regions[holes > 0])
    before, after = np.count_nonzero(black) / black.size, np.count_nonzero(holes) / holes.size
    return GibsMlHoles(len(left), before, after, len(left) > 0 or bool(before > _LARGE_SHARE), holes)


def lacking_pixels(image: Image, exists: NDArray[np.uint8]) -> int:
    """Pixels that the no-data layer says exist and that an image lacks: gibs-ml's figure for MODIS.

    Args:
        image: Height x width x 3, RGB.
        exists: Height x width, 1 where the no-data layer has data.

    Raises:
        ValueError: The two differ in size.
    """
    if image.shape[:2] != exists.shape:
        raise ValueError(f"an image of {image.shape[:2]} px and a no-data layer of {exists.shape} px do not match")
    return int(np.count_nonzero((exists > 0) & ~image.any(axis=2)))
