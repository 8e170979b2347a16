"""Maps of any box and size, drawn from the stored tiles by nearest neighbour.

A map is drawn in two steps, so that only the second, which decodes, runs in a thread: `sample` says which pixels of
which level a map shows, and `draw` paints them. All pixels are RGBA, height x width x 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.grid import TILE_SIZE, BBox, Grid, Tile
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.tiles import TileError

_RGBA = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
# A level whose pixels have the size asked for but for rounding is fine enough.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Sample:
    """The pixels of a level that a map shows.

    Attributes:
        level: The level.
        cols: Column in the level of each of the map's columns; -1 outside the world.
        rows: Row in the level of each of the map's rows; -1 outside the world.
    """

    level: int
    cols: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def tiles(self) -> list[Tile]:
        """The tiles that have these pixels."""
        cols, rows = (np.unique(places[places >= 0] // TILE_SIZE).tolist() for places in (self.cols, self.rows))
        return [Tile(self.level, row, col) for row in rows for col in cols]


def sample(tiles: Grid, levels: range, bbox: BBox, size: tuple[int, int]) -> Sample:
    """The pixels that a map shows: those under the centres of its own.

    They are of the coarsest level whose pixels are no larger than the map's, or of the finest there is. A box of a
    tile, with a tile's size, gets exactly the pixels of the tile.

    Args:
        tiles: Grid of the projection.
        levels: Levels that are stored.
        bbox: Box in the units of the projection; it may reach beyond the world.
        size: Width and height of the map in px.
    """
    left, bottom, right, top = bbox
    step_x, step_y = (right - left) / size[0], (top - bottom) / size[1]
    finest = min(step_x, step_y) * (1 + _ROUNDING)
    level = next((level for level in levels if tiles.resolution(level) <= finest), levels[-1])
    width, height = tiles.size(level)
    resolution = tiles.resolution(level)
    across = left - tiles.extent[0] + (np.arange(size[0]) + 0.5) * step_x
    down = tiles.extent[3] - top + (np.arange(size[1]) + 0.5) * step_y
    return Sample(level, _places(across / resolution, width), _places(down / resolution, height))


def draw(pixels: Sample, data: Mapping[Tile, bytes]) -> Image:
    """Draw a layer; where there is no tile, and outside the world, it is transparent.

    Args:
        pixels: What to show.
        data: The tiles that have these pixels, as stored; absent ones are left out.

    Raises:
        TileError: A tile cannot be decoded.
    """
    picture = np.zeros((len(pixels.rows), len(pixels.cols), 4), np.uint8)
    for tile, stored in data.items():
        rows, cols = _within(pixels.rows, tile.row), _within(pixels.cols, tile.col)
        decoded = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise TileError(f"{tile} cannot be decoded")
        rgba = cv2.cvtColor(decoded, _RGBA[1 if decoded.ndim == 2 else decoded.shape[2]])
        picture[rows, cols] = rgba[pixels.rows[rows] % TILE_SIZE][:, pixels.cols[cols] % TILE_SIZE]
    return picture


def over(upper: Image, lower: Image) -> Image:
    """One picture painted over another.

    Source: Porter and Duff, "Compositing digital images" (1984), the operator "over".
    """
    opacity = upper[..., 3:].astype(np.float32) / 255
    shows = lower[..., 3:].astype(np.float32) / 255 * (1 - opacity)
    alpha = opacity + shows
    colour = (upper[..., :3] * opacity + lower[..., :3] * shows) / np.maximum(alpha, 1 / 255)
    return np.rint(np.dstack([colour, alpha * 255])).astype(np.uint8)


def opaque(picture: Image) -> Image:
    """A picture painted over black: height x width x 3, RGB."""
    return np.rint(picture[..., :3] * (picture[..., 3:] / np.float32(255))).astype(np.uint8)


def _places(positions: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Whole pixels of positions, -1 for those outside 0 to `count`."""
    inside = (positions >= 0) & (positions < count)
    return np.where(inside, np.floor(positions), -1).astype(np.int64)


def _within(places: NDArray[np.int64], number: int) -> slice:
    """Where a map's rows or columns lie in the tile row or column of this number: together, as they are in order."""
    inside = np.flatnonzero(places // TILE_SIZE == number)
    return slice(int(inside[0]), int(inside[-1]) + 1)
