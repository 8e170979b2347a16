"""Asking a GIBS server: kept-alive connections, a bounded number of requests, passing faults tried again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
import defusedxml.ElementTree as SafeET
from defusedxml.common import DefusedXmlException

from heph_dagster.access import Access
from heph_dagster.errors import HephError
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import TILE_SIZE, Tile
from heph_dagster.gibs.periods import NOTHING, Domain, Period, parse_day, parse_periods

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=30, sock_read=60)
_ATTEMPTS = 5
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_LARGEST_ANSWER = 64 << 20
_FIRST_REQUESTS = 8
_WRONG_DAY = b"InvalidDimensionValue"  # code of a WMS exception
TILES_OF_A_DAY = 1_000_000
"""More tiles than this in 24 hours are to be agreed with the GIBS team."""
BUDGET_ADVICE = "GIBS asks to be told of more than a million a day; spread the days, or write to the GIBS team first"

logger = logging.getLogger(__name__)


class GibsError(HephError):
    """A request that GIBS did not answer as it should."""


class UnreachableError(GibsError):
    """A server to which no connection is possible."""


class DayNotAvailableError(GibsError):
    """A day that the server does not have, or answered with another day."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        url: Address that was asked.
        status: HTTP status.
        headers: Headers, by names of any case.
        body: The whole body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str | None:
        """Entity tag without its quotes."""
        return self.headers.get("ETag", "").removeprefix("W/").strip('"') or None

    @property
    def actual_day(self) -> date | None:
        """The day that the server says it shows, None where it does not say."""
        text = self.headers.get("Layer-Time-Actual")
        if not text:
            return None
        try:
            return parse_day(text)
        except ValueError as error:
            raise GibsError(f"{self.url}: header Layer-Time-Actual: {error}") from error

    @property
    def refuses_time(self) -> bool:
        """Whether it is an exception report that finds fault with the day asked for."""
        if _WRONG_DAY in self.body:  # WMS exceptions come with status 200
            return any(node.get("code") == _WRONG_DAY.decode() for node in self._exceptions())
        return self.status == 400 and any(
            node.get("locator", "").upper() == "TIME" or "requested TIME" in (node.text or "")
            for node in self._exceptions()
        )

    def explain(self) -> str:
        """Status and what the error document says, or the beginning of the body."""
        texts = " ".join(filter(None, ((node.text or "").strip() for node in self._exceptions())))
        if texts:
            return f"{self.status}: {texts}"
        return f"{self.status}: {self.headers.get('Content-Type', 'no content type')}, {self.body[:80]!r}"

    def _exceptions(self) -> list[ET.Element]:
        with suppress(ET.ParseError, DefusedXmlException, ValueError):
            return [node for node in SafeET.fromstring(self.body).iter() if "Exception" in node.tag]
        return []


class GibsClient:
    """A session with a GIBS server; use it with `async with`."""

    def __init__(
        self,
        url: str,
        endpoint: str = "best",
        *,
        connections: int = 10,
        access: Access = Access(),
        backoff: float = 0.5,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> None:
        """Describe the session.

        Args:
            url: Address of the server, without a slash at its end.
            endpoint: `best`, `std` or `nrt`.
            connections: Requests in flight at once, reached after a few and one more for each answer.
            access: How the server is reached and who asks.
            backoff: Seconds before the first repetition of a failed request; each further one waits twice as long.
            timeout: Seconds after which a request is given up, as a whole and between two reads.
        """
        self.url = url
        self.endpoint = endpoint
        self.connections = connections
        self.access = access
        self.backoff = backoff
        self.timeout = timeout
        self.requests = self.requests_before = 0
        self._warned = False

    async def __aenter__(self) -> Self:
        self._allowed = min(_FIRST_REQUESTS, self.connections)
        self._slots = asyncio.Semaphore(self._allowed)
        self._paused_until = 0.0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections, ssl=self.access.trust()),
            timeout=self.timeout,
            headers={"User-Agent": self.access.user_agent},
            proxy=self.access.proxy,
            trust_env=True,
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
        return list((await self._domain(layer, epsg, "all" if start is None else f"{start}--{end or start}")).periods)

    async def domain(self, layer: Layer, epsg: int, known: Domain) -> Domain:
        """All days that the server has of a layer, if these are not those that are known (DescribeDomains).

        Args:
            layer: The layer.
            epsg: Projection.
            known: What it had; handed back where the server says that this holds.

        Raises:
            GibsError: The server cannot be reached or does not know the layer.
        """
        return await self._domain(layer, epsg, "all", known)

    async def _domain(self, layer: Layer, epsg: int, span: str, known: Domain = NOTHING) -> Domain:
        answer = await self.get(
            f"{self.url}/wmts/epsg{epsg}/{self.endpoint}/1.0.0/{layer.identifier}/default/"
            f"{layer.matrix_set(epsg)}/all/{span}.xml",
            {"If-None-Match": known.etag} if known.etag else {},
        )
        if answer.status == 304 and known.etag:
            return known
        if answer.status != 200:
            raise GibsError(f"{answer.url} answered {answer.explain()}{layer.continuation}")
        try:
            domain = SafeET.fromstring(answer.body).find(".//{*}DimensionDomain/{*}Domain")
            if domain is None:
                raise GibsError(f"{answer.url} answered without a Domain element: {answer.explain()}")
            return Domain(tuple(parse_periods(domain.text or "")), answer.etag)
        except (ET.ParseError, DefusedXmlException) as error:
            raise GibsError(f"{answer.url} did not answer with XML: {error}") from error
        except ValueError as error:
            raise GibsError(f"{answer.url}: {error}") from error

    async def tile(self, layer: Layer, epsg: int, day: date, tile: Tile, etag: str | None = None) -> Answer:
        """Ask for a tile, if it is not the one with this entity tag.

        Of a layer without tiles a map is asked for that covers the tile.

        Raises:
            GibsError: The server cannot be reached.
        """
        url = self._tile_url(layer, epsg, day, tile)
        return await self.get(url, {"If-None-Match": etag} if etag else {})

    def _tile_url(self, layer: Layer, epsg: int, day: date, tile: Tile) -> str:
        """Address of a WMTS tile, or of the WMS 1.1.1 map of a tile's box, whose axes are x and y in any projection."""
        if layer.tiled:
            return (
                f"{self.url}/wmts/epsg{epsg}/{self.endpoint}/{layer.identifier}/default/{day}/"
                f"{layer.matrix_set(epsg)}/{tile.level}/{tile.row}/{tile.col}.{layer.format}"
            )
        box = ",".join(map(repr, layer.grid(epsg).tile_bbox(tile)))
        return (
            f"{self.url}/wms/epsg{epsg}/{self.endpoint}/wms.cgi?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap"
            f"&LAYERS={layer.identifier}&STYLES=&SRS=EPSG:{epsg}&BBOX={box}&WIDTH={TILE_SIZE}&HEIGHT={TILE_SIZE}"
            f"&FORMAT={layer.media_type}&TRANSPARENT=TRUE&TIME={day}"
        )

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for an address; passing faults are tried again, five times in all.

        Raises:
            UnreachableError: No connection was possible, at the last try either.
            GibsError: All tries failed.
        """
        fault, connected = "", True
        for attempt in range(_ATTEMPTS):
            if attempt:
                wait = self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load only
                await asyncio.sleep(max(wait, self._paused_until - time.monotonic()))
            try:
                async with self._slots:
                    if (pause := self._paused_until - time.monotonic()) > 0:
                        await asyncio.sleep(pause)
                    answer = await self._ask(url, headers)
            except aiohttp.ClientConnectorCertificateError as error:
                raise UnreachableError(
                    f"{self.url} cannot be trusted: {error.certificate_error}. If your network has a certificate "
                    "authority of its own, name its PEM file in HEPH_CA_BUNDLE"
                ) from error
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                fault = str(error) or type(error).__name__
                connected = not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
                continue
            except aiohttp.ClientError as error:
                raise GibsError(f"{url} cannot be asked: {error}") from error
            if answer.status not in _TRY_AGAIN:
                if self._allowed < self.connections:
                    self._allowed += 1
                    self._slots.release()
                return answer
            fault, connected = f"status {answer.status}", True
            # The server speaks for all requests: none goes out before it wants to be asked again.
            self._paused_until = max(self._paused_until, time.monotonic() + _retry_after(answer))
        if not connected:
            raise UnreachableError(
                f"no connection to {self.url}, tried {_ATTEMPTS} times, at last with: {fault}. "
                "Is the server up and reachable?"
            )
        raise GibsError(f"{url} failed {_ATTEMPTS} times, at last with: {fault}. Is the server up and reachable?")

    async def _ask(self, url: str, headers: Mapping[str, str] | None) -> Answer:
        self.requests += 1
        if not self._warned and (count := self.requests + self.requests_before) >= TILES_OF_A_DAY:
            logger.warning("%s requests in 24 hours: %s", count, BUDGET_ADVICE)
            self._warned = True
        async with self._session.get(url, headers=headers) as response:
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > _LARGEST_ANSWER:
                    raise GibsError(
                        f"{url} answered with more than {_LARGEST_ANSWER >> 20} MB, too much for any answer"
                    )
            return Answer(url, response.status, response.headers, bytes(body))


def _retry_after(answer: Answer) -> float:
    """Seconds for which an answer wants no further request, given as a number or as an HTTP date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        # `-0000` as zone makes a date without one, which is UTC.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)
