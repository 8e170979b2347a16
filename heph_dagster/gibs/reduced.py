"""Mosaics at a smaller size, without decoding what is averaged away.

The first coefficient of a JPEG's block is the mean of its 8 x 8 px, and libjpeg makes pictures of an eighth of the size
of those alone. A mosaic is brought to an eighth so, some rows of tiles at a time, and averaged from there. The result
differs from the average of all pixels by rounding, and at sharp edges by how decoding at full size spreads colours.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from heph_dagster.gibs.grid import TILE_SIZE, Tile
from heph_dagster.gibs.mrf import Mosaic, MosaicError
from heph_dagster.gibs.raster import Image, RasterError, open_raster, read_dataset, read_place

_REDUCTION = 8


def read_reduced(path: Path, size: tuple[int, int]) -> Image:
    """Pixels of a mosaic, shrunk by averaging; fast and in little memory where it is a JPEG mosaic of a fine level.

    Args:
        path: The mosaic.
        size: Width and height in px. A mosaic that is not eight times as large, or has coarser levels, is read as by
            `heph_dagster.gibs.raster.read_pixels`.

    Returns:
        Height x width for one band (palette indices of a palette image), else height x width x bands.

    Raises:
        RasterError: The mosaic cannot be read.
    """
    dataset = open_raster(path)
    large = dataset.RasterXSize >= _REDUCTION * size[0] and dataset.RasterYSize >= _REDUCTION * size[1]
    jpeg = dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "JPEG" and dataset.RasterCount == 3
    epsg = read_place(path)[1] if large and jpeg and dataset.GetDriver().ShortName == "MRF" else None
    if epsg is not None:
        try:
            with Mosaic(path, epsg) as mosaic:
                window = mosaic.layout.window
                full = window.size == (window.cols * TILE_SIZE, window.rows * TILE_SIZE)
                if full and not mosaic.layout.pyramid:
                    return _averaged(mosaic, size)
        except MosaicError as error:
            raise RasterError(f"{path} cannot be read as an image: {error}") from error
    return read_dataset(path, dataset, size=size)


def _averaged(mosaic: Mosaic, size: tuple[int, int]) -> Image:
    width, height = size
    window = mosaic.layout.window
    tiles = list(window.tiles())
    # Strips end where both a row of tiles and one of the result do: none has to know of its neighbours.
    strips = math.gcd(window.rows, height)
    rows, tiles_each = height // strips, len(tiles) // strips
    result = np.empty((height, width, 3), np.uint8)

    def fill(strip: int) -> None:
        eighth = _eighth(mosaic, tiles[strip * tiles_each : (strip + 1) * tiles_each])
        part = result[strip * rows : (strip + 1) * rows]
        cv2.resize(eighth, (width, rows), dst=part, interpolation=cv2.INTER_AREA)

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(strips)))
    return result


def _eighth(mosaic: Mosaic, tiles: list[Tile]) -> Image:
    """Whole rows of tiles at an eighth of their size; black where there is no tile."""
    side, cols = TILE_SIZE // _REDUCTION, mosaic.layout.window.cols
    image = np.zeros((len(tiles) // cols, side, cols, side, 3), np.uint8)
    for number, tile in enumerate(tiles):
        data = mosaic.tile(tile)
        if data is not None:
            try:
                pixels = simplejpeg.decode_jpeg(data, min_height=side, min_width=side, min_factor=_REDUCTION)
            except ValueError as error:
                raise RasterError(f"{mosaic.path} cannot be read as an image: {tile}: {error}") from error
            image[number // cols, :, number % cols] = pixels
    return image.reshape(-1, cols * side, 3)
