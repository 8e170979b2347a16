"""Days labelled on a dask cluster: the same results, and plain errors where there is none."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
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


def test_workers_that_die_are_told(scheduler: str) -> None:
    with pytest.raises(WorkersError, match=f"workers of the dask scheduler at {scheduler} die of their work"):
        result(scheduler, os._exit, 1)


def test_a_scheduler_that_goes_away_is_told() -> None:
    with (
        distributed.LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(WorkersError, match=f"scheduler at {cluster.scheduler_address} went away: start it again"),
    ):
        result(cluster.scheduler_address, signal.pause, meanwhile=cluster.close)


def test_without_a_scheduler_there_is_no_cluster() -> None:
    with workers(None) as pool:
        assert pool is None


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
