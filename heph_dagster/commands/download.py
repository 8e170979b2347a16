"""`heph download`: a range of days onto disk, as gibs-ml's users expect it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from heph_dagster.commands import options as common

if TYPE_CHECKING:
    from concurrent.futures import Future

    from heph_dagster.commands.download_report import Result
    from heph_dagster.gibs.client import GibsClient
    from heph_dagster.gibs.download import DayRequest
    from heph_dagster.gibs.gdal_download import GdalSource
    from heph_dagster.gibs.images import DayImages


class DownloadOptions(NamedTuple):
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


@click.command()
@click.option(
    "--layer_name",
    "--layer-name",
    default="VIIRS_SNPP_CorrectedReflectance_TrueColor",
    show_default=True,
    help="Layer.",
)
@click.option("--start_date", "--start-date", type=common.DAY, help="First day.  [default: the layer's first day]")
@click.option(
    "--end_date", "--end-date", type=common.DAY, default="Today", show_default=True, help="Day after the last."
)
@click.option("--since-last-check", is_flag=True, help="Start where the last download into this folder ended.")
@common.named_epsg
@click.option("--tiled_world", "--tiled-world", is_flag=True, help="Write the world as a grid of 512 px tiles, too.")
@click.option(
    "--tile_resolution", "--tile-resolution", default="16km", show_default=True, help="A row of gibs-ml's table."
)
@click.option("--level", type=click.IntRange(0, 12), help="GIBS level, in place of --tile_resolution.")
@click.option(
    "--num_threads",
    "--num-threads",
    type=click.IntRange(1, 500),
    default=10,
    show_default=True,
    help="Requests in flight.",
)
@common.output_dir
@common.bbox
@click.option(
    "--format",
    "kind",
    type=click.Choice(["mrf", "jpg", "png", "tif"]),
    help="Image beside the mosaic.  [default: the layer's]",
)
@click.option("--endpoint", type=click.Choice(["best", "std", "nrt"]), help="[default: the setting endpoint]")
@click.option(
    "--driver",
    type=click.Choice(["heph", "gdal-tms", "gdal-twms"]),
    default="heph",
    show_default=True,
    help="Who fetches: heph, or GDAL's clients for comparison, whose images nothing verifies.",
)
@click.option("--refresh", is_flag=True, help="Ask again for days that are on disk.")
@common.as_json
def download(**given: Any) -> None:
    """Download days of a layer: gibs-ml's flags, with the same meanings and defaults, and some more.

    The end date is not included. With the resolution of gibs-ml's table an image of the table's size is written beside
    each mosaic; with --level or --bbox, one of the mosaic's own size.
    """
    from heph_dagster.commands.download_report import report
    from heph_dagster.gibs.budget import recent_requests
    from heph_dagster.gibs.client import BUDGET_ADVICE, TILES_OF_A_DAY
    from heph_dagster.gibs.download import DayRequest, FailedDay, list_days
    from heph_dagster.gibs.images import DayImages
    from heph_dagster.gibs.plan import check_room, last_check, need_of, plan_days, record_check
    from heph_dagster.gibs.projection import projected_box
    from heph_dagster.settings import Settings

    options = DownloadOptions(**given)
    settings, epsg = Settings(), options.epsg
    layer, root = settings.catalogue()[options.layer_name], options.output_dir or settings.root
    resolution = None if options.level is not None else layer.resolution(options.tile_resolution, epsg)
    level = (options.level or 0) if resolution is None else resolution.level
    box = None if options.bbox is None else projected_box(epsg, options.bbox)
    request = DayRequest(layer, epsg, level, root, box, options.refresh)
    images = DayImages(
        layer=layer,
        window=request.layout.window,
        kind=options.kind or layer.format,
        size=resolution.size if resolution and not options.bbox else None,
        tiling=resolution if options.tiled_world else None,
    )
    _check_options(options, request)
    images.check()
    client = settings.client(options.endpoint, options.num_threads)
    checked = last_check(root, layer, epsg) if options.since_last_check else None
    if checked is not None and checked >= options.end_date:
        click.echo(f"nothing new: the days before {checked} have been checked", err=options.as_json)
        if options.as_json:
            report(layer, client, [], [], as_json=True)
        return
    plan = plan_days(layer, list_days(client, layer, epsg), checked or options.start_date, options.end_date)
    need = need_of(request, plan.days, images, ".mrf" if options.driver == "heph" else f".{images.kind}")
    check_room(root, need)
    many = need.tiles + recent_requests(root) > TILES_OF_A_DAY
    for notice in plan.notices + [f"{need.tiles} tiles are asked for: {BUDGET_ADVICE}"] * many:
        click.echo(notice, err=True)
    results = _fetch(client, request, images, plan.days, options)
    failed = [result.day for result in results if isinstance(result, FailedDay)]
    if options.driver == "heph":
        record_check(root, layer, epsg, plan.checked_until(failed))
    report(layer, client, results, plan.missing, as_json=options.as_json)
    fresh = any(not isinstance(result, FailedDay) and result.outcome in {"new", "replaced"} for result in results)
    if options.since_last_check and not failed and not fresh:
        click.echo("nothing new", err=options.as_json)
        return
    raise SystemExit(int(bool(failed or plan.missing)))


def _check_options(options: DownloadOptions, request: DayRequest) -> None:
    boxed = options.bbox is not None
    if options.tiled_world and (boxed or options.level is not None):
        raise ValueError("--tiled_world cuts the whole world by --tile_resolution: leave out --bbox and --level")
    if options.driver == "heph":
        return
    if options.tiled_world or boxed or options.kind == "mrf":
        raise ValueError(f"--driver {options.driver} gets images of the world: leave out --tiled_world, --bbox, mrf")
    if not request.layer.tiled:
        name = request.layer.identifier
        raise ValueError(f"{name} has no tiles, which --driver {options.driver} asks for: leave it out")


def _fetch(
    client: GibsClient, request: DayRequest, images: DayImages, days: list[date], options: DownloadOptions
) -> list[Result]:
    """Download days and write their images meanwhile; a day whose images cannot be written has failed."""
    from heph_dagster.commands.download_report import Meter
    from heph_dagster.gibs.download import FailedDay, FetchedDay, fetch_days
    from heph_dagster.gibs.gdal_download import fetch_images
    from heph_dagster.gibs.raster import RasterError
    from heph_dagster.pools import stopping_pool

    results: dict[date, Result] = {}
    exports: dict[date, Future[None]] = {}
    with Meter(request.layer.identifier, len(days), request.layout.tiles) as meter, stopping_pool() as pool:

        def note(result: Result) -> None:
            results[result.day] = result
            if isinstance(result, FetchedDay):
                exports[result.day] = pool.submit(images.write, result.path)
            meter.day(result)

        if options.driver == "heph":
            fetch_days(client, request, days, note, meter.add)
        else:
            source = _gdal_source(client, request, options.driver)
            fetch_images(source, request, days, images.kind, images.size, connections=options.num_threads, on_day=note)
        for day, export in exports.items():
            try:
                export.result()
            except (RasterError, OSError) as error:
                results[day] = FailedDay(day, error)
    return list(results.values())


def _gdal_source(client: GibsClient, request: DayRequest, driver: str) -> GdalSource:
    """What a `--driver` of GDAL's reads from."""
    import asyncio

    from heph_dagster.gibs.capabilities import tiled_group
    from heph_dagster.gibs.gdal_download import GdalSource

    if driver == "gdal-tms":
        return GdalSource(protocol="tms", url=client.url, endpoint=client.endpoint, access=client.access)

    async def find() -> str:
        async with client:
            return await tiled_group(client, request.layer, request.epsg)

    return GdalSource(
        protocol="twms", url=client.url, endpoint=client.endpoint, group=asyncio.run(find()), access=client.access
    )
