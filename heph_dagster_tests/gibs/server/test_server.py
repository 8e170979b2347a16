"""The local GIBS server, as clients see it."""

from __future__ import annotations

import socket
from contextlib import suppress
from datetime import date
from pathlib import Path

import cv2
import defusedxml.ElementTree as SafeET
import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.publish import remove_mosaic
from heph_dagster.gibs.raster import gdal, read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.server.run import PortInUseError, free_port
from heph_dagster.gibs.server.store import Store
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, NDVI, NO_DATA, TERRA, VIIRS, earth
from heph_dagster_tests.gibs.server.conftest import Get, ask

DAY = DAYS[0]


def rest(
    layer: str = VIIRS,
    time: str = f"{DAY}/",
    tile: str = "1/0/2",
    matrix_set: str = "250m",
    suffix: str = "jpg",
) -> str:
    return f"/wmts/epsg4326/best/{layer}/default/{time}{matrix_set}/{tile}.{suffix}"


def kvp(**changes: str | None) -> str:
    query = {
        "SERVICE": "WMTS", "REQUEST": "GetTile", "VERSION": "1.0.0", "LAYER": VIIRS, "STYLE": "default",
        "TIME": f"{DAY}", "TILEMATRIXSET": "250m", "TILEMATRIX": "1", "TILEROW": "0", "TILECOL": "2",
        "FORMAT": "image%2Fjpeg",
    } | changes  # fmt: skip
    return "/wmts/epsg4326/best/wmts.cgi?" + "&".join(
        f"{key}={value}" for key, value in query.items() if value is not None
    )


def exception(body: bytes) -> tuple[str, str]:
    node = SafeET.fromstring(body)[0]
    return node.attrib["exceptionCode"], node.attrib["locator"]


@pytest.mark.parametrize(
    "path", [rest(), kvp(), kvp().lower().replace(VIIRS.lower(), VIIRS), kvp(STYLE="", FORMAT="image/jpeg")]
)
def test_tiles_are_the_bytes_of_the_archive(get: Get, stored, path: str) -> None:
    status, headers, body = get(path)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body == stored(VIIRS, DAY, 1, 0, 2)
    assert headers["Layer-Time-Request"] == "2020-09-25"
    assert headers["Layer-Time-Actual"] == "2020-09-25T00:00:00Z"


@pytest.mark.parametrize("tag", ["{}", '"{}"', 'W/"{}"'])
def test_a_known_tag_is_not_sent_again(get: Get, tag: str) -> None:
    known = get(rest())[1]["ETag"]
    assert '"' not in known
    status, headers, body = get(rest(), If_None_Match=tag.format(known))
    assert (status, body, headers["ETag"]) == (304, b"", known)
    assert get(rest(time=f"{DAYS[1]}/"), If_None_Match=known)[0] == 200


@pytest.mark.parametrize("path", [rest(time=""), rest(time="default/"), kvp(TIME=None), kvp(TIME="default")])
def test_without_a_day_the_newest_answers(get: Get, stored, path: str) -> None:
    _, headers, body = get(path)
    assert headers["Layer-Time-Actual"] == "2020-09-28T00:00:00Z"
    assert body == stored(VIIRS, DAYS[-1], 1, 0, 2)


def test_days_within_a_long_period_are_floored(get: Get, stored) -> None:
    _, headers, body = get(rest(NDVI, "2020-09-20/", suffix="png"))
    assert headers["Layer-Time-Request"] == "2020-09-20"
    assert headers["Layer-Time-Actual"] == "2020-09-13T00:00:00Z"
    assert body == stored(NDVI, date(2020, 9, 13), 1, 0, 2)
    assert get(rest(NDVI, "2020-09-28/", suffix="png"))[1]["Layer-Time-Actual"] == "2020-09-21T00:00:00Z"
    assert get(rest(NDVI, "2020-09-29/", suffix="png"))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        rest(time="2020-09-27/"),
        rest(time="1999-01-01/"),
        rest(tile="2/0/0"),
        "/wmts/epsg3857/best/1.0.0/WMTSCapabilities.xml",
        "/wmts/epsg4326/worst/1.0.0/WMTSCapabilities.xml",
        "/wmts/epsg4326/best/nonsense",
    ],
    ids=["gap", "before", "no such level in the archive", "projection", "endpoint", "nonsense"],
)
def test_what_is_not_there_is_404_as_html(get: Get, path: str) -> None:
    status, headers, body = get(path)
    assert (status, headers["Content-Type"].split(";")[0]) == (404, "text/html")
    assert b"Not Found" in body


@pytest.mark.parametrize(
    ("path", "code", "locator"),
    [
        (rest(tile="1/2/0"), "TileOutOfRange", "TILEROW"),
        (rest(tile="1/0/3"), "TileOutOfRange", "TILECOL"),
        (rest(tile="9/0/0"), "InvalidParameterValue", "TILEMATRIX"),
        (rest(tile="1/-1/0"), "InvalidParameterValue", "TILEROW"),
        (rest(matrix_set="1km"), "InvalidParameterValue", "TILEMATRIXSET"),
        (rest(suffix="png"), "InvalidParameterValue", "FORMAT"),
        (rest(FIRES, matrix_set="500m", suffix="png"), "InvalidParameterValue", "FORMAT"),
        (rest("No_Such_Layer"), "InvalidParameterValue", "LAYER"),
        (rest(time="2020-13-01/"), "InvalidParameterValue", "TIME"),
        (kvp(STYLE="fancy"), "InvalidParameterValue", "STYLE"),
        (kvp(LAYER=None), "MissingParameterValue", "LAYER"),
        (kvp(REQUEST=None), "MissingParameterValue", "REQUEST"),
        (kvp(REQUEST="GetFeatureInfo"), "OperationNotSupported", "REQUEST"),
        (kvp(TILECOL="two"), "InvalidParameterValue", "TILECOL"),
    ],
)
def test_wrong_requests_are_400_with_a_report(get: Get, path: str, code: str, locator: str) -> None:
    status, headers, body = get(path)
    assert (status, headers["Content-Type"]) == (400, "application/xml")
    assert exception(body) == (code, locator)


def domain(body: bytes) -> str | None:
    return next(node.text for node in SafeET.fromstring(body).iter() if node.tag.endswith("Domain") and not len(node))


@pytest.mark.parametrize(
    ("layer", "span", "expected"),
    [
        (VIIRS, "all/all", "2020-09-25/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"),
        (VIIRS, "all", "2020-09-25/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"),
        (VIIRS, "all/2020-09-26--2020-12-31", "2020-09-26/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"),
        (VIIRS, "all/2020-09-27--2020-09-27", None),
        (NDVI, "all/all", "2020-09-13/2020-09-21/P8D"),
        (NDVI, "all/2020-09-15--2020-09-18", "2020-09-13/2020-09-13/P8D"),
        ("MODIS_Aqua_Data_No_Data", "all/all", None),
    ],
)
def test_domains_are_the_days_that_are_there(get: Get, layer: str, span: str, expected: str | None) -> None:
    status, _, body = get(f"/wmts/epsg4326/best/1.0.0/{layer}/default/250m/{span}.xml")
    assert (status, domain(body)) == (200, expected)


def test_a_layer_without_tiles_has_days_all_the_same(get: Get) -> None:
    path = f"/wmts/epsg4326/best/1.0.0/{FIRES}/default/500m/all/all.xml"
    assert domain(get(path)[2]) == "2020-09-25/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"


def test_domains_by_key_value_pairs(get: Get) -> None:
    query = f"REQUEST=DescribeDomains&LAYER={VIIRS}&TILEMATRIXSET=250m&TIME=2020-09-26/2020-09-28"
    assert (
        domain(get(f"/wmts/epsg4326/best/wmts.cgi?{query}")[2]) == "2020-09-26/2020-09-26/P1D,2020-09-28/2020-09-28/P1D"
    )
    wrong = query.replace("2020-09-28", "yesterday")
    assert exception(get(f"/wmts/epsg4326/best/wmts.cgi?{wrong}")[2]) == ("InvalidParameterValue", "TIME")


@pytest.mark.parametrize("path", ["1.0.0/WMTSCapabilities.xml", "wmts.cgi?SERVICE=WMTS&REQUEST=GetCapabilities"])
def test_capabilities(get: Get, path: str) -> None:
    root = SafeET.fromstring(get(f"/wmts/epsg4326/best/{path}")[2])
    names = {"w": "http://www.opengis.net/wmts/1.0", "ows": "http://www.opengis.net/ows/1.1"}
    layers = {node.findtext("ows:Identifier", None, names): node for node in root.findall("w:Contents/w:Layer", names)}
    assert set(layers) == {VIIRS, TERRA, NO_DATA, NDVI}
    values = [node.text for node in layers[VIIRS].findall("w:Dimension/w:Value", names)]
    assert values == ["2020-09-25/2020-09-26/P1D", "2020-09-28/2020-09-28/P1D"]
    assert layers[VIIRS].findtext("w:Dimension/w:Default", None, names) == "2020-09-28"
    assert layers[NDVI].findtext("w:Format", None, names) == "image/png"
    matrices = root.findall("w:Contents/w:TileMatrixSet/w:TileMatrix", names)
    assert [matrix.findtext("w:MatrixWidth", None, names) for matrix in matrices[:4]] == ["2", "3", "5", "10"]


def test_a_folder_without_days_has_empty_capabilities(tmp_path: Path, catalogue: Catalogue) -> None:
    assert Store(tmp_path, catalogue).layers(4326) == []
    with pytest.raises(FileNotFoundError, match=r"nowhere is not a folder; `heph archive synthesize"):
        Store(tmp_path / "nowhere", catalogue)


def test_days_that_come_and_change_while_the_server_runs_are_seen(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue[VIIRS]
    store = Store(tmp_path, catalogue)
    assert store.mosaic(layer, EPSG, DAY) is None
    write_day(tmp_path, layer, EPSG, DAY, earth(DAY, 0))
    first = store.mosaic(layer, EPSG, DAY)
    assert first is not None
    assert store.mosaic(layer, EPSG, DAY) is first
    before = first.tile(Tile(0, 0, 0))
    write_day(tmp_path, layer, EPSG, DAY, earth(DAYS[1], 0))
    after = store.mosaic(layer, EPSG, DAY)
    assert after is not None
    assert after.tile(Tile(0, 0, 0)) != before
    store.close()


@pytest.mark.parametrize("then", ["the same day", "another day", "the list"])
def test_the_room_of_days_that_are_gone_is_given_back(tmp_path: Path, catalogue: Catalogue, then: str) -> None:
    layer = catalogue[VIIRS]
    paths = [write_day(tmp_path, layer, EPSG, day, earth(day, 0)) for day in DAYS]
    store = Store(tmp_path, catalogue)
    removed, replaced = (store.mosaic(layer, EPSG, day) for day in DAYS[:2])
    kept = [removed.data_path, replaced.data_path]
    remove_mosaic(paths[0])
    write_day(tmp_path, layer, EPSG, DAYS[1], earth(DAY, 0))
    assert open_files() >= {f"{path} (deleted)" for path in kept}
    if then == "the list":
        assert store.layers(EPSG) == [layer]
    else:
        assert (store.mosaic(layer, EPSG, DAYS[0 if then == "the same day" else 2]) is None) == (then == "the same day")
    assert not open_files() & {f"{path} (deleted)" for path in kept}
    store.close()


def open_files() -> set[str]:
    """What this process has open."""
    names = set()
    for number in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(str(number.readlink()))
    return names


def test_damaged_mosaics_are_told_and_others_served(
    tmp_path: Path, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    layer = catalogue[VIIRS]
    index, size, picture = (write_day(tmp_path, layer, EPSG, day, earth(day, 1)) for day in DAYS)
    place = next(index.parent.glob("*.idx"))
    place.write_bytes(b"\xff" * 16 + place.read_bytes()[16:])
    size.write_text(size.read_text("utf-8").replace('Size x="1280"', 'Size x="0"', 1), "utf-8")
    data = next(picture.parent.glob("*.pjg"))
    data.write_bytes(bytes(data.stat().st_size))
    wms = (
        "/wms/epsg4326/best/wms.cgi?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&STYLES=&SRS=EPSG:4326&WIDTH=64&HEIGHT=64"
        f"&LAYERS={VIIRS}&BBOX=-180,-90,180,90&FORMAT=image/jpeg&TIME="
    )
    with running_server(tmp_path, catalogue) as url:
        status, _, body = ask(url + rest(tile="1/0/0"))
        assert status == 500
        assert body.decode().startswith(f"{place.with_suffix('.pjg')} ends before Tile(level=1, row=0, col=0): it or")
        assert ask(url + rest(tile="1/0/1"))[0] == 200
        assert ask(url + rest(time=f"{DAYS[1]}/"))[0] == 404
        assert f"{size}: 0 x 640 px for" in caplog.text
        assert ask(f"{url}{wms}{DAYS[2]}")[0] == 500
        assert "cannot be decoded" in caplog.text


TMS = """<GDAL_WMS><Service name="TMS">
<ServerUrl>{url}/wmts/epsg4326/best/{layer}/default/{day}/250m/${{z}}/${{y}}/${{x}}.jpg
</ServerUrl></Service><DataWindow><UpperLeftX>-180</UpperLeftX><UpperLeftY>90</UpperLeftY><LowerRightX>396</LowerRightX>
<LowerRightY>-198</LowerRightY><TileLevel>1</TileLevel><TileCountX>2</TileCountX><TileCountY>1</TileCountY>
<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:4326</Projection><BlockSizeX>512</BlockSizeX><BlockSizeY>512</BlockSizeY><BandsCount>3</BandsCount>
</GDAL_WMS>""".replace("\n", "")
TILED_WMS = """<GDAL_WMS><Service name="TiledWMS"><ServerUrl>{url}/twms/epsg4326/best/twms.cgi?</ServerUrl>
<TiledGroupName>{title} tileset</TiledGroupName><Change key="${{time}}">{day}</Change></Service></GDAL_WMS>"""
WMTS = "WMTS:{url}/wmts/epsg4326/best/1.0.0/WMTSCapabilities.xml,layer={layer}"


@pytest.mark.parametrize(
    ("document", "day"), [(TMS, DAY), (TILED_WMS, DAY), (WMTS, DAYS[-1])], ids=["TMS", "TiledWMS", "WMTS"]
)
def test_gdal_clients_read_the_pixels_of_the_archive(
    gibs_url: str, archive: Path, catalogue: Catalogue, document: str, day: date
) -> None:
    layer = catalogue[VIIRS]
    text = document.format(url=gibs_url, layer=layer.identifier, day=day, title=layer.title)
    dataset = gdal().Open(text)
    step = dataset.GetGeoTransform()[1]
    pixels = dataset.ReadAsArray(
        0, 0, round(360 / step), round(180 / step), buf_xsize=1280, buf_ysize=640, interleave="pixel"
    )
    difference = pixels[..., :3].astype(int) - read_pixels(mosaic_path(archive, EPSG, day, layer))
    # The JPEG decoders of GDAL's WMS and MRF drivers differ by up to 3.
    assert np.abs(difference).max() <= 3
    assert np.abs(difference).mean() < 0.1


POLAR_TMS = (
    TMS.replace("4326", "{epsg}")
    .replace(
        "<UpperLeftX>-180</UpperLeftX><UpperLeftY>90</UpperLeftY><LowerRightX>396</LowerRightX><LowerRightY>-198</LowerRightY>",
        "<UpperLeftX>-4194304</UpperLeftX><UpperLeftY>4194304</UpperLeftY><LowerRightX>4194304</LowerRightX>"
        "<LowerRightY>-4194304</LowerRightY>",
    )
    .replace("<TileCountY>1", "<TileCountY>2")
)


@pytest.mark.parametrize("epsg", [3413, 3031])
@pytest.mark.parametrize("document", [POLAR_TMS, TILED_WMS, WMTS], ids=["TMS", "TiledWMS", "WMTS"])
def test_gdal_clients_read_polar_mosaics(tmp_path: Path, catalogue: Catalogue, document: str, epsg: int) -> None:
    layer = catalogue[VIIRS]
    image = cv2.resize(earth(DAY), (2048, 2048))
    mosaic = write_day(tmp_path, layer, epsg, DAY, image)
    with running_server(tmp_path, catalogue) as url:
        text = document.replace("4326", str(epsg)).format(
            url=url, layer=layer.identifier, day=DAY, title=layer.title, epsg=epsg
        )
        dataset = gdal().Open(text)
        assert dataset.GetGeoTransform()[::3] == (-4194304, 4194304)
        assert dataset.GetSpatialRef().GetAuthorityCode(None) == str(epsg)
        pixels = dataset.ReadAsArray(buf_xsize=2048, buf_ysize=2048, interleave="pixel")
    assert np.abs(pixels[..., :3].astype(int) - read_pixels(mosaic)).max() <= 3


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("", ""), 200),
        (("width=512", "width=256"), 400),
        (("bbox=-180", "bbox=-179"), 400),
        (("bbox=-180,-54,-36,90", "bbox=here"), 400),
        (("layers=", "layer="), 400),
        (("request=GetMap", "request=GetLegend"), 400),
        (("2020-09-25", "2020-09-27"), 404),
    ],
)
def test_tiled_wms_maps_are_exactly_one_tile(get: Get, stored, change: tuple[str, str], status: int) -> None:
    query = (
        f"request=GetMap&layers={VIIRS}&srs=EPSG:4326&format=image%2Fjpeg&styles=&time=2020-09-25&width=512&height=512"
    )
    answer = get("/twms/epsg4326/best/twms.cgi?" + f"{query}&bbox=-180,-54,-36,90".replace(*change))
    assert answer[0] == status
    if status == 200:
        assert answer[2] == stored(VIIRS, DAY, 1, 0, 0)
    if status == 400:
        assert b"ServiceException" in answer[2]


def test_a_port_that_is_taken_is_named(archive: Path, catalogue: Catalogue) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"cannot listen on 127.0.0.1:{port} .*choose another with --port"):
            running_server(archive, catalogue, port=port).__enter__()
        assert free_port(port) != port


@pytest.mark.parametrize(
    "path",
    [
        rest(time="..%2F..%2F"),
        rest(layer="..%2F..%2Fetc"),
        rest(tile="1/0/" + "9" * 5000),
        rest(tile="1/0/" + "9" * 9),
        "/wmts/epsg" + "9" * 5000 + "/best/1.0.0/WMTSCapabilities.xml",
        rest(time="0001-01-01T00:00:00+23:59/"),
        rest(time="9999-12-31T23:59:59-23:59/"),
        rest(time="2020-09-25%E2%98%8305:00/"),
        kvp(TIME="2020-09-25%0D05:00"),
        kvp(TILEROW="%D9%A1"),
        f"/twms/epsg4326/best/twms.cgi?request=GetMap&layers={VIIRS}&format=image/jpeg&width=512&height=512&bbox=nan,0,inf,1",
        f"/twms/epsg4326/best/twms.cgi?request=GetMap&layers={VIIRS}&format=image/jpeg&width=512&height=512&bbox=0,0,1e400,1",
        "/wmts/epsg4326/best/wmts.cgi?%FF%FE=%00",
    ],
)
def test_odd_requests_are_refused_not_crashed_at(get: Get, path: str) -> None:
    assert get(path)[0] in {400, 404}


def test_what_is_no_day_and_what_is_damaged_does_not_disturb_the_rest(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue[VIIRS]
    for day in DAYS[:2]:
        write_day(tmp_path, layer, EPSG, day, earth(day, 0))
    for name in ("2020-13-45", "2020-09-25 (copy)"):
        (tmp_path / "4326" / name).mkdir()
        (tmp_path / "4326" / name / f"{VIIRS}.mrf").write_text("<MRF_META/>", "utf-8")
    next((tmp_path / "4326" / f"{DAYS[1]}").glob("*.idx")).unlink()
    store = Store(tmp_path, catalogue)
    assert [str(period) for period in store.periods(layer, EPSG)] == ["2020-09-25/2020-09-26/P1D"]
    assert store.mosaic(layer, EPSG, DAYS[0]) is not None
    assert store.mosaic(layer, EPSG, DAYS[1]) is None
    store.close()
