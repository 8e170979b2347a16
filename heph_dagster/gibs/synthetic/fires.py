"""Days of fires: points on land, in clusters, on a transparent world."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.synthetic.anomalies import random_of
from heph_dagster.gibs.synthetic.canvas import Strip, land

_CLUSTERS = 900
_POINTS = 12
_CLUSTER_DEGREES = 1.2
_FARTHEST_SINE = 0.9  # of the latitude: no fires beyond 64 degrees


def render_fires(layer: str, day: dt.date, *, seed: int, level: int) -> NDArray[np.uint8]:
    """Paint the fires of a day, each a pixel between red and yellow.

    A layer `..._All` has the fires of `..._Day` and `..._Night` together. The same seed gives the same fires at every
    level, but for those that a coarser coast puts into the sea.

    Args:
        layer: GIBS identifier.
        day: Day.
        seed: Non-negative.
        level: Zoom level.

    Returns:
        Height x width x 4, RGBA; transparent where nothing burns.

    Raises:
        ValueError: The seed is negative.
    """
    world = Strip(level)
    image = np.zeros((*world.shape, 4), np.uint8)
    stem = layer.removesuffix("_All")
    for name in (layer,) if stem == layer else (f"{stem}_Day", f"{stem}_Night"):
        rng = random_of(seed, day, name)
        latitude = np.degrees(np.arcsin(rng.uniform(-_FARTHEST_SINE, _FARTHEST_SINE, (_CLUSTERS, 1))))
        longitude = rng.uniform(-180, 180, (_CLUSTERS, 1))
        scatter = rng.normal(0, _CLUSTER_DEGREES, (2, _CLUSTERS, _POINTS))
        green = rng.integers(0, 230, (_CLUSTERS, _POINTS), np.uint8)
        row = ((90 - latitude - scatter[0]) / world.degrees_per_px).astype(int)
        col = ((longitude + scatter[1] + 180) / world.degrees_per_px).astype(int) % world.shape[1]
        burns = land(level)[row, col]
        image[row[burns], col[burns], 1] = green[burns]
        image[row[burns], col[burns], 0::3] = 255
    return image
