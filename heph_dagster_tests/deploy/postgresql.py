"""A PostgreSQL cluster of the test's own, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from heph_dagster.gibs.server.run import free_port

_USER = "postgres"


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        programs: Folder of `psql`, `pg_dump` and others.
        port: Of 127.0.0.1.
        password: Of its superuser.
    """

    programs: Path
    port: int
    password: str

    def run(self, program: str, *arguments: str | Path, **environment: str) -> str:
        """What a program of PostgreSQL prints, as the superuser."""
        return subprocess.run(
            [self.programs / program if (self.programs / program).exists() else program, *arguments],
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    @property
    def environment(self) -> dict[str, str]:
        """What PostgreSQL's programs are told by."""
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": _USER,
            "PGPASSWORD": self.password,
        }


def _programs() -> Path:
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    for folder in found:
        if (folder / "initdb").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: scripts/postgresql.sh installs it where it may")


@contextmanager
def running_cluster(password: str) -> Iterator[Cluster]:
    """An empty cluster; it is gone after the block. Programs of root run it as the user postgres.

    Args:
        password: Of the superuser; who connects is asked for a password.
    """
    programs, port = _programs(), free_port(0)
    as_user: list[str] = []
    with tempfile.TemporaryDirectory(prefix="heph-pg-") as temporary:  # initdb's user may not enter pytest's folders
        folder = Path(temporary)
        if os.geteuid() == 0:
            try:
                user = pwd.getpwnam(_USER)
            except KeyError:
                pytest.skip("initdb refuses root, and there is no user postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            as_user = ["runuser", "-u", _USER, "--"]

        def run(program: str, *arguments: str | Path) -> None:
            command = [*as_user, str(programs / program), *map(str, arguments)]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        (folder / "password").write_text(password)
        (folder / "password").chmod(0o644)
        data = folder / "data"
        options = (
            "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        )
        run("initdb", "-D", data, "-U", _USER, *options)
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=32MB"
        run("pg_ctl", "-D", data, "-l", folder / "log", "-o", settings, "-w", "start")
        try:
            yield Cluster(programs, port, password)
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
