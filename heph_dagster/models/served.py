"""The model that MLflow keeps for each registered network, and runs to load one.

MLflow copies this file beside the network's folder and runs the copy, which needs this package of the same version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from heph_dagster.models.serving import Predictor, load_predictor


class ServedNetwork(PythonModel):
    """A predictor of `heph_dagster.models.serving`."""

    predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Read the predictor."""
        self.predictor = load_predictor(Path(context.artifacts["network"]))

    def predict(
        self,
        context: PythonModelContext | None,
        model_input: np.ndarray,  # the one type of arrays that MLflow knows
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """Probabilities, see `Predictor.predict`."""
        del context, params
        return self.predictor.predict(model_input)


set_model(ServedNetwork())
