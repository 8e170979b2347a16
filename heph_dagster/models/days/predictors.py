"""What learners of pixels leave: predictors of days and of their pixels, from raw pixels, N x height x width x 4."""

from __future__ import annotations

import json
import os
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from heph_dagster.models.days import patches
from heph_dagster.models.days.areas import day_scores
from heph_dagster.models.days.pixels import CHANNELS, CLASSES, Pixels
from heph_dagster.models.saved import PIPELINE_FILE, read_sklearn
from heph_dagster.models.serving import Predictor, load_predictor, save_predictor

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from torch import Tensor, nn

_BATCH = 8
_SETTINGS, _WEIGHTS = "settings.json", "weights.safetensors"


class _Network(Predictor):
    """A network that is built by its name and settings.

    Attributes:
        module: The network.
    """

    margin: ClassVar[int] = 0
    """Columns that are shown to it beyond either end of a day, for east of the last column is the first."""

    def __init__(self, name: str, settings: Mapping[str, Any], module: nn.Module) -> None:
        self.module = module
        self._name, self._settings = name, dict(settings)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        told = {"network": self._name, "settings": self._settings}
        (folder / _SETTINGS).write_text(json.dumps(told) + "\n", "utf-8")
        save_file(self.module.state_dict(), folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        from safetensors.torch import load_file

        told = json.loads((folder / _SETTINGS).read_text("utf-8"))
        module = build(told["network"], told["settings"])
        module.load_state_dict(load_file(folder / _WEIGHTS))
        return cls(told["network"], told["settings"], module)

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        import torch

        pixels = np.pad(_checked(inputs), ((0, 0), (0, 0), (self.margin, self.margin), (0, 0)), mode="wrap")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.module.to(device).eval()
        with torch.inference_mode():
            told = [
                self._probabilities(self.module(torch.from_numpy(pixels[first : first + _BATCH]).to(device))).cpu()
                for first in range(0, len(pixels), _BATCH)
            ]
        self.module.to("cpu")
        found: NDArray[np.float32] = torch.cat(told).numpy()
        return found

    @abstractmethod
    def _probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of what the network tells."""


class DayNetwork(_Network):
    """A network that tells whether days are positive: N x 2."""

    kind = "days_network"

    def _probabilities(self, logits: Tensor) -> Tensor:
        import torch

        positive = torch.sigmoid(logits.double())
        return torch.stack([1 - positive, positive], dim=1).float()


class PixelNetwork(_Network):
    """A network that tells the classes of pixels: N x 3 x height x width."""

    kind = "days_pixel_network"
    margin = 64

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits[..., self.margin : -self.margin].softmax(dim=1)


class NearestDays(Predictor):
    """The most alike of the days of a training tell whether days are positive: N x 2."""

    kind = "days_nearest"

    def __init__(self, neighbours: KNeighborsClassifier) -> None:
        """Wrap scikit-learn's classifier of pixels in a row."""
        self._neighbours = neighbours

    def save(self, folder: Path) -> None:
        """Write settings and what was learned."""
        _save_sklearn(self._neighbours, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(read_sklearn(folder))

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities that days are negative and positive."""
        flat = _checked(inputs).reshape(len(inputs), -1)
        return np.asarray(self._neighbours.predict_proba(flat / np.float32(255)), np.float32)


class PixelForest(Predictor):
    """A random forest that tells the classes of pixels: N x 3 x height x width.

    Attributes:
        forest: scikit-learn's forest of `heph_dagster.models.days.patches.features`.
    """

    kind = "days_pixel_forest"

    def __init__(self, forest: RandomForestClassifier) -> None:
        """Wrap scikit-learn's forest."""
        self.forest = forest

    def save(self, folder: Path) -> None:
        """Write settings and what was learned."""
        _save_sklearn(self.forest, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(read_sklearn(folder))

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of the classes of pixels."""
        count, height, width, _ = _checked(inputs).shape
        told = np.zeros((count, len(CLASSES), height, width), np.float32)
        with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
            # scikit-learn warns for each tree where there are no filters of warnings, as after MLflow loads a model.
            warnings.filterwarnings("ignore", ".*sklearn.utils.parallel.delayed", UserWarning)
            for day, pixels in enumerate(inputs):
                pieces = np.array_split(
                    patches.features(pixels).reshape(height * width, -1), min(os.cpu_count() or 1, height)
                )
                values = np.concatenate(list(pool.map(self.forest.predict_proba, pieces)))
                told[day, self.forest.classes_] = values.T.reshape(-1, height, width)
        return told


class LargestPlaces(Predictor):
    """Days by the largest place that is of a class, as a predictor of pixels tells: N x 2."""

    kind = "days_largest_places"

    def __init__(self, masks: Predictor, number: int) -> None:
        """Look for a class.

        Args:
            masks: Tells the classes of pixels.
            number: Of the class.
        """
        self._masks, self._number = masks, number

    def save(self, folder: Path) -> None:
        """Write settings and what was learned."""
        (folder / _SETTINGS).write_text(json.dumps({"class": self._number}) + "\n", "utf-8")
        save_predictor(self._masks, folder / "masks")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        told = json.loads((folder / _SETTINGS).read_text("utf-8"))
        return cls(load_predictor(folder / "masks"), told["class"])

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of days as `heph_dagster.models.days.areas` has them, as if they were probabilities."""
        pixels = _checked(inputs)
        positive = np.zeros(len(pixels), np.float64)
        for day in range(len(pixels)):  # masks of many days take much memory
            told = self._masks.predict(pixels[day : day + 1])[0]
            positive[day] = day_scores(told, pixels[day, ..., 3])[self._number - 1]
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def build(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """A network without what it has learned.

    Args:
        name: `cnn`, `densenet121` or `pixel_cnn`.
        settings: Of the network.

    Raises:
        ValueError: There is none of that name.
    """
    from heph_dagster.models.days.networks import Densenet, PixelCnn, VanillaCnn

    networks: dict[str, type[nn.Module]] = {"cnn": VanillaCnn, "densenet121": Densenet, "pixel_cnn": PixelCnn}
    if name not in networks:
        raise ValueError(f"there is no network {name}: networks are {', '.join(networks)}")
    return networks[name](**settings)


def _checked(inputs: NDArray[Any]) -> Pixels:
    pixels = np.asarray(inputs)
    if pixels.ndim != 4 or pixels.shape[-1] != CHANNELS or pixels.dtype != np.uint8:
        raise ValueError(
            f"inputs must be days x height x width x {CHANNELS} of uint8, not {pixels.shape} of {pixels.dtype}"
        )
    return pixels


def _save_sklearn(model: Any, folder: Path) -> None:
    import skops.io

    skops.io.dump(model, folder / PIPELINE_FILE)
