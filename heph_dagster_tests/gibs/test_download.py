"""Fetching days: from the local server, and from servers that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow
from starlette.responses import HTMLResponse, Response

from heph_dagster.gibs.archive import encode, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.client import DayNotAvailableError, GibsClient, GibsError
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Layout, Mosaic, manifest_path
from heph_dagster.gibs.partial import PartialDay, StorageError, TileRecord
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.raster import gdal, read_palette, read_pixels
from heph_dagster.gibs.server import documents
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, NDVI, NO_DATA, VIIRS, earth
from heph_dagster_tests.servers import Answer, counted, running, scripted

DAY = DAYS[0]
TILE = encode(np.full((512, 512, 3), 120, np.uint8), "jpg")


def tile_answer(day: date | None = DAY, body: bytes = TILE, **headers: str) -> Response:
    if day is not None:
        headers["Layer-Time-Actual"] = f"{day}T00:00:00Z"
    return Response(body, media_type="image/jpeg", headers=headers)


def fetch(
    url: str, layer: Layer, root: Path, *days: date, level: int = LEVEL, **options
) -> list[FetchedDay | FailedDay]:
    request = DayRequest(layer, EPSG, level, root, **options)
    return fetch_days(GibsClient(url, connections=4, backoff=0), request, days or [DAY])


def error_of(answer: Answer, layer: Layer, root: Path, level: int = 0) -> GibsError:
    """The error with which a day ends; nothing may be left of it."""
    with scripted(answer) as url:
        (result,) = fetch(url, layer, root, level=level)
    assert isinstance(result, FailedDay)
    assert not [file for file in root.rglob("*") if file.is_file()]
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

    with running(app) as url:
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
    assert "failed 5 times, at last with: Cannot connect to host 127.0.0.1" in str(result.error)
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
    with pytest.raises(ValueError, match="MODIS_Fires_All is a vector layer: GIBS has no tiles of it"):
        fetch(nowhere, catalogue["MODIS_Fires_All"], tmp_path)


def tiles_of(path: Path) -> dict[Tile, bytes | None]:
    with Mosaic(path, EPSG) as mosaic:
        return {tile: mosaic.tile(tile) for tile in mosaic.layout.window.tiles()}


def one(results: list[FetchedDay | FailedDay]) -> FetchedDay:
    (result,) = results
    assert isinstance(result, FetchedDay), result
    return result


def test_a_day_on_disk_is_not_asked_for_again(
    archive: Path, tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    with counted(archive, catalogue) as (url, statuses):
        assert one(fetch(url, viirs, tmp_path)).outcome == "new"
        assert statuses == {200: 6}
        kept = one(fetch(url, viirs, tmp_path))
    assert (kept.outcome, kept.tiles, kept.changed, kept.verified_by) == ("kept", 6, 0, "header")
    assert statuses == {200: 6}


def test_another_level_or_box_replaces_a_day_only_when_asked_to(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    world = one(fetch(gibs_url, viirs, tmp_path))
    before = tiles_of(world.path)
    for options in ({"level": 0}, {"bbox": (0.0, 0.0, 10.0, 10.0)}):
        (failed,) = fetch(gibs_url, viirs, tmp_path, **options)
        assert isinstance(failed, FailedDay)
        assert "holds another level or box" in str(failed.error)
        assert tiles_of(world.path) == before
    assert one(fetch(gibs_url, viirs, tmp_path, level=0, refresh=True)).outcome == "new"
    assert set(tiles_of(world.path)) == {Tile(0, 0, 0), Tile(0, 0, 1)}


def test_a_refresh_takes_what_has_changed(tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    root, data = tmp_path / "archive", tmp_path / "data"
    image = earth(DAY)
    write_day(root, viirs, EPSG, DAY, image)
    with counted(root, catalogue) as (url, statuses):
        first = one(fetch(url, viirs, data))
        same = one(fetch(url, viirs, data, refresh=True))
        assert (same.outcome, same.changed) == ("unchanged", 0)
        assert statuses == {200: 6, 304: 6}
        image[:512, :512] = 255 - image[:512, :512]
        write_day(root, viirs, EPSG, DAY, image)
        other = one(fetch(url, viirs, data, refresh=True))
    assert (other.outcome, other.changed, other.tiles) == ("replaced", 1, 6)
    assert statuses == {200: 7, 304: 11}
    assert tiles_of(other.path) == tiles_of(mosaic_path(root, EPSG, DAY, viirs))
    facts = pq.read_table(manifest_path(other.path)).schema.metadata
    assert facts[b"changed_tiles"] == b"1"
    assert facts[b"replaced"].decode().startswith(f"{VIIRS}.")
    assert first.path == other.path
    assert len(list(data.rglob("*"))) == 2 + 4  # two folders; mosaic, tiles, index and manifest


def test_a_refresh_without_tags_compares_the_bytes(tmp_path: Path, viirs: Layer) -> None:
    with scripted(lambda *_: tile_answer()) as url:
        assert one(fetch(url, viirs, tmp_path, level=0)).outcome == "new"
        assert one(fetch(url, viirs, tmp_path, level=0, refresh=True)).outcome == "unchanged"


def test_a_refresh_that_fails_leaves_the_old_day(tmp_path: Path, viirs: Layer) -> None:
    with scripted(lambda *_: tile_answer()) as url:
        old = one(fetch(url, viirs, tmp_path, level=0))
    with scripted(lambda *_: tile_answer(date(2020, 9, 24))) as url:
        (failed,) = fetch(url, viirs, tmp_path, level=0, refresh=True)
    assert isinstance(failed, FailedDay)
    assert tiles_of(old.path)[Tile(0, 0, 0)] == TILE


def test_a_stopped_download_goes_on(tmp_path: Path, viirs: Layer) -> None:
    asked: list[str] = []

    def answer(_: int, path: str) -> Response:
        asked.append(path)
        return Response("no", 403) if len(asked) == 5 else tile_answer()

    with scripted(answer) as url:
        client, request = GibsClient(url, connections=1, backoff=0), DayRequest(viirs, EPSG, LEVEL, tmp_path)
        (failed,) = fetch_days(client, request, [DAY])
        assert isinstance(failed, FailedDay)
        assert not list(tmp_path.rglob("*.mrf"))
        assert len(asked) == 5
        done = one(fetch_days(client, request, [DAY]))
    assert len(asked) == 7
    assert set(asked[5:]) == set(asked) - set(asked[:4])
    assert set(tiles_of(done.path).values()) == {TILE}
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("damage", "fetched"), [("none", 3), ("tail", 4), ("bytes", 5), ("journal", 4), ("request", 6)]
)
def test_of_an_earlier_try_only_what_is_whole_is_kept(
    archive: Path, tmp_path: Path, viirs: Layer, catalogue: Catalogue, damage: str, fetched: int
) -> None:
    path = mosaic_path(tmp_path, EPSG, DAY, viirs)
    stored = tiles_of(mosaic_path(archive, EPSG, DAY, viirs))
    window = viirs.grid(EPSG).window(LEVEL)
    with counted(archive, catalogue) as (url, statuses):
        asked = {"server": url, "endpoint": "best", "level": LEVEL, "window": str(window)}
        if damage == "request":
            asked["endpoint"] = "nrt"
        with PartialDay(path, Layout(window), asked) as partial:
            for tile, data in list(stored.items())[:3]:
                digest = hashlib.sha256(data or b"").hexdigest()
                now = datetime.now(UTC)
                record = TileRecord(
                    *tile, "", 200, len(data or b""), digest, None, None, DAY, now, stored_sha256=digest
                )
                partial.add(record, data or b"")
        part, journal = path.with_name(f".{VIIRS}.part"), path.with_name(f".{VIIRS}.part.jsonl")
        if damage == "tail":
            part.write_bytes(part.read_bytes()[:-1])
        elif damage == "bytes":
            data = bytearray(part.read_bytes())
            data[len(stored[Tile(1, 0, 0)] or b"") + 9] ^= 1
            part.write_bytes(data)
        elif damage == "journal":
            journal.write_bytes(journal.read_bytes()[:-30])
        done = one(fetch(url, viirs, tmp_path))
    assert statuses == {200: fetched}
    assert tiles_of(done.path) == stored
    assert not list(tmp_path.rglob(".*"))


def test_two_downloads_of_a_day_are_one(archive: Path, tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    with counted(archive, catalogue, seconds=0.02) as (url, statuses), ThreadPoolExecutor() as pool:
        both = [pool.submit(fetch, url, viirs, tmp_path, DAY, DAYS[1]) for _ in range(2)]
        results = [result for each in both for result in each.result()]
    outcomes = [result.outcome for result in results if isinstance(result, FetchedDay)]
    assert sorted(outcomes) == ["kept", "kept", "new", "new"]
    assert statuses == {200: 12}
    path = mosaic_path(tmp_path, EPSG, DAY, viirs)
    assert tiles_of(path) == tiles_of(mosaic_path(archive, EPSG, DAY, viirs))


def test_a_box_is_a_mosaic_of_its_own(archive: Path, tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    with counted(archive, catalogue) as (url, statuses):
        result = one(fetch(url, viirs, tmp_path, bbox=(0.0, -30.0, 170.0, 20.0)))
    assert statuses == {200: 2}
    dataset = gdal().Open(str(result.path))
    assert dataset.GetGeoTransform()[::3] == (-36, 90)
    assert (dataset.RasterXSize, dataset.RasterYSize) == (1280 - 512, 512)
    whole = read_pixels(mosaic_path(archive, EPSG, DAY, viirs))
    np.testing.assert_array_equal(read_pixels(result.path), whole[:512, 512:])


PALETTE = ((0, 0, 0, 0), (255, 0, 0, 255), (0, 90, 200, 128))


def png_tiles() -> dict[str, tuple[bytes, np.ndarray]]:
    """Tiles of every kind of PNG, with their pixels as RGBA."""
    rng = np.random.default_rng(5)
    indices = rng.integers(0, 3, (512, 512), dtype=np.uint8)
    grey = rng.integers(0, 256, (512, 512), dtype=np.uint8)
    rgb = rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)
    rgba = rng.integers(0, 256, (512, 512, 4), dtype=np.uint8)
    opaque = np.full((512, 512), 255, np.uint8)
    packed = io.BytesIO()
    picture = Pillow.fromarray(indices, "P")
    picture.putpalette([value for entry in PALETTE for value in entry[:3]])
    picture.save(packed, "PNG", transparency=bytes(entry[3] for entry in PALETTE))  # two bits a pixel
    return {
        "palette": (encode(indices, "png", PALETTE), np.array(PALETTE, np.uint8)[indices]),
        "packed": (packed.getvalue(), np.array(PALETTE, np.uint8)[indices]),
        "grey": (encode(grey, "png"), np.dstack([grey, grey, grey, opaque])),
        "rgb": (encode(rgb, "png"), np.dstack([rgb, opaque])),
        "rgba": (encode(rgba, "png"), rgba),
    }


@pytest.mark.parametrize(
    ("kinds", "normalised"),
    [
        (["palette", "grey", "rgb", "rgba", "packed", "rgba"], True),
        (["packed"] * 6, True),
        (["palette"] * 6, False),
        (["rgba"] * 6, False),
    ],
    ids=["mixed", "packed", "palette", "rgba"],
)
def test_png_days_equal_a_decode_tile_by_tile(
    tmp_path: Path, catalogue: Catalogue, kinds: list[str], normalised: bool
) -> None:
    layer, tiles = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"], png_tiles()
    order = {(row, col): kinds[3 * row + col] for row in range(2) for col in range(3)}

    def answer(_: int, path: str) -> Response:
        kind = next(kind for (row, col), kind in order.items() if path.endswith(f"/{row}/{col}.png"))
        stamp = {"Layer-Time-Actual": f"{DAY}T00:00:00Z", "ETag": f"tag-{kind}"}
        return Response(tiles[kind][0], media_type="image/png", headers=stamp)

    with scripted(answer) as url:
        result = one(fetch(url, layer, tmp_path))
        assert one(fetch(url, layer, tmp_path, refresh=True)).outcome == "unchanged"
    pixels = read_pixels(result.path)
    if pixels.ndim == 2:
        pixels = np.array(read_palette(result.path), np.uint8)[pixels]
    for (row, col), kind in order.items():
        part = pixels[row * 512 : row * 512 + 512, col * 512 : col * 512 + 512]
        np.testing.assert_array_equal(part, tiles[kind][1][: part.shape[0], : part.shape[1]])
    rows = pq.read_table(manifest_path(result.path)).to_pylist()
    assert {row["normalised"] for row in rows} == {normalised}
    assert [row["etag"] for row in rows] == [f"tag-{kind}" for kind in kinds]
    assert [row["sha256"] for row in rows] == [hashlib.sha256(tiles[kind][0]).hexdigest() for kind in kinds]
    stored = [hashlib.sha256(data or b"").hexdigest() for data in tiles_of(result.path).values()]
    assert [row["stored_sha256"] for row in rows] == stored


def test_a_disk_that_refuses_ends_the_range_with_what_to_do(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    (tmp_path / "4326").write_text("a file where the folder should be", "utf-8")
    with pytest.raises(StorageError, match=r"cannot write .*mrf: .*Make room or choose another folder .HEPH_DATA_DIR."):
        fetch(gibs_url, viirs, tmp_path, *DAYS)


def test_more_connections_are_opened_one_by_one() -> None:
    async def run(url: str) -> list[int]:
        async with GibsClient(url, connections=10) as client:
            allowed = [client._allowed]
            for _ in range(3):
                await client.get(f"{url}/x")
                allowed.append(client._allowed)
            return allowed

    with scripted(lambda *_: tile_answer()) as url:
        assert asyncio.run(run(url)) == [8, 9, 10, 10]
