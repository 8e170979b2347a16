"""Clouds of a day: noise carried along by winds, thick where the climate makes it rain."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from heph_dagster.gibs.synthetic.canvas import (
    BASE_SHAPE,
    FLOW_SHAPE,
    Field,
    Strip,
    grain,
    smoothstep,
    spectral_noise,
)
from heph_dagster.gibs.synthetic.earth import dryness

_CYCLONES = 13  # per hemisphere
_WIND_STEPS = 11

# Longitude, latitude, half-widths in degrees of the stratocumulus decks off the west coasts.
_DECKS = ((-84, -18, 13, 11), (4, -16, 11, 10), (-127, 27, 11, 8), (104, -28, 11, 8), (-24, 24, 8, 8))


@dataclass(frozen=True)
class Clouds:
    """Clouds of a day, all fields on the base grid.

    Attributes:
        density: Cloud where positive, 0.8 and more where thick.
        high: How much of it is ice cloud, 0 to 1.
        shift: Columns and rows in base pixels that the wind has carried the fine structure.
        offset: Where in the grain this day starts.
    """

    density: Field
    high: Field
    shift: tuple[Field, Field]
    offset: tuple[float, float]


def clouds(rng: np.random.Generator, day: dt.date) -> Clouds:
    """Clouds of a day: the intertropical belt, dry subtropics, fronts and whirls of the middle latitudes."""
    shift = tuple(Strip(1).sample(field) for field in _wind(rng))
    low, high = (spectral_noise(rng, BASE_SHAPE, slope=1.55, lowest=9, stretch=stretch) for stretch in (0.9, 2.2))
    latitude = Strip(1).latitude[:, None]
    poleward = smoothstep(np.abs(latitude), 38, 62)
    noise = low + poleward * (high - low)
    noise /= np.sqrt((1 - poleward) ** 2 + poleward**2)
    columns, rows = np.meshgrid(np.arange(BASE_SHAPE[1], dtype=np.float32), np.arange(BASE_SHAPE[0], dtype=np.float32))
    noise = cv2.remap(
        noise,
        np.mod(columns + shift[0], BASE_SHAPE[1]),
        rows + shift[1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    clumps = spectral_noise(rng, BASE_SHAPE, slope=1.1, lowest=40)
    tropics = np.exp(-((latitude / 22) ** 4)).astype(np.float32)
    density = 0.62 * noise + (0.20 + 0.28 * tropics) * clumps + Strip(1).sample(_climate(day))
    ice = smoothstep(density + 0.5 * np.roll(noise, 300, axis=1), 0.5, 1.6)
    offset = rng.random(2)
    return Clouds(density, ice, (shift[0], shift[1]), (float(offset[0]), float(offset[1])))


def cover(strip: Strip, sky: Clouds) -> tuple[Field, Field, Field]:
    """How clouds cover a strip.

    Args:
        strip: Where.
        sky: Clouds of the day.

    Returns:
        Opacity, share of ice cloud, and brightness relative to the cloud colour, all H x W and 0 to about 1.
    """
    shift = (0.6 * strip.sample(sky.shift[0]), 0.6 * strip.sample(sky.shift[1]))
    fine = grain(strip, sky.offset, shift)
    puffs = grain(strip, sky.offset[::-1], coarsest=70)
    density = strip.sample(sky.density)
    broken = np.float32(0.27) * fine
    opacity = smoothstep(density + broken, -0.05, 0.80)
    fair_weather = np.float32(0.7) * smoothstep(puffs + 0.5 * fine + 1.6 * density, 0.2, 2.0)
    veil = np.float32(0.40) * smoothstep(density + 0.4 * broken, -0.75, 0.55)
    opacity = 1 - (1 - opacity) * (1 - fair_weather) * (1 - veil)
    brightness = 0.80 + 0.20 * smoothstep(density + 0.8 * broken, 0.0, 1.2) + 0.025 * fine
    return opacity, strip.sample(sky.high), np.asarray(brightness, dtype=np.float32)


@lru_cache(maxsize=4)
def _climate(day: dt.date) -> Field:
    """Mean cloudiness on the flow grid: rain belts follow the sun a month behind it, deserts are clear."""
    world = Strip(0)
    lon, lat = world.longitude[None, ::2], world.latitude[::2, None]
    season = math.cos(2 * math.pi * (day.timetuple().tm_yday - 205) / 365.25)
    belt = 3.0 + 5.0 * season
    bias = np.full(FLOW_SHAPE, -0.46) + 0.52 * np.exp(-(((lat - belt) / 5.5) ** 2))
    bias += 0.16 * np.exp(-(((lat - belt) / 14) ** 2))
    bias += 0.80 * np.exp(-(((np.abs(lat) - 57) / 17) ** 2)) * np.where(lat < 0, 1.15, 0.85 - 0.10 * season)
    bias += 0.20 * np.exp(-(((lat - 82) / 10) ** 2)) - 0.35 * smoothstep(-lat, 70, 80)
    for deck_lon, deck_lat, half_lon, half_lat in _DECKS:
        bias += 0.38 * np.exp(-(((lon - deck_lon) / half_lon) ** 2) - ((lat - deck_lat) / half_lat) ** 2)
    return np.asarray(bias - 0.75 * cv2.GaussianBlur(dryness()[0], (9, 9), 2.0), dtype=np.float32)


def _wind(rng: np.random.Generator) -> tuple[Field, Field]:
    """How far air has travelled, columns and rows in base pixels on the flow grid.

    A stream function of noise and cyclones drives a wind without divergence; following it backwards step by
    step draws noise out into the filaments and commas of real weather.
    """
    height, width = FLOW_SHAPE
    latitude = Strip(0).latitude[::2, None]
    middle = np.exp(-(((np.abs(latitude) - 50) / 17) ** 2)).astype(np.float32)
    stream = spectral_noise(rng, FLOW_SHAPE, slope=2.6, lowest=7, highest=40) * (0.35 + 0.65 * middle) * 2.2
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    for sign in (1, -1):
        slots = (np.arange(_CYCLONES) + rng.uniform(0.1, 0.9, _CYCLONES)) / _CYCLONES * width
        for slot in slots:
            row = (90 - sign * rng.uniform(40, 64)) / 180 * height
            radius = rng.uniform(5.0, 9.5)
            distance = (columns - slot + width / 2) % width - width / 2
            squeeze = math.cos(math.radians(90 - row / height * 180))
            bowl = np.exp(-((distance * squeeze * 1.3) ** 2 + (rows - row) ** 2) / radius**2)
            stream += np.float32(-sign * rng.uniform(0.55, 1.25) * radius) * bowl
    north_south = cv2.Sobel(stream, cv2.CV_32F, 0, 1, scale=1 / 8)
    east_west = cv2.Sobel(stream, cv2.CV_32F, 1, 0, scale=1 / 8)
    # With rows counting southward, a low spins counter-clockwise in the north for these signs.
    u, v = -north_south, east_west
    u = u + 0.5 * middle
    x, y = columns.copy(), rows.copy()
    for _ in range(_WIND_STEPS):
        wrapped = np.mod(x, width)
        x = x - 0.85 * cv2.remap(u, wrapped, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        y = y - 0.85 * cv2.remap(v, wrapped, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    per_column = BASE_SHAPE[1] / width
    return (x - columns) * np.float32(per_column), (y - rows) * np.float32(per_column)
