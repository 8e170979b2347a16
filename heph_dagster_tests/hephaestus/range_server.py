"""A server on loopback that knows ranges, and goes wrong as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server has, and how it behaves.

    Attributes:
        content: The file, at any path.
        etag: Its entity tag, if any.
        modified: Its day of change, if any.
        cuts: The bytes after which each answer ends, in turn; later ones are whole.
        statuses: The status of each answer, in turn, in place of the file, 0 for the file.
        ranges: Whether ranges are known.
        check: Whether it looks at If-Range.
        shift: Bytes by which its ranges begin too late.
        length: Size that it tells of the file: None for the right one, 0 to tell none.
        media_type: Content type.
        requests: Ranges that were asked for, None where there was none.
        validators: What was asked for with them, as If-Range.
        sent: Bytes of each answer.
    """

    content: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    check: bool = True
    shift: int = 0
    length: int | None = None
    media_type: str = "application/zip"
    requests: list[str | None] = field(default_factory=list)
    validators: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


@contextmanager
def serving(served: Served) -> Iterator[str]:
    """Serve a file; yields the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    asked = handler.headers["Range"]
    served.requests.append(asked)
    if served.statuses and (status := served.statuses.pop(0)):
        handler.send_error(status)
        return
    body, total, first = served.content, len(served.content), 0
    validator = handler.headers["If-Range"]
    served.validators.append(validator)
    if asked and served.ranges and (not served.check or validator in {None, served.etag, served.modified}):
        first = int(asked.removeprefix("bytes=").removesuffix("-")) + served.shift
        if first >= total:
            handler.send_error(416)
            return
        body = body[first:]
    handler.send_response(206 if first else 200)
    handler.send_header("Content-Type", served.media_type)
    if served.length != 0:
        handler.send_header("Content-Length", str(served.length or len(body)))
    if first:
        handler.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
    for header, value in (("ETag", served.etag), ("Last-Modified", served.modified)):
        if value is not None:
            handler.send_header(header, value)
    handler.end_headers()
    body = body[: served.cuts.pop(0)] if served.cuts else body
    served.sent.append(len(body))
    handler.wfile.write(body)
