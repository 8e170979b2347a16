"""How bright a day is, read in blocks: all that the search for missing data needs to know of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import TILE_SIZE, Tile
from heph_dagster.gibs.mrf import Mosaic, MosaicError
from heph_dagster.gibs.raster import (
    JPEG_BLACK,
    Image,
    RasterError,
    brightest,
    open_raster,
    palette_of,
    raster_size,
    read_dataset,
)

# The chunk of a JPEG tile in which MRF keeps an exact mask of what has no data (GDAL's MRF driver, "Zen").
_ZEN, _ZEN_WITHIN = b"Zen\x00", 256
_REMEDY = "heph verify --mend downloads a damaged day again"


class Brightness(Protocol):
    """Brightness of a world image: 0 where there are no data; no data may be up to `JPEG_BLACK` in a JPEG layer."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""

    def read(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """The brightness of a window: height x width."""


@dataclass(frozen=True)
class ImageBrightness:
    """Brightness in memory.

    Attributes:
        values: Height x width.
    """

    values: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.values.shape[1], self.values.shape[0]

    def read(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """The brightness of a window: height x width."""
        return self.values[rows, cols]


@dataclass(frozen=True)
class MosaicBrightness:
    """Brightness of a day on disk, safe to share between threads and to send to other processes.

    No data is black in a JPEG layer, with its noise, or exactly what a tile's own mask says. It is transparent in a PNG
    layer, whose other pixels are 255. The no-data layers are themselves transparent where there are data: of them, the
    brightness is 0 where data are.

    Attributes:
        path: The mosaic.
        layer: Its layer.
        epsg: Its projection.
    """

    path: Path
    layer: Layer
    epsg: int
    _opened: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "layer": self.layer, "epsg": self.epsg, "_opened": {}}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px.

        Raises:
            RasterError: The mosaic cannot be read.
        """
        if "size" not in self._opened:
            self._opened["size"] = raster_size(self.path)
        found: tuple[int, int] = self._opened["size"]
        return found

    def read(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """The brightness of a window: height x width.

        Raises:
            RasterError: The image cannot be read.
            MosaicError: Data that the index names are not there.
        """
        mosaic = self._mosaic() if self.layer.format == "jpg" else None
        if mosaic is None:
            return self._through_gdal(rows, cols)
        values = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)
        for row in range(rows.start // TILE_SIZE, -(-rows.stop // TILE_SIZE)):
            for col in range(cols.start // TILE_SIZE, -(-cols.stop // TILE_SIZE)):
                self._put(values, mosaic, Tile(mosaic.level, row, col), (rows.start, cols.start))
        return values

    def _mosaic(self) -> Mosaic | None:
        """The mosaic, where its tiles are JPEGs on the grid; GDAL reads any other."""
        if "mosaic" not in self._opened:
            try:
                mosaic = Mosaic(self.path, self.epsg)
            except FileNotFoundError as error:
                raise RasterError(f"{self.path} cannot be read as an image: {error}") from error
            except MosaicError:
                self._opened["mosaic"] = None
            else:
                # A worldwide day only: the tiles of a box are counted from elsewhere.
                window = mosaic.layout.window
                whole = mosaic.compression == "JPEG" and window.size == self.size and not (window.col or window.row)
                self._opened["mosaic"] = mosaic if whole else None
        found: Mosaic | None = self._opened["mosaic"]
        return found

    def _put(self, values: Image, mosaic: Mosaic, tile: Tile, origin: tuple[int, int]) -> None:
        """Decode a tile into a window of the image that begins at a row and a column."""
        data = mosaic.tile(tile)
        if data is None:
            return
        top, left = tile.row * TILE_SIZE - origin[0], tile.col * TILE_SIZE - origin[1]
        rows = slice(max(0, -top), min(TILE_SIZE, len(values) - top))
        cols = slice(max(0, -left), min(TILE_SIZE, values.shape[1] - left))
        into = values[top + rows.start : top + rows.stop, left + cols.start : left + cols.stop]
        if data.find(_ZEN, 0, _ZEN_WITHIN) >= 0:
            into[:] = self._masked(tile, rows, cols)
            return
        try:
            pixels = simplejpeg.decode_jpeg(data, strict=True)
        except ValueError as error:
            raise RasterError(f"{self.path}: {tile} cannot be decoded: {error}; {_REMEDY}") from error
        np.maximum(pixels[rows, cols, 0], pixels[rows, cols, 1], out=into)
        np.maximum(into, pixels[rows, cols, 2], out=into)

    def _masked(self, tile: Tile, rows: slice, cols: slice) -> Image:
        """The brightness of a part of a tile with a mask, by which GDAL leaves no pixel with data at 0."""
        top, left = tile.row * TILE_SIZE, tile.col * TILE_SIZE
        values = self._through_gdal(
            slice(top + rows.start, top + rows.stop), slice(left + cols.start, left + cols.stop)
        )
        return np.where(values > 0, np.maximum(values, np.uint8(JPEG_BLACK + 1)), np.uint8(0))

    def _through_gdal(self, rows: slice, cols: slice) -> Image:
        dataset = open_raster(self.path)
        window = cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start
        pixels = read_dataset(self.path, dataset, window)
        palette = palette_of(dataset) if pixels.ndim == 2 else None
        if palette is not None:
            opaque = np.zeros(256, np.uint8)
            opaque[: len(palette)] = [255 * (entry[3] > 0) for entry in palette]
            return opaque[pixels]
        values = pixels if pixels.ndim == 2 else pixels[..., 3] if pixels.shape[2] == 4 else brightest(pixels)
        return values if self.layer.format == "jpg" else (values > 0).astype(np.uint8) * np.uint8(255)
