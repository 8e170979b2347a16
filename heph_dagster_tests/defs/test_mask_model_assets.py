"""Learners of pixels as assets, on days that are on disk."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS
from heph_dagster_tests.defs.test_colour_assets import metadata
from heph_dagster_tests.models.days.conftest import make_days, paint_masks

pytestmark = pytest.mark.slow

FOREST = dg.AssetKey(["gibs", VIIRS, "models", "pixels", "pixel_forest"])
NEIGHBOURS, DENSENET = (
    dg.AssetKey(["gibs", VIIRS, "models", "miscoloration", name]) for name in ("nearest_neighbours", "densenet121")
)


@pytest.fixture
def run(tmp_path: Path, instance: dg.DagsterInstance):
    source = make_days(tmp_path / "data")
    paint_masks(source)
    definitions = build_definitions(Settings(data_dir=source.root, layers=(VIIRS,)))
    job = definitions.resolve_implicit_global_asset_job_def()

    def start(key: dg.AssetKey, **config) -> dg.ExecuteInProcessResult:
        ops = {key.to_python_identifier(): {"config": config}}
        return job.execute_in_process(
            instance=instance, asset_selection=[key], run_config={"ops": ops}, raise_on_error=False
        )

    return start


def test_one_training_tells_masks_and_days(run, instance: dg.DagsterInstance) -> None:
    result = run(FOREST, width=128, trees=4, depth=6, valid=200, anomalous=50)
    assert result.success
    found = metadata(instance, FOREST)
    assert found["test_iou_miscoloured"].startswith("1.000 (")
    assert found["test_miscoloration_roc_auc"] == "1.000 (1.000 to 1.000)"
    assert found["model"] == f"models:/gibs.{VIIRS}.pixels/1"
    assert found["miscoloration_model"] == f"models:/gibs.{VIIRS}.miscoloration/1"
    assert found["champion"] == found["miscoloration_champion"] == "this is the champion: True; champion: version 1"
    assert all(found[name].startswith("![preview](data:image/jpeg;base64,") for name in ("worst", "classes"))
    assert "test_missing_data_roc_auc" not in found  # no day has any
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("floor", True)


def test_learners_of_pixels_are_learners_of_days(run, instance: dg.DagsterInstance) -> None:
    assert run(NEIGHBOURS, width=64, neighbours=1, floor=0.0).success
    assert metadata(instance, NEIGHBOURS)["champion"] == "this is the champion: True; champion: version 1"


def test_densenet_without_weights_is_skipped_with_a_notice(
    run, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    result = run(DENSENET, without_weights="skip")
    assert result.success
    assert metadata(instance, DENSENET)["skipped"].startswith("there are no weights of ImageNet for DenseNet-121")
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == ("floor", False, dg.AssetCheckSeverity.WARN)
