"""The services of deploy/compose.yaml on PostgreSQL: a backfill, a training, and both from a backup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from numpy.typing import NDArray

from heph_dagster.models.tracking import Tracking
from heph_dagster_tests.commands.test_dev import ended_as, graphql, launched
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, VIIRS
from heph_dagster_tests.deploy.files import DEPLOY
from heph_dagster_tests.deploy.postgresql import Cluster, running_cluster
from heph_dagster_tests.deploy.services import Deployment
from heph_dagster_tests.models.days.conftest import make_days

pytestmark = pytest.mark.slow

DATABASES = ("dagster", "mlflow")
DONE = {f"{day}" for day in DAYS[:2]}
SECRETS = {
    "DAGSTER_POSTGRES_PASSWORD": 'dag\'s "own" $word',
    "MLFLOW_POSTGRES_PASSWORD": "m@l/f:low%",
    "POSTGRES_PASSWORD": "super-secret",
    "S3_ACCESS_KEY": "store-name",
    "S3_SECRET_KEY": "store-secret",
}
IMAGE, MASK = ("gibs", VIIRS, "image"), ("gibs", VIIRS, "missing_data")
MODEL = ("gibs", VIIRS, "models", "miscoloration", "softmax")
BACKFILL = """mutation($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
RUNS = """query($id: String!) {runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
    ... on Runs {results {runId status}}}}"""


@dataclass(frozen=True)
class World:
    """What the services have done.

    Attributes:
        cluster: Their PostgreSQL.
        deployment: They themselves, stopped.
        data: Data folder.
        told: What the champion of its registry told of a case.
    """

    cluster: Cluster
    deployment: Deployment
    data: Path
    told: NDArray[np.floating[Any]]


@pytest.fixture(scope="module")
def store() -> Iterator[int]:
    """Port of an S3-compatible store, with the bucket that compose.yaml makes."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    ).create_bucket(Bucket="mlflow")
    yield port
    server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, gibs_url: str, store: int) -> Iterator[World]:
    """A range of days backfilled and a learner trained, through the services."""
    folder = tmp_path_factory.mktemp("server")
    data = folder / "data"
    make_days(data)
    settings = {"HEPH_DATA_DIR": str(data), "HEPH_GIBS_URL": gibs_url, "HEPH_LEVEL": str(LEVEL), "HEPH_LAYERS": VIIRS}
    with running_cluster(SECRETS["POSTGRES_PASSWORD"]) as cluster:
        make_databases(cluster)
        deployment = Deployment(folder, SECRETS, cluster.port, store, settings)
        with deployment.running("mlflow", "code"), deployment.running("webserver"):
            port = int(deployment.url("webserver").rpartition(":")[2])
            run = launched(port, [MODEL], {}, "heph_dagster")
            days = {
                "assetSelection": [{"path": IMAGE}, {"path": MASK}],
                "partitionNames": sorted(DONE),
            }
            backfill = graphql(port, BACKFILL, params=days)["launchPartitionBackfill"]["backfillId"]
            with deployment.running("daemon"):
                found: list[dict[str, Any]] = []
                while not found:
                    found = graphql(port, RUNS, id=backfill)["runsOrError"]["results"]
                assert len(found) == 1  # a range is one run
                assert ended_as(port, found[0]["runId"]) == "SUCCESS"
                assert ended_as(port, run) == "SUCCESS"
            told = champion(deployment)
        yield World(cluster, deployment, data, told)


def make_databases(cluster: Cluster) -> None:
    cluster.run(str(DEPLOY / "databases.sh"), **{name: SECRETS[name] for name in SECRETS if "_POSTGRES_" in name})


def use(monkeypatch: pytest.MonkeyPatch, deployment: Deployment, service: str) -> None:
    for name, value in deployment.environment(service).items():
        monkeypatch.setenv(name, value)


def known(deployment: Deployment) -> list[set[str]]:
    """The materialized partitions of the assets, as Dagster knows them."""
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert instance.get_latest_materialization_event(dg.AssetKey(MODEL)) is not None
        return [instance.get_materialized_partitions(dg.AssetKey(key)) for key in (IMAGE, MASK)]


def champion(deployment: Deployment) -> NDArray[np.floating[Any]]:
    """What the champion of the registry tells of a case, asked through MLflow's server."""
    tracking = Tracking(deployment.url("mlflow"), None)
    version = tracking.champion(f"gibs.{VIIRS}.miscoloration")
    assert version is not None
    loaded = tracking.load(version)
    return loaded.predict(np.ones((1, *loaded.shape[1:]), np.float32))


def test_a_backfill_runs_on_postgresql(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, world.deployment, "daemon")
    assert known(world.deployment) == [DONE, DONE]
    for day in DONE:
        assert (world.data / str(EPSG) / day / f"{VIIRS}.missing_data.tif").exists()


def test_nothing_that_is_logged_or_recorded_holds_a_password(world: World) -> None:
    folders = (world.deployment.home.parent.glob("*.log"), (world.deployment.home / "storage").rglob("*"))
    logs = b"".join(path.read_bytes() for paths in folders for path in paths if path.is_file())
    recorded = "".join(world.cluster.run("pg_dump", name) for name in DATABASES)
    assert b"RUN_SUCCESS" in logs
    assert "ASSET_MATERIALIZATION" in recorded
    for name, secret in SECRETS.items():
        assert secret.encode() not in logs, name
        assert secret not in recorded, name


def test_a_backup_knows_all_partitions_and_models(
    world: World, store: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DATABASES:
        world.cluster.run("pg_dump", "--format=custom", f"--file={tmp_path / name}", name)
    with running_cluster(SECRETS["POSTGRES_PASSWORD"]) as other:
        make_databases(other)
        for name in DATABASES:
            other.run("pg_restore", "--exit-on-error", f"--dbname={name}", tmp_path / name)
        restored = Deployment(tmp_path / "restored", SECRETS, other.port, store, {})
        # What an upgrade runs: nothing is to be done for a schema that is up to date, and nothing is lost.
        restored.execute("daemon", "dagster", "instance", "migrate")
        uri = restored.environment("mlflow")["MLFLOW_BACKEND_STORE_URI"]
        restored.execute("mlflow", "mlflow", "db", "upgrade", uri)
        use(monkeypatch, restored, "daemon")
        assert known(restored) == [DONE, DONE]
        with restored.running("mlflow"):
            np.testing.assert_array_equal(champion(restored), world.told)
