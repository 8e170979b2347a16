"""Size and place of an anomaly, measured on the sphere from its truth mask."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM
from heph_dagster.gibs.synthetic.anomalies import Anomaly, Kind
from heph_dagster.gibs.synthetic.canvas import Field, Strip

SWATH_GAP = 254
"""Truth of pixels between the swaths."""
POLAR_NIGHT = 255
"""Truth of pixels that no pass sees by daylight."""

_DIRECTIONS = 400
_MAX_POINTS = 6000


def measure(truth: NDArray[np.uint8], number: int, kind: Kind, code: int) -> Anomaly:
    """The record of one anomaly.

    Args:
        truth: H x W truth mask of the whole world.
        number: Value of the anomaly's pixels, of which there must be one.
        kind: What it is.
        code: Its label code.

    Returns:
        The record, lengths to 0.1 km and areas to 1 km2.
    """
    rows = np.flatnonzero((truth == number).any(axis=1))
    # Only the rows that hold it and their neighbours: at fine levels the whole world is large.
    window = slice(max(0, int(rows[0]) - 1), int(rows[-1]) + 2)
    mask = truth[window] == number
    world = Strip(round(math.log2(truth.shape[0] / Strip(0).shape[0])))
    area = float(mask.sum(axis=1) @ world.pixel_area_km2[window])
    return Anomaly(
        id=number,
        kind=kind,
        code=code,
        area_km2=float(round(area)),
        extent_km=round(_extent_km(mask, world.latitude[window], world.longitude), 1),
        bbox=_bbox(mask, window.start, world.degrees_per_px),
        touches=_touches(mask, truth[window]),
    )


def _extent_km(mask: NDArray[np.bool_], latitude: Field, longitude: Field) -> float:
    """Great-circle distance between the farthest two pixels.

    The farthest pair lies on the hull of the points in space: only the outermost point in each of many
    directions is compared with the others, which misses the true length by less than a pixel.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    row, column = np.nonzero(mask & (inner == 0))
    step = -(-len(row) // _MAX_POINTS)
    lat = np.radians(latitude[row[::step]].astype(np.float64))
    lon = np.radians(longitude[column[::step]].astype(np.float64))
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    turn = np.arange(_DIRECTIONS)
    z = 1 - (2 * turn + 1) / _DIRECTIONS
    angle = turn * math.pi * (3 - math.sqrt(5))
    directions = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])
    middle = points - points.mean(axis=0)
    outermost = points[np.unique(np.einsum("pi,id->pd", middle, directions).argmax(axis=0))]
    chord = np.linalg.norm(outermost[:, None] - outermost[None], axis=-1).max()
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, float(chord) / 2))


def _bbox(mask: NDArray[np.bool_], first_row: int, step: float) -> tuple[float, float, float, float]:
    """West, south, east and north; the widest run of empty columns, round the globe, is left out."""
    rows = np.flatnonzero(mask.any(axis=1)) + first_row
    columns = np.flatnonzero(mask.any(axis=0))
    width = mask.shape[1]
    gaps = np.diff(np.append(columns, columns[0] + width))
    widest = int(gaps.argmax())
    if gaps[widest] == 1:
        west, east = -180.0, 180.0
    else:
        west = float(columns[(widest + 1) % len(columns)]) * step - 180
        east = float(columns[widest] + 1) * step - 180
    return west, 90 - float(rows[-1] + 1) * step, east, 90 - float(rows[0]) * step


def _touches(mask: NDArray[np.bool_], truth: NDArray[np.uint8]) -> tuple[str, ...]:
    """What a mask borders on, corners included."""
    around = truth[cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0]
    borders = {
        "polar_night": (around == POLAR_NIGHT).any(),
        "swath_gap": (around == SWATH_GAP).any(),
        "antimeridian": mask[:, [0, -1]].any(),
    }
    return tuple(name for name, touched in borders.items() if touched)
