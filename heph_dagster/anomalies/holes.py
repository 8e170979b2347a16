"""The search for holes: regions without data where data are expected, block by block.

What is known of each place before the image is looked at stands in a coarse grid. A first look at a block finds what is
black where data must be; what a hole has in the uncertain rims of gaps and night is added by a second look at the
blocks around holes. Nothing depends on where the seams are: areas are whole square metres, and regions are put together
from runs of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.blocks import Block, Edges, blocks_of, join
from heph_dagster.anomalies.brightness import Brightness
from heph_dagster.anomalies.expectation import Expectation
from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.anomalies.places import (
    GAP,
    LIT,
    NEAR_GAP,
    NEAR_HOLE,
    NEAR_NIGHT,
    grid_size,
    known_places,
    near_holes,
    places_of,
    under,
)
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.gibs.raster import JPEG_BLACK
from heph_dagster.pools import in_order

BLOCK = 1024
"""Width and height of a block in px: four tiles, and what is worked out of them fits into a processor's cache."""
SMALLEST_HOLE_KM2 = 2500.0
"""Smaller black regions are taken for dark water and noise."""
# In a JPEG no data is exactly black but near its edges, where it is as dark as dark water at most. On a real MODIS day
# the mean of a gap's pixels is 1.2 to 1.6, that of lakes and specks of dark sea 4.5 to 9.5, of at most 4,100 km2.
_BLACK_MEAN = 2.5
_NARROW_HOLE_KM2 = 10_000.0
_NARROW_MEAN = 9.0
_SEED_KM2 = 1000.0  # of a hole, outside the rims
_M2 = 1e6  # in a km2

Mask = NDArray[np.bool_]


class ClassMask(Protocol):
    """Where the classes of an image are put together from windows."""

    def put(self, rows: slice, cols: slice, classes: NDArray[np.uint8]) -> None:
        """Write a window."""

    def get(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """Read a window; what was never written is 0."""


@dataclass(frozen=True)
class Found:
    """What is black in an image.

    Attributes:
        holes: Runs of the holes, numbered in the order of their first pixels.
        not_observed_km2: Area without data where none are expected.
        gaps_km2: The part of it between swaths.
    """

    holes: Runs
    not_observed_km2: float
    gaps_km2: float


@dataclass(frozen=True)
class _Look:
    """A block to be looked at, and what is known of it.

    Attributes:
        image: The image's brightness.
        no_data_layer: Brightness of the no-data layer, not 0 where there are no data; None where there is none.
        block: The block.
        known: The grid's cells under the block: bits.
        seeds: Runs of holes in the block, for the second look.
    """

    image: Brightness
    no_data_layer: Brightness | None
    block: Block
    known: NDArray[np.uint8]
    seeds: Runs = field(default_factory=lambda: Runs.joined([]))


@dataclass(frozen=True)
class _Regions:
    """Regions of a block that may be holes or parts of holes.

    Attributes:
        edges: Where they reach the block's edges.
        runs: Their runs, numbered from 1.
        figures: N x 3 (first look: area in m2, pixels, sum of their brightness) or 2 (second: area, pixels of seeds).
    """

    edges: Edges
    runs: Runs
    figures: NDArray[np.float64]


@dataclass(frozen=True)
class _Seen:
    """What a first look saw."""

    regions: _Regions
    not_observed: Mask | None
    not_observed_m2: float
    gaps_m2: float


def find_holes(
    image: Brightness,
    no_data_layer: Brightness | None,
    expectation: Expectation,
    classes: ClassMask,
    pool: Executor,
    side: int = BLOCK,
) -> Found:
    """Find the holes of an image.

    Args:
        image: Brightness of the world.
        no_data_layer: Brightness of the no-data layer of any size, not 0 where there are no data.
        expectation: Where data are expected.
        classes: Gets the classes of the image's pixels.
        pool: Who looks at the blocks.
        side: Width and height of a block in px.
    """
    size = image.size
    known = known_places(expectation, grid_size(size))
    blocks = blocks_of(size, side)
    looks = [_Look(image, no_data_layer, block, under(known, block, size)) for line in blocks for block in line]
    first, not_observed, gaps = [], 0.0, 0.0
    for look, seen in zip(looks, in_order(pool, _first_look, looks), strict=True):
        if seen.not_observed is not None:
            chosen = seen.not_observed.view(np.uint8) * np.uint8(PixelClass.NOT_OBSERVED)
            classes.put(look.block.rows, look.block.cols, chosen)
        first.append(seen.regions)
        not_observed, gaps = not_observed + seen.not_observed_m2, gaps + seen.gaps_m2
    across = len(blocks[0])
    seeds = _together(first, across, _are_seeds)
    known |= near_holes(seeds, size)
    looks = [replace(look, known=under(known, look.block, size), seeds=_within(seeds, look.block)) for look in looks]
    around = [look for look in looks if (look.known & NEAR_HOLE).any()]
    found = in_order(pool, _second_look, around)
    second = [next(found) if (look.known & NEAR_HOLE).any() else _nothing(look.block) for look in looks]
    holes = _together(second, across, _are_holes)
    for look in around:
        rows, cols = look.block.rows, look.block.cols
        missing = _within(holes, look.block).mask(rows, cols)
        if missing.any():
            window = classes.get(rows, cols)
            window[missing] = PixelClass.MISSING
            classes.put(rows, cols, window)
    return Found(holes, not_observed / _M2, gaps / _M2)


def _within(runs: Runs, block: Block) -> Runs:
    """The runs that have pixels in a block."""
    rows, cols = block.rows, block.cols
    some = runs.take(np.arange(*np.searchsorted(runs.row, (rows.start, rows.stop))))
    return some.take((some.start < cols.stop) & (some.stop > cols.start))


def _first_look(look: _Look) -> _Seen:
    """What is black in a block where data must be, and what is where they cannot be."""
    values = look.image.read(look.block.rows, look.block.cols)
    black = values <= JPEG_BLACK
    if not black.any():
        return _Seen(_nothing(look.block), None, 0.0, 0.0)
    places = places_of(look.block, look.known, look.image.size, look.no_data_layer)
    areas = _areas(look)
    unseen = black & (places & (LIT | GAP) != LIT)
    rows = np.count_nonzero(unseen, axis=1)
    gaps = np.count_nonzero(unseen & (places & GAP > 0), axis=1)
    core = black & (places & (NEAR_GAP | NEAR_NIGHT) == 0)
    regions = _regions_of(core, look, values)
    return _Seen(regions, unseen if rows.any() else None, float(rows @ areas), float(gaps @ areas))


def _regions_of(core: Mask, look: _Look, values: NDArray[np.uint8]) -> _Regions:
    """The regions of a block that are holes, or may be parts of holes."""
    pixels = np.count_nonzero(core, axis=1)
    if not pixels.any():
        return _nothing(look.block)
    count, labels = cv2.connectedComponents(core.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    inside = labels[core]
    weights = np.repeat(_areas(look), pixels), np.ones(len(inside)), values[core]
    figures: NDArray[np.float64] = np.stack([np.bincount(inside, each, minlength=count) for each in weights], axis=1)
    return _kept(labels, _are_seeds(figures), figures, look.block)


def _second_look(look: _Look) -> _Regions:
    """What holes have in a block with its rims."""
    values = look.image.read(look.block.rows, look.block.cols)
    places = places_of(look.block, look.known, look.image.size, look.no_data_layer)
    reachable = (places & (LIT | GAP) == LIT) & (places & NEAR_HOLE > 0)
    black = (values <= JPEG_BLACK) & reachable
    count, labels = cv2.connectedComponents(black.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    seeds = black & look.seeds.mask(look.block.rows, look.block.cols)
    pixels = np.count_nonzero(black, axis=1)
    figures: NDArray[np.float64] = np.stack(
        [
            np.bincount(labels[black], np.repeat(_areas(look), pixels), minlength=count),
            np.bincount(labels[seeds], minlength=count),
        ],
        axis=1,
    )
    return _kept(labels, _are_holes(figures), figures, look.block)


def _kept(labels: NDArray[np.int32], chosen: Mask, figures: NDArray[np.float64], block: Block) -> _Regions:
    """The chosen regions of a block, and those that other blocks decide about: its edges cut them."""
    keep = chosen.copy()
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        keep[side] = True
    keep[0] = False
    kept = np.flatnonzero(keep)
    if not len(kept):
        return _nothing(block)
    numbers = np.zeros(len(keep), np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    renumbered = numbers[labels]
    runs = Runs.of(renumbered, block.rows.start, block.cols.start)
    return _Regions(Edges.of(renumbered, len(kept)), runs, figures[kept])


def _nothing(block: Block) -> _Regions:
    return _Regions(Edges.none(block), Runs.joined([]), np.zeros((0, 3)))


def _areas(look: _Look) -> NDArray[np.float64]:
    """Area of a pixel of each row of a block in whole m2, so that sums do not depend on their order."""
    width, height = look.image.size
    return _rows_m2(height, width)[look.block.rows]


@lru_cache(maxsize=4)
def _rows_m2(height: int, width: int) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.rint(row_areas(height, width) * _M2)
    areas.flags.writeable = False
    return areas


def _together(parts: Sequence[_Regions], across: int, holes: Callable[[NDArray[np.float64]], Mask]) -> Runs:
    """The regions of all blocks that are holes when they are put together.

    Args:
        parts: Regions of each block, row by row.
        across: Number of blocks in a row.
        holes: Tells by the figures of regions which are holes.
    """
    count, numbers = join([[part.edges for part in parts[k : k + across]] for k in range(0, len(parts), across)])
    if not count:
        return Runs.joined([])
    figures = np.zeros((count + 1, max(part.figures.shape[1] for part in parts if len(part.figures))))
    for part, number in zip(parts, numbers, strict=True):
        if len(part.figures):
            np.add.at(figures, number[1:], part.figures)
    chosen = holes(figures)
    chosen[0] = False
    renumbered = (
        part.runs._replace(region=number[part.runs.region]) for part, number in zip(parts, numbers, strict=True)
    )
    return Runs.joined(runs.take(chosen[runs.region]) for runs in renumbered)


def _are_seeds(figures: NDArray[np.float64]) -> Mask:
    """Which regions outside the rims are of holes, by N x 3: area in m2, pixels, sum of their brightness."""
    area, pixels, brightness = figures.T
    mean = brightness / np.maximum(pixels, 1)
    found: Mask = (area >= _SEED_KM2 * _M2) & (mean <= _BLACK_MEAN)
    return found | ((area >= _NARROW_HOLE_KM2 * _M2) & (mean <= _NARROW_MEAN))


def _are_holes(figures: NDArray[np.float64]) -> Mask:
    """Which regions are holes, rims included, by N x 2: area in m2, pixels of seeds in them."""
    area, seeds = figures.T
    found: Mask = (area >= SMALLEST_HOLE_KM2 * _M2) & (seeds > 0)
    return found
