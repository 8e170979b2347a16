"""Networks of the pixels of days. All take raw pixels, N x height x width x 4 of uint8, and give logits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heph_dagster.models.days.pixels import CHANNELS, CLASSES
from heph_dagster.models.errors import TrainingError

_BLACK = (0.125, 0.25)
"""Shares of white from which a pixel is not black at all."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision normalises


def planes(pixels: Tensor) -> Tensor:
    """Pixels as N x 4 x height x width of 0 to 1."""
    return pixels.movedim(-1, 1).float() / 255


class VanillaCnn(nn.Module):
    """gibs-ml's convolutional network: three of convolution, normalisation, pooling and rectifier, two dense layers."""

    def __init__(
        self, size: Sequence[int], *, pad: bool, grey: bool, hidden: int, widths: tuple[int, ...] = (16, 32, 64)
    ) -> None:
        """Make one for images of a size.

        Args:
            size: Width and height in px.
            pad: Whether they are made square by black above and below.
            grey: Whether colours are left out.
            hidden: Units of the first dense layer.
            widths: Channels of the convolutions.
        """
        super().__init__()
        width, height = size
        self._grey, self._margin = grey, (width - height) // 2 if pad else 0
        layers: list[nn.Module] = []
        channels = 2 if grey else CHANNELS
        for wide in widths:
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.MaxPool2d(2), nn.ReLU()]
            channels = wide
        shrink = 2 ** len(widths)
        cells = (width // shrink) * ((height + 2 * self._margin) // shrink)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * cells, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of N days."""
        image = planes(pixels)
        if self._grey:
            luma = torch.tensor(_LUMA, device=image.device, dtype=image.dtype)
            image = torch.stack([torch.einsum("nchw,c->nhw", image[:, :3], luma), image[:, 3]], dim=1)
        if self._margin:
            image = functional.pad(image, (0, 0, self._margin, self._margin))
        logits: Tensor = self.layers(image)
        return logits.squeeze(1)


class Densenet(nn.Module):
    """torchvision's DenseNet-121 of colours, with a last layer of its own.

    Where only that learns, the other layers stay as they are, running means included.
    """

    def __init__(self, state: dict[str, Tensor] | None = None, *, only_last: bool = False) -> None:
        """Make one.

        Args:
            state: ImageNet's weights; random ones by default.
            only_last: Whether only the last layer learns.
        """
        from torchvision.models import densenet121

        super().__init__()
        self.network = densenet121()
        if state is not None:
            self.network.load_state_dict(state)
        self.network.classifier = nn.Linear(self.network.classifier.in_features, 1)
        self._only_last = only_last
        if only_last:
            self.network.features.requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> Densenet:  # noqa: FBT001, FBT002 - as torch has it
        """Go to training or evaluation."""
        super().train(mode)
        if self._only_last:
            self.network.features.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of N days."""
        colours = planes(pixels)[:, :3]
        mean, spread = (colours.new_tensor(each)[:, None, None] for each in (_MEAN, _SPREAD))
        logits: Tensor = self.network((colours - mean) / spread)
        return logits.squeeze(1)


def densenet_weights(file: str | Path | None, *, download: bool) -> Path | None:
    """The file of ImageNet's weights of DenseNet-121: a given one, torchvision's, or a download; None if there is none.

    Args:
        file: A file as torchvision publishes it; None looks into the cache.
        download: Whether they are downloaded where the cache has none.

    Raises:
        TrainingError: The download failed.
    """
    from torchvision.models import DenseNet121_Weights

    if file is not None:
        return Path(file)
    url = DenseNet121_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.exists():
        if not download:
            return None
        try:
            torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True, map_location="cpu")
        except (OSError, RuntimeError) as error:  # no connection, or other bytes
            raise TrainingError(f"{url} could not be downloaded ({error}): name a file by weights") from error
    return path


def read_densenet(path: Path, *, only_last: bool) -> Densenet:
    """DenseNet-121 with weights of ImageNet.

    Args:
        path: File of the weights, as torchvision publishes them.
        only_last: Whether only the last layer learns.

    Raises:
        TrainingError: The file is not there, or holds something else.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        # The file is of a time when names of layers could have a dot.
        dotted = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
        return Densenet({dotted.sub(r"\1\2.", name): each for name, each in state.items()}, only_last=only_last)
    except (OSError, EOFError, RuntimeError, UnpicklingError, AttributeError, TypeError) as error:
        raise TrainingError(f"{path} holds no weights of DenseNet-121: {error}") from error


class PixelCnn(nn.Module):
    """A fully convolutional network at half of the resolution, whose view widens from layer to layer by dilation.

    Two by two pixels go in as one of many channels and come out as four, so that no detail is lost. How nearly black a
    pixel is goes in by itself: a hole in a dark sea differs by little. A pixel is judged by those up to 64 px away.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (1, 2, 4, 8, 16)) -> None:
        """Make one.

        Args:
            channels: Of each layer.
            dilations: Of each layer after the first.
        """
        super().__init__()
        self.first = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * (CHANNELS + len(_BLACK)), channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=each, dilation=each), nn.BatchNorm2d(channels), nn.ReLU()
            )
            for each in dilations
        )
        self.last = nn.Sequential(nn.Conv2d(channels, 4 * len(CLASSES), 1), nn.PixelShuffle(2))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the classes of pixels, N x classes x height x width; both sides must be even."""
        image = planes(pixels)
        brightest = image[:, :3].amax(dim=1, keepdim=True)
        black = [functional.relu(1 - brightest / each) for each in _BLACK]
        told = self.first(torch.cat([image, *black], dim=1))
        for layer in self.layers:
            told = told + layer(told)
        logits: Tensor = self.last(told)
        return logits
