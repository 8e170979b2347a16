"""How many requests went out in the last 24 hours: GIBS asks to be told of more than a million.

Source: GIBS API documentation, "Bulk downloading".
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heph_dagster.files import replacing
from heph_dagster.gibs.client import GibsClient

logger = logging.getLogger(__name__)

_FILE = "gibs_requests.json"
_WINDOW = timedelta(hours=24)


def recent_requests(root: Path) -> int:
    """Requests of the last 24 hours for days below a data root, to within the hour."""
    return sum(_read(root).values())


@contextmanager
def budget_of(root: Path, client: GibsClient) -> Iterator[None]:
    """Counts a session's requests into the data root, and lets the session know of those before it."""
    client.requests_before = recent_requests(root)
    first = client.requests
    try:
        yield
    finally:
        if client.requests > first and root.is_dir():
            try:
                _add(root, client.requests - first)
            except OSError as error:  # a full disk has an error of its own that tells more
                logger.warning("%s requests were not counted in %s: %s", client.requests - first, root / _FILE, error)


def _add(root: Path, requests: int) -> None:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        hours = _read(root)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        hours[now] = hours.get(now, 0) + requests
        with replacing(root / _FILE) as part:
            part.write_text(json.dumps(hours, indent=2, sort_keys=True) + "\n", "utf-8")
    finally:
        os.close(folder)


def _read(root: Path) -> dict[str, int]:
    path = root / _FILE
    if not path.exists():
        return {}
    since = (datetime.now(UTC) - _WINDOW).strftime("%Y-%m-%dT%H")
    try:
        return {hour: int(count) for hour, count in json.loads(path.read_text("utf-8")).items() if hour >= since}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a count of requests by the hour ({error}): delete it") from error
