"""A webhook that keeps what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heph_dagster.gibs.server.run import running_app


@dataclass
class Webhook:
    """What was told.

    Attributes:
        alerts: Each alert of each message: `key`, `kind`, `subject`, `day`.
        pictures: How many messages had one.
    """

    alerts: list[dict[str, Any]] = field(default_factory=list)
    pictures: int = 0

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Listen on a free port of the loopback address."""

        async def post(request: Request) -> Response:
            told = await request.json()
            self.alerts += told["alerts"]
            self.pictures += told["picture_jpeg"] is not None
            return Response(status_code=204)

        with running_app(Starlette(routes=[Route("/", post, methods=["POST"])])) as url:
            yield url
