"""Class masks on disk: cloud-optimized GeoTIFFs with a palette, put together from windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.files import temporary
from heph_dagster.gibs.raster import Image, gdal, open_raster

Palette = Mapping[int, tuple[int, int, int, int]]

_BLOCK = 512
_IN_MEMORY = 1 << 28
"""Pixels of the largest mask that is kept in memory while it is made: level 5."""


class ClassRaster:
    """A class mask in the making: all 0 at first."""

    def __init__(self, dataset: Any) -> None:
        """Wrap an open dataset of one band of bytes."""
        self.dataset = dataset
        self._band = dataset.GetRasterBand(1)

    def put(self, rows: slice, cols: slice, classes: NDArray[np.uint8]) -> None:
        """Write a window."""
        self._band.WriteArray(classes, cols.start, rows.start)

    def get(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """Read a window."""
        window: NDArray[np.uint8] = self._band.ReadAsArray(
            cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start
        )
        return window


@contextmanager
def class_raster(path: Path, size: tuple[int, int], palette: Palette, like: Path) -> Iterator[ClassRaster]:
    """A mask that becomes a file when the block ends well.

    Args:
        path: The `.tif` to write; write it beside its name and rename it.
        size: Width and height in px.
        palette: RGBA by class number.
        like: A raster that lends extent and projection; another size is allowed.
    """
    library, source = gdal(), open_raster(like)
    width, height = size
    left, step_x, _, top, _, step_y = source.GetGeoTransform()
    work = temporary(path, ".work.tif")
    if width * height <= _IN_MEMORY:
        dataset = library.GetDriverByName("MEM").Create("", width, height, 1, library.GDT_Byte)
    else:
        options = ["TILED=YES", f"BLOCKXSIZE={_BLOCK}", f"BLOCKYSIZE={_BLOCK}", "SPARSE_OK=TRUE", "BIGTIFF=YES"]
        options += ["COMPRESS=DEFLATE", "ZLEVEL=1"]
        dataset = library.GetDriverByName("GTiff").Create(
            str(work), width, height, 1, library.GDT_Byte, options=options
        )
    try:
        dataset.SetGeoTransform(
            (left, step_x * source.RasterXSize / width, 0, top, 0, step_y * source.RasterYSize / height)
        )
        dataset.SetProjection(source.GetProjection())
        table = library.ColorTable()
        for number, colour in palette.items():
            table.SetColorEntry(number, colour)
        dataset.GetRasterBand(1).SetColorTable(table)
        yield ClassRaster(dataset)
        dataset.FlushCache()
        # The COG driver would make these in a file of its own, which takes three times as long.
        halvings = (-(-max(size) // _BLOCK) - 1).bit_length()
        dataset.BuildOverviews("NEAREST", [1 << each for each in range(1, halvings + 1)])
        options = [
            "COMPRESS=DEFLATE",
            "LEVEL=1",
            "OVERVIEW_RESAMPLING=NEAREST",
            f"BLOCKSIZE={_BLOCK}",
            "SPARSE_OK=TRUE",
        ]
        options += ["NUM_THREADS=ALL_CPUS", "BIGTIFF=IF_SAFER"]
        library.GetDriverByName("COG").CreateCopy(str(path), dataset, options=options).FlushCache()
    finally:
        dataset = None
        work.unlink(missing_ok=True)


def write_class_raster(path: Path, classes: Image, palette: Palette, like: Path) -> None:
    """Write a class mask that is in memory, see `class_raster`.

    Args:
        path: The `.tif` to write; write it beside its name and rename it.
        classes: Height x width class numbers.
        palette: RGBA by class number.
        like: A raster that lends extent and projection; another size is allowed.
    """
    height, width = classes.shape
    with class_raster(path, (width, height), palette, like) as raster:
        raster.put(slice(0, height), slice(0, width), classes)
