"""The cloudless Earth: deserts, forests, ice and sea in the colours of a layer, and the season's snow."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from heph_dagster.gibs.synthetic.canvas import (
    BASE_SHAPE,
    FLOW_SHAPE,
    Field,
    Strip,
    blend,
    grain,
    land,
    smoothstep,
    spectral_noise,
)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """RGB colours of what is seen from space in one band combination.

    Attributes:
        ocean: Open sea.
        forest: Tropical forest.
        savanna: Dry grass and fields.
        temperate: Mid-latitude fields and woods.
        boreal: Northern forest.
        tundra: Beyond the trees.
        sand: Pale desert.
        red_soil: Iron-rich desert.
        snow: Snow and ice sheets.
        sea_ice: Broken ice on the sea.
        cloud: Low and thick cloud.
        high_cloud: Ice cloud.
        haze: What the atmosphere adds towards the edge of the swath.
        glint: Sunlight mirrored by the sea.
    """

    ocean: Colour
    forest: Colour
    savanna: Colour
    temperate: Colour
    boreal: Colour
    tundra: Colour
    sand: Colour
    red_soil: Colour
    snow: Colour
    sea_ice: Colour
    cloud: Colour
    high_cloud: Colour
    haze: Colour
    glint: Colour


TRUE_COLOUR = Palette(
    ocean=(11, 18, 50),
    forest=(52, 70, 44),
    savanna=(114, 102, 66),
    temperate=(92, 90, 62),
    boreal=(64, 68, 50),
    tundra=(82, 74, 64),
    sand=(196, 169, 132),
    red_soil=(142, 94, 60),
    snow=(243, 246, 247),
    sea_ice=(236, 241, 243),
    cloud=(247, 248, 248),
    high_cloud=(238, 240, 243),
    haze=(150, 170, 195),
    glint=(190, 186, 180),
)
# Red 2.1 um, green 0.86 um, blue 0.65 um: vegetation bright green, ice cyan, soil orange to pink.
SHORTWAVE_RED = Palette(
    ocean=(4, 10, 34),
    forest=(38, 128, 24),
    savanna=(136, 130, 58),
    temperate=(70, 140, 40),
    boreal=(48, 108, 30),
    tundra=(124, 112, 78),
    sand=(226, 176, 128),
    red_soil=(194, 110, 62),
    snow=(24, 206, 232),
    sea_ice=(40, 186, 212),
    cloud=(238, 242, 244),
    high_cloud=(120, 222, 238),
    haze=(70, 90, 130),
    glint=(190, 186, 180),
)
# Red 0.47 um, green 1.6 um, blue 2.1 um: ice and snow red, soil cyan to green, high cloud peach.
SHORTWAVE_CYAN = Palette(
    ocean=(26, 12, 40),
    forest=(40, 92, 42),
    savanna=(66, 142, 112),
    temperate=(56, 124, 70),
    boreal=(46, 96, 50),
    tundra=(76, 118, 104),
    sand=(96, 214, 196),
    red_soil=(58, 168, 130),
    snow=(226, 44, 36),
    sea_ice=(204, 48, 44),
    cloud=(244, 238, 232),
    high_cloud=(240, 172, 140),
    haze=(120, 84, 96),
    glint=(180, 184, 190),
)

# Longitude, latitude, half-widths in degrees, how dry, how red.
_DRYLANDS = (
    (5, 23, 25, 9.0, 1.1, 0.1),
    (26, 24, 12, 9.0, 1.1, 0.1),
    (48, 23, 13, 9.5, 1.1, 0.1),
    (60, 31, 11, 7.0, 0.85, 0.15),
    (69, 28, 6, 5.0, 0.8, 0.1),
    (63, 44, 14, 6.5, 0.6, 0.3),
    (82, 39, 10, 4.5, 0.95, 0.1),
    (104, 42, 13, 5.5, 0.8, 0.2),
    (88, 33, 11, 4.5, 0.6, 0.4),
    (128, -24, 15, 8.0, 0.95, 1.0),
    (140, -27, 8, 8.0, 0.8, 0.8),
    (19, -24, 7, 7.0, 0.8, 0.6),
    (23, -31, 6, 3.0, 0.7, 0.6),
    (-112, 35, 8, 7.0, 0.75, 0.5),
    (-104, 28, 5, 5.0, 0.65, 0.5),
    (-103, 42, 7, 7.0, 0.45, 0.3),
    (-69, -22, 3.5, 8.0, 0.9, 0.6),
    (-69, -44, 4, 8.0, 0.7, 0.6),
    (-41, -9, 4.5, 5.0, 0.6, 0.9),
    (-47, -14, 6, 6.0, 0.4, 0.8),
    (25, -12, 12, 7.0, 0.38, 0.6),
    (44, 6, 7, 7.0, 0.75, 0.7),
    (-4, 40, 4, 3.0, 0.5, 0.4),
    (36, 38, 8, 3.0, 0.6, 0.3),
    (77, 19, 5, 6.0, 0.45, 0.6),
    (46, -22, 2.5, 5.0, 0.6, 1.0),
)


def palette_of(layer: str) -> Palette:
    """The palette of a layer, by the band combination in its identifier; true colour by default."""
    if any(bands in layer for bands in ("Bands367", "BandsM3-I3-M11")):
        return SHORTWAVE_CYAN
    if any(bands in layer for bands in ("Bands721", "BandsM11-I2-I1")):
        return SHORTWAVE_RED
    return TRUE_COLOUR


@lru_cache(maxsize=1)
def dryness() -> tuple[Field, Field]:
    """How dry the land is and how red its soil, 0 to 1, both on the flow grid."""
    world = Strip(0)
    lon, lat = world.longitude[None, ::2], world.latitude[::2, None]
    dry = np.zeros(FLOW_SHAPE, dtype=np.float32)
    red = np.zeros(FLOW_SHAPE, dtype=np.float32)
    for centre_lon, centre_lat, half_lon, half_lat, how_dry, how_red in _DRYLANDS:
        distance = ((lon - centre_lon) / half_lon) ** 2 + ((lat - centre_lat) / half_lat) ** 2
        weight = np.exp(-(distance**1.7)).astype(np.float32)
        dry = np.maximum(dry, how_dry * weight)
        red += weight * (how_red - red) * (weight > 0.02)
    return dry, red


@lru_cache(maxsize=3)
def _ground(palette: Palette) -> Field:
    """Colours of the snowless land on the base grid, 3 x H x W: climates by latitude, and deserts."""
    rng = np.random.default_rng(1)
    patches = spectral_noise(rng, BASE_SHAPE, slope=1.3, lowest=24)
    mottle = spectral_noise(rng, BASE_SHAPE, slope=0.9, lowest=80)
    base = Strip(1)
    dry, red = (base.sample(field) for field in dryness())
    latitude = np.broadcast_to(base.latitude[:, None], BASE_SHAPE) + 3 * patches
    climates = (
        (palette.savanna, 7, 19),
        (palette.temperate, 24, 33),
        (palette.boreal, 47, 54),
        (palette.tundra, 62, 69),
    )
    colour = np.empty((3, *BASE_SHAPE), dtype=np.float32)
    colour[:] = np.array(palette.forest)[:, None, None]
    for tone, start, full in climates:
        blend(colour, tone, smoothstep(np.abs(latitude), start, full))
    soil = np.empty_like(colour)
    soil[:] = np.array(palette.sand)[:, None, None]
    blend(soil, palette.red_soil, np.clip(red + 0.10 * patches, 0, 1))
    colour += smoothstep(dry + 0.09 * patches + 0.04 * mottle, 0.15, 0.85) * (soil - colour)
    colour *= 1 + 0.055 * mottle + 0.06 * patches
    return np.clip(colour, 12, 250)


@lru_cache(maxsize=1)
def _raggedness() -> Field:
    return spectral_noise(np.random.default_rng(3), BASE_SHAPE, slope=1.5, lowest=12)


@lru_cache(maxsize=4)
def frozen(day: dt.date) -> tuple[Field, Field]:
    """Snow cover of the land and ice cover of the sea on a day, 0 to 1, both on the base grid.

    The northern snow line swings from 45 N in early February to 80 N in August; sea ice lags six weeks behind
    and stays clear of the North Atlantic Drift.
    """
    base = Strip(1)
    lon, lat = base.longitude[None, :], base.latitude[:, None]
    phase = 2 * math.pi * (day.timetuple().tm_yday - 35) / 365.25
    ragged = _raggedness()
    drift = np.exp(-(((lon - 15) / 32) ** 2))
    snow_line = 63 - 17 * math.cos(phase) + 7 * drift - 3 * np.exp(-(((lon - 100) / 35) ** 2))
    snow = smoothstep(lat + 3.5 * ragged - snow_line, -1.5, 3.0)
    ice_line = 76 - 5 * math.cos(phase - 0.75) + 7 * drift
    ice = smoothstep(lat + 2.0 * ragged - ice_line, -0.5, 1.5)
    southern_line = 65.5 + 4.0 * math.cos(phase - 0.75)
    southern = smoothstep(-lat + 1.8 * ragged - southern_line, -0.5, 1.5)
    greenland = ((lon + 41) / 15) ** 2 + ((lat - 72) / 11.5) ** 2 + 0.10 * ragged
    sheet = np.maximum(smoothstep(-greenland, -1.05, -0.85), smoothstep(lat + ragged, 78.5, 80))
    snow = np.maximum.reduce([snow, sheet, smoothstep(-lat, 61.0, 62.5) + 0 * snow])
    return snow.astype(np.float32), np.maximum(ice, southern).astype(np.float32)


def surface(strip: Strip, palette: Palette, day: dt.date) -> Field:
    """Colours of the cloudless Earth in a strip.

    Args:
        strip: Where.
        palette: Colours of the layer's band combination.
        day: Day whose snow and sea ice to show.

    Returns:
        3 x H x W, 0 to 255.
    """
    snow, ice = (strip.sample(field) for field in frozen(day))
    texture = grain(strip, (0.3, 0.7))
    is_land = land(strip.level)[strip.rows]
    bare = 1 + np.float32(0.055) * texture
    freezing = bool((snow > 0).any() or (ice > 0).any())
    white = np.where(is_land, snow, smoothstep(ice + 0.16 * texture * (ice > 0), 0.25, 0.6)) if freezing else snow
    colour = np.empty((3, *strip.shape), dtype=np.float32)
    for plane, ground, sea, on_land, on_sea in zip(
        colour, _ground(palette), palette.ocean, palette.snow, palette.sea_ice, strict=True
    ):
        np.multiply(np.where(is_land, strip.sample(ground), np.float32(sea)), bare, out=plane)
        if freezing:
            white_tone = np.where(is_land, np.float32(on_land), np.float32(on_sea))
            np.add(plane, white * (white_tone - plane), out=plane)
    return colour
