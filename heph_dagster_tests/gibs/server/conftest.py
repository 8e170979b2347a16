"""What tests of the local server share: asking it, and the tiles of its archive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import aiohttp
import pytest

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster_tests.conftest import EPSG

Answer = tuple[int, Mapping[str, str], bytes]
Get = Callable[..., Answer]


def ask(url: str, **headers: str) -> Answer:
    """Status, headers and body that an address answers with."""

    async def fetch() -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as session, session.get(url, headers=names) as answer:
            return answer.status, answer.headers, await answer.read()

    return asyncio.run(fetch())


@pytest.fixture
def get(gibs_url: str) -> Get:
    """Fetch a path of the server: status, headers, body."""
    return lambda path, **headers: ask(gibs_url + path, **headers)


@pytest.fixture
def stored(archive: Path, catalogue: Catalogue) -> Callable[..., bytes | None]:
    """The bytes of a tile as they stand in the archive."""

    def read(layer: str, day: date, *tile: int) -> bytes | None:
        with Mosaic(mosaic_path(archive, EPSG, day, catalogue[layer]), EPSG) as mosaic:
            return mosaic.tile(Tile(*tile))

    return read
