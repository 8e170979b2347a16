"""Swaths on the world grid: which pass of a satellite images which pixel, and when."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import (
    EARTH_RADIUS_KM,
    SATELLITES,
    Passes,
    Satellite,
    flight_direction,
    orbital_sun,
    passes,
)
from heph_dagster.gibs.sun import DAY_S, DAYLIGHT_CUTOFF_DEG

# Smooth fields are worked out on this grid of the world (1.125 degrees) at every level and interpolated from
# it, so that levels agree; the error is below half a kilometre.
COARSE_ROWS = 160
COARSE_COLS = 320
_COARSE_DEG = 360.0 / COARSE_COLS
_BAND_ROWS = 8  # coarse rows worked on at a time: few enough that a pass covers a narrow window of them

_TABLE_STEP_DEG = 0.25
_TABLE_HALF_DEG = 186.0
_NIGHT_ARC = math.radians(150.0)  # beyond it a pass is in the middle of the night side
_HALF_ORBIT_ARC = math.radians(90.0)
_POLE_ARC = math.radians(100.0)  # as far as a pass is needed to reach the pole
_OUT_OF_REACH_KM = 1e5


@dataclass(frozen=True)
class Coverage:
    """Which pass images each pixel; all arrays are H x W, rows from north to south.

    Attributes:
        index: int16, index into `passes`, -1 where no pass images the pixel by day.
        along_rad: float32, angle flown since the equator crossing on the day side; NaN where `index` is -1.
        cross_km: float32, distance on the ground from nadir, positive to the right of the flight; NaN
            likewise.
        reached: bool, whether any swath covers the pixel, lit or not: False in the gaps between swaths.
        passes: The passes of the day.
        period_s: Seconds per revolution.
    """

    index: NDArray[np.int16]
    along_rad: NDArray[np.float32]
    cross_km: NDArray[np.float32]
    reached: NDArray[np.bool_]
    passes: Passes
    period_s: float

    @property
    def imaged(self) -> NDArray[np.bool_]:
        """Whether a pass images the pixel by day."""
        return self.index >= 0

    @property
    def number(self) -> NDArray[np.int64]:
        """Revolution counted from the satellite's reference day; -1 where no pass images the pixel."""
        return np.where(self.index >= 0, self.passes.number[self.index], -1)

    @property
    def time_s(self) -> NDArray[np.float32]:
        """Seconds since 00:00 UTC of the day at which the pixel is imaged; NaN where none."""
        time = self.passes.time_s.astype(np.float32)[self.index]
        time += self.along_rad * np.float32(self.period_s / (2 * math.pi))
        return time


def coverage(
    satellite: Satellite,
    day: dt.date,
    level: int,
    *,
    rows: slice | None = None,
    zenith_cutoff: float | None = DAYLIGHT_CUTOFF_DEG,
) -> Coverage:
    """Which day-side pass images each pixel of the world grid (EPSG:4326, 320 * 2^level rows).

    Where swaths overlap, the pass nearest to nadir wins: it has the smallest pixels and the least haze, and
    the seams run on from the tips of the gaps, as they do in GIBS. What a pass sees of the polar summer
    before or after its half orbit on the day side counts only where no other pass gets to.

    Args:
        satellite: Satellite and its imager.
        day: Local day, see the module's description.
        level: Zoom level, 0 or more.
        rows: Rows of the grid to work out, in whole coarse rows of 2^(level + 1) px; all by default.
        zenith_cutoff: Solar zenith angle in degrees beyond which a pass does not count; None counts all.

    Returns:
        The coverage of those rows.

    Raises:
        ValueError: The level is negative, or `rows` does not lie on coarse rows.
    """
    if level < 0:
        raise ValueError(f"level {level} is negative")
    scale = 2 ** (level + 1)
    start, stop, _ = (rows or slice(None)).indices(COARSE_ROWS * scale)
    if start % scale or stop % scale:
        raise ValueError(f"rows {start}:{stop} do not lie on the coarse rows of level {level}, {scale} px each")
    shape = (stop - start, COARSE_COLS * scale)
    index = np.full(shape, -1, dtype=np.int16)
    along = np.full(shape, np.nan, dtype=np.float32)
    cross = np.full(shape, np.nan, dtype=np.float32)
    reached = np.zeros(shape, dtype=bool)
    nearest = np.full(shape, 2 * satellite.half_swath_km, dtype=np.float32)
    day_passes = passes(satellite, day)
    sun = None if zenith_cutoff is None else orbital_sun(satellite, day)
    lowest = math.cos(math.radians(zenith_cutoff or 0.0))
    for band in range(start // scale, stop // scale, _BAND_ROWS):
        band_rows = slice(band, min(band + _BAND_ROWS, stop // scale))
        px_rows = slice(band_rows.start * scale - start, band_rows.stop * scale - start)
        for number, longitude in enumerate(day_passes.longitude):
            window = _window(satellite, float(longitude), band_rows)
            if window is None:
                continue
            first, last, coarse_along, coarse_cross = window
            px = (px_rows, slice(first * scale, last * scale))
            here = _enlarged(coarse_along, scale)
            across = _enlarged(coarse_cross, scale)
            distance = np.abs(across)
            arc = np.abs(here)
            in_swath = distance < satellite.half_swath_km
            reached[px] |= in_swath & (arc < _POLE_ARC)
            distance += np.float32(satellite.half_swath_km) * (arc > _HALF_ORBIT_ARC)
            taken = in_swath & (distance < nearest[px])
            if sun is not None:
                height = sun.cos_zenith(coarse_along, coarse_cross / EARTH_RADIUS_KM).astype(np.float32) - lowest
                if height.min() < 0:
                    taken &= _enlarged(height, scale) > 0
            np.copyto(nearest[px], distance, where=taken)
            np.copyto(along[px], here, where=taken)
            np.copyto(cross[px], across, where=taken)
            np.copyto(index[px], np.int16(number), where=taken)
    return Coverage(index, along, cross, reached, day_passes, satellite.period_s)


@lru_cache(maxsize=len(SATELLITES))
def _track_table(satellite: Satellite) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Angle along (rad) and distance across (km) the track of a pass that crosses the equator at longitude 0.

    Rows are the coarse rows with one more at either end (beyond the pole, where the fields go on smoothly),
    columns are longitudes. A place turns under the orbit until the satellite comes past, which it does a
    fifteenth of a turn later for each turn: a few rounds of fixed-point iteration find when.
    """
    lat = np.radians(90.0 - (np.arange(-1, COARSE_ROWS + 1) + 0.5) * _COARSE_DEG)[:, None]
    lon = np.radians(np.arange(-_TABLE_HALF_DEG, _TABLE_HALF_DEG + _TABLE_STEP_DEG, _TABLE_STEP_DEG))[None, :]
    east, north = flight_direction(satellite)
    turn = satellite.period_s / DAY_S
    along = np.zeros(np.broadcast_shapes(lat.shape, lon.shape))
    for _ in range(6):
        y = np.cos(lat) * np.sin(lon + turn * along)
        along = np.arctan2(y * east + np.sin(lat) * north, np.cos(lat) * np.cos(lon + turn * along))
    cross = EARTH_RADIUS_KM * np.arcsin(np.clip(y * north - np.sin(lat) * east, -1.0, 1.0))
    # Where `along` jumps from half a turn to minus half a turn, interpolating it would give the day side. The
    # sign is kept: interpolating between different signs would give nadir.
    night = np.abs(along) > _NIGHT_ARC
    cross[night] = np.copysign(_OUT_OF_REACH_KM, cross[night])
    return along.astype(np.float32), cross.astype(np.float32)


def _window(
    satellite: Satellite, longitude: float, rows: slice
) -> tuple[int, int, NDArray[np.float32], NDArray[np.float32]] | None:
    """The coarse columns that a pass reaches within some coarse rows.

    Returns:
        First and one past the last column, and the angle along and distance across the track there, with one
        more row and column at each side; None if the pass reaches none.
    """
    west, east = _reach(satellite, rows.start, rows.stop)
    first = max(0, math.floor((longitude + west + 180.0) / _COARSE_DEG - 0.5))
    last = min(COARSE_COLS, math.ceil((longitude + east + 180.0) / _COARSE_DEG - 0.5) + 1)
    if first >= last:
        return None
    columns = np.arange(first - 1, last + 1)
    position = ((columns + 0.5) * _COARSE_DEG - 180.0 - longitude + _TABLE_HALF_DEG) / _TABLE_STEP_DEG
    left = position.astype(np.intp)
    weight = (position - left).astype(np.float32)
    band = slice(rows.start, rows.stop + 2)
    along, cross = (table[band].take(left, axis=1) for table in _track_table(satellite))
    along_next, cross_next = (table[band].take(left + 1, axis=1) for table in _track_table(satellite))
    return first, last, along + weight * (along_next - along), cross + weight * (cross_next - cross)


@lru_cache(maxsize=1024)
def _reach(satellite: Satellite, first_row: int, last_row: int) -> tuple[float, float]:
    """Longitudes from the equator crossing, within half a turn, between which a pass reaches some rows."""
    cross = _track_table(satellite)[1][first_row : last_row + 2]
    reached = np.flatnonzero((np.abs(cross) < satellite.half_swath_km + 100.0).any(axis=0))
    west, east = reached[[0, -1]] * _TABLE_STEP_DEG - _TABLE_HALF_DEG
    return max(float(west), -180.0), min(float(east), 180.0)


def _enlarged(coarse: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """A coarse field in pixels, without the row and column too many at each side."""
    height, width = coarse.shape
    large = cv2.resize(coarse, (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[scale:-scale, scale:-scale], dtype=np.float32)
