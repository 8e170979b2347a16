"""Ten years of a layer through image, missing_data and features: by a backfill of the daemon, and without Dagster.

The server repeats an archive of 30 synthetic days at level 1. HEPH_BENCH_DAYS is another number of days than 3653.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.measure import Row
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import list_days
from heph_dagster.gibs.server.run import free_port
from heph_dagster.gibs.synthetic.archive import Recipe, synthesize
from heph_dagster_tests.deploy.postgresql import running_cluster

LAYER = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
FIRST = date(2016, 1, 1)
DAYS = int(os.environ.get("HEPH_BENCH_DAYS", "3653"))
SEED = 900_000
LEVEL = 1
ASSETS = ("image", "missing_data", "features")
_CHUNK = 366
_BARE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from heph_dagster.anomalies.feature_table import update_features
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.gibs.download import DayRequest, fetch_days
from heph_dagster.settings import Settings
settings = Settings()
(layer, epsg), = settings.active_layers()
request = DayRequest(layer, epsg, settings.level, settings.data_dir, refresh=True, coarsen=False)
first, count, chunk = date.fromisoformat(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
days = [first + timedelta(days=number) for number in range(count)]
for start in range(0, count, chunk):
    part = days[start : start + chunk]
    assert not [each for each in fetch_days(settings.client(), request, part) if hasattr(each, "error")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda day: label_missing_data(settings.data_dir, layer, epsg, day, None), part))
assert update_features(settings.data_dir, layer, epsg).days == count
"""
_SERVER_STORAGE = """
storage:
  postgres:
    postgres_url: {env: DAGSTER_PG}
"""


def run() -> list[Row]:
    """The rows of this part."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        days = [FIRST + timedelta(days=number) for number in range(30)]
        catalogue = load_catalogue()
        synthesize(root / "archive", [catalogue[LAYER]], days, catalogue, Recipe(SEED, LEVEL))
        with _serving(root / "archive") as url:
            bare = _bare(root / "bare", url)
            rows = [Row(f"{DAYS} days at level 1 without Dagster", bare, "s", "", None, _each(bare))]
            rows += _backfilled(root / "sqlite", url, bare, "SQLite", 0.5, None)
            rows += _backfilled(root / "postgresql", url, bare, "PostgreSQL", 0.25, secrets.token_hex(8))
        return rows


def _each(seconds: float) -> str:
    return f"{1000 * seconds / DAYS:.0f} ms a day; image, missing_data, features"


@contextmanager
def _serving(archive: Path) -> Iterator[str]:
    port = free_port(0)
    with _process([sys.executable, "-m", "benchmarks.repeating", str(archive), str(port)], {}, archive / "server.log"):
        url = f"http://127.0.0.1:{port}"
        layer = load_catalogue()[LAYER]
        list_days(GibsClient(url), layer, 4326)  # waits until it answers
        yield url


@contextmanager
def _process(command: list[str], variables: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _variables(folder: Path, url: str) -> dict[str, str]:
    folder.mkdir()
    return {
        "HEPH_DATA_DIR": str(folder), "HEPH_GIBS_URL": url, "HEPH_LEVEL": f"{LEVEL}", "HEPH_LAYERS": LAYER,
        "HEPH_CHUNK_DAYS": f"{_CHUNK}", "DAGSTER_HOME": str(folder / "dagster"), "DAGSTER_DISABLE_TELEMETRY": "yes",
    }  # fmt: skip


def _bare(folder: Path, url: str) -> float:
    command = [sys.executable, "-c", _BARE, f"{FIRST}", f"{DAYS}", f"{_CHUNK}"]
    variables = os.environ | _variables(folder, url)
    started = time.perf_counter()
    subprocess.run(command, env=variables, check=True)
    return time.perf_counter() - started


def _backfilled(folder: Path, url: str, bare: float, name: str, most: float, password: str | None) -> list[Row]:
    variables = _variables(folder, url)
    home = folder / "dagster"
    home.mkdir()
    with running_cluster(password) if password else nullcontext() as cluster:
        if cluster is not None:
            address = f"postgresql+psycopg2://postgres:{password}@127.0.0.1:{cluster.port}/postgres"
            variables |= {"DAGSTER_PG": address}
            (home / "dagster.yaml").write_text(_SERVER_STORAGE + "telemetry: {enabled: false}\n", "utf-8")
        heph = str(Path(sys.executable).with_name("heph"))
        asked = [each for asset in ASSETS for each in ("--asset", asset)]
        last = FIRST + timedelta(days=DAYS - 1)
        ask = [heph, "backfill", *asked, "--start", f"{FIRST}", "--end", f"{last}"]
        daemon = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "heph_dagster.definitions"]
        started = time.perf_counter()
        subprocess.run(ask, env=os.environ | variables, check=True, stdout=subprocess.DEVNULL)
        os.environ.update({key: value for key, value in variables.items() if key.startswith("DAGSTER_PG")})
        with _process(daemon, variables, folder / "daemon.log"), dg.DagsterInstance.from_config(str(home)) as instance:
            runs = _wait(instance)
            seconds = time.perf_counter() - started
            events, size = _log(instance, home, cluster)
    share = 1 - bare / seconds
    note = f"{seconds:.0f} s in {runs} runs, {bare:.0f} s without Dagster; the daemon's waiting included"
    return [
        Row(f"Dagster's share with {name}", share, "", f"{most:g} or less", share <= most, note),
        Row(f"event log with {name}", size / 1e6, "MB", "", None, f"{events} events"),
    ]


def _wait(instance: dg.DagsterInstance) -> int:
    """Number of runs, once the backfill is done."""
    while True:
        (backfill,) = instance.get_backfills()
        if backfill.status.value not in {"REQUESTED", "COMPLETED", "COMPLETED_SUCCESS", "CANCELING"}:
            raise RuntimeError(f"the backfill ended as {backfill.status.value}: {backfill.error}")
        if backfill.status.value.startswith("COMPLETED"):
            break
        time.sleep(0.5)
    runs = instance.get_runs()
    if any(each.status != dg.DagsterRunStatus.SUCCESS for each in runs):
        raise RuntimeError("a run of the backfill failed")
    for asset in ("image", "missing_data"):
        made = instance.get_materialized_partitions(dg.AssetKey(["gibs", LAYER, asset]))
        if len(made) != DAYS:
            raise RuntimeError(f"{len(made)} of {DAYS} days of {asset} were made")
    return len(runs)


def _log(instance: dg.DagsterInstance, home: Path, cluster: Any) -> tuple[int, int]:
    """Events of all runs, and bytes of what keeps them."""
    events = sum(len(instance.all_logs(run.run_id)) for run in instance.get_runs())
    if cluster is None:
        return events, sum(path.stat().st_size for path in (home / "history").rglob("*") if path.is_file())
    size = cluster.run("psql", "-d", "postgres", "-tAc", "select pg_database_size('postgres')")
    return events, int(size)
