"""The web application: requests of GIBS's protocols, answered from a folder of mosaics as GIBS answers them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.grid import TILE_SIZE, Tile
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.periods import Period, add_steps, parse_day
from heph_dagster.gibs.server import documents
from heph_dagster.gibs.server.requests import (
    MissingError,
    RefusalError,
    base_url,
    image_format,
    operation,
    query_of,
    requested_day,
    required,
    service_of,
)
from heph_dagster.gibs.server.store import Store
from heph_dagster.gibs.server.wms import WebMapService
from heph_dagster.gibs.tiles import TileError

logger = logging.getLogger(__name__)

_XML = "application/xml"
_REST_TILE = re.compile(
    r"(?P<layer>[^/]+)/(?P<style>[^/]+)/(?:(?P<time>[^/]+)/)?(?P<set>[^/]+)/(?P<level>[^/]+)/(?P<row>[^/]+)/(?P<col>[^/.]+)"
    r"\.(?P<format>\w+)"
)
_REST_DOMAINS = re.compile(r"1\.0\.0/(?P<layer>[^/]+)/(?P<style>[^/]+)/(?P<set>[^/]+)/all(?:/(?P<range>[^/]+))?\.xml")
_MOST_DIGITS = 9
_FARTHEST = 1e9


def create_app(root: Path, catalogue: Catalogue) -> Starlette:
    """The web application over a folder of mosaics `{EPSG}/{YYYY-MM-DD}/{Layer}.mrf`."""
    service = _Service(Store(root, catalogue))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.store.close()

    prefix = "epsg{epsg:str}/{endpoint:str}"
    routes = [
        Route(f"/wmts/{prefix}/wmts.cgi", service.wmts_kvp),
        Route(f"/wmts/{prefix}/{{path:path}}", service.wmts_rest),
        Route(f"/twms/{prefix}/twms.cgi", service.twms),
        Route(f"/wms/{prefix}/wms.cgi", WebMapService(service.store).answer),
    ]
    handlers = {MissingError: _not_found, MosaicError: _damaged, TileError: _damaged}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


class _Service:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def wmts_rest(self, request: Request) -> Response:
        """RESTful WMTS: tiles, capabilities and domains by their paths."""
        path = request.path_params["path"]
        try:
            if path == "1.0.0/WMTSCapabilities.xml":
                return self._capabilities(request)
            if match := _REST_DOMAINS.fullmatch(path):
                return self._domains(
                    request, match["layer"], match["set"], (match["range"] or "all").replace("--", "/")
                )
            if match := _REST_TILE.fullmatch(path):
                return self._tile(request, match.groupdict())
        except RefusalError as refusal:
            return _exception_report(refusal)
        raise MissingError

    async def wmts_kvp(self, request: Request) -> Response:
        """WMTS by key-value pairs; keys are case-insensitive."""
        query = query_of(request)
        try:
            asked = operation(query, "getcapabilities", "describedomains", "gettile")
            if asked == "getcapabilities":
                return self._capabilities(request)
            if asked == "describedomains":
                names = required(query, "layer"), required(query, "tilematrixset")
                return self._domains(request, *names, query.get("time", "all"))
            keys = {
                "layer": "layer",
                "set": "tilematrixset",
                "level": "tilematrix",
                "row": "tilerow",
                "col": "tilecol",
            }
            wanted: dict[str, str | None] = {name: required(query, key) for name, key in keys.items()}
            wanted |= {"format": required(query, "format"), "style": query.get("style") or "default"}
            return self._tile(request, wanted | {"time": query.get("time")})
        except RefusalError as refusal:
            return _exception_report(refusal)

    async def twms(self, request: Request) -> Response:
        """Tiled WMS: the tile service document, and maps that are exactly one tile."""
        query = query_of(request)
        try:
            if operation(query, "gettileservice", "getmap") == "gettileservice":
                epsg, endpoint = service_of(request)
                layers = [layer for layer in self.store.layers(epsg) if layer.tiled]
                document = documents.tile_service(base_url(request), endpoint, epsg, layers)
                return Response(document, media_type=_XML)
            return self._map(request, query)
        except RefusalError as refusal:
            return Response(documents.service_exception(refusal.text), 400, media_type=_XML)

    def _map(self, request: Request, query: Mapping[str, str]) -> Response:
        epsg, _ = service_of(request)
        layer = self._layer(required(query, "layers"), epsg)
        if (query.get("width"), query.get("height")) != (str(TILE_SIZE), str(TILE_SIZE)):
            raise RefusalError("InvalidParameterValue", "WIDTH", f"Tiles are {TILE_SIZE} x {TILE_SIZE} px")
        tiles = layer.grid(epsg)
        try:
            left, bottom, right, top = (float(edge) for edge in required(query, "bbox").split(","))
        except ValueError:
            raise RefusalError("InvalidParameterValue", "BBOX", "bbox is not four numbers") from None
        # Edges beyond any map, infinite or undefined ones match no level, and cannot be rounded.
        on_map = all(abs(edge) < _FARTHEST for edge in (left, bottom, right, top))
        for level in range(layer.finest_level(epsg) + 1) if on_map else ():
            span = tiles.span(level)
            col, row = (left - tiles.extent[0]) / span, (tiles.extent[3] - top) / span
            errors = (
                right - left - span,
                top - bottom - span,
                (col - round(col)) * span,
                (row - round(row)) * span,
            )
            if max(map(abs, errors)) < 1e-3 * tiles.resolution(level):
                wanted = {"layer": layer.identifier, "set": layer.matrix_set(epsg), "style": "default"}
                wanted |= {"level": str(level), "row": str(round(row)), "col": str(round(col))}
                return self._tile(request, {**wanted, "format": required(query, "format"), "time": query.get("time")})
        raise RefusalError("InvalidParameterValue", "BBOX", "The request does not match any tile pattern of the layer")

    def _tile(self, request: Request, wanted: Mapping[str, str | None]) -> Response:
        epsg, _ = service_of(request)
        layer = self._layer(wanted["layer"] or "", epsg)
        if wanted["style"] != "default":
            raise RefusalError("InvalidParameterValue", "STYLE", "STYLE is invalid")
        if wanted["set"] != layer.matrix_set(epsg):
            raise RefusalError(
                "InvalidParameterValue",
                "TILEMATRIXSET",
                f"TILEMATRIXSET is invalid for LAYER {layer.identifier}",
            )
        if image_format(wanted["format"]) != layer.format or not layer.tiled:
            raise RefusalError("InvalidParameterValue", "FORMAT", f"FORMAT is invalid for LAYER {layer.identifier}")
        tile = Tile(*(_whole(wanted[name], name) for name in ("level", "row", "col")))
        if tile.level > layer.finest_level(epsg):
            raise RefusalError("InvalidParameterValue", "TILEMATRIX", "TILEMATRIX is invalid")
        if not layer.grid(epsg).contains(tile):
            locator = "TILEROW" if tile.row >= layer.grid(epsg).matrix(tile.level)[1] else "TILECOL"
            raise RefusalError("TileOutOfRange", locator, f"{locator} is out of range")
        requested = requested_day(wanted["time"])
        actual = self.store.actual_day(layer, epsg, requested)
        mosaic = None if actual is None else self.store.mosaic(layer, epsg, actual)
        data = None if mosaic is None else mosaic.tile(tile)
        if data is None or actual is None:
            raise MissingError
        headers = {
            "Layer-Time-Actual": datetime.combine(actual, time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Layer-Time-Request": "default" if requested is None else requested.isoformat(),
        }
        return _tagged(request, data, layer.media_type, headers)

    def _capabilities(self, request: Request) -> Response:
        epsg, endpoint = service_of(request)
        layers = [(layer, self.store.periods(layer, epsg)) for layer in self.store.layers(epsg) if layer.tiled]
        return Response(documents.capabilities(base_url(request), endpoint, epsg, layers), media_type=_XML)

    def _domains(self, request: Request, name: str, matrix_set: str, span: str) -> Response:
        epsg, _ = service_of(request)
        layer = self._layer(name, epsg)
        if matrix_set != layer.matrix_set(epsg):
            raise RefusalError("InvalidParameterValue", "TILEMATRIXSET", f"TILEMATRIXSET is invalid for LAYER {name}")
        periods = self.store.periods(layer, epsg)
        if span != "all":
            periods = _clip(periods, span)
        return _tagged(request, documents.domains(epsg, periods).encode(), _XML, {})

    def _layer(self, name: str, epsg: int) -> Layer:
        layer = self.store.layer(name, epsg)
        if layer is None:
            raise RefusalError("InvalidParameterValue", "LAYER", "LAYER does not exist")
        return layer


def _tagged(request: Request, data: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """An answer with its entity tag, or that it is the one which the client has."""
    # OnEarth sends entity tags without quotes, and so do we.
    tag = hashlib.blake2b(data, digest_size=8).hexdigest()
    if request.headers.get("If-None-Match", "").removeprefix("W/").strip('"') == tag:
        return Response(status_code=304, headers={**headers, "ETag": tag})
    return Response(data, headers={**headers, "ETag": tag}, media_type=media_type)


def _reaches(day: date, step: str, start: date) -> bool:
    after = add_steps(day, step, 1)
    return after is None or after > start


def _clip(periods: list[Period], span: str) -> list[Period]:
    """Periods within `start/end`, both days included."""
    first, _, last = span.partition("/")
    try:
        start, end = parse_day(first), parse_day(last or first)
    except ValueError:
        raise RefusalError("InvalidParameterValue", "TIME", "TIME is invalid") from None
    clipped = []
    for period in periods:
        days = [day for day in period.days() if day <= end and _reaches(day, period.step, start)]
        if days:
            clipped.append(Period(days[0], days[-1], period.step))
    return clipped


def _whole(text: str | None, name: str) -> int:
    locator = {"level": "TILEMATRIX", "row": "TILEROW", "col": "TILECOL"}[name]
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise RefusalError("InvalidParameterValue", locator, f"{locator} is not a valid integer")
    return int(text)


def _exception_report(refusal: RefusalError) -> Response:
    return Response(documents.ows_exception(refusal.code, refusal.locator, refusal.text), 400, media_type=_XML)


def _not_found(_: Request, __: Exception) -> Response:
    return HTMLResponse(
        "<!DOCTYPE html><html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n",
        404,
    )


def _damaged(_: Request, error: Exception) -> Response:
    logger.error("%s", error)
    return PlainTextResponse(f"{error}\n", 500)
