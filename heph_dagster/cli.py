"""`heph`: the library from a shell.

Every command imports what it needs when it runs, so that `heph --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heph_dagster import __version__
from heph_dagster.errors import HephError

if TYPE_CHECKING:
    from heph_dagster.settings import Settings

_NAME_WIDTH = 48


class _Day(click.ParamType[date]):
    """A UTC day: YYYY-MM-DD or `Today`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        from heph_dagster.gibs.periods import parse_day

        if str(value).lower() == "today":
            return datetime.now(UTC).date()
        try:
            return parse_day(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DAY = _Day()


class _Group(click.Group):
    """Commands whose expected errors are one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (HephError, ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="heph")
def main() -> None:
    """Satellite imagery days: fetched, checked, labelled."""


@main.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, help="Port to listen on; 0 for a free one.")
def serve(directory: Path, host: str, port: int) -> None:
    """Serve a folder of MRF mosaics, DIRECTORY/{EPSG}/{YYYY-MM-DD}/{Layer}.mrf, as GIBS does."""
    from heph_dagster.gibs.server import serve as run
    from heph_dagster.settings import Settings

    run(directory, Settings().catalogue(), host=host, port=port, announce=click.echo)


@main.command()
@click.argument("words", nargs=-1)
@click.option("--remote", is_flag=True, help="List the server's layers, with the days that its capabilities tell.")
@click.option("--epsg", type=int, help="Only layers of a projection.  [default: all, with --remote 4326]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def layers(words: tuple[str, ...], epsg: int | None, *, remote: bool, as_json: bool) -> None:
    """List the layers of the catalogue, or of the server, whose rows contain all WORDS."""
    from heph_dagster.settings import Settings

    settings = Settings()
    if remote:
        rows = _remote_rows(settings, 4326 if epsg is None else epsg)
    else:
        rows = [layer.model_dump(mode="json") for layer in settings.catalogue().values()]
        rows = [row for row in rows if epsg is None or epsg in row["projections"]]
    texts = [json.dumps(row, default=str).lower() for row in rows]
    rows = [row for row, text in zip(rows, texts, strict=True) if all(word.lower() in text for word in words)]
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    for row in rows:
        click.echo(f"{row['identifier']:<{_NAME_WIDTH}}  {(_remote_cells if remote else _cells)(row)}")
    if not rows:
        raise click.ClickException(f"no layer matches {' '.join(words)!r}" if words else "no layer is listed")


def _remote_rows(settings: Settings, epsg: int) -> list[dict[str, Any]]:
    import asyncio

    from heph_dagster.gibs.capabilities import ListedLayer, listed_layers
    from heph_dagster.gibs.grid import grid

    async def ask() -> list[ListedLayer]:
        async with settings.client() as client:
            return await listed_layers(client, grid(epsg).epsg)

    known = set(settings.catalogue())
    return [asdict(layer) | {"in_catalogue": layer.identifier in known} for layer in asyncio.run(ask())]


def _cells(row: dict[str, Any]) -> str:
    projections = " ".join(str(epsg) for epsg in row["projections"])
    return f"{row['format']}  {row['tile_matrix_set']:>5}  {row['first_day']}  {row['kind']:<21}  {projections}"


def _remote_cells(row: dict[str, Any]) -> str:
    formats, sets = ",".join(row["formats"]), ",".join(row["tile_matrix_sets"])
    days = f"{row['first_day'] or 'no time'!s:<10}  {row['last_day'] or ''!s:<10}"
    return f"{formats:<10}  {sets:>5}  {days}  {'in catalogue' if row['in_catalogue'] else '-':<12}  {row['title']}"


@main.command()
@click.argument("layer_name", metavar="LAYER")
@click.option("--epsg", default=4326, show_default=True, help="Projection.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def days(layer_name: str, epsg: int, *, as_json: bool) -> None:
    """Show the days that the server has of a layer, gaps included."""
    from heph_dagster.gibs.download import list_days
    from heph_dagster.settings import Settings

    settings = Settings()
    layer = settings.catalogue()[layer_name]
    periods = list_days(settings.client(), layer, epsg)
    if as_json:
        click.echo(json.dumps([{"start": p.start, "end": p.end, "step": p.step} for p in periods], default=str))
        return
    for period in periods:
        click.echo(f"{period.start}  {period.end}  {period.step:>4}  {sum(1 for _ in period.days()):>6} days")
    if not periods:
        raise click.ClickException(f"{settings.gibs_url} has no days of {layer.identifier}{layer.continuation}")


@main.command()
@click.option(
    "--layer_name",
    "--layer-name",
    default="VIIRS_SNPP_CorrectedReflectance_TrueColor",
    show_default=True,
    help="Layer.",
)
@click.option("--start_date", "--start-date", type=DAY, help="First day.  [default: the layer's first day]")
@click.option("--end_date", "--end-date", type=DAY, default="Today", show_default=True, help="Day after the last.")
@click.option("--since-last-check", is_flag=True, help="Start where the last download into this folder ended.")
@click.option("--epsg", default=4326, show_default=True, help="4326 (geographic), 3413 (arctic) or 3031 (antarctic).")
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
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option(
    "--bbox",
    nargs=4,
    type=float,
    help="West, south, east and north in degrees; west greater than east crosses the antimeridian.",
)
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def download(**options: Any) -> None:
    """Download days of a layer: gibs-ml's flags, with the same meanings and defaults, and some more.

    The end date is not included. With the resolution of gibs-ml's table an image of the table's size is written beside
    each mosaic; with --level or --bbox, one of the mosaic's own size.
    """
    from heph_dagster.downloads import DownloadOptions, download_range

    raise SystemExit(download_range(DownloadOptions(**options)))


@main.command()
@click.option("--layer", "names", multiple=True, help="Layers to check.  [default: all]")
@click.option(
    "--mend",
    is_flag=True,
    help="Download damaged tiles again, and remove what replaced days left behind, and killed writers a day ago.",
)
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(names: tuple[str, ...], output_dir: Path | None, *, mend: bool, as_json: bool) -> None:
    """Compare all days on disk, tile by tile, with what was downloaded."""
    from heph_dagster.verification import verify_archive

    raise SystemExit(verify_archive(names, output_dir, mend=mend, as_json=as_json))


@main.command()
@click.argument("layer_name", metavar="LAYER")
@click.option("--start", type=DAY, required=True, help="First day.")
@click.option("--end", type=DAY, help="Last day, included.  [default: the first day]")
@click.option("--epsg", default=4326, show_default=True, help="Projection.")
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(layer_name: str, start: date, end: date | None, epsg: int, output_dir: Path | None, *, as_json: bool) -> None:
    """Tell whether days of LAYER on disk repeat earlier ones, and whether the server has stopped bringing new ones."""
    from heph_dagster.checking import check_layer

    raise SystemExit(check_layer(layer_name, start, end or start, epsg, output_dir, as_json=as_json))


@main.group(cls=_Group)
def archive() -> None:
    """Make archives that `heph serve` serves."""


@archive.command("import")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--layer", "layer_name", required=True, help="Layer that the image is a day of.")
@click.option("--date", "day", type=DAY, required=True, help="Day that it shows.")
@click.option("--epsg", default=4326, show_default=True, help="Projection, whose whole extent it covers.")
@click.option("--level", type=click.IntRange(0, 12), help="Finest level to make.  [default: the next finer one]")
@click.option("--out", default="archive", show_default=True, type=click.Path(path_type=Path), help="The archive.")
def import_(image: Path, layer_name: str, day: date, epsg: int, level: int | None, out: Path) -> None:
    """Make a global IMAGE a day of an archive, with its pyramid."""
    from heph_dagster.gibs.archive import import_image
    from heph_dagster.settings import Settings

    click.echo(import_image(out, Settings().catalogue()[layer_name], epsg, day, image, level))


@archive.command()
@click.argument("out", default="archive", type=click.Path(path_type=Path))
@click.option("--days", default=30, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--start", type=DAY, default="2024-03-30", show_default=True, help="First day.")
@click.option(
    "--level",
    default=2,
    show_default=True,
    type=click.IntRange(0, 5),
    help="Finest level; 2 is 2560 x 1280 px.",
)
@click.option("--layer", "names", multiple=True, help="Layers to make; a MODIS layer brings its no-data layer along.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
def synthesize(
    out: Path, days: int, seed: int, start: date, level: int, names: tuple[str, ...], workers: int | None
) -> None:
    """Make an archive OUT of synthetic days, anomalies and their exact masks included."""
    from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS
    from heph_dagster.gibs.synthetic.archive import synthesize as make
    from heph_dagster.settings import Settings

    catalogue = Settings().catalogue()
    chosen = [catalogue[name] for name in names or DEFAULT_LAYERS]
    wanted = [start + timedelta(days=number) for number in range(days)]
    with click.progressbar(length=len(wanted) * len(chosen), label="Synthesizing", file=sys.stderr) as bar:
        made = make(
            out,
            chosen,
            wanted,
            catalogue,
            seed=seed,
            level=level,
            workers=workers,
            on_day=lambda _: bar.update(1),
        )
    anomalies = sum(len(day.anomalies) for day in made)
    click.echo(
        f"{out}: {len(made)} days of {len(chosen)} layers with {anomalies} anomalies; serve it with: heph serve {out}"
    )


@main.command()
@click.option("--layer", "layer_name", required=True, help="An active layer.")
@click.option("--start", type=DAY, required=True, help="First day.")
@click.option("--end", type=DAY, help="Last day, included.  [default: the first day]")
@click.option("--epsg", default=4326, show_default=True, help="Projection.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(layer_name: str, start: date, end: date | None, epsg: int, *, as_json: bool) -> None:
    """Materialize all daily assets of a layer for a range of days, as one Dagster run."""
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import instance_at, run_range
    from heph_dagster.settings import Settings

    settings = Settings()
    active = settings.active_layer(layer_name, epsg)
    with instance_at(settings.dagster_home) as instance:
        report = run_range(build_definitions(settings), settings, instance, active, start, end or start)
    if as_json:
        click.echo(json.dumps(asdict(report), default=str, indent=2))
    else:
        for name, days in report.done.items():
            click.echo(f"{report.layer} {name}: {len(days)} days in {report.seconds:.1f} s")
    if report.errors:
        raise click.ClickException("\n".join(report.errors))


@main.command()
@click.option(
    "--keep-days", type=click.IntRange(0, 100_000), required=True, help="Whole days before today (UTC) that stay."
)
@click.option("--layer", "names", multiple=True, help="Layer; may be repeated.  [default: all of the catalogue]")
@click.option("--epsg", "projections", type=int, multiple=True, help="Projection; may be repeated.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prune(
    keep_days: int,
    names: tuple[str, ...],
    projections: tuple[int, ...],
    output_dir: Path | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Free room: remove the imagery of old days, and keep their masks, figures and labels.

    What goes is mosaics, the images and tiles exported from them, and what stopped downloads left. Images of a day
    without a mosaic, such as gibs-ml's own or those of GDAL's drivers, stay.
    """
    from heph_dagster.pruning import prune as remove

    remove(keep_days, names, projections, output_dir, dry_run=dry_run, yes=yes, as_json=as_json)


@main.command()
@click.argument("layer_name", metavar="LAYER")
@click.argument("day", metavar="DATE", type=DAY)
@click.argument("codes", nargs=-1, required=True)
@click.option("--epsg", default=4326, show_default=True, help="Projection.")
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
def label(layer_name: str, day: date, codes: tuple[str, ...], epsg: int, output_dir: Path | None) -> None:
    """Say what DATE of LAYER shows; this wins over what the methods say, and replaces an earlier label.

    CODES are one or more of 0 normal, 1 missing data (expected), 2 missing data (unexpected), 3 miscolouring, 4 edge
    warping, 5 eclipse (missing data), 6 eclipse (miscolouring only).
    """
    from heph_dagster.labelling import label_by_hand

    label_by_hand(layer_name, day, codes, epsg, output_dir)


@main.command()
@click.argument("layer_name", metavar="LAYER")
@click.option(
    "--import",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take in hand labels: gibs-ml's text file, or a .csv with the columns date and codes.",
)
@click.option("--replace", is_flag=True, help="Replace hand labels that the file contradicts.")
@click.option("--disagreements", is_flag=True, help="Only days whose hand and automatic labels differ.")
@click.option("--eclipse-is-missing", is_flag=True, help="Count data that an eclipse made black (code 5) as missing.")
@click.option("--epsg", default=4326, show_default=True, help="Projection.")
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def labels(layer_name: str, **options: Any) -> None:
    """Show the labels of LAYER's days: by hand where there are any, else automatic.

    A day without a code in an imported file counts as normal: import a file once its days have been looked at.
    """
    from heph_dagster.labelling import show_labels

    show_labels(layer_name, **options)


@main.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
@click.option(
    "--level", type=click.IntRange(0, 12), help="Finest level to make.  [default: the next finer than the image]"
)
@click.option("--replace", is_flag=True, help="Replace days and split files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def adopt(directory: Path, output_dir: Path | None, level: int | None, *, replace: bool, as_json: bool) -> None:
    """Take in DIRECTORY, gibs-ml's data: its images become mosaics, its split files are checked and copied.

    DIRECTORY/{EPSG}/{YYYY-MM-DD}/{Layer}.jpg (.jpeg, .png, .tif, .tiff) and DIRECTORY/{EPSG}/{Layer}.txt or
    DIRECTORY/{Layer}.txt (EPSG:4326) are taken in; what is there already is kept. The days of active layers are marked
    as materialized in Dagster. The exit code is 1 when a file was rejected.
    """
    from heph_dagster.adoption import adopt as take_in

    raise SystemExit(take_in(directory, output_dir, level, replace=replace, as_json=as_json))


@main.command()
@click.option("--root", default="data/demo", show_default=True, type=click.Path(path_type=Path))
@click.option("--days", default=30, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, too.")
def demo(root: Path, days: int, seed: int, *, as_json: bool) -> None:
    """Synthesize an archive, serve it, run every day through Dagster, and compare with the truth."""
    from heph_dagster.demo import run_demo

    summary = run_demo(root, days=days, seed=seed)
    if as_json:
        click.echo(json.dumps(summary.as_json(), indent=2))
    if summary.missed:
        raise click.ClickException("holes over 300 km were missed: " + ", ".join(summary.missed))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of the MLflow UI.")
def dev(host: str, port: int, mlflow_port: int) -> None:
    """Start the Dagster UI and daemon on the data folder; on the demonstration's, its server too."""
    from heph_dagster.dev import run_dev

    raise SystemExit(run_dev(host, port, mlflow_port))


@main.group(cls=_Group)
def export() -> None:
    """Make images, tiles and animations of days that are on disk, without a server.

    The end date is not included. The exit code is 1 when days are missing, and they are listed.
    """


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which days to export."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--output_dir",
            "--output-dir",
            type=click.Path(path_type=Path),
            help="Data root.  [default: the setting data_dir]",
        ),
        click.option(
            "--bbox",
            nargs=4,
            type=float,
            help="West, south, east and north in degrees; west greater than east crosses the antimeridian.",
        ),
        click.option(
            "--epsg", default=4326, show_default=True, help="4326 (geographic), 3413 (arctic) or 3031 (antarctic)."
        ),
        click.option("--end_date", "--end-date", type=DAY, required=True, help="Day after the last."),
        click.option("--start_date", "--start-date", type=DAY, required=True, help="First day."),
    ):
        command = option(command)
    return command


@export.command("image")
@click.argument("layer_name", metavar="LAYER")
@_selecting
@click.option("--format", "kind", type=click.Choice(["jpg", "png", "tif"]), help="[default: the layer's]")
@click.option(
    "--tile_resolution",
    "--tile-resolution",
    help="A row of gibs-ml's table that gives the size.  [default: the mosaic's own size]",
)
def export_image(kind: str | None, tile_resolution: str | None, **selection: Any) -> None:
    """Write an image of each day beside its mosaic, with a world file; of a --bbox, under a name of its own."""
    from heph_dagster.exports import Selection, export_images

    raise SystemExit(export_images(Selection(**selection), kind, tile_resolution))


@export.command("tiles")
@click.argument("layer_name", metavar="LAYER")
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
def export_tiles(
    kind: str | None, tile_width: int, tile_height: int, tile_overlap: float, boundary_handling: Any, **selection: Any
) -> None:
    """Cut each day into tiles that overlap, tiles/{width}x{height}_{overlap}/ beside its mosaic, with an index.csv.

    The options are GIBS-Downloader's, with the same meanings and defaults.
    """
    from heph_dagster.exports import Selection, export_tilings
    from heph_dagster.gibs.tiling import Tiling

    tiling = Tiling(tile_width, tile_height, tile_overlap, boundary_handling)
    raise SystemExit(export_tilings(Selection(**selection), kind, tiling))


@export.command("animation")
@click.argument("layer_name", metavar="LAYER")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_selecting
@click.option("--fps", default=4.0, show_default=True, type=click.FloatRange(0.1, 50), help="Days a second.")
@click.option(
    "--width",
    type=click.IntRange(1),
    help="Width of the frames in px.  [default: the box's own, but from 320 to 1920]",
)
def export_animation(target: Path, fps: float, width: int | None, **selection: Any) -> None:
    """Show the days as FILE, an .mp4 (H.264) or a .gif; a day that is not on disk is a frame that says so."""
    from heph_dagster.exports import Selection, export_movie

    raise SystemExit(export_movie(Selection(**selection), target, fps, width))


if __name__ == "__main__":
    main()
