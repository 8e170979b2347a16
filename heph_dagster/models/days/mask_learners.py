"""Learners that tell the classes of the pixels of days: valid, missing, miscoloured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days import patches
from heph_dagster.models.days.data import MaskData, MaskPart
from heph_dagster.models.days.parameters import PixelCnnParameters, PixelForestParameters
from heph_dagster.models.days.pixels import CLASSES
from heph_dagster.models.days.predictors import PixelForest, PixelNetwork, build
from heph_dagster.models.days.trained import Curves
from heph_dagster.models.loop import OnEpoch
from heph_dagster.models.serving import Predictor


@dataclass(frozen=True, eq=False)
class Taught:
    """A predictor of pixels that has learned.

    Attributes:
        model: The predictor.
        curves: Figures by epoch, of learners that have some.
        importances: How much each of `heph_dagster.models.days.patches.FEATURES` matters; None for other learners.
    """

    model: Predictor
    curves: Curves = field(default_factory=dict)
    importances: NDArray[np.float64] | None = None


def train_pixel_forest(data: MaskData, parameters: PixelForestParameters, seed: int) -> Taught:
    """A random forest of single pixels, by their colours and those around them.

    Of each day that trains, so many pixels of each class are drawn: as many valid ones that they outweigh the others as
    they do in whole days, or else what is dim or bright were called missing or miscoloured.

    Args:
        data: Days with masks.
        parameters: Of the forest.
        seed: Of the pixels drawn and of the trees.
    """
    from sklearn.ensemble import RandomForestClassifier

    values, classes = _drawn(data.parts[Split.TRAIN], parameters, seed)
    forest = RandomForestClassifier(parameters.trees, max_depth=parameters.depth, random_state=seed, n_jobs=-1)
    forest.fit(values, classes)
    forest.n_jobs = None  # threads add up what trees tell in any order
    return Taught(PixelForest(forest), importances=np.asarray(forest.feature_importances_, np.float64))


def train_pixel_cnn(
    data: MaskData,
    parameters: PixelCnnParameters,
    seed: int,
    on_epoch: OnEpoch | None = None,
    folder: Path | None = None,
) -> Taught:
    """A fully convolutional network that sees what is around a pixel.

    Args:
        data: Days with masks.
        parameters: Of the network.
        seed: Of weights, batches, pieces and changes of days.
        on_epoch: Is told of each epoch.
        folder: Where the training goes on from, see `heph_dagster.models.fitting.fit`.

    Raises:
        TrainingError: A loss is not finite.
    """
    from torch.utils.data import DataLoader

    from heph_dagster.models.days.lessons import Lessons, MaskLesson
    from heph_dagster.models.fitting import fit, seeded

    train, val = data.parts[Split.TRAIN], data.parts[Split.VAL]
    settings = {"channels": parameters.channels}
    with seeded(seed):
        module = build("pixel_cnn", settings)
    lessons = Lessons(train.days, train.pixels, train.masks, seed=seed, crop=parameters.crop, pieces=parameters.pieces)
    batches = DataLoader(lessons, min(parameters.batch_size, len(train.days)), shuffle=True)
    judging = DataLoader(Lessons(val.days, val.pixels, val.masks, seed=None), 4)
    lesson = MaskLesson(module, learning_rate=parameters.learning_rate)
    went = fit(
        lesson, batches, judging, parameters.loop, seed=seed, monitor="val_iou_mean", on_epoch=on_epoch, folder=folder
    )
    return Taught(PixelNetwork("pixel_cnn", settings, lesson.network), went.curves)


def _drawn(
    part: MaskPart, parameters: PixelForestParameters, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Features and classes of pixels of all days."""
    values, classes = [], []
    for day, pixels, mask in zip(part.days, part.pixels, part.masks, strict=True):
        rng = np.random.default_rng([seed, day.toordinal()])
        there = patches.features(pixels).reshape(mask.size, -1)
        for each in range(len(CLASSES)):
            places = np.flatnonzero(mask == each)
            most = parameters.anomalous if each else parameters.valid
            chosen = rng.choice(places, min(most, len(places)), replace=False)
            values.append(there[chosen])
            classes.append(mask.ravel()[chosen])
    return np.concatenate(values), np.concatenate(classes)
