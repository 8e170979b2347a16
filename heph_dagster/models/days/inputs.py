"""What a registered version takes, of days on disk: features or pixels, as its signature says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.feature_table import darkest_of, mosaic_features
from heph_dagster.anomalies.features import HUE_BINS
from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.usable import check_world
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.raster import RasterError
from heph_dagster.gibs.verify import check_sound
from heph_dagster.models.days.pixels import CHANNELS, read_days
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.errors import DataError

_SEXTANTS = ("red", "yellow", "green", "cyan", "blue", "magenta")
_DAYLIGHT = 160
"""Light of `pixels.expected_light` from which a pixel should not be dark: the sun 8 degrees above the horizon."""
_DARK = 8


def inputs_of(
    source: LayerDays, days: Sequence[date], shape: tuple[int, ...]
) -> tuple[dict[date, NDArray[Any]], dict[date, Exception]]:
    """What a version takes, of days on disk, several at once.

    Args:
        source: The layer's days.
        days: Which.
        shape: Of what the version takes, see `heph_dagster.models.tracking.Loaded`: of features, -1 x values, or of
            pixels, -1 x height x width x 4.

    Returns:
        The inputs by day, and of the other days why there are none.

    Raises:
        DataError: Days have nothing of that shape.
    """
    read: Callable[[LayerDays, date], NDArray[Any]]
    if len(shape) == 2:
        read = _features
    elif len(shape) == 4 and shape[3] == CHANNELS:
        read = partial(_pixels, size=(shape[2], shape[1]))
    else:
        raise DataError(f"days are no inputs of the shape {shape}: train the champion again")

    def attempt(day: date) -> NDArray[Any] | Exception:
        try:
            return read(source, day)
        except (RasterError, MosaicError, UnusableImageError, OSError) as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(days, pool.map(attempt, days), strict=True))
    done = {day: each for day, each in results.items() if not isinstance(each, Exception)}
    return done, {day: each for day, each in results.items() if isinstance(each, Exception)}


def describe(inputs: NDArray[Any]) -> Mapping[str, NDArray[np.float64]]:
    """Figures of inputs, by which drift is told.

    Args:
        inputs: Features, N x values, or pixels, N x height x width x 4.

    Returns:
        By name a figure of each case: of features, the mean of the texture and the share of each sextant of hues; of
        pixels, the mean of each colour and the share that is dark by day.
    """
    if inputs.ndim == 2:
        hues = inputs[:, -HUE_BINS:].reshape(len(inputs), len(_SEXTANTS), -1).sum(axis=2, dtype=np.float64)
        texture = inputs[:, :-HUE_BINS].mean(axis=1, dtype=np.float64)
        return {"texture": texture} | {name: hues[:, number] for number, name in enumerate(_SEXTANTS)}
    flat = inputs.reshape(len(inputs), -1, CHANNELS)
    dark = (flat[..., :3].max(axis=2) < _DARK) & (flat[..., 3] >= _DAYLIGHT)
    means = flat[..., :3].mean(axis=1, dtype=np.float64)
    return {
        **{name: means[:, number] for number, name in enumerate(("red", "green", "blue"))},
        "dark": dark.mean(axis=1, dtype=np.float64),
    }


def _features(source: LayerDays, day: date) -> NDArray[np.float32]:
    path = mosaic_path(source.root, source.epsg, day, source.layer)
    return mosaic_features(path, source.epsg, darkest_of(source.layer))


def _pixels(source: LayerDays, day: date, size: tuple[int, int]) -> NDArray[np.uint8]:
    path = mosaic_path(source.root, source.epsg, day, source.layer)
    check_sound(path, source.epsg)
    check_world(path, size[1], "this model judges")
    return read_days(source, [day], size)[0]
