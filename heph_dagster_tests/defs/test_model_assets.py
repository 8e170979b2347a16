"""Learners as assets, on days that are on disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import mlflow
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS
from heph_dagster_tests.defs.test_colour_assets import metadata
from heph_dagster_tests.models.days.conftest import DAYS, make_days

LEARNER = dg.AssetKey(["gibs", VIIRS, "models", "miscoloration", "random_forest"])
PREDICTIONS = dg.AssetKey(["gibs", VIIRS, "predictions"])
OTHER = dg.AssetKey(["gibs", VIIRS, "models", "missing_data", "softmax"])


@pytest.fixture
def run(tmp_path: Path, instance: dg.DagsterInstance):
    make_days(tmp_path / "data")
    definitions = build_definitions(Settings(data_dir=tmp_path / "data", layers=(VIIRS,)))
    job = definitions.resolve_implicit_global_asset_job_def()

    def start(key: dg.AssetKey, days: tuple[date, date] | None = None, **config) -> dg.ExecuteInProcessResult:
        ops = {key.to_python_identifier(): {"config": config}} if config else {}
        tags = {}
        if days is not None:
            tags = {
                "dagster/asset_partition_range_start": f"{days[0]}",
                "dagster/asset_partition_range_end": f"{days[1]}",
            }
        return job.execute_in_process(
            instance=instance, asset_selection=[key], run_config={"ops": ops}, tags=tags, raise_on_error=False
        )

    return start


def test_a_learner_trains_and_tells_its_figures(run, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    assert run(dg.AssetKey(["gibs", VIIRS, "split"]), block_days=3, gap_days=0).success
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
    assert run_of.data.tags[f"input/gibs/{VIIRS}/labels"] == "not materialized by Dagster"
    assert len(run_of.data.tags[f"input/gibs/{VIIRS}/split"]) > 8
    assert (run_of.data.params["trees"], run_of.data.params["seed"]) == ("20", "1")
    assert (tmp_path / "data" / "mlruns").is_dir()


@pytest.mark.slow
def test_a_learner_below_its_floor_is_no_champion(run, instance: dg.DagsterInstance) -> None:
    result = run(LEARNER, trees=1, depth=1, floor=1.0, seed=1)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("floor", False)
    assert str(check.description).endswith("; at least 1 is needed")
    assert metadata(instance, LEARNER)["champion"] == "none: no version has reached the floor"


@pytest.mark.slow
def test_the_champion_tells_of_a_range_of_days_and_of_drift(run, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    days = (DAYS[0], DAYS[-1])
    refused = run(PREDICTIONS, days)
    (failure,) = [event.step_failure_data for event in refused.all_events if event.is_step_failure]
    assert "there is no champion of" in str(failure.user_failure_data.description)
    assert run(LEARNER, trees=20, seed=1).success
    result = run(PREDICTIONS, days)
    assert result.success
    told = {
        event.partition: event.metadata
        for event in result.asset_materializations_for_node(PREDICTIONS.to_python_identifier())
    }
    assert list(told) == [str(day) for day in DAYS]
    first = told[str(DAYS[0])]
    assert first["miscoloration"].value is True
    assert first["miscoloration_model"].value == f"models:/gibs.{VIIRS}.miscoloration/1"
    assert Path(str(first["path"].value)) == tmp_path / "data" / "4326" / f"{VIIRS}.predictions"
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    passed = {"complete": False, "drift_of_missing_data": True, "drift_of_miscoloration": True}
    assert {name: each.passed for name, each in checks.items()} == passed
    lacking = f"{len(DAYS)} of {len(DAYS)} days lack a prediction of missing_data: is there a champion?"
    assert checks["complete"].description == lacking
    assert str(checks["complete"].metadata["lacking"].value).startswith(f"- {DAYS[0]}: missing_data\n")
    assert "that the present champion told of are as in training." in str(checks["drift_of_miscoloration"].description)
    assert "There are too few days" in str(checks["drift_of_missing_data"].description)


def test_days_of_one_kind_fail_in_plain_words(run) -> None:
    result = run(OTHER)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "none have missing_data: more days or smaller blocks" in str(failure.user_failure_data.description)
