"""`heph insar inventory|masks|crops|split`: what the assets of Hephaestus make, without Dagster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.hephaestus.rejects import CropReject
    from heph_dagster.settings import Settings

_MOST_LINES = 3
_only_frames = "Only this frame; can be given several times.  [default: all {}]"
_annotated_frames = click.option("--frame", "frames", multiple=True, help=_only_frames.format("annotated"))


@click.command()
@click.option("--frame", "frames", multiple=True, help=_only_frames.format("in the raw archive"))
@options.as_json
def inventory(frames: tuple[str, ...], *, as_json: bool) -> None:
    """List what the raw archive has, and what is wrong.

    All pairs of a frame stand in interferograms/{frame}.parquet, annotated or not, with their sizes and problems.
    """
    from heph_dagster.hephaestus.inventory import (
        annotated_pairs,
        count_problems,
        inventory_path,
        take_inventory,
        write_inventory,
    )
    from heph_dagster.settings import Settings

    settings = Settings()
    folder, raw = settings.insar_dir, settings.insar_raw_dir

    def take(frame: str) -> dict[str, Any]:
        pairs = take_inventory(raw, frame, annotated_pairs(folder, frame))
        if not pairs:
            raise ValueError(f"nothing of it is in {raw}, and no annotation is of it")
        write_inventory(inventory_path(folder, frame), pairs)
        on_disk = sum(pair.on_disk for pair in pairs)
        return {"on_disk": on_disk, "only_annotated": len(pairs) - on_disk, "problems": count_problems(pairs)}

    there = frames or _on_disk(settings)
    if not (folder / "annotations.parquet").exists():
        click.echo("no annotations are imported (heph insar import), so that nothing counts as annotated", err=True)
    _report("Looking at frames", there, take, as_json=as_json)


@click.command()
@_annotated_frames
@options.as_json
def masks(frames: tuple[str, ...], *, as_json: bool) -> None:
    """Paint the masks of deformations.

    An interferogram with deformations gives a PNG of classes in masks/{frame}, and each deformation a row of
    masks.parquet there.
    """
    from heph_dagster.hephaestus.frame_masks import make_frame_masks
    from heph_dagster.settings import Settings

    settings = Settings()

    def paint(frame: str) -> dict[str, Any]:
        made = make_frame_masks(settings.insar_dir, settings.insar_raw_dir, frame)
        return {"masks": len({row.file for row in made.rows}), "deformations": len(made.rows)} | _rejects(made.rejects)

    there = _annotated(settings, frames)
    _report("Painting masks of frames", there, paint, as_json=as_json, rejects_in="masks/{frame}/rejects.parquet")


@click.command()
@_annotated_frames
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed places crops elsewhere."
)
@click.option("--size", type=click.IntRange(1), default=224, show_default=True, help="Columns and rows of a crop.")
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: a few more than cores]")
@options.as_json
def crops(frames: tuple[str, ...], seed: int, size: int, workers: int | None, *, as_json: bool) -> None:
    """Cut crops, with masks and labels, into shards.

    Deformations give a crop each, other interferograms tiles; what gave none is a reject with its reason. They stand
    in crops/{frame}, with a manifest.
    """
    from heph_dagster.hephaestus.frame_crops import make_frame_crops
    from heph_dagster.settings import Settings

    settings = Settings()

    def cut(frame: str) -> dict[str, Any]:
        made = make_frame_crops(
            settings.insar_dir, settings.insar_raw_dir, frame, seed=seed, size=size, workers=workers
        )
        return {"crops": len(made.manifest), "classes": made.classes(), "with_warning": made.warnings} | _rejects(
            made.rejects
        )

    there = _annotated(settings, frames)
    _report("Cutting crops of frames", there, cut, as_json=as_json, rejects_in="crops/{frame}.rejects.parquet")


@click.command()
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed takes other frames to validate."
)
@click.option(
    "--test-frame",
    "test_frames",
    multiple=True,
    help="Tests in the split by frames; can be given several times.  [default: the published three]",
)
@options.as_json
def split(seed: int, test_frames: tuple[str, ...], *, as_json: bool) -> None:
    """Split the crops into training, validation and test.

    There is a split by frames, one by time, and the published one where its file, train_test_split.json, lies in
    hephaestus of the data folder. They stand in splits/{name}.parquet.
    """
    from heph_dagster.hephaestus.frame_crops import frames_with_crops
    from heph_dagster.hephaestus.published_split import PUBLISHED_FILE
    from heph_dagster.hephaestus.splits import TEST_FRAMES, Part
    from heph_dagster.hephaestus.splitting import make_splits
    from heph_dagster.settings import Settings

    settings = Settings()
    folder = settings.insar_dir
    there = frames_with_crops(folder)
    if there and (lacking := sorted(set(test_frames) - set(there))):
        raise click.BadParameter(f"there are no crops of {', '.join(lacking)}", param_hint="--test-frame")
    made = make_splits(folder, seed, test_frames or TEST_FRAMES, settings.insar_archives / PUBLISHED_FILE)
    counts = {name: each.counts() for name, each in made.items()}
    if as_json:
        click.echo(json.dumps(counts, indent=2))
        return
    for name, each in counts.items():
        parts = ", ".join(f"{part} {each[f'{part}/0']} + {each[f'{part}/1']}" for part in Part)
        click.echo(f"{name}: {parts} (not deformed + deformed); {each['missing']} missing")
    for name, result in made.items():
        if empty := result.empty_parts():
            click.echo(f"warning: {name} has no crops to {' or '.join(empty)}", err=True)


def _on_disk(settings: Settings) -> list[str]:
    """The frames of the raw archive."""
    from heph_dagster.hephaestus.frames import frames_on_disk

    raw = settings.insar_raw_dir
    if found := frames_on_disk(raw):
        return found
    raise click.ClickException(f"{raw} has no frames: run heph insar download raw, or heph insar synthesize")


def _annotated(settings: Settings, wanted: Sequence[str]) -> Sequence[str]:
    """The frames that are asked for, by default all annotated ones."""
    from heph_dagster.hephaestus.annotations import load_table

    known = sorted(set(load_table(settings.insar_dir, "annotations", ["frame"])["frame"].to_pylist()))
    if lacking := sorted(set(wanted) - set(known)):
        raise click.BadParameter(f"no annotation is of {', '.join(lacking)}", param_hint="--frame")
    _on_disk(settings)
    return wanted or known


def _rejects(rejects: Iterable[CropReject]) -> dict[str, Any]:
    """Rejects as lines."""
    lines = []
    for each in rejects:
        where = "" if each.index is None else f", polygon {each.index}"
        lines.append(f"annotation {each.unique_id}{where}: {each.reason}")
    return {"rejects": lines}


def _report(
    what: str, frames: Sequence[str], work: Callable[[str], dict[str, Any]], *, as_json: bool, rejects_in: str = ""
) -> None:
    """Work frame by frame and print what became of each; those that fail are named at the end."""
    from heph_dagster.commands.progress import counting
    from heph_dagster.errors import HephError

    done: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    with counting(what, len(frames)) as advance:
        for frame in frames:
            try:
                done[frame] = work(frame)
            except (HephError, ValueError, OSError) as error:
                failed.append(f"{frame}: {error}")
            advance()
    if as_json:
        click.echo(json.dumps(done, indent=2))
    else:
        for frame, row in done.items():
            rejects: list[str] = row.pop("rejects", [])
            facts = [_fact(name.replace("_", " "), value) for name, value in row.items()]
            facts += [f"{len(rejects)} rejects"] if rejects else []
            click.echo(f"{frame}: {', '.join(facts)}")
            for line in rejects[:_MOST_LINES]:
                click.echo(f"  rejected {line}")
            if len(rejects) > _MOST_LINES:
                click.echo(f"  and {len(rejects) - _MOST_LINES} more: {rejects_in.format(frame=frame)}")
    if failed:
        raise click.ClickException("\n".join(failed))


def _fact(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value} {name}"
    counts = ", ".join(f"{each} {count}" for each, count in value.items() if count)
    return f"{name} ({counts})" if counts else f"no {name}"
