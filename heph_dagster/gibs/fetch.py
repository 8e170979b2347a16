"""The tiles of a day, from the server to the folder where the day is put together."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import Answer, DayNotAvailableError, GibsClient, GibsError
from heph_dagster.gibs.coroutines import in_thread, together
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.manifest import Published, TileRecord
from heph_dagster.gibs.partial import PartialDay
from heph_dagster.gibs.tiles import TileError, check_tile

_EMPTY_TILE_TAG = "1000000000000"
_KEEPERS = 2  # decoding takes most of the time, and releases the interpreter

T = TypeVar("T")


@dataclass(frozen=True)
class Fetch:
    """A day that is being fetched.

    Attributes:
        client: An open session.
        layer: The layer.
        epsg: Projection.
        day: The day.
        partial: The folder where its tiles are collected.
        old: The day on disk that it replaces, if there is one.
        damaged: Tiles of that day that are taken for lost.
        on_tiles: Called with the day, a number of tiles, and the bytes that came for them.
    """

    client: GibsClient
    layer: Layer
    epsg: int
    day: date
    partial: PartialDay
    old: Published | None
    damaged: Container[Tile]
    on_tiles: Callable[[date, int, int], None]

    def known(self, tile: Tile) -> TileRecord | None:
        """What is known of a tile: of an earlier try, or of the day on disk."""
        if (earlier := self.partial.earlier(tile)) is not None:
            return earlier
        return None if self.old is None or tile in self.damaged else self.old.record(tile)


async def fetch_tiles(fetch: Fetch) -> None:
    """Ask for the tiles that a partial day lacks; a thread checks and keeps what has arrived meanwhile.

    Raises:
        DayNotAvailableError: The server answers with another day, or that it has none.
        GibsError: It answers with errors, or with something that is not a tile.
        StorageError: The disk is full, read-only or fails.
    """
    partial, connections = fetch.partial, fetch.client.connections
    missing = (tile for tile in fetch.partial.layout.window.tiles() if tile not in partial)
    arrived: asyncio.Queue[tuple[Tile, Answer, TileRecord | None] | None] = asyncio.Queue(2 * connections)

    async def ask() -> None:
        for tile in missing:
            known = fetch.known(tile)
            answer = await fetch.client.tile(fetch.layer, fetch.epsg, fetch.day, tile, known.etag if known else None)
            _check_answer(fetch, answer, known)
            await arrived.put((tile, answer, known))

    async def ask_all() -> None:
        await together(ask() for _ in range(min(connections, partial.layout.tiles)))
        await arrived.put(None)

    async def keep() -> None:
        # All that has arrived goes to a thread at once: a hop for each tile costs as much as asking for it.
        batch: list[tuple[Tile, Answer, TileRecord | None] | None] = []
        try:
            while None not in batch:
                batch = [await arrived.get(), *_taken(arrived)]
                tiles = [each for each in batch if each is not None]
                await in_thread(_keep_tiles, fetch, tiles)
                fetch.on_tiles(fetch.day, len(tiles), sum(len(answer.body) for _, answer, _ in tiles))
            await arrived.put(None)  # for the other
        except asyncio.CancelledError:
            # Another request has failed; what has arrived need not be asked for again.
            await in_thread(_keep_tiles, fetch, [each for each in _taken(arrived) if each is not None])
            raise

    await together([ask_all(), *(keep() for _ in range(_KEEPERS))])


def _taken(queue: asyncio.Queue[T]) -> list[T]:
    """What is in a queue."""
    return [queue.get_nowait() for _ in range(queue.qsize())]


def _check_answer(fetch: Fetch, answer: Answer, known: TileRecord | None) -> None:
    """Make sure that an answer is of the day asked for: an image, or the word that there is none or no other one."""
    layer = fetch.layer
    what = f"{fetch.client.url} does not have {layer.identifier} on {fetch.day}"
    if answer.actual_day not in {None, fetch.day}:
        raise DayNotAvailableError(f"{what}: it answered with {answer.actual_day}")
    if answer.refuses_time:
        raise DayNotAvailableError(f"{what}: {answer.explain()}{layer.continuation}")
    image = answer.status == 200 and answer.headers.get("Content-Type", "").startswith("image/")
    unchanged = answer.status == 304 and known is not None and known.etag is not None
    if not (image or unchanged or answer.status == 404 or _is_empty(answer)):
        raise GibsError(f"{answer.url} answered {answer.explain()}{layer.continuation}")


def _keep_tiles(fetch: Fetch, arrived: Iterable[tuple[Tile, Answer, TileRecord | None]]) -> None:
    """Check tiles and add them to their day."""
    for tile, answer, known in arrived:
        if known is not None and answer.status == 304:
            if fetch.partial.earlier(tile) is None:
                fetch.partial.add(known, None, changed=False)
            else:
                fetch.partial.confirm(tile)
            continue
        body = b"" if answer.status == 404 or _is_empty(answer) else answer.body
        if body:
            _check_tile(answer, fetch.layer)
        digest = hashlib.sha256(body).hexdigest() if body else None
        record = TileRecord(
            *tile, answer.url, answer.status, len(body), digest, answer.etag, answer.headers.get("Last-Modified"),
            answer.actual_day, datetime.now(UTC), stored_sha256=digest,
        )  # fmt: skip
        old = fetch.old.record(tile) if fetch.old is not None and tile not in fetch.damaged else None
        fetch.partial.add(record, body, changed=old is None or old.sha256 != digest)


def _check_tile(answer: Answer, layer: Layer) -> None:
    try:
        header = check_tile(answer.body)
    except TileError as error:
        raise GibsError(f"{answer.url}: {error}") from error
    if header.type.format != layer.format:
        raise GibsError(f"{answer.url} is a {header.type.format}, but the layer's tiles are {layer.format}")


def _is_empty(answer: Answer) -> bool:
    empty = not answer.body or (answer.etag == _EMPTY_TILE_TAG and answer.actual_day is None)
    return answer.status == 200 and empty


async def verify_day(fetch: Fetch) -> str:
    """What says that tiles are of a day: `header` or `domains`.

    Raises:
        DayNotAvailableError: Nothing does, or there is no tile.
        GibsError: The server does not tell which days it has.
    """
    client, layer, day = fetch.client, fetch.layer, fetch.day
    if not fetch.partial.tiles:
        raise DayNotAvailableError(f"{client.url} has no tile of {layer.identifier} on {day}{layer.continuation}")
    # Of maps there is no header to go by: whatever a server or a cache says, the list of days decides.
    if layer.tiled and not fetch.partial.undated:
        return "header"
    periods = await client.periods(layer, fetch.epsg, day)
    if not any(day in period.days() for period in periods):
        raise DayNotAvailableError(
            f"{client.url} does not list {day}, and nothing else vouches for the day that its tiles of "
            f"{layer.identifier} show{layer.continuation}"
        )
    return "domains"
