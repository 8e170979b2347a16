"""What each kind of learner of interferograms is taught, and how it is judged on whole parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.splits import Part
from heph_dagster.models import figures
from heph_dagster.models.fitting import seeded
from heph_dagster.models.insar.data import CLASSES, OUTPUTS, CropData
from heph_dagster.models.insar.evaluation import (
    evaluate_outputs,
    evaluate_segments,
    linear_scores,
    thresholds,
    told_apart,
)
from heph_dagster.models.insar.fitting import Fitting, fit_classifier, fit_encoder, fit_segmenter
from heph_dagster.models.insar.networks import Encoder
from heph_dagster.models.insar.pictures import worst_crops, worst_masks
from heph_dagster.models.insar.predictors import EncoderPredictor
from heph_dagster.models.insar.scoring import Predict, batches, called, mask_threshold, scored, segmented
from heph_dagster.models.loop import OnEpoch
from heph_dagster.models.metrics import Metric, best_threshold, evaluate
from heph_dagster.models.serving import Predictor


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is to be learned, and how.

    Attributes:
        data: Crops.
        learner: Name of the learner.
        told: Its parameters.
        seed: Of all chance.
        folder: Of checkpoints.
        on_epoch: Is told of each epoch.
    """

    data: CropData
    learner: str
    told: Any
    seed: int
    folder: Path | None = None
    on_epoch: OnEpoch | None = None

    @property
    def fitting(self) -> Fitting:
        """How to fit."""
        return Fitting(self.seed, self.folder, self.on_epoch)


@dataclass(frozen=True, eq=False)
class Taught:
    """A learner that has learned.

    Attributes:
        predictor: What is registered.
        metrics: Figures of each part.
        thresholds: Probabilities from which on outputs, or pixels, are called positive; chosen on val.
        scores: Probability of deformation of the crops of each part; none of encoders.
        plots: Figures by name.
        shown: Names of the two that tell most.
        example: Some crops as the predictor takes them.
    """

    predictor: Predictor
    metrics: Mapping[Part, Mapping[str, Metric]]
    thresholds: Mapping[str, float]
    scores: Mapping[Part, NDArray[np.float64]]
    plots: Mapping[str, Any]
    shown: tuple[str, str]
    example: NDArray[np.uint8]


def teach_classifier(lesson: Lesson, encoder: EncoderPredictor | None) -> Taught:
    """Train a classifier and judge it; one with a frozen encoder is compared with an encoder drawn by chance."""
    data, told = lesson.data, lesson.told
    predictor, made = fit_classifier(data, told, lesson.fitting, None if encoder is None else encoder.network)
    scores = {part: scored(predictor.predict, data, part) for part in Part}
    at = thresholds(data.parts[Part.VAL].truth, scores[Part.VAL])
    metrics = {part: evaluate_outputs(data.parts[part].truth, scores[part], at, seed=lesson.seed) for part in Part}
    if told.frozen:
        by_chance, _ = fit_classifier(data, told, Fitting(lesson.seed))
        for part in Part:
            truth, found = data.parts[part].truth, scored(by_chance.predict, data, part)
            compared = evaluate_outputs(truth, found, thresholds(truth, found), seed=lesson.seed)
            metrics[part] |= {f"chance_{name}": compared[name] for name in ("deformation_roc_auc", "mean_roc_auc")}
    truth, test = data.parts[Part.TEST].truth, scores[Part.TEST].astype(np.float64)
    title = f"deformation, {lesson.learner}, test"
    areas = {name: metrics[Part.TEST][f"{name}_roc_auc"] for name in np.array(OUTPUTS)[told_apart(truth)]}
    plots = {
        "roc": figures.roc_curve(truth[:, 0], test[:, 0], title),
        "precision_recall": figures.precision_recall_curve(truth[:, 0], test[:, 0], title),
        "confusion_matrix": figures.confusion_matrix(truth[:, 0], test[:, 0], float(at[0]), title),
        "calibration": figures.calibration(truth[:, 0], test[:, 0], title),
        "outputs": figures.figures_with_intervals(areas, f"ROC-AUC, {lesson.learner}, test"),
        "curves": figures.loss_curves(made.curves, lesson.learner),
        "worst": worst_crops(data, test),
    }
    named = dict(zip(OUTPUTS, at.tolist(), strict=True))
    deformed = {part: each[:, 0].astype(np.float64) for part, each in scores.items()}
    return Taught(predictor, metrics, named, deformed, plots, ("roc", "outputs"), _example(data))


def teach_segmenter(lesson: Lesson, encoder: EncoderPredictor | None) -> Taught:
    """Train a segmenter and judge it."""
    del encoder
    data = lesson.data
    predictor, made = fit_segmenter(data, lesson.learner, lesson.told, lesson.fitting)
    at, _ = mask_threshold(predictor.predict, data)
    found = {part: segmented(predictor.predict, data, part, at) for part in Part}
    metrics = {part: evaluate_segments(found[part].counts, seed=lesson.seed) for part in Part}
    counts, scores = found[Part.TEST].counts, {part: each.scores for part, each in found.items()}
    overlaps = {
        name.removeprefix("iou_"): metric for name, metric in metrics[Part.TEST].items() if name.startswith("iou_")
    }
    title = f"{lesson.learner}, test"
    plots = {
        "iou": figures.figures_with_intervals(overlaps, f"IoU, {title}"),
        "confusion_matrix": figures.class_matrix(counts.sum(axis=0), ("none", *CLASSES[1:]), f"pixels, {title}"),
        "curves": figures.loss_curves(made.curves, lesson.learner),
        "worst": worst_masks(data, counts, lambda pixels: called(predictor.predict(pixels), at)),
    }
    return Taught(predictor, metrics, {OUTPUTS[0]: at}, scores, plots, ("iou", "confusion_matrix"), _example(data))


def teach_encoder(lesson: Lesson, encoder: EncoderPredictor | None) -> Taught:
    """Pre-train an encoder, and judge it by a linear classifier of its features, beside one drawn by chance."""
    del encoder
    data, told = lesson.data, lesson.told
    predictor, made = fit_encoder(data, told, lesson.fitting)
    with seeded(lesson.seed):
        by_chance = EncoderPredictor(Encoder(told.backbone, told.stride), predictor.settings)
    metrics: dict[Part, dict[str, Metric]] = {part: {} for part in Part}
    at = 0.5
    scores: dict[Part, NDArray[np.float64]] = {}
    for name, each in (("chance", by_chance), ("linear", predictor)):
        scores = _linear(each.predict, data)
        at = best_threshold(data.parts[Part.VAL].truth[:, 0], scores[Part.VAL])
        for part in Part:
            found = evaluate(data.parts[part].truth[:, 0], scores[part], at, seed=lesson.seed)
            metrics[part] |= {f"{name}_{figure}": metric for figure, metric in found.items()}
    title = f"deformation, linear classifier of {lesson.learner}'s features, test"
    plots = {
        "roc": figures.roc_curve(data.parts[Part.TEST].truth[:, 0], scores[Part.TEST], title),
        "curves": figures.loss_curves(made.curves, lesson.learner),
    }
    return Taught(predictor, metrics, {OUTPUTS[0]: at}, {}, plots, ("roc", "curves"), _example(data))


def _linear(predict: Predict, data: CropData) -> dict[Part, NDArray[np.float64]]:
    """Probability of deformation by a linear classifier of features."""
    features = {part: scored(predict, data, part) for part in Part}
    return linear_scores(features, data.parts[Part.TRAIN].truth[:, 0])


def _example(data: CropData) -> NDArray[np.uint8]:
    return next(batches(data, data.parts[Part.TRAIN].names[:2])).pixels


def _judge_classifier(predict: Predict, data: CropData) -> float:
    return _deformation_auc(data, scored(predict, data, Part.VAL)[:, 0])


def _judge_segmenter(predict: Predict, data: CropData) -> float:
    return mask_threshold(predict, data)[1]


def _judge_encoder(predict: Predict, data: CropData) -> float:
    return _deformation_auc(data, _linear(predict, data)[Part.VAL])


def _deformation_auc(data: CropData, scores: NDArray[np.floating]) -> float:
    """Of the crops that validate."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(data.parts[Part.VAL].truth[:, 0], scores))


TEACHERS: Mapping[str, Callable[[Lesson, EncoderPredictor | None], Taught]] = {
    "hephaestus.classifier": teach_classifier,
    "hephaestus.segmenter": teach_segmenter,
    "hephaestus.encoder": teach_encoder,
}
"""Who teaches a learner of each model."""
JUDGES: Mapping[str, Callable[[Predict, CropData], float]] = {
    "hephaestus.classifier": _judge_classifier,
    "hephaestus.segmenter": _judge_segmenter,
    "hephaestus.encoder": _judge_encoder,
}
"""The decisive figure of each model on the crops that validate."""
