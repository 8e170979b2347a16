"""What a server says that it has."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import parse_qsl

import defusedxml.ElementTree as SafeET
from defusedxml.common import DefusedXmlException

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import Answer, GibsClient, GibsError


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


def _document(answer: Answer) -> ET.Element:
    if answer.status != 200:
        raise GibsError(f"{answer.url} answered {answer.explain()}")
    try:
        return SafeET.fromstring(answer.body)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        raise GibsError(f"{answer.url} did not answer with XML: {error}") from error
