"""How good masks are: overlap with the truth per class, over a whole set, with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from heph_dagster.models.metrics import CONFIDENCE, RESAMPLES, Metric

Confusions: TypeAlias = NDArray[np.int64]
"""Pixels of each item by class: N x K x K, the true class first."""


def confusions(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Confusions:
    """How many pixels of each true class are called what, item by item.

    Args:
        truth: Classes, N x H x W; those from `classes` on (255 for instance) are not judged and count nowhere.
        predicted: Classes, N x H x W, below `classes` wherever the truth is.
        classes: How many classes K there are, background included.

    Returns:
        N x K x K; row is the true class, column the predicted one.

    Raises:
        ValueError: Shapes differ, or a predicted class is not below `classes`.
    """
    if truth.shape != predicted.shape or truth.ndim != 3:
        raise ValueError(f"masks must be N x H x W and alike, not {truth.shape} and {predicted.shape}")
    counts = np.zeros((len(truth), classes, classes), np.int64)
    for item, (true, told) in enumerate(zip(truth, predicted, strict=True)):
        judged = true < classes
        called = told[judged]
        if called.size and called.max() >= classes:
            raise ValueError(f"item {item} is predicted to have class {called.max()}, but there are {classes} classes")
        pairs = true[judged].astype(np.int64) * classes + called
        counts[item] = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return counts


def iou(counts: Confusions) -> NDArray[np.float64]:
    """IoU of each class over the pixels of one confusion matrix, K; NaN where a class is neither there nor predicted.

    Args:
        counts: K x K, the true class first.
    """
    hits, both = np.diagonal(counts), counts.sum(axis=0) + counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / (both - hits), np.float64)


def evaluate_masks(counts: Confusions, names: Sequence[str], *, seed: int = 0) -> dict[str, Metric]:
    """IoU and Dice of each class over the pixels of all items together.

    The bootstrap draws items with replacement, since the pixels of one are no independent cases.

    Args:
        counts: As `confusions` gives them, N x K x K.
        names: Of the classes, K; what is named "" (the background, say) is left out.
        seed: Of the bootstrap.

    Returns:
        `iou_{name}` and `dice_{name}` of each class with intervals of 95 %; NaN where a class is neither there nor
        predicted. `iou_mean` is the mean over the named classes that are anywhere.

    Raises:
        ValueError: There are no items, or names do not fit.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
    """
    items, classes = len(counts), counts.shape[-1]
    if not items:
        raise ValueError("there are no masks to judge")
    if len(names) != classes:
        raise ValueError(f"{len(names)} names for {classes} classes")
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(items, np.full(items, 1 / items), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, items), np.int64), drawn]).astype(np.float64)
    told = np.diagonal(counts, axis1=1, axis2=2)
    hits, both = weights @ told, weights @ (counts.sum(axis=1) + counts.sum(axis=2))
    with np.errstate(invalid="ignore"):
        iou, dice = hits / (both - hits), 2 * hits / both
    chosen = [number for number, name in enumerate(names) if name]
    found = {}
    for number in chosen:
        found[f"iou_{names[number]}"] = _interval(iou[:, number])
        found[f"dice_{names[number]}"] = _interval(dice[:, number])
    anywhere = [number for number in chosen if np.isfinite(iou[0, number])]
    found["iou_mean"] = _interval(iou[:, anywhere].mean(axis=1) if anywhere else np.full(len(iou), np.nan))
    return found


def _interval(values: NDArray[np.float64]) -> Metric:
    """The figure of all items, first, with its interval over the resamples that have the class."""
    resampled = values[1:][np.isfinite(values[1:])]
    if not resampled.size or not np.isfinite(values[0]):
        return Metric(float(values[0]), np.nan, np.nan)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Metric(float(values[0]), float(low), float(high))
