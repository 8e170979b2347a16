"""Running the local GIBS server, in the foreground or in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.server.app import create_app


class PortInUseError(OSError):
    """The port belongs to another program."""


def serve(
    root: Path,
    catalogue: Catalogue,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    announce: Callable[[str], None],
) -> None:
    """Serve a folder of mosaics until interrupted.

    Args:
        root: The archive.
        catalogue: Layers to serve.
        host: Address to listen on.
        port: 0 for a free one.
        announce: Called with a line that tells the address, once it answers.

    Raises:
        PortInUseError: Another program listens there.
    """
    with _listen(host, port) as listener:
        line = f"Serving {root} on http://{host}:{listener.getsockname()[1]} (Ctrl-C stops)"
        _AnnouncedServer(_config(create_app(root, catalogue)), lambda: announce(line)).run(sockets=[listener])


@contextmanager
def running_server(root: Path, catalogue: Catalogue, *, port: int = 0) -> Iterator[str]:
    """Serve a folder of mosaics from a thread of this process.

    Args:
        root: The archive.
        catalogue: Layers to serve.
        port: 0 for a free one.

    Yields:
        The server's address, e.g. `http://127.0.0.1:41234`.
    """
    with running_app(create_app(root, catalogue), port=port) as url:
        yield url


@contextmanager
def running_app(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Serve an application from a thread of this process, as `running_server` does."""
    with _listen("127.0.0.1", port) as listener:
        server = uvicorn.Server(_config(app))
        # Connections wait in the listening socket until the loop runs, so the address works at once.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="local-gibs", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def check_port(host: str, port: int) -> None:
    """Make sure that a server could listen on a port.

    Raises:
        PortInUseError: Another program does.
    """
    _listen(host, port).close()


def free_port(preferred: int) -> int:
    """A port that is free on the loopback address: the preferred one, or else any."""
    try:
        check_port("127.0.0.1", preferred)
    except PortInUseError:
        preferred = 0
    with _listen("127.0.0.1", preferred) as listener:
        return int(listener.getsockname()[1])


class _AnnouncedServer(uvicorn.Server):
    """A server that tells when it answers, and so listens to signals, too: one that came before could be lost."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
        ) from error
    listener.listen(2048)
    return listener
