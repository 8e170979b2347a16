"""`heph insar synthesize`: interferograms where the archive is not at hand."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.hephaestus.annotation import Annotation


@click.command()
@click.argument("annotations", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that raw/ is in; synthetic files there are replaced.  [default: hephaestus in the data folder]",
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--layout", type=click.Choice(["licsar", "plain"]), default="licsar", show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option("--count", type=click.IntRange(1), help="Annotations to invent, where none are given.")
@click.option("--frames", help="Frames to invent them for, A,B.  [default: four that do not exist]")
@click.option("--frame", "only_frames", multiple=True, help="Only of this frame; can be given several times.")
@click.option("--ids", "only_ids", help="Only these annotations, 3,14,15.")
@options.as_json
def synthesize(
    annotations: Path | None,
    out: Path | None,
    seed: int,
    layout: str,
    workers: int | None,
    count: int | None,
    *,
    frames: str | None,
    as_json: bool,
    **only: Any,
) -> None:
    """Make interferograms for annotations, or invent both.

    ANNOTATIONS is a folder, zip or tar. Writes raw/{frame}/interferograms/{dates}, and annotations/{uniqueID}.json of
    those that it invents.
    """
    from heph_dagster.commands.progress import counting
    from heph_dagster.hephaestus.interferograms import Layout
    from heph_dagster.hephaestus.synthetic.archive import check_folder, write_archive, write_records
    from heph_dagster.hephaestus.synthetic.scene import scenes
    from heph_dagster.settings import Settings

    if (annotations is None) == (count is None):
        raise click.UsageError("give either ANNOTATIONS, or --count to invent some")
    if frames and count is None:
        raise click.UsageError("--frames is for --count; --frame picks those of ANNOTATIONS")
    known, rejects = _read(annotations) if annotations else (_invented(count or 0, seed, frames), 0)
    picked = _picked(known, **only)
    out = out or Settings().insar_archives
    check_folder(out, picked, records=count is not None)
    if count is not None:
        write_records(out, picked)
    with counting("Synthesizing interferograms", len(picked)) as advance:
        write_archive(
            out, picked, scenes(known, seed), layout=Layout(layout), workers=workers or os.cpu_count() or 1,
            on_done=lambda _: advance(),
        )  # fmt: skip
    of_frame = dict(sorted(Counter(each.frame for each in picked).items()))
    if as_json:
        report = {"out": str(out), "seed": seed, "layout": layout, "interferograms": len(picked), "rejects": rejects}
        click.echo(json.dumps({**report, "frames": of_frame}, indent=2))
        return
    click.echo(f"{out / 'raw'}: {len(picked)} interferograms of {len(of_frame)} frames, seed {seed}")
    if rejects:
        click.echo(f"{rejects} annotation files were rejected: heph insar import tells why")
    click.echo(f"next: heph insar import {annotations or out / 'annotations'}")


def _read(source: Path) -> tuple[list[Annotation], int]:
    from heph_dagster.hephaestus.annotations import read_annotations

    read = read_annotations(source)
    if not read.annotations:
        raise ValueError(f"{source} has no annotation that can be read; {len(read.rejects)} files were rejected")
    return list(read.annotations), len(read.rejects)


def _invented(count: int, seed: int, frames: str | None) -> list[Annotation]:
    from heph_dagster.hephaestus.synthetic.invention import FRAMES, invent

    return invent(count, seed, tuple(frames.split(",")) if frames else FRAMES)


def _picked(known: list[Annotation], only_frames: tuple[str, ...], only_ids: str | None) -> list[Annotation]:
    """The annotations that were asked for."""
    if lacking := sorted(set(only_frames) - {each.frame for each in known}):
        raise ValueError(f"no annotation is of {', '.join(lacking)}")
    picked = [each for each in known if not only_frames or each.frame in only_frames]
    if only_ids is None:
        return picked
    try:
        numbers = {int(number) for number in only_ids.split(",")}
    except ValueError as error:
        raise click.BadParameter(f"{only_ids!r} should read 3,14,15", param_hint="--ids") from error
    if unknown := sorted(numbers - {each.unique_id for each in picked}):
        raise ValueError(f"there is no annotation {', '.join(map(str, unknown))} among the {len(picked)}")
    return [each for each in picked if each.unique_id in numbers]
