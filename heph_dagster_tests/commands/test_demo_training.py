"""The demonstration of models, end to end on few and small days."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest

from heph_dagster.commands import demo_training
from heph_dagster.commands.demo_training import Row, _rank
from heph_dagster.models.days.mask_training import MASK_LEARNERS
from heph_dagster.models.days.prediction_table import predictions_path, read_predictions
from heph_dagster.models.days.training import LEARNERS
from heph_dagster.settings import Settings
from heph_dagster_tests.test_cli import heph

TASKS = ("missing_data", "miscoloration")


def test_the_best_comes_first_and_what_failed_last() -> None:
    rows = [
        Row("b", "good", {"roc_auc": "0.950 (0.9 to 1.0)"}, 1),
        Row("b", "best", {"roc_auc": "0.991 (0.9 to 1.0)"}, 1),
        Row("b", "none", {}, 1, failed="no days"),
        Row("a", "poor", {"roc_auc": "0.500 (0.4 to 0.6)"}, 1),
    ]
    assert [row.learner for row in sorted(rows, key=_rank)] == ["poor", "best", "good", "none"]


@pytest.mark.slow
def test_every_learner_is_trained_recorded_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_training, "_LEVEL", 0)
    monkeypatch.setattr(demo_training, "_INTERFEROGRAMS", 120)
    root = tmp_path / "demo"
    output = heph("demo-models", "--root", root, "--days", 60, "--seed", 2, "--json").stdout
    league = json.loads(output[output.index("{\n") :])
    assert json.loads((root / "league.json").read_text("utf-8")) == league
    found = {(row["task"], row["learner"]) for row in league["rows"]}
    assert found == {
        *((task, learner) for task in TASKS for learner in LEARNERS),
        *(("pixels", learner) for learner in MASK_LEARNERS),
        *(("interferograms", learner) for learner in demo_training.INSAR_LEARNERS),
    }
    assert all(row["figures"] and row["failed"] is None for row in league["rows"])
    assert all(" to " in row["figures"]["roc_auc"] for row in league["rows"] if row["task"] in TASKS)
    settings = Settings(data_dir=root)
    client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert {each.info.status for each in runs} == {"FINISHED"}
    assert {each.data.params["learner"] for each in runs} == {learner for _, learner in found}
    assert all(each.data.tags["dagster_run_id"] for each in runs)
    (active,) = settings.active_layers()
    predictions = read_predictions(predictions_path(root, active.epsg, active.layer))
    assert len({each.day for each in predictions}) == league["predicted_days"] == 60
    assert {each.version for each in predictions} > set()
    assert "days/s" in output
    assert not (root / "checkpoints").exists() or not list((root / "checkpoints").glob("*/last.ckpt"))
