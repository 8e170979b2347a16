"""A GIBS server that has every day, from an archive of a few: `python -m benchmarks.repeating ROOT PORT`."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.server import create_app

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_HEADERS = (b"layer-time-actual", b"layer-time-request")


def main(root: Path, port: int) -> None:
    """Serve until ended."""
    days = sorted(parse_day(path.name) for path in (root / "4326").iterdir())
    app = create_app(root, load_catalogue())

    async def repeating(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (found := _DAY.search(scope["path"])) is None:
            await app(scope, receive, send)
            return
        asked = date.fromisoformat(found[0])
        kept = days[asked.toordinal() % len(days)]
        path = scope["path"].replace(f"{asked}", f"{kept}")

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                told = [
                    (name, value.replace(f"{kept}".encode(), f"{asked}".encode()) if name in _HEADERS else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": told}
            await send(message)

        await app({**scope, "path": path, "raw_path": path.encode()}, receive, answer)

    uvicorn.run(repeating, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
