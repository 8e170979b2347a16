"""What all synthetic interferograms of a frame have in common: size, ground, sea and swath."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import cos, radians, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Annotation, Polygon
from heph_dagster.hephaestus.synthetic.fields import Map, random_field, reduced_shape
from heph_dagster.hephaestus.synthetic.orbit import LineOfSight, line_of_sight
from heph_dagster.hephaestus.synthetic.seeds import generator

HALF = 2
"""Terrain and atmosphere are drawn at half of the resolution: pixels of 740 m."""

LARGEST_CHANGE = 64
"""Most px by which an interferogram is larger than its frame usually is."""

_SIZES = (680, 1160)
_MARGIN = 24  # px between an outline and the end of the data
_LEAST_RADIUS, _LARGEST_RADIUS = 16.0, 60.0
_SHARE_CHANGED = 0.02


@dataclass(frozen=True)
class Volcano:
    """A place in a frame where the ground deforms.

    Attributes:
        x: Column in px.
        y: Row in px.
        radius: Of what deforms, in px.
        height: Above its surroundings, in km.
    """

    x: float
    y: float
    radius: float
    height: float


@dataclass(frozen=True)
class Scene:
    """A frame.

    Attributes:
        frame: Its ID.
        seed: Seed of everything that is made.
        shape: Height and width of most of its interferograms, in px.
        volcanoes: Where its ground deforms.
        bounds: West, north, east and south end of all outlines, in px.
    """

    frame: str
    seed: int
    shape: tuple[int, int]
    volcanoes: tuple[Volcano, ...]
    bounds: tuple[float, float, float, float]

    @cached_property
    def sight(self) -> LineOfSight:
        """Line of sight of its orbit."""
        return line_of_sight(self.frame)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of what even its largest interferogram fits in."""
        return self.shape[0] + LARGEST_CHANGE, self.shape[1] + LARGEST_CHANGE

    @cached_property
    def heights(self) -> Map:
        """Heights above the sea in km at half of the resolution, 0 at sea; half the canvas's size."""
        rng = generator(self.seed, self.frame, "heights")
        shape = reduced_shape(self.canvas, HALF)
        sea = rng.uniform(0.05, 0.4) if rng.uniform() < 0.5 else 0.0
        ground = random_field(rng, shape, _terrain)
        ground *= np.float32(rng.uniform(0.25, 0.6))
        x = np.arange(shape[1], dtype=np.float32)[None, :] * HALF
        y = np.arange(shape[0], dtype=np.float32)[:, None] * HALF
        for volcano in self.volcanoes:
            distance = np.hypot(x - np.float32(volcano.x), y - np.float32(volcano.y)) / np.float32(volcano.radius)
            # A cone with a foot that lifts its surroundings out of the sea.
            ground += np.float32(volcano.height) * np.exp(-distance) + np.exp(-((distance / 2) ** 2))
        level = np.quantile(ground, sea) if sea else ground.min() - 0.01
        return np.asarray(np.maximum(ground - np.float32(level), 0))

    @cached_property
    def cover(self) -> Map:
        """How well the ground keeps its coherence, beside other ground: mean 0, standard deviation 1; as `heights`."""
        return random_field(generator(self.seed, self.frame, "cover"), self.heights.shape, _cover)

    def swath(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where there are data: a parallelogram along the flight that holds all outlines.

        Args:
            shape: Height and width of the interferogram.

        Returns:
            H x W.
        """
        height, width = shape
        along, across = self.axes
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)])
        west, north, east, south = self.bounds
        held = np.array([(west, north), (east, north), (west, south), (east, south)])
        middle = np.array([width / 2, height / 2])
        lines = []
        for axis, slack in ((across, 0.16), (along, 0.04)):
            ends, inner = (corners - middle) @ axis, (held - middle) @ axis
            rim = slack * (ends.max() - ends.min())
            low, high = min(ends.min() + rim, inner.min() - _MARGIN), max(ends.max() - rim, inner.max() + _MARGIN)
            lines.append((low, high))
        (left, right), (first, last) = lines
        order = ((left, first), (right, first), (right, last), (left, last))
        outline = np.array([middle + a * across + b * along for a, b in order])
        inside: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
        cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 1)
        return inside.astype(bool)

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unit vectors (x, y) in px along the flight and to the right of it."""
        heading = radians(self.sight.heading)
        return np.array([sin(heading), -cos(heading)]), np.array([cos(heading), sin(heading)])


def scenes(annotations: Iterable[Annotation], seed: int) -> dict[str, Scene]:
    """The frames of annotations.

    A frame's size follows from its ID, and grows where an outline needs it; its volcanoes are where its deformations
    are. So a frame is the same only for the same annotations of it.

    Args:
        annotations: All annotations of each frame.
        seed: Seed of everything that is made.

    Returns:
        A scene by frame.

    Raises:
        ValueError: A frame's ID is none.
    """
    polygons: dict[str, list[Polygon]] = {}
    for annotation in sorted(annotations, key=lambda each: each.unique_id):
        polygons.setdefault(annotation.frame, []).extend(each.polygon for each in annotation.deformations)
    return {frame: _scene(frame, seed, outlines) for frame, outlines in sorted(polygons.items())}


def usual_shape(frame: str, seed: int) -> tuple[int, int]:
    """Height and width of a frame's interferograms, where no outline needs more."""
    height, width = generator(seed, frame, "size").integers(*_SIZES, size=2)
    return int(height), int(width)


def image_shape(scene: Scene, annotation: Annotation) -> tuple[int, int]:
    """Height and width of an interferogram: its frame's, but for one in fifty.

    Args:
        scene: The frame.
        annotation: The annotation, whose outlines it holds.

    Returns:
        Height and width in px.
    """
    rng = generator(scene.seed, scene.frame, annotation.dates)
    if rng.uniform() >= _SHARE_CHANGED:
        return scene.shape
    height, width = (int(size + change) for size, change in zip(scene.shape, rng.integers(-40, 41, 2), strict=True))
    outlines = [each.polygon.max(axis=0) + _MARGIN for each in annotation.deformations]
    right, bottom = np.ceil(np.max(outlines, axis=0)).astype(int).tolist() if outlines else (0, 0)
    return max(height, bottom), max(width, right)


def _scene(frame: str, seed: int, outlines: Sequence[Polygon]) -> Scene:
    line_of_sight(frame)
    height, width = usual_shape(frame, seed)
    if not outlines:
        middle = (width / 2, height / 2)
        return Scene(frame, seed, (height, width), _volcanoes(frame, seed, [(*middle, _LEAST_RADIUS)]), middle * 2)
    low = np.min([each.min(axis=0) for each in outlines], axis=0)
    high = np.max([each.max(axis=0) for each in outlines], axis=0)
    width, height = (max(size, int(np.ceil(end)) + _MARGIN) for size, end in zip((width, height), high, strict=True))
    places = []
    for outline in outlines:
        first, last = outline.min(axis=0), outline.max(axis=0)
        x, y = ((first + last) / 2).tolist()
        places.append((x, y, float(np.clip(np.max(last - first) / 2, _LEAST_RADIUS, _LARGEST_RADIUS))))
    volcanoes = _volcanoes(frame, seed, places)
    return Scene(frame, seed, (height, width), volcanoes, (*low.tolist(), *high.tolist()))


def _volcanoes(frame: str, seed: int, places: Sequence[tuple[float, float, float]]) -> tuple[Volcano, ...]:
    """A volcano for each place that is not on the slopes of an earlier one."""
    rng = generator(seed, frame, "volcanoes")
    found: list[Volcano] = []
    for x, y, radius in places:
        if all(np.hypot(each.x - x, each.y - y) > 1.5 * each.radius for each in found):
            found.append(Volcano(x, y, radius, float(rng.uniform(0.8, 2.4))))
    return tuple(found)


def _terrain(wavenumber: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power of topography: Turcotte, "Fractals and Chaos in Geology and Geophysics", 1997, section 7."""
    return np.maximum(wavenumber, 1 / 160) ** -3.4


def _cover(wavenumber: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(wavenumber, 1 / 100) ** -2.6
