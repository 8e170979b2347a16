"""What tests of boxes, tiles and animations share: mosaics of noise, without loss and without coarser levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.grid import TILE_SIZE, Window, grid
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.tiles import Palette

WORLD = grid(4326).window(0)


def noise(window: Window = WORLD, bands: tuple[int, ...] = (3,), seed: int = 0) -> Image:
    width, height = window.size
    return np.random.default_rng(seed).integers(0, 256, (height, width, *bands), dtype=np.uint8)


def write_mosaic(
    path: Path, pixels: Image, window: Window = WORLD, palette: Palette | None = None, tile_format: str = "png"
) -> Path:
    """A mosaic of a window, which may cross the antimeridian; without tiles where they would be black."""
    with MosaicWriter(path, Layout(window)) as mosaic:
        for number, tile in enumerate(window.tiles()):
            top, left = (TILE_SIZE * place for place in divmod(number, window.cols))
            part = pixels[top : top + TILE_SIZE, left : left + TILE_SIZE]
            page = np.zeros((TILE_SIZE, TILE_SIZE, *pixels.shape[2:]), np.uint8)
            page[: part.shape[0], : part.shape[1]] = part
            if page.any():
                mosaic.put(tile, encode(page, tile_format, palette))
        return mosaic.publish()
