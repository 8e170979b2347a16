"""`heph download`: a range of days onto disk, as gibs-ml's users expect it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from heph_dagster.gibs.budget import recent_requests
from heph_dagster.gibs.capabilities import tiled_group
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import BUDGET_ADVICE, TILES_OF_A_DAY, GibsClient
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days, list_days
from heph_dagster.gibs.export import export_image, export_tiles
from heph_dagster.gibs.gdal_download import GdalImage, GdalSource, fetch_images
from heph_dagster.gibs.grid import Resolution
from heph_dagster.gibs.plan import check_room, last_check, plan_days, record_check
from heph_dagster.settings import Settings

Result = FetchedDay | GdalImage | FailedDay


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """The options of `heph download`, where each is explained."""

    layer_name: str
    start_date: date | None
    end_date: date
    since_last_check: bool
    epsg: int
    tiled_world: bool
    tile_resolution: str
    level: int | None
    num_threads: int
    output_dir: Path | None
    bbox: tuple[float, float, float, float] | None
    kind: str | None
    endpoint: str | None
    driver: str
    refresh: bool
    as_json: bool


def download_range(options: DownloadOptions) -> int:
    """Download days and write the images that were asked for.

    Returns:
        Exit status: 0, or 1 when days are missing.

    Raises:
        GibsError: The server does not tell which days it has.
        NoRoomError: The disk cannot hold the days.
        ValueError: The options do not go together.
    """
    settings, epsg, bbox = Settings(), options.epsg, options.bbox
    layer, root = settings.catalogue()[options.layer_name], options.output_dir or settings.data_dir
    resolution = None if options.level is not None else layer.resolution(options.tile_resolution, epsg)
    level = options.level if resolution is None else resolution.level
    _check_options(options, layer)
    start = options.start_date
    if options.since_last_check:
        start = last_check(root, layer, epsg) or start
    request = DayRequest(layer, epsg, level or 0, root, bbox, options.refresh)
    client = settings.client(options.endpoint, options.num_threads)
    plan = plan_days(layer, list_days(client, layer, epsg), start, options.end_date)
    tiles = request.layout.tiles * len(plan.days)
    check_room(root, layer, tiles)
    many = [f"{tiles} tiles are asked for: {BUDGET_ADVICE}"] if tiles + recent_requests(root) > TILES_OF_A_DAY else []
    for notice in plan.notices + many:
        click.echo(notice, err=True)
    results: list[Result] = []
    exports: list[Future[None]] = []
    with _Meter(layer.identifier, len(plan.days), request.layout.tiles) as meter, ThreadPoolExecutor() as pool:

        def note(result: Result) -> None:
            results.append(result)
            if isinstance(result, FetchedDay):
                exports.append(pool.submit(_export, result, options, layer, resolution))
            meter.day(result)

        if options.driver == "heph":
            fetch_days(client, request, plan.days, note, meter.tiles)
        else:
            source = _gdal_source(client, request, options.driver)
            size = resolution and resolution.size
            threads = options.num_threads
            fetch_images(
                source, request, plan.days, options.kind or layer.format, size, connections=threads, on_day=note
            )
        for export in exports:
            export.result()
    failed = [result for result in results if isinstance(result, FailedDay)]
    if not failed:
        record_check(root, layer, epsg, plan.checked_until(options.end_date))
    _report(layer, client, results, plan.missing, as_json=options.as_json)
    return 1 if failed or plan.missing else 0


def _check_options(options: DownloadOptions, layer: Layer) -> None:
    boxed = options.bbox is not None
    if options.tiled_world and (boxed or options.level is not None):
        raise ValueError("--tiled_world cuts the whole world by --tile_resolution: leave out --bbox and --level")
    if options.driver == "heph":
        return
    if options.tiled_world or boxed or options.kind == "mrf":
        raise ValueError(f"--driver {options.driver} gets images of the world: leave out --tiled_world, --bbox, mrf")
    if not layer.tiled:
        raise ValueError(f"{layer.identifier} has no tiles, which --driver {options.driver} asks for: leave it out")


def _gdal_source(client: GibsClient, request: DayRequest, driver: str) -> GdalSource:
    """What a `--driver` of GDAL's reads from."""
    if driver == "gdal-tms":
        return GdalSource(protocol="tms", url=client.url, endpoint=client.endpoint)

    async def find() -> str:
        async with client:
            return await tiled_group(client, request.layer, request.epsg)

    return GdalSource(protocol="twms", url=client.url, endpoint=client.endpoint, group=asyncio.run(find()))


def _export(day: FetchedDay, options: DownloadOptions, layer: Layer, resolution: Resolution | None) -> None:
    """Write the images of a day that are new or not there."""
    fresh = day.outcome in {"new", "replaced"}
    kind = options.kind or layer.format
    if kind != "mrf" and (fresh or not day.path.with_suffix(f".{kind}").exists()):
        export_image(day.path, kind, resolution.size if resolution and not options.bbox else None)
    if options.tiled_world and resolution is not None:
        export_tiles(day.path, layer.format, resolution)


class _Meter:
    """A progress bar that moves with every tile, and tells days, tiles, MB/s and the time left."""

    def __init__(self, name: str, days: int, tiles: int) -> None:
        self._days, self._tiles = days, tiles
        self._done, self._bytes, self._started = 0, 0, time.perf_counter()
        self._on_the_way: dict[date, int] = {}
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=Console(file=sys.stderr))
        self._task = self._progress.add_task(name, total=days * tiles, speed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tiles(self, day: date, count: int) -> None:
        """Some more tiles of a day are on disk."""
        self._on_the_way[day] = self._on_the_way.get(day, 0) + count
        self._show()

    def day(self, result: Result) -> None:
        """A day is done, one way or the other."""
        self._on_the_way.pop(result.day, None)
        self._done += 1
        if not isinstance(result, FailedDay) and result.outcome != "kept":
            self._bytes += result.bytes
        self._show()

    def _show(self) -> None:
        tiles = self._done * self._tiles + sum(self._on_the_way.values())
        rate = self._bytes / 1e6 / (time.perf_counter() - self._started)
        speed = f"{self._done}/{self._days} days  {tiles} tiles  {rate:.1f} MB/s"
        self._progress.update(self._task, completed=tiles, speed=speed)


def _report(layer: Layer, client: GibsClient, results: list[Result], missing: list[date], *, as_json: bool) -> None:
    failed = [result for result in results if isinstance(result, FailedDay)]
    done = [result for result in results if not isinstance(result, FailedDay)]
    if as_json:
        values: dict[str, Any] = {
            "layer": layer.identifier,
            "server": client.url,
            "endpoint": client.endpoint,
            "days": [asdict(result) for result in sorted(done, key=lambda each: each.day)],
            "failed": {str(result.day): str(result.error) for result in failed},
            "missing": missing,
        }
        click.echo(json.dumps(values, default=str, indent=2))
        return
    outcomes = [result.outcome for result in done]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    click.echo(f"{len(done)} days ({counts or 'none'}), {sum(result.bytes for result in done) / 1e6:.1f} MB")
    if any(result.verified_by == "nothing" for result in done):
        click.echo("Nothing verifies which days GDAL's images show.")
    for result in failed:
        click.echo(f"{result.day}: {result.error}", err=True)
    if missing:
        days = ", ".join(map(str, missing))
        click.echo(f"The server does not have {len(missing)} days: {days}{layer.continuation}", err=True)
