"""A data folder on one machine, from a backup: everything that it had is known again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import DAILY_ASSETS, instance_at, run_range
from heph_dagster.gibs.verify import check_days, stored_days
from heph_dagster.models.tracking import Tracking
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, LEVEL, VIIRS

MODEL = "backed-up"
CASES = np.arange(8, dtype=np.float32).reshape(2, 4)


def state(settings: Settings) -> dict[str, Any]:
    """What is known and sound in a data folder: partitions, runs, days on disk, and what the champion tells."""
    with instance_at(settings.dagster_home) as instance:
        partitions = {
            name: instance.get_materialized_partitions(dg.AssetKey(["gibs", VIIRS, name])) for name in DAILY_ASSETS
        }
        runs = {run.run_id: run.status for run in instance.get_runs()}
    days = check_days(stored_days(settings.data_dir))
    assert all(day.unreadable is None and not day.damaged for day in days)
    tracking = Tracking(settings.mlflow_uri, settings.mlflow_artifacts)
    version = tracking.champion(MODEL)
    assert version is not None
    told = tracking.predict(version, CASES).tolist()
    return {"partitions": partitions, "runs": runs, "days": days, "version": version, "told": told}


@pytest.mark.slow
def test_a_data_folder_is_restored(tmp_path: Path, gibs_url: str) -> None:
    root = tmp_path / "data"
    settings = Settings(data_dir=root, gibs_url=gibs_url, level=LEVEL, layers=(VIIRS,))
    tracking = Tracking(settings.mlflow_uri, settings.mlflow_artifacts)
    with tracking.run("group", "name", {}, {}) as run:
        version = tracking.register(run, MODEL, make_pipeline(LogisticRegression().fit(CASES, [0, 1])), CASES, {})
    tracking.challenge(version, lambda _: (0, 0))
    with instance_at(settings.dagster_home) as instance:
        run_range(build_definitions(settings), settings, instance, settings.active_layer(VIIRS), DAYS[0], DAYS[1])
    before = state(settings)
    assert before["partitions"] == {name: {f"{day}" for day in DAYS[:2]} for name in DAILY_ASSETS}
    backup, tar = tmp_path / "backup.tar.gz", str(shutil.which("tar"))
    subprocess.run([tar, "-czf", backup, "-C", root, "."], check=True)
    shutil.rmtree(root)
    root.mkdir()
    subprocess.run([tar, "-xzf", backup, "-C", root], check=True)
    assert state(settings) == before
