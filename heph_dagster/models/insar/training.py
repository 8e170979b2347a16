"""Training a learner of interferograms: from crops to a registered model, all of it recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster import __version__
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models import drift, figures
from heph_dagster.models.drift import Reference
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.insar.data import CropData, load_crops
from heph_dagster.models.insar.parameters import (
    ClassifierParameters,
    CommonParameters,
    MocoParameters,
    SegmenterParameters,
)
from heph_dagster.models.loop import checkpoints
from heph_dagster.models.metrics import Metric
from heph_dagster.models.tracking import Tracking, Version

CLASSIFIER, SEGMENTER, ENCODER = "hephaestus.classifier", "hephaestus.segmenter", "hephaestus.encoder"
"""Models in MLflow; learners of one model compete for its champion."""
DECISIVE = {CLASSIFIER: "deformation_roc_auc", SEGMENTER: "iou_deformation", ENCODER: "linear_roc_auc"}
"""Figure of the crops that validate by which a champion is chosen."""
FLOOR = {CLASSIFIER: 0.6, SEGMENTER: 0.2, ENCODER: 0.5}
"""A model whose decisive figure is below is no champion, were it the only one."""
THRESHOLD = "threshold"
"""Tag of a version: the probability from which on a crop, or a pixel, is said to deform."""
DRIFT = "drift"
"""Name of the file of a run that tells how what was seen and told is distributed."""
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Learner:
    """A way to learn from crops.

    Attributes:
        title: Its name in words.
        model: Name of the model in MLflow.
        parameters: Its parameters by default.
    """

    title: str
    model: str
    parameters: CommonParameters


LEARNERS = {
    "classifier": Learner("multi-label classifier", CLASSIFIER, ClassifierParameters()),
    "linear_evaluation": Learner(
        "linear classifier of a pre-trained encoder's features", CLASSIFIER, ClassifierParameters(frozen=True)
    ),
    "unet": Learner("U-Net", SEGMENTER, SegmenterParameters()),
    "deeplabv3plus": Learner("DeepLabV3+", SEGMENTER, SegmenterParameters()),
    "segformer": Learner("SegFormer", SEGMENTER, SegmenterParameters()),
    "moco": Learner("encoder pre-trained by momentum contrast", ENCODER, MocoParameters()),
}
"""Learners of interferograms, by name."""


@dataclass(frozen=True, eq=False)
class Training:
    """What became of a training.

    Attributes:
        version: The registered model.
        is_champion: Whether it is the champion now.
        champion: The champion; None if no version has reached the floor.
        metrics: Figures of each part.
        data: What it learned from.
        plots: RGB pictures of it.
    """

    version: Version
    is_champion: bool
    champion: Version | None
    metrics: Mapping[Part, Mapping[str, Metric]]
    data: CropData
    plots: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def train_interferograms(
    tracking: Tracking,
    root: Path,
    learner: str,
    *,
    parameters: Any = None,
    split: str = "frames",
    seed: int = 0,
    floor: float | None = None,
    tags: Mapping[str, str] | None = None,
) -> Training:
    """Train a learner on crops, record it in MLflow, and register it.

    Args:
        tracking: Where it is recorded.
        root: Folder of InSAR data, with crops and splits. A training that is stopped goes on from what it keeps there.
        learner: Name of one of `LEARNERS`.
        parameters: Of the learner; its own by default.
        split: Name of the split.
        seed: Of all chance.
        floor: What the decisive figure of a champion reaches at least; that of the model by default.
        tags: Where the training comes from.

    Raises:
        DataError: There are too few crops of some kind.
        TrainingError: It led nowhere, or there is no encoder to evaluate; nothing is registered.
        TrackingError: The encoder to start from, or the present champion, cannot be used.
    """
    from heph_dagster.models.insar import lessons
    from heph_dagster.models.insar.scoring import described

    kind = LEARNERS[learner]
    data = load_crops(root, split)
    chosen, encoder = _started(tracking, learner, kind.parameters if parameters is None else parameters)
    told = {"learner": learner, "split": split, "seed": seed, **asdict(chosen)}
    facts = {
        "data_fingerprint": data.fingerprint,
        "code_version": __version__,
        "crops_without_coherence": str(data.without_coherence),
        **{f"{part}_crops": str(len(crops.names)) for part, crops in data.parts.items()},
        **{f"{part}_deformed": str(crops.deformed) for part, crops in data.parts.items()},
    }
    known = told | {"fingerprint": data.fingerprint}
    with (
        checkpoints(root / _CHECKPOINTS, known) as folder,
        tracking.run(kind.model, learner, told, facts | dict(tags or {}), folder) as run,
    ):
        lesson = lessons.Lesson(data, learner, chosen, seed, folder, run.epoch)
        taught = lessons.TEACHERS[kind.model](lesson, encoder)
        run.metrics(taught.metrics)
        run.table("thresholds", taught.thresholds)
        run.table(DRIFT, drift.as_json(_references(data, described(data), taught.scores)))
        for name, figure in taught.plots.items():
            run.figure(name, figure)
        about = {"learner": learner, "fingerprint": data.fingerprint, THRESHOLD: repr(taught.thresholds["deformation"])}
        version = tracking.register(run, kind.model, taught.predictor, taught.example, about)
        score = taught.metrics[Part.VAL][DECISIVE[kind.model]].value
        lowest = FLOOR[kind.model] if floor is None else floor
        judge = lessons.JUDGES[kind.model]
        is_champion = score >= lowest and tracking.challenge(
            version, lambda present: (judge(tracking.load(present).predictor.predict, data), score)
        )
    shown = {name: figures.as_rgb(taught.plots[name]) for name in taught.shown}
    return Training(version, is_champion, tracking.champion(kind.model), taught.metrics, data, shown)


def _references(
    data: CropData, figures_of: Mapping[str, NDArray[np.float64]], scores: Mapping[Part, NDArray[np.float64]]
) -> dict[str, Reference]:
    """Distributions to tell drift by: of figures of all tiles, and of scores of those that did not train.

    Crops around deformations are left out: they were made to show some, which tiles of new interferograms hardly do.
    """
    tiles = {part: ~data.parts[part].truth[:, 0] for part in (Part.VAL, Part.TEST)}
    told = {drift.SCORE: np.concatenate([scores[part][each] for part, each in tiles.items()])} if scores else {}
    return {name: drift.reference(each) for name, each in (*figures_of.items(), *told.items())}


def _started(tracking: Tracking, learner: str, parameters: Any) -> tuple[Any, Any]:
    """Parameters, and the predictor of the encoder to start from, whose backbone, stride and input size they take on.

    A linear evaluation, whose encoder is frozen, starts from the champion where no version is named.

    Returns:
        The parameters, and the predictor; None if they start from chance.

    Raises:
        TrainingError: There is no champion, or several machines are to start from one, of which only the first has the
            store.
        TrackingError: The version cannot be used.
    """
    if not isinstance(parameters, ClassifierParameters):
        return parameters, None
    number = parameters.encoder
    if parameters.nodes > 1 and (number is not None or learner == "linear_evaluation"):
        raise TrainingError(
            f"{learner} starts from a registered encoder, which other machines than the first do not have: "
            f"train it on one machine, not on {parameters.nodes}"
        )
    if number is None and learner == "linear_evaluation":
        champion = tracking.champion(ENCODER)
        if champion is None:
            raise TrainingError(f"{ENCODER} has no champion to evaluate: train moco first, or name a version of it")
        number = champion.number
    if number is None:
        return parameters, None
    encoder: Any = tracking.load(Version(ENCODER, number, "")).predictor
    known = {name: encoder.settings[name] for name in ("backbone", "stride", "input_size")}
    frozen = parameters.frozen or learner == "linear_evaluation"
    return replace(parameters, encoder=number, frozen=frozen, **known), encoder
