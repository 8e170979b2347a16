"""Pixels of mosaics and images, through GDAL: one decoder wherever pixels are compared with black."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.tiles import Palette

Image = NDArray[np.uint8]

# Compression noise lifts black: on a real MODIS day the pixels of swath gaps reach 10, dark ocean starts above.
JPEG_BLACK = 10
"""Highest value of any channel of a no-data pixel in a JPEG."""


class RasterError(ValueError):
    """An image that cannot be read."""


def gdal() -> Any:
    """The GDAL module, with exceptions on and no `.aux.xml` written beside what is read."""
    from osgeo import gdal as module

    module.UseExceptions()
    module.SetConfigOption("GDAL_PAM_ENABLED", "NO")
    return module


def read_pixels(path: Path, size: tuple[int, int] | None = None) -> Image:
    """Pixels of an image or mosaic.

    Args:
        path: Any raster of bytes that GDAL reads.
        size: Width and height in px to shrink to by averaging; the raster's own by default.

    Returns:
        Height x width for one band (palette indices of a palette image), else height x width x bands.

    Raises:
        RasterError: GDAL cannot read the file, or it does not hold bytes.
    """
    library = gdal()
    try:
        dataset = library.Open(str(path))
        if dataset.GetRasterBand(1).DataType != library.GDT_Byte:
            raise RasterError(f"{path} holds {library.GetDataTypeName(dataset.GetRasterBand(1).DataType)}, not bytes")
        width, height = size or (dataset.RasterXSize, dataset.RasterYSize)
        paletted = dataset.GetRasterBand(1).GetColorTable() is not None
        method = library.GRIORA_NearestNeighbour if paletted or size is None else library.GRIORA_Average
        pixels = dataset.ReadAsArray(buf_xsize=width, buf_ysize=height, resample_alg=method, interleave="pixel")
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error
    return np.ascontiguousarray(pixels)


def raster_size(path: Path) -> tuple[int, int]:
    """Width and height of an image in px.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    try:
        dataset = gdal().Open(str(path))
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error
    return dataset.RasterXSize, dataset.RasterYSize


def read_palette(path: Path) -> Palette | None:
    """The RGBA palette of an image, or None where it has none.

    Raises:
        RasterError: GDAL cannot read the file.
    """
    try:
        # The dataset is kept in a variable: GDAL's bands and tables do not outlive it.
        dataset = gdal().Open(str(path))
        table = dataset.GetRasterBand(1).GetColorTable()
        return table and tuple(table.GetColorEntry(number) for number in range(table.GetCount()))
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error


def black(image: Image, tolerance: int = 0) -> Image:
    """Where no channel of an RGB image exceeds a tolerance: height x width, 1 for black, else 0."""
    # Two maxima over planes: several times as fast as a reduction over the last axis.
    brightest = np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])
    return (brightest <= tolerance).astype(np.uint8)


def write_class_raster(path: Path, classes: Image, palette: dict[int, tuple[int, int, int, int]], like: Path) -> None:
    """Write a class mask as a cloud-optimized GeoTIFF with a palette.

    Args:
        path: The `.tif` to write; write it beside its name and rename it.
        classes: Height x width class numbers.
        palette: RGBA by class number.
        like: A raster that lends extent and projection; another size is allowed.
    """
    library = gdal()
    source = library.Open(str(like))
    height, width = classes.shape
    left, step_x, _, top, _, step_y = source.GetGeoTransform()
    dataset = library.GetDriverByName("MEM").Create("", width, height, 1, library.GDT_Byte)
    dataset.SetGeoTransform(
        (left, step_x * source.RasterXSize / width, 0, top, 0, step_y * source.RasterYSize / height)
    )
    dataset.SetProjection(source.GetProjection())
    table = library.ColorTable()
    for number, colour in palette.items():
        table.SetColorEntry(number, colour)
    band = dataset.GetRasterBand(1)
    band.SetColorTable(table)
    band.WriteArray(classes)
    options = ["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=NEAREST", "BLOCKSIZE=512"]
    library.GetDriverByName("COG").CreateCopy(str(path), dataset, options=options).FlushCache()
