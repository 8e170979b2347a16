"""Regions of an image as runs of pixels: few numbers for large regions, and they can be put together from blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Runs(NamedTuple):
    """Pixels of numbered regions, side by side in a row; runs of a region do not touch each other in a row.

    They are in the order of rows, and of columns in a row.

    Attributes:
        region: N numbers, from 1.
        row: N rows.
        start: N first columns.
        stop: N columns past the last.
    """

    region: Integers
    row: Integers
    start: Integers
    stop: Integers

    @classmethod
    def of(cls, labels: NDArray[np.int32], row: int = 0, col: int = 0) -> Self:
        """The runs of an image of regions.

        Args:
            labels: Height x width numbers, 0 outside all regions.
            row: Row of the first row, where the image is a part of a larger one.
            col: Column of the first column.
        """
        wide = np.pad(labels, ((0, 0), (1, 1)))
        rows, cols = np.nonzero(wide[:, 1:] != wide[:, :-1])
        starts, stops = wide[rows, cols + 1] > 0, wide[rows, cols] > 0
        return cls(
            wide[rows[starts], cols[starts] + 1].astype(np.int64), rows[starts] + row, cols[starts] + col,
            cols[stops] + col,
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Runs of parts of an image, put together: regions are numbered anew in the order of their first pixels."""
        columns = [np.concatenate(each) if each else np.zeros(0, np.int64) for each in zip(*parts, strict=True)]
        region, row, start, stop = columns or [np.zeros(0, np.int64)] * 4
        order = np.lexsort((start, row))
        region, row, start, stop = region[order], row[order], start[order], stop[order]
        # A run that another goes on with, at the seam between two blocks, is the same run.
        seam = (row[1:] == row[:-1]) & (region[1:] == region[:-1]) & (start[1:] == stop[:-1])
        first = np.concatenate([[True], ~seam])[: len(row)]
        last = np.concatenate([~seam, [True]])[: len(row)]
        region, row, start, stop = region[first], row[first], start[first], stop[last]
        _, where, numbers = np.unique(region, return_index=True, return_inverse=True)
        ranks = np.empty(len(where), np.int64)
        ranks[np.argsort(where)] = np.arange(1, len(where) + 1)
        return cls(ranks[numbers], row, start, stop)

    def split(self) -> list[Self]:
        """The runs of each region, in the order of their numbers."""
        order = np.argsort(self.region, kind="stable")
        ends = np.flatnonzero(np.diff(self.region[order])) + 1
        return [self.take(some) for some in np.split(order, ends)] if len(order) else []

    def take(self, some: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Some of the runs."""
        return type(self)(*(each[some] for each in self))

    def mask(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """The pixels of all regions in a window of the image."""
        some = self.take(np.arange(*np.searchsorted(self.row, (rows.start, rows.stop))))
        mask = np.zeros((rows.stop - rows.start, cols.stop - cols.start), bool)
        start, stop = (np.clip(each, cols.start, cols.stop) - cols.start for each in (some.start, some.stop))
        if not (stop > start).any():
            return mask
        top, left = int(some.row[0]), int(start.min())
        changes = np.zeros((int(some.row[-1]) + 1 - top, int(stop.max()) - left + 1), np.int8)
        np.add.at(changes, (some.row - top, start - left), 1)
        np.add.at(changes, (some.row - top, stop - left), -1)
        found = np.cumsum(changes, axis=1, dtype=np.int8)[:, :-1]
        mask[top - rows.start :, left:][: len(found), : found.shape[1]] = found
        return mask
