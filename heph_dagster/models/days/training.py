"""Training a learner of days: from tables to a registered model, all of it recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heph_dagster import __version__
from heph_dagster.anomalies.features import HUE_BINS
from heph_dagster.anomalies.splits import Split
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.gibs.raster import RasterError
from heph_dagster.models import drift, figures
from heph_dagster.models.days import classical, image_learners
from heph_dagster.models.days.classical import ForestParameters, LinearParameters, NetworkParameters
from heph_dagster.models.days.data import DayData, MaskData, Task, load_days
from heph_dagster.models.days.inputs import describe, inputs_of
from heph_dagster.models.days.parameters import CnnParameters, DensenetParameters, NeighboursParameters
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.trained import Trained
from heph_dagster.models.loop import checkpoints
from heph_dagster.models.serving import Predictor
from heph_dagster.models.tracking import Run, Tracking, TrackingError, Version

DECISIVE = "roc_auc"
"""Figure of the days that validate by which a champion is chosen."""
_WORST, _THUMBNAIL = 6, (480, 240)
THRESHOLD = "threshold"
"""Tag of a version: the probability from which on a day is called positive."""
DRIFT = "drift"
"""Name of the file of a run that tells how what was seen and told is distributed."""
FLOOR = 0.6
"""A model whose decisive figure is below is no champion, were it the only one."""


@dataclass(frozen=True)
class Learner:
    """A way to learn to tell days.

    Attributes:
        title: Its name in words.
        parameters: Its parameters by default; those of learners of pixels have a size.
        train: Trains it.
        has_epochs: Whether it learns epoch by epoch, and tells of each.
        keeps_checkpoints: Whether a training that was stopped goes on.
        facts: What a training depends on beside parameters and data; raises where it is not to be trained as things
            are.
    """

    title: str
    parameters: Any
    train: Callable[..., Trained]
    has_epochs: bool = False
    keeps_checkpoints: bool = False
    facts: Callable[[Any], Mapping[str, str]] | None = None

    @property
    def takes_pixels(self) -> bool:
        """Whether it learns from pixels, and not from features."""
        return hasattr(self.parameters, "size")


LEARNERS = {
    "linear_svm": Learner("linear support vector machine", LinearParameters(), classical.train_linear_svm),
    "softmax": Learner("linear softmax classifier", LinearParameters(), classical.train_softmax),
    "random_forest": Learner("random forest", ForestParameters(), classical.train_random_forest),
    "two_layer_network": Learner(
        "two-layer network", NetworkParameters(), classical.train_two_layer_network, has_epochs=True
    ),
    "nearest_neighbours": Learner(
        "search for the days most alike", NeighboursParameters(), image_learners.train_nearest_neighbours
    ),
    "cnn": Learner(
        "convolutional network", CnnParameters(), image_learners.train_cnn, has_epochs=True, keeps_checkpoints=True
    ),
    "densenet121": Learner(
        "DenseNet-121",
        DensenetParameters(),
        image_learners.train_densenet121,
        has_epochs=True,
        keeps_checkpoints=True,
        facts=image_learners.facts_of_densenet121,
    ),
}
"""Learners of features and of pixels, by name."""


@dataclass(frozen=True, eq=False)
class Training:
    """What became of a training.

    Attributes:
        version: The registered model.
        is_champion: Whether it is the champion of its task now.
        champion: The champion; None if no version has reached the floor.
        trained: Scores and figures.
        data: What it learned from.
        plots: RGB pictures of it.
    """

    version: Version
    is_champion: bool
    champion: Version | None
    trained: Trained
    data: DayData
    plots: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def model_name(source: LayerDays, told: Task | Literal["pixels"]) -> str:
    """Name of a model in MLflow, by what it tells; learners of the same compete for its champion."""
    name = source.layer.identifier
    place = name if source.epsg == 4326 else f"epsg{source.epsg}.{name}"
    return f"gibs.{place}.{told}"


def train_days(
    tracking: Tracking,
    source: LayerDays,
    task: Task,
    learner: str,
    *,
    parameters: Any = None,
    seed: int = 0,
    floor: float = FLOOR,
    tags: Mapping[str, str] | None = None,
) -> Training:
    """Train a learner on a layer's days, record it in MLflow, and register it.

    Args:
        tracking: Where it is recorded.
        source: The layer's days.
        task: What is learned.
        learner: Name of one of `LEARNERS`.
        parameters: Of the learner; its own by default.
        seed: Of all chance.
        floor: Least `DECISIVE` figure of a champion.
        tags: Where the training comes from.

    Raises:
        SkippedError: The learner is not to be trained as things are.
        DataError: There are too few days of some kind.
        TrainingError: It led nowhere; nothing is registered.
    """
    kind = LEARNERS[learner]
    chosen = kind.parameters if parameters is None else parameters
    found = {} if kind.facts is None else kind.facts(chosen)
    data = load_days(source, task, getattr(chosen, "size", None))
    told = {"learner": learner, "task": task, "seed": seed, "eclipse_is_missing": data.eclipse_is_missing}
    told |= {**asdict(chosen), **found}
    facts = facts_of(data) | dict(tags or {})
    with recorded(
        tracking, source, f"{learner} {task}", told, facts, name=model_name(source, task), kept=kind.keeps_checkpoints
    ) as (run, folder):
        options: dict[str, Any] = {"on_epoch": run.epoch} if kind.has_epochs else {}
        if folder is not None:
            options["folder"] = folder
        trained = kind.train(data, chosen, seed, **options)
        return compete(tracking, run, source, data, trained, learner=learner, floor=floor)


def facts_of(data: DayData | MaskData) -> dict[str, str]:
    """What a training learns from, as tags of its run."""
    return {
        "data_fingerprint": data.fingerprint,
        "label_sources": ", ".join(f"{source} {count}" for source, count in sorted(data.sources.items())),
        "code_version": __version__,
        **{f"{split}_days": str(len(part.days)) for split, part in data.parts.items()},
    }


@contextmanager
def recorded(
    tracking: Tracking,
    source: LayerDays,
    title: str,
    told: Mapping[str, Any],
    facts: Mapping[str, str],
    *,
    name: str,
    kept: bool,
) -> Iterator[tuple[Run, Path | None]]:
    """A training in the block, recorded in MLflow.

    Args:
        tracking: Where it is recorded.
        source: The days that it learns from.
        title: Of the run.
        told: Parameters.
        facts: Tags; the data's fingerprint among them.
        name: Of the model.
        kept: Whether its state is kept, so that it goes on if it is stopped.

    Yields:
        The run, and the folder of the state.
    """
    if not kept:
        with tracking.run(name, title, told, facts) as run:
            yield run, None
        return
    depends = {"model": name, "data": facts["data_fingerprint"], **told}
    with (
        checkpoints(source.root / "checkpoints", depends) as folder,
        tracking.run(name, title, told, facts, folder=folder) as run,
    ):
        yield run, folder


def compete(
    tracking: Tracking, run: Run, source: LayerDays, data: DayData, trained: Trained, *, learner: str, floor: float
) -> Training:
    """Record what became of a training, register the model, and make it the champion if it is better than the present.

    Args:
        tracking: Where it is recorded.
        run: Of the training.
        source: The layer's days.
        data: What was learned from.
        trained: What has learned.
        learner: Name of the learner.
        floor: Least `DECISIVE` figure of a champion.
    """
    name = model_name(source, data.task)
    run.metrics(trained.metrics)
    run.table("threshold", {THRESHOLD: trained.threshold})
    run.table(DRIFT, _distributions(data, trained))
    plots = _plots(data, trained, f"{source.layer.identifier}, {data.task}, {learner}")
    plots |= _worst(source, data, trained)
    for each, figure in plots.items():
        run.figure(each, figure)
    example = data.parts[Split.TRAIN].inputs[:1]
    version_tags = {"learner": learner, THRESHOLD: repr(trained.threshold), "fingerprint": data.fingerprint}
    version = tracking.register(run, name, trained.model, example, version_tags)
    score = trained.metrics[Split.VAL][DECISIVE].value
    is_champion = score >= floor and tracking.challenge(
        version, lambda present: _judge(tracking, present, source, data, trained.scores[Split.VAL])
    )
    shown = {each: figures.as_rgb(plots[each]) for each in ("roc", "confusion_matrix")}
    return Training(version, is_champion, tracking.champion(name), trained, data, shown)


def _judge(
    tracking: Tracking, version: Version, source: LayerDays, data: DayData, scores: NDArray[np.float64]
) -> tuple[float, float]:
    """The decisive figure of a registered version and of scores, on the days that validate and can be shown to both.

    Raises:
        TrackingError: The version cannot be used, or shown days of both kinds.
    """
    from sklearn.metrics import roc_auc_score

    part, model = data.parts[Split.VAL], tracking.load(version)
    inputs, shown = part.inputs, np.ones(len(part.days), bool)
    if inputs.shape[1:] != model.shape[1:]:
        read, _ = inputs_of(source, part.days, model.shape)  # imagery may have been pruned
        shown = np.array([day in read for day in part.days])
        inputs = np.array([read[day] for day in part.days if day in read])
    truth = part.truth[shown]
    if truth.all() or not truth.any():
        raise TrackingError(f"there are no days of both kinds that can be shown to {version.uri}")
    return float(roc_auc_score(truth, model.predict(inputs)[:, 1])), float(roc_auc_score(truth, scores[shown]))


def _distributions(data: DayData, trained: Trained) -> dict[str, Any]:
    """What drift is told by: figures of all days, and scores of those that did not train, by day."""
    described = {split: describe(part.inputs) for split, part in data.parts.items()}
    names = next(iter(described.values()))
    held_out = (Split.VAL, Split.TEST)
    return {
        "days": [str(day) for part in data.parts.values() for day in part.days],
        "inputs": {name: np.concatenate([each[name] for each in described.values()]).tolist() for name in names},
        "held_out": [str(day) for split in held_out for day in data.parts[split].days],
        drift.SCORE: np.concatenate([trained.scores[split] for split in held_out]).tolist(),
    }


def _plots(data: DayData, trained: Trained, title: str) -> dict[str, Any]:
    truth, scores = data.parts[Split.TEST].truth, trained.scores[Split.TEST]
    made = {
        "roc": figures.roc_curve(truth, scores, title),
        "precision_recall": figures.precision_recall_curve(truth, scores, title),
        "confusion_matrix": figures.confusion_matrix(truth, scores, trained.threshold, title),
        "calibration": figures.calibration(truth, scores, title),
    }
    if trained.curves:
        made["curves"] = figures.loss_curves(trained.curves, title)
    importances = None if isinstance(trained.model, Predictor) else classical.importances(trained.model)
    if importances is not None:
        made["importances"] = figures.feature_importances(importances, _feature_names(len(importances)), title)
    return made


def _feature_names(count: int) -> list[str]:
    """Names of the values of a feature vector: texture first, then hues."""
    texture = count - HUE_BINS
    return [f"texture {number}" for number in range(texture)] + [f"hue {number}" for number in range(HUE_BINS)]


def _worst(source: LayerDays, data: DayData, trained: Trained) -> dict[str, Any]:
    """Pictures of the test days that were judged worst, of which there is imagery."""
    part, scores = data.parts[Split.TEST], trained.scores[Split.TEST]
    wrong = np.abs(part.truth - scores)
    pictures = []
    for number in np.argsort(-wrong, kind="stable")[:_WORST]:
        day = part.days[number]
        path = mosaic_path(source.root, source.epsg, day, source.layer)
        words = f"{day}: {'positive' if part.truth[number] else 'negative'}, told {scores[number]:.2f}"
        try:
            pictures.append((words, thumbnail(path, _THUMBNAIL)))
        except (RasterError, OSError):  # pruned; features and labels stay
            continue
    return {"worst": figures.mistakes(pictures, "Test days judged worst")} if pictures else {}
