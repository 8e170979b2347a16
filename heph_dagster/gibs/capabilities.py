"""What a server says that it has: the layers of its WMTS capabilities, and the groups of its Tiled WMS.

Sources: OGC 07-057r7 (WMTS 1.0.0); GIBS API documentation, "Time Dimension".
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import date
from urllib.parse import parse_qsl

import defusedxml.ElementTree as SafeET
from defusedxml.common import DefusedXmlException

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import Answer, GibsClient, GibsError
from heph_dagster.gibs.periods import parse_day


@dataclass(frozen=True)
class ListedLayer:
    """A layer of a server's capabilities.

    Attributes:
        identifier: Identifier.
        title: Title, for people.
        formats: Media types of its tiles.
        tile_matrix_sets: Names of its tile matrix sets.
        first_day: First day of the periods that are listed, at most the newest 100; None for a layer without time.
        last_day: Last day of them.
    """

    identifier: str
    title: str
    formats: tuple[str, ...]
    tile_matrix_sets: tuple[str, ...]
    first_day: date | None
    last_day: date | None


async def listed_layers(client: GibsClient, epsg: int) -> list[ListedLayer]:
    """The layers that a server lists in a projection.

    Args:
        client: An open session.
        epsg: Projection.

    Raises:
        GibsError: The server cannot be reached, or does not answer with capabilities.
    """
    answer = await client.get(f"{client.url}/wmts/epsg{epsg}/{client.endpoint}/1.0.0/WMTSCapabilities.xml")
    document = _document(answer)
    if not document.tag.endswith("Capabilities"):
        raise GibsError(f"{answer.url} did not answer with capabilities: {answer.explain()}")
    try:
        return parse_layers(document)
    except ValueError as error:
        raise GibsError(f"{answer.url}: {error}") from error


def parse_layers(document: ET.Element) -> list[ListedLayer]:
    """The layers of a WMTS capabilities document, in its order.

    Raises:
        ValueError: A layer has no identifier, or a day that cannot be read.
    """
    return [_layer(element) for element in document.iterfind("{*}Contents/{*}Layer")]


async def tiled_group(client: GibsClient, layer: Layer, epsg: int) -> str:
    """The name of a layer's Tiled WMS group, as GetTileService has it: no rule leads from layers to groups.

    Args:
        client: An open session.
        layer: The layer.
        epsg: Projection.

    Raises:
        GibsError: The server cannot be reached, or has no group of the layer.
    """
    answer = await client.get(f"{client.url}/twms/epsg{epsg}/{client.endpoint}/twms.cgi?request=GetTileService")
    for group in _document(answer).iterfind(".//{*}TiledGroup"):
        query = {key.lower(): value for key, value in parse_qsl(group.findtext("{*}TilePattern", "").strip())}
        if query.get("layers") == layer.identifier:
            return str(group.findtext("{*}Name", "")).strip()
    raise GibsError(f"{answer.url} lists no tiled group of {layer.identifier}{layer.continuation}")


def _layer(element: ET.Element) -> ListedLayer:
    identifier = element.findtext("{*}Identifier", "").strip()
    if not identifier:
        raise ValueError(f"a layer has no identifier, its title is {element.findtext('{*}Title')!r}")
    try:
        days = [day for dimension in element.iterfind("{*}Dimension") for day in _days(dimension)]
    except ValueError as error:
        raise ValueError(f"the days of {identifier} cannot be read: {error}") from error
    formats, sets = (element.iterfind(path) for path in ("{*}Format", "{*}TileMatrixSetLink/{*}TileMatrixSet"))
    return ListedLayer(
        identifier,
        element.findtext("{*}Title", "").strip(),
        tuple((node.text or "").strip() for node in formats),
        tuple((node.text or "").strip() for node in sets),
        min(days, default=None),
        max(days, default=None),
    )


def _days(dimension: ET.Element) -> list[date]:
    """First and last days of the periods of a Time dimension, whose names are of any case; else none.

    Where no period is listed, the default tells the only day that is known. Steps are left alone: they can be minutes.
    """
    if dimension.findtext("{*}Identifier", "").strip().lower() != "time":
        return []
    texts: dict[str, list[str]] = {"value": [], "default": []}
    for node in dimension:
        texts.setdefault(node.tag.rpartition("}")[2].lower(), []).append(node.text or "")
    periods = [item.strip() for text in texts["value"] or texts["default"] for item in text.split(",")]
    return [parse_day(edge) for period in periods if period for edge in period.split("/")[:2]]


def _document(answer: Answer) -> ET.Element:
    if answer.status != 200:
        raise GibsError(f"{answer.url} answered {answer.explain()}")
    try:
        return SafeET.fromstring(answer.body)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        raise GibsError(f"{answer.url} did not answer with XML: {error}") from error
