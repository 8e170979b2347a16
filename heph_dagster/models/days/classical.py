"""Classical learners of the features of a day: those of gibs-ml, as scikit-learn has them.

Features are scaled to unit variance first, and both classes weigh the same, however rare one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days.data import DayData, Part
from heph_dagster.models.days.trained import Curves, Trained, judged
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.loop import OnEpoch

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class LinearParameters:
    """Of the linear learners.

    Attributes:
        c: Inverse of the strength of the regularisation.
    """

    c: float = 0.01


@dataclass(frozen=True)
class ForestParameters:
    """Of the random forest.

    Attributes:
        trees: Number of trees.
        depth: Most decisions from root to leaf.
    """

    trees: int = 300
    depth: int = 5


@dataclass(frozen=True)
class NetworkParameters:
    """Of the two-layer network.

    Attributes:
        hidden: Units of the hidden layer.
        epochs: Passes over the training days.
        batch_size: Days of a step.
        learning_rate: Of Adam.
        decay: Weight of the squared weights in the loss.
    """

    hidden: int = 100
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-3
    decay: float = 1e-2


def train_linear_svm(data: DayData, parameters: LinearParameters, seed: int) -> Trained:
    """A linear support vector machine with hinge loss, its distances turned into probabilities by Platt's method.

    Raises:
        TrainingError: A score is not finite.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import LinearSVC

    machine = LinearSVC(loss="hinge", C=parameters.c, class_weight="balanced", random_state=seed, max_iter=20_000)
    truth = data.parts[Split.TRAIN].truth
    folds = min(5, int(truth.sum()), int((~truth).sum()))
    return _fitted(data, CalibratedClassifierCV(machine, ensemble=False, cv=folds), seed)


def train_softmax(data: DayData, parameters: LinearParameters, seed: int) -> Trained:
    """A linear classifier with logistic loss, softmax for two classes.

    Raises:
        TrainingError: A score is not finite.
    """
    from sklearn.linear_model import LogisticRegression

    return _fitted(data, LogisticRegression(C=parameters.c, class_weight="balanced", max_iter=5000), seed)


def train_random_forest(data: DayData, parameters: ForestParameters, seed: int) -> Trained:
    """A random forest.

    Raises:
        TrainingError: A score is not finite.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        parameters.trees, max_depth=parameters.depth, class_weight="balanced", random_state=seed, n_jobs=-1
    )
    return _fitted(data, forest, seed)


def train_two_layer_network(
    data: DayData, parameters: NetworkParameters, seed: int, on_epoch: OnEpoch | None = None
) -> Trained:
    """A network with one hidden layer of rectified units.

    Args:
        data: Days.
        parameters: Of the network.
        seed: Of weights and batches.
        on_epoch: Is called after each epoch with its number from 1 on, `train_loss` and `val_roc_auc`.

    Raises:
        TrainingError: The loss or a score is not finite.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.class_weight import compute_sample_weight

    network = MLPClassifier(
        (parameters.hidden,),
        alpha=parameters.decay,
        batch_size=min(parameters.batch_size, len(data.parts[Split.TRAIN].days)),
        learning_rate_init=parameters.learning_rate,
        random_state=seed,
    )
    train, val = data.parts[Split.TRAIN], data.parts[Split.VAL]
    scaler = StandardScaler().fit(train.inputs)
    scaled, unseen = scaler.transform(train.inputs), scaler.transform(val.inputs)
    weights = compute_sample_weight("balanced", train.truth)
    curves: dict[str, list[float]] = {}
    for epoch in range(1, parameters.epochs + 1):
        try:
            with np.errstate(all="ignore"):  # what overflows shows in the loss
                network.partial_fit(scaled, train.truth, classes=[False, True], sample_weight=weights)
            loss = float(network.loss_)
        except ValueError as error:  # weights that are not finite
            raise TrainingError(f"epoch {epoch} led nowhere ({error}): lower learning_rate") from error
        if not np.isfinite(loss):
            raise TrainingError(f"the loss is {loss} after epoch {epoch}: lower learning_rate")
        auc = float(roc_auc_score(val.truth, network.predict_proba(unseen)[:, 1]))
        told = {"train_loss": loss, "val_roc_auc": auc}
        for name, value in told.items():
            curves.setdefault(name, []).append(value)
        if on_epoch is not None:
            on_epoch(epoch, told)
    return _judged(data, make_pipeline(scaler, network), seed, curves)


def probabilities(pipeline: Pipeline, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability that each day is positive.

    Args:
        pipeline: Of a trained learner.
        features: N x values.
    """
    return np.asarray(pipeline.predict_proba(features)[:, 1], np.float64)


def importances(pipeline: Pipeline) -> NDArray[np.float64] | None:
    """How much each feature matters to a forest or a linear learner, not negative; None for other learners."""
    last = pipeline[-1]
    if hasattr(last, "feature_importances_"):
        return np.asarray(last.feature_importances_, np.float64)
    if hasattr(last, "calibrated_classifiers_"):
        last = last.calibrated_classifiers_[0].estimator
    return np.abs(np.asarray(last.coef_, np.float64)).ravel() if hasattr(last, "coef_") else None


def _fitted(data: DayData, learner: Any, seed: int) -> Trained:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), learner)
    train: Part = data.parts[Split.TRAIN]
    pipeline.fit(train.inputs, train.truth)
    if hasattr(learner, "n_jobs"):
        learner.n_jobs = None  # threads add up what trees tell in any order
    return _judged(data, pipeline, seed)


def _judged(data: DayData, pipeline: Pipeline, seed: int, curves: Curves | None = None) -> Trained:
    scores = {split: probabilities(pipeline, part.inputs) for split, part in data.parts.items()}
    return judged(data, pipeline, scores, seed, curves)
