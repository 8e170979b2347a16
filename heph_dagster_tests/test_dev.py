"""`heph dev`: the services of a data folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from heph_dagster.gibs.server.run import free_port
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import VIIRS


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


@pytest.mark.slow
def test_the_ui_shows_the_code_location_and_the_server_answers(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "archive").symlink_to(archive)
    gibs_port = free_port(0)
    (root / "heph.toml").write_text(f'gibs_url = "http://127.0.0.1:{gibs_port}"\nlayers = ["{VIIRS}"]\n', "utf-8")
    port = free_port(0)
    command = [sys.executable, "-m", "heph_dagster.cli", "dev", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "HEPH_DATA_DIR": str(root)}, text=True) as service:
        try:
            wait_for(f"http://127.0.0.1:{port}/server_info", service)
            assert VIIRS.encode() in wait_for(
                f"http://127.0.0.1:{gibs_port}/wmts/epsg4326/best/1.0.0/WMTSCapabilities.xml", service
            )
            query = json.dumps({"query": "{assetNodes{assetKey{path}} instance{hasInfo}}"}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                nodes = json.load(answer)["data"]["assetNodes"]
            assert {tuple(node["assetKey"]["path"]) for node in nodes} == {
                ("gibs", VIIRS, "image"),
                ("gibs", VIIRS, "missing_data"),
            }
        finally:
            service.terminate()
            try:
                ended = service.wait(60)
            except subprocess.TimeoutExpired:
                service.kill()
                raise
    assert ended == 0
    assert "enabled: false" in (Settings(data_dir=root).dagster_home / "dagster.yaml").read_text("utf-8")
