"""`heph train` on days that are on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS
from heph_dagster_tests.models.days.conftest import make_days
from heph_dagster_tests.test_cli import heph

LAYER, TASK = ("--layer", VIIRS), ("--task", "missing_data")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEPH_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_a_learner_is_trained_and_tells_its_figures(root: Path) -> None:
    make_days(root)
    told = ("--task", "miscoloration", "--set", "trees=20", "--seed", 1, "--json")
    found = json.loads(heph("train", "random_forest", *LAYER, *told).stdout)
    assert found["test_roc_auc"].count(" to ") == 1
    assert found["model"] == found["champion"] == f"models:/gibs.{VIIRS}.miscoloration/1"
    import mlflow

    uri = Settings().mlflow_uri
    run = mlflow.MlflowClient(uri, uri).get_run(found["mlflow_run"])
    assert (run.data.params["trees"], run.data.params["seed"]) == ("20", "1")
    assert run.data.tags["command"] == "heph train"
    lines = heph("train", "softmax", *LAYER, "--task", "miscoloration", "--floor", 1.0).stdout.splitlines()
    assert f"model: models:/gibs.{VIIRS}.miscoloration/2" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("wizard",), "There is no learner wizard. There are:\n  linear_svm "),
        (("softmax",), "softmax tells one thing of days: give --task missing_data or --task miscoloration."),
        (("softmax", *TASK, "--set", "depth=3"), "--set depth=3: give NAME=VALUE, of c."),
        (("softmax", *TASK, "--set", "c"), "--set c: give NAME=VALUE, of c."),
        (("random_forest", *TASK, "--set", "trees=many"), "--set trees: Input should be a valid integer"),
        (
            ("pixel_cnn", "--real"),
            "--real holds for classifier, unet, deeplabv3plus, segformer, moco; give pixel_cnn what",
        ),
    ],
)
def test_what_cannot_be_meant_is_told(arguments: tuple[str, ...], message: str) -> None:
    assert message in heph("train", *arguments, *LAYER, code=2).output


def test_learners_are_listed() -> None:
    names = [line.split()[0] for line in heph("train").stdout.splitlines()]
    assert len(names) == 15
    assert {"softmax", "cnn", "pixel_cnn", "classifier", "unet", "moco"} <= set(names)


@pytest.mark.parametrize("environment", [{"TORCHELASTIC_RUN_ID": "x"}, {"NODE_RANK": "1"}])
def test_machines_that_would_wait_for_ever_are_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "Start this once on each machine, not by torchrun" in heph("train", "pixel_cnn", *LAYER, code=2).output


def test_no_data_is_told(root: Path) -> None:
    output = heph("train", "softmax", *LAYER, "--task", "missing_data", code=1).output
    assert "labels.parquet" in output
