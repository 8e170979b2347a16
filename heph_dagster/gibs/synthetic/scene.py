"""A day of global imagery made from nothing, with the exact truth about what is wrong with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import Satellite, satellite_of
from heph_dagster.gibs.sun import eclipse_obscuration_grid
from heph_dagster.gibs.swath import Coverage, coverage
from heph_dagster.gibs.synthetic.anomalies import (
    ANOMALOUS_DAYS,
    ECLIPSE_BLACK_CODE,
    Anomaly,
    Kind,
    random_of,
    schedule,
)
from heph_dagster.gibs.synthetic.canvas import Field, Strip, land, strips
from heph_dagster.gibs.synthetic.clouds import Clouds, clouds, cover
from heph_dagster.gibs.synthetic.damage import Damage, Planner
from heph_dagster.gibs.synthetic.earth import Palette, frozen, palette_of, surface
from heph_dagster.gibs.synthetic.light import illuminate, light_table
from heph_dagster.gibs.synthetic.measure import POLAR_NIGHT, SWATH_GAP, measure

DIMMEST_VALID = 25
"""Least value of the brightest channel of a pixel that is not black."""

_VISIBLE_OBSCURATION = 0.1  # darker than that, an edge of the shadow would show
_BLACK_OBSCURATION = 0.9
_FRINGE_KM = 40.0
_MAX_LEVEL = 8


@dataclass(frozen=True)
class SyntheticDay:
    """One day of a layer, H x W px, rows from north to south, columns from 180 W to 180 E (EPSG:4326).

    Attributes:
        layer: GIBS identifier.
        day: Day.
        level: Zoom level: H is 320 * 2^level, W twice that.
        image: H x W x 3, uint8, RGB; no data is exactly (0, 0, 0), and nothing else is near it.
        expected_data: H x W, whether the instrument images the pixel on that day if all goes well.
        truth: H x W, uint8: 0 valid, an anomaly's id, 254 gap between swaths, 255 polar night.
        anomalies: What is wrong, by id.
    """

    layer: str
    day: dt.date
    level: int
    image: NDArray[np.uint8]
    expected_data: NDArray[np.bool_]
    truth: NDArray[np.uint8]
    anomalies: tuple[Anomaly, ...]


def render_day(
    layer: str,
    day: dt.date,
    *,
    seed: int,
    level: int,
    kinds: Sequence[Kind] | None = None,
    anomalous: int = ANOMALOUS_DAYS,
) -> SyntheticDay:
    """Paint one day of a layer.

    The weather depends on seed and day alone, so that all layers of a day show the same clouds; anomalies
    depend on the layer too. Nothing depends on what was painted before.

    Args:
        layer: GIBS identifier; satellite and colours follow from it.
        day: Day.
        seed: Non-negative; the same seed gives the same bytes.
        level: Zoom level, 0 (640 x 320 px) to 8; made for 0 to 4.
        kinds: Anomalies to have, instead of those that `schedule` deals to the day. An eclipse comes by
            itself.
        anomalous: How many of ten days `schedule` deals anomalies to.

    Returns:
        Image, expected data and truth.

    Raises:
        ValueError: The satellite is unknown, the level or seed is out of range, an eclipse is asked for, or
            there is no room for all `kinds`.
    """
    satellite = satellite_of(layer)
    if not 0 <= level <= _MAX_LEVEL:
        raise ValueError(f"level {level} is not within 0 to {_MAX_LEVEL}")
    if kinds is None:
        kinds = schedule(layer, day, seed=seed, anomalous=anomalous)
    painter = _Painter.of(layer, satellite, day, seed, Planner(satellite, day, random_of(seed, day, layer)).plan(kinds))
    world = Strip(level)
    image = np.empty((*world.shape, 3), dtype=np.uint8)
    expected = np.empty(world.shape, dtype=bool)
    truth = np.empty(world.shape, dtype=np.uint8)
    for strip in strips(level):
        painter.paint(strip, image[strip.rows], expected[strip.rows], truth[strip.rows])
    return SyntheticDay(layer, day, level, image, expected, truth, painter.records(image, truth))


@dataclass(frozen=True)
class _Painter:
    """Everything about a day that its strips share."""

    satellite: Satellite
    day: dt.date
    palette: Palette
    sky: Clouds
    light: Field
    damages: tuple[Damage, ...]

    @classmethod
    def of(cls, layer: str, satellite: Satellite, day: dt.date, seed: int, damages: tuple[Damage, ...]) -> _Painter:
        sky = clouds(random_of(seed, day, "clouds"), day)
        return cls(satellite, day, palette_of(layer), sky, light_table(satellite, day), damages)

    @property
    def eclipse_id(self) -> int:
        return len(self.damages) + 1

    def paint(
        self, strip: Strip, image: NDArray[np.uint8], expected: NDArray[np.bool_], truth: NDArray[np.uint8]
    ) -> None:
        """Fill one strip of the day's arrays."""
        seen = coverage(self.satellite, self.day, strip.level, rows=strip.rows)
        time = seen.time_s
        colour = self._scene(strip, seen)
        masks = [damage.mask(strip, time, seen.cross_km) for damage in self.damages]
        for damage, mask in zip(self.damages, masks, strict=True):
            if damage.bend is not None and mask.any():
                _warp(colour, mask, damage.bend.displacement(strip, time) / np.float32(strip.degrees_per_px))
        obscured = eclipse_obscuration_grid(self.day, time, strip.longitude, strip.latitude)
        if obscured.any():
            colour *= 1 - obscured
        for damage, mask in zip(self.damages, masks, strict=True):
            if damage.kind.colour is not None and mask.any():
                _miscolour(colour, mask, damage, seen.cross_km)
        _brighten(colour)
        np.clip(colour, 0, 255, out=colour)
        for band, plane in enumerate(colour):
            image[..., band] = plane
        truth[:] = np.where(obscured > _VISIBLE_OBSCURATION, self.eclipse_id, 0)
        black = obscured > _BLACK_OBSCURATION
        for number, (damage, mask) in enumerate(zip(self.damages, masks, strict=True), start=1):
            truth[mask] = number
            black &= ~mask
            if damage.kind.is_missing:
                black |= mask
        expected[:] = seen.imaged
        truth[~expected] = POLAR_NIGHT
        truth[~seen.reached] = SWATH_GAP
        image[black | ~expected] = 0

    def _scene(self, strip: Strip, seen: Coverage) -> Field:
        """The lit Earth under its clouds, 3 x H x W."""
        colour = surface(strip, self.palette, self.day)
        opacity, high, brightness = cover(strip, self.sky)
        for plane, low, ice in zip(colour, self.palette.cloud, self.palette.high_cloud, strict=True):
            tone = brightness * (np.float32(low) + high * np.float32(ice - low))
            np.add(plane, opacity * (tone - plane), out=plane)
        water = (1 - opacity) * (1 - strip.sample(frozen(self.day)[1]))
        water[land(strip.level)[strip.rows]] = 0
        illuminate(colour, seen, self.light, self.palette, half_swath_km=self.satellite.half_swath_km, sea=water)
        return colour

    def records(self, image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[Anomaly, ...]:
        """The anomalies that show, measured."""
        found = [
            measure(truth, number, damage.kind, damage.kind.code) for number, damage in enumerate(self.damages, start=1)
        ]
        eclipse = truth == self.eclipse_id
        if eclipse.any():
            code = Kind.ECLIPSE.code if image[eclipse].any(axis=-1).all() else ECLIPSE_BLACK_CODE
            found.append(measure(truth, self.eclipse_id, Kind.ECLIPSE, code))
        return tuple(found)


def _warp(colour: Field, mask: NDArray[np.bool_], shift: Field) -> None:
    """Fetch the pixels of a mask from `shift` columns further east, in place."""
    rows = np.flatnonzero(mask.any(axis=1))
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    height, width = shift[part].shape
    map_x = np.arange(width, dtype=np.float32) + shift[part]
    map_y = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    for plane in colour:
        bent = cv2.remap(plane[part], map_x, map_y, cv2.INTER_LINEAR)
        np.copyto(plane[part], bent, where=mask[part])


def _miscolour(colour: Field, mask: NDArray[np.bool_], damage: Damage, cross_km: Field) -> None:
    """Saturate the pixels of a mask, in place: bands that are lost go to 0, the others near their maximum.

    The patch keeps a trace of what was there. Magenta has the yellow fringe along one side that real patches
    have.
    """
    if damage.kind.colour is None:
        return
    brightness = colour[:, mask].max(axis=0) * np.float32(0.08) + np.float32(235)
    hue = np.repeat(np.array(damage.kind.colour, dtype=np.float32)[:, None] / 255, len(brightness), axis=1)
    if damage.kind is Kind.MAGENTA:
        right_km = max(segment.right_km for segment in damage.segments)
        hue[:, cross_km[mask] > right_km - _FRINGE_KM] = np.array([[1], [1], [0]], dtype=np.float32)
    colour[:, mask] = brightness * hue


def _brighten(colour: Field) -> None:
    """Lift the blue of pixels that could pass for missing, in place."""
    dim = np.maximum(np.maximum(colour[0], colour[1]), colour[2]) < DIMMEST_VALID
    colour[2][dim] = DIMMEST_VALID
