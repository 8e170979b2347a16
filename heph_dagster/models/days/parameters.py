"""Parameters of the learners of pixels; the module knows no torch, so that assets can be defined by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from heph_dagster.models.days.pixels import Size
from heph_dagster.models.loop import Loop

WithoutWeights = Literal["train_all", "skip"]


@dataclass(frozen=True, kw_only=True)
class NetworkTraining:
    """Of the training of a network, whatever it is.

    Attributes:
        width: Of the images that it learns from, in px; they are half as high.
        epochs: Passes over the training days.
        batch_size: Days of a step, on each device.
        learning_rate: Of Adam.
        accelerator: See `heph_dagster.models.loop.Loop`, as the following ones.
        devices: GPUs, or processes on CPUs.
        nodes: Machines.
        precision: Of the arithmetic.
    """

    width: int = 256
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 1e-3
    accelerator: str = "auto"
    devices: int | None = None
    nodes: int = 1
    precision: str = "auto"

    @property
    def size(self) -> Size:
        """Width and height in px of the images that it learns from."""
        return self.width, self.width // 2

    @property
    def loop(self) -> Loop:
        """How long and on what it is trained."""
        return Loop(self.epochs, self.accelerator, self.devices, self.nodes, self.precision)


@dataclass(frozen=True, kw_only=True)
class CnnParameters(NetworkTraining):
    """Of the vanilla convolutional network.

    Attributes:
        pad: Whether images are made square by black above and below.
        grey: Whether colours are left out.
        hidden: Units of the first fully connected layer.
    """

    width: int = 64
    epochs: int = 40
    pad: bool = False
    grey: bool = False
    hidden: int = 64


@dataclass(frozen=True, kw_only=True)
class DensenetParameters(NetworkTraining):
    """Of DenseNet-121.

    Attributes:
        weights: File of ImageNet's weights, as torchvision publishes them; by default torchvision's cache is looked at.
        download: Whether weights that are not there are downloaded.
        without_weights: Whether all layers train where there are no weights, or the learner is skipped.
    """

    width: int = 128
    epochs: int = 3
    batch_size: int = 8
    weights: str | None = None
    download: bool = False
    without_weights: WithoutWeights = "train_all"


@dataclass(frozen=True, kw_only=True)
class NeighboursParameters:
    """Of k-nearest neighbours.

    Attributes:
        width: Of the images that are compared, in px; they are half as high.
        neighbours: How many days decide.
    """

    width: int = 64
    neighbours: int = 7

    @property
    def size(self) -> Size:
        """Width and height in px of the images that are compared."""
        return self.width, self.width // 2


@dataclass(frozen=True, kw_only=True)
class PixelForestParameters:
    """Of the random forest of pixels.

    Attributes:
        width: Of the images whose pixels it learns, in px; they are half as high.
        trees: Number of trees.
        depth: Most decisions from root to leaf.
        valid: Most valid pixels taken of a day.
        anomalous: Most pixels of each other class taken of a day.
    """

    width: int = 640
    trees: int = 20
    depth: int = 12
    valid: int = 1000
    anomalous: int = 100

    @property
    def size(self) -> Size:
        """Width and height in px of the images whose pixels it learns."""
        return self.width, self.width // 2


@dataclass(frozen=True, kw_only=True)
class PixelCnnParameters(NetworkTraining):
    """Of the fully convolutional network.

    Attributes:
        channels: Of each of its layers.
        crop: Height in px of the pieces of days that it learns from; they are twice as wide.
        pieces: Of each day in each epoch.
    """

    width: int = 640
    epochs: int = 8
    batch_size: int = 8
    learning_rate: float = 5e-3
    channels: int = 24
    crop: int = 80
    pieces: int = 2
