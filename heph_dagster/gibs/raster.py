"""Pixels of mosaics and images, through GDAL: one decoder wherever pixels are compared with black."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.grid import BBox
from heph_dagster.gibs.tiles import Palette

Image = NDArray[np.uint8]

# Compression noise lifts black: on a real MODIS day the pixels of swath gaps reach 10, dark ocean starts above.
JPEG_BLACK = 10
"""Highest value of any channel of a no-data pixel in a JPEG."""


_CACHE_BYTES = 128 << 20


class RasterError(ValueError):
    """An image that cannot be read."""


def gdal() -> Any:
    """The GDAL module, with exceptions on, cut-off JPEGs among them, and no `.aux.xml` written beside what is read."""
    from osgeo import gdal as module

    module.UseExceptions()
    module.SetConfigOption("GDAL_PAM_ENABLED", "NO")
    module.SetConfigOption("GDAL_ERROR_ON_LIBJPEG_WARNING", "YES")
    # By default blocks that were read or written are kept in a twentieth of the machine's memory.
    module.SetCacheMax(_CACHE_BYTES)
    return module


def open_raster(path: Path) -> Any:
    """A raster, open for reading through GDAL.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    try:
        return gdal().Open(str(path))
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error


def read_pixels(path: Path, size: tuple[int, int] | None = None) -> Image:
    """Pixels of an image or mosaic, see `read_dataset`."""
    return read_dataset(path, open_raster(path), size=size)


def read_nearest(path: Path, size: tuple[int, int]) -> Image:
    """Pixels of an image or mosaic brought to a width and height in px by dropping or repeating some.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    columns, rows = size
    try:
        pixels = open_raster(path).ReadAsArray(buf_xsize=columns, buf_ysize=rows, interleave="pixel")
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error
    return np.ascontiguousarray(pixels)


def read_dataset(
    path: Path, dataset: Any, window: tuple[int, int, int, int] | None = None, size: tuple[int, int] | None = None
) -> Image:
    """Pixels of an open raster.

    Args:
        path: The file, for messages.
        dataset: A GDAL dataset of bytes.
        window: Column, row, width and height in px of the part to read; all of it by default.
        size: Width and height in px to shrink to by averaging, or to enlarge to by repeating pixels; a palette's
            indices are left out or repeated. The window's own by default.

    Returns:
        Height x width for one band (palette indices of a palette image), else height x width x bands.

    Raises:
        RasterError: GDAL cannot read the pixels, or they are not bytes.
    """
    library = gdal()
    col, row, width, height = window or (0, 0, dataset.RasterXSize, dataset.RasterYSize)
    columns, rows = size or (width, height)
    band = dataset.GetRasterBand(1)
    if band.DataType != library.GDT_Byte:
        raise RasterError(f"{path} holds {library.GetDataTypeName(band.DataType)}, not bytes")
    shrinks = (columns < width or rows < height) and band.GetColorTable() is None
    method = library.GRIORA_Average if shrinks else library.GRIORA_NearestNeighbour
    try:
        pixels = dataset.ReadAsArray(
            col, row, width, height, buf_xsize=columns, buf_ysize=rows, resample_alg=method, interleave="pixel"
        )
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error
    return np.ascontiguousarray(pixels)


def raster_size(path: Path) -> tuple[int, int]:
    """Width and height of an image in px.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    dataset = open_raster(path)
    return dataset.RasterXSize, dataset.RasterYSize


def read_palette(path: Path) -> Palette | None:
    """The RGBA palette of an image, or None where it has none.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    return palette_of(open_raster(path))


def palette_of(dataset: Any) -> Palette | None:
    """The RGBA palette of an open raster, or None where it has none."""
    table = dataset.GetRasterBand(1).GetColorTable()
    return table and tuple(table.GetColorEntry(number) for number in range(table.GetCount()))


def colours(pixels: Image, palette: Palette | None) -> Image:
    """Pixels with their palette's colours.

    Args:
        pixels: Height x width palette indices, or pixels of any other kind.
        palette: RGBA entries by index; None for pixels that are no indices, which are returned as they are.

    Returns:
        Height x width x 4 (RGBA) for palette indices; an index without an entry is transparent.
    """
    if palette is None:
        return pixels
    table = np.zeros((256, 4), np.uint8)
    table[: len(palette)] = palette
    return table[pixels]


def over_black(pixels: Image, palette: Palette | None = None) -> Image:
    """Pixels of any kind as opaque RGB: what is transparent is black, as no data is in a JPEG.

    Args:
        pixels: Height x width (grey, or palette indices) or height x width x 3 (RGB) or 4 (RGBA).
        palette: RGBA entries where the pixels are palette indices.

    Returns:
        Height x width x 3.
    """
    pixels = colours(pixels, palette)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 3:
        return pixels
    blended = (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] + 127) // 255
    return blended.astype(np.uint8)


def read_place(path: Path) -> tuple[BBox | None, int | None]:
    """The bounding box and the EPSG code that an image gives itself, or its world file; None where it gives none.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    dataset = open_raster(path)
    transform, system = dataset.GetGeoTransform(can_return_null=True), dataset.GetSpatialRef()
    code = None if system is None or system.GetAuthorityName(None) != "EPSG" else system.GetAuthorityCode(None)
    bbox = None
    if transform is not None:
        left, step_x, _, top, _, step_y = transform
        bbox = (left, top + dataset.RasterYSize * step_y, left + dataset.RasterXSize * step_x, top)
    return bbox, None if code is None else int(code)


def black(image: Image, tolerance: int = 0) -> Image:
    """Where no channel of an RGB image exceeds a tolerance: height x width, 1 for black, else 0."""
    return (brightest(image) <= tolerance).astype(np.uint8)


def brightest(image: Image) -> Image:
    """The greatest of each pixel's channels: height x width, of an RGB image."""
    # Two maxima over planes: several times as fast as a reduction over the last axis.
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])
