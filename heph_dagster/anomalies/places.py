"""What is known of the places of an image before it is looked at: bits in a coarse grid, and the no-data layer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.blocks import Block
from heph_dagster.anomalies.brightness import Brightness
from heph_dagster.anomalies.expectation import EDGE_DEG, NIGHT_EDGE_DEG, Expectation
from heph_dagster.anomalies.runs import Runs

LIT, GAP, NEAR_GAP, NEAR_NIGHT, NEAR_HOLE = 1, 2, 4, 8, 16
"""Bits: the best pass has light enough; no swath gets there; rims of gaps and of the night; what holes may reach."""
_GRID_ROWS = 1280


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


def known_places(expectation: Expectation, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What is known of each cell of a grid: height x width of bits."""
    gaps = expectation.gaps(size)
    night = 1 - expectation.lit(size, NIGHT_EDGE_DEG)
    return (
        expectation.lit(size) * LIT | gaps * GAP | _grown(gaps, EDGE_DEG) * NEAR_GAP
        | _grown(night, EDGE_DEG) * NEAR_NIGHT
    ).astype(np.uint8)  # fmt: skip


def near_holes(holes: Runs, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Where a hole may go on in uncertain rims: height x width of the grid, `NEAR_HOLE` there, else 0."""
    columns, rows = grid_size(size)
    row, start, stop = (
        _cells(holes.row, size[1], rows),
        *(_cells(each, size[0], columns) for each in (holes.start, holes.stop - 1)),
    )
    changes = np.zeros((rows, columns + 1), np.int64)
    np.add.at(changes, (row, start), 1)
    np.add.at(changes, (row, stop + 1), -1)
    cells = (np.cumsum(changes, axis=1)[:, :-1] > 0).astype(np.uint8)
    return _grown(cells, EDGE_DEG + NIGHT_EDGE_DEG) * np.uint8(NEAR_HOLE)


def under(known: NDArray[np.uint8], block: Block, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The cells of the grid under a block."""
    top, bottom = _cells(np.array([block.rows.start, block.rows.stop - 1]), size[1], len(known))
    left, right = _cells(np.array([block.cols.start, block.cols.stop - 1]), size[0], known.shape[1])
    return known[top : bottom + 1, left : right + 1]


def places_of(
    block: Block, known: NDArray[np.uint8], size: tuple[int, int], no_data_layer: Brightness | None
) -> NDArray[np.uint8]:
    """What is known of the pixels of a block.

    Args:
        block: The block.
        known: What is known of the cells under it.
        size: Width and height of the image in px.
        no_data_layer: Tells the gaps more exactly, if there is one: its brightness, not 0 where there are no data.

    Returns:
        Height x width of bits.
    """
    columns, rows = grid_size(size)
    row = _cells(np.arange(block.rows.start, block.rows.stop), size[1], rows)
    col = _cells(np.arange(block.cols.start, block.cols.stop), size[0], columns)
    places = known[:, col - col[0]][row - row[0]]
    if no_data_layer is None:
        return places
    # The layers' edges differ by a pixel of each. What the layer says far from any gap is no excuse.
    reach = 1 + -(-size[1] // min(size[1], no_data_layer.size[1]))
    told = _told(no_data_layer, block, size, reach)
    rim = cv2.dilate(told, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    inner = slice(reach, -reach)
    near = (places & NEAR_GAP) > 0
    gap, closed = near & (told[inner, inner] > 0), near & (rim[inner, inner] > 0)
    rest = places & ~np.uint8(GAP | NEAR_GAP)
    return (rest | gap * np.uint8(GAP) | closed * np.uint8(NEAR_GAP)).astype(np.uint8)


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
