"""Servers for tests: ours, slowed and counted, and ones that answer as a test says."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
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


@contextmanager
def posted(answer: Callable[[int], int] = lambda _: 200) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers the n-th request with the status that a function says; its address, and what was posted."""
    bodies: list[Any] = []

    async def handle(request: Request) -> Response:
        bodies.append(await request.json())
        status = answer(len(bodies))
        return Response(status_code=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    with running_app(Starlette(routes=[Route("/{path:path}", handle, methods=["POST"])])) as url:
        yield url, bodies


@dataclass
class MailServer:
    """A mail server: its port, and what came. Recipients of `refused` are refused, a login other than `login` too."""

    tls: ssl.SSLContext | None = None
    from_the_start: bool = False
    login: str | None = None
    refused: tuple[str, ...] = ()
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def serve(self, ready: threading.Event) -> None:
        self.stop, self.talks = asyncio.Event(), []
        server = await asyncio.start_server(self.greet, "127.0.0.1", 0, ssl=self.tls if self.from_the_start else None)
        self.port, self.loop = server.sockets[0].getsockname()[1], asyncio.get_running_loop()
        ready.set()
        await self.stop.wait()
        server.close()
        await asyncio.gather(*self.talks)

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talks.append(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):  # a client that trusts no certificate goes away
            await self.talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        recipients: list[str] = []
        encrypted = self.from_the_start
        while line := (await reader.readline()).decode("latin-1").strip():
            command, _, argument = line.partition(" ")
            if command.upper() in {"EHLO", "HELO"}:
                starttls = "250-STARTTLS\r\n" if self.tls and not encrypted else ""
                writer.write(f"250-test\r\n{starttls}250 AUTH PLAIN\r\n".encode())
            elif command == "STARTTLS":
                writer.write(b"220 go\r\n")
                await writer.start_tls(self.tls)
                encrypted = True
            elif command == "AUTH":
                told = base64.b64decode(argument.split()[1]).decode().split("\0")[1:]
                writer.write(b"235 in\r\n" if ":".join(told) == self.login else f"535 no {told}\r\n".encode())
            elif command.upper() == "RCPT":
                address = argument.partition("<")[2].rstrip(">")
                writer.write(b"550 unknown\r\n" if address in self.refused else b"250 ok\r\n")
                recipients += [address] * (address not in self.refused)
            elif command.upper() == "DATA":
                writer.write(b"354 go\r\n")
                data = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                self.mails.append(email.message_from_bytes(data, policy=email.policy.default))  # type: ignore[arg-type]
                self.recipients.append(recipients)
                self.encrypted.append(encrypted)
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"221 bye\r\n" if command.upper() == "QUIT" else b"250 ok\r\n")


@contextmanager
def mail_server(**behaviour: Any) -> Iterator[MailServer]:
    """A running mail server on a free port of 127.0.0.1."""
    server, ready = MailServer(**behaviour), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(ready)))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join()
