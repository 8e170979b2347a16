"""What servers list."""

from __future__ import annotations

import asyncio
from datetime import date

import defusedxml.ElementTree as SafeET
import pytest
from starlette.responses import Response

from heph_dagster.gibs.capabilities import ListedLayer, listed_layers, parse_layers
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.client import GibsClient, GibsError
from heph_dagster.gibs.server import documents
from heph_dagster_tests.conftest import EPSG, NDVI, NO_DATA, TERRA, VIIRS
from heph_dagster_tests.servers import scripted

# Several formats and sets, names in any case, timestamps and steps of minutes, no title, no time.
ODD = """<?xml version="1.0" encoding="UTF-8"?>
<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1" version="1.0.0">
  <ows:ServiceIdentification><ows:Title>Odd</ows:Title></ows:ServiceIdentification>
  <Contents>
    <Layer>
      <ows:Title xml:lang="en">Fires</ows:Title>
      <ows:Identifier>
        Fires
      </ows:Identifier>
      <Style isDefault="true"><ows:Title>default</ows:Title><ows:Identifier>default</ows:Identifier></Style>
      <Format>application/vnd.mapbox-vector-tile</Format>
      <Format>image/png</Format>
      <Dimension><ows:Identifier>TIME</ows:Identifier><ows:UOM>ISO8601</ows:UOM>
        <default>2024-04-30</default><current>false</current>
        <value>2024-04-10/2024-04-30/P1D</value><value>2015-11-25/2016-01-01/P1D, 2017-01-01/2017-02-01/P8D</value>
      </Dimension>
      <TileMatrixSetLink><TileMatrixSet>500m</TileMatrixSet></TileMatrixSetLink>
      <TileMatrixSetLink><TileMatrixSet>1km</TileMatrixSet></TileMatrixSetLink>
    </Layer>
    <Layer>
      <ows:Identifier>Every_Ten_Minutes</ows:Identifier>
      <Format>image/png</Format>
      <Dimension><ows:Identifier>Elevation</ows:Identifier><Default>500</Default><Value>500</Value></Dimension>
      <Dimension><ows:Identifier>time</ows:Identifier><Default>2024-05-01T12:00:00Z</Default>
        <Value>2024-04-29T23:50:00Z/2024-05-01T12:00:00Z/PT10M</Value>
      </Dimension>
      <TileMatrixSetLink><TileMatrixSet>2km</TileMatrixSet></TileMatrixSetLink>
    </Layer>
    <Layer>
      <ows:Title>Coastlines</ows:Title>
      <ows:Identifier>Coastlines</ows:Identifier>
      <Format>image/png</Format>
      <TileMatrixSetLink><TileMatrixSet>15.625m</TileMatrixSet></TileMatrixSetLink>
    </Layer>
    <Layer>
      <ows:Title>Only a default</ows:Title>
      <ows:Identifier>Only_A_Default</ows:Identifier>
      <Format>image/jpeg</Format>
      <Dimension><ows:Identifier>Time</ows:Identifier><DEFAULT>2004-01-01</DEFAULT></Dimension>
    </Layer>
  </Contents>
</Capabilities>"""


def ask(url: str, epsg: int = EPSG) -> list[ListedLayer]:
    async def work() -> list[ListedLayer]:
        async with GibsClient(url, backoff=0) as client:
            return await listed_layers(client, epsg)

    return asyncio.run(work())


def test_the_local_server_lists_its_layers(gibs_url: str, catalogue: Catalogue) -> None:
    layers = {layer.identifier: layer for layer in ask(gibs_url)}
    assert list(layers) == [TERRA, NO_DATA, VIIRS, NDVI]
    assert layers[VIIRS] == ListedLayer(
        VIIRS, catalogue[VIIRS].title, ("image/jpeg",), ("250m",), date(2020, 9, 25), date(2020, 9, 28)
    )
    assert (layers[NDVI].formats, layers[NDVI].first_day) == (("image/png",), date(2020, 9, 13))
    assert ask(gibs_url, 3413) == []


def test_odd_documents_are_read() -> None:
    assert parse_layers(SafeET.fromstring(ODD)) == [
        ListedLayer(
            "Fires",
            "Fires",
            ("application/vnd.mapbox-vector-tile", "image/png"),
            ("500m", "1km"),
            date(2015, 11, 25),
            date(2024, 4, 30),
        ),
        ListedLayer("Every_Ten_Minutes", "", ("image/png",), ("2km",), date(2024, 4, 29), date(2024, 5, 1)),
        ListedLayer("Coastlines", "Coastlines", ("image/png",), ("15.625m",), None, None),
        ListedLayer("Only_A_Default", "Only a default", ("image/jpeg",), (), date(2004, 1, 1), date(2004, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ODD.replace("2004-01-01", "sometime"), "the days of Only_A_Default cannot be read: 'sometime' is not a day"),
        (ODD.replace("Coastlines</ows:Id", "</ows:Id"), "a layer has no identifier, its title is 'Coastlines'"),
        ("<Capabilities", "did not answer with XML"),
        (ODD.replace("<Capabilities", '<!DOCTYPE c [<!ENTITY e "boom">]><Capabilities'), "did not answer with XML"),
        (documents.ows_exception("NoApplicableCode", "", "busy"), "did not answer with capabilities: 200: busy"),
    ],
)
def test_what_cannot_be_read_is_named(body: str, message: str) -> None:
    with (
        scripted(lambda *_: Response(body, media_type="text/xml")) as url,
        pytest.raises(GibsError, match=f"WMTSCapabilities.xml:? {message}"),
    ):
        ask(url)


def test_a_server_without_the_projection_is_named(gibs_url: str) -> None:
    with pytest.raises(GibsError, match=r"epsg3857/best/1.0.0/WMTSCapabilities\.xml answered 404"):
        ask(gibs_url, 3857)
