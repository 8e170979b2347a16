"""`heph dev`: the services of a data folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from heph_dagster.commands.archive import serve
from heph_dagster.commands.dev import dev
from heph_dagster.defs.runs import DAILY_ASSETS
from heph_dagster.gibs.server.run import free_port
from heph_dagster.settings import Settings
from heph_dagster.storage.bucket import Bucket
from heph_dagster_tests.conftest import DAYS, EPSG, VIIRS
from heph_dagster_tests.storage.server import running_store


def wait_for(url: str, service: subprocess.Popen[str], seconds: float = 90) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, ConnectionError):
            assert service.poll() is None, f"heph dev ended with {service.returncode}"
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.2)


LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
STATUS = "query($run: ID!) {runOrError(runId: $run) {... on Run {status}}}"


def graphql(port: int, query: str, **variables: object) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        reply = json.load(answer)
    assert "errors" not in reply, reply
    return dict(reply["data"])


def span(first: date, last: date) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}


def launched(
    port: int, paths: list[tuple[str, ...]], tags: dict[str, str], location: str = "heph_dagster.definitions"
) -> str:
    params = {
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": location,
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": path} for path in paths],
        },
    }
    answer = graphql(port, LAUNCH, params=params)["launchRun"]
    assert "run" in answer, answer
    return str(answer["run"]["runId"])


def ended_as(port: int, run: str) -> str:
    status = "QUEUED"
    while status not in {"SUCCESS", "FAILURE", "CANCELED"}:
        time.sleep(0.5)
        status = graphql(port, STATUS, run=run)["runOrError"]["status"]
    return status


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses on which a process and its children listen."""
    parent = psutil.Process(pid)
    connections = [each for process in (parent, *parent.children(recursive=True)) for each in process.net_connections()]
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


@contextmanager
def running_dev(port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`heph dev`, whose UI answers at a port; in the end it is told to stop, and does so well."""
    command = [sys.executable, "-m", "heph_dagster.cli", "dev", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **variables}, text=True) as service:
        try:
            wait_for(f"http://127.0.0.1:{port}/server_info", service)
            yield service
        finally:
            service.terminate()
            try:
                ended = service.wait(60)
            except subprocess.TimeoutExpired:
                service.kill()
                raise
    assert ended == 0


@pytest.mark.parametrize("command", [dev, serve])
def test_services_listen_on_loopback_unless_told(command: click.Command) -> None:
    (host,) = [each for each in command.params if each.name == "host"]
    assert host.default == "127.0.0.1"


@pytest.mark.slow
def test_the_ui_shows_the_code_location_and_the_server_answers(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "archive").symlink_to(archive)
    gibs_port = free_port(0)
    (root / "heph.toml").write_text(
        f'gibs_url = "http://127.0.0.1:{gibs_port}"\nlevel = 1\nlayers = ["{VIIRS}"]\n', "utf-8"
    )
    port = free_port(0)
    with running_dev(port, HEPH_DATA_DIR=str(root)) as service:
        assert VIIRS.encode() in wait_for(
            f"http://127.0.0.1:{gibs_port}/wmts/epsg4326/best/1.0.0/WMTSCapabilities.xml", service
        )
        assert {host for host, _ in listening(service.pid)} == {"127.0.0.1"}
        nodes = graphql(port, "{assetNodes{assetKey{path}}}")["assetNodes"]
        names = (*DAILY_ASSETS, "hue_climatology", "labels", "split", "features")
        found = {tuple(node["assetKey"]["path"]) for node in nodes}
        assert found >= {("hephaestus", "crops"), *(("gibs", VIIRS, name) for name in names)}
        paths = [("gibs", VIIRS, "image"), ("gibs", VIIRS, "missing_data")]
        # What the UI's button sends: one run over a range, which the daemon starts.
        run = launched(port, paths, span(DAYS[0], DAYS[1]))
        assert ended_as(port, run) == "SUCCESS"
    for day in DAYS[:2]:
        assert (root / str(EPSG) / f"{day}" / f"{VIIRS}.missing_data.tif").exists()
    assert "enabled: false" in (Settings(data_dir=root).dagster_home / "dagster.yaml").read_text("utf-8")


@pytest.mark.slow
def test_days_come_by_themselves_into_a_bucket(gibs_url: str, tmp_path: Path) -> None:
    """Sensors, automation and alerts of `heph dev`, with nothing on disk but Dagster's records."""
    port = free_port(0)
    settings = {
        "HEPH_DATA_DIR": "s3://earth/archive", "HEPH_WORK_DIR": str(tmp_path / "work"), "HEPH_GIBS_URL": gibs_url,
        "HEPH_LAYERS": VIIRS, "HEPH_LEVEL": "1", "HEPH_AUTOMATION": "true", "HEPH_WATCH_FROM": f"{DAYS[0]}",
        "HEPH_LOOK_SECONDS": "5",
    }  # fmt: skip
    wanted = [f"4326/{day}/{VIIRS}.{name}" for day in DAYS for name in ("mrf", "missing_data.json")]
    wanted += [f"4326/{VIIRS}.labels.parquet", f"4326/{VIIRS}.features/{DAYS[0]:%Y-%m}.parquet"]
    with running_store("earth"), running_dev(port, **settings) as service:
        there: set[str] = set()
        deadline = time.monotonic() + 400
        while not there.issuperset(wanted):
            assert service.poll() is None, "heph dev ended"
            assert time.monotonic() < deadline, f"of {wanted} there are {sorted(there)}"
            time.sleep(1)
            there = {name for name, _ in Bucket("s3://earth/archive").list("")}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"cache", "dagster"}
