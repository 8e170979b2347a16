"""World images in blocks: work that is done block by block, and regions that go on across the seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Block:
    """A window of an image.

    Attributes:
        rows: Its rows.
        cols: Its columns.
    """

    rows: slice
    cols: slice


def blocks_of(size: tuple[int, int], side: int) -> list[list[Block]]:
    """The blocks of an image, row by row; those at its right and bottom edge may be smaller.

    Args:
        size: Width and height of the image in px.
        side: Width and height of a block in px.
    """
    across, down = ([slice(start, min(start + side, length)) for start in range(0, length, side)] for length in size)
    return [[Block(rows, cols) for cols in across] for rows in down]


@dataclass(frozen=True)
class Edges:
    """Which regions of a block reach its edges: the numbers from 1 along each edge, 0 where there is none.

    Attributes:
        count: Number of regions of the block.
        top: Of the first row.
        bottom: Of the last row.
        left: Of the first column.
        right: Of the last column.
    """

    count: int
    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]

    @classmethod
    def of(cls, labels: NDArray[np.int32], count: int) -> Self:
        """The edges of a block.

        Args:
            labels: Height x width numbers of its regions.
            count: How many there are.
        """
        return cls(count, *(side.copy() for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1])))

    @classmethod
    def none(cls, block: Block) -> Self:
        """The edges of a block without regions."""
        height, width = (pixels.stop - pixels.start for pixels in (block.rows, block.cols))
        return cls(0, *(np.zeros(length, np.int32) for length in (width, width, height, height)))


def join(edges: Sequence[Sequence[Edges]]) -> tuple[int, list[NDArray[np.int64]]]:
    """Number the regions of a world image that was cut into blocks; the right edge goes on at the left.

    Args:
        edges: Those of each block, row by row.

    Returns:
        Number of regions, and for each block, row by row, the number of each of its regions, at its place from 1;
        entry 0 is 0.
    """
    starts = np.cumsum([0, *(each.count for line in edges for each in line)])
    pairs = [np.zeros((0, 2), np.int64)]
    width = len(edges[0])
    for row, line in enumerate(edges):
        for col, each in enumerate(line):
            start, right = starts[row * width + col], (col + 1) % width
            pairs.append(_touching(each.right, line[right].left, start, starts[row * width + right]))
            if row + 1 < len(edges):
                below = starts[(row + 1) * width + col]
                pairs.append(_touching(each.bottom, edges[row + 1][col].top, start, below))
    first, second = np.concatenate(pairs).T
    total = int(starts[-1])
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(total, total))
    count, numbers = connected_components(graph, directed=False) if total else (0, np.zeros(0, np.int64))
    parts = np.split(numbers.astype(np.int64) + 1, starts[1:-1])
    return int(count), [np.concatenate([[0], part]) for part in parts]


def _touching(
    one: NDArray[np.int32], other: NDArray[np.int32], start: np.int64, other_start: np.int64
) -> NDArray[np.int64]:
    """Pairs of regions on both sides of a seam, counted from 0 over all blocks."""
    both = (one > 0) & (other > 0)
    pairs = np.stack([one[both] - 1 + start, other[both] - 1 + other_start], axis=1)
    return np.unique(pairs, axis=0)
