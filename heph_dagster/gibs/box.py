"""Boxes of pixels of a mosaic: what images, tiles and animations are cut from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from heph_dagster.gibs.grid import GRIDS, BBox
from heph_dagster.gibs.raster import Image, RasterError, gdal, open_raster, read_dataset

# An edge this near to a pixel's edge is meant to be it: coordinates are written with few decimals.
_SNAP = 0.01


class PixelWindow(NamedTuple):
    """A rectangle of pixels: first column and row, counted from the top left, width and height."""

    col: int
    row: int
    width: int
    height: int


class Georeference(NamedTuple):
    """Where a north-up raster lies.

    Attributes:
        left: Western (or, at the poles, left) edge in degrees or metres.
        top: Upper edge.
        across: Degrees or metres a pixel covers from left to right.
        down: The same from top to bottom, positive.
        geographic: Whether the coordinates are degrees, so that columns go around the globe.
    """

    left: float
    top: float
    across: float
    down: float
    geographic: bool

    def bounds(self, window: PixelWindow) -> BBox:
        """What a window covers; a maximum beyond 180 degrees where it crosses the antimeridian."""
        col, row, width, height = window
        left, top = self.left + col * self.across, self.top - row * self.down
        return left, top - height * self.down, left + width * self.across, top


@dataclass(frozen=True)
class Box:
    """A box of a mosaic, open for reading; its pixels are the mosaic's own.

    Attributes:
        mosaic: The mosaic.
        window: Its pixels of the mosaic. In a mosaic of the whole world the columns go on at column 0 where the box
            crosses the antimeridian.
        georeference: Where the mosaic lies.
        dataset: A GDAL dataset of the box alone.
    """

    mosaic: Path
    window: PixelWindow
    georeference: Georeference
    dataset: Any

    @classmethod
    def open(cls, mosaic: Path, bbox: BBox | None = None) -> Box:
        """Open a box of a mosaic.

        Args:
            mosaic: The `.mrf` file.
            bbox: West, south, east and north in degrees, west greater than east where it crosses the antimeridian;
                metres at the poles. It is widened to whole pixels and clipped to the mosaic; all of it by default.

        Raises:
            RasterError: The mosaic cannot be read or does not say where it lies, or the box does not meet it or meets
                it in two parts.
            ValueError: The box is empty.
        """
        source = open_raster(mosaic)
        size = source.RasterXSize, source.RasterYSize
        reference = source.GetSpatialRef()
        if reference is None:
            raise RasterError(f"{mosaic} does not say where it lies: download or import the day again")
        left, across, _, top, _, down = source.GetGeoTransform()
        georeference = Georeference(left, top, across, -down, bool(reference.IsGeographic()))
        if bbox is None:
            return cls(mosaic, PixelWindow(0, 0, *size), georeference, source)
        try:
            window = pixel_window(georeference, size, bbox)
        except RasterError as error:
            raise RasterError(f"{mosaic}: {error}") from None
        return cls(mosaic, window, georeference, _cut(mosaic, source, window))

    def read(self, window: PixelWindow | None = None, size: tuple[int, int] | None = None) -> Image:
        """Pixels of the box, as `read_dataset` reads them.

        Args:
            window: A part of the box, counted from its own top left corner; all of it by default.
            size: Width and height in px to shrink or enlarge to. Where a box is joined at the antimeridian, the means
                of the column there are those of its pixels on one side.

        Raises:
            RasterError: They cannot be read.
        """
        return read_dataset(self.mosaic, self.dataset, window, size)

    def of_mosaic(self, window: PixelWindow) -> PixelWindow:
        """The mosaic's pixels that a part of the box shows; columns that go on as those of `window` do."""
        col, row = self.window.col + window.col, self.window.row + window.row
        if self.georeference.geographic:
            col %= round(360 / self.georeference.across)
        return PixelWindow(col, row, window.width, window.height)

    @property
    def bounds(self) -> BBox:
        """What the box covers, whole pixels of it."""
        return self.georeference.bounds(self.window)

    @property
    def whole_world(self) -> bool:
        """Whether the box is all of a projection's imagery."""
        geographic = self.georeference.geographic
        return any(grid.extent == self.bounds for grid in GRIDS.values() if (grid.epsg == 4326) == geographic)


def pixel_window(georeference: Georeference, size: tuple[int, int], bbox: BBox) -> PixelWindow:
    """The pixels of a raster that a bounding box meets.

    Args:
        georeference: Where the raster lies.
        size: Its width and height in px.
        bbox: As for `Box.open`.

    Returns:
        Columns within the raster, but going on past its width where the raster is of the whole world and the box
        crosses its edge.

    Raises:
        RasterError: The box does not meet the raster, or meets it in two parts.
        ValueError: The box is empty.
    """
    west, south, east, north = bbox
    if georeference.geographic and west > east:
        east += 360
    if not (all(map(math.isfinite, bbox)) and west < east and south < north):
        raise ValueError(f"bounding box {bbox} is empty: give it as west, south, east, north")
    left, top, across, down, geographic = georeference
    rows = _clip(_cells((top - north) / down, (top - south) / down), size[1])
    cols = _cells((west - left) / across, (east - left) / across)
    cols = _around(cols, size[0], round(360 / across)) if geographic else _clip(cols, size[0])
    if not cols or not rows:
        covered = georeference.bounds(PixelWindow(0, 0, *size))
        raise RasterError(f"bounding box {bbox} lies outside, the mosaic covers {covered}")
    return PixelWindow(cols.start, rows.start, len(cols), len(rows))


def _cells(low: float, high: float) -> range:
    snap = _SNAP if high - low > 2 * _SNAP else 0
    return range(math.floor(low + snap), math.ceil(high - snap))


def _clip(cells: range, count: int) -> range:
    return range(max(0, cells.start), min(count, cells.stop))


def _around(cols: range, count: int, world: int) -> range:
    """Columns of a raster that begins anywhere on a globe of so many columns; once around at most."""
    first = range(cols.start % world, cols.start % world + min(len(cols), world))
    if count == world:
        return first
    if len(first) == world:
        return range(count)
    parts = [part for part in (_clip(first, count), range(min(count, first.stop - world))) if part]
    if len(parts) == 2:
        raise RasterError("the bounding box meets the mosaic's western and eastern part: export them one by one")
    return parts[0] if parts else range(0)


def _cut(mosaic: Path, source: Any, window: PixelWindow) -> Any:
    """A GDAL dataset of a window, which reads from the mosaic when it is read."""
    library = gdal()
    cut = library.GetDriverByName("VRT").Create("", window.width, window.height, source.RasterCount)
    left, across, _, top, _, down = source.GetGeoTransform()
    cut.SetGeoTransform((left + window.col * across, across, 0, top + window.row * down, 0, down))
    cut.SetProjection(source.GetProjection())
    before = min(window.width, source.RasterXSize - window.col)
    parts = [(window.col, before, 0), (0, window.width - before, before)]
    for number in range(1, source.RasterCount + 1):
        band, target = source.GetRasterBand(number), cut.GetRasterBand(number)
        target.SetColorInterpretation(band.GetColorInterpretation())
        if band.GetColorTable() is not None:
            target.SetColorTable(band.GetColorTable())
        for key, (col, width, offset) in enumerate(parts):
            if width:
                target.SetMetadataItem(
                    f"source_{key}",
                    f"<SimpleSource><SourceFilename>{escape(str(mosaic))}</SourceFilename><SourceBand>{number}"
                    f'</SourceBand><SrcRect xOff="{col}" yOff="{window.row}" xSize="{width}" ySize="{window.height}"/>'
                    f'<DstRect xOff="{offset}" yOff="0" xSize="{width}" ySize="{window.height}"/></SimpleSource>',
                    "new_vrt_sources",
                )
    return cut
