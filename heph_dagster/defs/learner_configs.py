"""What can be set of each learner of days in the launchpad; the defaults are those of its parameters."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from heph_dagster.models.days.classical import ForestParameters, LinearParameters, NetworkParameters
from heph_dagster.models.days.mask_training import MASK_FLOOR
from heph_dagster.models.days.parameters import (
    CnnParameters,
    DensenetParameters,
    NeighboursParameters,
    PixelCnnParameters,
    PixelForestParameters,
)
from heph_dagster.models.days.training import FLOOR

_LINEAR, _FOREST, _NETWORK = LinearParameters(), ForestParameters(), NetworkParameters()
_NEIGHBOURS, _CNN, _DENSENET = NeighboursParameters(), CnnParameters(), DensenetParameters()
_PIXEL_FOREST, _PIXEL_CNN = PixelForestParameters(), PixelCnnParameters()
_WIDTH = "Of the images that it looks at, in px; they are half as high."
_NO_LESS = 16


class LearnerConfig(dg.Config):
    """Of every learner."""

    seed: int = Field(default=0, ge=0, description="Of all chance.")
    floor: float = Field(
        default=FLOOR, ge=0, le=1, description="Area under the curve, on the days that validate, that a champion needs."
    )


class LinearConfig(LearnerConfig):
    """Of the linear learners."""

    c: float = Field(default=_LINEAR.c, gt=0, description="Inverse of the strength of the regularisation.")


class ForestConfig(LearnerConfig):
    """Of the random forest."""

    trees: int = Field(default=_FOREST.trees, ge=1)
    depth: int = Field(default=_FOREST.depth, ge=1, description="Most decisions from root to leaf.")


class NetworkConfig(LearnerConfig):
    """Of the two-layer network."""

    hidden: int = Field(default=_NETWORK.hidden, ge=1, description="Units of the hidden layer.")
    epochs: int = Field(default=_NETWORK.epochs, ge=1)
    batch_size: int = Field(default=_NETWORK.batch_size, ge=1)
    learning_rate: float = Field(default=_NETWORK.learning_rate, gt=0)
    decay: float = Field(default=_NETWORK.decay, ge=0, description="Weight of the squared weights in the loss.")


class TorchConfig(LearnerConfig):
    """Of every network that lightning trains."""

    accelerator: str = Field(default="auto", description="cpu, gpu, ...; auto takes a GPU where there is one.")
    devices: int | None = Field(default=None, ge=1, description="GPUs, or processes; by default all GPUs, or one.")
    nodes: int = Field(default=1, ge=1, description="Machines; more than one by `heph train` on each.")
    precision: str = Field(default="auto", description="Of lightning's; auto is mixed on a GPU and 32 bits on CPUs.")


class NeighboursConfig(LearnerConfig):
    """Of nearest neighbours."""

    width: int = Field(default=_NEIGHBOURS.width, ge=_NO_LESS, multiple_of=2, description=_WIDTH)
    neighbours: int = Field(default=_NEIGHBOURS.neighbours, ge=1, description="How many days decide.")


class CnnConfig(TorchConfig):
    """Of the vanilla convolutional network."""

    width: int = Field(default=_CNN.width, ge=_NO_LESS, multiple_of=2, description=_WIDTH)
    epochs: int = Field(default=_CNN.epochs, ge=1)
    batch_size: int = Field(default=_CNN.batch_size, ge=2, description="Days of a step, on each device.")
    learning_rate: float = Field(default=_CNN.learning_rate, gt=0)
    pad: bool = Field(default=_CNN.pad, description="Whether images are made square by black above and below.")
    grey: bool = Field(default=_CNN.grey, description="Whether colours are left out.")
    hidden: int = Field(default=_CNN.hidden, ge=1, description="Units of the first fully connected layer.")


class DensenetConfig(TorchConfig):
    """Of DenseNet-121."""

    width: int = Field(default=_DENSENET.width, ge=64, multiple_of=2, description=_WIDTH)
    epochs: int = Field(default=_DENSENET.epochs, ge=1)
    batch_size: int = Field(default=_DENSENET.batch_size, ge=2, description="Days of a step, on each device.")
    learning_rate: float = Field(default=_DENSENET.learning_rate, gt=0)
    weights: str | None = Field(
        default=None, description="File of ImageNet's weights; by default torchvision's cache is looked at."
    )
    download: bool = Field(default=_DENSENET.download, description="Whether weights that are not there are downloaded.")
    without_weights: str = Field(
        default=_DENSENET.without_weights,
        pattern="^(train_all|skip)$",
        description="Without weights, train_all trains all layers, and skip does nothing.",
    )


class MaskConfig(LearnerConfig):
    """Of every learner of pixels; its floor is that of days by their masks."""

    mask_floor: float = Field(
        default=MASK_FLOOR, ge=0, le=1, description="Mean IoU, on the days that validate, that a champion needs."
    )


class PixelForestConfig(MaskConfig):
    """Of the random forest of pixels."""

    width: int = Field(default=_PIXEL_FOREST.width, ge=_NO_LESS, multiple_of=2, description=_WIDTH)
    trees: int = Field(default=_PIXEL_FOREST.trees, ge=1)
    depth: int = Field(default=_PIXEL_FOREST.depth, ge=1, description="Most decisions from root to leaf.")
    valid: int = Field(default=_PIXEL_FOREST.valid, ge=1, description="Most valid pixels taken of a day.")
    anomalous: int = Field(default=_PIXEL_FOREST.anomalous, ge=1, description="Most of each other class of a day.")


class PixelCnnConfig(MaskConfig, TorchConfig):
    """Of the fully convolutional network."""

    width: int = Field(default=_PIXEL_CNN.width, ge=_NO_LESS, multiple_of=4, description=_WIDTH)
    epochs: int = Field(default=_PIXEL_CNN.epochs, ge=1)
    batch_size: int = Field(default=_PIXEL_CNN.batch_size, ge=2, description="Pieces of days of a step, by device.")
    learning_rate: float = Field(default=_PIXEL_CNN.learning_rate, gt=0, description="The highest.")
    channels: int = Field(default=_PIXEL_CNN.channels, ge=1, description="Of each layer.")
    crop: int = Field(
        default=_PIXEL_CNN.crop, ge=_NO_LESS, multiple_of=2, description="Height in px of pieces; twice as wide."
    )
