"""Faults from outside: processes killed, disks full, connections cut, stalled and trickling."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from heph_dagster.gibs.archive import encode, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer, load_catalogue
from heph_dagster.gibs.client import GibsClient, GibsError
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster.gibs.partial import StorageError
from heph_dagster_tests.conftest import DAYS, EPSG, VIIRS, earth
from heph_dagster_tests.servers import counted

DAY = DAYS[0]
TILE = encode(np.full((512, 512, 3), 120, np.uint8), "jpg")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nLayer-Time-Actual: 2020-09-25T00:00:00Z\r\n"


def _download(url: str, root: Path, level: int, ready: Connection) -> None:
    client = GibsClient(url, connections=4, backoff=0)
    request = DayRequest(load_catalogue()[VIIRS], EPSG, level, root)
    ready.send(True)
    fetch_days(client, request, [DAY])


@pytest.mark.slow
def test_a_download_killed_twenty_times_is_whole_and_fetched_nothing_twice(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    layer, rng, kills = catalogue[VIIRS], random.Random(11), 0
    source = write_day(tmp_path / "archive", layer, EPSG, DAY, earth(DAY, 4))
    path = mosaic_path(tmp_path / "data", EPSG, DAY, layer)
    context = multiprocessing.get_context("spawn")
    with counted(tmp_path / "archive", catalogue, seconds=0.02) as (url, statuses):
        while not path.exists() or kills < 20:
            assert kills < 60, "the download does not get on"
            mine, other = context.Pipe()
            process = context.Process(target=_download, args=(url, tmp_path / "data", 4, other))
            process.start()
            mine.recv()
            process.join(rng.uniform(0, 0.25) if kills < 20 else 60)
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                kills += 1
            elif kills < 20:
                # It came to its end before the twentieth kill: once more from the start.
                for file in path.parent.iterdir():
                    file.unlink()
                statuses.clear()
    # Beyond each tile once: at most what was in flight at each kill.
    assert 200 <= statuses[200] <= 200 + 4 * kills
    with Mosaic(path, EPSG) as got, Mosaic(source, EPSG) as archive:
        tiles = list(layer.grid(EPSG).window(4).tiles())
        assert [got.tile(tile) for tile in tiles] == [archive.tile(tile) for tile in tiles]
    assert not list(path.parent.glob(".*"))


def _limited(url: str, root: Path, limit: int, answer: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        fetch_days(GibsClient(url, connections=1), DayRequest(load_catalogue()[VIIRS], EPSG, 1, root), [DAY])
    except StorageError as error:
        answer.send(str(error))
    else:
        answer.send("no error")


@pytest.mark.slow
def test_a_full_disk_ends_the_range_and_what_has_arrived_is_kept(
    archive: Path, tmp_path: Path, catalogue: Catalogue
) -> None:
    layer = catalogue[VIIRS]
    context = multiprocessing.get_context("spawn")
    tiles = list(layer.grid(EPSG).window(1).tiles())
    with Mosaic(mosaic_path(archive, EPSG, DAY, layer), EPSG) as source:
        stored = [source.tile(tile) for tile in tiles]
    limit = sum(len(data or b"") for data in stored[:3]) + 50
    with counted(archive, catalogue) as (url, statuses):
        mine, other = context.Pipe()
        process = context.Process(target=_limited, args=(url, tmp_path, limit, other))
        process.start()
        message = mine.recv()
        process.join()
        assert "File too large. Make room or choose another folder" in message
        assert not list(tmp_path.rglob("*.mrf"))
        before = statuses[200]
        (result,) = fetch_days(GibsClient(url, backoff=0), DayRequest(layer, EPSG, 1, tmp_path), [DAY])
    assert isinstance(result, FetchedDay)
    assert statuses[200] - before == 3
    with Mosaic(result.path, EPSG) as got:
        assert [got.tile(tile) for tile in tiles] == stored


Behaviour = Callable[[int, asyncio.StreamWriter], object]


async def _against(behaviour: Behaviour, client: GibsClient, request: DayRequest) -> FetchedDay | FailedDay:
    """Download a day from a server that writes raw bytes as a behaviour says for its n-th connection."""
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(count, writer)  # type: ignore[misc]
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        client.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return (await asyncio.to_thread(fetch_days, client, request, [DAY]))[0]


async def _whole(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(TILE) + TILE)


async def _reset(count: int, writer: asyncio.StreamWriter) -> None:
    if count > 4:
        return await _whole(writer)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(TILE) + TILE[:500])
    await writer.drain()
    writer.transport.abort()
    return None


async def _stall(count: int, writer: asyncio.StreamWriter) -> None:
    if count > 4:
        return await _whole(writer)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(TILE) + TILE[:500])
    await writer.drain()
    await asyncio.sleep(30)
    return None


async def _trickle(count: int, writer: asyncio.StreamWriter) -> None:
    if count > 4:
        return await _whole(writer)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(TILE))
    for byte in TILE[:300]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)
    return None


@pytest.mark.parametrize("behaviour", [_reset, _stall, _trickle])
def test_connections_that_break_stall_or_trickle_are_given_up_and_tried_again(
    tmp_path: Path, viirs: Layer, behaviour: Behaviour
) -> None:
    timeout = aiohttp.ClientTimeout(total=1.5, sock_read=0.8)
    client = GibsClient("", connections=2, backoff=0, timeout=timeout)
    result = asyncio.run(_against(behaviour, client, DayRequest(viirs, EPSG, 0, tmp_path)))
    assert isinstance(result, FetchedDay)
    with Mosaic(result.path, EPSG) as mosaic:
        assert {mosaic.tile(tile) for tile in mosaic.layout.window.tiles()} == {TILE}


def test_a_server_that_never_answers_is_named(tmp_path: Path, viirs: Layer) -> None:
    async def silent(count: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    client = GibsClient("", connections=1, backoff=0, timeout=aiohttp.ClientTimeout(sock_read=0.1))
    result = asyncio.run(_against(silent, client, DayRequest(viirs, EPSG, 0, tmp_path)))
    assert isinstance(result, FailedDay)
    assert isinstance(result.error, GibsError)
    assert "failed 5 times, at last with: " in str(result.error)
