"""Masks that people painted over days: `{root}/{EPSG}/{YYYY-MM-DD}/{Layer}.hand_mask.png`, a class number per pixel.

Classes are 0 valid, 1 missing and 2 miscoloured, where both missing; 255 is no data where none were expected. A mask
may have another size than the mosaic, as long as it shows the whole of it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import encode, mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels

_CLASSES = (PixelClass.VALID, PixelClass.MISSING, PixelClass.MISCOLOURED, PixelClass.NOT_OBSERVED)


def hand_mask_path(root: Path, epsg: int, layer: Layer, day: date) -> Path:
    """Where a day's hand mask stands: beside its mosaic, which may come and go."""
    return mosaic_path(root, epsg, day, layer).with_suffix(".hand_mask.png")


def write_hand_mask(path: Path, classes: NDArray[np.uint8]) -> None:
    """Store a mask in place of an earlier one.

    Args:
        path: Of `hand_mask_path`.
        classes: Height x width class numbers.

    Raises:
        ValueError: A number is no class of such masks.
    """
    _check(path, classes)
    with replacing(path) as part:
        part.write_bytes(encode(classes, "png"))


def read_hand_mask(path: Path) -> NDArray[np.uint8]:
    """A mask as it was stored: height x width class numbers.

    Raises:
        FileNotFoundError: There is none.
        RasterError: The file is no image.
        ValueError: A number is no class of such masks.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    classes = read_pixels(path)
    _check(path, classes)
    return classes


def _check(path: Path, classes: NDArray[np.uint8]) -> None:
    if classes.ndim != 2:
        raise ValueError(f"{path} should have one band of class numbers, not {classes.shape[-1]}")
    wrong = sorted(set(np.flatnonzero(np.bincount(classes.ravel(), minlength=256)).tolist()) - set(_CLASSES))
    if wrong:
        allowed = ", ".join(f"{int(each)} {each.name.lower().replace('_', ' ')}" for each in _CLASSES)
        raise ValueError(f"{path} has the class {wrong[0]}: classes are {allowed}")
