"""Downloading days: every tile checked, the day published whole or not at all, a stopped download gone on with."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.budget import budget_of
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import DayNotAvailableError, GibsClient, GibsError, UnreachableError
from heph_dagster.gibs.coroutines import in_thread, run_async, together
from heph_dagster.gibs.fetch import Fetch, fetch_tiles, verify_day
from heph_dagster.gibs.grid import BBox, Tile
from heph_dagster.gibs.manifest import Published
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError, manifest_path
from heph_dagster.gibs.partial import DayBusyError, PartialDay
from heph_dagster.gibs.periods import Domain, Period
from heph_dagster.gibs.tiles import TileError

_POLL_SECONDS = 0.1
_FRESH = timedelta(minutes=10)
"""An older tile of an earlier try is asked for again with its entity tag: the day may have been replaced since."""
_MEND = "mend it with heph verify --mend, or give --refresh to replace it"
_DAYS_AT_ONCE = 16  # each has files open
_DAYS_WITHOUT_CONNECTION = 2

logger = logging.getLogger(__name__)

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
        verified_by: What says that this is the day asked for: every tile's `header`, or the server's `domains`.
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
        coarsen: Whether a refresh may replace a day that is there at a finer level; else that is asked for again at its
            own level, and a day that is there as a box is an error.
    """

    layer: Layer
    epsg: int
    level: int
    root: Path
    bbox: BBox | None = None
    refresh: bool = False
    coarsen: bool = True

    def __post_init__(self) -> None:
        self.layer.check_level(self.epsg, self.level)

    @property
    def layout(self) -> Layout:
        """What the mosaics hold."""
        return Layout(self.layer.grid(self.epsg).window(self.level, self.bbox))


async def fetch_day(
    client: GibsClient,
    request: DayRequest,
    day: date,
    *,
    damaged: Container[Tile] = (),
    on_tiles: Callable[[date, int, int], None] = lambda *_: None,
) -> FetchedDay:
    """Download a day; what was there stays until the new day is whole.

    Args:
        client: An open session.
        request: What is asked for.
        day: The day.
        damaged: Tiles of the day on disk that a refresh takes for lost.
        on_tiles: Called with the day, a number of tiles, and the bytes that came for them, each time some more are on
            disk.

    Raises:
        DayNotAvailableError: The server has no tile of the day, or answers with another day.
        GibsError: The server answers with errors, or with something that is not a tile.
        StorageError: The disk is full, read-only or fails.
    """
    started = time.perf_counter()
    path = mosaic_path(request.root, request.epsg, day, request.layer)
    if request.refresh and not request.coarsen:
        request = _as_fine_as(path, request)
    layout = request.layout
    if not request.refresh and path.exists():
        return _kept(day, path, layout, started)
    with await _take(path, layout) as partial:
        if not request.refresh and path.exists():  # another process was at it meanwhile
            return _kept(day, path, layout, started)
        old = await in_thread(_readable, path, layout)
        # Which tiles are unchanged is told of one old day only, and says nothing of another.
        replaced = old.mosaic.data_path.name if old else None
        asked = {"server": client.url, "endpoint": client.endpoint, "window": str(layout.window), "replaces": replaced}
        with old or nullcontext():
            await in_thread(partial.recover, asked, datetime.now(UTC) - _FRESH)
            on_tiles(day, partial.tiles + partial.absent, 0)
            fetch = Fetch(client, request.layer, request.epsg, day, partial, old, damaged, on_tiles)
            return await _complete(fetch, request, started)


def fetch_days(
    client: GibsClient,
    request: DayRequest,
    days: Iterable[date],
    on_day: Callable[[FetchedDay | FailedDay], None] = lambda _: None,
    on_tiles: Callable[[date, int, int], None] = lambda *_: None,
) -> list[FetchedDay | FailedDay]:
    """Download days, several at once; a day that fails does not keep the others.

    After two days in a row to which no connection was possible, the others fail at once.

    Args:
        client: A session that is not open yet.
        request: What is asked for.
        days: The days.
        on_day: Called with each day as it is done.
        on_tiles: As for `fetch_day`.

    Returns:
        What became of each day, in the order of `days`.

    Raises:
        StorageError: The disk is full, read-only or fails: the other days would fail as well.
    """
    wanted = list(days)
    results: dict[date, FetchedDay | FailedDay] = {}
    # One day more than the connections need, so that they are not idle at a day's end.
    at_once = min(1 + -(-client.connections // request.layout.tiles), _DAYS_AT_ONCE)
    unreachable: list[UnreachableError] = []

    def hopeless(day: date) -> bool:
        on_disk = not request.refresh and mosaic_path(request.root, request.epsg, day, request.layer).exists()
        return len(unreachable) >= _DAYS_WITHOUT_CONNECTION and not on_disk

    async def attempt(day: date) -> FetchedDay | FailedDay:
        if hopeless(day):
            return FailedDay(day, unreachable[-1])
        try:
            result = await fetch_day(client, request, day, on_tiles=on_tiles)
        except UnreachableError as error:
            unreachable.append(error)
            return FailedDay(day, error)
        except (GibsError, TileError, MosaicError) as error:
            unreachable.clear()
            return FailedDay(day, error)
        if result.outcome != "kept":
            unreachable.clear()
        return result

    async def work(queue: Iterator[date]) -> None:
        for day in queue:
            results[day] = await attempt(day)
            on_day(results[day])

    async def run() -> None:
        queue = iter(wanted)
        async with client:
            await together(work(queue) for _ in range(at_once))

    with budget_of(request.root, client):
        run_async(run())
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

    return run_async(ask())


def list_domain(client: GibsClient, layer: Layer, epsg: int, known: Domain, seconds: float = 30.0) -> Domain:
    """All days that a server has of a layer, see `GibsClient.domain`; for callers who cannot wait for long.

    Args:
        client: A session that is not open yet.
        layer: The layer.
        epsg: Projection.
        known: What it had.
        seconds: How long to try.

    Raises:
        GibsError: The server cannot be reached, does not answer in time, or does not know the layer.
    """

    async def ask() -> Domain:
        try:
            async with asyncio.timeout(seconds), client:
                return await client.domain(layer, epsg, known)
        except TimeoutError as error:
            raise GibsError(f"{client.url} did not tell the days of {layer.identifier} in {seconds:g} s") from error

    return run_async(ask())


def _kept(day: date, path: Path, layout: Layout, started: float) -> FetchedDay:
    """A day that is on disk as it was asked for, downloaded or imported."""
    kept = Published.load(path, layout)
    if kept is not None:
        with kept:
            return _on_disk(day, path, kept, "kept", kept.facts["verified_by"], started)
    try:
        with Mosaic(path, layout.window.epsg) as mosaic:
            fits, origin = mosaic.layout.window == layout.window, mosaic.origin
            sizes, level = mosaic.tile_sizes, mosaic.level
        downloaded = manifest_path(path) is not None
    except (FileNotFoundError, MosaicError) as error:
        raise GibsError(f"{path} is damaged ({error}): {_MEND}") from error
    if not fits:
        raise GibsError(f"{path} holds another level or box: give --refresh to replace it, or another folder")
    if downloaded:
        raise GibsError(f"{path} is damaged (its manifest cannot be read): {_MEND}")
    if origin is None:
        raise GibsError(f"{path} was not downloaded: give --refresh to replace it, or another folder")
    present = int((sizes > 0).sum())
    return FetchedDay(
        day, path, level, "kept", present, len(sizes) - present, 0, int(sizes.sum()), time.perf_counter() - started,
        "origin",
    )  # fmt: skip


def _readable(path: Path, layout: Layout) -> Published | None:
    """The day on disk that a new one replaces, None where its manifest cannot be read: all of it is fetched then."""
    old = Published.load(path, layout)
    if old is None:
        return None
    try:
        old.check()
    except MosaicError:
        with old:
            return None
    return old


def _as_fine_as(path: Path, request: DayRequest) -> DayRequest:
    """A request for a day of the level that is on disk, if that is finer."""
    there = Published.load(path, epsg=request.epsg)
    if there is None:
        return request
    with there:
        window = there.mosaic.layout.window
    if window != request.layer.grid(request.epsg).window(window.level):
        raise GibsError(
            f"{path} holds a box of level {window.level}, which the whole world at level {request.level} would "
            "replace: keep boxes in a folder of their own, or delete it"
        )
    return replace(request, level=max(request.level, window.level))


async def _take(path: Path, layout: Layout) -> PartialDay:
    """Take hold of a day, after whoever else is at it."""
    waits = False
    while True:
        try:
            return PartialDay(path, layout)
        except DayBusyError as error:  # not by waiting for the lock, which no Ctrl-C would end
            if not waits:
                logger.warning("%s: waiting for it", error)
            waits = True
            await asyncio.sleep(_POLL_SECONDS)


async def _complete(fetch: Fetch, request: DayRequest, started: float) -> FetchedDay:
    """Fetch what a partial day lacks, make sure that it is the day, and publish it."""
    client, day, partial, old = fetch.client, fetch.day, fetch.partial, fetch.old
    try:
        await fetch_tiles(fetch)
        verified_by = await verify_day(fetch)
    except DayNotAvailableError:
        partial.discard()
        raise
    if old is not None and not partial.changed:
        partial.discard()
        return _on_disk(day, partial.path, old, "unchanged", verified_by, started)
    facts = {
        "layer": request.layer.identifier, "epsg": str(request.epsg), "day": day.isoformat(),
        "verified_by": verified_by, "server": client.url, "endpoint": client.endpoint,
        "window": json.dumps(asdict(request.layout.window)),
    }  # fmt: skip
    if old is not None:
        replaced_at = datetime.now(UTC).isoformat(timespec="seconds")
        facts |= {
            "replaced": old.mosaic.data_path.name,
            "replaced_at": replaced_at,
            "changed_tiles": str(partial.changed),
        }
    try:
        await in_thread(partial.publish, facts, old)
    except TileError:
        partial.discard()
        raise
    return FetchedDay(
        day, partial.path, request.level, "replaced" if old else "new", partial.tiles, partial.absent,
        partial.changed, partial.bytes, time.perf_counter() - started, verified_by,
    )  # fmt: skip


def _on_disk(day: date, path: Path, kept: Published, outcome: Outcome, verified_by: str, started: float) -> FetchedDay:
    tiles, absent, size = (int(kept.facts[name]) for name in ("tiles", "absent", "bytes"))
    seconds = time.perf_counter() - started
    return FetchedDay(day, path, kept.mosaic.level, outcome, tiles, absent, 0, size, seconds, verified_by)
