"""Labels, split and features as assets, on days that are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.feature_table import features_path, read_features
from heph_dagster.anomalies.hand_labels import label_day
from heph_dagster.anomalies.label_table import labels_path
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splitting import block_split, random_split, split_path
from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import DAYS, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS
from heph_dagster_tests.defs.test_colour_assets import metadata

LABELS, SPLIT, FEATURES = (dg.AssetKey(["gibs", VIIRS, name]) for name in ("labels", "split", "features"))
NAME = f"gibs__{VIIRS}__"


@pytest.fixture
def run(tmp_path: Path, viirs: Layer, instance: dg.DagsterInstance):
    root = tmp_path / "data"
    for day in DAYS[:5]:
        store(root, viirs, day, painted(day))
    label_day(root, viirs, EPSG, DAYS[1], [Label.MISSING_UNEXPECTED, Label.MISCOLOURED])
    label_day(root, viirs, EPSG, DAYS[2], [Label.ECLIPSE_MISSING])
    job = build_definitions(Settings(data_dir=root, layers=(VIIRS,))).resolve_implicit_global_asset_job_def()

    def start(*keys: dg.AssetKey, **config: dict[str, Any]) -> dg.ExecuteInProcessResult:
        ops = {NAME + name: {"config": values} for name, values in config.items()}
        return job.execute_in_process(
            instance=instance, asset_selection=keys, run_config={"ops": ops}, raise_on_error=False
        )

    return start


def test_labels_and_split_of_one_run(run, instance: dg.DagsterInstance, tmp_path: Path, viirs: Layer) -> None:
    root = tmp_path / "data"
    assert run(LABELS, SPLIT, split={"block_days": 2, "gap_days": 0, "seed": 1}).success
    labels = metadata(instance, LABELS)
    assert [labels[name] for name in ("days", "by_hand", "missing", "eclipse_is_missing", "disagreements")] == [
        5, 2, 1, False, 2,
    ]  # fmt: skip
    assert f"| {DAYS[1]} | missing unexpected, miscoloured | normal |" in labels["first_disagreements"]
    assert pq.read_table(labels_path(root, EPSG, viirs))["codes"].to_pylist() == [[0], [2, 3], [5], [0], [0]]
    expected = block_split(DAYS[:5], 1, block_days=2, gap_days=0)
    codes = ["", "2 3", "5", "", ""]
    lines = [f"{split} {day} {code}" for (day, split), code in zip(expected.items(), codes, strict=True)]
    assert split_path(root, EPSG, viirs).read_text("utf-8").splitlines() == lines
    split = metadata(instance, SPLIT)
    assert (split["seed"], split["at_random"], split["block_days"], split["gap_days"]) == (1, False, 2, 0)
    assert (split["train"] + split["val"] + split["test"], split["left_out"]) == (5, 0)


def test_a_run_says_how_labels_are_read_and_split(
    run, instance: dg.DagsterInstance, tmp_path: Path, viirs: Layer
) -> None:
    assert run(LABELS, SPLIT, labels={"eclipse_is_missing": True}, split={"at_random": True, "seed": 3}).success
    labels = metadata(instance, LABELS)
    assert (labels["missing"], labels["eclipse_is_missing"]) == (2, True)
    path = split_path(tmp_path / "data", EPSG, viirs)
    found = [line.split()[0] for line in path.read_text("utf-8").splitlines()]
    assert found == list(random_split(DAYS[:5], 3).values())
    split = metadata(instance, SPLIT)
    assert (split["train"], split["val"], split["test"], split["at_random"]) == (3, 1, 1, True)


def test_a_split_needs_labels(run) -> None:
    result = run(SPLIT)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "labels.parquet is not there: materialize the layer's labels first" in failure.error.to_string()


def test_features_of_the_days_on_disk(run, instance: dg.DagsterInstance, tmp_path: Path, viirs: Layer) -> None:
    broken = store(tmp_path / "data", viirs, DAYS[5], painted(DAYS[5]))
    broken.write_text("no mosaic", "utf-8")
    assert run(FEATURES).success
    found = metadata(instance, FEATURES)
    assert (found["days"], found["added"]) == (5, [f"{day}" for day in DAYS[:5]])
    assert list(found["failed"]) == [f"{DAYS[5]}"]
    path = features_path(tmp_path / "data", EPSG, viirs)
    assert (found["path"], read_features(path)[0]) == (str(path), DAYS[:5])
