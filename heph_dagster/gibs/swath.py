"""Swaths on the world grid: which pass of a satellite images which pixel, and when."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import (
    EARTH_RADIUS_KM,
    SATELLITES,
    OrbitalSun,
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
    band, shape = _band(level, rows)
    index = np.full(shape, -1, dtype=np.int16)
    along = np.full(shape, np.nan, dtype=np.float32)
    cross = np.full(shape, np.nan, dtype=np.float32)
    reached = np.zeros(shape, dtype=bool)
    nearest = np.full(shape, 2 * satellite.half_swath_km, dtype=np.float32)
    day_passes = passes(satellite, day)
    sun = None if zenith_cutoff is None else orbital_sun(satellite, day)
    lowest = math.cos(math.radians(zenith_cutoff or 0.0))
    for look in _looks(satellite, day_passes, level, band):
        px, distance, arc = look.px, np.abs(look.cross_km), np.abs(look.along_rad)
        in_swath = distance < satellite.half_swath_km
        reached[px] |= in_swath & (arc < _POLE_ARC)
        distance += np.float32(satellite.half_swath_km) * (arc > _HALF_ORBIT_ARC)
        taken = in_swath & (distance < nearest[px])
        if sun is not None:
            height = look.cos_zenith(sun) - lowest
            if height.min() < 0:
                taken &= _enlarged(height, look.scale) > 0
        np.copyto(nearest[px], distance, where=taken)
        np.copyto(along[px], look.along_rad, where=taken)
        np.copyto(cross[px], look.cross_km, where=taken)
        np.copyto(index[px], np.int16(look.number), where=taken)
    return Coverage(index, along, cross, reached, day_passes, satellite.period_s)


def pass_zenith(satellite: Satellite, day: dt.date, level: int, *, shift_deg: float = 0.0) -> NDArray[np.float32]:
    """Solar zenith angle under which each pixel of the world grid is imaged at best.

    Args:
        satellite: Satellite and its imager.
        day: Local day, see the module's description.
        level: Zoom level, 0 or more.
        shift_deg: Degrees to the east by which all passes are moved: orbits drift from the nominal ones.

    Returns:
        H x W degrees, of the pass that sees the pixel in the best light; infinite where no swath reaches it.

    Raises:
        ValueError: The level is negative.
    """
    band, shape = _band(level, None)
    cosine = np.full(shape, -np.inf, dtype=np.float32)
    sun = orbital_sun(satellite, day)
    for look in _looks(satellite, passes(satellite, day, shift_deg=shift_deg), level, band):
        height = _enlarged(look.cos_zenith(sun), look.scale)
        in_swath = np.abs(look.cross_km) < satellite.half_swath_km
        np.maximum(cosine[look.px], height, out=cosine[look.px], where=in_swath)
    with np.errstate(invalid="ignore"):
        zenith = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return np.where(np.isinf(cosine), np.float32(np.inf), zenith).astype(np.float32)


@dataclass(frozen=True)
class _Look:
    """What a pass sees of a band of the grid: a window of it in pixels, and coarse fields with a rim of one."""

    number: int
    px: tuple[slice, slice]
    scale: int
    coarse_along: NDArray[np.float32]
    coarse_cross: NDArray[np.float32]
    along_rad: NDArray[np.float32]
    cross_km: NDArray[np.float32]

    def cos_zenith(self, sun: OrbitalSun) -> NDArray[np.float32]:
        """Cosine of the solar zenith angle on the coarse grid."""
        return sun.cos_zenith(self.coarse_along, self.coarse_cross / EARTH_RADIUS_KM).astype(np.float32)


def _band(level: int, rows: slice | None) -> tuple[slice, tuple[int, int]]:
    """Coarse rows of some rows of a level, and height and width in px."""
    if level < 0:
        raise ValueError(f"level {level} is negative")
    scale = 2 ** (level + 1)
    start, stop, _ = (rows or slice(None)).indices(COARSE_ROWS * scale)
    if start % scale or stop % scale:
        raise ValueError(f"rows {start}:{stop} do not lie on the coarse rows of level {level}, {scale} px each")
    return slice(start // scale, stop // scale), (stop - start, COARSE_COLS * scale)


def _looks(satellite: Satellite, day_passes: Passes, level: int, rows: slice) -> Iterator[_Look]:
    """What each pass sees of some coarse rows, a few of them at a time."""
    scale = 2 ** (level + 1)
    for first_row in range(rows.start, rows.stop, _BAND_ROWS):
        band = slice(first_row, min(first_row + _BAND_ROWS, rows.stop))
        px_rows = slice((band.start - rows.start) * scale, (band.stop - rows.start) * scale)
        for number, longitude in enumerate(day_passes.longitude):
            window = _window(satellite, float(longitude), band)
            if window is not None:
                first, last, along, cross = window
                px = (px_rows, slice(first * scale, last * scale))
                yield _Look(number, px, scale, along, cross, _enlarged(along, scale), _enlarged(cross, scale))


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
