"""Sources of deformation placed and scaled so that their fringes fill an outline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, degrees, pi, radians, sin, sqrt

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Intensity, Phase, Polygon
from heph_dagster.hephaestus.synthetic.fields import Map
from heph_dagster.hephaestus.synthetic.halfspace import Displacement, Field, Rectangle, mogi, okada, spheroid
from heph_dagster.hephaestus.synthetic.orbit import PIXEL_METRES, RADIANS_PER_METRE, LineOfSight

OUTLINE_FRINGES = 0.5
"""Fringes at the outline: beyond it, what is left is less than half a colour cycle, which no annotator follows."""

_FRINGES = {Intensity.LOW: (1.0, 1.3), Intensity.MEDIUM: (1.7, 2.4), Intensity.HIGH: (3.2, 4.8), None: (1.8, 3.6)}
_LEAST_PX_PER_FRINGE = 2.2
_ROUNDS = 6
_GRID, _FINE_GRID = 40, 161
_WINDOW = 1.8  # semi-axes of the outline's ellipse that the search looks at
_SHORTEST, _LONGEST = 0.8, 12.0
_COARSE_STEP = 16
_TWO_LOBES = {Activity.DYKE, Activity.EARTHQUAKE}
_UNIDENTIFIED = (Activity.MOGI, Activity.SILL, Activity.DYKE, Activity.SPHEROID)


@dataclass(frozen=True)
class Source:
    """A source of deformation under an interferogram. Its lengths are in units of its depth.

    Attributes:
        activity: Its kind; never unidentified.
        x: Column of its centre in px.
        y: Row of its centre in px.
        depth: Of its centre, in metres.
        strike: Direction that it is stretched in, degrees clockwise from north.
        length: How long it is: a plane's length; the distance of the outer two of three points in a row.
        width: Of a plane, down dip; the ratio of the semi-axes of a spheroid.
        dip: Of a plane; the plunge of a spheroid's axis.
        rake: Of the slip of a fault.
        fringes: Phase at the strongest, in fringes; negative for movement away from the satellite.
    """

    activity: Activity
    x: float
    y: float
    depth: float
    strike: float
    length: float
    width: float
    dip: float
    rake: float
    fringes: float

    @property
    def top(self) -> float:
        """Depth of what is least deep, in metres: how large the smallest features on the ground are."""
        if self.activity in {Activity.MOGI, Activity.SPHEROID}:
            return self.depth
        return self.depth * (1 - self.width / 2 * sin(radians(self.dip)))

    def shape(self, x: Field, y: Field, sight: LineOfSight) -> Field:
        """Displacement towards the satellite of a source of unit strength.

        Args:
            x: Columns of the places in px.
            y: Rows of the places in px.
            sight: Line of sight.

        Returns:
            The displacement, in no unit.
        """
        east = (x - self.x) * PIXEL_METRES
        north = (self.y - y) * PIXEL_METRES
        if self.activity in {Activity.MOGI, Activity.SPHEROID}:
            return self._points(east, north, sight)
        plane = Rectangle(self.depth, self.length * self.depth, self.width * self.depth, self.strike, self.dip)
        if self.activity is Activity.EARTHQUAKE:
            rake = radians(self.rake)
            moved = okada(east, north, plane, strike_slip=cos(rake), dip_slip=sin(rake))
        else:
            moved = okada(east, north, plane, opening=1.0)
        return sight.towards(moved)

    def _points(self, east: Field, north: Field, sight: LineOfSight) -> Field:
        """Three points in a row, or one where the row has no length."""
        step = self.length * self.depth / 2
        total = np.zeros_like(east)
        for offset in (-step, 0.0, step) if step else (0.0,):
            x = east - offset * sin(radians(self.strike))
            y = north - offset * cos(radians(self.strike))
            total += sight.towards(self._point(x, y))
        return total

    def _point(self, x: Field, y: Field) -> Displacement:
        if self.activity is Activity.MOGI:
            return mogi(x, y, self.depth, 1.0)
        return spheroid(x, y, self.depth, (self.width, 1.0), self.strike, self.dip, 1.0)


def place(annotation: Annotation, sight: LineOfSight, rng: np.random.Generator) -> tuple[Source, ...]:
    """A source for each deformation of an annotation, whose fringes fill its outline.

    Mogi sources and spheroids, whose patterns are round, stand in a row of three under a long outline. Dykes and sills
    open. Where nobody identified the source, it is one of those four. Volcanoes in
    rebound move away from the satellite where they came nearer before. Earthquakes are dip slip, with some strike slip.

    Args:
        annotation: The annotation.
        sight: Line of sight.
        rng: Source of randomness.

    Returns:
        The sources.
    """
    return tuple(fitted(each, sight, rng, sinks=annotation.phase is Phase.REBOUND) for each in annotation.deformations)


def fitted(deformation: Deformation, sight: LineOfSight, rng: np.random.Generator, *, sinks: bool) -> Source:
    """A source whose fringes fill an outline.

    What is above half a fringe gets the centroid, the area and, by the source's length, the elongation of the outline.
    Dykes and faults are tried along it and across it: their two lobes may lie side by side.

    Args:
        deformation: What was annotated.
        sight: Line of sight.
        rng: Source of randomness.
        sinks: Whether a volcano sinks.

    Returns:
        The source.
    """
    ellipse = Ellipse.of(deformation.polygon)
    fringes = rng.uniform(*_FRINGES[deformation.intensity])
    fringes = max(1.0, min(fringes, ellipse.across / _LEAST_PX_PER_FRINGE))
    drawn = replace(_draw(deformation.activity, ellipse, rng), fringes=-fringes if sinks else fringes)
    reach = np.linspace(-1, 1, _GRID) * _WINDOW * ellipse.along
    x, y = np.meshgrid(ellipse.x + reach, ellipse.y + reach)
    inside = shapely.contains_xy(shapely.Polygon(deformation.polygon), x, y)
    best, agreement = drawn, -1.0
    for target in (ellipse, ellipse.turned()) if drawn.activity in _TWO_LOBES else (ellipse,):
        source = replace(drawn, strike=target.strike)
        for _ in range(_ROUNDS):
            source = _improved(source, target, sight, x, y)
        seen = _seen(source, sight, x, y)
        overlap = float(np.sum(seen & inside) / np.sum(seen | inside))
        if overlap > agreement:
            best, agreement = source, overlap
    return best


@dataclass(frozen=True)
class Ellipse:
    """The ellipse with the centroid and the second moments of an area.

    Attributes:
        x: Column of its centre in px.
        y: Row of its centre in px.
        along: Semi-axis along the strike, in px.
        across: Semi-axis across it, in px.
        strike: Degrees clockwise from north.
    """

    x: float
    y: float
    along: float
    across: float
    strike: float

    @classmethod
    def of(cls, polygon: Polygon) -> Ellipse:
        """The ellipse of a polygon, whose strike is that of the longer axis."""
        x, y = polygon.min(axis=0)
        scale = 16.0
        corners = np.rint((polygon - (x, y)) * scale).astype(np.int32)
        moments = cv2.moments(corners)
        area = max(moments["m00"], 1.0)
        covariance = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]]) / area
        values, axes = np.linalg.eigh(covariance / scale**2)
        across, along = (2 * sqrt(max(value, 0.1)) for value in values)
        x, y = x + moments["m10"] / area / scale, y + moments["m01"] / area / scale
        return cls(float(x), float(y), along, across, degrees(atan2(axes[0, 1], -axes[1, 1])) % 180)

    def turned(self) -> Ellipse:
        """The same ellipse, its strike that of the other axis."""
        return replace(self, along=self.across, across=self.along, strike=(self.strike + 90) % 180)

    @property
    def radius(self) -> float:
        """Of the circle of its area, in px."""
        return sqrt(self.along * self.across)

    @property
    def elongation(self) -> float:
        """How many times longer along than across."""
        return self.along / self.across


def _draw(activity: Activity, ellipse: Ellipse, rng: np.random.Generator) -> Source:
    """A source of a kind, about where it should be."""
    # All is drawn for all kinds, so that one more kind changes no other's numbers.
    choice, width, tilt, turn = int(rng.integers(4)), rng.uniform(), rng.uniform(), rng.uniform(-1, 1)
    if activity is Activity.UNIDENTIFIED:
        activity = _UNIDENTIFIED[choice]
    dip, rake, ratio = 0.0, 0.0, 0.0
    length = max(ellipse.elongation - 1, 0.0)
    if activity is Activity.SILL:
        ratio, length = 0.6 + width, ellipse.elongation
    elif activity is Activity.DYKE:
        ratio, dip, length = 0.8 + 0.6 * width, 75 + 15 * tilt, ellipse.elongation
    elif activity is Activity.EARTHQUAKE:
        ratio, dip, length = 0.8 + 0.5 * width, 35 + 25 * tilt, ellipse.elongation
        rake = (90.0 if turn > 0 else -90.0) + 30 * turn
    elif activity is Activity.SPHEROID:
        ratio, dip = 1.5 + 2 * width, 20 * tilt if ellipse.elongation > 1.5 else 90 - 20 * tilt
    depth = ellipse.radius * PIXEL_METRES
    return Source(activity, ellipse.x, ellipse.y, depth, ellipse.strike, length, ratio, dip, rake, 1.0)


def _improved(source: Source, target: Ellipse, sight: LineOfSight, x: Field, y: Field) -> Source:
    """The source moved, scaled and stretched by what its pattern lacks of the outline's ellipse."""
    seen = _seen(source, sight, x, y)
    along_x, along_y = sin(radians(target.strike)), -cos(radians(target.strike))
    dx, dy = x[seen], y[seen]
    mean_x, mean_y = dx.mean(), dy.mean()
    dx, dy = dx - mean_x, dy - mean_y
    cell = (x[0, 1] - x[0, 0]) ** 2 / 12
    long = 2 * sqrt(float(np.mean((dx * along_x + dy * along_y) ** 2)) + cell)
    wide = 2 * sqrt(float(np.mean((dx * along_y - dy * along_x) ** 2)) + cell)
    growth = float(np.clip(target.radius / sqrt(long * wide), 0.5, 2.0))
    stretch = target.elongation / (long / wide)
    length = source.length
    if source.activity in {Activity.MOGI, Activity.SPHEROID}:
        length = float(np.clip(length + stretch - 1, 0.0, _LONGEST))
    else:
        length = float(np.clip(length * stretch, _SHORTEST, _LONGEST))
    return replace(
        source,
        x=source.x + target.x - mean_x,
        y=source.y + target.y - mean_y,
        depth=source.depth * growth,
        length=length,
    )


def _seen(source: Source, sight: LineOfSight, x: Field, y: Field) -> NDArray[np.bool_]:
    """Where the phase is beyond that of the outline."""
    shape = np.abs(source.shape(x, y, sight))
    return np.asarray(shape >= OUTLINE_FRINGES / abs(source.fringes) * shape.max())


def outlined(source: Source, sight: LineOfSight) -> tuple[NDArray[np.uint8], tuple[float, float], float]:
    """Where the phase of a source is beyond that of an outline, on a grid finer than pixels.

    Args:
        source: The source.
        sight: Line of sight.

    Returns:
        H x W, 1 inside; x and y of its first place in px; and the distance of its places in px.
    """
    reach = source.depth / PIXEL_METRES * (4 + source.length)
    places = np.linspace(-reach, reach, _FINE_GRID)
    x, y = np.meshgrid(source.x + places, source.y + places)
    seen = _seen(source, sight, x, y)
    return seen.astype(np.uint8), (source.x - reach, source.y - reach), float(places[1] - places[0])


def phase(sources: tuple[Source, ...], shape: tuple[int, int], sight: LineOfSight) -> Map:
    """Phase of the deformation of several sources.

    Each is reckoned on a fine grid around it and on a coarse one elsewhere, and enlarged.

    Args:
        sources: The sources.
        shape: Height and width of the interferogram.
        sight: Line of sight.

    Returns:
        H x W in radians, unwrapped; see `RADIANS_PER_METRE` for the sign.
    """
    total: Map = np.zeros(shape, dtype=np.float32)
    for source in sources:
        near = max(source.depth / PIXEL_METRES, 1.0)
        reach = round(near * (4 + source.length / 2)) + 4
        step = max(1, round(source.top / PIXEL_METRES / 2.5))
        x, y = round(source.x), round(source.y)
        window = _sampled(source, (x - reach, y - reach), (2 * reach, 2 * reach), step, sight)
        strength = np.copysign(2 * pi * source.fringes / np.abs(window).max(), RADIANS_PER_METRE * source.fringes)
        field = _sampled(source, (0, 0), shape, _COARSE_STEP, sight)
        top, left = max(y - reach, 0), max(x - reach, 0)
        part = field[top : y + reach, left : x + reach]
        part[:] = window[top - y + reach :, left - x + reach :][: part.shape[0], : part.shape[1]]
        total += field * np.float32(strength)
    return total


def _sampled(source: Source, corner: tuple[int, int], shape: tuple[int, int], step: int, sight: LineOfSight) -> Map:
    """The shape of a source in each px of a rectangle, reckoned at some of them; H x W."""
    rows, columns = (-(-size // step) + 4 for size in shape)
    x = corner[0] + (np.arange(columns) - 1.5) * step - 0.5
    y = corner[1] + (np.arange(rows) - 1.5) * step - 0.5
    columns_x, rows_y = np.meshgrid(x, y)
    values = source.shape(columns_x, rows_y, sight).astype(np.float32)
    if step > 1:
        values = cv2.resize(values, (columns * step, rows * step), interpolation=cv2.INTER_CUBIC)
    return np.asarray(values[2 * step : 2 * step + shape[0], 2 * step : 2 * step + shape[1]])
