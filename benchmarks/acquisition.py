"""Getting days onto disk, against gdal_translate and curl, from a local server in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import uvicorn
from starlette.types import Receive, Scope, Send

from benchmarks.measure import Row, pairs, ratio_row
from heph_dagster.gibs.archive import encode, write_day
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import DayRequest, FailedDay, fetch_days
from heph_dagster.gibs.gdal_documents import gdal_document
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.manifest import TileRecord
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.partial import PartialDay
from heph_dagster.gibs.raster import gdal
from heph_dagster.gibs.server import create_app
from heph_dagster.gibs.server.run import free_port
from heph_dagster.gibs.synthetic import render_day

LAYER = load_catalogue()["VIIRS_SNPP_CorrectedReflectance_TrueColor"]
EPSG = 4326
FIRST = date(2024, 4, 1)
LATENCY = 0.02
CONNECTIONS = 16
MANY = 64
DEFAULT = 10


def _serve(root: Path | None, port: int, latency: float) -> None:
    """Our server over an archive, or one that repeats a few tiles where there is none."""
    if root is not None:
        app = create_app(root, load_catalogue())
    rng = np.random.default_rng(1)
    noise = [cv2.resize(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), (512, 512)) for _ in range(16)]
    tiles = [encode(image, "jpg") for image in noise]

    async def repeat(scope: Scope, _: Receive, send: Send) -> None:
        row, col = scope["path"].rsplit(".", 1)[0].split("/")[-2:]
        headers = [(b"content-type", b"image/jpeg"), (b"layer-time-actual", f"{FIRST}T00:00:00Z".encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": tiles[(int(row) * 31 + int(col)) % len(tiles)]})

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and latency:
            await asyncio.sleep(latency)
        await (app if root is not None else repeat)(scope, receive, send)

    uvicorn.run(outer, port=port, log_level="error", access_log=False, lifespan="off")


@contextmanager
def _server(root: Path | None, latency: float = 0.0) -> Iterator[str]:
    port = free_port(0)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(root, port, latency))
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                asyncio.run(asyncio.open_connection("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.join()


def _capacity(url: str, path: str, connections: int) -> float:
    """Answers a second that a server gives to bare sockets which parse nothing but a length."""
    address = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    count, end = 0, time.perf_counter() + 2

    async def ask() -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
        while time.perf_counter() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            count += 1
        writer.close()

    async def run() -> None:
        await asyncio.gather(*(ask() for _ in range(connections)))

    asyncio.run(run())
    return count / 2


def _ours(url: str, days: list[date], level: int, connections: int) -> None:
    folder = Path(tempfile.mkdtemp())
    results = fetch_days(GibsClient(url, connections=connections), DayRequest(LAYER, EPSG, level, folder), days)
    failed = [result for result in results if isinstance(result, FailedDay)]
    if failed:
        raise RuntimeError(str(failed[0].error))
    shutil.rmtree(folder)


def _document(url: str, day: date, level: int, extra: str = "") -> str:
    document = gdal_document(LAYER, "tms", EPSG, level, day, url=url)
    return document.replace("</GDAL_WMS>", f"{extra}</GDAL_WMS>")


def _gdal(document: str, level: int) -> None:
    width, height = LAYER.grid(EPSG).size(level)
    with tempfile.TemporaryDirectory() as folder:
        options = {"format": "JPEG", "srcWin": [0, 0, width, height]}
        gdal().Translate(f"{folder}/day.jpg", document, **options).FlushCache()


def _curl(url: str, day: date, level: int, connections: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = f"{url}/wmts/epsg4326/best/{LAYER.identifier}/default/{day}/250m"
        lines = [
            f'url = "{base}/{tile.level}/{tile.row}/{tile.col}.jpg"\noutput = "{folder}/{tile.row}-{tile.col}.jpg"\n'
            for tile in LAYER.grid(EPSG).window(level).tiles()
        ]
        command = ["curl", "-s", "--parallel", "--parallel-max", str(connections), "--config", "-"]
        subprocess.run(command, input="".join(lines).encode(), check=True, capture_output=True)


def _gdal_command(document: str, level: int, target: str) -> None:
    width, height = LAYER.grid(EPSG).size(level)
    window = ["-srcwin", "0", "0", str(width), str(height)]
    subprocess.run(["gdal_translate", "-q", "-of", "JPEG", *window, document, target], check=True)


def _gdal_pool(url: str, days: list[date], level: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(10) as pool:
        jobs = [pool.submit(_gdal_command, _document(url, day, level), level, f"{folder}/{day}.jpg") for day in days]
        for job in jobs:
            job.result()


def _run_command(url: str, days: list[date], level: int) -> None:
    folder = tempfile.mkdtemp()
    end = days[-1] + timedelta(days=1)
    options = (
        f"--start_date {days[0]} --end_date {end} --level {level} --num_threads {CONNECTIONS} --format mrf".split()
    )
    code = "from heph_dagster.cli import main; main()"
    environment = {"HEPH_GIBS_URL": url, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code, "download", *options, "--output_dir", folder]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    shutil.rmtree(folder)


def _world(url: str, level: int, answer: multiprocessing.connection.Connection) -> None:
    started = time.perf_counter()
    _ours(url, [FIRST], level, CONNECTIONS)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    answer.send((_peak(), usage.ru_utime + usage.ru_stime, time.perf_counter() - started))


def _books(answer: multiprocessing.connection.Connection) -> None:
    """Keep and publish what is known of each tile of a 31.25m world, one in a hundred of which has bytes."""
    tile = encode(np.zeros((512, 512, 3), np.uint8), "jpg")
    digest, now = hashlib.sha256(tile).hexdigest(), datetime.now(UTC)
    layout = Layout(grid(EPSG).window(11))
    with tempfile.TemporaryDirectory() as folder, PartialDay(Path(folder, "world.mrf"), layout) as partial:
        partial.recover({})
        for number, (level, row, col) in enumerate(layout.window.tiles()):
            data, sha = (b"", None) if number % 100 else (tile, digest)
            url = f"https://gibs.earthdata.nasa.gov/wmts/epsg4326/best/X/default/{FIRST}/31.25m/{level}/{row}/{col}.jpg"
            record = TileRecord(
                level, row, col, url, 200 if data else 404, len(data), sha, digest[:16], None, FIRST, now,
                stored_sha256=sha,
            )  # fmt: skip
            partial.add(record, data)
        partial.publish({})
    answer.send(_peak())


def _peak() -> float:
    """Peak memory in MB; not ru_maxrss: that of a child begins with its parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _of_a_process(work: Callable[..., None], *args: object) -> Any:
    """What a function sends from a process of its own."""
    mine, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(*args, other))
    process.start()
    result = mine.recv()
    process.join()
    return result


def run() -> list[Row]:
    """All measures of acquisition."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        days = [FIRST + timedelta(days=number) for number in range(30)]
        write_day(root, LAYER, EPSG, FIRST, render_day(LAYER.identifier, FIRST, seed=0, level=4, kinds=()).image)
        images = [render_day(LAYER.identifier, day, seed=0, level=3, kinds=()).image for day in days[1:4]]
        for number, day in enumerate(days[1:]):
            write_day(root, LAYER, EPSG, day, images[number % len(images)])
        path = f"/wmts/epsg4326/best/{LAYER.identifier}/default/{FIRST}/250m/3/1/1.jpg"
        with _server(root, LATENCY) as url:
            capacity = _capacity(url, path, 200)
            day = "gdal_translate of a world day at level 4, 20 ms,"
            default = _document(url, FIRST, 4)
            sixteen = _document(url, FIRST, 4, f"<MaxConnections>{CONNECTIONS}</MaxConnections>")
            for name, other, connections, least in (
                (f"{day} over GDAL's TMS / ours", lambda: _gdal(default, 4), MANY, 10),
                (f"{day} with 16 connections in GDAL / ours", lambda: _gdal(sixteen, 4), MANY, 5),
                (f"{day} over GDAL's TMS / ours", lambda: _gdal(default, 4), DEFAULT, None),
                (f"{day} with 16 connections in GDAL / ours", lambda: _gdal(sixteen, 4), CONNECTIONS, None),
                (
                    "the same bytes with curl --parallel 16 / ours",
                    lambda: _curl(url, FIRST, 4, CONNECTIONS),
                    CONNECTIONS,
                    0.8,
                ),
            ):
                theirs, ours = pairs(other, lambda connections=connections: _ours(url, [FIRST], 4, connections))
                note = f"200 tiles; ours with {connections} requests in flight"
                rows.append(ratio_row(name, theirs, ours, least, note, void=_void(capacity, 200, theirs, ours)))
        with _server(root) as url:
            capacity = _capacity(url, path, 32)
            theirs, ours = pairs(lambda: _gdal_pool(url, days, 3), lambda: _run_command(url, days, 3))
            name = "gdal_translate in 10 processes / heph download, 30 days at level 3"
            rows.append(ratio_row(name, theirs, ours, 8, "1,500 tiles", void=_void(capacity, 1500, theirs, ours)))
    with _server(None) as url:
        memory, cpu, wall = _of_a_process(_world, url, 8)
    note = f"51,200 tiles that repeat, in {wall:.0f} s"
    rows.append(Row("peak memory, 250m world", memory, "MB", "under 500", memory < 500, note))
    rows.append(Row("CPU per 1,000 tiles", cpu / 51.2, "s", "", None, note))
    memory = _of_a_process(_books)
    note = "the bookkeeping of 3,276,800 tiles alone, without network; nearly all absent"
    rows.append(Row("peak memory, 31.25m world", memory, "MB", "under 500", memory < 500, note))
    return rows


def _void(capacity: float, tiles: int, *times: list[float]) -> str:
    fastest = tiles / min(min(each) for each in times)
    if capacity >= 2 * fastest:
        return ""
    return f"void: the server gives {capacity:.0f} tiles/s, not twice the fastest client's {fastest:.0f}"
