"""What becomes of training a learner of days, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days.data import DayData
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.metrics import Metric, best_threshold, evaluate
from heph_dagster.models.serving import Predictor

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Scores = Mapping[Split, NDArray[np.float64]]
Curves = Mapping[str, Sequence[float]]


@dataclass(frozen=True, eq=False)
class Trained:
    """A learner that has learned.

    Attributes:
        model: From features or pixels to probabilities.
        threshold: A day with this probability or more is called positive; of the highest F1 on the days that validate.
        scores: Probabilities of the days of each part.
        metrics: Figures of each part.
        curves: Figures by epoch, of learners that have some.
    """

    model: Pipeline | Predictor
    threshold: float
    scores: Scores
    metrics: Mapping[Split, Mapping[str, Metric]]
    curves: Curves = field(default_factory=dict)


def judged(
    data: DayData, model: Pipeline | Predictor, scores: Scores, seed: int, curves: Curves | None = None
) -> Trained:
    """A model with its threshold and its figures.

    Args:
        data: The days.
        model: The model.
        scores: What it tells of the days of each part.
        seed: Of the bootstrap.
        curves: Figures by epoch.

    Raises:
        TrainingError: A score is not finite.
    """
    try:
        threshold = best_threshold(data.parts[Split.VAL].truth, scores[Split.VAL])
        metrics = {
            split: evaluate(part.truth, scores[split], threshold, seed=seed) for split, part in data.parts.items()
        }
    except ValueError as error:
        raise TrainingError(f"the learner cannot be judged: {error}") from error
    return Trained(model, threshold, scores, metrics, curves or {})
