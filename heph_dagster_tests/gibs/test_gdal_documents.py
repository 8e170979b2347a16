"""Documents by which GDAL opens days, and the names of tiled groups."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import cv2
import defusedxml.ElementTree as SafeET
import numpy as np
import pytest
from starlette.responses import Response

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.capabilities import tiled_group
from heph_dagster.gibs.catalogue import Catalogue, GIBSLayer, Layer
from heph_dagster.gibs.client import GibsClient, GibsError
from heph_dagster.gibs.gdal_documents import gdal_document
from heph_dagster.gibs.raster import gdal, read_palette, read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.conftest import DAYS, FIRES, NO_DATA, TERRA, VIIRS, earth
from heph_dagster_tests.servers import scripted

BRIGHTNESS = "VIIRS_SNPP_Brightness_Temp_BandI5_Day"
ENCC = "VIIRS_SNPP_DayNightBand_ENCC"
PROTOCOLS = ("tms", "twms", "wmts")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Iterator[tuple[str, Path]]:
    """A server of two days in three projections: a jpg, a png and a palette layer; address and archive."""
    root = tmp_path_factory.mktemp("world")
    for epsg in (4326, 3413, 3031):
        for day in DAYS[:2]:
            image = cv2.resize(earth(day), catalogue[VIIRS].grid(epsg).size(1))
            write_day(root, catalogue[VIIRS], epsg, day, image)
            alpha = np.full(image.shape[:2], 255, np.uint8)
            alpha[:100] = 0
            write_day(root, catalogue[BRIGHTNESS], epsg, day, np.dstack([image, alpha]))
            write_day(root, catalogue[NO_DATA], epsg, day, (image[..., 0] > 128).astype(np.uint8), NO_DATA_PALETTE)
    with running_server(root, catalogue) as url:
        yield url, root


@pytest.mark.parametrize("name", [VIIRS, BRIGHTNESS, NO_DATA])
@pytest.mark.parametrize("epsg", [4326, 3413, 3031])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_documents_open_the_pixels_of_their_day(
    world: tuple[str, Path], catalogue: Catalogue, protocol, epsg: int, name: str
) -> None:
    url, root = world
    layer = catalogue[name]
    width, height = layer.grid(epsg).size(1)
    for day in DAYS[:2]:
        document = gdal_document(layer, protocol, epsg, 1, day, url=url)
        assert f'AUTHORITY["EPSG","{epsg}"]' in gdal().Info(document, options=["-wkt_format", "WKT1"])
        dataset = gdal().Open(document)
        scale = round(layer.grid(epsg).resolution(1) / dataset.GetGeoTransform()[1])
        assert dataset.GetGeoTransform()[::3] == (layer.grid(epsg).extent[0], layer.grid(epsg).extent[3])
        pixels = dataset.ReadAsArray(
            0, 0, width * scale, height * scale, buf_xsize=width, buf_ysize=height, interleave="pixel"
        )
        path = mosaic_path(root, epsg, day, layer)
        stored = read_pixels(path)
        if stored.ndim == 2:
            stored = np.array(read_palette(path), np.uint8)[stored]
        # The JPEG decoders of GDAL's WMS and MRF drivers differ by up to 3.
        assert pixels.shape == stored.shape
        assert np.abs(pixels.astype(int) - stored).max() <= (3 if layer.format == "jpg" else 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_layers_of_one_band_have_one(tmp_path: Path, catalogue: Catalogue, protocol) -> None:
    write_day(tmp_path, catalogue[ENCC], 4326, DAYS[0], earth(DAYS[0])[..., 0])
    with running_server(tmp_path, catalogue) as url:
        dataset = gdal().Open(gdal_document(catalogue[ENCC], protocol, 4326, 1, DAYS[0], url=url))
        scale = round(0.28125 / dataset.GetGeoTransform()[1])
        assert dataset.RasterCount == 1
        pixels = dataset.ReadAsArray(0, 0, 1280 * scale, 640 * scale, buf_xsize=1280, buf_ysize=640)
    np.testing.assert_array_equal(pixels, earth(DAYS[0])[..., 0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_day_that_is_not_there_is_an_error_not_black(world: tuple[str, Path], catalogue: Catalogue, protocol) -> None:
    document = gdal_document(catalogue[VIIRS], protocol, 4326, 1, DAYS[2], url=world[0])
    with pytest.raises(RuntimeError, match="404"):
        gdal().Open(document).ReadAsArray(0, 0, 512, 512)


@pytest.mark.parametrize("name", [TERRA, BRIGHTNESS, ENCC])
@pytest.mark.parametrize("epsg", [4326, 3413, 3031])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_placeholder_is_filled(catalogue: Catalogue, protocol, epsg: int, name: str) -> None:
    layer = catalogue[name]
    if epsg not in layer.projections:
        with pytest.raises(ValueError, match=f"{name} is not available in EPSG:{epsg}"):
            layer.generate_xml(protocol, epsg, "16km", "2024-04-08")
        return
    text = layer.generate_xml(protocol, epsg, "16km", "2024-04-08")
    root = SafeET.fromstring(text)
    assert root.tag == "GDAL_WMS"
    assert all((node.text or "").strip() or len(node) for node in root.iter())
    assert set(re.findall(r"\$?\{\w*\}", text)) == ({"${time}"} if protocol == "twms" else {"${x}", "${y}", "${z}"})
    assert "2024-04-08" in text
    assert root.findtext("Service/ServerUrl", "").startswith("https://gibs.earthdata.nasa.gov/")
    if protocol != "twms":
        window = [root.findtext(f"DataWindow/{corner}") for corner in ("UpperLeftX", "UpperLeftY")]
        window += [root.findtext(f"DataWindow/{corner}") for corner in ("LowerRightX", "LowerRightY")]
        polar = ["-4194304", "4194304", "4194304", "-4194304"]
        assert window == (["-180", "90", "396", "-198"] if epsg == 4326 else polar)
        counts = [root.findtext(f"DataWindow/{name}") for name in ("TileCountX", "TileCountY", "TileLevel")]
        assert counts == (["2", "1", "2"] if epsg == 4326 else ["2", "2", "0"])
        assert root.findtext("BandsCount") == {TERRA: "3", BRIGHTNESS: "4", ENCC: "1"}[name]
        assert root.findtext("Projection") == f"EPSG:{epsg}"


def test_addresses_are_those_of_gibs(catalogue: Catalogue) -> None:
    def address(protocol, **options: str) -> str:
        text = catalogue[VIIRS].generate_xml(protocol, 3413, "1km", date(2024, 4, 8), **options)
        return SafeET.fromstring(text).findtext("Service/ServerUrl", "")

    base = "https://gibs.earthdata.nasa.gov"
    path = f"/wmts/epsg3413/best/{VIIRS}/default/2024-04-08/250m/${{z}}/${{y}}/${{x}}.jpg"
    assert address("tms") == base + path
    assert address("tms", url="http://server", endpoint="nrt") == "http://server" + path.replace("best", "nrt")
    assert address("twms") == f"{base}/twms/epsg3413/best/twms.cgi?"
    assert address("wmts") == (
        f"{base}/wmts/epsg3413/best/wmts.cgi?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER={VIIRS}&STYLE=default"
        "&TIME=2024-04-08&TILEMATRIXSET=250m&TILEMATRIX=${z}&TILEROW=${y}&TILECOL=${x}&FORMAT=image%2Fjpeg"
    )


def test_the_group_is_named_by_the_title_or_by_the_server(catalogue: Catalogue) -> None:
    layer: GIBSLayer = catalogue[VIIRS]
    assert "<TiledGroupName>VIIRS SNPP CorrectedReflectance TrueColor tileset<" in layer.generate_xml(
        "twms", 4326, "16km", "2024-04-08"
    )
    assert "<TiledGroupName>Other &amp; name<" in layer.generate_xml(
        "twms", 4326, "16km", "2024-04-08", group="Other & name"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layers: layers[VIIRS].generate_xml("tms", 4326, "125m", "2024-04-08"), "125m is finer than VIIRS"),
        (lambda layers: layers[VIIRS].generate_xml("tms", 4326, "16km", "April"), "'April' is not a day"),
        (lambda layers: layers[VIIRS].generate_xml("wms", 4326, "16km", "2024-04-08"), "choose tms, twms or wmts"),
        (lambda layers: layers[FIRES].generate_xml("tms", 4326, "16km", "2024-04-08"), f"{FIRES} has no tiles"),
        (lambda layers: gdal_document(layers[VIIRS], "tms", 3031, 6, DAYS[0]), "has no level 6: the finest .* is 5"),
        (lambda layers: gdal_document(layers[VIIRS], "tms", 3031, -1, DAYS[0]), "has no level -1"),
    ],
)
def test_what_cannot_be_is_named(catalogue: Catalogue, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(catalogue)


def group_of(url: str, layer: Layer) -> str:
    async def ask() -> str:
        async with GibsClient(url, backoff=0) as client:
            return await tiled_group(client, layer, 4326)

    return asyncio.run(ask())


# The server's own line breaks, and a second pattern in one element, as OnEarth writes them.
SERVICE = f"""<?xml version="1.0"?><WMS_Tile_Service><TiledPatterns><TiledGroup><Name>All of them</Name><TiledGroup>
<Name> {TERRA} tileset
</Name><TilePattern><![CDATA[
REQUEST=GetMap&Layers={TERRA}&styles=&time=${{time}}&width=512
request=GetMap&layers={TERRA}&styles=&width=512]]></TilePattern></TiledGroup></TiledGroup></TiledPatterns>
</WMS_Tile_Service>"""


def test_groups_are_found_by_their_layer(gibs_url: str, catalogue: Catalogue) -> None:
    assert group_of(gibs_url, catalogue[TERRA]) == "MODIS Terra CorrectedReflectance TrueColor tileset"
    with scripted(lambda *_: Response(SERVICE, media_type="text/xml")) as url:
        assert group_of(url, catalogue[TERRA]) == f"{TERRA} tileset"
        with pytest.raises(GibsError, match=f"GetTileService lists no tiled group of {VIIRS}$"):
            group_of(url, catalogue[VIIRS])
    with pytest.raises(GibsError, match=f"lists no tiled group of {FIRES}$"):
        group_of(gibs_url, catalogue[FIRES])


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response("<oops", media_type="text/xml"), "did not answer with XML"),
        (Response('<!DOCTYPE d [<!ENTITY e "boom">]><d>&e;</d>'), "did not answer with XML"),
        (Response("gone", 404), "answered 404"),
    ],
)
def test_tile_services_that_cannot_be_read_are_named(catalogue: Catalogue, response: Response, message: str) -> None:
    with scripted(lambda *_: response) as url, pytest.raises(GibsError, match=message):
        group_of(url, catalogue[VIIRS])
