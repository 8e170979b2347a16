"""Cutting an image into tiles of any size that overlap: where they lie, and the cutting itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from heph_dagster.files import replacing
from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.box import Box, PixelWindow
from heph_dagster.gibs.raster import Image, colours, palette_of
from heph_dagster.pools import stopping_pool

Boundary = Literal["complete-tiles-shift", "include-incomplete-tiles", "discard-incomplete-tiles"]

QUALITY = 95
"""Of JPEG images that are made from a mosaic."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut, in the terms of GIBS-Downloader.

    Attributes:
        width: Width of a tile in px.
        height: Height of a tile in px.
        overlap: Share of a tile, from 0 to below 1, that it has in common with the next one; at least that, where it
            is no whole number of pixels.
        boundary: What becomes of the last tile of a row or column where it reaches past the image: it is shifted back
            until it lies inside, or included with what it lacks, or discarded.
    """

    width: int = 512
    height: int = 512
    overlap: float = 0.5
    boundary: Boundary = "complete-tiles-shift"

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a tile of {self.width} x {self.height} px has no pixels")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"the overlap {self.overlap} is not a share of a tile: give it from 0 to below 1")
        if min(map(self._step, (self.width, self.height))) < 1:
            raise ValueError(
                f"tiles of {self.width} x {self.height} px with overlap {self.overlap} stay where they are"
            )

    def windows(self, width: int, height: int) -> list[PixelWindow]:
        """The tiles of an image, row by row.

        In an image that is smaller than a tile, `include-incomplete-tiles` finds one tile along that axis, which is
        the image; `discard-incomplete-tiles` finds none.

        Args:
            width: Width of the image in px.
            height: Height of the image in px.

        Returns:
            What each tile shows of the image. Only included incomplete tiles show less than a whole tile.

        Raises:
            ValueError: The image is smaller than a tile, and no shift makes a tile lie inside.
        """
        if self.boundary == "complete-tiles-shift" and (width < self.width or height < self.height):
            raise ValueError(
                f"no tile of {self.width} x {self.height} px lies inside an image of {width} x {height} px: "
                "choose smaller tiles or include-incomplete-tiles"
            )
        cols, rows = self._starts(width, self.width), self._starts(height, self.height)
        return [
            PixelWindow(col, row, min(self.width, width - col), min(self.height, height - row))
            for row in rows
            for col in cols
        ]

    def _step(self, tile: int) -> int:
        return math.floor(tile * (1 - self.overlap) + 1e-9)  # 10 * (1 - 0.9) is a little less than 1

    def _starts(self, size: int, tile: int) -> list[int]:
        step = self._step(tile)
        starts = list(range(0, size - tile + 1, step))
        end = starts[-1] + tile if starts else 0
        if end < size and self.boundary == "complete-tiles-shift":
            starts.append(size - tile)
        if end < size and self.boundary == "include-incomplete-tiles":
            starts.append(len(starts) * step)
        return starts


def pad(pixels: Image, width: int, height: int) -> Image:
    """Pixels in the top left corner of a tile; the rest is black, or transparent where there is an alpha band."""
    missing = [(0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)]
    return np.pad(pixels, missing[: pixels.ndim])


def write_tiles(
    box: Box,
    windows: Iterable[PixelWindow],
    path_of: Callable[[PixelWindow], Path],
    fit: Callable[[Image], Image],
) -> None:
    """Write windows of a box as images.

    A row of tiles is decoded at once: that is the memory it takes, and no pixel is decoded again for the next tile.

    Args:
        box: The box.
        windows: Its windows, row by row.
        path_of: The file of a window, `.jpg`, which keeps no transparency, or `.png`.
        fit: Makes a tile of a window's pixels: height x width x bands.

    Raises:
        RasterError: The mosaic cannot be read.
    """
    palette = palette_of(box.dataset)

    def write(window: PixelWindow, pixels: Image) -> None:
        path = path_of(window)
        kind, tile = path.suffix[1:], colours(pixels, palette)
        if kind == "jpg" and tile.ndim == 3:
            tile = tile[..., :3]
        with replacing(path) as part:
            part.write_bytes(encode(fit(tile), kind, quality=QUALITY))

    with stopping_pool() as pool:
        for (row, height), group in groupby(windows, key=lambda window: (window.row, window.height)):
            tiles = list(group)
            left, right = tiles[0].col, max(tile.col + tile.width for tile in tiles)
            band = box.read(PixelWindow(left, row, right - left, height))
            parts = [band[:, tile.col - left : tile.col - left + tile.width] for tile in tiles]
            list(pool.map(write, tiles, parts))
