"""How many requests went out in the last 24 hours: GIBS asks to be told of more than a million.

Source: GIBS API documentation, "Bulk downloading".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heph_dagster.gibs.client import GibsClient
from heph_dagster.store import Store

logger = logging.getLogger(__name__)

_FILE = "gibs_requests.json"
_WINDOW = timedelta(hours=24)


def recent_requests(root: Path) -> int:
    """Requests of the last 24 hours for days below a data root, to within the hour."""
    since = _hour(_WINDOW)
    return sum(count for hour, count in _hours(root).read().items() if hour >= since)


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
    now, since = _hour(), _hour(_WINDOW)
    with _hours(root).changing() as hours:
        for hour in [hour for hour in hours if hour < since]:
            del hours[hour]
        hours[now] = hours.get(now, 0) + requests


def _hours(root: Path) -> Store[int]:
    return Store(root / _FILE, "a count of requests by the hour", int)


def _hour(ago: timedelta = timedelta()) -> str:
    return f"{datetime.now(UTC) - ago:%Y-%m-%dT%H}"
