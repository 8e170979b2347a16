"""The services of compose.yaml as processes of this machine: the same commands, other addresses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from heph_dagster.gibs.server.run import free_port
from heph_dagster_tests.deploy.files import DEPLOY, filled_in, read

_ANYWHERE = "0.0.0.0"  # noqa: S104  in a container; replaced here
_PORTS = {"code": "4000", "webserver": "3000", "mlflow": "5000"}
_NOT_INHERITED = ("AWS_", "DAGSTER_", "HEPH_", "MLFLOW_", "PG")
_PATIENCE = 120
_STOP_SECONDS = 30


class Deployment:
    """What compose.yaml tells of, on ports of its own.

    Attributes:
        home: Dagster's home.
        ports: Of services, by the port that compose.yaml has.
    """

    def __init__(
        self, folder: Path, secrets: Mapping[str, str], postgres: int, s3: int, settings: Mapping[str, str]
    ) -> None:
        """Prepare the services.

        Args:
            folder: For what they keep beside their databases.
            secrets: Variables that compose.yaml asks for.
            postgres: Port of PostgreSQL.
            s3: Port of the S3-compatible store.
            settings: Lines of heph.env.
        """
        self._folder, self._secrets, self._settings = folder, secrets, settings
        self.home = folder / "dagster"
        self.home.mkdir(parents=True)
        shutil.copy(DEPLOY / "dagster.yaml", self.home)
        shutil.copy(DEPLOY / "workspace.yaml", folder)
        self.ports = {port: str(free_port(0)) for port in _PORTS.values()}
        self._places = {"postgres:5432": f"127.0.0.1:{postgres}", "s3:7070": f"127.0.0.1:{s3}", _ANYWHERE: "127.0.0.1"}
        for name, port in _PORTS.items():
            self._places[f"{name}:{port}"] = self._places[f"127.0.0.1:{port}"] = f"127.0.0.1:{self.ports[port]}"

    def url(self, service: str) -> str:
        """Address of a service."""
        return f"http://127.0.0.1:{self.ports[_PORTS[service]]}"

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service, as compose.yaml sets them."""
        definition = read("compose.yaml")["services"][service]
        found = {name: self._here(value) for name, value in definition["environment"].items()}
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        return {**ours, "DAGSTER_HOME": str(self.home), **self._settings, **found}

    @contextmanager
    def running(self, *services: str) -> Iterator[None]:
        """Services that start together and are all healthy."""
        definitions = {name: read("compose.yaml")["services"][name] for name in services}
        with ExitStack() as stack:
            # A shell makes its background jobs deaf to SIGINT, by which Dagster ends what it has started.
            stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
            started = {
                name: stack.enter_context(self._process(name, each["command"])) for name, each in definitions.items()
            }
            for name, process in started.items():
                self._wait(name, definitions[name]["healthcheck"]["test"], process)
            yield

    @contextmanager
    def _process(self, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(command),
                cwd=self._folder,
                env=self.environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def execute(self, service: str, *command: str) -> str:
        """What a command prints beside a service, as `docker compose exec` runs it."""
        return subprocess.run(
            self._command(command),
            cwd=self._folder,
            env=self.environment(service),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def _command(self, command: tuple[str, ...] | list[str]) -> list[str]:
        program, *arguments = command
        return [str(Path(sys.executable).with_name(program)), *map(self._here, arguments)]

    def _here(self, text: str) -> str:
        text = filled_in(text, self._secrets)
        if text in self.ports:
            return self.ports[text]
        if text in _PORTS:
            return "127.0.0.1"
        for place, ours in self._places.items():
            text = text.replace(place, ours)
        return text

    def _wait(self, name: str, test: list[str], process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while subprocess.run(
            self._command(test[1:]), cwd=self._folder, env=self.environment(name), capture_output=True, check=False
        ).returncode:
            log = (self._folder / f"{name}.log").read_text("utf-8")
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{log}"
            assert time.monotonic() < deadline, f"{name} is not healthy:\n{log}"
            time.sleep(0.2)
