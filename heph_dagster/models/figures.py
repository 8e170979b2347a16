"""Pictures of how good a learner is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.models.metrics import Metric, Scores, Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE, _DPI = (4.8, 4.0), 100
_BINS = 10


def roc_curve(truth: Truth, scores: Scores, title: str) -> Figure:
    """Recall over the share of false alarms, for all thresholds.

    Args:
        truth: Whether each case is positive, N.
        scores: Higher for positive cases, N.
        title: Above it.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics import roc_curve as curve

    alarms, recall, _ = curve(truth, scores)
    figure, axes = _axes(title, "share of false alarms", "recall")
    axes.plot(alarms, recall, label=f"area {roc_auc_score(truth, scores):.3f}")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    axes.legend(loc="lower right")
    return figure


def precision_recall_curve(truth: Truth, scores: Scores, title: str) -> Figure:
    """Precision over recall, for all thresholds; arguments as of `roc_curve`."""
    from sklearn.metrics import average_precision_score
    from sklearn.metrics import precision_recall_curve as curve

    precision, recall, _ = curve(truth, scores)
    figure, axes = _axes(title, "recall", "precision")
    axes.step(recall, precision, where="post", label=f"average {average_precision_score(truth, scores):.3f}")
    axes.axhline(truth.mean(), color="0.7", linestyle=":")
    axes.legend(loc="lower left")
    return figure


def confusion_matrix(truth: Truth, scores: Scores, threshold: float, title: str) -> Figure:
    """How many cases of each class are called what.

    Args:
        truth: Whether each case is positive, N.
        scores: Higher for positive cases, N.
        threshold: Cases with this score or a higher one are called positive.
        title: Above it.
    """
    counts = np.zeros((2, 2), np.int64)
    np.add.at(counts, (truth.astype(int), (scores >= threshold).astype(int)), 1)
    figure, axes = _axes(title, "called", "is")
    axes.imshow(counts, cmap="Blues", vmin=0)
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"])
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure


def calibration(truth: Truth, scores: Scores, title: str) -> Figure:
    """Share of positive cases over the probability that was told, in ten bins; arguments as of `roc_curve`."""
    bins = np.clip((scores * _BINS).astype(int), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    there = counts > 0
    told, found = (np.bincount(bins, each, _BINS)[there] / counts[there] for each in (scores, truth))
    figure, axes = _axes(title, "probability told", "share of positive cases")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    axes.scatter(told, found, s=12 + 200 * counts[there] / len(truth))
    return figure


def loss_curves(curves: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Each figure over the epochs."""
    figure, axes = _axes(title, "epoch", "")
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, label=name)
    axes.legend()
    return figure


def feature_importances(importances: NDArray[np.float64], names: Sequence[str], title: str, most: int = 20) -> Figure:
    """The features that matter most.

    Args:
        importances: Of each feature, not negative.
        names: Of each feature.
        title: Above it.
        most: How many are shown.
    """
    order = np.argsort(-importances, kind="stable")[:most][::-1]
    figure, axes = _axes(title, "importance", "")
    axes.barh(range(len(order)), importances[order])
    axes.set_yticks(range(len(order)), [names[number] for number in order], fontsize=6)
    return figure


def figures_with_intervals(metrics: Mapping[str, Metric], title: str) -> Figure:
    """Figures from 0 to 1 with their intervals, as bars."""
    values = np.array(list(metrics.values()))
    figure, axes = _axes(title, "", "")
    reach = np.nan_to_num(np.abs(values[:, 1:] - values[:, :1])).T
    axes.barh(range(len(values)), values[:, 0], xerr=reach, capsize=2)
    axes.set_yticks(range(len(values)), list(metrics))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    return figure


def class_matrix(counts: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Share of each true class that is called what.

    Args:
        counts: The true class first, K x K.
        names: Of the classes.
        title: Above it.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(title, "called", "is")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=7)
    return figure


def mistakes(pictures: Sequence[tuple[str, NDArray[np.uint8]]], title: str) -> Figure:
    """Cases that were judged worst.

    Args:
        pictures: Words and RGB picture of each.
        title: Above them.
    """
    from matplotlib.figure import Figure

    columns = min(len(pictures), 2)
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.5 * rows), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=9)
    for number, (words, picture) in enumerate(pictures, 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(picture)
        axes.set_title(words, fontsize=8)
        axes.set_axis_off()
    return figure


def as_rgb(figure: Figure) -> NDArray[np.uint8]:
    """The pixels of a figure, H x W x 3."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes
