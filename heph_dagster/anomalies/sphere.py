"""Regions of a geographic image, measured on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""
EARTH_AREA_KM2 = 4 * np.pi * EARTH_RADIUS_KM**2
"""Surface of the sphere of that radius."""
_MOST_POINTS = 2000  # of an outline: all pairs of them are compared


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
    boxes = ndimage.find_objects(labels)
    return [_measure(labels, number, boxes[number - 1]) for number in numbers]


def _measure(labels: NDArray[np.int32], number: int, box: tuple[slice, slice]) -> Region:
    height, width = labels.shape
    rows, cols = np.nonzero(labels[box] == number)
    rows += box[0].start
    cols = _unwrap(cols + box[1].start, width)
    weights = row_areas(height, width)[rows]
    step = 360.0 / width
    west, east = float(cols.min()) * step - 180, (float(cols.max()) + 1) * step - 180
    whole = east - west >= 360
    return Region(
        area_km2=float(weights.sum()),
        extent_km=_greatest_distance(_outline(rows, cols) * np.radians(step)),
        longitude=_wrap(float(np.average(cols + 0.5, weights=weights)) * step - 180),
        latitude=90 - float(np.average(rows + 0.5, weights=weights)) * step,
        bbox=(
            -180.0 if whole else _wrap(west),
            90.0 - (float(rows.max()) + 1) * step,
            180.0 if whole else _wrap(east, end=True),
            90.0 - float(rows.min()) * step,
        ),
    )


def _outline(rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.intp]:
    """Outer corners of the first and last pixel of each row and of each column: (column, row) positions."""
    corners = []
    for lines, places, swap in ((rows, cols, False), (cols, rows, True)):
        order = np.lexsort((places, lines))
        line, place = lines[order], places[order]
        starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1))
        ends = np.append(starts[1:], len(line)) - 1
        for side in (0, 1):
            for at, past in ((starts, 0), (ends, 1)):
                points = np.stack([place[at] + past, line[at] + side], axis=1)
                corners.append(points[:, ::-1] if swap else points)
    return np.unique(np.concatenate(corners), axis=0)


def _greatest_distance(points: NDArray[np.float64]) -> float:
    """Greatest great-circle distance in km between points of longitude and colatitude in radians."""
    longitude, colatitude = points[:: -(-len(points) // _MOST_POINTS)].T
    vectors = np.stack(
        [np.sin(colatitude) * np.cos(longitude), np.sin(colatitude) * np.sin(longitude), np.cos(colatitude)],
        axis=1,
    )
    return float(EARTH_RADIUS_KM * np.arccos(np.clip((vectors @ vectors.T).min(), -1, 1)))


def _unwrap(cols: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Columns of a region moved so that it does not fall apart at the antimeridian: cut at its widest gap."""
    used = np.unique(cols)
    if len(used) == width or not (used[0] == 0 and used[-1] == width - 1):
        return cols
    cut = used[np.argmax(np.diff(used)) + 1]
    return np.where(cols >= cut, cols - width, cols)


def _wrap(longitude: float, *, end: bool = False) -> float:
    wrapped = (longitude + 180) % 360 - 180
    return 180.0 if end and wrapped == -180 else wrapped


def _root(parent: NDArray[np.intp], label: int) -> int:
    while parent[label] != label:
        label = int(parent[label])
    return label
