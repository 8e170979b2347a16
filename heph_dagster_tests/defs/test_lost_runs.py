"""Runs whose code server is gone, or does not know them any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS

IMAGE = dg.AssetKey(["gibs", VIIRS, "image"])


@pytest.fixture
def look(instance: dg.DagsterInstance) -> Callable[[], str]:
    """Look as the daemon does; returns what the sensor tells."""
    sensor = build_definitions(Settings()).resolve_sensor_def("lost_runs")
    cursors: list[str | None] = [None]

    def tick() -> str:
        with dg.build_sensor_context(instance=instance, cursor=cursors[-1]) as context:
            told = sensor.evaluate_tick(context)
        cursors.append(told.cursor)
        return told.skip_message or ""

    return tick


def started(instance: dg.DagsterInstance, info: dict[str, object] | None) -> str:
    job = build_definitions(Settings()).resolve_implicit_global_asset_job_def()
    tags = {"dagster/partition": "2024-01-01"} | ({} if info is None else {GRPC_INFO_TAG: json.dumps(info)})
    run = instance.create_run_for_job(
        job, tags=tags, asset_selection=frozenset({IMAGE}), status=dg.DagsterRunStatus.STARTED
    )
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_server_is_gone_fails_at_the_second_look(
    instance: dg.DagsterInstance, look: Callable[[], str], tmp_path: Path
) -> None:
    lost = started(instance, {"host": "localhost", "socket": str(tmp_path / "gone")})
    assert look() == "every run is carried out"
    assert status(instance, lost) == dg.DagsterRunStatus.STARTED
    assert look() == f"1 lost runs have failed now: {lost}"
    assert status(instance, lost) == dg.DagsterRunStatus.FAILURE
    assert look() == "every run is carried out"


def test_a_run_of_another_launcher_is_left(instance: dg.DagsterInstance, look: Callable[[], str]) -> None:
    other = started(instance, None)
    assert [look(), look(), look()] == ["every run is carried out"] * 3
    assert status(instance, other) == dg.DagsterRunStatus.STARTED
