"""The files of deploy/: of the form that their programs want, without secrets, bound to loopback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config, dagster_instance_config_schema

from heph_dagster import __version__
from heph_dagster.defs import runs
from heph_dagster.defs.runs import prepare_home
from heph_dagster_tests.deploy.files import DEPLOY, filled_in, read

SERVICES = read("compose.yaml")["services"]
SECRETS = {
    name: f"secret of {name}"
    for name in (
        "DAGSTER_POSTGRES_PASSWORD",
        "MLFLOW_POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD",
        "S3_ACCESS_KEY",
        "S3_SECRET_KEY",
    )
}
LAPTOP = yaml.safe_load(Path(str(runs.__file__)).with_name("dagster.yaml").read_text("utf-8"))


def run(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout


def test_compose_is_valid() -> None:
    tool = Path(sys.executable).with_name("check-jsonschema")
    run(tool, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.skipif(not shutil.which("hadolint", path=Path(sys.executable).parent), reason="hadolint has no wheel here")
def test_the_dockerfile_is_clean() -> None:
    assert run(Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile") == ""


@pytest.mark.parametrize("config", [LAPTOP, read("dagster.yaml")], ids=["laptop", "server"])
def test_dagster_knows_every_setting(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql+psycopg2://dagster@127.0.0.1:1/dagster")
    result = process_config(dagster_instance_config_schema(), config)
    assert result.success, result.errors
    assert config["telemetry"] == {"enabled": False}
    assert config["freshness"] == {"enabled": True}
    assert config["concurrency"]["pools"]["default_limit"] == 2
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"]


def test_the_laptop_has_dagster_use_its_file(tmp_path: Path) -> None:
    config, _ = dagster_instance_config(str(prepare_home(tmp_path)))
    assert config == LAPTOP
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_coordinator.__class__.__name__ == "QueuedRunCoordinator"


def published() -> list[str]:
    return [filled_in(port, SECRETS) for service in SERVICES.values() for port in service.get("ports", [])]


def test_services_are_published_on_loopback_unless_told() -> None:
    assert published() == ["127.0.0.1:3000:3000", "127.0.0.1:5000:5000"]
    told = [filled_in(port, {"HEPH_BIND": "192.0.2.1"}) for port in SERVICES["webserver"]["ports"]]
    assert told == ["192.0.2.1:3000:3000"]


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_that_is_not_set_stops_compose(name: str) -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    with pytest.raises(KeyError, match=name):
        filled_in(text, SECRETS | {name: ""})


def test_no_file_holds_a_secret() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("PASSWORD", "KEY", "SECRET", "TOKEN")):
                assert value.startswith("${"), variable
                assert ":?" in value, variable
            assert "@" not in value or ":" not in value.partition("://")[2].partition("@")[0], variable
    assert read("dagster.yaml")["storage"] == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    assert "postgresqlPassword" not in read("helm-values.yaml")["postgresql"]


def test_databases_are_apart() -> None:
    dagster, mlflow = SERVICES["code"]["environment"], SERVICES["mlflow"]["environment"]
    assert dagster["DAGSTER_POSTGRES_URL"] == "postgresql+psycopg2://dagster@postgres:5432/dagster"
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    assert dagster["PGPASSWORD"] != mlflow["PGPASSWORD"]
    for name in ("webserver", "daemon", "code"):
        assert not any("MLFLOW_POSTGRES" in str(value) for value in SERVICES[name]["environment"].values())


def test_every_service_of_ours_is_watched_and_unprivileged() -> None:
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("heph-dagster")}
    assert ours == {"code", "webserver", "daemon", "mlflow"}
    for name in ours:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    users = [line for line in (DEPLOY / "Dockerfile").read_text("utf-8").splitlines() if line.startswith("USER ")]
    values = read("helm-values.yaml")["dagster-user-deployments"]["deployments"][0]
    assert users == [f"USER {values['podSecurityContext']['runAsUser']}"] == ["USER 10001"]


def test_the_cluster_has_the_servers_limits() -> None:
    values, server = read("helm-values.yaml"), read("dagster.yaml")
    assert values["concurrency"]["pools"]["defaultLimit"] == server["concurrency"]["pools"]["default_limit"]
    assert values["concurrency"]["runs"]["maxConcurrentRuns"] == server["concurrency"]["runs"]["max_concurrent_runs"]
    assert values["dagsterDaemon"]["runRetries"]["maxRetries"] == server["run_retries"]["max_retries"]
    assert values["telemetry"] == server["telemetry"]
    for ours, theirs in (("sensor", "sensor"), ("schedule", "schedule"), ("auto_materialize", "autoMaterialize")):
        kept = server["retention"][ours]["purge_after_days"]
        assert values["retention"][theirs]["purgeAfterDays"] == kept | {"started": -1}
    image = values["dagster-user-deployments"]["deployments"][0]["image"]
    assert image["tag"] == __version__
