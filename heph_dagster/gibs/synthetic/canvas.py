"""The world grid that days are painted on, and what is drawn on fixed grids and sampled at any level.

Everything random is drawn once on a grid of fixed size and enlarged or shrunk to the level asked for, so that
one seed and day are the same scene at every level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM
from heph_dagster.gibs.swath import COARSE_COLS, COARSE_ROWS

BASE_SHAPE = (640, 1280)  # level 1: fine enough for the shapes of clouds and climates
FLOW_SHAPE = (160, 320)  # winds and climates, which are smooth
TILE_SIZE = 1024  # fine grain, a tile at the pixel size of level 2 that repeats
_TILE_LEVEL = 2
# Pixels worked on at a time: the fields of a strip stay small beside the image, and in the cache.
_STRIP_PX = 700_000

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Strip:
    """Some rows of the world grid at a level.

    Attributes:
        level: Zoom level, 0 or more.
        first: First coarse row (1.125 degrees).
        last: One past the last coarse row.
    """

    level: int
    first: int = 0
    last: int = COARSE_ROWS

    @property
    def scale(self) -> int:
        """Pixels per coarse row."""
        return 2 ** (self.level + 1)

    @property
    def rows(self) -> slice:
        """The strip's rows in the whole image."""
        return slice(self.first * self.scale, self.last * self.scale)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return (self.last - self.first) * self.scale, COARSE_COLS * self.scale

    @property
    def degrees_per_px(self) -> float:
        """Degrees per pixel, along either axis."""
        return 180.0 / (COARSE_ROWS * self.scale)

    @property
    def latitude(self) -> Field:
        """H latitudes of the pixel centres, from north to south."""
        return (90.0 - (np.arange(self.rows.start, self.rows.stop) + 0.5) * self.degrees_per_px).astype(np.float32)

    @property
    def longitude(self) -> Field:
        """W longitudes of the pixel centres, from west to east."""
        return ((np.arange(self.shape[1]) + 0.5) * self.degrees_per_px - 180.0).astype(np.float32)

    @property
    def pixel_area_km2(self) -> NDArray[np.float64]:
        """H areas of one pixel of each row on the sphere."""
        edges = np.radians(90.0 - np.arange(self.rows.start, self.rows.stop + 1) * self.degrees_per_px)
        return np.asarray(EARTH_RADIUS_KM**2 * np.radians(self.degrees_per_px) * -np.diff(np.sin(edges)))

    def sample(self, field: NDArray[np.float32]) -> Field:
        """A field of the whole world (h x 2h, h a multiple of 160) in the strip's pixels, H x W."""
        per_row = field.shape[0] // COARSE_ROWS
        height, width = self.shape
        if per_row >= self.scale:
            part = field[self.first * per_row : self.last * per_row]
            return _resized(part, height, width, cv2.INTER_AREA)
        above, below = min(1, self.first), min(1, COARSE_ROWS - self.last)
        part = field[(self.first - above) * per_row : (self.last + below) * per_row]
        large = _resized(part, height + (above + below) * self.scale, width, cv2.INTER_LINEAR)
        return large[above * self.scale : above * self.scale + height]


def _resized(field: Field, height: int, width: int, interpolation: int) -> Field:
    if field.shape == (height, width):
        return field
    return np.asarray(cv2.resize(field, (width, height), interpolation=interpolation), dtype=np.float32)


def strips(level: int) -> Iterator[Strip]:
    """The strips that make up the world at a level, from north to south."""
    row = Strip(level, 0, 1)
    rows = max(1, min(16, _STRIP_PX // (row.shape[0] * row.shape[1])))
    for first in range(0, COARSE_ROWS, rows):
        yield Strip(level, first, min(first + rows, COARSE_ROWS))


def spectral_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    slope: float,
    lowest: float,
    highest: float = np.inf,
    stretch: float = 1.0,
) -> Field:
    """Random field with a power-law spectrum, periodic in both axes.

    Args:
        rng: Source of randomness.
        shape: Height and width; wavenumbers are cycles per width.
        slope: Amplitude falls with wavenumber to minus this power.
        lowest: Wavenumber below which the spectrum is flat or, half below it, empty.
        highest: Wavenumber above which it is empty.
        stretch: How many times longer shapes are along a row than across.

    Returns:
        H x W with mean 0 and standard deviation 1.
    """
    height, width = shape
    kx = np.arange(width // 2 + 1, dtype=np.float32)[None, :] * np.float32(stretch)
    ky = np.fft.fftfreq(height, 1 / width).astype(np.float32)[:, None]
    wavenumber = np.hypot(kx, ky)
    amplitude = np.maximum(wavenumber, np.float32(lowest)) ** np.float32(-slope)
    amplitude[(wavenumber < lowest / 2) | (wavenumber > highest)] = 0
    spectrum = np.empty(wavenumber.shape, dtype=np.complex64)
    spectrum.real = rng.standard_normal(wavenumber.shape, dtype=np.float32)
    spectrum.imag = rng.standard_normal(wavenumber.shape, dtype=np.float32)
    spectrum *= amplitude
    import scipy.fft

    noise = scipy.fft.irfft2(spectrum, s=shape)
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)


def blend(picture: Field, colour: tuple[int, int, int], weight: Field) -> None:
    """Mix a colour into a picture, in place.

    Args:
        picture: 3 x H x W.
        colour: RGB.
        weight: H x W, 0 to 1.
    """
    for plane, value in zip(picture, colour, strict=True):
        np.add(plane, weight * (np.float32(value) - plane), out=plane)


def smoothstep(field: NDArray[np.floating], low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, and smooth in between."""
    t = (np.asarray(field, dtype=np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


@lru_cache(maxsize=8)
def _grain_tile(level: int, coarsest: float) -> Field:
    slope = 1.25 if coarsest < 20 else 0.9
    tile = spectral_noise(np.random.default_rng(2), (TILE_SIZE, TILE_SIZE), slope=slope, lowest=coarsest)
    for _ in range(level, _TILE_LEVEL):
        tile = cv2.resize(tile, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(tile, dtype=np.float32)


def grain(
    strip: Strip,
    offset: tuple[float, float],
    shift: tuple[Field, Field] | None = None,
    *,
    coarsest: float = 10,
) -> Field:
    """Fine grain of the strip's pixels, about -2 to 2.

    Args:
        strip: Where.
        offset: Column and row of the tile that the north-west corner of the world gets, 0 to 1.
        shift: How far the wind has carried the grain, columns and rows in base pixels, both H x W.
        coarsest: How often its largest shapes fit into the tile of 144 degrees.

    Returns:
        H x W.
    """
    tile = _grain_tile(min(strip.level, _TILE_LEVEL), coarsest)
    per_px = 2.0 ** (min(strip.level, _TILE_LEVEL) - strip.level)
    column = (np.arange(strip.shape[1], dtype=np.float32) + 0.5) * np.float32(per_px) - 0.5
    row = (np.arange(strip.rows.start, strip.rows.stop, dtype=np.float32) + 0.5) * np.float32(per_px) - 0.5
    map_x = np.broadcast_to(column + np.float32(offset[0] * len(tile)), strip.shape)
    map_y = np.broadcast_to((row + np.float32(offset[1] * len(tile)))[:, None], strip.shape)
    if shift is not None:
        per_base = np.float32(strip.shape[1] / BASE_SHAPE[1] * per_px)
        map_x, map_y = map_x + per_base * shift[0], map_y + per_base * shift[1]
    if shift is None and per_px == 1:
        rows, columns = (np.rint(place).astype(np.intp) % len(tile) for place in (map_y[:, 0], map_x[0]))
        return tile[rows].take(columns, axis=1)
    return np.asarray(
        cv2.remap(
            tile,
            np.ascontiguousarray(map_x),
            np.ascontiguousarray(map_y),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        ),
        dtype=np.float32,
    )


@lru_cache(maxsize=3)
def land(level: int) -> NDArray[np.bool_]:
    """Which pixels of a level are land (GSHHG, by the package roaring-landmask), H x W, read-only.

    The mask that the package loads (a second, some 400 MB) is let go again: only the raster is kept.
    """
    from roaring_landmask import LandmaskProvider, RoaringMask

    mask = RoaringMask.new(LandmaskProvider.Gshhg)
    world = Strip(level)
    raster = np.empty(world.shape, dtype=bool)
    longitude = world.longitude.astype(np.float64)
    for strip in strips(level):
        lat = np.repeat(strip.latitude.astype(np.float64), len(longitude))
        lon = np.tile(longitude, strip.shape[0])
        raster[strip.rows] = mask.contains_many(lon, lat).reshape(strip.shape)
    raster.setflags(write=False)
    return raster
