"""Days labelled on a dask cluster: the same results, and plain errors where there is none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.settings import Settings
from heph_dagster.workers import WorkersError, workers
from heph_dagster_tests.anomalies.painting import FIRST, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS

distributed = pytest.importorskip("distributed")
KEY = dg.AssetKey(["gibs", VIIRS, "missing_data"])
LAST = FIRST + timedelta(days=2)


@pytest.fixture(scope="module")
def scheduler():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", processes=True
    ) as cluster:
        yield cluster.scheduler_address


def labelled(root: Path, viirs: Layer, scheduler: str | None) -> list[bytes]:
    """The masks and figures of three days, the last of which is broken."""
    days = [FIRST, FIRST + timedelta(days=1), LAST]
    for day in days:
        image = painted(day)
        image[100:140, 300:360] = 0
        store(root, viirs, day, image)
    mosaic_path(root, EPSG, LAST, viirs).write_text("no mosaic", "utf-8")
    settings = Settings(data_dir=root, layers=(VIIRS,), dask=scheduler)
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        tags = {"dagster/asset_partition_range_start": f"{FIRST}", "dagster/asset_partition_range_end": f"{LAST}"}
        result = job.execute_in_process(instance=instance, asset_selection=[KEY], tags=tags, raise_on_error=False)
        assert instance.get_materialized_partitions(KEY) == {f"{day}" for day in days[:2]}
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert str(failure.user_failure_data.description).startswith(f"1 of 3 days failed; the others are done. {LAST}: ")
    files = [mosaic_path(root, EPSG, day, viirs) for day in days[:2]]
    reports = [path.with_suffix(".missing_data.json").read_bytes() for path in files]
    return reports + [read_pixels(path.with_suffix(".missing_data.tif")).tobytes() for path in files]


def test_a_cluster_labels_days_as_threads_do(tmp_path: Path, viirs: Layer, scheduler: str) -> None:
    alone, together = (labelled(tmp_path / str(address), viirs, address) for address in (None, scheduler))
    assert alone == together
    assert b'"missing unexpected"' in alone[0]
    assert np.frombuffer(alone[2], np.uint8).any()


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]]]]:
    """A scheduler and workers over TCP, started as the README says; yields its address, and the workers by name."""
    dask = (str(Path(sys.executable).with_name("dask")),)
    file = folder / "scheduler.json"
    # Without nannies, who would start a worker anew.
    commands = [("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))]
    commands += [
        ("worker", "--scheduler-file", str(file), "--name", f"{number}", "--nthreads", "1", "--no-nanny")
        for number in range(count)
    ]
    processes = []
    try:
        for command in commands:
            told = ("--host", "127.0.0.1", *(["--no-dashboard"] if command[0] == "worker" else []))
            processes.append(subprocess.Popen([*dask, *command, *told], cwd=folder, stderr=subprocess.DEVNULL))
            while not file.exists():
                assert processes[0].poll() is None, "the scheduler ended"
                time.sleep(0.05)
        with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)
            yield client.scheduler.address, dict(zip(map(str, range(count)), processes[1:], strict=True))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def kill_at_work(address: str, workers: dict[str, subprocess.Popen[bytes]], first: Path, last: Path) -> str:
    """Kill a worker that has work, between the first result and the last; tells its name."""
    with distributed.Client(address, set_as_default=False) as client:
        while not last.exists():
            names = {place: each["name"] for place, each in client.scheduler_info(n_workers=-1)["workers"].items()}
            # What the client knows of workers is some seconds old.
            busy = [str(names[place]) for place, keys in client.processing().items() if keys and place in names]
            if first.exists() and busy:
                workers[busy[0]].kill()
                return busy[0]
    raise AssertionError("the run ended before a worker could be killed")


def masks(root: Path, viirs: Layer, days: list[date], scheduler: str | None) -> dict[str, bytes]:
    """What a run over days writes, by the file's name."""
    settings = Settings(data_dir=root, layers=(VIIRS,), dask=scheduler)
    tags = {"dagster/asset_partition_range_start": f"{days[0]}", "dagster/asset_partition_range_end": f"{days[-1]}"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, asset_selection=[KEY], tags=tags).success
        assert instance.get_materialized_partitions(KEY) == {f"{day}" for day in days}
    found = {}
    for day in days:
        for path in mosaic_path(root, EPSG, day, viirs).parent.glob("*.missing_data.*"):
            found[f"{day} {path.name}"] = path.read_bytes()
    return found


@pytest.mark.slow
def test_a_range_is_the_same_though_a_worker_is_killed(tmp_path: Path, viirs: Layer) -> None:
    days = [FIRST + timedelta(days=number) for number in range(6)]
    for root in (tmp_path / "alone", tmp_path / "together"):
        for day in days:
            image = painted(day, level=1)
            image[200 + day.day : 280, 600:720] = 0
            store(root, viirs, day, image)
    serial = masks(tmp_path / "alone", viirs, days, None)
    assert len(serial) == 3 * len(days)
    results = [mosaic_path(tmp_path / "together", EPSG, day, viirs).with_suffix(".missing_data.json") for day in days]
    for path in results:
        path.unlink()  # what the world was stored with
    with cluster(tmp_path, 2) as (address, processes), ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_at_work, address, processes, results[0], results[-1])
        together = masks(tmp_path / "together", viirs, days, address)
        killed = killing.result()
        assert processes.pop(killed).wait() == -signal.SIGKILL
        (other,) = processes.values()
        assert other.poll() is None
    assert together == serial


def test_a_day_that_was_replaced_is_looked_at_again(tmp_path: Path, scheduler: str) -> None:
    path = tmp_path / "day"
    with workers(scheduler) as pool:
        assert pool is not None
        path.write_bytes(b"old")
        first = pool.submit(Path.read_bytes, path)
        assert first.result() == b"old"
        path.write_bytes(b"new")
        assert pool.submit(Path.read_bytes, path).result() == b"new"


def result(address: str, work: Callable[..., Any], *args: Any, meanwhile: Callable[[], None] = lambda: None) -> Any:
    with workers(address) as pool:
        assert pool is not None
        job = pool.submit(work, *args)
        meanwhile()
        return job.result()


@pytest.mark.slow
def test_workers_that_die_are_told(scheduler: str) -> None:
    with pytest.raises(WorkersError, match=f"workers of the dask scheduler at {scheduler} die of their work"):
        result(scheduler, os._exit, 1)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told() -> None:
    with (
        distributed.LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(WorkersError, match=f"scheduler at {cluster.scheduler_address} went away: start it again"),
    ):
        result(cluster.scheduler_address, signal.pause, meanwhile=cluster.close)


def test_without_a_scheduler_there_is_no_cluster() -> None:
    with workers(None) as pool:
        assert pool is None


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(WorkersError, match=f"no dask scheduler answers at {address}: start one"), workers(address):
            pass


def test_a_cluster_without_workers_is_named() -> None:
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(WorkersError, match=f"the dask scheduler at {cluster.scheduler_address} has no workers"),
        workers(cluster.scheduler_address),
    ):
        pass
