"""Networks of crops: a classifier of cells, and segmenters that take crops of any size."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heph_dagster.models.errors import TrainingError
from heph_dagster.models.insar.inputs import CHANNELS

SHARPNESS = 4.0
"""Of the smooth maximum over cells: the higher, the nearer to the maximum, the lower, the nearer to the mean."""
_RARE = -3.0
"""Logit that cells start from: most show nothing."""
SEGMENTERS = {"unet": "Unet", "deeplabv3plus": "DeepLabV3Plus", "segformer": "Segformer"}
"""Classes of segmentation-models-pytorch, by the name of the learner."""


class Encoder(nn.Module):
    """A backbone of timm, cut off where its cells have a given size.

    Attributes:
        features: Channels of its maps.
    """

    def __init__(self, backbone: str, stride: int) -> None:
        """Make an encoder with weights drawn by chance.

        Args:
            backbone: Name in timm.
            stride: Cells are at most this many pixels wide.

        Raises:
            TrainingError: timm has no such backbone, or it gives no maps of features of that stride.
        """
        super().__init__()
        import timm

        try:
            whole: Any = timm.create_model(backbone, features_only=True, in_chans=CHANNELS)
        except (RuntimeError, AttributeError) as error:
            raise TrainingError(f"{backbone} is no backbone of timm that gives maps of features ({error})") from error
        strides = whole.feature_info.reduction()
        fitting = [number for number, each in enumerate(strides) if each <= stride]
        if not fitting:
            raise TrainingError(f"{backbone} has cells of {strides[0]} px and more: raise stride from {stride}")
        body: Any = timm.create_model(backbone, features_only=True, in_chans=CHANNELS, out_indices=fitting[-1:])
        self.body = body
        self.features: int = body.feature_info.channels()[0]

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps of features, N x F x h x w, of inputs, N x 4 x H x W."""
        (maps,) = self.body(inputs)
        return maps


class CellClassifier(nn.Module):
    """Tells what each cell of a crop shows; a crop shows what one of its cells does.

    Deformations are small: a mean over the crop would lose them. What a crop shows is a smooth maximum over cells.

    Source: P. Pinheiro and R. Collobert, From Image-level to Pixel-level Labeling with Convolutional Networks, CVPR
    2015.
    """

    def __init__(self, encoder: Encoder, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Conv2d(encoder.features, outputs, 1)
        nn.init.constant_(self.head.bias, _RARE)  # type: ignore[arg-type]

    def cells(self, inputs: Tensor) -> Tensor:
        """Logits of each cell, N x outputs x h x w, of inputs, N x 4 x H x W."""
        logits: Tensor = self.head(self.encoder(inputs))
        return logits

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of each crop, N x outputs, of inputs, N x 4 x H x W."""
        return smooth_maximum(self.cells(inputs))


def smooth_maximum(cells: Tensor) -> Tensor:
    """Maximum over cells that gives each a gradient.

    Args:
        cells: N x outputs x h x w.

    Returns:
        N x outputs, between the mean and the maximum.
    """
    flat = cells.flatten(2) * SHARPNESS
    return (torch.logsumexp(flat, dim=2) - log(flat.shape[2])) / SHARPNESS


class Segmenter(nn.Module):
    """A network of segmentation-models-pytorch that takes crops of any size: they are padded with no data."""

    def __init__(self, learner: str, encoder: str, *, depth: int, width: int, classes: int) -> None:
        """Make a segmenter with weights drawn by chance.

        Args:
            learner: Name of one of `SEGMENTERS`.
            encoder: Name that segmentation-models-pytorch knows.
            depth: Times that the encoder of a U-Net halves its input; others have five.
            width: Channels of the last layer of the decoder.
            classes: Classes of pixels.

        Raises:
            TrainingError: There is no such encoder, or it does not fit the learner.
        """
        super().__init__()
        import segmentation_models_pytorch as smp

        decoders: dict[str, dict[str, Any]] = {
            "unet": {"encoder_depth": depth, "decoder_channels": [width << i for i in reversed(range(depth))]},
            "deeplabv3plus": {"decoder_channels": 8 * width},
            "segformer": {"decoder_segmentation_channels": 8 * width},
        }
        try:
            self.body = getattr(smp, SEGMENTERS[learner])(
                encoder, encoder_weights=None, in_channels=CHANNELS, classes=classes, **decoders[learner]
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(f"{encoder} is no encoder of {SEGMENTERS[learner]} ({error})") from error
        self.multiple: int = 1 << (depth if learner == "unet" else 5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, N x classes x H x W, of inputs, N x 4 x H x W."""
        height, width = inputs.shape[-2:]
        padded = functional.pad(inputs, (0, -width % self.multiple, 0, -height % self.multiple))
        logits: Tensor = self.body(padded)[..., :height, :width]
        return logits


def enlarged(logits: Tensor, size: int) -> Tensor:
    """Logits of each class at the size of crops: edges of small deformations lie between the pixels of inputs.

    Args:
        logits: N x classes x H x W.
        size: Side of the crops in px.
    """
    return functional.interpolate(logits.float(), (size, size), mode="bilinear", align_corners=False)
