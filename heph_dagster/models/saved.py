"""Reading what a registered version holds: no code that stands in its files is run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.models.serving import Predictor, ServingError, load_predictor

PIPELINE_FILE = "model.skops"
TRUSTED = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types that saved models hold beside those that skops trusts; all are scikit-learn's and numpy's own. Trees of a
forged file could crash a program: load models of your own registry only."""


def read_version(folder: Path) -> Predictor | Callable[[Any], NDArray[np.floating[Any]]]:
    """What tells probabilities in the folder that MLflow keeps of a version.

    `mlflow.pyfunc.load_model` would run whatever module the folder names, or Python file it holds.

    Args:
        folder: Of the version.

    Returns:
        The network, or the function of scikit-learn's pipeline.

    Raises:
        ServingError: The folder holds something else.
    """
    if (folder / PIPELINE_FILE).exists():
        predict: Callable[[Any], NDArray[np.floating[Any]]] = read_sklearn(folder).predict_proba
        return predict
    networks = sorted((folder / "artifacts").glob("*/"))
    if len(networks) != 1:
        raise ServingError(f"{folder} holds neither a pipeline nor one network: train it again")
    return load_predictor(networks[0])


def read_sklearn(folder: Path) -> Any:
    """A model of scikit-learn, as skops has written it.

    Raises:
        ServingError: It cannot be read, or holds types that are not known to run nothing.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / PIPELINE_FILE
    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise ServingError(f"{path} is not read, since it could run code. {error}") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ServingError(f"{path} cannot be read ({error}): train it again") from error
