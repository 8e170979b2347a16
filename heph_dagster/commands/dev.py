"""`heph dev`: the Dagster UI and daemon, and what belongs to them, until one ends or Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import click

from heph_dagster.commands.demo import ROOT
from heph_dagster.commands.demo_folder import ARCHIVE

_STOP_SECONDS = 15


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of the MLflow UI.")
def dev(host: str, port: int, mlflow_port: int) -> None:
    """Start the Dagster UI and daemon on the data folder; on the demonstration's, its server too."""
    from urllib.parse import urlsplit

    from heph_dagster.defs.runs import prepare_home
    from heph_dagster.gibs.server.run import check_port
    from heph_dagster.settings import MLFLOW_STORE, Settings

    if not os.environ.get("HEPH_DATA_DIR") and (ROOT / ARCHIVE).is_dir():
        os.environ["HEPH_DATA_DIR"] = str(ROOT)
    settings = Settings()
    root = settings.home.absolute()
    environment = os.environ | {
        "HEPH_DATA_DIR": settings.address,
        "HEPH_WORK_DIR": str(root),
        "DAGSTER_HOME": str(prepare_home(settings.dagster_home)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    python = (sys.executable, "-m")
    dagster = ("dagster", "dev", "-m", "heph_dagster.definitions", "-h", host, "-p", str(port))
    commands = {f"Dagster on http://{host}:{port}": [*python, *dagster]}
    gibs = urlsplit(settings.gibs_url)
    if (root / ARCHIVE).is_dir() and gibs.hostname == "127.0.0.1":
        serve = ("heph_dagster.cli", "serve", str(root / ARCHIVE), "--port", str(gibs.port or 80))
        commands[f"synthetic days on {settings.gibs_url}"] = [*python, *serve]
    if (store := root / MLFLOW_STORE).exists():
        mlflow = (
            "mlflow",
            "ui",
            "--backend-store-uri",
            f"sqlite:///{store}",
            "--host",
            host,
            "--port",
            str(mlflow_port),
        )
        commands[f"MLflow on http://{host}:{mlflow_port}"] = [*python, *mlflow]
    click.echo(f"Data in {settings.address}")
    check_port(host, port)
    for name in commands:
        click.echo(f"Starting {name}")
    raise SystemExit(_supervise(list(commands.values()), environment))


def _supervise(commands: list[list[str]], environment: dict[str, str]) -> int:
    # A shell makes its background jobs deaf to SIGINT; their children, our services, must hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    services = [subprocess.Popen(command, env=environment, start_new_session=True) for command in commands]
    try:
        _, status = os.wait()  # returns with whichever service ends first
        return os.waitstatus_to_exitcode(status)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for service in services:
            with suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGINT)
        for service in services:
            try:
                service.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(service.pid, signal.SIGKILL)
