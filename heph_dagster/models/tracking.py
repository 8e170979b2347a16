"""Trainings and models in MLflow: runs, their figures, versions of models and the champion among them."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heph_dagster import __version__
from heph_dagster.errors import HephError
from heph_dagster.models.loop import RUN_FILE
from heph_dagster.models.metrics import Metric
from heph_dagster.models.saved import TRUSTED, read_version
from heph_dagster.models.serving import Predictor, save_predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

_Part = TypeVar("_Part", bound=str)

CHAMPION = "champion"
_LARGEST_EXAMPLE = 200_000
"""Values; MLflow writes an example as JSON, which takes seconds and megabytes for an image of the world."""
_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
_QUIET = {
    "mlflow.store.db.utils": logging.WARNING,  # a line for each table that it makes
    "mlflow.pyfunc": logging.WARNING,  # each model that it keeps
    "mlflow.utils.environment": logging.ERROR,  # that there is no pip, which no model of ours needs
}


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


class Loaded:
    """A registered version in memory.

    Attributes:
        version: The version.
        shape: Of what it takes: -1 for the number of cases, then the shape of one.
    """

    def __init__(self, version: Version, folder: Path) -> None:
        """Read a version.

        Args:
            version: The version.
            folder: What MLflow keeps of it.

        Raises:
            ServingError: It holds no model.
        """
        from mlflow.models import Model
        from mlflow.pyfunc import PyFuncModel

        self.version = version
        self._read = read_version(folder)
        about: Any = Model.load(folder)  # its schema has no types
        # MLflow's own check of inputs stands before it.
        told = self._read.predict if isinstance(self._read, Predictor) else self._read
        self._model = PyFuncModel(about, SimpleNamespace(predict=told))
        self.shape: tuple[int, ...] = tuple(about.get_input_schema().inputs[0].shape)

    @property
    def predictor(self) -> Predictor:
        """The network of a version that is one.

        Raises:
            TrackingError: It is none.
        """
        if not isinstance(self._read, Predictor):
            raise TrackingError(f"{self.version.uri} is no network")
        return self._read

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """What the version tells of cases.

        Args:
            inputs: N x what it takes.

        Raises:
            TrackingError: It takes other inputs.
        """
        from mlflow import MlflowException

        try:
            return np.asarray(self._model.predict(inputs))
        except (MlflowException, ValueError) as error:
            raise _unusable(self.version, error) from error


class Run:
    """A training that is recorded while it goes on.

    Attributes:
        id: MLflow's ID of it.
    """

    def __init__(self, uri: str, run_id: str) -> None:
        self.id = run_id
        self._uri = uri

    @cached_property
    def _client(self) -> MlflowClient:
        client: MlflowClient = _mlflow().MlflowClient(self._uri, self._uri)
        return client

    def __getstate__(self) -> dict[str, str]:
        """Without its connection, so that a process of a training can record."""
        return {"id": self.id, "_uri": self._uri}

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Add figures of an epoch to the curves."""
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=number)

    def metrics(self, found: Mapping[_Part, Mapping[str, Metric]]) -> None:
        """Record final figures, `test_roc_auc` with its interval `test_roc_auc_low` and `_high`."""
        from mlflow.entities import Metric as Entry

        now = time.time_ns() // 1_000_000
        # MLflow shows the last step of a figure; where an epoch's has the same name, that is one of its curve.
        step = max((each.step + 1 for each in self._client.get_metric_history(self.id, "train_loss")), default=0)
        entries = [
            Entry(f"{split}_{name}{suffix}", value, now, step)
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
    def run(
        self,
        experiment: str,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        folder: Path | None = None,
    ) -> Iterator[Run]:
        """A training in the block; it is recorded as failed if the block raises.

        Args:
            experiment: Name of the group of trainings that can be compared.
            name: Of this one.
            parameters: What it is told.
            tags: Where it comes from.
            folder: Of the checkpoints of a training that may be stopped and go on, see
                `heph_dagster.models.loop.checkpoints`: what goes on is recorded in the same run.
        """
        from mlflow.entities import Param, RunTag

        client = self._client
        run_id = self._begun(folder)
        if run_id is None:
            run_id = client.create_run(self._experiment(experiment), run_name=name).info.run_id
            client.log_batch(run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        if folder is not None:
            (folder / RUN_FILE).write_text(run_id, "utf-8")
        status = "FAILED"
        try:
            yield Run(self.uri, run_id)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            client.set_terminated(run_id, status)

    def register(
        self, run: Run, name: str, model: Pipeline | Predictor, example: NDArray[Any], tags: Mapping[str, str]
    ) -> Version:
        """Keep a model as a new version, which `mlflow.pyfunc` loads and whose output is probabilities.

        Nothing is pickled: scikit-learn's pipelines are saved by skops, other predictors as they save themselves.

        Args:
            run: Run that made it.
            name: Of the model.
            model: What tells probabilities.
            example: Inputs of a few cases.
            tags: Of the version.
        """
        with self._fluent() as mlflow:
            with mlflow.start_run(run_id=run.id):
                if isinstance(model, Predictor):
                    info = _log_predictor(mlflow, name, model, example)
                else:
                    info = _log_pipeline(mlflow, model, example)
            self._make(lambda: self._client.create_registered_model(name))
            made = self._client.create_model_version(
                name,
                info.model_uri,
                run.id,
                tags=dict(tags),
                model_id=info.model_id,  # asked for by servers
            )
        return Version(name, int(made.version), run.id)

    def champion(self, name: str) -> Version | None:
        """The champion among the versions of a model; None if there is none."""
        for model in self._client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                version = self._client.get_model_version(name, str(model.aliases[CHAMPION]))
                return Version(name, int(version.version), str(version.run_id))
        return None

    def challenge(self, version: Version, judge: Callable[[Version], tuple[float, float]]) -> bool:
        """Make a version the champion if there is none, or if it beats the present one on the same data.

        A champion that cannot be used any more is beaten, with a warning: nobody could ask it.

        Args:
            version: The challenger.
            judge: A figure of the present champion and of the challenger on the same data, higher is better.

        Returns:
            Whether it is the champion now.
        """
        present = self.champion(version.name)
        if present is not None:
            try:
                best, score = judge(present)
            except TrackingError as error:
                logging.getLogger(__name__).warning("%s is no champion any more: %s", present.uri, error)
            else:
                if best >= score:
                    return False
        self._client.set_registered_model_alias(version.name, CHAMPION, str(version.number))
        return True

    def load(self, version: Version) -> Loaded:
        """A registered version, ready to predict.

        Args:
            version: The version.

        Raises:
            TrackingError: The version cannot be loaded.
        """
        from mlflow import MlflowException

        try:
            with self._fluent() as mlflow, tempfile.TemporaryDirectory(prefix="heph-") as place:
                return Loaded(version, Path(mlflow.artifacts.download_artifacts(version.uri, dst_path=place)))
        except (MlflowException, HephError, OSError, ValueError) as error:
            raise _unusable(version, error) from error

    def predict(self, version: Version, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Probability that each case is positive, as a registered version of two classes tells it.

        Args:
            version: The version.
            inputs: N x what it takes.

        Raises:
            TrackingError: The version cannot be loaded, or takes other inputs.
        """
        return np.asarray(self.load(version).predict(inputs)[:, 1], np.float64)

    def read(self, run_id: str, name: str) -> Any:
        """The plain values that a run keeps as `{name}.json`; None if it keeps none.

        Raises:
            TrackingError: They cannot be read.
        """
        from mlflow import MlflowException

        if f"{name}.json" not in {each.path for each in self._client.list_artifacts(run_id)}:
            return None
        try:
            with self._fluent() as mlflow:
                return mlflow.artifacts.load_dict(f"runs:/{run_id}/{name}.json")
        except (MlflowException, OSError, ValueError) as error:
            raise TrackingError(
                f"{name}.json of run {run_id} cannot be read ({error}): train the model again"
            ) from error

    def tags(self, version: Version) -> dict[str, str]:
        """The tags of a version."""
        return dict(self._client.get_model_version(version.name, str(version.number)).tags)

    def _begun(self, folder: Path | None) -> str | None:
        """The run that a training of a folder is recorded in, begun anew; None if there is none."""
        from mlflow import MlflowException

        if folder is None or not (folder / RUN_FILE).exists():
            return None
        run_id = (folder / RUN_FILE).read_text("utf-8")
        try:
            self._client.update_run(run_id, "RUNNING")
        except MlflowException:  # deleted, or in another store
            return None
        return run_id

    @contextmanager
    def _fluent(self) -> Iterator[Any]:
        """MLflow's functions that know one store at a time, told to use this one in the block.

        They tell all programs that come after by environment variables, which are set back.
        """
        mlflow = _mlflow()
        before = {name: os.environ.get(name) for name in _VARIABLES}
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        os.environ[_VARIABLES[2]] = "false"  # bars for single small files, amid those of commands
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
        if self._client.get_experiment_by_name(name) is None:
            # Without a place of its own, MLflow keeps files below the current folder.
            place = None if self._artifacts is None else (self._artifacts / name.replace("/", "_")).absolute().as_uri()
            self._make(lambda: self._client.create_experiment(name, artifact_location=place))
        (found,) = self._client.search_experiments(filter_string=f"name = '{name}'")
        return str(found.experiment_id)

    @staticmethod
    def _make(make: Callable[[], object]) -> None:
        """Make what may be there: another run may make it at the same time."""
        from mlflow import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

        try:
            make()
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise


def _unusable(version: Version, error: Exception) -> TrackingError:
    # MLflow tells all of the inputs before what is wrong with them.
    why = str(error).rpartition("Error: ")[2]
    return TrackingError(f"version {version.number} of {version.name} cannot be used ({why}): train it again")


def _log_pipeline(mlflow: Any, pipeline: Pipeline, example: NDArray[Any]) -> Any:
    import sklearn

    return mlflow.sklearn.log_model(
        pipeline,
        name="model",
        signature=mlflow.models.infer_signature(example, pipeline.predict_proba(example)),
        input_example=example,
        pyfunc_predict_fn="predict_proba",
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED),
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
    )


def _log_predictor(mlflow: Any, name: str, predictor: Predictor, example: NDArray[Any]) -> Any:
    with tempfile.TemporaryDirectory(prefix="heph-") as folder, warnings.catch_warnings():
        # The signature is given, and is that of an example.
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        save_predictor(predictor, Path(folder) / predictor.kind)
        return mlflow.pyfunc.log_model(
            name=name.replace(".", "_"),
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"network": str(Path(folder) / predictor.kind)},
            signature=mlflow.models.infer_signature(example, predictor.predict(example)),
            input_example=example if example.size <= _LARGEST_EXAMPLE else None,
            pip_requirements=[f"heph-dagster=={__version__}"],
        )


def _mlflow() -> Any:
    """The package, which takes seconds to import, and then warns of its own type hints."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
        import mlflow.sklearn
    return mlflow
