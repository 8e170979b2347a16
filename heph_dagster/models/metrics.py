"""How good scores are: figures of the whole set, with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = NDArray[np.bool_]
_Weights: TypeAlias = NDArray[np.float64]
_Figure: TypeAlias = Callable[[_Weights], NDArray[np.float64]]

RESAMPLES = 1000
CONFIDENCE = 0.95
_BLOCK = 50
"""Resamples whose weights are in memory at once."""


class Metric(NamedTuple):
    """A figure and its confidence interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In words, with the interval where there is one: `0.982 (0.951 to 0.997)`."""
        interval = f" ({self.low:.3f} to {self.high:.3f})" if np.isfinite(self.low) else ""
        return f"{self.value:.3f}{interval}"


def evaluate(truth: Truth, scores: Scores, threshold: float, *, seed: int = 0) -> dict[str, Metric]:
    """Figures of scores against the truth.

    The bootstrap draws cases with replacement, each class for itself, so that no resample lacks one: intervals hold for
    the shares of the classes that the set has.

    Args:
        truth: Whether each case is positive, N.
        scores: Higher for positive cases, N.
        threshold: Cases with this score or a higher one are called positive.
        seed: Of the bootstrap.

    Returns:
        `roc_auc`, `average_precision`, `f1`, `recall`, `precision` and `accuracy`, with intervals of 95 %.

    Raises:
        ValueError: There is one class only, or a score is not finite.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
    """
    check_scores(truth, scores)
    drawn = _resamples(truth, np.random.default_rng(seed))
    return _with_intervals(_figures(truth, scores, threshold), drawn)


def evaluate_mean_roc_auc(truth: Truth, scores: Scores, *, seed: int = 0) -> Metric:
    """Mean area under the ROC curves of several outputs.

    The bootstrap draws cases with all their outputs, each class of the first output for itself; where a resample lacks
    a class of another, the mean is over the rest.

    Args:
        truth: Whether each case is positive, N x outputs.
        scores: Higher for positive cases, N x outputs.
        seed: Of the bootstrap.

    Raises:
        ValueError: An output has one class only, or a score is not finite.
    """
    for each, told in zip(truth.T, scores.T, strict=True):
        check_scores(each, told)
    areas = [_figures(each, told, np.inf)["roc_auc"] for each, told in zip(truth.T, scores.T, strict=True)]

    def mean(weights: _Weights) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nanmean([area(weights) for area in areas], axis=0))

    return _with_intervals({"mean": mean}, _resamples(truth[:, 0], np.random.default_rng(seed)))["mean"]


def check_scores(truth: Truth, scores: Scores) -> None:
    """Refuse what cannot be evaluated.

    Raises:
        ValueError: There is one class only, or a score is not finite.
    """
    if truth.all() or not truth.any():
        raise ValueError(f"all {len(truth)} cases are {'positive' if truth.any() else 'negative'}: nothing to compare")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not finite")


def best_threshold(truth: Truth, scores: Scores) -> float:
    """The threshold of the highest F1, and of several such the highest.

    It lies half-way between the score of the last case that is called positive and the next.

    Args:
        truth: Whether each case is positive, N.
        scores: Higher for positive cases, N.

    Raises:
        ValueError: There is one class only, or a score is not finite.
    """
    check_scores(truth, scores)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    last = np.append(ranked[:-1] > ranked[1:], True)  # cases of one score are called alike
    f1 = np.where(last, 2 * hits / (np.arange(1, len(scores) + 1) + hits[-1]), -1)
    place = int(np.argmax(f1))
    return float(ranked[place] if place + 1 == len(ranked) else (ranked[place] + ranked[place + 1]) / 2)


def _resamples(truth: Truth, rng: np.random.Generator) -> NDArray[np.uint8]:
    """How often each case is drawn: all once in the first row, then a row per resample.

    A byte is enough: no case of a large set is ever drawn 256 times.
    """
    drawn = np.ones((RESAMPLES + 1, len(truth)), np.uint8)
    for kind in (truth, ~truth):
        count, places = int(np.count_nonzero(kind)), np.flatnonzero(kind)
        shares = np.full(count, 1 / count)
        for start in range(1, RESAMPLES + 1, _BLOCK):
            drawn[start : start + _BLOCK, places] = rng.multinomial(count, shares, size=_BLOCK)
    return drawn


def _with_intervals(figures: Mapping[str, _Figure], drawn: NDArray[np.uint8]) -> dict[str, Metric]:
    """Each figure of all cases, with its interval over resamples."""
    found = np.empty((len(figures), len(drawn)))
    for start in range(0, len(drawn), _BLOCK):
        block = slice(start, start + _BLOCK)
        weights = drawn[block].astype(np.float64)
        for row, figure in zip(found, figures.values(), strict=True):
            row[block] = figure(weights)
    tail = (1 - CONFIDENCE) / 2
    result = {}
    for name, values in zip(figures, found, strict=True):
        low, high = np.nanquantile(values[1:], (tail, 1 - tail))
        result[name] = Metric(float(values[0]), float(low), float(high))
    return result


def _figures(truth: Truth, scores: Scores, threshold: float) -> dict[str, _Figure]:
    """Each figure as a function of weights, resamples x N."""
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], truth[order]
    last = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))
    called = scores >= threshold

    def curve(weights: _Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Hits and false alarms at each distinct score, from the highest."""
        drawn = weights[:, order]
        return np.cumsum(drawn * positive, axis=1)[:, last], np.cumsum(drawn * ~positive, axis=1)[:, last]

    def roc_auc(weights: _Weights) -> NDArray[np.float64]:
        hits, alarms = (np.pad(each, ((0, 0), (1, 0))) for each in curve(weights))
        area = (np.diff(alarms) * (hits[:, 1:] + hits[:, :-1])).sum(axis=1) / 2
        return np.asarray(area / (hits[:, -1] * alarms[:, -1]))

    def average_precision(weights: _Weights) -> NDArray[np.float64]:
        hits, alarms = curve(weights)
        precision = hits / np.maximum(hits + alarms, 1)
        return np.asarray((np.diff(hits, prepend=0) * precision).sum(axis=1) / hits[:, -1])

    def of_cases(chosen: Truth) -> _Figure:
        return lambda weights: np.asarray(weights @ chosen.astype(np.float64))

    hits, alarms, missed, rejected = map(of_cases, (called & truth, called & ~truth, ~called & truth, ~called & ~truth))
    return {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "f1": lambda w: 2 * hits(w) / (2 * hits(w) + alarms(w) + missed(w)),
        "recall": lambda w: hits(w) / (hits(w) + missed(w)),
        # Where nothing is called positive, precision is 0, as scikit-learn has it.
        "precision": lambda w: hits(w) / np.maximum(hits(w) + alarms(w), 1),
        "accuracy": lambda w: (hits(w) + rejected(w)) / len(truth),
    }
