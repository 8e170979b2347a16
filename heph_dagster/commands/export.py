"""`heph export`: days on disk as images, tiles and animations, without a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from heph_dagster.commands import options


@click.group(cls=options.Group)
def export() -> None:
    """Make images, tiles and animations of days that are on disk, without a server.

    The end date is not included. The exit code is 1 when days are missing, and they are listed.
    """


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which days to export."""
    for option in (
        options.as_json,
        options.output_dir,
        options.bbox,
        options.named_epsg,
        click.option("--end_date", "--end-date", type=options.DAY, required=True, help="Day after the last."),
        click.option("--start_date", "--start-date", type=options.DAY, required=True, help="First day."),
    ):
        command = option(command)
    return command


@export.command()
@options.layer_name
@_selecting
@click.option("--format", "kind", type=click.Choice(["jpg", "png", "tif"]), help="[default: the layer's]")
@click.option(
    "--tile_resolution",
    "--tile-resolution",
    help="A row of gibs-ml's table that gives the size.  [default: the mosaic's own size]",
)
def image(kind: str | None, tile_resolution: str | None, **selected: Any) -> None:
    """Write an image of each day beside its mosaic, with a world file; of a --bbox, under a name of its own."""
    from heph_dagster.commands.export_days import Selection, export_each
    from heph_dagster.gibs.box import Box
    from heph_dagster.gibs.export import export_image
    from heph_dagster.gibs.raster import RasterError

    selection = Selection(**selected)
    layer, epsg = selection.layer, selection.epsg
    resolution = None if tile_resolution is None else layer.resolution(tile_resolution, epsg)
    if resolution is not None and selection.bbox is not None:
        raise ValueError("--tile_resolution gives the size of the whole world: leave out --bbox or it")

    def export_day(mosaic: Path) -> Path:
        if resolution and Box.open(mosaic).georeference.across > layer.grid(epsg).resolution(resolution.level):
            raise RasterError(f"{mosaic} is too coarse for {resolution.name}: download level {resolution.level}")
        return export_image(mosaic, kind or layer.format, resolution and resolution.size, selection.box)

    raise SystemExit(export_each(selection, export_day, os.cpu_count()))


@export.command()
@options.layer_name
@_selecting
@click.option("--format", "kind", type=click.Choice(["jpg", "png"]), help="[default: the layer's]")
@click.option("--tile-width", "--tile_width", default=512, show_default=True, help="Width of a tile in px.")
@click.option("--tile-height", "--tile_height", default=512, show_default=True, help="Height of a tile in px.")
@click.option(
    "--tile-overlap",
    "--tile_overlap",
    default=0.5,
    show_default=True,
    help="Share of a tile, from 0 to below 1, that it has in common with the next.",
)
@click.option(
    "--boundary-handling",
    "--boundary_handling",
    type=click.Choice(["complete-tiles-shift", "include-incomplete-tiles", "discard-incomplete-tiles"]),
    default="complete-tiles-shift",
    show_default=True,
    help="What becomes of the last tile where it reaches past the image: shifted back, padded or left out.",
)
def tiles(
    kind: str | None, tile_width: int, tile_height: int, tile_overlap: float, boundary_handling: Any, **selected: Any
) -> None:
    """Cut each day into tiles that overlap, tiles/{width}x{height}_{overlap}/ beside its mosaic, with an index.csv.

    The options are GIBS-Downloader's, with the same meanings and defaults.
    """
    from heph_dagster.commands.export_days import Selection, export_each
    from heph_dagster.gibs.export import export_tiling
    from heph_dagster.gibs.tiling import Tiling

    selection, tiling = Selection(**selected), Tiling(tile_width, tile_height, tile_overlap, boundary_handling)

    def export_day(mosaic: Path) -> Path:
        return export_tiling(mosaic, kind or selection.layer.format, tiling, selection.box)

    raise SystemExit(export_each(selection, export_day, 1))  # the tiles of one day are written at once already


@export.command()
@options.layer_name
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_selecting
@click.option("--fps", default=4.0, show_default=True, type=click.FloatRange(0.1, 50), help="Days a second.")
@click.option(
    "--width",
    type=click.IntRange(1),
    help="Width of the frames in px.  [default: the box's own, but from 320 to 1920]",
)
def animation(target: Path, fps: float, width: int | None, **selected: Any) -> None:
    """Show the days as FILE, an .mp4 (H.264) or a .gif; a day that is not on disk is a frame that says so."""
    from heph_dagster.commands.export_days import Report, Selection
    from heph_dagster.commands.progress import counting
    from heph_dagster.gibs.animation import export_animation

    selection = Selection(**selected)
    with counting(selection.layer.identifier, len(selection.days)) as advance:
        path = export_animation(target, selection.days, selection.box, fps=fps, width=width, on_day=lambda _: advance())
    raise SystemExit(Report(selection, [path]).end())
