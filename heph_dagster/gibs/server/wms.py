"""WMS 1.1.1 and 1.3.0: maps of any box and size, of one layer or several over one another.

This is the way to layers without tiles. Answers say nothing of the day that they show, and carry no entity tags.

Sources: OGC 01-068r3 (WMS 1.1.1); OGC 06-042 (WMS 1.3.0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from functools import reduce

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.catalogue import MEDIA_TYPES, Layer
from heph_dagster.gibs.grid import BBox, Tile, grid
from heph_dagster.gibs.server import documents, maps
from heph_dagster.gibs.server.requests import (
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

_XML = "text/xml"
_MOST_TILES = 1024

Part = tuple[maps.Sample, dict[Tile, bytes]]


class WebMapService:
    """WMS over a folder of mosaics."""

    def __init__(self, store: Store) -> None:
        """Serve maps of the layers of a store."""
        self._store = store

    async def answer(self, request: Request) -> Response:
        """Answer GetCapabilities and GetMap.

        What is wrong with a request is told by a service exception, with status 200: WMS names no status, and
        MapServer, which draws GIBS's maps, sends none unless told to. A day outside all periods of a layer is refused
        so as well, with the code `InvalidDimensionValue`, because MapServer compares the day with the layer's time
        extent; a blank map would pass for a day without fires.

        Raises:
            MissingError: There is no such service.
        """
        epsg, endpoint = service_of(request)
        query = query_of(request)
        version = "1.1.1" if query.get("version", "").startswith("1.1") else "1.3.0"
        try:
            if operation(query, "getcapabilities", "getmap") == "getcapabilities":
                layers = [(layer, self._store.periods(layer, epsg)) for layer in self._store.layers(epsg)]
                document = documents.map_capabilities(version, base_url(request), endpoint, epsg, layers)
                return Response(document, media_type=_XML)
            return await self._map(query, version, epsg)
        except RefusalError as refusal:
            document = documents.service_exception(refusal.text, refusal.code, version)
            return Response(document, media_type=_XML)

    async def _map(self, query: Mapping[str, str], version: str, epsg: int) -> Response:
        if required(query, "version") != version:
            raise RefusalError("InvalidParameterValue", "VERSION", "VERSION must be 1.1.1 or 1.3.0")
        kind = image_format(required(query, "format"))
        if kind is None:
            raise RefusalError("InvalidFormat", "FORMAT", "FORMAT must be image/png or image/jpeg")
        layers = [self._layer(name, epsg) for name in required(query, "layers").split(",")]
        if any(style not in {"", "default"} for style in query.get("styles", "").split(",")):
            raise RefusalError("StyleNotDefined", "STYLES", "STYLES must be empty or default")
        bbox, size = _box(query, version, epsg), (_pixels(query, "width"), _pixels(query, "height"))
        day = requested_day(query.get("time"))
        parts = [self._part(layer, epsg, day, bbox, size) for layer in layers]
        transparent = kind == "png" and query.get("transparent", "").lower() == "true"
        picture = await run_in_threadpool(_draw, parts, kind, transparent=transparent)
        return Response(picture, media_type=MEDIA_TYPES[kind])

    def _layer(self, name: str, epsg: int) -> Layer:
        layer = self._store.layer(name, epsg)
        if layer is None:
            raise RefusalError("LayerNotDefined", "LAYERS", f"The layer {name!r} does not exist")
        return layer

    def _part(self, layer: Layer, epsg: int, day: date | None, bbox: BBox, size: tuple[int, int]) -> Part:
        """What a map shows of a layer, with the tiles that have it."""
        actual = self._store.actual_day(layer, epsg, day)
        mosaic = None if actual is None else self._store.mosaic(layer, epsg, actual)
        if mosaic is None:
            raise RefusalError(
                "InvalidDimensionValue",
                "TIME",
                f"Time value {day or 'default'} is invalid or outside the time extent of {layer.identifier}",
            )
        sample = maps.sample(grid(epsg), mosaic.levels, bbox, size)
        tiles = sample.tiles
        if len(tiles) > _MOST_TILES:
            raise RefusalError(
                "InvalidParameterValue",
                "BBOX",
                f"The map needs {len(tiles)} tiles of level {sample.level} of {layer.identifier}, more than "
                f"{_MOST_TILES}: ask for a smaller box, or serve an archive that has the coarser levels",
            )
        return sample, {tile: data for tile in tiles if (data := mosaic.tile(tile))}


def _draw(parts: list[Part], kind: str, *, transparent: bool) -> bytes:
    """Paint layers, the first at the bottom, and encode the map."""
    picture = reduce(lambda lower, upper: maps.over(upper, lower), (maps.draw(*part) for part in parts))
    return encode(picture if transparent else maps.opaque(picture), kind)


def _box(query: Mapping[str, str], version: str, epsg: int) -> BBox:
    """West, south, east and north of a map.

    In WMS 1.3.0 the axes of EPSG:4326 are those of its definition: latitude first.
    """
    key = "srs" if version == "1.1.1" else "crs"
    if required(query, key).upper() != f"EPSG:{epsg}":
        raise RefusalError(f"Invalid{key.upper()}", key.upper(), f"{key.upper()} must be EPSG:{epsg}")
    try:
        left, bottom, right, top = (float(edge) for edge in required(query, "bbox").split(","))
    except ValueError:
        raise RefusalError("InvalidParameterValue", "BBOX", "BBOX is not four numbers") from None
    if version == "1.3.0" and epsg == 4326:
        left, bottom, right, top = bottom, left, top, right
    if not (math.isfinite(right - left) and math.isfinite(top - bottom) and left < right and bottom < top):
        raise RefusalError("InvalidParameterValue", "BBOX", "BBOX is empty, or its edges are in another order")
    return left, bottom, right, top


def _pixels(query: Mapping[str, str], key: str) -> int:
    text = required(query, key)
    most = documents.LONGEST_EDGE
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise RefusalError("InvalidParameterValue", key.upper(), f"{key.upper()} must be 1 to {most}")
    return int(text)
