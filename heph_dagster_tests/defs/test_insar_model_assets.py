"""Learners of interferograms as assets, on crops that are on disk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import dagster as dg
import mlflow
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.models import drift
from heph_dagster.models.insar.parameters import REAL
from heph_dagster.models.tracking import Tracking
from heph_dagster.settings import Settings
from heph_dagster_tests.defs.test_colour_assets import metadata
from heph_dagster_tests.models.insar.conftest import make_insar

CLASSIFIER, MOCO, LINEAR = (
    dg.AssetKey(["hephaestus", "models", name]) for name in ("classifier", "moco", "linear_evaluation")
)
QUICK = {"epochs": 1, "input_size": 48, "batch_size": 8, "accelerator": "cpu", "split": "temporal"}


@pytest.fixture
def run(tmp_path: Path, instance: dg.DagsterInstance):
    make_insar(tmp_path / "data" / "hephaestus")
    job = build_definitions(Settings(data_dir=tmp_path / "data", layers=())).resolve_implicit_global_asset_job_def()

    def start(key: dg.AssetKey, **config) -> dg.ExecuteInProcessResult:
        ops = {key.to_python_identifier(): {"config": QUICK | config}}
        return job.execute_in_process(
            instance=instance, asset_selection=[key], run_config={"ops": ops}, raise_on_error=False
        )

    return start


@pytest.mark.slow
def test_a_classifier_trains_and_tells_its_figures(run, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    result = run(CLASSIFIER, seed=3, calm=None, floor=1.0)
    assert result.success
    found = metadata(instance, CLASSIFIER)
    assert 0 <= found["test_deformation_roc_auc"] <= 1
    assert found["test_deformation_f1"].count(" to ") == 1
    assert (found["train_crops"], found["val_crops"], found["test_crops"]) == (40, 20, 20)
    assert (found["train_deformed"], found["test_deformed"]) == (20, 10)
    assert found["model"] == "models:/hephaestus.classifier/1"
    assert found["champion"] == "none: no version has reached the floor"
    assert all(found[name].startswith("![preview](data:image/jpeg;base64,") for name in ("roc", "outputs"))
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("floor", False)
    assert str(check.description).endswith("; at least 1 is needed")
    uri = f"sqlite:///{tmp_path / 'data' / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("hephaestus.classifier")
    (run_of,) = client.search_runs([experiment.experiment_id])
    assert found["mlflow_run"] == f"http://127.0.0.1:5000/#/runs/{run_of.info.run_id}"
    assert run_of.data.tags["dagster_run_id"] == result.run_id
    assert run_of.data.tags["asset_key"] == CLASSIFIER.to_user_string()
    assert {name: run_of.data.params[name] for name in ("seed", "calm", "epochs", "split")} == {
        "seed": "3", "calm": "None", "epochs": "1", "split": "temporal",
    }  # fmt: skip
    references = drift.from_json(Tracking(uri, None).read(run_of.info.run_id, "drift"))
    assert {name: sum(each.counts) for name, each in references.items()} == {
        "coherence": 40,  # of tiles only, which are every second crop
        "no_data": 40,
        "score": 20,
    }
    assert references["coherence"].edges[0] == pytest.approx(200 / 255)  # everywhere alike


@pytest.mark.slow
def test_what_goes_wrong_is_told_in_plain_words(run) -> None:
    def failure(result: dg.ExecuteInProcessResult) -> str:
        (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        return str(failed.user_failure_data.description)

    assert "hephaestus.encoder has no champion to evaluate: train moco first" in failure(run(LINEAR))
    assert "nothing is no backbone of timm" in failure(run(CLASSIFIER, backbone="nothing"))
    assert "make the split published first" in failure(run(CLASSIFIER, split="published"))


def test_the_configurations_for_real_crops_are_such_of_the_assets() -> None:
    told = {name: asdict(parameters) for name, parameters in REAL.items()}
    told["classifier"].pop("frozen")  # which follows from the asset
    ops = {f"hephaestus__models__{name}": {"config": values} for name, values in told.items()}
    job = build_definitions(Settings(layers=())).resolve_implicit_global_asset_job_def()
    taken = dg.validate_run_config(job, {"ops": ops})["ops"]
    assert {name: taken[f"hephaestus__models__{name}"]["config"] | values for name, values in told.items()} == {
        name: taken[f"hephaestus__models__{name}"]["config"] for name in told
    }
