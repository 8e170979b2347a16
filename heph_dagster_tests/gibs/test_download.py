"""Fetching days: from the local server, and from servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.responses import HTMLResponse, Response

from heph_dagster.gibs.archive import encode, mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.client import DayNotAvailableError, GibsClient, GibsError
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Mosaic, manifest_path
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.server import documents
from heph_dagster.gibs.server.run import running_app
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, NDVI, NO_DATA, VIIRS
from heph_dagster_tests.gibs.downloading import DAY, TILE, fetch, files_below, one, tile_answer
from heph_dagster_tests.servers import Answer, scripted


def error_of(answer: Answer, layer: Layer, root: Path, level: int = 0) -> GibsError:
    """The error with which a day ends; nothing may be left of it."""
    with scripted(answer) as url:
        (result,) = fetch(url, layer, root, level=level)
    assert isinstance(result, FailedDay)
    assert not files_below(root)
    assert isinstance(result.error, GibsError)
    return result.error


@pytest.mark.parametrize("name", [VIIRS, NO_DATA])
def test_days_arrive_byte_for_byte(
    gibs_url: str, archive: Path, tmp_path: Path, catalogue: Catalogue, name: str
) -> None:
    layer = catalogue[name]
    results = fetch(gibs_url, layer, tmp_path, *DAYS)
    assert [result.day for result in results] == DAYS
    for result in results:
        assert isinstance(result, FetchedDay)
        assert (result.tiles, result.absent, result.verified_by) == (6, 0, "header")
        with (
            Mosaic(result.path, EPSG) as got,
            Mosaic(mosaic_path(archive, EPSG, result.day, layer), EPSG) as source,
        ):
            tiles = list(layer.grid(EPSG).window(LEVEL).tiles())
            assert [got.tile(tile) for tile in tiles] == [source.tile(tile) for tile in tiles]


def test_the_manifest_tells_where_each_tile_came_from(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    (result,) = fetch(gibs_url, viirs, tmp_path)
    assert isinstance(result, FetchedDay)
    table = pq.read_table(manifest_path(result.path))
    assert table.schema.metadata[b"verified_by"] == b"header"
    assert table.schema.metadata[b"day"] == b"2020-09-25"
    rows = table.to_pylist()
    assert [(row["row"], row["col"]) for row in rows] == [(row, col) for row in range(2) for col in range(3)]
    assert sum(row["bytes"] for row in rows) == result.bytes
    assert {row["actual_day"] for row in rows} == {DAY}
    assert rows[0]["url"] == f"{gibs_url}/wmts/epsg4326/best/{VIIRS}/default/2020-09-25/250m/1/0/0.jpg"
    assert all(row["etag"] and row["status"] == 200 for row in rows)


def test_a_gap_fails_without_keeping_the_other_days(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    gap = date(2020, 9, 27)
    first, failed, last = fetch(gibs_url, viirs, tmp_path, DAYS[1], gap, DAYS[2])
    assert isinstance(first, FetchedDay)
    assert isinstance(last, FetchedDay)
    assert isinstance(failed, FailedDay)
    assert isinstance(failed.error, DayNotAvailableError)
    assert str(failed.error).endswith(f"has no tile of {VIIRS} on 2020-09-27")
    assert sorted(path.name for path in (tmp_path / "4326").iterdir()) == ["2020-09-26", "2020-09-28"]


def test_a_floored_day_is_not_taken_for_the_day_asked_for(gibs_url: str, tmp_path: Path, catalogue: Catalogue) -> None:
    (result,) = fetch(gibs_url, catalogue[NDVI], tmp_path, date(2020, 9, 20))
    assert isinstance(result, FailedDay)
    assert isinstance(result.error, DayNotAvailableError)
    assert "it answered with 2020-09-13" in str(result.error)
    assert not list(tmp_path.rglob("*.mrf"))


def test_one_tile_of_another_day_spoils_the_whole_day(tmp_path: Path, viirs: Layer) -> None:
    def answer(_: int, path: str) -> Response:
        return tile_answer(date(2020, 9, 24) if path.endswith("/0/1.jpg") else DAY)

    error = error_of(answer, viirs, tmp_path)
    assert isinstance(error, DayNotAvailableError)
    assert "it answered with 2020-09-24" in str(error)


@pytest.mark.parametrize("listed", [True, False])
def test_without_headers_the_domains_decide(tmp_path: Path, viirs: Layer, listed: bool) -> None:
    day = DAY if listed else date(2020, 9, 26)

    def answer(_: int, path: str) -> Response:
        if path.endswith(".xml"):
            return Response(documents.domains(EPSG, [Period(day, day)]), media_type="application/xml")
        return tile_answer(None)

    if not listed:
        assert "does not list 2020-09-25" in str(error_of(answer, viirs, tmp_path))
        return
    with scripted(answer) as url:
        (result,) = fetch(url, viirs, tmp_path, level=0)
    assert isinstance(result, FetchedDay)
    assert result.verified_by == "domains"


def test_one_tile_without_a_day_needs_the_domains(tmp_path: Path, viirs: Layer) -> None:
    def answer(_: int, path: str) -> Response:
        if path.endswith(".xml"):
            return Response(documents.domains(EPSG, []), media_type="application/xml")
        return tile_answer(None if path.endswith("/0/1.jpg") else DAY)

    assert "does not list 2020-09-25" in str(error_of(answer, viirs, tmp_path))


def test_a_day_within_a_long_period_is_not_listed(tmp_path: Path, catalogue: Catalogue) -> None:
    png = encode(np.zeros((512, 512, 4), np.uint8), "png")

    def answer(_: int, path: str) -> Response:
        if path.endswith(".xml"):
            period = Period(date(2020, 9, 21), date(2020, 10, 15), "P8D")
            return Response(documents.domains(EPSG, [period]), media_type="application/xml")
        return Response(png, media_type="image/png")

    # The 25th would be answered with the 21st.
    assert "does not list 2020-09-25" in str(error_of(answer, catalogue[NDVI], tmp_path))


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            lambda: tile_answer(None, **{"Layer-Time-Actual": "default"}),
            "header Layer-Time-Actual: 'default' is not a day",
        ),
        (lambda: Response(status_code=302, headers={"Location": "/again"}), "cannot be asked: "),
        (lambda: Response("upstream timeout", 400), "answered 400: .*upstream timeout"),
    ],
)
def test_odd_answers_fail_their_day_only(tmp_path: Path, viirs: Layer, response, message: str) -> None:
    def answer(_: int, path: str) -> Response:
        return response() if f"/{DAY}/" in path or path == "/again" else tile_answer(DAYS[1])

    with scripted(answer) as url:
        failed, done = fetch(url, viirs, tmp_path, DAY, DAYS[1], level=0)
    assert isinstance(done, FetchedDay)
    assert isinstance(failed, FailedDay)
    assert type(failed.error) is GibsError
    with pytest.raises(GibsError, match=message):
        raise failed.error


def test_the_server_says_when_to_ask_again(tmp_path: Path, viirs: Layer) -> None:
    times: list[float] = []

    def answer(count: int, _: str) -> Response:
        times.append(time.monotonic())
        return Response("busy", 503, headers={"Retry-After": "0.3"}) if count == 1 else tile_answer()

    with scripted(answer) as url:
        one(fetch_days(GibsClient(url, connections=1, backoff=0), DayRequest(viirs, EPSG, 0, tmp_path), [DAY]))
    assert times[1] - times[0] >= 0.3


def test_no_more_requests_are_in_flight_than_allowed(tmp_path: Path, viirs: Layer) -> None:
    now, most = 0, 0

    async def app(scope, receive, send) -> None:
        nonlocal now, most
        if scope["type"] != "http":
            return
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        await tile_answer()(scope, receive, send)

    with running_app(app) as url:
        client = GibsClient(url, connections=3, backoff=0)
        one(fetch_days(client, DayRequest(viirs, EPSG, 3, tmp_path), [DAY]))
    assert most == 3


def test_days_are_fetched_where_a_loop_is_running(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    async def notebook() -> list[FetchedDay | FailedDay]:
        return fetch(gibs_url, viirs, tmp_path)

    one(asyncio.run(notebook()))


def test_absent_tiles_are_recorded_and_read_as_no_data(tmp_path: Path, viirs: Layer) -> None:
    def answer(_: int, path: str) -> Response:
        if path.endswith("/0/1.jpg"):
            return HTMLResponse("no such tile", 404)
        return tile_answer(None, ETag="1000000000000") if path.endswith("/1/2.jpg") else tile_answer()

    with scripted(answer) as url:
        (result,) = fetch(url, viirs, tmp_path)
    assert isinstance(result, FetchedDay)
    assert (result.tiles, result.absent) == (4, 2)
    with Mosaic(result.path, EPSG) as mosaic:
        assert mosaic.tile(Tile(1, 0, 1)) is None
        assert mosaic.tile(Tile(1, 1, 1)) == TILE
    rows = pq.read_table(manifest_path(result.path)).to_pylist()
    assert [row["status"] for row in rows] == [200, 404, 200, 200, 200, 200]
    assert [row["bytes"] > 0 for row in rows] == [True, False, True, True, True, False]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again(tmp_path: Path, viirs: Layer, status: int) -> None:
    def answer(count: int, _: str) -> Response:
        return tile_answer() if count > 3 else Response("busy", status, headers={"Retry-After": "0"})

    with scripted(answer) as url:
        (result,) = fetch(url, viirs, tmp_path, level=0)
    assert isinstance(result, FetchedDay)


REPORT = documents.ows_exception("InvalidParameterValue", "TIME", "requested TIME does not exist")


@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        (lambda: Response("busy", 500), GibsError, r"failed 5 times, at last with: status 500"),
        (lambda: HTMLResponse("<h1>Maintenance</h1>"), GibsError, r"answered 200: text/html.*Maintenance"),
        (
            lambda: Response(REPORT, media_type="text/xml"),
            GibsError,
            "answered 200: requested TIME does not exist",
        ),
        (
            lambda: Response(REPORT, 400, media_type="text/xml"),
            DayNotAvailableError,
            "on 2020-09-25: 400: requested TIME does not exist",
        ),
        (lambda: tile_answer(body=TILE[:-50]), GibsError, "jpg: the JPEG is cut short"),
        (lambda: tile_answer(body=b"GIF89a"), GibsError, "neither JPEG nor PNG"),
        (
            lambda: tile_answer(body=encode(np.zeros((256, 256, 3), np.uint8), "jpg")),
            GibsError,
            "is 256 x 256 px instead of 512",
        ),
        (lambda: Response("no", 403), GibsError, "answered 403"),
    ],
)
def test_what_is_no_tile_ends_the_day_with_its_reason(
    tmp_path: Path, viirs: Layer, response: Callable[[], Response], kind: type[GibsError], message: str
) -> None:
    error = error_of(lambda *_: response(), viirs, tmp_path)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error


def test_a_server_that_is_down_is_named(tmp_path: Path, viirs: Layer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (result,) = fetch(f"http://127.0.0.1:{closed.getsockname()[1]}", viirs, tmp_path)
    assert isinstance(result, FailedDay)
    assert "tried 5 times, at last with: Cannot connect to host 127.0.0.1" in str(result.error)
    assert "Is the server up and reachable?" in str(result.error)


def test_periods(gibs_url: str, catalogue: Catalogue) -> None:
    async def ask(name: str, *span: date) -> list[Period]:
        async with GibsClient(gibs_url) as client:
            return await client.periods(catalogue[name], EPSG, *span)

    assert asyncio.run(ask(VIIRS)) == [Period(DAYS[0], DAYS[1]), Period(DAYS[2], DAYS[2])]
    assert asyncio.run(ask(VIIRS, DAYS[1], DAYS[2])) == [Period(DAYS[1], DAYS[1]), Period(DAYS[2], DAYS[2])]
    assert asyncio.run(ask(NDVI)) == [Period(date(2020, 9, 13), date(2020, 9, 21), "P8D")]
    assert asyncio.run(ask("MODIS_Aqua_Data_No_Data")) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<!DOCTYPE d [<!ENTITY e "boom">]><d>&e;</d>', "did not answer with XML"),
        ("<Domains/>", "answered without a Domain element"),
        ("not XML", "did not answer with XML"),
    ],
)
def test_domains_that_cannot_be_read_are_named(viirs: Layer, body: str, message: str) -> None:
    async def ask(url: str) -> None:
        async with GibsClient(url, backoff=0) as client:
            await client.periods(viirs, EPSG)

    with (
        scripted(lambda *_: Response(body, media_type="application/xml")) as url,
        pytest.raises(GibsError, match=message),
    ):
        asyncio.run(ask(url))


def test_requests_that_cannot_be_are_refused_before_they_are_made(tmp_path: Path, catalogue: Catalogue) -> None:
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(ValueError, match=f"{VIIRS} has no level 9: the finest in EPSG:4326 is 8"):
        fetch(nowhere, catalogue[VIIRS], tmp_path, level=9)
