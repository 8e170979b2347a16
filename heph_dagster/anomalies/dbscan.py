"""Density clustering of the pixels of a global image, at distances on the ground.

The result is that of DBSCAN with great-circle distances between the centres of pixels, each weighted by its area. On a
grid the neighbours of a pixel are a run of columns in each row: cumulative sums count them, and two of them are enough
to tell which clusters they are in.

Source: M. Ester et al., A density-based algorithm for discovering clusters in large spatial databases with noise,
KDD (1996).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from heph_dagster.anomalies.sphere import EARTH_RADIUS_KM, row_areas

Integers = NDArray[np.intp]


def cluster_pixels(mask: NDArray[np.uint8], radius_km: float, least_km2: float) -> tuple[int, NDArray[np.int32]]:
    """Cluster the pixels of a mask by their density.

    A pixel is a core where the pixels of the mask within the radius, itself included, cover the least area. Cores
    within the radius of each other are of one cluster. Other pixels of the mask are of the cluster of a core within
    the radius, of any where there are several, and noise where there is none.

    Args:
        mask: Height x width of the whole world (EPSG:4326), 0 outside.
        radius_km: Great-circle distance up to which pixels are neighbours (DBSCAN's eps), at most a quarter of the
            Earth's circumference.
        least_km2: Area of the neighbours of a core (DBSCAN's min_samples, with areas as weights).

    Returns:
        Number of clusters, and height x width of their numbers from 1 in the order of their first cores; 0 for noise
        and outside.
    """
    height, width = mask.shape
    labels = np.zeros((height, width), np.int32)
    pixels = _Pixels(mask)
    if not len(pixels.rows):
        return 0, labels
    reach = _Reach(height, width, radius_km)
    areas = row_areas(height, width)
    neighbours = np.zeros(len(pixels.rows))
    left = np.arange(len(pixels.rows))
    for offset in reach.offsets:
        for some, target, first, last in pixels.windows(pixels.rows[left], pixels.cols[left], reach, offset):
            neighbours[left[some]] += (last - first) * areas[target]
        # The rows nearest to it make most pixels cores.
        left = left[neighbours[left] < least_km2]
    core = neighbours >= least_km2
    cores = _Pixels(mask, pixels.rows[core], pixels.cols[core])
    if not len(cores.rows):
        return 0, labels
    count, clusters = _components(cores, reach)
    labels[cores.rows, cores.cols] = clusters
    rows, cols = pixels.rows[~core], pixels.cols[~core]
    border = np.zeros(len(rows), np.int32)
    for offset in reversed(reach.offsets):
        for some, target, first, last in cores.windows(rows, cols, reach, offset):
            found = last > first
            border[some[found]] = clusters[cores.numbers(target[found], first[found])]
    labels[rows, cols] = border
    return count, labels


class _Reach:
    """How many columns away a pixel of another row can be within a radius."""

    def __init__(self, height: int, width: int, radius_km: float) -> None:
        self.radius = radius_km / EARTH_RADIUS_KM
        self.step = 2 * np.pi / width
        self.row_step = np.pi / height
        self.cosines = np.sin((np.arange(height) + 0.5) * self.row_step)
        most = min(height - 1, int(self.radius / self.row_step))
        self.offsets = sorted(range(-most, most + 1), key=abs)

    def columns(self, rows: Integers, targets: Integers) -> Integers:
        """Columns between pixels of two rows at the radius, rounded down: the haversine formula solved for them."""
        across = np.sin(self.radius / 2) ** 2 - np.sin((targets - rows) * self.row_step / 2) ** 2
        share = np.clip(across / (self.cosines[rows] * self.cosines[targets]), 0, 1)
        # Rounding must not make half of the globe a column short.
        return (2 * np.arcsin(np.sqrt(share)) / self.step + 1e-9).astype(np.intp)


class _Pixels:
    """Some pixels of an image, in the order of its rows, and how many there are left of each column."""

    def __init__(self, mask: NDArray[np.uint8], rows: Integers | None = None, cols: Integers | None = None) -> None:
        self.height, self.width = mask.shape
        if rows is None or cols is None:
            chosen = mask != 0
            rows, cols = np.divmod(np.flatnonzero(chosen), self.width)
        else:
            chosen = np.zeros(mask.shape, bool)
            chosen[rows, cols] = True
        self.rows, self.cols = rows, cols
        self.before = np.cumsum(chosen, axis=1, dtype=np.int32)
        self.totals = self.before[:, -1].astype(np.intp)
        self.before -= chosen
        self.starts = np.cumsum(self.totals) - self.totals

    def windows(
        self, rows: Integers, cols: Integers, reach: _Reach, offset: int
    ) -> Iterator[tuple[Integers, Integers, Integers, Integers]]:
        """Neighbours of some pixels in the rows an offset away, a block at a time.

        Yields:
            Which of the given pixels they are the neighbours of, the row they are in, and the first and one past the
            last of them, counted along the row and on round the globe.
        """
        all_rows = np.arange(self.height)
        reached = reach.columns(all_rows, np.clip(all_rows + offset, 0, self.height - 1))
        inside = (all_rows + offset >= 0) & (all_rows + offset < self.height)
        inside[inside] = self.totals[all_rows[inside] + offset] > 0
        fit = np.flatnonzero(inside[rows])
        for some in np.array_split(fit, -(-len(fit) // _BLOCK)) if len(fit) else ():
            target, west = rows[some] + offset, cols[some] - reached[rows[some]]
            east = np.minimum(cols[some] + reached[rows[some]] + 1, west + self.width)
            yield some, target, self._count(target, west), self._count(target, east)

    def numbers(self, rows: Integers, places: Integers) -> Integers:
        """Numbers of pixels in the list, by their row and place in it, counted on round the globe."""
        return self.starts[rows] + places % self.totals[rows]

    def _count(self, rows: Integers, cols: Integers) -> Integers:
        """Pixels of a row left of a column, which may lie up to a width beyond either edge."""
        beyond = (cols >= self.width).astype(np.intp) - (cols < 0)
        return self.before[rows, cols - beyond * self.width] + beyond * self.totals[rows]


_BLOCK = 1 << 18


def _components(cores: _Pixels, reach: _Reach) -> tuple[int, NDArray[np.int32]]:
    """Number of clusters, and that of each core.

    Cores of a row are chained where the gap between them is within the radius. Seen from a row nearer the equator, the
    neighbours in another row are of one such chain, or of two: those of the first and of the last neighbour.
    """
    rows, cols = cores.rows, cores.cols
    along = reach.columns(rows, rows)
    broken = (np.diff(rows) != 0) | (np.diff(cols) > along[1:])
    chains = np.concatenate([[0], np.cumsum(broken)])
    edges = []
    used = np.flatnonzero(cores.totals)
    first, last = cores.starts[used], cores.starts[used] + cores.totals[used] - 1
    around = cols[first] + cores.width - cols[last] <= along[first]
    edges.append(np.stack([chains[first[around]], chains[last[around]]], axis=1))
    # Of cores side by side, those whose windows touch see what all of them see.
    ends = np.append((np.diff(rows) != 0) | (np.diff(cols) != 1), True)
    starts = np.flatnonzero(np.insert(ends[:-1], 0, True))
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    every = np.arange(cores.height)
    polar = np.minimum(every, every[::-1])
    for offset in reach.offsets[1:]:
        targets = np.clip(every + offset, 0, cores.height - 1)
        width = np.where(polar[targets] <= polar, 2 * reach.columns(every, targets) + 1, 0)[rows]
        seers = np.flatnonzero((width > 0) & (ends | (place % np.maximum(width, 1) == 0)))
        for some, target, start, stop in cores.windows(rows[seers], cols[seers], reach, offset):
            link = stop > start
            source = chains[seers[some[link]]]
            edges += [
                np.stack([source, chains[cores.numbers(target[link], seen)]], axis=1)
                for seen in (start[link], stop[link] - 1)
            ]
    pairs = np.concatenate(edges)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(chains[-1] + 1,) * 2)
    count, component = connected_components(graph, directed=False)
    return count, (component[chains] + 1).astype(np.int32)
