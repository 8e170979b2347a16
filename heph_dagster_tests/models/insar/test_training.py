"""Learners of interferograms on crops of a simple world: recorded, registered, and judged on whole parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.insar.data import CLASSES, OUTPUTS, load_crops
from heph_dagster.models.insar.parameters import ClassifierParameters, MocoParameters, SegmenterParameters
from heph_dagster.models.insar.training import CLASSIFIER, ENCODER, train_interferograms
from heph_dagster.models.tracking import Run, Tracking

ON_CPU = {"accelerator": "cpu", "input_size": 48, "batch_size": 8}
CLASSIFIER_TOLD = ClassifierParameters(epochs=2, **ON_CPU)


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    return Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")


def train(tracking: Tracking, insar: Path, learner: str, told, **options):
    return train_interferograms(tracking, insar, learner, parameters=told, split="temporal", **options)


@pytest.mark.slow
def test_a_classifier_learns_is_recorded_and_registered(insar: Path, tracking: Tracking) -> None:
    told = ClassifierParameters(epochs=12, **ON_CPU)
    made = train(tracking, insar, "classifier", told, tags={"asset_key": "a/b"})
    test = made.metrics[Part.TEST]
    assert test["deformation_roc_auc"].value > 0.95
    assert "spheroid_roc_auc" not in test  # no crop shows one
    assert {"deformation_f1", "sill_average_precision", "high_recall", "mean_roc_auc"} <= set(test)
    assert made.is_champion
    run = tracking._client.get_run(made.version.run_id)
    assert run.data.tags["data_fingerprint"] == made.data.fingerprint
    assert run.data.tags["asset_key"] == "a/b"
    assert run.data.params["backbone"] == "test_resnet"
    assert run.data.metrics["test_deformation_roc_auc_low"] == pytest.approx(test["deformation_roc_auc"].low)
    assert len(tracking._client.get_metric_history(run.info.run_id, "val_mean_auc")) == 12
    assert set(made.plots) == {"roc", "outputs"}
    found = tracking.load(made.version).predict(np.zeros((3, 48, 48, 4), np.uint8))
    assert found.shape == (3, len(OUTPUTS))
    assert ((found >= 0) & (found <= 1)).all()
    assert not list((insar / "checkpoints").glob("*/last.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["unet", "deeplabv3plus", "segformer"])
def test_segmenters_learn_masks(insar: Path, tracking: Tracking, learner: str) -> None:
    encoder = "tu-test_resnet" if learner == "unet" else "resnet18"
    told = SegmenterParameters(epochs=12 if learner == "unet" else 1, depth=3, encoder=encoder, **ON_CPU)
    made = train(tracking, insar, learner, told)
    test = made.metrics[Part.TEST]
    assert {"iou_deformation", "dice_deformation", "iou_mogi", "iou_dyke", "iou_sill", "iou_mean"} <= set(test)
    assert "iou_spheroid" not in test
    if learner == "unet":
        assert test["iou_deformation"].value > 0.5
    found = tracking.load(made.version).predict(np.zeros((2, 48, 48, 4), np.uint8))
    assert found.shape == (2, len(CLASSES), 48, 48)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_an_encoder_is_pretrained_evaluated_and_started_from(insar: Path, tracking: Tracking) -> None:
    with pytest.raises(TrainingError, match=r"hephaestus\.encoder has no champion to evaluate: train moco first"):
        train(tracking, insar, "linear_evaluation", CLASSIFIER_TOLD)
    made = train(tracking, insar, "moco", MocoParameters(epochs=2, queue=32, **ON_CPU), floor=0.0)
    assert {"linear_roc_auc", "chance_roc_auc"} <= set(made.metrics[Part.TEST])
    assert tracking.champion(ENCODER) == made.version
    linear = train(tracking, insar, "linear_evaluation", CLASSIFIER_TOLD)
    assert {"mean_roc_auc", "chance_mean_roc_auc"} <= set(linear.metrics[Part.TEST])
    assert tracking._client.get_run(linear.version.run_id).data.params["encoder"] == "1"
    # A frozen encoder is registered as it was pre-trained.
    before, after = (tracking.load(each).predictor.network.state_dict() for each in (made.version, linear.version))
    assert all(np.array_equal(value, after[f"encoder.{name}"]) for name, value in before.items())


@pytest.mark.parametrize(("learner", "encoder"), [("linear_evaluation", None), ("classifier", 1)])
def test_what_starts_from_an_encoder_is_trained_on_one_machine(
    insar: Path, tracking: Tracking, learner: str, encoder: int | None
) -> None:
    told = ClassifierParameters(encoder=encoder, nodes=2, **ON_CPU)
    with pytest.raises(TrainingError, match="other machines than the first do not have: train it on one machine, not"):
        train(tracking, insar, learner, told)
    assert tracking._client.search_experiments(filter_string=f"name = '{CLASSIFIER}'") == []


@pytest.mark.slow
def test_the_same_seed_and_crops_give_the_same_figures(insar: Path, tracking: Tracking) -> None:
    first, same, other = (train(tracking, insar, "classifier", CLASSIFIER_TOLD, seed=seed) for seed in (1, 1, 2))
    assert first.metrics == same.metrics
    assert first.metrics != other.metrics
    assert not same.is_champion  # it is no better
    assert same.champion == first.version


class Stopping(Run):
    """Stops a training in its second epoch, as Ctrl-C does."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        super().epoch(number, values)
        if number == 2:
            raise KeyboardInterrupt


class StoppingTracking(Tracking):
    @contextmanager
    def run(self, *told, **options) -> Iterator[Run]:
        with super().run(*told, **options) as run:
            yield Stopping(self.uri, run.id)


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_in_its_run(insar: Path, tracking: Tracking, tmp_path: Path) -> None:
    told = ClassifierParameters(epochs=3, **ON_CPU)
    with pytest.raises(KeyboardInterrupt):
        train(StoppingTracking(tracking.uri, tmp_path / "mlruns"), insar, "classifier", told)
    (kept,) = (insar / "checkpoints").glob("*/last.ckpt")
    made = train(tracking, insar, "classifier", told)
    assert not kept.exists()
    (run,) = tracking._client.search_runs([tracking._client.get_experiment_by_name(CLASSIFIER).experiment_id])
    assert (run.info.run_id, run.info.status) == (made.version.run_id, "FINISHED")
    assert {entry.step for entry in tracking._client.get_metric_history(run.info.run_id, "train_loss")} == {1, 2, 3}
    assert train(tracking, insar, "classifier", told).metrics == made.metrics


@pytest.mark.slow
def test_a_training_that_fails_registers_nothing(insar: Path, tracking: Tracking) -> None:
    told = ClassifierParameters(epochs=2, learning_rate=1e30, **ON_CPU)
    with pytest.raises(TrainingError, match="the loss is not finite"):
        train(tracking, insar, "classifier", told)
    assert tracking.champion(CLASSIFIER) is None
    assert tracking._client.search_registered_models() == []


@pytest.mark.slow
def test_two_processes_train_one_network(insar: Path, tracking: Tracking) -> None:
    told = ClassifierParameters(epochs=2, devices=2, **ON_CPU)
    made = train(tracking, insar, "classifier", told)
    assert len(tracking._client.get_metric_history(made.version.run_id, "train_loss")) == 2
    assert load_crops(insar, "temporal").fingerprint == made.data.fingerprint
