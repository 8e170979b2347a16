"""`heph insar import-crops`: the published classification set as shards."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.hephaestus.published import ImportedCrops
    from heph_dagster.hephaestus.splits import Split

_MOST_LINES = 10


@click.command("import-crops")
@click.argument("source", metavar="ZIP_OR_FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the frames.  [default: hephaestus/published in the data folder]",
)
@click.option("--size", type=click.IntRange(1), help="Columns and rows of the crops.  [default: 224]")
@click.option(
    "--split",
    "split_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The published train_test_split.json, whose names are looked for; makes splits/published.parquet.",
)
@options.as_json
def import_crops(source: Path, out: Path | None, size: int | None, split_file: Path | None, *, as_json: bool) -> None:
    """Read the published crops into shards.

    Crops, masks and labels of a folder or zip go to one folder per frame. Every file becomes part of a crop, or stands
    in rejects.parquet with the reason.
    """
    from heph_dagster.hephaestus.crops import CROP_SIZE
    from heph_dagster.hephaestus.published import import_crops as import_published
    from heph_dagster.settings import Settings

    folder = out or Settings().insar_dir / "published"
    with click.progressbar(length=1, label="Importing", file=sys.stderr) as bar:

        def advance(done: int, count: int) -> None:
            bar.length = count
            bar.update(done - bar.pos)

        imported = import_published(source, folder, size=size or CROP_SIZE, on_crop=advance)
    split = None if split_file is None else _split(split_file, folder, imported)
    if as_json:
        counts = {"crops": imported.crops, "rejects": len(imported.rejects), "frames": len(imported.frames)}
        found = {} if split is None else {"found": len(split.rows), "missing": len(split.missing)}
        click.echo(json.dumps(counts | found))
        return
    click.echo(f"{imported.crops} crops of {len(imported.frames)} frames, {len(imported.rejects)} rejects; in {folder}")
    if split is not None:
        click.echo(f"of the published names, {len(split.rows)} were found, {len(split.missing)} are missing")
    for each in imported.rejects[:_MOST_LINES]:
        click.echo(f"rejected {each.source}: {each.reason}")
    if len(imported.rejects) > _MOST_LINES:
        click.echo(f"and {len(imported.rejects) - _MOST_LINES} more: rejects.parquet")
    if imported.ignored:
        click.echo(f"left out, as no files of the set: {len(imported.ignored)}, first {imported.ignored[0]}")


def _split(path: Path, folder: Path, imported: ImportedCrops) -> Split:
    from heph_dagster.hephaestus.published_split import published_split
    from heph_dagster.hephaestus.shards import read_manifest
    from heph_dagster.hephaestus.splits import crop_items, write_split

    crops = crop_items([read_manifest(folder / frame) for frame in imported.frames])
    rejects = {PurePosixPath(each.source).stem: each.reason for each in imported.rejects}
    split = published_split(path, crops, rejects=rejects)
    write_split(folder / "splits", "published", split)
    return split
