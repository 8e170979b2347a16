"""The pixels of days as arrays: colours and the light that is to be expected, and the classes of hand or method."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.hand_masks import hand_mask_path, read_hand_mask
from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.anomalies.missing import moon_shadow
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.swath import pass_zenith
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.errors import DataError

Pixels: TypeAlias = NDArray[np.uint8]
"""Days x height x width x 4: red, green, blue and light, see `expected_light`."""
Masks: TypeAlias = NDArray[np.uint8]
"""Days x height x width: 0 valid, 1 missing, 2 miscoloured."""
Size: TypeAlias = tuple[int, int]
"""Width and height in px of a world image, twice as wide as high."""

CHANNELS = 4
CLASSES = ("", "missing", "miscoloured")
"""Names of the classes of masks by number; the valid ones are not judged by themselves."""
_STEPS_PER_DEG = 4
_DARKEST_DEG = -32.0
_DARK = 0.9


def read_days(source: LayerDays, days: Sequence[date], size: Size) -> Pixels:
    """The pixels of days, shrunk by averaging.

    Args:
        source: The layer's days.
        days: Which; their mosaics are on disk.
        size: Width and height in px.

    Raises:
        DataError: The layer's satellite is not known.
        RasterError: A mosaic cannot be read.
    """
    pixels = np.empty((len(days), size[1], size[0], CHANNELS), np.uint8)

    def read(number: int) -> None:
        day = days[number]
        pixels[number, ..., :3] = thumbnail(mosaic_path(source.root, source.epsg, day, source.layer), size)
        pixels[number, ..., 3] = expected_light(source, day, size)

    _each(read, len(days))
    return pixels


def expected_light(source: LayerDays, day: date, size: Size) -> NDArray[np.uint8]:
    """How high the sun stands when the satellite passes, by day and latitude: the night is dark, not missing.

    Args:
        source: The layer's days.
        day: The day.
        size: Width and height in px.

    Returns:
        Height x width: quarters of a degree above 32 degrees below the horizon, at most 255; 0 where no swath gets to,
        or where the moon covers nine tenths of the sun.

    Raises:
        DataError: The layer's satellite is not known.
    """
    name = source.layer.satellite
    if name is None:
        raise DataError(f"the satellite of {source.layer.identifier} is not known, so neither is its daylight")
    light = _light(name, day)
    method = cv2.INTER_AREA if size[0] <= light.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(light, size, interpolation=method).astype(np.uint8)


@lru_cache(maxsize=512)
def _light(satellite: str, day: date) -> NDArray[np.uint8]:
    """The light of a day at half a degree per pixel; trainings that follow each other ask for the same days."""
    steps = (90 - pass_zenith(SATELLITES[satellite], day, 0) - _DARKEST_DEG) * _STEPS_PER_DEG
    light = np.clip(steps, 0, 255).astype(np.uint8)
    shadow = moon_shadow(satellite, day)
    if shadow is not None:
        light[cv2.resize(shadow, light.shape[::-1], interpolation=cv2.INTER_LINEAR) > _DARK] = 0
    light.flags.writeable = False
    return light


def read_masks(source: LayerDays, days: Sequence[date], size: Size) -> tuple[Masks, int]:
    """Classes of the pixels of days: by hand where somebody painted a mask, else as the methods say.

    A pixel is of the class that most of its area is of; where as much is missing as is anything else, it is missing,
    and one that is valid and miscoloured in equal parts is miscoloured.

    Args:
        source: The layer's days.
        days: Which; each `has_mask`.
        size: Width and height in px.

    Returns:
        The masks, and how many of them were painted by hand.

    Raises:
        FileNotFoundError: A day has no mask.
        RasterError: A mask cannot be read.
        ValueError: A hand mask has an unknown class.
    """
    masks = np.empty((len(days), size[1], size[0]), np.uint8)

    def read(number: int) -> None:
        masks[number] = shrink(_classes(source, days[number]), size)

    _each(read, len(days))
    return masks, sum(hand_mask_path(source.root, source.epsg, source.layer, day).exists() for day in days)


def has_mask(source: LayerDays, day: date) -> bool:
    """Whether the classes of a day's pixels are known: a hand mask, or one of each method that looks at the layer."""
    return hand_mask_path(source.root, source.epsg, source.layer, day).exists() or all(
        path.exists() for path in _automatic(source, day).values()
    )


def shrink(classes: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Classes of fewer pixels, each that of most of its area; see `read_masks` for parts that are equal."""
    method = cv2.INTER_AREA if size[0] <= classes.shape[1] else cv2.INTER_NEAREST_EXACT
    wanted = (PixelClass.MISSING, PixelClass.MISCOLOURED)
    missing, miscoloured = (
        cv2.resize((classes == each).astype(np.float32), size, interpolation=method) for each in wanted
    )
    valid = 1 - missing - miscoloured
    result = np.where(miscoloured >= valid, np.uint8(PixelClass.MISCOLOURED), np.uint8(PixelClass.VALID))
    return np.where(missing >= np.maximum(valid, miscoloured), np.uint8(PixelClass.MISSING), result)


def _classes(source: LayerDays, day: date) -> NDArray[np.uint8]:
    hand = hand_mask_path(source.root, source.epsg, source.layer, day)
    if hand.exists():
        return read_hand_mask(hand)
    found = {each: read_pixels(path) for each, path in _automatic(source, day).items()}
    finest = max((mask.shape for mask in found.values()), default=(1, 2))
    classes = np.zeros(finest, np.uint8)
    for each in (PixelClass.MISCOLOURED, PixelClass.MISSING):  # missing wins
        if each in found:
            mask = cv2.resize(found[each], finest[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            classes[mask == each] = each
    return classes


def _automatic(source: LayerDays, day: date) -> dict[PixelClass, Path]:
    """The masks of the methods that look at the layer."""
    mosaic = mosaic_path(source.root, source.epsg, day, source.layer)
    named = {PixelClass.MISSING: "missing_data", PixelClass.MISCOLOURED: "miscoloration"}
    return {each: mosaic.with_suffix(f".{name}.tif") for each, name in named.items() if name in source.layer.checks}


def _each(work: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for _ in pool.map(work, range(count)):
            pass
