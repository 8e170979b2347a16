"""Days of layers without tiles: maps of each tile's box, taken for a day only where the server lists it."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.responses import Response

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.client import DayNotAvailableError, GibsClient, GibsError
from heph_dagster.gibs.download import FailedDay
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import manifest_path
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.server import documents
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, LEVEL, earth, fires
from heph_dagster_tests.gibs.downloading import DAY, fetch, files_below, one
from heph_dagster_tests.servers import counted, scripted

BLANK = encode(np.zeros((512, 512, 4), np.uint8), "png")
OLD = "VIIRS_SNPP_Fires_375m_Day"


@pytest.fixture(scope="session")
def layer(catalogue: Catalogue) -> Layer:
    return catalogue[FIRES]


def map_server(listed: date, body: bytes = BLANK, **headers: str):
    """A server that answers every day with the same map, and lists one."""

    def answer(_: int, path: str) -> Response:
        if path.endswith(".xml"):
            return Response(documents.domains(EPSG, [Period(listed, listed)]), media_type="application/xml")
        return Response(body, media_type="image/png", headers=headers)

    return scripted(answer)


def test_days_of_fires_arrive_pixel_for_pixel(gibs_url: str, tmp_path: Path, layer: Layer) -> None:
    for result in fetch(gibs_url, layer, tmp_path, *DAYS):
        day = one([result])
        assert (day.outcome, day.tiles, day.absent, day.verified_by) == ("new", 6, 0, "domains")
        np.testing.assert_array_equal(read_pixels(day.path), fires(day.day))


def test_each_tile_is_asked_for_as_the_map_of_its_box(gibs_url: str, tmp_path: Path, layer: Layer) -> None:
    result = one(fetch(gibs_url, layer, tmp_path))
    table = pq.read_table(manifest_path(result.path))
    assert table.schema.metadata[b"verified_by"] == b"domains"
    rows = table.to_pylist()
    assert [(row["actual_day"], row["etag"]) for row in rows] == [(None, None)] * 6
    address = urlsplit(rows[5]["url"])
    assert address.path == "/wms/epsg4326/best/wms.cgi"
    assert dict(parse_qsl(address.query, keep_blank_values=True)) == {
        "SERVICE": "WMS", "VERSION": "1.1.1", "REQUEST": "GetMap", "LAYERS": FIRES, "STYLES": "", "SRS": "EPSG:4326",
        "BBOX": "108.0,-198.0,252.0,-54.0", "WIDTH": "512", "HEIGHT": "512", "FORMAT": "image/png",
        "TRANSPARENT": "TRUE", "TIME": "2020-09-25",
    }  # fmt: skip


def test_a_day_of_fires_is_kept_unchanged_and_replaced(
    archive: Path, tmp_path: Path, layer: Layer, catalogue: Catalogue
) -> None:
    with counted(archive, catalogue) as (url, statuses):
        fetch(url, layer, tmp_path)
        assert statuses == {200: 7}  # six maps and the list of days
        assert one(fetch(url, layer, tmp_path)).outcome == "kept"
        assert statuses == {200: 7}
        assert one(fetch(url, layer, tmp_path, refresh=True)).outcome == "unchanged"
    body = encode(np.full((512, 512, 4), (255, 0, 0, 255), np.uint8), "png")
    with map_server(DAY, body) as url:
        replaced = one(fetch(url, layer, tmp_path, refresh=True))
    assert (replaced.outcome, replaced.changed) == ("replaced", 6)
    assert (read_pixels(replaced.path) == (255, 0, 0, 255)).all()


def test_maps_of_different_types_become_rgba(tmp_path: Path, layer: Layer) -> None:
    palette = encode(np.ones((512, 512), np.uint8), "png", ((0, 0, 0, 0), (255, 128, 0, 255)))

    def answer(_: int, path: str) -> Response:
        if path.endswith(".xml"):
            return Response(documents.domains(EPSG, [Period(DAY, DAY)]), media_type="application/xml")
        asked.append(path)
        return Response(palette if len(asked) == 1 else BLANK, media_type="image/png")

    asked: list[str] = []
    with scripted(answer) as url:
        result = one(fetch(url, layer, tmp_path, level=0))
    assert sorted(map(tuple, np.unique(read_pixels(result.path).reshape(-1, 4), axis=0))) == [
        (0, 0, 0, 0),
        (255, 128, 0, 255),
    ]


@pytest.mark.parametrize("body", [BLANK, encode(earth(DAYS[1], 1)[:512, :512], "png")], ids=["blank", "another day's"])
@pytest.mark.parametrize("header", [{}, {"Layer-Time-Actual": f"{DAY}T00:00:00Z"}], ids=["no header", "header"])
def test_a_map_of_a_day_that_is_not_listed_is_refused(
    tmp_path: Path, layer: Layer, body: bytes, header: dict[str, str]
) -> None:
    with map_server(DAYS[1], body, **header) as url:
        (result,) = fetch(url, layer, tmp_path)
    assert isinstance(result, FailedDay)
    assert isinstance(result.error, DayNotAvailableError)
    message = f"does not list 2020-09-25, and nothing else vouches for the day that its tiles of {FIRES} show"
    assert str(result.error) == f"{url} {message}"
    assert not list(tmp_path.rglob(f"{DAY}"))


def test_a_header_of_the_day_is_not_enough(tmp_path: Path, layer: Layer) -> None:
    with map_server(DAY, **{"Layer-Time-Actual": f"{DAY}T00:00:00Z"}) as url:
        assert one(fetch(url, layer, tmp_path)).verified_by == "domains"


def test_a_header_that_names_another_day_is_believed(tmp_path: Path, layer: Layer) -> None:
    with map_server(DAY, **{"Layer-Time-Actual": "2020-09-24T00:00:00Z"}) as url:
        (result,) = fetch(url, layer, tmp_path)
    assert isinstance(result, FailedDay)
    assert "it answered with 2020-09-24" in str(result.error)


@pytest.mark.parametrize("status", [200, 400])
def test_a_service_exception_about_the_day_ends_it(tmp_path: Path, layer: Layer, status: int) -> None:
    report = documents.service_exception("Time value 2020-09-25 is outside", "InvalidDimensionValue", "1.1.1")
    with scripted(lambda *_: Response(report, status, media_type="text/xml")) as url:
        (result,) = fetch(url, layer, tmp_path)
    assert isinstance(result, FailedDay)
    assert type(result.error) is DayNotAvailableError
    assert str(result.error).endswith(f"on 2020-09-25: {status}: Time value 2020-09-25 is outside")
    assert not files_below(tmp_path)


def test_other_service_exceptions_are_explained(tmp_path: Path, layer: Layer) -> None:
    report = documents.service_exception("The layer does not exist", "LayerNotDefined", "1.1.1")
    with scripted(lambda *_: Response(report, media_type="text/xml")) as url:
        (result,) = fetch(url, layer, tmp_path)
    assert isinstance(result, FailedDay)
    assert type(result.error) is GibsError
    assert str(result.error).endswith("answered 200: The layer does not exist")


def test_an_error_about_an_old_name_tells_the_new_one(tmp_path: Path, gibs_url: str, catalogue: Catalogue) -> None:
    hint = f"; GIBS continues {OLD} as VIIRS_SNPP_Thermal_Anomalies_375m_Day"
    unknown = Response(documents.ows_exception("InvalidParameterValue", "LAYER", "LAYER does not exist"), 400)

    async def periods(url: str) -> None:
        async with GibsClient(url, backoff=0) as client:
            await client.periods(catalogue[OLD], EPSG)

    with scripted(lambda *_: unknown) as url:
        with pytest.raises(GibsError, match=rf"LAYER does not exist{hint}$"):
            asyncio.run(periods(url))
        (refused,) = fetch(url, catalogue[OLD], tmp_path)
    (gone,) = fetch(gibs_url, catalogue[OLD], tmp_path)
    with map_server(DAYS[1]) as url:
        (unlisted,) = fetch(url, catalogue[OLD], tmp_path)
    for result in (refused, gone, unlisted):
        assert isinstance(result, FailedDay)
        assert str(result.error).endswith(hint)


def test_tiles_stay_tiles(viirs: Layer, layer: Layer) -> None:
    client = GibsClient("http://server")
    tile = Tile(LEVEL, 0, 1)
    assert client._tile_url(viirs, EPSG, DAY, tile).endswith("/default/2020-09-25/250m/1/0/1.jpg")
    assert "&BBOX=-36.0,-54.0,108.0,90.0&" in client._tile_url(layer, EPSG, DAY, tile)
