"""Masks of deformations: the pixels that annotated polygons cover.

Vertices are cut to whole pixels and the outline counts, as the predecessor's `get_segmentation` does, so that masks are
the same pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Deformation, Polygon

BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class Footprint:
    """Where a deformation is in its interferogram.

    Attributes:
        x: First column.
        y: First row.
        inside: Which pixels from there on it covers, H x W; at least one in the first and last row and column. Of
            0 x 0 px where it lies outside of the interferogram.
        cut: Whether the interferogram's edge cuts the polygon.
    """

    x: int
    y: int
    inside: NDArray[np.bool_]
    cut: bool

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.inside.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.inside.shape[0])

    @property
    def area(self) -> int:
        """Pixels that are covered."""
        return int(np.count_nonzero(self.inside))

    def within(self, x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
        """The pixels of a window of the interferogram that it covers.

        Args:
            x: First column of the window.
            y: First row.
            width: Columns.
            height: Rows.

        Returns:
            H x W of the window.
        """
        window = np.zeros((height, width), bool)
        left, top = max(x, self.x), max(y, self.y)
        right, bottom = min(x + width, self.x + self.width), min(y + height, self.y + self.height)
        if left < right and top < bottom:
            part = self.inside[top - self.y : bottom - self.y, left - self.x : right - self.x]
            window[top - y : bottom - y, left - x : right - x] = part
        return window


def footprint(polygon: Polygon, width: int, height: int) -> Footprint:
    """The pixels of an interferogram that a polygon covers.

    Args:
        polygon: Vertices, x and y in px.
        width: Columns of the interferogram.
        height: Rows.
    """
    vertices = np.trunc(polygon).astype(np.int32)
    cut = bool((vertices < 0).any() or (vertices >= (width, height)).any())
    # What OpenCV draws of lines that leave an image depends on where it ends.
    low, high = (
        (np.array((0, 0)), np.array((width, height))) if cut else (vertices.min(axis=0), vertices.max(axis=0) + 1)
    )
    pixels = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(pixels, [vertices - low], 1)
    x, y, columns, rows = cv2.boundingRect(pixels) if cut else (0, 0, *(high - low))
    inside = pixels[y : y + rows, x : x + columns].view(bool)
    return Footprint(int(low[0]) + x, int(low[1]) + y, inside, cut)


def class_mask(
    deformations: Sequence[Deformation], footprints: Sequence[Footprint], x: int, y: int, width: int, height: int
) -> NDArray[np.uint8]:
    """The classes of a window of an interferogram.

    Where deformations overlap, a smaller one is painted over a larger one, and a later one over one of the same area.

    Args:
        deformations: All of the interferogram.
        footprints: Where they are.
        x: First column of the window.
        y: First row.
        width: Columns.
        height: Rows.

    Returns:
        `Activity` of each pixel of the window and 0 where nothing is deformed, H x W.
    """
    mask = np.full((height, width), BACKGROUND, np.uint8)
    for index in sorted(range(len(deformations)), key=lambda each: -footprints[each].area):
        mask[footprints[index].within(x, y, width, height)] = deformations[index].activity
    return mask
