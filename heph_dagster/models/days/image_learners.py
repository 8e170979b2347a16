"""Learners that tell by the pixels of a whole day whether it is positive."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days.data import DayData
from heph_dagster.models.days.parameters import CnnParameters, DensenetParameters, NeighboursParameters, NetworkTraining
from heph_dagster.models.days.predictors import DayNetwork, NearestDays, build
from heph_dagster.models.days.trained import Trained, judged
from heph_dagster.models.errors import SkippedError, TrainingError
from heph_dagster.models.loop import OnEpoch
from heph_dagster.models.serving import Predictor

if TYPE_CHECKING:
    from torch import nn


def train_cnn(
    data: DayData, parameters: CnnParameters, seed: int, on_epoch: OnEpoch | None = None, folder: Path | None = None
) -> Trained:
    """The vanilla convolutional network.

    Args:
        data: Days with pixels.
        parameters: Of the network.
        seed: Of weights, batches and changes of days.
        on_epoch: Is told of each epoch.
        folder: Where the training goes on from, see `heph_dagster.models.fitting.fit`.

    Raises:
        TrainingError: A loss or a score is not finite.
    """
    from heph_dagster.models.fitting import seeded

    settings = {
        "size": list(parameters.size), "pad": parameters.pad, "grey": parameters.grey, "hidden": parameters.hidden
    }  # fmt: skip
    with seeded(seed):
        module = build("cnn", settings)
    return _taught(data, "cnn", settings, module, parameters, seed, on_epoch=on_epoch, folder=folder)


def facts_of_densenet121(parameters: DensenetParameters) -> dict[str, str]:
    """What a training of DenseNet-121 depends on beside its parameters: the SHA-256 of weights of ImageNet, or `none`.

    Raises:
        SkippedError: There are no weights of ImageNet, and it is to be skipped then.
        TrainingError: The weights cannot be read.
    """
    from heph_dagster.models.days.networks import densenet_weights

    path = densenet_weights(parameters.weights, download=parameters.download)
    if path is not None:
        try:
            with path.open("rb") as file:
                return {"imagenet": hashlib.file_digest(file, "sha256").hexdigest()}
        except OSError as error:
            raise TrainingError(f"{path} holds no weights of DenseNet-121: {error}") from error
    if parameters.without_weights == "skip":
        raise SkippedError(
            "there are no weights of ImageNet for DenseNet-121, which is skipped: download them, name a file by "
            "weights, or set without_weights to train_all"
        )
    return {"imagenet": "none"}


def train_densenet121(
    data: DayData,
    parameters: DensenetParameters,
    seed: int,
    on_epoch: OnEpoch | None = None,
    folder: Path | None = None,
) -> Trained:
    """DenseNet-121: with weights of ImageNet its last layer, without them all layers.

    Arguments are those of `train_cnn`.

    Raises:
        TrainingError: A loss or a score is not finite, or the weights cannot be read.
    """
    from heph_dagster.models.days.networks import Densenet, densenet_weights, read_densenet
    from heph_dagster.models.fitting import seeded

    path = densenet_weights(parameters.weights, download=parameters.download)
    with seeded(seed):
        module = Densenet() if path is None else read_densenet(path, only_last=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*in eval mode at the start of training")  # layers that stay as they are
        return _taught(data, "densenet121", {}, module, parameters, seed, on_epoch=on_epoch, folder=folder)


def train_nearest_neighbours(data: DayData, parameters: NeighboursParameters, seed: int) -> Trained:
    """The days of the training that are most alike, pixel by pixel; the nearer, the more one counts.

    Args:
        data: Days with pixels.
        parameters: How many days decide.
        seed: Of the bootstrap.
    """
    from sklearn.neighbors import KNeighborsClassifier

    train = data.parts[Split.TRAIN]
    neighbours = KNeighborsClassifier(
        min(parameters.neighbours, len(train.days)), weights="distance", algorithm="brute"
    )
    neighbours.fit(train.inputs.reshape(len(train.days), -1) / np.float32(255), train.truth)
    return _judged(data, NearestDays(neighbours), seed)


def _taught(
    data: DayData,
    name: str,
    settings: Mapping[str, Any],
    module: nn.Module,
    parameters: NetworkTraining,
    seed: int,
    *,
    on_epoch: OnEpoch | None,
    folder: Path | None,
) -> Trained:
    from torch.utils.data import DataLoader

    from heph_dagster.models.days.lessons import DayLesson, Lessons
    from heph_dagster.models.fitting import fit

    train, val = data.parts[Split.TRAIN], data.parts[Split.VAL]
    size = min(parameters.batch_size, len(train.days))
    lessons = Lessons(train.days, train.inputs, train.truth, seed=seed)
    # A last batch of one day has no spread to normalise by.
    batches = DataLoader(lessons, size, shuffle=True, drop_last=len(train.days) % size == 1)
    judging = DataLoader(Lessons(val.days, val.inputs, val.truth, seed=None), size)
    lesson = DayLesson(module, positives=float(train.truth.mean()), learning_rate=parameters.learning_rate)
    went = fit(
        lesson, batches, judging, parameters.loop, seed=seed, monitor="val_roc_auc", on_epoch=on_epoch, folder=folder
    )
    return _judged(data, DayNetwork(name, settings, lesson.network), seed, went.curves)


def _judged(data: DayData, model: Predictor, seed: int, curves: Mapping[str, list[float]] | None = None) -> Trained:
    scores = {split: model.predict(part.inputs)[:, 1].astype(np.float64) for split, part in data.parts.items()}
    return judged(data, model, scores, seed, curves)
