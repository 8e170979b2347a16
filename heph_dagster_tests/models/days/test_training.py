from __future__ import annotations

import os
from pathlib import Path

import mlflow
import numpy as np
import pytest

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days.classical import (
    ForestParameters,
    LinearParameters,
    NetworkParameters,
    importances,
)
from heph_dagster.models.days.data import Task, load_days
from heph_dagster.models.days.parameters import CnnParameters, DensenetParameters
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import LEARNERS, Training, model_name, train_days
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.tracking import Tracking, TrackingError, Version

QUICK = {
    "two_layer_network": NetworkParameters(epochs=5, hidden=10),
    "random_forest": ForestParameters(trees=25),
    "cnn": CnnParameters(width=64, epochs=5, accelerator="cpu"),
    "densenet121": DensenetParameters(width=64, epochs=5, accelerator="cpu"),
}
OF_FEATURES = [name for name, learner in LEARNERS.items() if not learner.takes_pixels]


def store(folder: Path) -> Tracking:
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """A store that the tests share: to make one takes a second."""
    return store(tmp_path_factory.mktemp("mlflow"))


def train(tracking: Tracking, source: LayerDays, learner: str = "softmax", **options) -> Training:
    options = {"parameters": QUICK.get(learner)} | options
    return train_days(tracking, source, Task.MISCOLORATION, learner, tags={"asset_key": "a/b"}, **options)


@pytest.mark.slow
def test_every_learner_learns_and_is_recorded(tracking: Tracking, source: LayerDays) -> None:
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    name = model_name(source, Task.MISCOLORATION)
    for learner in LEARNERS:
        made = train(tracking, source, learner)
        assert made.version.name == name
        run = client.get_run(made.version.run_id)
        assert run.info.status == "FINISHED"
        assert (run.data.params["learner"], run.data.params["seed"]) == (learner, "0")
        assert run.data.tags["asset_key"] == "a/b"
        data = load_days(
            source, Task.MISCOLORATION, getattr(QUICK.get(learner, LEARNERS[learner].parameters), "size", None)
        )
        assert run.data.tags["data_fingerprint"] == data.fingerprint
        assert run.data.tags["label_sources"] == "hand 30"
        assert ("imagenet" in run.data.params) == (learner == "densenet121")
        for split in Split:
            metric = made.trained.metrics[split]["roc_auc"]
            logged = [run.data.metrics[f"{split}_roc_auc{suffix}"] for suffix in ("", "_low", "_high")]
            assert logged == list(metric)
        figures = {file.path.removeprefix("figures/") for file in client.list_artifacts(run.info.run_id, "figures")}
        expected = {"roc.png", "precision_recall.png", "confusion_matrix.png", "calibration.png", "worst.png"}
        assert expected <= figures
        assert ("importances.png" in figures) == (
            learner in OF_FEATURES and importances(made.trained.model) is not None  # type: ignore[arg-type]
        )
        part = data.parts[Split.TEST]
        np.testing.assert_allclose(
            tracking.predict(made.version, part.inputs), made.trained.scores[Split.TEST], rtol=1e-4, atol=1e-6
        )
        curve = client.get_metric_history(made.version.run_id, "train_loss")
        assert [entry.step for entry in curve] == ([1, 2, 3, 4, 5] if LEARNERS[learner].has_epochs else [])
        assert ("curves.png" in figures) == LEARNERS[learner].has_epochs


@pytest.mark.slow
def test_a_forest_sees_magenta(tracking: Tracking, source: LayerDays) -> None:
    made = train(tracking, source, "random_forest")
    assert made.trained.metrics[Split.TRAIN]["roc_auc"].value == 1
    assert made.trained.metrics[Split.TEST]["roc_auc"].value > 0.9
    assert str(made.trained.metrics[Split.TRAIN]["roc_auc"]) == "1.000 (1.000 to 1.000)"


def test_the_same_seed_gives_the_same_figures(source: LayerDays) -> None:
    data = load_days(source, Task.MISCOLORATION)
    for name in OF_FEATURES:
        learner = LEARNERS[name]
        parameters = QUICK.get(name, learner.parameters)
        first, second = (learner.train(data, parameters, 4) for _ in range(2))
        assert first.metrics == second.metrics
        assert first.threshold == second.threshold


@pytest.mark.slow
def test_the_champion_falls_to_a_better_one_only(tmp_path: Path, source: LayerDays) -> None:
    tracking = store(tmp_path)
    first = train(tracking, source, "softmax")
    assert first.is_champion
    again = train(tracking, source, "softmax")
    assert not again.is_champion
    assert again.champion == first.version == tracking.champion(first.version.name)
    assert tracking.challenge(again.version, lambda _: (0.6, 0.7))
    assert tracking.champion(first.version.name) == again.version
    assert not tracking.challenge(first.version, lambda _: (0.7, 0.7))


def test_a_model_is_loaded_by_pyfunc(tracking: Tracking, source: LayerDays, monkeypatch) -> None:
    made = train(tracking, source)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # is set back at the end
    mlflow.set_tracking_uri(tracking.uri)
    model = mlflow.pyfunc.load_model(made.version.uri)
    assert model.metadata.signature is not None
    example = model.input_example
    assert example.shape == (1, 18792)
    assert model.predict(example).shape == (1, 2)


def test_a_training_that_fails_registers_nothing(tmp_path: Path, source: LayerDays) -> None:
    tracking = store(tmp_path)
    wild = NetworkParameters(epochs=3, learning_rate=1e300)
    with pytest.raises(TrainingError, match=r"epoch 1.*: lower learning_rate"):
        train(tracking, source, "two_layer_network", parameters=wild)
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    assert client.search_registered_models() == []
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


def test_a_version_that_cannot_be_loaded_is_an_error(tracking: Tracking, source: LayerDays) -> None:
    with pytest.raises(TrackingError, match="version 9 of nothing cannot be used"):
        tracking.predict(Version("nothing", 9, "x"), load_days(source, Task.MISCOLORATION).parts[Split.TEST].inputs)


@pytest.mark.slow
def test_parameters_reach_the_learner(tracking: Tracking, source: LayerDays) -> None:
    made = train(tracking, source, parameters=LinearParameters(c=0.5))
    assert made.trained.model[-1].C == 0.5


def test_the_environment_is_left_as_it_was(tracking: Tracking, source: LayerDays, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere.db")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    train(tracking, source)
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:////elsewhere.db"
    assert "MLFLOW_REGISTRY_URI" not in os.environ
