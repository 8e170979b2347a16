"""Networks of crops as they are registered: bytes in, probabilities out."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heph_dagster.models.insar.data import CLASSES, OUTPUTS
from heph_dagster.models.insar.inputs import channels, phase_of, shrunk
from heph_dagster.models.insar.networks import CellClassifier, Encoder, Segmenter, enlarged
from heph_dagster.models.serving import Predictor

_BATCH = 32
_SETTINGS, _WEIGHTS = "settings.json", "weights.safetensors"


class CropPredictor(Predictor):
    """A network that takes crops: red, green, blue and coherence, uint8, N x S x S x 4.

    A crop without coherence has 0 there. It runs on a GPU where there is one.

    Attributes:
        network: The network.
        settings: What it was made with, and `input_size`.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, settings: dict[str, Any]) -> None:
        self.network = network.eval()
        self.settings = settings

    def save(self, folder: Path) -> None:
        """Write `settings.json` and `weights.safetensors`."""
        from safetensors.torch import save_model

        (folder / _SETTINGS).write_text(json.dumps(self.settings, indent=2) + "\n", "utf-8")
        save_model(self.network, str(folder / _WEIGHTS))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        from safetensors.torch import load_model

        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        network = cls.build(settings)
        load_model(network, str(folder / _WEIGHTS))
        return cls(network, settings)

    @staticmethod
    @abstractmethod
    def build(settings: dict[str, Any]) -> nn.Module:
        """A network of some settings, with weights drawn by chance."""

    @staticmethod
    @abstractmethod
    def told(found: Tensor, size: int) -> Tensor:
        """What is told by what the network finds; `size` is the side of the crops."""

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of crops.

        Args:
            inputs: uint8, N x S x S x 4: red, green, blue, coherence.

        Raises:
            ValueError: They are not of this shape or type.
        """
        if inputs.ndim != 4 or inputs.shape[-1] != 4 or inputs.dtype != np.uint8:
            raise ValueError(f"crops are N x S x S x 4 of uint8, not {inputs.shape} of {inputs.dtype}")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = self.network.to(device)
        found = []
        for first in range(0, len(inputs), _BATCH):
            pixels = torch.from_numpy(inputs[first : first + _BATCH]).to(device).movedim(-1, 1)
            with torch.inference_mode():
                seen = shrunk(channels(*phase_of(pixels[:, :3]), pixels[:, 3]), self.settings["input_size"])
                told = self.told(network(seen), inputs.shape[1])
            found.append(told.float().cpu().numpy())
        return np.concatenate(found)


class ClassifierPredictor(CropPredictor):
    """Tells what crops show: N x 10, in the order of `OUTPUTS`."""

    kind: ClassVar[str] = "insar_classifier"
    network: CellClassifier

    @staticmethod
    def build(settings: dict[str, Any]) -> CellClassifier:
        """A classifier."""
        return CellClassifier(Encoder(settings["backbone"], settings["stride"]), len(OUTPUTS))

    @staticmethod
    def told(found: Tensor, size: int) -> Tensor:
        """N x 10."""
        del size
        return found.sigmoid()


class SegmenterPredictor(CropPredictor):
    """Tells what pixels show: N x 7 x S x S, in the order of `CLASSES`, of which the first is that nothing deforms."""

    kind: ClassVar[str] = "insar_segmenter"
    network: Segmenter

    @staticmethod
    def build(settings: dict[str, Any]) -> Segmenter:
        """A segmenter."""
        told = {name: settings[name] for name in ("depth", "width")}
        return Segmenter(settings["learner"], settings["encoder"], **told, classes=len(CLASSES))

    @staticmethod
    def told(found: Tensor, size: int) -> Tensor:
        """N x 7 x S x S."""
        return enlarged(found, size).softmax(1)


class EncoderPredictor(CropPredictor):
    """Gives features of crops, N x F: the mean and the maximum over cells of what an encoder sees."""

    kind: ClassVar[str] = "insar_encoder"
    network: Encoder

    @staticmethod
    def build(settings: dict[str, Any]) -> Encoder:
        """An encoder."""
        return Encoder(settings["backbone"], settings["stride"])

    @staticmethod
    def told(found: Tensor, size: int) -> Tensor:
        """N x F."""
        del size
        return torch.cat((found.mean((2, 3)), found.amax((2, 3))), dim=1)
