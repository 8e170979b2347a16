"""Learners of pixels, from days on disk to registered models of masks and of days."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
import pytest

from heph_dagster.anomalies.label_table import labels_path
from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days.data import Task, load_days
from heph_dagster.models.days.mask_training import MASK_LEARNERS, MaskTraining, train_masks
from heph_dagster.models.days.parameters import CnnParameters, PixelCnnParameters, PixelForestParameters
from heph_dagster.models.days.pixels import read_days
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import train_days
from heph_dagster.models.tracking import Run, Tracking
from heph_dagster_tests.conftest import EPSG, VIIRS
from heph_dagster_tests.models.days.conftest import DAYS, paint_masks

FOREST = PixelForestParameters(width=128, trees=4, depth=6, valid=200, anomalous=50)
CNN = CnnParameters(width=64, epochs=3, batch_size=6, accelerator="cpu")


@pytest.fixture(scope="module")
def painted(source: LayerDays, tmp_path_factory: pytest.TempPathFactory) -> LayerDays:
    """The days with hand masks of what is magenta."""
    root = tmp_path_factory.mktemp("painted")
    shutil.copytree(source.root / str(EPSG), root / str(EPSG))
    paint_masks(source._replace(root=root))
    return source._replace(root=root)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns")


@pytest.fixture(scope="module")
def forest(tracking: Tracking, painted: LayerDays) -> MaskTraining:
    return train_masks(tracking, painted, "pixel_forest", parameters=FOREST, seed=1, tags={"asset_key": "a/b"})


@pytest.mark.slow
def test_a_forest_tells_masks_and_is_recorded(tracking: Tracking, forest: MaskTraining) -> None:
    assert forest.metrics[Split.TEST]["iou_miscoloured"].value > 0.9
    assert np.isnan(forest.metrics[Split.TEST]["iou_missing"].value)  # nothing is missing, nor told to be
    assert forest.metrics[Split.TEST]["iou_mean"] == forest.metrics[Split.TEST]["iou_miscoloured"]
    assert forest.is_champion
    assert forest.champion == forest.version == tracking.champion(f"gibs.{VIIRS}.pixels")
    assert forest.data.sources == {"hand": 30}
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    run = client.get_run(forest.version.run_id)
    assert (run.info.status, run.data.params["trees"], run.data.tags["asset_key"]) == ("FINISHED", "4", "a/b")
    assert run.data.metrics["test_iou_miscoloured"] == forest.metrics[Split.TEST]["iou_miscoloured"].value
    figures = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    assert figures == {"figures/worst.png", "figures/classes.png", "figures/importances.png"}
    part = forest.data.parts[Split.TEST]
    told = tracking.load(forest.version).predict(part.pixels)
    assert told.shape == (6, 3, 64, 128)
    np.testing.assert_array_equal(
        (told.argmax(axis=1) == 2).any(axis=(1, 2)), [DAYS.index(d) % 3 == 0 for d in part.days]
    )


@pytest.mark.slow
def test_its_masks_tell_days_of_the_tasks_that_can_be_learned(
    tracking: Tracking, painted: LayerDays, forest: MaskTraining
) -> None:
    assert list(forest.days) == [Task.MISCOLORATION]
    assert "none have missing_data: more days or smaller blocks" in forest.left_out[Task.MISSING_DATA]
    made = forest.days[Task.MISCOLORATION]
    assert made.is_champion
    assert made.champion == made.version == tracking.champion(f"gibs.{VIIRS}.miscoloration")
    assert made.trained.metrics[Split.TEST]["roc_auc"].value == 1
    assert tracking.tags(made.version)["learner"] == "pixel_forest"
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    assert client.get_run(made.version.run_id).data.tags["pixels_model"] == forest.version.uri
    part = made.data.parts[Split.TEST]
    np.testing.assert_allclose(tracking.predict(made.version, part.inputs), made.trained.scores[Split.TEST], atol=1e-6)
    np.testing.assert_array_equal(part.inputs, read_days(painted, part.days, (128, 64)))


@pytest.mark.slow
def test_nothing_is_registered_where_labels_are_missing(painted: LayerDays, tmp_path: Path) -> None:
    shutil.copytree(painted.root / str(EPSG), tmp_path / str(EPSG))
    labels_path(tmp_path, EPSG, painted.layer).unlink()
    alone = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    with pytest.raises(FileNotFoundError, match="materialize the layer's labels first"):
        train_masks(alone, painted._replace(root=tmp_path), "pixel_forest", parameters=FOREST)
    assert alone.champion(f"gibs.{VIIRS}.pixels") is None


@pytest.mark.slow
def test_the_champion_of_masks_falls_to_a_better_one_only(
    tracking: Tracking, painted: LayerDays, forest: MaskTraining, tmp_path: Path
) -> None:
    coarse = PixelForestParameters(width=64, trees=1, depth=1, valid=200, anomalous=20)
    made = train_masks(tracking, painted, "pixel_forest", parameters=coarse)
    assert made.metrics[Split.VAL]["iou_mean"].value < forest.metrics[Split.VAL]["iou_mean"].value
    assert not made.is_champion
    assert made.champion == forest.version
    alone = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    below = train_masks(alone, painted, "pixel_forest", parameters=coarse, mask_floor=1.0)
    assert not below.is_champion
    assert below.champion is None


@pytest.mark.slow
def test_learners_of_other_inputs_compete(tracking: Tracking, painted: LayerDays, forest: MaskTraining) -> None:
    made = train_days(tracking, painted, Task.MISCOLORATION, "cnn", parameters=CNN)
    assert made.data.parts[Split.TEST].inputs.shape == (6, 32, 64, 4)
    assert sorted(made.trained.curves) == ["train_loss", "val_roc_auc"]
    assert made.champion == forest.days[Task.MISCOLORATION].version  # which is never wrong
    assert not list((painted.root / "checkpoints").glob("*/*.ckpt"))


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(
    tmp_path: Path, painted: LayerDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    record = Run.epoch

    def stop(run: Run, number: int, values: Mapping[str, float]) -> None:
        if number == 3:
            raise KeyboardInterrupt
        record(run, number, values)

    monkeypatch.setattr(Run, "epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train_days(tracking, painted, Task.MISCOLORATION, "cnn", parameters=CNN)
    monkeypatch.setattr(Run, "epoch", record)
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    experiment = client.get_experiment_by_name(f"gibs.{VIIRS}.miscoloration")
    (killed,) = client.search_runs([experiment.experiment_id])
    assert killed.info.status == "KILLED"
    made = train_days(tracking, painted, Task.MISCOLORATION, "cnn", parameters=CNN)
    assert made.version.run_id == killed.info.run_id
    assert [each.step for each in client.get_metric_history(killed.info.run_id, "train_loss")] == [1, 2, 3]
    whole = train_days(tracking, painted, Task.MISCOLORATION, "cnn", parameters=CNN)
    assert whole.trained.metrics == made.trained.metrics
    assert whole.version.run_id != killed.info.run_id


@pytest.mark.slow
def test_a_network_of_pixels_is_recorded_with_its_curves(tracking: Tracking, painted: LayerDays) -> None:
    parameters = PixelCnnParameters(width=128, epochs=60, crop=32, channels=16, accelerator="cpu")
    made = train_masks(tracking, painted, "pixel_cnn", parameters=parameters)
    assert made.metrics[Split.TEST]["iou_miscoloured"].value > 0.6
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    curve = client.get_metric_history(made.version.run_id, "val_iou_mean")
    assert [each.step for each in curve] == list(range(1, 62))  # at last the figure of the best epoch's weights
    assert curve[-1].value == made.metrics[Split.VAL]["iou_mean"].value
    figures = {file.path for file in client.list_artifacts(made.version.run_id, "figures")}
    assert figures == {"figures/worst.png", "figures/classes.png", "figures/curves.png"}
    assert set(MASK_LEARNERS) == {"pixel_forest", "pixel_cnn"}
    part = load_days(painted, Task.MISCOLORATION, parameters.size).parts[Split.TEST]
    version = made.days[Task.MISCOLORATION].version
    scores = made.days[Task.MISCOLORATION].trained.scores[Split.TEST]
    np.testing.assert_allclose(tracking.predict(version, part.inputs), scores, atol=1e-6)
