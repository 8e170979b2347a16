"""What a registered network is: a folder of settings and weights, that runs no code of its own when it is loaded."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError

KINDS: dict[str, str] = {
    "days_largest_places": "heph_dagster.models.days.predictors:LargestPlaces",
    "days_nearest": "heph_dagster.models.days.predictors:NearestDays",
    "days_network": "heph_dagster.models.days.predictors:DayNetwork",
    "days_pixel_forest": "heph_dagster.models.days.predictors:PixelForest",
    "days_pixel_network": "heph_dagster.models.days.predictors:PixelNetwork",
    "insar_classifier": "heph_dagster.models.insar.predictors:ClassifierPredictor",
    "insar_encoder": "heph_dagster.models.insar.predictors:EncoderPredictor",
    "insar_segmenter": "heph_dagster.models.insar.predictors:SegmenterPredictor",
}
"""Module and class of each kind of predictor."""

_KIND_FILE = "kind.json"


class ServingError(HephError):
    """A folder that holds no predictor."""


class Predictor(ABC):
    """Tells probabilities of raw pixels or features.

    Attributes:
        kind: Its name in `KINDS`.
    """

    kind: ClassVar[str]

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write settings as JSON and weights as safetensors, or what else runs no code when it is read."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""

    @abstractmethod
    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities.

        Args:
            inputs: N x whatever the kind takes.

        Returns:
            N x classes (x rows x columns, where each pixel is told of).
        """


def save_predictor(predictor: Predictor, folder: Path) -> None:
    """Write a predictor into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _KIND_FILE).write_text(json.dumps({"kind": predictor.kind}) + "\n", "utf-8")
    predictor.save(folder)


def load_predictor(folder: Path) -> Predictor:
    """Read a predictor.

    Args:
        folder: Where `save_predictor` wrote.

    Raises:
        ServingError: There is none, or it is of a kind that this version does not know.
    """
    try:
        kind = json.loads((folder / _KIND_FILE).read_text("utf-8"))["kind"]
    except (OSError, ValueError, KeyError) as error:
        raise ServingError(f"{folder} holds no predictor ({error}): train it again") from error
    if kind not in KINDS:
        raise ServingError(f"{folder} holds a predictor of kind {kind}, which this version does not know")
    module, _, name = KINDS[kind].partition(":")
    made: Predictor = getattr(importlib.import_module(module), name).load(folder)
    return made
