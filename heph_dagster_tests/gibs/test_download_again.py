"""Days asked for again, gone on with, cut out and brought together."""

from __future__ import annotations

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow
from starlette.responses import Response

from heph_dagster.gibs import download
from heph_dagster.gibs.archive import encode, import_image, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_day, fetch_days
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.manifest import Published, TileRecord
from heph_dagster.gibs.mrf import Layout, Mosaic, manifest_path
from heph_dagster.gibs.partial import DayBusyError, PartialDay, StorageError
from heph_dagster.gibs.raster import gdal, read_palette, read_pixels
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, VIIRS, earth
from heph_dagster_tests.gibs.downloading import DAY, TILE, fetch, files_below, one, tile_answer, tiles_of
from heph_dagster_tests.servers import counted, scripted


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


def test_an_imported_day_is_kept_and_gives_way_to_a_refresh(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    source = tmp_path / "day.png"
    source.write_bytes(encode(earth(DAYS[1], 1), "png"))
    path = import_image(tmp_path, viirs, EPSG, DAY, source)
    imported = tiles_of(path)
    kept = one(fetch(gibs_url, viirs, tmp_path))
    assert (kept.outcome, kept.level, kept.tiles, kept.absent, kept.verified_by) == ("kept", 1, 6, 0, "origin")
    assert kept.bytes == sum(len(data or b"") for data in imported.values())
    for options in ({"level": 0}, {"bbox": (0.0, 0.0, 10.0, 10.0)}):
        (failed,) = fetch(gibs_url, viirs, tmp_path, **options)
        assert isinstance(failed, FailedDay)
        assert "holds another level or box: give --refresh" in str(failed.error)
    assert tiles_of(path) == imported
    assert one(fetch(gibs_url, viirs, tmp_path, refresh=True)).verified_by == "header"
    assert tiles_of(path) != imported
    with Mosaic(path, EPSG) as mosaic:
        assert mosaic.origin is None
    assert one(fetch(gibs_url, viirs, tmp_path)).verified_by == "header"


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
    assert len(files_below(data)) == 4  # mosaic, tiles, index and manifest


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
        asked = {"server": url, "endpoint": "best", "window": str(window), "replaces": None}
        if damage == "request":
            asked["endpoint"] = "nrt"
        with PartialDay(path, Layout(window)) as partial:
            partial.recover(asked)
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
    keyed = io.BytesIO()
    Pillow.fromarray(rgb).save(keyed, "PNG", transparency=tuple(rgb[0, 0].tolist()))
    visible = np.where((rgb == rgb[0, 0]).all(axis=2), 0, 255).astype(np.uint8)
    return {
        "keyed": (keyed.getvalue(), np.dstack([rgb, visible])),
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
        (["keyed"] * 6, True),
        (["palette"] * 6, False),
        (["rgba"] * 6, False),
    ],
    ids=["mixed", "packed", "keyed", "palette", "rgba"],
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


def test_what_was_told_of_one_old_day_is_not_taken_for_another(
    tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    root, data = tmp_path / "archive", tmp_path / "data"
    write_day(root, viirs, EPSG, DAY, earth(DAY))
    with counted(root, catalogue) as (url, statuses):
        one(fetch(url, viirs, data))
        window = viirs.grid(EPSG).window(LEVEL)
        path = mosaic_path(data, EPSG, DAY, viirs)
        # A refresh stops after a tile that is unchanged; then the day itself is gone.
        with PartialDay(path, Layout(window)) as partial:
            old = next(path.parent.glob("*.pjg")).name
            partial.recover({"server": url, "endpoint": "best", "window": str(window), "replaces": old})
            known = TileRecord(LEVEL, 0, 0, "", 200, 99, None, None, None, DAY, datetime.now(UTC))
            partial.add(known, None, changed=False)
        path.unlink()
        statuses.clear()
        result = one(fetch(url, viirs, data, refresh=True))
    assert (result.outcome, result.tiles) == ("new", 6)
    assert statuses == {200: 6}


def test_jpeg_tiles_of_different_types_are_refused(tmp_path: Path, viirs: Layer) -> None:
    grey = encode(np.full((512, 512), 99, np.uint8), "jpg")
    with scripted(lambda _, path: tile_answer(body=grey if path.endswith("/0/1.jpg") else TILE)) as url:
        (failed,) = fetch(url, viirs, tmp_path)
    assert isinstance(failed, FailedDay)
    assert "the day's JPEG tiles are of different types, jpg, 1 band(s) of 8 bits; jpg, 3 band(s)" in str(failed.error)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("suffix", [".mrf", ".tiles.parquet", ".idx", ".pjg"])
def test_a_damaged_day_is_named_and_replaced_by_a_refresh(
    gibs_url: str, tmp_path: Path, viirs: Layer, suffix: str
) -> None:
    path = one(fetch(gibs_url, viirs, tmp_path)).path
    file = next(file for file in path.parent.iterdir() if file.name.endswith(suffix))
    file.unlink() if suffix == ".pjg" else file.write_bytes(b"damaged")
    (failed,) = fetch(gibs_url, viirs, tmp_path)
    assert isinstance(failed, FailedDay)
    assert f"{path} is damaged (" in str(failed.error)
    assert "mend it with heph verify --mend, or give --refresh to replace it" in str(failed.error)
    assert one(fetch(gibs_url, viirs, tmp_path, refresh=True)).outcome == "new"


def test_a_day_of_unknown_origin_is_told_from_a_damaged_one(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    path = write_day(tmp_path, viirs, EPSG, DAY, earth(DAY))
    (failed,) = fetch(gibs_url, viirs, tmp_path)
    assert isinstance(failed, FailedDay)
    assert str(failed.error) == f"{path} was not downloaded: give --refresh to replace it, or another folder"


def test_waiting_for_another_download_of_the_day_is_told_and_can_be_given_up(
    gibs_url: str, tmp_path: Path, viirs: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    request = DayRequest(viirs, EPSG, LEVEL, tmp_path)
    path = mosaic_path(tmp_path, EPSG, DAY, viirs)

    async def run() -> FetchedDay:
        async with GibsClient(gibs_url) as client:
            with PartialDay(path, request.layout):
                with pytest.raises(DayBusyError, match="is being downloaded by another process"):
                    PartialDay(path, request.layout)
                waiting = asyncio.create_task(fetch_day(client, request, DAY))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            return await fetch_day(client, request, DAY)

    assert asyncio.run(run()).outcome == "new"
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is being downloaded by another process: waiting for it"
    ]


@pytest.mark.parametrize("tagged", [True, False])
def test_a_day_that_was_replaced_while_a_download_was_stopped_is_not_mixed(
    tmp_path: Path, viirs: Layer, monkeypatch: pytest.MonkeyPatch, tagged: bool
) -> None:
    versions = [encode(np.full((512, 512, 3), value, np.uint8), "jpg") for value in (80, 160)]
    version, stop_after, asked = 0, 5, 0

    def answer(_: int, path: str) -> Response:
        nonlocal asked
        if asked == stop_after:
            return Response("no", 403)
        asked += 1
        body = versions[version if "/1/0/" in path else 0]  # the last row is the same in both
        return tile_answer(body=body, **({"ETag": hashlib.sha256(body).hexdigest()} if tagged else {}))

    with scripted(answer) as url:
        client, request = GibsClient(url, connections=1, backoff=0), DayRequest(viirs, EPSG, LEVEL, tmp_path)
        (failed,) = fetch_days(client, request, [DAY])
        assert isinstance(failed, FailedDay)
        monkeypatch.setattr(download, "_FRESH", timedelta(0))
        version, stop_after, asked = 1, 99, 0
        done = one(fetch_days(client, request, [DAY]))
    assert asked == 6
    assert (done.tiles, done.absent, done.bytes) == (6, 0, 3 * len(versions[0]) + 3 * len(versions[1]))
    assert [tiles_of(done.path)[Tile(1, row, col)] for row in (0, 1) for col in (0, 1, 2)] == [versions[1]] * 3 + [
        versions[0]
    ] * 3


def test_tiles_of_an_earlier_try_are_confirmed_without_sending_them(
    archive: Path, tmp_path: Path, viirs: Layer, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = DayRequest(viirs, EPSG, LEVEL, tmp_path)
    path, stored = mosaic_path(tmp_path, EPSG, DAY, viirs), tiles_of(mosaic_path(archive, EPSG, DAY, viirs))
    monkeypatch.setattr(download, "_FRESH", timedelta(0))
    with counted(archive, catalogue) as (url, statuses):
        whole = one(fetch(url, viirs, tmp_path / "whole"))
        # What a download leaves that was stopped after three tiles.
        asked = {"server": url, "endpoint": "best", "window": str(request.layout.window), "replaces": None}
        with Published.load(whole.path) as known, PartialDay(path, request.layout) as partial:
            partial.recover(asked)
            for tile in list(stored)[:3]:
                partial.add(known.record(tile), stored[tile])
        statuses.clear()
        done = one(fetch_days(GibsClient(url, connections=4), request, [DAY]))
    assert statuses == {304: 3, 200: 3}
    assert (done.outcome, done.tiles, done.bytes) == ("new", 6, whole.bytes)
    assert tiles_of(done.path) == stored


def test_a_run_at_a_coarser_level_keeps_what_is_finer(gibs_url: str, tmp_path: Path, viirs: Layer) -> None:
    path = one(fetch(gibs_url, viirs, tmp_path)).path
    before = tiles_of(path)
    again = one(fetch(gibs_url, viirs, tmp_path, level=0, refresh=True, coarsen=False))
    assert (again.outcome, again.level) == ("unchanged", LEVEL)
    assert tiles_of(path) == before
    box = one(fetch(gibs_url, viirs, tmp_path, DAYS[1], bbox=(0.0, 0.0, 10.0, 10.0))).path
    (failed,) = fetch(gibs_url, viirs, tmp_path, DAYS[1], level=0, refresh=True, coarsen=False)
    assert isinstance(failed, FailedDay)
    assert "holds a box of level 1, which the whole world at level 0 would replace" in str(failed.error)
    assert len(tiles_of(box)) == 1
