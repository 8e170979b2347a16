"""Fitting networks to crops on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from heph_dagster.hephaestus.loader import CropDataset, Sharing
from heph_dagster.hephaestus.shards import PIXELS
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.errors import DataError
from heph_dagster.models.fitting import Fit, fit, seeded
from heph_dagster.models.insar.augmentation import Augmentation, AugmentedCrops
from heph_dagster.models.insar.data import CLASSES, OUTPUTS, CropData, copies
from heph_dagster.models.insar.moco import MocoModule
from heph_dagster.models.insar.modules import ClassifierModule, SegmenterModule
from heph_dagster.models.insar.networks import CellClassifier, Encoder, Segmenter
from heph_dagster.models.insar.parameters import (
    ClassifierParameters,
    CommonParameters,
    LabelledParameters,
    MocoParameters,
    SegmenterParameters,
)
from heph_dagster.models.insar.predictors import ClassifierPredictor, EncoderPredictor, SegmenterPredictor
from heph_dagster.models.loop import Loop, OnEpoch

_BATCH = 32
_SURE = 0.8
"""Share of the crops that are expected in an epoch which surely come: how often each does is chance."""


@dataclass(frozen=True)
class Fitting:
    """How a fit is done, whatever is fitted.

    Attributes:
        seed: Of all chance.
        folder: Of checkpoints.
        on_epoch: Is told of each epoch.
    """

    seed: int
    folder: Path | None = None
    on_epoch: OnEpoch | None = None


def fit_classifier(
    data: CropData, told: ClassifierParameters, fitting: Fitting, encoder: Encoder | None = None
) -> tuple[ClassifierPredictor, Fit]:
    """Train a classifier.

    Args:
        data: Crops.
        told: Parameters.
        fitting: How.
        encoder: To start from.

    Raises:
        TrainingError: There is no such backbone, the encoder is of another, or the loss is not finite.
        DataError: There are fewer crops than processes.
    """
    with seeded(fitting.seed):
        network = CellClassifier(encoder or Encoder(told.backbone, told.stride), len(OUTPUTS))
    train = training_batches(data, told, fitting.seed)
    module = ClassifierModule(network.train(), told, steps(train, told))
    made = _fit(module, train, stored_batches(data, Part.VAL, told), told, fitting, "val_mean_auc")
    settings = {name: getattr(told, name) for name in ("backbone", "stride", "input_size")}
    return ClassifierPredictor(network, settings), made


def fit_segmenter(
    data: CropData, learner: str, told: SegmenterParameters, fitting: Fitting
) -> tuple[SegmenterPredictor, Fit]:
    """Train a segmenter; arguments and errors as of `fit_classifier`, and the learner's name."""
    with seeded(fitting.seed):
        network = Segmenter(learner, told.encoder, depth=told.depth, width=told.width, classes=len(CLASSES))
    train = training_batches(data, told, fitting.seed)
    module = SegmenterModule(network, told, steps(train, told))
    made = _fit(module, train, stored_batches(data, Part.VAL, told), told, fitting, "val_iou")
    settings = {name: getattr(told, name) for name in ("encoder", "depth", "width", "input_size")}
    return SegmenterPredictor(network, settings | {"learner": learner}), made


def fit_encoder(data: CropData, told: MocoParameters, fitting: Fitting) -> tuple[EncoderPredictor, Fit]:
    """Pre-train an encoder by MoCo, without labels; arguments and errors as of `fit_classifier`."""
    train, val = (pair_batches(data, part, told, fitting.seed) for part in (Part.TRAIN, Part.VAL))
    with seeded(fitting.seed):
        module = MocoModule(Encoder(told.backbone, told.stride), told, steps(train, told))
    made = _fit(module, train, val, told, fitting, "val_known_again")
    settings = {name: getattr(told, name) for name in ("backbone", "stride", "input_size")}
    return EncoderPredictor(module.network.encoder, settings), made


def training_batches(data: CropData, told: LabelledParameters, seed: int) -> DataLoader[Any]:
    """Batches of augmented crops; every process gets equally many.

    What is labelled decides how often crops come, and how far they are shifted.

    Args:
        data: Crops.
        told: Parameters.
        seed: Of chance.

    Raises:
        DataError: There are fewer crops than processes that read and train.
    """
    times = copies(data.parts[Part.TRAIN], calm=told.calm, repeat_below=told.repeat_below)
    dataset = CropDataset(
        data.folders,
        list(times),
        seed=seed,
        columns=PIXELS,
        copies=times,
        sharing=Sharing.EVEN,
        fill=True,
    )
    augmentation = Augmentation(told.shift, told.ramp, told.noise)
    return _batches(AugmentedCrops(dataset, augmentation, seed=seed, expected=sum(times.values())), told)


def pair_batches(data: CropData, part: Part, told: MocoParameters, seed: int) -> DataLoader[Any]:
    """Batches of two views of each crop; every process gets equally many, and all that validate.

    Labels and masks have no part in it. Arguments and errors as of `training_batches`.
    """
    training = part is Part.TRAIN
    dataset = CropDataset(
        data.folders,
        data.parts[part].names,
        seed=seed if training else None,
        columns=("image", "coherence"),
        sharing=Sharing.EVEN if training else Sharing.ALL,
        fill=True,
    )
    augmentation = Augmentation(told.shift, told.ramp, told.noise, keep=False)
    crops = AugmentedCrops(dataset, augmentation, seed=seed, expected=dataset.count, views=2)
    return _batches(crops, told) if training else DataLoader(crops, batch_size=_BATCH, num_workers=told.workers)


def stored_batches(data: CropData, part: Part, told: CommonParameters) -> DataLoader[Any]:
    """Batches of the crops of a part as they are stored; each process gets all."""
    dataset = CropDataset(data.folders, data.parts[part].names, columns=PIXELS, sharing=Sharing.ALL, fill=True)
    return DataLoader(dataset, batch_size=_BATCH, num_workers=told.workers)


def steps(train: DataLoader[Any], told: CommonParameters) -> int:
    """About how many batches each process sees in all."""
    dataset: Any = train.dataset
    return max(told.epochs * int(dataset.expected / _processes(told) / (train.batch_size or 1)), 1)


def _batches(crops: AugmentedCrops, told: CommonParameters) -> DataLoader[Any]:
    readers = max(told.workers, 1) * _processes(told)
    size = min(told.batch_size, int(crops.expected / readers * _SURE))
    if size < 2:
        raise DataError(f"{crops.expected:.0f} crops are too few for {readers} processes: lower workers or devices")
    # Statistics of a batch of one mean nothing, so what is left at the end is dropped.
    return DataLoader(crops, batch_size=size, num_workers=told.workers, drop_last=True)


def _processes(told: CommonParameters) -> int:
    import torch

    found = torch.cuda.device_count() if told.accelerator != "cpu" else 0
    return (told.devices or max(found, 1)) * told.nodes


def _fit(
    module: Any, train: DataLoader[Any], val: DataLoader[Any], told: CommonParameters, fitting: Fitting, monitor: str
) -> Fit:
    loop = Loop(told.epochs, told.accelerator, told.devices, told.nodes, told.precision)
    return fit(
        module,
        train,
        val,
        loop,
        seed=fitting.seed,
        monitor=monitor,
        folder=fitting.folder,
        on_epoch=fitting.on_epoch,
    )
