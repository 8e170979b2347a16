"""Servers for tests: ours, slowed and counted, and ones that answer as a test says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.server import create_app
from heph_dagster.gibs.server.run import running_app

Answer = Callable[[int, str], Response]


@contextmanager
def scripted(answer: Answer) -> Iterator[str]:
    """A server that answers the n-th request for a path as a function says."""
    seen: Counter[str] = Counter()

    async def handle(request: Request) -> Response:
        seen[request.url.path] += 1
        return answer(seen[request.url.path], request.url.path)

    with running_app(Starlette(routes=[Route("/{path:path}", handle)])) as url:
        yield url


@contextmanager
def counted(root: Path, catalogue: Catalogue, *, seconds: float = 0.0) -> Iterator[tuple[str, Counter[int]]]:
    """Our server over an archive, with a latency; yields its address and a count of its answers by status."""
    app = create_app(root, catalogue)
    statuses: Counter[int] = Counter()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses[message["status"]] += 1
            await send(message)

        if scope["type"] == "http" and seconds:
            await asyncio.sleep(seconds)
        await app(scope, receive, note)

    with running_app(outer) as url:
        yield url, statuses
