"""Fetching days from GIBS: kept-alive connections, every tile checked, the day published whole or not at all."""

from __future__ import annotations

import asyncio
import random
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import aiohttp
import defusedxml.ElementTree as SafeET
from defusedxml.common import DefusedXmlException

from heph_dagster import __version__
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Layout, MosaicWriter
from heph_dagster.gibs.periods import Period, parse_day, parse_periods
from heph_dagster.gibs.tiles import TileError

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 5
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_EMPTY_TILE_TAG = "1000000000000"
_LONGEST_WAIT = 60.0
MANIFEST_VERSION = "1"


class GibsError(Exception):
    """A request that GIBS did not answer as it should."""


class DayNotAvailableError(GibsError):
    """A day that the server does not have, or answered with another day."""


@dataclass(frozen=True)
class TileRecord:
    """Where a tile came from: a row of a day's manifest."""

    level: int
    row: int
    col: int
    url: str
    status: int
    bytes: int
    etag: str | None
    last_modified: str | None
    actual_day: date | None
    fetched_at: datetime


@dataclass(frozen=True)
class FetchedDay:
    """A day that is on disk.

    Attributes:
        day: The day.
        path: Its mosaic.
        level: Level of its tiles.
        tiles: Tiles that the server has.
        absent: Tiles that it does not have; they read as no data.
        bytes: Bytes of all tiles.
        seconds: From the first request to the published file.
        verified_by: What says that this is the day asked for: every tile's `header`, or the server's `domains`.
    """

    day: date
    path: Path
    level: int
    tiles: int
    absent: int
    bytes: int
    seconds: float
    verified_by: Literal["header", "domains"]


@dataclass(frozen=True)
class FailedDay:
    """A day that could not be had, and why."""

    day: date
    error: Exception


class GibsClient:
    """A session with a GIBS server; use it with `async with`."""

    def __init__(self, url: str, endpoint: str = "best", *, connections: int = 10, backoff: float = 0.5) -> None:
        """Describe the session.

        Args:
            url: Address of the server, without a slash at its end.
            endpoint: `best`, `std` or `nrt`.
            connections: Requests in flight at once.
            backoff: Seconds before the first repetition of a failed request; each further one waits twice as long.
        """
        self.url = url
        self.endpoint = endpoint
        self.connections = connections
        self.backoff = backoff

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(self.connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections),
            timeout=aiohttp.ClientTimeout(total=120, sock_connect=30, sock_read=60),
            headers={"User-Agent": f"heph-dagster/{__version__}"},
            raise_for_status=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def periods(
        self, layer: Layer, epsg: int, start: date | None = None, end: date | None = None
    ) -> list[Period]:
        """The days that the server has of a layer (DescribeDomains).

        Args:
            layer: The layer.
            epsg: Projection.
            start: First day of interest; without it, all days.
            end: Last day of interest; `start` by default.

        Raises:
            GibsError: The server cannot be reached or does not know the layer.
        """
        span = "all" if start is None else f"{start}--{end or start}"
        url = (
            f"{self.url}/wmts/epsg{epsg}/{self.endpoint}/1.0.0/{layer.identifier}/default/"
            f"{layer.matrix_set(epsg)}/all/{span}.xml"
        )
        status, headers, body = await self._get(url)
        if status != 200:
            raise GibsError(f"{url} answered {status}: {_explain(headers, body)}")
        try:
            domain = SafeET.fromstring(body).find(".//{*}DimensionDomain/{*}Domain")
        except (ET.ParseError, DefusedXmlException) as error:
            raise GibsError(f"{url} did not answer with XML: {error}") from error
        if domain is None:
            raise GibsError(f"{url} answered without a Domain element: {_explain(headers, body)}")
        return parse_periods(domain.text or "")

    async def fetch_day(self, layer: Layer, epsg: int, day: date, level: int, root: Path) -> FetchedDay:
        """Download a day into `{root}/{EPSG}/{day}/{Layer}.mrf`; what was there stays until the new day is whole.

        Raises:
            DayNotAvailableError: The server has no tile of the day, or answers with another day.
            GibsError: The server answers with errors, or with something that is not a tile.
            ValueError: The layer has no such projection or level.
        """
        if not layer.tiled:
            raise GibsError(f"{layer.identifier} is a vector layer: GIBS has no tiles of it")
        if level > layer.finest_level(epsg):
            raise ValueError(
                f"{layer.identifier} has no level {level}: the finest in EPSG:{epsg} is {layer.finest_level(epsg)}"
            )
        started = time.perf_counter()
        records: list[TileRecord] = []
        with MosaicWriter(mosaic_path(root, epsg, day, layer), Layout(layer.grid(epsg).window(level))) as mosaic:
            tiles = mosaic.layout.window.tiles()

            async def work() -> None:
                for tile in tiles:
                    record = await self._fetch_tile(layer, epsg, day, tile, mosaic)
                    records.append(record)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.connections, mosaic.layout.tiles)):
                        group.create_task(work())
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            present = [record for record in records if record.bytes]
            if not present:
                raise DayNotAvailableError(f"{self.url} has no tile of {layer.identifier} on {day}")
            by_header = all(record.actual_day is not None for record in present)
            if not by_header and not await self._lists(layer, epsg, day):
                raise DayNotAvailableError(
                    f"{self.url} does not say which day its tiles of {layer.identifier} show, and does not list {day}"
                )
            verified_by: Literal["header", "domains"] = "header" if by_header else "domains"
            path = mosaic.publish(_manifest(records, layer, epsg, day, verified_by, self))
            return FetchedDay(
                day, path, level, len(present), len(records) - len(present), mosaic.size,
                time.perf_counter() - started, verified_by,
            )  # fmt: skip

    async def _fetch_tile(self, layer: Layer, epsg: int, day: date, tile: Tile, mosaic: MosaicWriter) -> TileRecord:
        url = (
            f"{self.url}/wmts/epsg{epsg}/{self.endpoint}/{layer.identifier}/default/{day}/{layer.matrix_set(epsg)}/"
            f"{tile.level}/{tile.row}/{tile.col}.{layer.format}"
        )
        status, headers, body = await self._get(url)
        actual = headers.get("Layer-Time-Actual")
        tag = (headers.get("ETag") or "").strip('"') or None
        record = TileRecord(
            *tile,
            url,
            status,
            0,
            tag,
            headers.get("Last-Modified"),
            parse_day(actual) if actual else None,
            datetime.now(UTC),
        )
        if status == 404 or (status == 200 and (not body or (tag == _EMPTY_TILE_TAG and not actual))):
            return record
        if status == 400 and "TIME" in _explain(headers, body).upper():
            raise DayNotAvailableError(
                f"{self.url} does not have {layer.identifier} on {day}: {_explain(headers, body)}"
            )
        if status != 200 or not headers.get("Content-Type", "").startswith("image/"):
            raise GibsError(f"{url} answered {status}: {_explain(headers, body)}")
        if record.actual_day not in {None, day}:
            raise DayNotAvailableError(
                f"{self.url} does not have {layer.identifier} on {day}: it answered with {record.actual_day}"
            )
        try:
            mosaic.put(tile, body)
        except TileError as error:
            raise GibsError(f"{url}: {error}") from error
        return TileRecord(**{**asdict(record), "bytes": len(body)})

    async def _lists(self, layer: Layer, epsg: int, day: date) -> bool:
        return any(day in period.days() for period in await self.periods(layer, epsg, day))

    async def _get(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an answer; passing faults are tried again, five times in all."""
        fault: Exception | str = ""
        for attempt in range(_ATTEMPTS):
            wait = self.backoff * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
            try:
                async with self._slots, self._session.get(url) as answer:
                    body = await answer.read()
                    if answer.status not in _TRY_AGAIN:
                        return answer.status, answer.headers, body
                    fault = f"status {answer.status}"
                    with suppress(ValueError):
                        wait = max(wait, min(float(answer.headers.get("Retry-After", "")), _LONGEST_WAIT))
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                fault = error or type(error).__name__
            if attempt < _ATTEMPTS - 1:
                await asyncio.sleep(wait)
        raise GibsError(f"{url} failed {_ATTEMPTS} times, at last with: {fault}. Is the server up and reachable?")


def fetch_days(
    client: GibsClient,
    layer: Layer,
    epsg: int,
    days: Iterable[date],
    level: int,
    root: Path,
    on_day: Callable[[FetchedDay | FailedDay], None] = lambda _: None,
) -> list[FetchedDay | FailedDay]:
    """Download days, several at once; a day that fails does not keep the others.

    Args:
        client: A session that is not open yet.
        layer: The layer.
        epsg: Projection.
        days: The days.
        level: Level of the tiles.
        root: Data root.
        on_day: Called with each day as it is done.

    Returns:
        What became of each day, in the order of `days`.
    """
    wanted = list(days)
    results: dict[date, FetchedDay | FailedDay] = {}

    async def run() -> None:
        # Two days at least, so that one day's last tile does not leave the connections idle.
        tiles = layer.grid(epsg).matrix(level)
        in_flight = 1 + -(-client.connections // (tiles[0] * tiles[1]))
        queue = iter(wanted)
        async with client:

            async def work() -> None:
                for day in queue:
                    try:
                        results[day] = await client.fetch_day(layer, epsg, day, level, root)
                    except GibsError as error:
                        results[day] = FailedDay(day, error)
                    on_day(results[day])

            await asyncio.gather(*(work() for _ in range(in_flight)))

    asyncio.run(run())
    return [results[day] for day in wanted]


def _manifest(
    records: list[TileRecord], layer: Layer, epsg: int, day: date, verified_by: str, client: GibsClient
) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        {
            "level": pa.int8(), "row": pa.int32(), "col": pa.int32(), "url": pa.string(), "status": pa.int16(),
            "bytes": pa.int32(), "etag": pa.string(), "last_modified": pa.string(), "actual_day": pa.date32(),
            "fetched_at": pa.timestamp("ms", "UTC"),
        },
        {
            "version": MANIFEST_VERSION, "layer": layer.identifier, "epsg": str(epsg), "day": day.isoformat(),
            "verified_by": verified_by, "server": client.url, "endpoint": client.endpoint,
        },
    )  # fmt: skip
    ordered = sorted(records, key=lambda record: (record.level, record.row, record.col))
    return pa.Table.from_pylist([asdict(record) for record in ordered], schema)


def _explain(headers: Mapping[str, str], body: bytes) -> str:
    """What an error document says, or the beginning of it."""
    with suppress(ET.ParseError, DefusedXmlException, ValueError):
        texts = [(node.text or "").strip() for node in SafeET.fromstring(body).iter() if "Exception" in node.tag]
        if any(texts):
            return " ".join(filter(None, texts))
    return f"{headers.get('Content-Type', 'no content type')}, {body[:80]!r}"
