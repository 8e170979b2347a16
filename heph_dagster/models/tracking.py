"""Trainings and models in MLflow: runs, their figures, versions of models and the champion among them."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.splits import Split
from heph_dagster.errors import HephError
from heph_dagster.models.metrics import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

CHAMPION = "champion"
_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_TRUSTED = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types that saved pipelines hold beside those that skops trusts; all are scikit-learn's and numpy's own. Trees of a
forged file could crash a program: load models of your own registry only."""


class TrackingError(HephError):
    """A store that does not do what is asked of it."""


@dataclass(frozen=True)
class Version:
    """A registered version of a model.

    Attributes:
        name: Of the model.
        number: Of the version.
        run_id: Run that made it.
    """

    name: str
    number: int
    run_id: str

    @property
    def uri(self) -> str:
        """Where MLflow finds it."""
        return f"models:/{self.name}/{self.number}"


class Run:
    """A training that is recorded while it goes on.

    Attributes:
        id: MLflow's ID of it.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.id = run_id
        self._client = client

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Add figures of an epoch to the curves."""
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=number)

    def metrics(self, found: Mapping[Split, Mapping[str, Metric]]) -> None:
        """Record final figures, `test_roc_auc` with its interval `test_roc_auc_low` and `_high`."""
        from mlflow.entities import Metric as Entry

        now = time.time_ns() // 1_000_000
        entries = [
            Entry(f"{split}_{name}{suffix}", value, now, 0)
            for split, figures in found.items()
            for name, metric in figures.items()
            for suffix, value in zip(("", "_low", "_high"), metric, strict=True)
            if np.isfinite(value)
        ]
        self._client.log_batch(self.id, metrics=entries)

    def figure(self, name: str, figure: Figure) -> None:
        """Keep a figure as `figures/{name}.png`."""
        self._client.log_figure(self.id, figure, f"figures/{name}.png")

    def table(self, name: str, value: Any) -> None:
        """Keep plain values as `{name}.json`."""
        self._client.log_dict(self.id, value, f"{name}.json")


class Tracking:
    """A store of trainings and models."""

    def __init__(self, uri: str, artifacts: Path | None) -> None:
        """Connect to a store.

        Args:
            uri: Of the store: `sqlite:///...` or a server's address.
            artifacts: Where a local store keeps files; None leaves that to the server.
        """
        self.uri = uri
        self._artifacts = artifacts
        self._client: MlflowClient = _mlflow().MlflowClient(uri, uri)

    @contextmanager
    def run(self, experiment: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Run]:
        """A training in the block; it is recorded as failed if the block raises.

        Args:
            experiment: Name of the group of trainings that can be compared.
            name: Of this one.
            parameters: What it is told.
            tags: Where it comes from.
        """
        from mlflow.entities import Param, RunTag

        client = self._client
        run = client.create_run(self._experiment(experiment), run_name=name)
        client.log_batch(
            run.info.run_id,
            params=[Param(key, str(value)) for key, value in parameters.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        status = "FAILED"
        try:
            yield Run(client, run.info.run_id)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            client.set_terminated(run.info.run_id, status)

    def register(
        self, run: Run, name: str, pipeline: Pipeline, example: NDArray[np.float32], tags: Mapping[str, str]
    ) -> Version:
        """Keep a pipeline as a new version of a model, which `mlflow.pyfunc` loads and whose output is probabilities.

        It is saved by skops, whose files run no code when they are loaded.

        Args:
            run: Run that made it.
            name: Of the model.
            pipeline: From features to probabilities.
            example: Features of a few days.
            tags: Of the version.
        """
        import sklearn

        with self._fluent() as mlflow:
            signature = mlflow.models.infer_signature(example, pipeline.predict_proba(example))
            with mlflow.start_run(run_id=run.id):
                info = mlflow.sklearn.log_model(
                    pipeline,
                    name="model",
                    signature=signature,
                    input_example=example,
                    pyfunc_predict_fn="predict_proba",
                    serialization_format="skops",
                    skops_trusted_types=list(_TRUSTED),
                    pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
                )
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            made = self._client.create_model_version(name, info.model_uri, run.id, tags=dict(tags))
        return Version(name, int(made.version), run.id)

    def champion(self, name: str) -> Version | None:
        """The champion among the versions of a model; None if there is none."""
        for model in self._client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                version = self._client.get_model_version(name, str(model.aliases[CHAMPION]))
                return Version(name, int(version.version), str(version.run_id))
        return None

    def challenge(self, version: Version, score: float, judge: Callable[[Version], float]) -> bool:
        """Make a version the champion if there is none, or if it beats the present one on the same data.

        Args:
            version: The challenger.
            score: Its figure, higher is better.
            judge: The same figure of the present champion, on the same data.

        Returns:
            Whether it is the champion now.
        """
        present = self.champion(version.name)
        if present is not None and judge(present) >= score:
            return False
        self._client.set_registered_model_alias(version.name, CHAMPION, str(version.number))
        return True

    def predict(self, version: Version, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability that each day is positive, as a registered version tells it.

        Args:
            version: The version.
            features: N x values.

        Raises:
            TrackingError: The version cannot be loaded, or takes other features.
        """
        from mlflow import MlflowException

        try:
            with self._fluent() as mlflow:
                model = mlflow.pyfunc.load_model(version.uri)
            return np.asarray(model.predict(features)[:, 1], np.float64)
        except (MlflowException, OSError, ValueError) as error:
            raise TrackingError(
                f"version {version.number} of {version.name} cannot be used ({error}): train it again"
            ) from error

    def tag(self, run_id: str, name: str) -> str | None:
        """A tag of a run."""
        value: str | None = self._client.get_run(run_id).data.tags.get(name)
        return value

    @contextmanager
    def _fluent(self) -> Iterator[Any]:
        """MLflow's functions that know one store at a time, told to use this one in the block.

        They tell all programs that come after by environment variables, which are set back.
        """
        mlflow = _mlflow()
        before = {name: os.environ.get(name) for name in _VARIABLES}
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        try:
            yield mlflow
        finally:
            mlflow.set_tracking_uri(before[_VARIABLES[0]])
            mlflow.set_registry_uri(before[_VARIABLES[1]])
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # Without a place of its own, MLflow keeps files below the current folder.
        place = None if self._artifacts is None else (self._artifacts / name.replace("/", "_")).absolute().as_uri()
        return str(self._client.create_experiment(name, artifact_location=place))


def _mlflow() -> Any:
    """The package, which takes seconds to import, and then warns of its own type hints."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # a line for each table that it makes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
        import mlflow.sklearn
    return mlflow
