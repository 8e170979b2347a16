"""Learners as assets, on days that are on disk."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import mlflow
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS
from heph_dagster_tests.defs.test_colour_assets import metadata
from heph_dagster_tests.models.days.conftest import make_days

LEARNER = dg.AssetKey(["gibs", VIIRS, "models", "miscoloration", "random_forest"])
OTHER = dg.AssetKey(["gibs", VIIRS, "models", "missing_data", "softmax"])


@pytest.fixture
def run(tmp_path: Path, instance: dg.DagsterInstance):
    make_days(tmp_path / "data")
    definitions = build_definitions(Settings(data_dir=tmp_path / "data", layers=(VIIRS,)))
    job = definitions.resolve_implicit_global_asset_job_def()

    def start(key: dg.AssetKey, **config) -> dg.ExecuteInProcessResult:
        ops = {key.to_python_identifier(): {"config": config}}
        return job.execute_in_process(
            instance=instance, asset_selection=[key], run_config={"ops": ops}, raise_on_error=False
        )

    return start


def test_a_learner_trains_and_tells_its_figures(run, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    result = run(LEARNER, trees=20, seed=1)
    assert result.success
    found = metadata(instance, LEARNER)
    assert found["test_roc_auc"] > 0.9
    assert found["champion"] == "this is the champion: True; champion: version 1"
    assert found["roc"].startswith("![preview](data:image/jpeg;base64,")
    assert (found["train_days"], found["val_days"], found["test_days"]) == (18, 6, 6)
    uri = f"sqlite:///{tmp_path / 'data' / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, uri)
    (run_of,) = client.search_runs([client.get_experiment_by_name(f"gibs.{VIIRS}.miscoloration").experiment_id])
    assert found["mlflow_run"] == f"http://127.0.0.1:5000/#/runs/{run_of.info.run_id}"
    assert run_of.data.tags["dagster_run_id"] == result.run_id
    assert run_of.data.tags["asset_key"] == LEARNER.to_user_string()
    assert (run_of.data.params["trees"], run_of.data.params["seed"]) == ("20", "1")
    assert (tmp_path / "data" / "mlruns").is_dir()


def test_days_of_one_kind_fail_in_plain_words(run) -> None:
    result = run(OTHER)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "none have missing_data: more days or smaller blocks" in str(failure.user_failure_data.description)
