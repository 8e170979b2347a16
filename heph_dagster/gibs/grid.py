"""Tile grids of GIBS: levels, pixels, tiles and bounding boxes in EPSG:4326, 3413 and 3031.

All tiles are 512 x 512 px, rows count down from the top, columns from the left, and a bounding box is
`(min_x, min_y, max_x, max_y)` in the units of the projection (degrees, or metres at the poles).

Source: GIBS API documentation, "Map Projections and Resolution" and its WMTS tile matrix sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

TILE_SIZE = 512

BBox = tuple[float, float, float, float]


class Tile(NamedTuple):
    """One tile of a tile matrix set."""

    level: int
    row: int
    col: int


class Resolution(NamedTuple):
    """A row of gibs-ml's resolution table (see `RESOLUTIONS`)."""

    name: str
    level: int
    size: tuple[int, int]
    grid: tuple[int, int]
    tiles: int


@dataclass(frozen=True)
class Window:
    """A rectangle of tiles of one level: what a mosaic holds.

    Attributes:
        epsg: EPSG code of the projection.
        level: Level.
        col: First column.
        row: First row.
        cols: Number of columns; they go on at column 0 where the window crosses the antimeridian.
        rows: Number of rows.
    """

    epsg: int
    level: int
    col: int
    row: int
    cols: int
    rows: int

    def tiles(self) -> Iterator[Tile]:
        """The tiles of the window, row by row."""
        columns = grid(self.epsg).matrix(self.level)[0]
        for row in range(self.row, self.row + self.rows):
            for col in range(self.col, self.col + self.cols):
                yield Tile(self.level, row, col % columns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px, without what reaches past the imagery."""
        width, height = grid(self.epsg).size(self.level)
        right = self.cols * TILE_SIZE
        if self.col + self.cols == grid(self.epsg).matrix(self.level)[0]:
            right = width - self.col * TILE_SIZE
        return right, min(self.rows * TILE_SIZE, height - self.row * TILE_SIZE)

    @property
    def request_bbox(self) -> BBox:
        """The box that `Grid.window` turns into this window; west is greater than east across the antimeridian."""
        west, south, east, north = self.bbox
        limit = grid(self.epsg).extent[2]
        return west, south, east - 360 if self.epsg == 4326 and east > limit else east, north

    @property
    def bbox(self) -> BBox:
        """What the window covers; a maximum beyond 180 degrees where it crosses the antimeridian."""
        tiles = grid(self.epsg)
        left, top = tiles.pixel_to_xy(self.level, self.col * TILE_SIZE, self.row * TILE_SIZE)
        width, height = self.size
        resolution = tiles.resolution(self.level)
        return left, top - height * resolution, left + width * resolution, top


@dataclass(frozen=True)
class Grid:
    """The tile pyramid of one projection.

    Attributes:
        epsg: EPSG code of the projection.
        extent: Bounding box of the imagery, in degrees or metres.
        resolution_0: Degrees or metres per pixel at level 0.
        matrix_sets: Tile matrix sets by name, with the finest level of each.
    """

    epsg: int
    extent: BBox
    resolution_0: float
    matrix_sets: dict[str, int] = field(hash=False)

    def resolution(self, level: int) -> float:
        """Degrees (EPSG:4326) or metres (polar) per pixel of a level."""
        _check_level(level)
        return self.resolution_0 / 2**level

    def span(self, level: int) -> float:
        """Degrees or metres that one tile of a level covers, along either axis."""
        return self.resolution(level) * TILE_SIZE

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of the whole imagery at a level, in px."""
        min_x, min_y, max_x, max_y = self.extent
        resolution = self.resolution(level)
        return round((max_x - min_x) / resolution), round((max_y - min_y) / resolution)

    def matrix(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles at a level; the last ones may reach past the imagery."""
        width, height = self.size(level)
        return math.ceil(width / TILE_SIZE), math.ceil(height / TILE_SIZE)

    def contains(self, tile: Tile) -> bool:
        """Whether a tile exists in the tile matrix of its level."""
        if tile.level < 0:
            return False
        cols, rows = self.matrix(tile.level)
        return 0 <= tile.row < rows and 0 <= tile.col < cols

    def tile_bbox(self, tile: Tile) -> BBox:
        """What a tile covers, the part beyond the imagery included.

        Raises:
            ValueError: The tile is not in its tile matrix.
        """
        if not self.contains(tile):
            raise ValueError(self._outside(tile))
        span = self.span(tile.level)
        left = self.extent[0] + tile.col * span
        top = self.extent[3] - tile.row * span
        return left, top - span, left + span, top

    def window(self, level: int, bbox: BBox | None = None) -> Window:
        """The tiles that a bounding box needs.

        A geographic box whose west is greater than its east crosses the antimeridian; below level 2, where tiles do
        not end there, it takes whole rows. Longitudes may also count from 0 to 360. Tiles that the box only touches
        with an edge are left out.

        Args:
            level: Level.
            bbox: Box in the units of the projection; the whole imagery by default.

        Raises:
            ValueError: The box is empty or does not meet the imagery, or a coordinate does not exist.
        """
        cols, rows = self.matrix(level)
        if bbox is None:
            return Window(self.epsg, level, 0, 0, cols, rows)
        west, south, east, north = self._checked(bbox)
        if self.epsg == 4326 and west > east:
            # Either side may end at the antimeridian itself.
            if east == self.extent[0]:
                return self.window(level, (west, south, self.extent[2], north))
            if west == self.extent[2]:
                return self.window(level, (self.extent[0], south, east, north))
            eastern = self.window(level, (west, south, self.extent[2], north))
            western = self.window(level, (self.extent[0], south, east, north))
            if level < 2 or eastern.col <= western.cols:
                return Window(self.epsg, level, 0, eastern.row, cols, eastern.rows)
            return Window(self.epsg, level, eastern.col, eastern.row, eastern.cols + western.cols, eastern.rows)
        min_x, min_y, max_x, max_y = self.extent
        if not (west < east and south < north and west < max_x and east > min_x and south < max_y and north > min_y):
            raise ValueError(
                f"bounding box {bbox} is empty or lies outside EPSG:{self.epsg}'s extent {self.extent}; "
                "give it as west, south, east, north"
            )
        span = self.span(level)
        across = _cells(west - min_x, east - min_x, span, cols)
        down = _cells(max_y - north, max_y - south, span, rows)
        return Window(self.epsg, level, across.start, down.start, len(across), len(down))

    def _checked(self, bbox: BBox) -> BBox:
        """A box whose longitudes, if it has any, lie from -180 to 180."""
        if not all(map(math.isfinite, bbox)):
            raise ValueError(f"bounding box {bbox} has a coordinate that is no number")
        west, south, east, north = bbox
        if self.epsg != 4326:
            return bbox
        if not (
            -180 <= min(west, east) <= max(west, east) <= 360 and -90 <= min(south, north) <= max(south, north) <= 90
        ):
            raise ValueError(
                f"bounding box {bbox} leaves the globe: longitudes go from -180 to 180 or from 0 to 360, "
                "latitudes from -90 to 90; give west, south, east, north"
            )
        if east - west > 360:
            raise ValueError(f"bounding box {bbox} goes around the globe more than once")
        if east - west == 360:
            return -180.0, south, 180.0, north
        return west - 360 * (west > 180), south, east - 360 * (east > 180), north

    def window_of(self, bbox: BBox, width: int, height: int) -> Window:
        """The window that covers exactly a box with an image of this size.

        Raises:
            ValueError: There is none: the image is not cut along tiles of a level.
        """
        resolution = (bbox[2] - bbox[0]) / width if min(width, height) > 0 else 0
        level = round(math.log2(self.resolution_0 / resolution)) if resolution > 0 else -1
        if level >= 0:
            col, row = (round(edge / TILE_SIZE) for edge in self.xy_to_pixel(level, bbox[0], bbox[3]))
            window = Window(self.epsg, level, col, row, -(-width // TILE_SIZE), -(-height // TILE_SIZE))
            errors = [abs(a - b) for a, b in zip(window.bbox, bbox, strict=True)]
            if window.size == (width, height) and max(errors) < self.resolution(level) / 100:
                return window
        raise ValueError(f"{width} x {height} px for {bbox} is no window of tiles of EPSG:{self.epsg}")

    def pixel_to_xy(self, level: int, col: float, row: float) -> tuple[float, float]:
        """Projected coordinates of a pixel position; (0, 0) is the top left corner, (0.5, 0.5) a centre."""
        resolution = self.resolution(level)
        return self.extent[0] + col * resolution, self.extent[3] - row * resolution

    def xy_to_pixel(self, level: int, x: float, y: float) -> tuple[float, float]:
        """Pixel position (column, row) of projected coordinates; inverse of `pixel_to_xy`."""
        resolution = self.resolution(level)
        return (x - self.extent[0]) / resolution, (self.extent[3] - y) / resolution

    def level_for_width(self, width: int) -> int:
        """The coarsest level whose imagery is at least `width` px wide."""
        if width < 1:
            raise ValueError(f"an image must be at least one pixel wide, not {width}")
        return max(0, math.ceil(math.log2(width / self.size(0)[0])))

    def level_of_size(self, width: int, height: int) -> int:
        """The level whose imagery has exactly this size in px.

        Raises:
            ValueError: No level has it.
        """
        level = self.level_for_width(width)
        if self.size(level) != (width, height):
            raise ValueError(f"{width} x {height} px is not the size of any level of EPSG:{self.epsg}")
        return level

    def finest_level(self, matrix_set: str) -> int:
        """The finest level of a tile matrix set.

        Raises:
            ValueError: The projection has no such set.
        """
        try:
            return self.matrix_sets[matrix_set]
        except KeyError:
            known = ", ".join(self.matrix_sets)
            raise ValueError(f"EPSG:{self.epsg} has no tile matrix set {matrix_set!r}; it has {known}") from None

    def _outside(self, tile: Tile) -> str:
        if tile.level < 0:
            return f"level {tile.level} does not exist: levels count from 0"
        cols, rows = self.matrix(tile.level)
        return (
            f"tile row {tile.row}, column {tile.col} is outside level {tile.level} of EPSG:{self.epsg}, "
            f"which has {rows} rows and {cols} columns"
        )


_POLAR_EXTENT = (-4194304.0, -4194304.0, 4194304.0, 4194304.0)
_POLAR_SETS = {"2km": 2, "1km": 3, "500m": 4, "250m": 5}

GRIDS: dict[int, Grid] = {
    4326: Grid(
        4326,
        (-180.0, -90.0, 180.0, 90.0),
        0.5625,
        {"16km": 2, "2km": 5, "1km": 6, "500m": 7, "250m": 8, "31.25m": 11, "15.625m": 12},
    ),
    3413: Grid(3413, _POLAR_EXTENT, 8192.0, {**_POLAR_SETS, "31.25m": 8}),
    3031: Grid(3031, _POLAR_EXTENT, 8192.0, _POLAR_SETS),
}
"""Grids by EPSG code."""

_RESOLUTIONS = ("16km", "8km", "4km", "2km", "1km", "500m", "250m", "125m", "62.5m", "31.25m")


def _resolutions(first: int, cols: int, rows: int) -> dict[str, Resolution]:
    """The table of a projection, from the level and the grid of tiles of its first row."""
    return {
        name: Resolution(
            name,
            max(0, first + step),
            (cols * TILE_SIZE << step, rows * TILE_SIZE << step),
            (cols << step, rows << step),
            cols * rows << 2 * step,
        )
        for step, name in enumerate(_RESOLUTIONS)
    }


# gibs-ml asks GDAL for images whose sizes are powers of two, 512 px for every 45 degrees at 16km. GIBS's own
# level 2 has 0.140625 degree per pixel: 2560 x 1280 px in 5 x 3 tiles, the last row half empty. An image of the
# table's size is therefore resampled from the level named; only the level's own size holds NASA's pixels unchanged.
# gibs-ml has no rows for the poles. There they go on from its first: a pixel of 16 km makes 512 px of the square, half
# of what level 0 has, and from 8km on the sizes are the levels' own.
RESOLUTIONS: dict[int, dict[str, Resolution]] = {
    4326: _resolutions(2, 8, 4),
    3413: _resolutions(-1, 1, 1),
    3031: _resolutions(-1, 1, 1),
}
"""gibs-ml's resolution table by EPSG code: level, world size in px, grid of 512 px tiles and their number, by name."""


def grid(epsg: int) -> Grid:
    """The grid of a projection.

    Raises:
        ValueError: GIBS imagery is not known in that projection.
    """
    try:
        return GRIDS[epsg]
    except KeyError:
        known = ", ".join(map(str, GRIDS))
        raise ValueError(f"EPSG:{epsg} is not one of the projections of this project: {known}") from None


def resolution(name: str, epsg: int = 4326) -> Resolution:
    """A row of gibs-ml's resolution table by name, for a projection.

    Raises:
        ValueError: The table has no such row, or the projection is not known.
    """
    rows = RESOLUTIONS[grid(epsg).epsg]
    try:
        return rows[name]
    except KeyError:
        raise ValueError(f"unknown tile resolution {name!r}; choose one of {', '.join(rows)}") from None


def _check_level(level: int) -> None:
    if level < 0:
        raise ValueError(f"level {level} does not exist: levels count from 0")


def _cells(low: float, high: float, span: float, count: int) -> range:
    # A box thinner than a float can tell, on an edge between two cells, still takes one.
    first = min(max(0, math.floor(low / span)), count - 1)
    return range(first, max(first + 1, min(count, math.ceil(high / span))))
