"""`heph archive` and `heph serve`: archives of days, and a GIBS server of one's own."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import click

from heph_dagster.commands import options


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, help="Port to listen on; 0 for a free one.")
def serve(directory: Path, host: str, port: int) -> None:
    """Serve a folder of MRF mosaics, DIRECTORY/{EPSG}/{YYYY-MM-DD}/{Layer}.mrf, as GIBS does."""
    from heph_dagster.gibs.server import serve as run
    from heph_dagster.settings import Settings

    run(directory, Settings().catalogue(), host=host, port=port, announce=click.echo)


@click.group(cls=options.Group)
def archive() -> None:
    """Make archives that `heph serve` serves."""


@archive.command("import")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--layer", "layer_name", required=True, help="Layer that the image is a day of.")
@click.option("--date", "day", type=options.DAY, required=True, help="Day that it shows.")
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
@click.option("--start", type=options.DAY, default="2024-03-30", show_default=True, help="First day.")
@click.option(
    "--level",
    default=2,
    show_default=True,
    type=click.IntRange(0, 5),
    help="Finest level; 2 is 2560 x 1280 px.",
)
@click.option("--layer", "names", multiple=True, help="Layers to make; a MODIS layer brings its no-data layer along.")
@click.option(
    "--anomalous",
    default=4,
    show_default=True,
    type=click.IntRange(1, 10),
    help="How many of ten days carry anomalies, every second of them two.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
def synthesize(
    out: Path,
    days: int,
    seed: int,
    start: date,
    level: int,
    names: tuple[str, ...],
    anomalous: int,
    workers: int | None,
) -> None:
    """Make an archive OUT of synthetic days, anomalies and their exact masks included."""
    from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS, Recipe
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
            Recipe(seed, level, anomalous),
            workers=workers,
            on_day=lambda _: bar.update(1),
        )
    anomalies = sum(len(day.anomalies) for day in made)
    click.echo(
        f"{out}: {len(made)} days of {len(chosen)} layers with {anomalies} anomalies; serve it with: heph serve {out}"
    )


@archive.command("label")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--layer", "names", multiple=True, required=True, help="Layers whose days are labelled.")
def label(directory: Path, names: tuple[str, ...]) -> None:
    """Store the truth of the synthetic days of DIRECTORY as hand labels and hand masks, in place of earlier ones.

    DIRECTORY is a data root then: with HEPH_DATA_DIR set to it, learners can be trained on its days.
    """
    from heph_dagster.anomalies.synthetic_truth import take_truth
    from heph_dagster.gibs.synthetic.archive import EPSG
    from heph_dagster.settings import Settings

    catalogue = Settings().catalogue()
    for name in names:
        days = take_truth(directory, catalogue[name], EPSG)
        click.echo(f"{directory}: {len(days)} days of {catalogue[name].identifier} labelled")
