"""How good learners of crops are, on whole parts of a split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.insar.data import CLASSES, OUTPUTS
from heph_dagster.models.mask_metrics import Confusions, evaluate_masks
from heph_dagster.models.metrics import Metric, best_threshold, evaluate, evaluate_mean_roc_auc


def told_apart(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which outputs crops have both kinds of: no figure is defined for the others.

    Args:
        truth: N x outputs.
    """
    return np.asarray(truth.any(axis=0) & ~truth.all(axis=0))


def mean_roc_auc(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Mean area under the ROC curves of the outputs for which it is defined.

    Args:
        truth: N x outputs.
        scores: N x outputs.
    """
    from sklearn.metrics import roc_auc_score

    chosen = np.flatnonzero(told_apart(truth))
    return float(np.mean([roc_auc_score(truth[:, number], scores[:, number]) for number in chosen]))


def thresholds(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """The threshold of the highest F1 of each output; 0.5 where it is not defined.

    Args:
        truth: Of the crops that validate, N x outputs.
        scores: Their probabilities, N x outputs.
    """
    found = np.full(truth.shape[1], 0.5)
    for number in np.flatnonzero(told_apart(truth)):
        found[number] = best_threshold(truth[:, number], scores[:, number].astype(np.float64))
    return found


def evaluate_outputs(
    truth: NDArray[np.bool_], scores: NDArray[np.floating], at: NDArray[np.float64], *, seed: int = 0
) -> dict[str, Metric]:
    """Figures of each output that the crops have both kinds of.

    Args:
        truth: N x outputs.
        scores: Probabilities, N x outputs.
        at: Threshold of each output.
        seed: Of the bootstrap.

    Returns:
        `deformation_roc_auc` and so on for each figure of `evaluate`, and `mean_roc_auc`.
    """
    found: dict[str, Metric] = {}
    for number in np.flatnonzero(told_apart(truth)):
        figures = evaluate(truth[:, number], scores[:, number].astype(np.float64), float(at[number]), seed=seed)
        found |= {f"{OUTPUTS[number]}_{name}": metric for name, metric in figures.items()}
    chosen = told_apart(truth)
    mean = evaluate_mean_roc_auc(truth[:, chosen], scores[:, chosen].astype(np.float64), seed=seed)
    return found | {"mean_roc_auc": mean}


def best_mask_threshold(counts: NDArray[np.int64]) -> tuple[float, float]:
    """The threshold of the highest IoU of what deforms, and that IoU.

    Args:
        counts: Pixels that do not deform and that do, by how likely they are said to, in equal steps from 0 to 1: 2 x
            steps.
    """
    called = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels from each step on
    overlap = called[1] / np.maximum(called[0] + counts[1].sum(), 1)
    step = int(np.argmax(overlap))
    return step / counts.shape[1], float(overlap[step])


def evaluate_segments(counts: Confusions, *, seed: int = 0) -> dict[str, Metric]:
    """IoU and Dice of each class, and of deformation yes or no.

    Args:
        counts: Of each crop, N x 7 x 7.
        seed: Of the bootstrap.

    Returns:
        `iou_deformation`, `dice_deformation`, and the same of each type that is there or called; `iou_mean` is the mean
        over the types that are there.
    """
    either = np.add.reduceat(np.add.reduceat(counts, (0, 1), axis=1), (0, 1), axis=2)
    found = evaluate_masks(either, ("", OUTPUTS[0]), seed=seed)
    found.pop("iou_mean")
    there = counts.sum(axis=(0, 2)) > 0
    names = [name if present else "" for name, present in zip(CLASSES, there, strict=True)]
    return found | evaluate_masks(counts, names, seed=seed)


def linear_scores(
    features: Mapping[Part, NDArray[np.floating]], truth: NDArray[np.bool_]
) -> dict[Part, NDArray[np.float64]]:
    """Probabilities by a linear classifier that learns from the features of the crops that train.

    Args:
        features: Of the crops of each part, N x F.
        truth: Whether each of the crops that train is positive.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = LogisticRegression(C=0.1, class_weight="balanced", max_iter=5000)
    pipeline = make_pipeline(StandardScaler(), linear).fit(features[Part.TRAIN], truth)
    return {part: np.asarray(pipeline.predict_proba(each)[:, 1], np.float64) for part, each in features.items()}
