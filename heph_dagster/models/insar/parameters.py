"""What the learners of interferograms are told; a default finishes on two cores in minutes on synthetic crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CommonParameters:
    """Of all learners.

    Attributes:
        epochs: Passes over the crops that train.
        batch_size: Crops of a step, in each process.
        learning_rate: The highest; it rises over a tenth of the steps and falls along a cosine.
        decay: Weight decay of AdamW.
        input_size: Side in px that crops are shrunk to, as means of cosine and sine over areas.
        shift: Largest shift of an augmented crop as a share of its side.
        ramp: Most fringes of a ramp that is added, along each axis.
        noise: Most noise that is added, in standard deviations that the coherence lets expect.
        workers: Processes that read crops, beside each that trains; 0 reads where it trains.
        accelerator: Where to train: `auto`, `cpu` or `gpu`.
        devices: GPUs, or processes on CPUs; None takes all GPUs, or one process.
        nodes: Machines.
        precision: Of numbers, as lightning names it (`bf16-mixed`); `auto` takes what the device does best.
    """

    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 3e-3
    decay: float = 0.05
    input_size: int = 112
    shift: float = 0.1
    ramp: float = 1.0
    noise: float = 0.5
    workers: int = 0
    accelerator: str = "auto"
    devices: int | None = None
    nodes: int = 1
    precision: str = "auto"


@dataclass(frozen=True)
class LabelledParameters(CommonParameters):
    """Of learners of labels.

    Attributes:
        repeat_below: Deformed crops of kinds that a smaller share of these has come more often; 0 repeats none.
        calm: Crops without deformation for each deformed one in an epoch, drawn anew in each; None takes all.
    """

    repeat_below: float = 0.05
    calm: float | None = 1.0


@dataclass(frozen=True)
class ClassifierParameters(LabelledParameters):
    """Of the multi-label classifier.

    Attributes:
        backbone: Of timm; any that gives maps of features.
        stride: Features are taken where a cell is at most this many input pixels wide.
        focal: Gamma of the focal loss; 0 is cross-entropy.
        mask_weight: Weight of the loss of cells against masks.
        encoder: Version of the pre-trained encoder to start from, which decides backbone and stride; None starts from
            chance.
        frozen: Whether only the last layer learns, a linear classifier of the encoder's features.
    """

    backbone: str = "test_resnet"
    stride: int = 8
    focal: float = 0.0
    mask_weight: float = 5.0
    encoder: int | None = None
    frozen: bool = False


@dataclass(frozen=True)
class SegmenterParameters(LabelledParameters):
    """Of a segmenter.

    Attributes:
        encoder: Of segmentation-models-pytorch, or `tu-` and a backbone of timm.
        depth: Times that the encoder halves its input.
        width: Channels of the decoder's last layer; DeepLabV3+ and SegFormer have eight times as many in all.
        focal: Gamma of the focal loss; 0 is cross-entropy.
        dice_weight: Weight of the Dice loss of what deforms, beside it.
        type_weight: Weight of the loss of the types of deformed pixels.
    """

    epochs: int = 8
    learning_rate: float = 5e-3
    calm: float | None = 0.25
    encoder: str = "tu-test_resnet"
    depth: int = 4
    width: int = 8
    focal: float = 0.0
    dice_weight: float = 1.0
    type_weight: float = 0.2


@dataclass(frozen=True)
class MocoParameters(CommonParameters):
    """Of MoCo's pre-training.

    Attributes:
        backbone: Of timm; any that gives maps of features.
        stride: As of the classifier that is to start from it.
        queue: Keys of earlier batches that a crop is told from.
        momentum: Of the encoder that makes keys.
        temperature: Of the softmax over similarities.
        dimensions: Of the space where crops are compared.
    """

    epochs: int = 10
    batch_size: int = 32
    shift: float = 0.25
    backbone: str = "test_resnet"
    stride: int = 8
    queue: int = 512
    momentum: float = 0.99
    temperature: float = 0.2
    dimensions: int = 64


_ON_GPU: dict[str, Any] = {"batch_size": 128, "input_size": 224, "workers": 8, "accelerator": "gpu"}
REAL: dict[str, CommonParameters] = {
    "classifier": ClassifierParameters(
        epochs=30, learning_rate=1e-3, backbone="resnet50", stride=16, focal=2.0, calm=3.0, **_ON_GPU
    ),
    "unet": SegmenterParameters(
        epochs=60, learning_rate=1e-3, encoder="resnet34", depth=5, width=16, focal=2.0, calm=0.5, **_ON_GPU
    ),
    "deeplabv3plus": SegmenterParameters(
        epochs=60, learning_rate=1e-3, encoder="resnet50", width=32, focal=2.0, calm=0.5, **_ON_GPU
    ),
    "segformer": SegmenterParameters(
        epochs=60, learning_rate=3e-4, encoder="mit_b2", width=32, focal=2.0, calm=0.5, **_ON_GPU
    ),
    "moco": MocoParameters(
        epochs=200, learning_rate=1e-3, backbone="resnet50", stride=16, queue=65536, momentum=0.999, dimensions=128,
        **(_ON_GPU | {"batch_size": 256}),
    ),
}  # fmt: skip
"""A start for the about 100,000 real crops on a GPU with 24 GB or more, in bf16 where it has that.

Crops are not shrunk, networks are larger, and focal losses attend to the few deformed pixels. MoCo's queue, momentum
and dimensions are its authors'. These have not been tried on the real crops.
"""
