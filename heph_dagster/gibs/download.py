"""Downloading days: every tile checked, the day published whole or not at all, a stopped download gone on with."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, TypeVar

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import Answer, DayNotAvailableError, GibsClient, GibsError
from heph_dagster.gibs.grid import BBox, Tile
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError
from heph_dagster.gibs.partial import UNCHANGED, PartialDay, Published, TileRecord
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.tiles import TileError, check_tile

_EMPTY_TILE_TAG = "1000000000000"

T = TypeVar("T")
Outcome = Literal["new", "replaced", "unchanged", "kept"]


@dataclass(frozen=True)
class FetchedDay:
    """A day that is on disk.

    Attributes:
        day: The day.
        path: Its mosaic.
        level: Level of its tiles.
        outcome: `new`; `replaced`, the server has other tiles than before; `unchanged`, it has the same; `kept`, it was
            not asked.
        tiles: Tiles that the server has.
        absent: Tiles that it does not have; they read as no data.
        changed: Tiles that came over the network and are new or other ones.
        bytes: Bytes of all tiles, as served.
        seconds: From the first request to the published file.
        verified_by: What says that this is the day asked for: every tile's `header`, the server's `domains`, or the
            `origin` of an image that was imported.
    """

    day: date
    path: Path
    level: int
    outcome: Outcome
    tiles: int
    absent: int
    changed: int
    bytes: int
    seconds: float
    verified_by: str


@dataclass(frozen=True)
class FailedDay:
    """A day that could not be had, and why."""

    day: date
    error: Exception


@dataclass(frozen=True)
class DayRequest:
    """What is asked for of each day.

    Attributes:
        layer: The layer.
        epsg: Projection.
        level: Level of the tiles.
        root: Data root; a day goes to `{root}/{EPSG}/{day}/{Layer}.mrf`.
        bbox: Part of the world; all of it by default.
        refresh: Whether days that are on disk are asked for again; else they are kept.
    """

    layer: Layer
    epsg: int
    level: int
    root: Path
    bbox: BBox | None = None
    refresh: bool = False

    def __post_init__(self) -> None:
        finest = self.layer.finest_level(self.epsg)
        if self.level > finest:
            raise ValueError(
                f"{self.layer.identifier} has no level {self.level}: the finest in EPSG:{self.epsg} is {finest}"
            )
        if not self.layer.tiled:
            raise ValueError(f"{self.layer.identifier} is a vector layer: GIBS has no tiles of it")

    @property
    def layout(self) -> Layout:
        """What the mosaics hold."""
        return Layout(self.layer.grid(self.epsg).window(self.level, self.bbox))


async def fetch_day(client: GibsClient, request: DayRequest, day: date) -> FetchedDay:
    """Download a day; what was there stays until the new day is whole.

    Args:
        client: An open session.
        request: What is asked for.
        day: The day.

    Raises:
        DayNotAvailableError: The server has no tile of the day, or answers with another day.
        GibsError: The server answers with errors, or with something that is not a tile.
        StorageError: The disk is full, read-only or fails.
    """
    started = time.perf_counter()
    path = mosaic_path(request.root, request.epsg, day, request.layer)
    layout = request.layout
    if not request.refresh and path.exists():
        return _kept(day, path, layout, started)
    with await asyncio.to_thread(PartialDay, path, layout) as partial:
        if not request.refresh and path.exists():  # another process was at it meanwhile
            return _kept(day, path, layout, started)
        old = Published.load(path, layout)
        # Which tiles are unchanged is told of one old day only, and says nothing of another.
        replaced = old.mosaic.data_path.name if old else None
        asked = {"server": client.url, "endpoint": client.endpoint, "window": str(layout.window), "replaces": replaced}
        with old.mosaic if old else nullcontext():
            await asyncio.to_thread(partial.recover, asked)
            return await _complete(client, request, day, partial, old, started)


def fetch_days(
    client: GibsClient,
    request: DayRequest,
    days: Iterable[date],
    on_day: Callable[[FetchedDay | FailedDay], None] = lambda _: None,
) -> list[FetchedDay | FailedDay]:
    """Download days, several at once; a day that fails does not keep the others.

    Args:
        client: A session that is not open yet.
        request: What is asked for.
        days: The days.
        on_day: Called with each day as it is done.

    Returns:
        What became of each day, in the order of `days`.

    Raises:
        StorageError: The disk is full, read-only or fails: the other days would fail as well.
    """
    wanted = list(days)
    results: dict[date, FetchedDay | FailedDay] = {}
    # One day more than the connections need, so that they are not idle at a day's end.
    at_once = 1 + -(-client.connections // request.layout.tiles)

    async def work(queue: Iterator[date]) -> None:
        for day in queue:
            try:
                results[day] = await fetch_day(client, request, day)
            except (GibsError, TileError, MosaicError) as error:
                results[day] = FailedDay(day, error)
            on_day(results[day])

    async def run() -> None:
        queue = iter(wanted)
        async with client:
            await _together(work(queue) for _ in range(at_once))

    _run(run())
    return [results[day] for day in wanted]


def list_days(
    client: GibsClient, layer: Layer, epsg: int, start: date | None = None, end: date | None = None
) -> list[Period]:
    """The days that a server has of a layer, see `GibsClient.periods`.

    Args:
        client: A session that is not open yet.
        layer: The layer.
        epsg: Projection.
        start: First day of interest; all days by default.
        end: Last day of interest.
    """

    async def ask() -> list[Period]:
        async with client:
            return await client.periods(layer, epsg, start, end)

    return _run(ask())


def _kept(day: date, path: Path, layout: Layout, started: float) -> FetchedDay:
    """A day that is on disk as it was asked for, downloaded or imported."""
    kept = Published.load(path, layout)
    if kept is not None:
        with kept.mosaic:
            return _result(day, path, kept.records, "kept", kept.facts["verified_by"], started)
    with suppress(FileNotFoundError, MosaicError), Mosaic(path, layout.window.epsg) as mosaic:
        if mosaic.origin is not None and mosaic.layout.window == layout.window:
            sizes, level = mosaic.tile_sizes, mosaic.level
            present = int((sizes > 0).sum())
            return FetchedDay(
                day, path, level, "kept", present, len(sizes) - present, 0, int(sizes.sum()),
                time.perf_counter() - started, "origin",
            )  # fmt: skip
    raise GibsError(
        f"{path} holds another level or box, or was not downloaded: give --refresh to replace it, or another folder"
    )


async def _complete(
    client: GibsClient, request: DayRequest, day: date, partial: PartialDay, old: Published | None, started: float
) -> FetchedDay:
    """Fetch what a partial day lacks, make sure that it is the day, and publish it."""
    missing = (tile for tile in request.layout.window.tiles() if tile not in partial.records)

    async def work() -> None:
        for tile in missing:
            record, data = await _fetch_tile(client, request, day, tile, old.records.get(tile) if old else None)
            partial.add(record, data)

    try:
        await _together(work() for _ in range(min(client.connections, partial.layout.tiles)))
        known = old.records if old else {}
        records = [known[tile] if kept.status == UNCHANGED else kept for tile, kept in partial.records.items()]
        verified_by = await _verify(client, request, day, records)
    except DayNotAvailableError:
        partial.discard()
        raise
    changed = [tile for tile, record in partial.records.items() if _differs(record, old)]
    facts = {
        "layer": request.layer.identifier, "epsg": str(request.epsg), "day": day.isoformat(),
        "verified_by": verified_by, "server": client.url, "endpoint": client.endpoint,
    }  # fmt: skip
    if old is not None and not changed:
        partial.discard()
        return _result(day, partial.path, old.records, "unchanged", verified_by, started)
    if old is not None:
        replaced_at = datetime.now(UTC).isoformat(timespec="seconds")
        facts |= {"replaced": old.mosaic.data_path.name, "replaced_at": replaced_at, "changed_tiles": str(len(changed))}
    try:
        partial.publish(facts, old)
    except TileError:
        partial.discard()
        raise
    return _result(day, partial.path, partial.records, "replaced" if old else "new", verified_by, started, len(changed))


async def _fetch_tile(
    client: GibsClient, request: DayRequest, day: date, tile: Tile, known: TileRecord | None
) -> tuple[TileRecord, bytes]:
    answer = await client.tile(request.layer, request.epsg, day, tile, known.etag if known else None)
    what = f"{client.url} does not have {request.layer.identifier} on {day}"
    if answer.actual_day not in {None, day}:
        raise DayNotAvailableError(f"{what}: it answered with {answer.actual_day}")
    if answer.status == UNCHANGED and known:
        return _record(tile, answer), b""
    if answer.refuses_time:
        raise DayNotAvailableError(f"{what}: {answer.explain()}")
    if answer.status == 404 or (answer.status == 200 and _is_empty(answer)):
        return _record(tile, answer), b""
    if answer.status != 200 or not answer.headers.get("Content-Type", "").startswith("image/"):
        raise GibsError(f"{answer.url} answered {answer.explain()}")
    try:
        header = await asyncio.to_thread(check_tile, answer.body)
    except TileError as error:
        raise GibsError(f"{answer.url}: {error}") from error
    if header.type.format != request.layer.format:
        raise GibsError(f"{answer.url} is a {header.type.format}, but the layer's tiles are {request.layer.format}")
    return _record(tile, answer, answer.body), answer.body


def _record(tile: Tile, answer: Answer, data: bytes = b"") -> TileRecord:
    digest = hashlib.sha256(data).hexdigest() if data else None
    return TileRecord(
        *tile, answer.url, answer.status, len(data), digest, answer.etag, answer.headers.get("Last-Modified"),
        answer.actual_day, datetime.now(UTC), stored_sha256=digest,
    )  # fmt: skip


def _is_empty(answer: Answer) -> bool:
    return not answer.body or (answer.etag == _EMPTY_TILE_TAG and answer.actual_day is None)


def _differs(record: TileRecord, old: Published | None) -> bool:
    return record.status != UNCHANGED and (old is None or record.sha256 != old.records[record.tile].sha256)


async def _verify(client: GibsClient, request: DayRequest, day: date, records: list[TileRecord]) -> str:
    """What says that tiles are of a day: `header` or `domains`."""
    name, present = request.layer.identifier, [record for record in records if record.bytes]
    if not present:
        raise DayNotAvailableError(f"{client.url} has no tile of {name} on {day}")
    if all(record.actual_day is not None for record in present):
        return "header"
    periods = await client.periods(request.layer, request.epsg, day)
    if not any(day in period.days() for period in periods):
        raise DayNotAvailableError(
            f"{client.url} does not say which day its tiles of {name} show, and does not list {day}"
        )
    return "domains"


def _result(
    day: date,
    path: Path,
    records: dict[Tile, TileRecord],
    outcome: Outcome,
    verified_by: str,
    started: float,
    changed: int = 0,
) -> FetchedDay:
    present = [record for record in records.values() if record.bytes]
    return FetchedDay(
        day, path, next(iter(records)).level, outcome, len(present), len(records) - len(present), changed,
        sum(record.bytes for record in present), time.perf_counter() - started, verified_by,
    )  # fmt: skip


def _run(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine to its end, in a thread of its own where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _together(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run coroutines at once; the first error stops the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
