"""Runs whose code server is gone, or does not know them any more."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import PROCESS_TAG
from heph_dagster.processes import is_gone, this_process
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


def started(instance: dg.DagsterInstance, info: dict[str, object], more: dict[str, str] | None = None) -> str:
    job = build_definitions(Settings()).resolve_implicit_global_asset_job_def()
    tags = {"dagster/partition": "2024-01-01"} | ({GRPC_INFO_TAG: json.dumps(info)} if info else {}) | (more or {})
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


def test_a_run_whose_process_was_killed_fails(instance: dg.DagsterInstance, look: Callable[[], str]) -> None:
    code = "from heph_dagster.processes import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    lost, alive = started(instance, {}, {PROCESS_TAG: ended}), started(instance, {}, {PROCESS_TAG: this_process()})
    elsewhere = started(instance, {}, {PROCESS_TAG: f"elsewhere {ended.split(' ', 1)[1]}"})
    assert [look(), look()] == ["every run is carried out", f"1 lost runs have failed now: {lost}"]
    assert [status(instance, run) for run in (alive, elsewhere)] == [dg.DagsterRunStatus.STARTED] * 2


def test_a_number_that_is_given_out_again_is_another_process() -> None:
    host, number, start = this_process().rsplit(" ", 2)
    assert not is_gone(f"{host} {number} {start}")
    assert is_gone(f"{host} {number} {start}1")


@pytest.mark.slow  # it waits until the server has not answered
def test_a_server_that_is_slow_to_answer_may_have_its_run(
    instance: dg.DagsterInstance, look: Callable[[], str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = started(instance, {"host": "127.0.0.1", "port": silent.getsockname()[1]})
        assert [look(), look()] == ["every run is carried out"] * 2
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_run_of_another_launcher_is_left(instance: dg.DagsterInstance, look: Callable[[], str]) -> None:
    other = started(instance, {})
    assert [look(), look(), look()] == ["every run is carried out"] * 3
    assert status(instance, other) == dg.DagsterRunStatus.STARTED
