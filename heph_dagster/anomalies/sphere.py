"""Regions of a geographic image, measured on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.runs import Integers, Runs

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""
EARTH_AREA_KM2 = 4 * np.pi * EARTH_RADIUS_KM**2
"""Surface of the sphere of that radius."""
_MOST_POINTS = 2000  # of an outline: all pairs of them are compared
_POINTS_AROUND = 65  # of a row that goes around the globe


@dataclass(frozen=True)
class Region:
    """A connected region of a global geographic image.

    Attributes:
        area_km2: Area on the sphere.
        extent_km: Greatest great-circle distance between two of its points.
        longitude: Longitude of its centroid, -180 to 180.
        latitude: Latitude of its centroid.
        bbox: West, south, east, north; west is greater than east where it crosses the antimeridian.
    """

    area_km2: float
    extent_km: float
    longitude: float
    latitude: float
    bbox: tuple[float, float, float, float]


def row_areas(height: int, width: int) -> NDArray[np.float64]:
    """Area in km2 of a pixel of each row of a global image of `height` x `width` px."""
    edges = np.sin(np.radians(np.linspace(90.0, -90.0, height + 1)))
    return 2 * np.pi / width * EARTH_RADIUS_KM**2 * -np.diff(edges)


def label_regions(mask: NDArray[np.uint8]) -> tuple[int, NDArray[np.int32]]:
    """Connected regions (by edges, not corners) of a global mask; one across the antimeridian is one.

    Args:
        mask: Height x width, 0 outside.

    Returns:
        Number of regions, and their numbers from 1 in the order of their first pixels, 0 outside.
    """
    count, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
    parent = np.arange(count)
    left, right = labels[:, 0], labels[:, -1]
    pairs = np.unique(np.stack([left, right], axis=1)[(left > 0) & (right > 0)], axis=0)
    for pair in pairs.tolist():
        first, second = sorted(_root(parent, label) for label in pair)
        parent[second] = first
    roots = np.array([_root(parent, label) for label in range(count)])
    numbers = np.unique(roots, return_inverse=True)[1].astype(np.int32)
    return int(numbers.max()), numbers[labels]


def region_areas(count: int, labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Area in km2 of each region, by its number; entry 0 is what lies outside all."""
    height, width = labels.shape
    pixels = np.zeros(count + 1)
    for row, area in zip(labels, row_areas(height, width), strict=True):
        pixels += np.bincount(row, minlength=count + 1) * area
    return pixels


def measure_regions(labels: NDArray[np.int32], numbers: Sequence[int]) -> list[Region]:
    """Size and place of regions.

    Args:
        labels: Height x width numbers, as `label_regions` gives them.
        numbers: The regions to measure.
    """
    height, width = labels.shape
    by_number = {int(each.region[0]): each for each in Runs.of(labels).split()}
    return [measure(by_number[number], height, width) for number in numbers]


def measure(runs: Runs, height: int, width: int) -> Region:
    """Size and place of a region, of whose number nothing depends.

    Args:
        runs: Its runs.
        height: Of the global image, in px.
        width: Of the global image, in px.
    """
    rows, start, stop = runs.row, *unwrap(runs, width)
    weights = row_areas(height, width)[rows] * (stop - start)
    step = 360.0 / width
    west, east = float(start.min()) * step - 180, float(stop.max()) * step - 180
    whole = east - west >= 360
    return Region(
        area_km2=float(weights.sum()),
        extent_km=_greatest_distance(_outline(rows, start, stop, width) * np.radians(step)),
        longitude=_wrap(float(np.average((start + stop) / 2, weights=weights)) * step - 180),
        latitude=90 - float(np.average(rows + 0.5, weights=weights)) * step,
        bbox=(
            -180.0 if whole else _wrap(west),
            90.0 - (float(rows.max()) + 1) * step,
            180.0 if whole else _wrap(east, end=True),
            90.0 - float(rows.min()) * step,
        ),
    )


def unwrap(runs: Runs, width: int) -> tuple[Integers, Integers]:
    """Columns of a region's runs moved so that it does not fall apart at the antimeridian: cut at its widest gap.

    Args:
        runs: The region's runs.
        width: Of the global image, in px.

    Returns:
        First columns, and columns past the last; negative for what lies west of column 0.
    """
    start, stop = runs.start, runs.stop
    if start.min() > 0 or stop.max() < width:
        return start, stop
    order = np.argsort(start)
    reached = np.maximum.accumulate(stop[order])
    gaps = start[order][1:] - reached[:-1]
    if not len(gaps) or gaps.max() <= 0:
        return start, stop
    cut = start[order][1:][gaps.argmax()]
    moved = np.where(start >= cut, width, 0)
    return start - moved, stop - moved


def _outline(rows: Integers, start: Integers, stop: Integers, width: int) -> NDArray[np.float64]:
    """Corners of each row's first and last pixel: (column, row) positions."""
    order = np.argsort(rows, kind="stable")
    lines = np.flatnonzero(np.diff(rows[order], prepend=-1))
    west, east = np.minimum.reduceat(start[order], lines), np.maximum.reduceat(stop[order], lines)
    # What is farthest from a place may lie within a row only where the row goes half around the globe.
    columns = np.linspace(west, east, _POINTS_AROUND if (east - west).max() > width / 2 else 2)
    line = np.broadcast_to(rows[order][lines], columns.shape)
    corners = [np.stack([columns.ravel(), edge.ravel()], axis=1) for edge in (line, line + 1)]
    return np.unique(np.concatenate(corners), axis=0)


def _greatest_distance(points: NDArray[np.float64]) -> float:
    """Greatest great-circle distance in km between points of longitude and colatitude in radians."""
    longitude, colatitude = points[:: -(-len(points) // _MOST_POINTS)].T
    vectors = np.stack(
        [np.sin(colatitude) * np.cos(longitude), np.sin(colatitude) * np.sin(longitude), np.cos(colatitude)],
        axis=1,
    )
    return float(EARTH_RADIUS_KM * np.arccos(np.clip((vectors @ vectors.T).min(), -1, 1)))


def _wrap(longitude: float, *, end: bool = False) -> float:
    wrapped = (longitude + 180) % 360 - 180
    return 180.0 if end and wrapped == -180 else wrapped


def _root(parent: NDArray[np.intp], label: int) -> int:
    while parent[label] != label:
        label = int(parent[label])
    return label
