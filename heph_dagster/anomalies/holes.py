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
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.blocks import Block, Edges, blocks_of, in_order, join
from heph_dagster.anomalies.brightness import Brightness
from heph_dagster.anomalies.expectation import EDGE_DEG, NIGHT_EDGE_DEG, Expectation
from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.gibs.raster import JPEG_BLACK

BLOCK = 2048
"""Width and height of a block in px: 16 tiles."""
SMALLEST_HOLE_KM2 = 2500.0
"""Smaller black regions are taken for dark water and noise."""
# In a JPEG no data is exactly black but near its edges, where it is as dark as dark water at most. On a real MODIS day
# the mean of a gap's pixels is 1.2 to 1.6, that of lakes and specks of dark sea 4.5 to 9.5, of at most 4,100 km2.
_BLACK_MEAN = 2.5
_NARROW_HOLE_KM2 = 10_000.0
_NARROW_MEAN = 9.0
_SEED_KM2 = 1000.0  # of a hole, outside the rims
_GRID_ROWS = 1280
_LIT, _GAP, _NEAR_GAP, _NEAR_NIGHT, _NEAR_HOLE = 1, 2, 4, 8, 16
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
class Look:
    """A block to be looked at, and what is known of it.

    Attributes:
        image: The image's brightness.
        no_data_layer: Brightness of the no-data layer, not 0 where there are no data; None where there is none.
        block: The block.
        grid_size: Width and height of the grid of what is known of the world.
        known: The grid's cells under the block: bits.
        seeds: Runs of holes in the block, for the second look.
    """

    image: Brightness
    no_data_layer: Brightness | None
    block: Block
    grid_size: tuple[int, int]
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


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the grid of what is known of the places of an image, which is no finer than the image."""
    rows = min(size[1], _GRID_ROWS)
    return 2 * rows, rows


def sample(image: Brightness, block: Block) -> NDArray[np.uint8]:
    """The brightness of a block of an image at the centres of the grid's cells."""
    width, height = image.size
    columns, rows = grid_size((width, height))
    row, col = _centres(block.rows, height, rows), _centres(block.cols, width, columns)
    values = image.read(block.rows, block.cols)
    return values[row - block.rows.start][:, col - block.cols.start]


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
    known = _known(expectation, grid_size(size))
    blocks = blocks_of(size, side)
    looks = [
        Look(image, no_data_layer, block, grid_size(size), _under(known, block, size))
        for line in blocks
        for block in line
    ]
    first, not_observed, gaps = [], 0.0, 0.0
    for look, seen in zip(looks, in_order(pool, _first_look, looks), strict=True):
        if seen.not_observed is not None:
            chosen = seen.not_observed.view(np.uint8) * np.uint8(PixelClass.NOT_OBSERVED)
            classes.put(look.block.rows, look.block.cols, chosen)
        first.append(seen.regions)
        not_observed, gaps = not_observed + seen.not_observed_m2, gaps + seen.gaps_m2
    across = len(blocks[0])
    seeds = _together(first, across, _are_seeds)
    known |= _near(seeds, size)
    looks = [replace(look, known=_under(known, look.block, size), seeds=_within(seeds, look.block)) for look in looks]
    around = [look for look in looks if (look.known & _NEAR_HOLE).any()]
    found = in_order(pool, _second_look, around)
    second = [next(found) if (look.known & _NEAR_HOLE).any() else _nothing(look.block) for look in looks]
    holes = _together(second, across, _are_holes)
    for look in around:
        rows, cols = look.block.rows, look.block.cols
        missing = _within(holes, look.block).mask(rows, cols)
        if missing.any():
            window = classes.get(rows, cols)
            window[missing] = PixelClass.MISSING
            classes.put(rows, cols, window)
    return Found(holes, not_observed / _M2, gaps / _M2)


def _known(expectation: Expectation, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What is known of each cell of a grid: height x width of bits."""
    gaps = expectation.gaps(size)
    night = 1 - expectation.lit(size, NIGHT_EDGE_DEG)
    return (
        expectation.lit(size) * _LIT | gaps * _GAP | _grown(gaps, EDGE_DEG) * _NEAR_GAP
        | _grown(night, EDGE_DEG) * _NEAR_NIGHT
    ).astype(np.uint8)  # fmt: skip


def _near(holes: Runs, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Where a hole may go on in uncertain rims: height x width of the grid, `_NEAR_HOLE` there, else 0."""
    columns, rows = grid_size(size)
    row, start, stop = (
        _cells(holes.row, size[1], rows),
        *(_cells(each, size[0], columns) for each in (holes.start, holes.stop - 1)),
    )
    changes = np.zeros((rows, columns + 1), np.int64)
    np.add.at(changes, (row, start), 1)
    np.add.at(changes, (row, stop + 1), -1)
    cells = (np.cumsum(changes, axis=1)[:, :-1] > 0).astype(np.uint8)
    return _grown(cells, EDGE_DEG + NIGHT_EDGE_DEG) * np.uint8(_NEAR_HOLE)


def _grown(mask: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """A mask of the world grown to all sides, across the antimeridian too."""
    reach = max(1, round(degrees * len(mask) / 180))
    wide = np.hstack([mask[:, -reach:], mask, mask[:, :reach]])
    return cv2.dilate(wide, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))[:, reach:-reach]


def _cells(pixels: NDArray[np.int64], length: int, cells: int) -> NDArray[np.int64]:
    """The cell of a grid in which the centre of each pixel lies, along one axis."""
    return (2 * pixels + 1) * cells // (2 * length)


def _centres(pixels: slice, length: int, cells: int) -> NDArray[np.int64]:
    """Those of some pixels in which the centre of a cell lies, along one axis."""
    centres = _cells(np.arange(cells), cells, length)
    return centres[(centres >= pixels.start) & (centres < pixels.stop)]


def _under(known: NDArray[np.uint8], block: Block, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The cells of the grid under a block."""
    top, bottom = _cells(np.array([block.rows.start, block.rows.stop - 1]), size[1], len(known))
    left, right = _cells(np.array([block.cols.start, block.cols.stop - 1]), size[0], known.shape[1])
    return known[top : bottom + 1, left : right + 1]


def _within(runs: Runs, block: Block) -> Runs:
    """The runs that have pixels in a block."""
    rows, cols = block.rows, block.cols
    some = runs.take(np.arange(*np.searchsorted(runs.row, (rows.start, rows.stop))))
    return some.take((some.start < cols.stop) & (some.stop > cols.start))


def _places(look: Look) -> NDArray[np.uint8]:
    """What is known of the pixels of a block: height x width of bits."""
    width, height = look.image.size
    rows, cols = (
        _cells(np.arange(pixels.start, pixels.stop), length, cells)
        for pixels, length, cells in (
            (look.block.rows, height, look.grid_size[1]), (look.block.cols, width, look.grid_size[0]),
        )
    )  # fmt: skip
    places = look.known[:, cols - cols[0]][rows - rows[0]]
    if look.no_data_layer is None:
        return places
    # The layers' edges differ by a pixel of each. What the layer says far from any gap is no excuse.
    reach = 1 + -(-height // min(height, look.no_data_layer.size[1]))
    told = _told(look.no_data_layer, look.block, (width, height), reach)
    rim = cv2.dilate(told, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    inner = slice(reach, -reach)
    near = (places & _NEAR_GAP) > 0
    gap, closed = near & (told[inner, inner] > 0), near & (rim[inner, inner] > 0)
    rest = places & ~np.uint8(_GAP | _NEAR_GAP)
    return (rest | gap * np.uint8(_GAP) | closed * np.uint8(_NEAR_GAP)).astype(np.uint8)


def _told(layer: Brightness, block: Block, size: tuple[int, int], reach: int) -> NDArray[np.uint8]:
    """Where the no-data layer has no data in a block and beyond it on all sides: 1 there, else 0."""
    width, height = layer.size
    rows = np.arange(block.rows.start - reach, block.rows.stop + reach)
    cols = np.arange(block.cols.start - reach, block.cols.stop + reach) % size[0]
    inside = (rows >= 0) & (rows < size[1])
    row = _cells(rows[inside], size[1], height)
    told = np.zeros((len(rows), len(cols)), np.uint8)
    # The columns go on at the other edge of the world.
    for some in np.split(np.arange(len(cols)), np.flatnonzero(np.diff(cols) < 0) + 1):
        col = _cells(cols[some], size[0], width)
        window = layer.read(slice(int(row[0]), int(row[-1]) + 1), slice(int(col[0]), int(col[-1]) + 1)) > 0
        told[np.ix_(inside, some)] = window[:, col - col[0]][row - row[0]]
    return told


def _first_look(look: Look) -> _Seen:
    """What is black in a block where data must be, and what is where they cannot be."""
    values = look.image.read(look.block.rows, look.block.cols)
    black = values <= JPEG_BLACK
    if not black.any():
        return _Seen(_nothing(look.block), None, 0.0, 0.0)
    places = _places(look)
    areas = _areas(look)
    unseen = black & (places & (_LIT | _GAP) != _LIT)
    rows = np.count_nonzero(unseen, axis=1)
    gaps = np.count_nonzero(unseen & (places & _GAP > 0), axis=1)
    core = black & (places & (_NEAR_GAP | _NEAR_NIGHT) == 0)
    regions = _regions_of(core, look, values)
    return _Seen(regions, unseen if rows.any() else None, float(rows @ areas), float(gaps @ areas))


def _regions_of(core: Mask, look: Look, values: NDArray[np.uint8]) -> _Regions:
    """The regions of a block that are holes, or may be parts of holes."""
    pixels = np.count_nonzero(core, axis=1)
    if not pixels.any():
        return _nothing(look.block)
    count, labels = cv2.connectedComponents(core.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    inside = labels[core]
    weights = np.repeat(_areas(look), pixels), np.ones(len(inside)), values[core]
    figures: NDArray[np.float64] = np.stack([np.bincount(inside, each, minlength=count) for each in weights], axis=1)
    return _kept(labels, _are_seeds(figures), figures, look.block)


def _second_look(look: Look) -> _Regions:
    """What holes have in a block with its rims."""
    values = look.image.read(look.block.rows, look.block.cols)
    places = _places(look)
    reachable = (places & (_LIT | _GAP) == _LIT) & (places & _NEAR_HOLE > 0)
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


def _areas(look: Look) -> NDArray[np.float64]:
    """Area of a pixel of each row of a block in whole m2, so that sums do not depend on their order."""
    width, height = look.image.size
    areas: NDArray[np.float64] = np.rint(row_areas(height, width) * _M2)[look.block.rows]
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
