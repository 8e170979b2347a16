"""Where an anomaly strikes: pieces of passes, chosen on a coarse view of the day, the same at every level."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM, Satellite
from heph_dagster.gibs.swath import coverage
from heph_dagster.gibs.synthetic.anomalies import Kind
from heph_dagster.gibs.synthetic.canvas import Field, Strip

Mask = NDArray[np.bool_]

_PLAN_LEVEL = 0
_KM_PER_DEG = EARTH_RADIUS_KM * math.pi / 180
_MIN_WARP_DEG = 0.35  # a smaller displacement would not be seen


@dataclass(frozen=True)
class Segment:
    """A piece of a pass.

    Attributes:
        start_s: First scan, seconds since 00:00 UTC.
        stop_s: One past the last scan.
        left_km: Distance from nadir of its left side, negative to the left of the flight.
        right_km: Distance of its right side.
    """

    start_s: float
    stop_s: float
    left_km: float
    right_km: float

    def covers(self, time_s: Field, cross_km: Field) -> Mask:
        """Which pixels belong to it, H x W; those that no pass images are NaN and do not."""
        return np.asarray(
            (time_s >= self.start_s) & (time_s < self.stop_s) & (cross_km >= self.left_km) & (cross_km <= self.right_km)
        )


@dataclass(frozen=True)
class Bend:
    """A warped edge: pixels fetched from further inside the image or swath.

    Attributes:
        longitude: The image's edge, -180 or 180; of a swath's border, only the sign counts: its western or eastern.
        south: Latitude where it begins.
        north: Latitude where it ends.
        width_deg: How far inwards it reaches.
        reach_deg: Greatest displacement; pixels come from this far nearer the middle.
        copied: Whether all pixels come from `reach_deg` away, so that a strip is seen twice, in place of a
            displacement that swells towards the edge.
        swath: The scans of the pass whose border it is; None for the image's edge.
    """

    longitude: float
    south: float
    north: float
    width_deg: float
    reach_deg: float
    copied: bool = False
    swath: Segment | None = None

    def displacement(self, strip: Strip, time_s: Field) -> Field:
        """Degrees eastward from each pixel of a strip to where its colour comes from, 0 where it stays.

        Args:
            strip: The strip.
            time_s: H x W, when each pixel is imaged.
        """
        inward = 1.0 - self._depth(strip, time_s) / self.width_deg
        along = (strip.latitude - self.south) / (self.north - self.south)
        if self.copied:
            shift = ((along > 0) & (along < 1))[:, None] * (inward > 0) * self.reach_deg
        else:
            swell = np.where((along > 0) & (along < 1), np.sin(np.pi * along) ** 2, 0.0)
            shift = swell[:, None] * (np.maximum(inward, 0) ** 1.5) * self.reach_deg
            shift[shift < _MIN_WARP_DEG] = 0
        return np.asarray(-math.copysign(1.0, self.longitude) * shift, dtype=np.float32)

    def _depth(self, strip: Strip, time_s: Field) -> Field:
        """Degrees of longitude from the edge, 1 x W or H x W; endless outside the swath."""
        if self.swath is None:
            return np.abs(strip.longitude - self.longitude)[None, :]
        seen = (time_s >= self.swath.start_s) & (time_s < self.swath.stop_s)
        first = seen.argmax(axis=1) if self.longitude < 0 else strip.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
        depth = np.abs(strip.longitude - strip.longitude[first][:, None])
        return np.where(seen, depth, np.float32(np.inf))


@dataclass(frozen=True)
class Damage:
    """An anomaly before it is drawn.

    Attributes:
        kind: What it is.
        segments: Pieces of passes it covers; none for a warp.
        bend: The warped edge.
    """

    kind: Kind
    segments: tuple[Segment, ...] = ()
    bend: Bend | None = None

    def mask(self, strip: Strip, time_s: Field, cross_km: Field) -> Mask:
        """Which imaged pixels of a strip it covers, H x W."""
        covered = np.zeros(strip.shape, dtype=bool)
        for segment in self.segments:
            covered |= segment.covers(time_s, cross_km)
        if self.bend is not None:
            covered |= (self.bend.displacement(strip, time_s) != 0) & np.isfinite(time_s)
        return covered


@dataclass(frozen=True)
class _Granules:
    """Figures of the day's granules as far as they show, one row each."""

    number: NDArray[np.int64]
    area_km2: NDArray[np.float64]
    at_night: Mask
    at_edge: Mask
    farthest_north: NDArray[np.float64]


class Planner:
    """Finds places for a day's anomalies, clear of each other.

    Args:
        satellite: Satellite and its imager.
        day: Day.
        rng: Source of randomness.
    """

    def __init__(self, satellite: Satellite, day: dt.date, rng: np.random.Generator) -> None:
        self._satellite = satellite
        self._rng = rng
        self._world = Strip(_PLAN_LEVEL)
        self._seen = coverage(satellite, day, _PLAN_LEVEL)
        self._time = self._seen.time_s
        self._area = np.broadcast_to(self._world.pixel_area_km2[:, None], self._world.shape)
        self._free = np.ones(self._world.shape, dtype=bool)
        self._granules = self._survey()
        self._speed_km_s = 2 * math.pi * EARTH_RADIUS_KM / satellite.period_s

    def plan(self, kinds: Sequence[Kind]) -> tuple[Damage, ...]:
        """Places for anomalies, in the order of `kinds`.

        Raises:
            ValueError: A kind cannot be planned (an eclipse), or finds no room on this day.
        """
        return tuple(self._place(kind) for kind in kinds)

    def _place(self, kind: Kind) -> Damage:
        makers: dict[Kind, Callable[[], Damage | None]] = {
            Kind.MISSING_AT_POLAR_NIGHT: self._at_polar_night,
            Kind.MISSING_AT_ANTIMERIDIAN: self._at_antimeridian,
            Kind.MISSING_ORBIT: self._orbit,
            Kind.SMALL_HOLE: self._small_hole,
            Kind.EDGE_WARP: self._warp,
            Kind.EDGE_COPY: lambda: self._copied(Kind.EDGE_COPY, None),
            Kind.SWATH_WARP: self._swath_warp,
            Kind.SWATH_COPY: lambda: self._copied(Kind.SWATH_COPY, self._pass()),
            Kind.MISSING_GRANULE: self._granule,
        }
        if kind is Kind.ECLIPSE:
            raise ValueError("an eclipse cannot be planned: it comes on its day")
        for _ in range(60):
            damage = makers[kind]() if kind in makers else self._patch(kind)
            if damage is not None and self._claim(damage):
                return damage
        raise ValueError(f"no room for {kind} on this day")

    def _claim(self, damage: Damage) -> bool:
        mask = damage.mask(self._world, self._time, self._seen.cross_km)
        if not mask.any() or (mask & ~self._free).any():
            return False
        around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        self._free &= around == 0
        return True

    def _survey(self) -> _Granules:
        imaged = self._seen.imaged
        number, place = np.unique(np.floor(self._time[imaged] / self._satellite.granule_s), return_inverse=True)
        night = (self._seen.reached & ~imaged).astype(np.uint8)
        beside_night = cv2.dilate(night, np.ones((3, 3), np.uint8))[imaged] > 0
        edge = np.zeros(imaged.shape, dtype=bool)
        edge[:, [0, -1]] = True
        latitude = np.broadcast_to(np.abs(self._world.latitude)[:, None], imaged.shape)[imaged]
        farthest = np.zeros(len(number))
        np.maximum.at(farthest, place, latitude)
        count = len(number)
        return _Granules(
            number.astype(np.int64),
            np.bincount(place, self._area[imaged], count).astype(np.float64),
            np.bincount(place, beside_night, count) > 0,
            np.bincount(place, edge[imaged], count) > 0,
            farthest,
        )

    def _segment(self, number: int) -> Segment:
        length, half = self._satellite.granule_s, self._satellite.half_swath_km
        return Segment(number * length, (number + 1) * length, -half, half)

    def _any(self, fit: Mask) -> int | None:
        numbers = self._granules.number[fit]
        return int(self._rng.choice(numbers)) if len(numbers) else None

    def _granule(self) -> Damage | None:
        granules = self._granules
        number = self._any((granules.area_km2 > 6e5) & ~granules.at_night & ~granules.at_edge)
        return None if number is None else Damage(Kind.MISSING_GRANULE, (self._segment(number),))

    def _at_polar_night(self) -> Damage | None:
        granules = self._granules
        number = self._any(granules.at_night & ~granules.at_edge & (granules.area_km2 > 1.5e5))
        return None if number is None else Damage(Kind.MISSING_AT_POLAR_NIGHT, (self._segment(number),))

    def _at_antimeridian(self) -> Damage | None:
        """Granules of the first and of the last pass that face each other across the antimeridian."""
        edges = np.floor(self._time[:, [0, -1]] / self._satellite.granule_s)
        pairs, rows = np.unique(edges[np.isfinite(edges).all(axis=1)], axis=0, return_counts=True)
        pairs = pairs[rows * self._world.degrees_per_px > 5.0]
        west, east = self._rng.choice(pairs).astype(int).tolist()
        return Damage(Kind.MISSING_AT_ANTIMERIDIAN, (self._segment(west), self._segment(east)))

    def _orbit(self) -> Damage | None:
        seen = self._seen
        area = np.bincount(seen.index[seen.imaged], self._area[seen.imaged])
        crossing = float(seen.passes.time_s[self._rng.choice(np.flatnonzero(area > 6e6))])
        half, half_swath = seen.period_s / 2, self._satellite.half_swath_km
        return Damage(Kind.MISSING_ORBIT, (Segment(crossing - half, crossing + half, -half_swath, half_swath),))

    def _small_hole(self) -> Damage | None:
        granules = self._granules
        number = self._any((granules.area_km2 > 1e6) & ~granules.at_night & ~granules.at_edge)
        if number is None:
            return None
        length = math.exp(self._rng.uniform(math.log(60), math.log(400)))
        scans = self._part(self._segment(number), length)
        return self._large_enough(Damage(Kind.SMALL_HOLE, (scans,)), 2e4)

    def _patch(self, kind: Kind) -> Damage | None:
        granules = self._granules
        number = self._any((granules.area_km2 > 4e5) & ~granules.at_edge)
        if number is None:
            return None
        whole = self._segment(number)
        length = self._rng.uniform(0.35, 1.0) * self._satellite.granule_s * self._speed_km_s
        return self._large_enough(Damage(kind, (self._part(whole, length),)), 1.2e5)

    def _part(self, whole: Segment, length_km: float) -> Segment:
        """Some scan lines of a granule, half of the time only part of their width."""
        rng, half = self._rng, self._satellite.half_swath_km
        length = min(length_km / self._speed_km_s, whole.stop_s - whole.start_s)
        start = whole.start_s + rng.uniform(0, 1) * (whole.stop_s - whole.start_s - length)
        if rng.random() < 0.5:
            return Segment(start, start + length, -half, half)
        width = rng.uniform(0.25, 0.7) * half
        left = rng.uniform(-0.8 * half, 0.8 * half - width)
        return Segment(start, start + length, left, left + width)

    def _large_enough(self, damage: Damage, area_km2: float) -> Damage | None:
        mask = damage.mask(self._world, self._time, self._seen.cross_km)
        return damage if float(self._area[mask].sum()) >= area_km2 else None

    def _warp(self) -> Damage | None:
        rng = self._rng
        south = rng.uniform(-50, 15)
        bend = Bend(
            longitude=float(rng.choice([-180.0, 180.0])),
            south=south,
            north=south + rng.uniform(18, 35),
            width_deg=rng.uniform(9, 16),
            reach_deg=rng.uniform(4, 8),
        )
        return Damage(Kind.EDGE_WARP, bend=bend)

    def _swath_warp(self) -> Damage:
        """A bent border of a pass; its middle is 10 degrees or more away, the bend is narrower."""
        rng = self._rng
        south = rng.uniform(-45, 20)
        bend = Bend(
            longitude=float(rng.choice([-180.0, 180.0])),
            south=south,
            north=south + rng.uniform(15, 25),
            width_deg=rng.uniform(6, 9),
            reach_deg=rng.uniform(2.5, 5),
            swath=self._pass(),
        )
        return Damage(Kind.SWATH_WARP, bend=bend)

    def _copied(self, kind: Kind, swath: Segment | None) -> Damage:
        """A strip along an edge that shows its neighbour once more."""
        rng = self._rng
        south, width = rng.uniform(-50, 25), rng.uniform(2.5, 6)
        side = float(rng.choice([-180.0, 180.0]))
        return Damage(kind, bend=Bend(side, south, south + rng.uniform(12, 25), width, width, copied=True, swath=swath))

    def _pass(self) -> Segment:
        """The day side of a pass that stays clear of the antimeridian between 50 degrees north and south."""
        passes, half = self._seen.passes, self._seen.period_s / 4
        crossing = float(self._rng.choice(passes.time_s[np.abs(passes.longitude) < 140]))
        half_swath = self._satellite.half_swath_km
        return Segment(crossing - half, crossing + half, -half_swath, half_swath)
