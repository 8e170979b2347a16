"""`heph insar import`: annotation files as tables."""

from __future__ import annotations

import json
from pathlib import Path

import click

from heph_dagster.commands import options

_MOST_LINES = 10


@click.command("import")
@click.argument("source", metavar="[ARCHIVE_OR_FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the tables.  [default: hephaestus in the data folder]",
)
@options.as_json
def import_annotations(source: Path | None, out: Path | None, *, as_json: bool) -> None:
    """Read annotation files of a folder, zip or tar into tables.

    By default, these are what the assets read: the setting insar_annotations, the folder hephaestus/annotations of the
    data folder, or the archive that was downloaded. Files that are no annotation, or could be meant in several ways,
    are rejected; what is repaired in others, and why files are rejected, stands in tables of their own.
    """
    from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
    from heph_dagster.hephaestus.downloads import annotations_source
    from heph_dagster.settings import Settings

    settings = Settings()
    folder = out or settings.insar_dir
    default = settings.insar_annotations or annotations_source(settings.insar_archives, settings.insar_annotations_url)
    read = read_annotations(source or default)
    write_annotations(folder, read)
    counts = read.counts()
    if as_json:
        click.echo(json.dumps(counts))
        return
    click.echo(", ".join(f"{count} {what}" for what, count in counts.items()) + f"; tables in {folder}")
    lines = [f"repaired {name}: {it.field} {it.was} -> {it.now}: {it.reason}" for name, it in read.repairs]
    lines += [f"rejected {each.source}: {each.reason}" for each in read.rejects]
    for line in lines[:_MOST_LINES]:
        click.echo(line)
    if len(lines) > _MOST_LINES:
        click.echo(f"and {len(lines) - _MOST_LINES} more: annotation_repairs.parquet and annotation_rejects.parquet")
    if read.ignored:
        click.echo(f"left out, as no annotation files: {len(read.ignored)}, first {read.ignored[0]}")
