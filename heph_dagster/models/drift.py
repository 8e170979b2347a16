"""Drift: whether what a model sees and tells is still what it saw and told when it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORE = "score"
"""Name of the figure that a model tells; the others are of what it sees."""
BINS = 5
FEWEST = 20
"""Cases below which nothing is said."""
GREAT = 0.25
"""Index of population stability from which a shift is called great, by common practice."""
_SIGNIFICANCE = 1e-3


@dataclass(frozen=True)
class Reference:
    """How a figure was distributed in training.

    Attributes:
        edges: Figures between the bins, ascending: its quintiles, and where two are equal, the next smaller number
            too, so that what most cases had has a bin of its own.
        counts: Cases up to each edge, and above the last.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Shift:
    """How far a figure has moved.

    Attributes:
        index: Index of population stability; 0 where nothing has moved.
        threshold: Above this it has drifted.
        cases: How many were compared.
    """

    index: float
    threshold: float
    cases: int

    @property
    def drifted(self) -> bool:
        """Whether it has."""
        return self.index > self.threshold


def reference(values: NDArray[np.floating]) -> Reference:
    """The distribution of a figure.

    Args:
        values: Of each case, N.
    """
    quantiles, times = np.unique(np.quantile(values, np.arange(1, BINS) / BINS), return_counts=True)
    edges = tuple(np.sort(np.concatenate([quantiles, np.nextafter(quantiles[times > 1], -np.inf)])).tolist())
    return Reference(edges, tuple(_counts(edges, values).tolist()))


def shift(known: Reference, values: NDArray[np.floating]) -> Shift | None:
    """How far a figure has moved from its reference.

    A shift is called drift where the index exceeds both 0.25 and what chance alone gives one time in a thousand, for as
    many cases as these.

    Args:
        known: The figure in training.
        values: Of new cases, N.

    Returns:
        The shift; None for fewer than `FEWEST` cases.

    Source: N. Siddiqi, Credit Risk Scorecards, 2006 (the index and 0.25); B. Yurdakul, Statistical Properties of
    Population Stability Index, Western Michigan University, 2018 (its distribution).
    """
    if len(values) < FEWEST:
        return None
    from scipy.stats import chi2

    before, now = (_shares(np.asarray(counts)) for counts in (known.counts, _counts(known.edges, values)))
    index = float(((now - before) * np.log(now / before)).sum())
    chance = float(chi2.isf(_SIGNIFICANCE, len(known.edges))) * (1 / len(values) + 1 / sum(known.counts))
    return Shift(index, max(GREAT, chance), len(values))


def as_json(known: Mapping[str, Reference]) -> dict[str, Any]:
    """References by name in types of JSON."""
    return {name: asdict(each) for name, each in known.items()}


def from_json(told: Mapping[str, Any]) -> dict[str, Reference]:
    """What `as_json` made, read from a file."""
    return {name: Reference(tuple(each["edges"]), tuple(each["counts"])) for name, each in told.items()}


def _counts(edges: tuple[float, ...], values: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half a case more in each bin: an empty one would make the index infinite."""
    return np.asarray((counts + 0.5) / (counts.sum() + len(counts) / 2))
