"""What tests of downloads share: a tile, a server's answer, a fetch and its result."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from starlette.responses import Response

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL

DAY = DAYS[0]
TILE = encode(np.full((512, 512, 3), 120, np.uint8), "jpg")


def tile_answer(day: date | None = DAY, body: bytes = TILE, **headers: str) -> Response:
    if day is not None:
        headers["Layer-Time-Actual"] = f"{day}T00:00:00Z"
    return Response(body, media_type="image/jpeg", headers=headers)


def fetch(
    url: str, layer: Layer, root: Path, *days: date, level: int = LEVEL, **options
) -> list[FetchedDay | FailedDay]:
    request = DayRequest(layer, EPSG, level, root, **options)
    return fetch_days(GibsClient(url, connections=4, backoff=0), request, days or [DAY])


def tiles_of(path: Path) -> dict[Tile, bytes | None]:
    with Mosaic(path, EPSG) as mosaic:
        return {tile: mosaic.tile(tile) for tile in mosaic.layout.window.tiles()}


def files_below(root: Path) -> list[str]:
    """Names of all files, but for the count of requests."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != "gibs_requests.json")


def one(results: list[FetchedDay | FailedDay]) -> FetchedDay:
    (result,) = results
    assert isinstance(result, FetchedDay), result
    return result
