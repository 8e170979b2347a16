"""Training a learner of the pixels of days: a model of masks, and of days by their masks, all of it recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.anomalies.splits import Split
from heph_dagster.models import figures
from heph_dagster.models.days import mask_learners
from heph_dagster.models.days.areas import day_scores
from heph_dagster.models.days.data import DayData, MaskData, Task, load_days, load_masks
from heph_dagster.models.days.mask_learners import Taught
from heph_dagster.models.days.parameters import PixelCnnParameters, PixelForestParameters
from heph_dagster.models.days.patches import FEATURES
from heph_dagster.models.days.pixels import CLASSES, Masks, Size
from heph_dagster.models.days.predictors import LargestPlaces
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.trained import Trained, judged
from heph_dagster.models.days.training import FLOOR, Training, compete, facts_of, model_name, recorded
from heph_dagster.models.errors import DataError
from heph_dagster.models.mask_metrics import confusions, evaluate_masks
from heph_dagster.models.metrics import Metric
from heph_dagster.models.serving import Predictor
from heph_dagster.models.tracking import Run, Tracking, Version

MASK_DECISIVE = "iou_mean"
"""Figure of the days that validate by which a champion of masks is chosen."""
MASK_FLOOR = 0.3
"""A model of masks whose decisive figure is below is no champion, were it the only one."""
_WORST = 4
_NUMBERS = {Task.MISSING_DATA: PixelClass.MISSING, Task.MISCOLORATION: PixelClass.MISCOLOURED}
_COLOURS = np.array([[60, 60, 60], [255, 60, 60], [60, 120, 255]], np.uint8)


@dataclass(frozen=True)
class MaskLearner:
    """A way to learn to tell the classes of pixels.

    Attributes:
        title: Its name in words.
        parameters: Its parameters by default.
        train: Trains it.
        has_epochs: Whether it learns epoch by epoch, tells of each, and goes on when it was stopped.
    """

    title: str
    parameters: Any
    train: Callable[..., Taught]
    has_epochs: bool = False


MASK_LEARNERS = {
    "pixel_forest": MaskLearner("random forest", PixelForestParameters(), mask_learners.train_pixel_forest),
    "pixel_cnn": MaskLearner(
        "convolutional network", PixelCnnParameters(), mask_learners.train_pixel_cnn, has_epochs=True
    ),
}
"""Learners of the classes of pixels, by name."""


@dataclass(frozen=True, eq=False)
class MaskTraining:
    """What became of a training.

    Attributes:
        version: The registered model of masks.
        is_champion: Whether it is the champion now.
        champion: The champion; None if no version has reached the floor.
        metrics: Overlap in each part.
        data: What it learned from.
        plots: RGB pictures: `worst`, the test days whose masks are worst, with image, truth and what was told, and
            `classes`, which share of each class is called what.
        days: What became of the model of days by their masks, by task.
        left_out: Why there is none of a task.
    """

    version: Version
    is_champion: bool
    champion: Version | None
    metrics: Mapping[Split, Mapping[str, Metric]]
    data: MaskData
    plots: Mapping[str, NDArray[np.uint8]]
    days: Mapping[Task, Training] = field(default_factory=dict)
    left_out: Mapping[Task, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Told:
    """What a model tells of the days of a part: masks, N x height x width, and the scores of days, N x 2, by day."""

    masks: Masks
    scores: Mapping[date, NDArray[np.float64]]


def train_masks(
    tracking: Tracking,
    source: LayerDays,
    learner: str,
    *,
    parameters: Any = None,
    seed: int = 0,
    floor: float = FLOOR,
    mask_floor: float = MASK_FLOOR,
    tags: Mapping[str, str] | None = None,
) -> MaskTraining:
    """Train a learner of pixels on a layer's days, and register what tells masks, and what tells days by them.

    The latter competes with the learners of days for the champion of each task that the layer has.

    Args:
        tracking: Where it is recorded: one run for the masks, one for each task.
        source: The layer's days.
        learner: Name of one of `MASK_LEARNERS`.
        parameters: Of the learner; its own by default.
        seed: Of all chance.
        floor: Least area under the curve of a champion of days.
        mask_floor: Least `MASK_DECISIVE` figure of a champion of masks.
        tags: Where the training comes from.

    Raises:
        DataError: There are too few days of some kind.
        TrainingError: It led nowhere; nothing is registered.
    """
    kind = MASK_LEARNERS[learner]
    chosen = kind.parameters if parameters is None else parameters
    data = load_masks(source, chosen.size)
    tasks, left_out = _tasks(source, data, chosen.size)
    name = model_name(source, "pixels")
    told = {"learner": learner, "seed": seed, **asdict(chosen)}
    facts = facts_of(data) | dict(tags or {})
    with recorded(tracking, source, f"{learner} pixels", told, facts, name=name, kept=kind.has_epochs) as (run, folder):
        options = {"on_epoch": run.epoch, "folder": folder} if kind.has_epochs else {}
        taught = kind.train(data, chosen, seed, **options)
        by_part = {split: _tell(taught.model, part.pixels, part.days) for split, part in data.parts.items()}
        counts = {
            split: confusions(part.masks, by_part[split].masks, len(CLASSES)) for split, part in data.parts.items()
        }
        metrics = {split: evaluate_masks(each, CLASSES, seed=seed) for split, each in counts.items()}
        known = {day: scores for part in by_part.values() for day, scores in part.scores.items()}
        trained = {task: _days(days, taught, task, known, seed) for task, days in tasks.items()}
        run.metrics(metrics)
        names = ("valid", *CLASSES[1:])
        plots = {
            "worst": _worst(data, by_part[Split.TEST].masks),
            "classes": figures.class_matrix(
                counts[Split.TEST].sum(axis=0), names, f"Pixels of days that test, {learner}"
            ),
        }
        for each, figure in plots.items():
            run.figure(each, figure)
        _plot(run, taught, f"{source.layer.identifier}, {learner}")
        example = data.parts[Split.TRAIN].pixels[:1]
        version = tracking.register(
            run, name, taught.model, example, {"learner": learner, "fingerprint": data.fingerprint}
        )
        score = metrics[Split.VAL][MASK_DECISIVE].value
        is_champion = score >= mask_floor and tracking.challenge(
            version, lambda present: (_judge(tracking, present, source, data), score)
        )
    made = {}
    tags_of_days = dict(tags or {}) | {"pixels_model": version.uri}
    for task, days in tasks.items():
        told_of_task = {"task": task, "eclipse_is_missing": days.eclipse_is_missing, **told}
        with recorded(
            tracking, source, f"{learner} {task}", told_of_task, facts_of(days) | tags_of_days,
            name=model_name(source, task), kept=False,
        ) as (run, _):  # fmt: skip
            made[task] = compete(tracking, run, source, days, trained[task], learner=learner, floor=floor)
    shown = {each: figures.as_rgb(figure) for each, figure in plots.items()}
    return MaskTraining(version, is_champion, tracking.champion(name), metrics, data, shown, made, left_out)


def _tasks(source: LayerDays, data: MaskData, size: Size) -> tuple[dict[Task, DayData], dict[Task, str]]:
    """The days of each task that the layer has and that can be learned, and why others cannot."""
    found, left_out = {}, {}
    for task in Task:
        if str(task) in source.layer.checks:
            try:
                found[task] = load_days(source, task, size, data.parts)
            except DataError as error:
                left_out[task] = str(error)
    return found, left_out


def _tell(model: Predictor, pixels: NDArray[np.uint8], days: tuple[date, ...]) -> _Told:
    """Masks and scores of days, one at a time: probabilities of many days take much memory."""
    masks, scores = np.empty(pixels.shape[:3], np.uint8), {}
    for number, day in enumerate(days):
        probabilities = model.predict(pixels[number : number + 1])[0]
        masks[number] = probabilities.argmax(axis=0)
        scores[day] = day_scores(probabilities, pixels[number, ..., 3])
    return _Told(masks, scores)


def _days(data: DayData, taught: Taught, task: Task, known: Mapping[date, NDArray[np.float64]], seed: int) -> Trained:
    """Days as their masks tell; those that have labels but no mask are yet to be looked at."""
    number, scores = _NUMBERS[task], {}
    model = LargestPlaces(taught.model, number)
    for split, part in data.parts.items():
        scores[split] = np.array([
            known[day][number - 1] if day in known else model.predict(pixels[None])[0, 1]
            for day, pixels in zip(part.days, part.inputs, strict=True)
        ])  # fmt: skip
    return judged(data, model, scores, seed)


def _judge(tracking: Tracking, version: Version, source: LayerDays, data: MaskData) -> float:
    """The decisive figure of a registered version on the days that validate now, at the size that it takes.

    Raises:
        TrackingError: The version cannot be used.
    """
    model = tracking.load(version)
    size = (model.shape[2], model.shape[1])
    same = size == data.parts[Split.VAL].pixels.shape[2:0:-1]
    part = (data if same else load_masks(source, size)).parts[Split.VAL]
    told = np.concatenate([model.predict(pixels[None]).argmax(axis=1) for pixels in part.pixels])
    counts = confusions(part.masks, told.astype(np.uint8), len(CLASSES))
    return evaluate_masks(counts, CLASSES)[MASK_DECISIVE].value


def _plot(run: Run, taught: Taught, title: str) -> None:
    if taught.curves:
        run.figure("curves", figures.loss_curves(taught.curves, title))
    if taught.importances is not None:
        run.figure("importances", figures.feature_importances(taught.importances, FEATURES, title))


def _worst(data: MaskData, told: Masks) -> Any:
    """Test days of whose pixels most are told wrong: image, truth and what was told, one below the other."""
    part = data.parts[Split.TEST]
    wrong = (part.masks != told).sum(axis=(1, 2))
    pictures = []
    for number in np.argsort(-wrong, kind="stable")[:_WORST]:
        stack = [part.pixels[number, ..., :3], _COLOURS[part.masks[number]], _COLOURS[told[number]]]
        pictures.append((f"{part.days[number]}: {wrong[number]} px wrong", np.concatenate(stack)))
    return figures.mistakes(pictures, "Test days told worst: image, truth, told (red missing, blue miscoloured)")
