"""`heph insar show`: an annotation as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.hephaestus.annotation import Annotation


@click.command()
@click.argument("unique_id", metavar="ID", type=int)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Picture to write, a PNG.  [default: <ID>.png]"
)
@click.option(
    "--annotations",
    "source",
    type=click.Path(path_type=Path),
    help="Folder, zip or tar of annotation files.  [default: what was imported]",
)
@click.option(
    "--raw",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Root of the raw archive.  [default: the setting insar_raw]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed places crops elsewhere."
)
@click.option("--size", type=click.IntRange(1), default=224, show_default=True, help="Columns and rows of a crop.")
@options.as_json
def show(
    unique_id: int,
    out: Path | None,
    source: Path | None,
    raw: Path | None,
    seed: int,
    size: int,
    *,
    as_json: bool,
) -> None:
    """Draw an annotation and all that is known of it.

    Interferogram, coherence, mask, crops and caption are one picture. What was said is printed, too, also where the
    interferogram is not on disk.
    """
    from heph_dagster.hephaestus.facts import details, facts, headline
    from heph_dagster.hephaestus.frames import NAMES_FILE, read_volcanoes
    from heph_dagster.hephaestus.interferograms import InterferogramError
    from heph_dagster.settings import Settings

    settings = Settings()
    path = out or Path(f"{unique_id}.png")
    if path.suffix.lower() != ".png":
        raise click.BadParameter(f"{path} should end in .png", param_hint="--out")
    annotation = _find(unique_id, settings.insar_dir, source)
    volcanoes = read_volcanoes(settings.insar_archives / NAMES_FILE).get(annotation.frame, ())
    warnings, failure = [], None
    try:
        warnings = _draw(annotation, volcanoes, raw or settings.insar_raw_dir, path, seed=seed, size=size)
    except InterferogramError as error:
        failure = error
    if as_json:
        report = {"picture": None if failure else str(path), "warnings": warnings}
        click.echo(json.dumps({**report, **facts(annotation, volcanoes)}, indent=2))
    else:
        lines = [headline(annotation), *details(annotation, volcanoes), *_outlines(annotation)]
        click.echo("\n".join([*lines, annotation.caption or "There is no caption.", *warnings]))
    if failure:
        raise failure
    if not as_json:
        click.echo(f"{path}")


def _find(unique_id: int, folder: Path, source: Path | None) -> Annotation:
    """An annotation that was imported, or of a source."""
    from heph_dagster.hephaestus.annotations import load_annotations, load_table, read_annotations

    if source is None:
        known = load_annotations(folder)
        rows = load_table(folder, "annotation_rejects").to_pylist()
        rejects = [(row["source"], row["reason"]) for row in rows]
    else:
        read = read_annotations(source)
        known, rejects = list(read.annotations), [(each.source, each.reason) for each in read.rejects]
    found = {each.unique_id: each for each in known}
    if unique_id in found:
        return found[unique_id]
    where = source or folder
    for name, reason in rejects:
        if PurePosixPath(name).stem == f"{unique_id}":
            raise ValueError(f"annotation {unique_id} is not in {where}, because {name} was rejected: {reason}")
    if not known:
        raise ValueError(f"{where} has no annotations; {len(rejects)} files were rejected")
    nearest = min(found, key=lambda each: (abs(each - unique_id), each))
    raise ValueError(f"annotation {unique_id} is not among the {len(known)} in {where}; the nearest ID is {nearest}")


def _draw(
    annotation: Annotation, volcanoes: Sequence[str], raw: Path, path: Path, *, seed: int, size: int
) -> list[str]:
    """Write the picture; returns what is not as it should be."""
    from heph_dagster.files import replacing
    from heph_dagster.hephaestus.cropping import annotated_coherence, read_annotated
    from heph_dagster.hephaestus.crops import crops_of
    from heph_dagster.hephaestus.facts import crop_notes
    from heph_dagster.hephaestus.pictures import draw_annotation
    from heph_dagster.png import Picture, encode_png

    picture = read_annotated(raw, annotation)
    coherence, warning = annotated_coherence(raw, annotation, picture)
    crops = list(crops_of(annotation, picture, coherence, seed=seed, size=size, warning=warning))
    drawn = draw_annotation(annotation, picture, coherence, crops, volcanoes)
    with replacing(path) as part:
        part.write_bytes(encode_png(Picture(drawn)))
    return crop_notes(crops)


def _outlines(annotation: Annotation) -> list[str]:
    from heph_dagster.hephaestus.facts import in_words

    lines = []
    for index, each in enumerate(annotation.deformations):
        (left, top), (right, bottom) = each.polygon.min(axis=0), each.polygon.max(axis=0)
        place = f"x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f} px"
        lines.append(f"{index}: {in_words(each)}, {place}")
    return lines
