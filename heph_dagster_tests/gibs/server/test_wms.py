"""WMS, as clients see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import defusedxml.ElementTree as SafeET
import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import Image, gdal, read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, NDVI, NO_DATA, TERRA, VIIRS, earth, fires, swath_gaps
from heph_dagster_tests.gibs.server.conftest import Get, ask
from heph_dagster_tests.gibs.test_mrf import tile_bytes

DAY = DAYS[0]
WORLD = "-180,-90,180,90"


def wms(**changes: str | None) -> str:
    query = {
        "SERVICE": "WMS", "VERSION": "1.1.1", "REQUEST": "GetMap", "LAYERS": FIRES, "STYLES": "", "SRS": "EPSG:4326",
        "BBOX": WORLD, "WIDTH": "1280", "HEIGHT": "640", "FORMAT": "image/png", "TRANSPARENT": "TRUE", "TIME": f"{DAY}",
    } | changes  # fmt: skip
    return "/wms/epsg4326/best/wms.cgi?" + "&".join(
        f"{key}={value}" for key, value in query.items() if value is not None
    )


@pytest.fixture
def picture(get: Get) -> Callable[..., Image]:
    """The pixels of a map, in the bands that it was sent with."""

    def ask(**changes: str | None) -> Image:
        status, headers, body = get(wms(**changes))
        assert (status, headers["Content-Type"]) == (200, changes.get("FORMAT") or "image/png"), body
        pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)

    return ask


def test_the_world_at_a_levels_size_is_the_day(picture) -> None:
    np.testing.assert_array_equal(picture(), fires(DAY))


def test_a_map_says_nothing_of_its_day(get: Get) -> None:
    _, headers, _ = get(wms())
    assert not {"Layer-Time-Actual", "Layer-Time-Request", "ETag", "Last-Modified"} & set(headers)


def test_latitude_comes_first_in_version_1_3_0(picture) -> None:
    old = picture(BBOX="-90,0,0,45", WIDTH="320", HEIGHT="160")
    new = picture(BBOX="0,-90,45,0", WIDTH="320", HEIGHT="160", VERSION="1.3.0", SRS=None, CRS="EPSG:4326")
    np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(old, fires(DAY)[160:320, 320:640])


@pytest.mark.parametrize("time", [None, "default", ""])
def test_without_a_day_the_newest_is_drawn(picture, time: str | None) -> None:
    np.testing.assert_array_equal(picture(TIME=time), fires(DAYS[-1]))


def test_days_within_a_long_period_are_floored(picture) -> None:
    np.testing.assert_array_equal(picture(LAYERS=NDVI, TIME="2020-09-20"), picture(LAYERS=NDVI, TIME="2020-09-13"))
    assert picture(LAYERS=NDVI, TIME="2020-09-20")[200, 400].tolist() == [0, 13, 0, 255]


def test_layers_are_painted_in_their_order(picture) -> None:
    below = picture(LAYERS=TERRA)
    both = picture(LAYERS=f"{TERRA},{FIRES}", STYLES="default,")
    dots = fires(DAY)
    np.testing.assert_array_equal(both[dots[..., 3] == 255], dots[dots[..., 3] == 255])
    np.testing.assert_array_equal(both[dots[..., 3] == 0], below[dots[..., 3] == 0])
    np.testing.assert_array_equal(picture(LAYERS=f"{FIRES},{TERRA}"), below)


def test_the_no_data_layer_is_drawn_in_its_colours(picture) -> None:
    pixels = picture(LAYERS=NO_DATA)
    gaps = swath_gaps(DAYS[0], 1)
    assert pixels.shape[:2] == gaps.shape
    np.testing.assert_array_equal(pixels, np.where(gaps[..., None] > 0, (202, 170, 86, 255), (0, 0, 0, 0)))


def test_outside_the_world_is_transparent_or_black(picture) -> None:
    around = {"BBOX": "-360,-180,360,180", "LAYERS": VIIRS, "WIDTH": "128", "HEIGHT": "64"}
    alpha = np.zeros((64, 128), np.uint8)
    alpha[16:48, 32:96] = 255
    np.testing.assert_array_equal(picture(**around)[..., 3], alpha)
    opaque = picture(**around, TRANSPARENT="FALSE")
    assert opaque.shape == (64, 128, 3)
    assert not opaque[alpha == 0].any()
    assert opaque[alpha == 255].min() > 50
    assert picture(**around, FORMAT="image/jpeg")[:8].max() <= 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"TIME": "2020-09-27"}, "InvalidDimensionValue"),
        ({"TIME": "1999-01-01"}, "InvalidDimensionValue"),
        ({"LAYERS": "MODIS_Aqua_Data_No_Data"}, "InvalidDimensionValue"),
        ({"LAYERS": f"{NDVI},{FIRES}", "TIME": "2020-09-14"}, "InvalidDimensionValue"),
        ({"TIME": "yesterday"}, "InvalidParameterValue"),
        ({"LAYERS": "Nope"}, "LayerNotDefined"),
        ({"LAYERS": f"{FIRES},"}, "LayerNotDefined"),
        ({"LAYERS": None}, "MissingParameterValue"),
        ({"STYLES": "fancy"}, "StyleNotDefined"),
        ({"SRS": "EPSG:3413"}, "InvalidSRS"),
        ({"SRS": None, "CRS": "EPSG:4326"}, "MissingParameterValue"),
        ({"VERSION": "1.3.0", "CRS": "CRS:84"}, "InvalidCRS"),
        ({"VERSION": "1.1.0"}, "InvalidParameterValue"),
        ({"VERSION": None}, "MissingParameterValue"),
        ({"FORMAT": "image/gif"}, "InvalidFormat"),
        ({"BBOX": "here"}, "InvalidParameterValue"),
        ({"BBOX": "10,0,-10,20"}, "InvalidParameterValue"),
        ({"BBOX": "0,0,nan,20"}, "InvalidParameterValue"),
        ({"BBOX": "-1e308,0,1e308,20"}, "InvalidParameterValue"),
        ({"WIDTH": "4097"}, "InvalidParameterValue"),
        ({"HEIGHT": "0"}, "InvalidParameterValue"),
        ({"HEIGHT": "-5"}, "InvalidParameterValue"),
        ({"WIDTH": "9" * 5000}, "InvalidParameterValue"),
        ({"WIDTH": "%D9%A1"}, "InvalidParameterValue"),
        ({"REQUEST": "GetFeatureInfo"}, "OperationNotSupported"),
    ],
)
def test_what_is_wrong_is_a_service_exception(get: Get, changes: dict[str, str | None], code: str) -> None:
    status, headers, body = get(wms(**changes))
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/xml")
    root = SafeET.fromstring(body)
    assert root.tag == "{http://www.opengis.net/ogc}ServiceExceptionReport"
    assert root[0].attrib["code"] == code
    assert root[0].text


def test_a_service_that_is_not_there_is_404(get: Get) -> None:
    assert get(wms().replace("4326/", "3857/"))[0] == 404
    assert get(wms().replace("best", "worst"))[0] == 404


def test_a_map_of_too_many_tiles_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    layout = Layout(catalogue[VIIRS].grid(3413).window(5))
    with MosaicWriter(mosaic_path(tmp_path, 3413, DAY, catalogue[VIIRS]), layout) as mosaic:
        mosaic.put(next(layout.window.tiles()), tile_bytes(1))
        mosaic.publish()
    query = wms(LAYERS=VIIRS, SRS="EPSG:3413", BBOX="-4194304,-4194304,4194304,4194304", WIDTH="100", HEIGHT="100")
    with running_server(tmp_path, catalogue) as url:
        body = ask(url + query.replace("4326", "3413"))[2]
    assert b"The map needs 4096 tiles of level 5" in body


@pytest.mark.parametrize(("version", "root"), [("1.1.1", "WMT_MS_Capabilities"), ("1.3.0", "WMS_Capabilities")])
def test_capabilities_name_layers_days_and_extents(get: Get, version: str, root: str) -> None:
    path = f"/wms/epsg4326/best/wms.cgi?SERVICE=WMS&VERSION={version}&REQUEST=GetCapabilities"
    status, headers, body = get(path)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/xml")
    document = SafeET.fromstring(body)
    assert (document.tag.split("}")[-1], document.attrib["version"]) == (root, version)
    layers = {layer.findtext("{*}Name"): layer for layer in document.findall(".//{*}Layer/{*}Layer")}
    assert set(layers) == {VIIRS, TERRA, NO_DATA, NDVI, FIRES}
    extent = layers[FIRES].find("{*}Extent" if version == "1.1.1" else "{*}Dimension")
    assert extent.text == "2020-09-25/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"
    assert extent.attrib["default"] == "2020-09-28"
    box = document.find(".//{*}BoundingBox").attrib
    assert (box["minx"], box["maxy"]) == (("-180", "90") if version == "1.1.1" else ("-90", "180"))
    if version == "1.1.1":
        assert get("/wms/epsg4326/best/wms.cgi?REQUEST=GetCapabilities&VERSION=1.1.0")[2] == body
    else:
        assert get("/wms/epsg4326/best/wms.cgi?REQUEST=GetCapabilities")[2] == body


MAP = """<GDAL_WMS><Service name="WMS"><Version>{version}</Version>
<ServerUrl>{url}/wms/epsg{epsg}/best/wms.cgi?TIME={day}</ServerUrl><{key}>EPSG:{epsg}</{key}>
<ImageFormat>image/png</ImageFormat><Transparent>TRUE</Transparent><BBoxOrder>{order}</BBoxOrder><Layers>{layer}</Layers></Service><DataWindow>
<UpperLeftX>{left}</UpperLeftX><UpperLeftY>{top}</UpperLeftY><LowerRightX>{right}</LowerRightX>
<LowerRightY>{bottom}</LowerRightY><SizeX>{size[0]}</SizeX><SizeY>{size[1]}</SizeY></DataWindow>
<BandsCount>4</BandsCount><BlockSizeX>300</BlockSizeX><BlockSizeY>200</BlockSizeY></GDAL_WMS>"""


@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
@pytest.mark.parametrize("epsg", [4326, 3413, 3031])
def test_gdals_client_reads_the_pixels_of_the_archive(
    tmp_path: Path, catalogue: Catalogue, version: str, epsg: int
) -> None:
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    size = layer.grid(epsg).size(0)
    image = cv2.resize(earth(DAY), size)
    write_day(tmp_path, layer, epsg, DAY, np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]))
    write_day(tmp_path, layer, epsg, DAYS[1], np.zeros((*image.shape[:2], 4), np.uint8))
    left, bottom, right, top = layer.grid(epsg).extent
    edges = {"left": left, "bottom": bottom, "right": right, "top": top}
    with running_server(tmp_path, catalogue) as url:
        key, order = ("SRS", "xyXY") if version == "1.1.1" else ("CRS", "yxYX" if epsg == 4326 else "xyXY")
        names = {"version": version, "url": url, "epsg": epsg, "layer": layer.identifier, "day": DAY, "key": key}
        dataset = gdal().Open(MAP.format(**names, **edges, size=size, order=order))
        pixels = dataset.ReadAsArray(interleave="pixel")
    np.testing.assert_array_equal(pixels[..., :3], image)
    assert (pixels[..., 3] == 255).all()


def test_gdal_finds_the_layers_in_the_capabilities(gibs_url: str) -> None:
    dataset = gdal().Open(f"WMS:{gibs_url}/wms/epsg4326/best/wms.cgi?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities")
    names = [name for name, _ in dataset.GetSubDatasets()]
    assert len(names) == 5
    assert any(f"LAYERS={FIRES}&" in name and "SRS=EPSG:4326" in name for name in names)


def test_a_gap_is_not_a_blank_map_for_gdal(gibs_url: str) -> None:
    names = {"version": "1.1.1", "url": gibs_url, "epsg": EPSG, "layer": FIRES, "key": "SRS", "order": "xyXY"}
    edges = {"size": (1280, 640), "left": -180, "bottom": -90, "right": 180, "top": 90}
    there = gdal().Open(MAP.format(**names, **edges, day=DAY))
    np.testing.assert_array_equal(there.ReadAsArray(interleave="pixel"), fires(DAY))
    gap = gdal().Open(MAP.format(**names, **edges, day=date(2020, 9, 27)))
    with pytest.raises(RuntimeError, match="outside the time extent"):
        gap.ReadAsArray()


def test_the_archive_of_fires_is_stored_without_loss(archive: Path, catalogue: Catalogue) -> None:
    np.testing.assert_array_equal(read_pixels(mosaic_path(archive, EPSG, DAY, catalogue[FIRES])), fires(DAY))
