"""`heph insar inventory|masks|crops|split`: what the assets of Hephaestus make, without Dagster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.hephaestus.rejects import CropReject
    from heph_dagster.settings import Settings

_MOST_LINES = 10
_frames = click.option(
    "--frame", "frames", multiple=True, help="Only this frame; can be given several times.  [default: all annotated]"
)
_seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True)


@click.command()
@_frames
@options.as_json
def inventory(frames: tuple[str, ...], *, as_json: bool) -> None:
    """List what the raw archive has of each frame, annotated or not, and what is wrong with it."""
    from heph_dagster.hephaestus.frames import frames_on_disk
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
        write_inventory(inventory_path(folder, frame), pairs)
        on_disk = sum(pair.on_disk for pair in pairs)
        return {"on_disk": on_disk, "only_annotated": len(pairs) - on_disk, "problems": count_problems(pairs)}

    there = frames or frames_on_disk(raw)
    if not there:
        raise click.ClickException(f"{raw} has no frames: run heph insar download raw, or heph insar synthesize")
    _report("Looking at frames", there, take, as_json=as_json)


@click.command()
@_frames
@options.as_json
def masks(frames: tuple[str, ...], *, as_json: bool) -> None:
    """Paint the masks of each interferogram with deformations, as PNG of classes."""
    from heph_dagster.hephaestus.frame_masks import make_frame_masks
    from heph_dagster.settings import Settings

    settings = Settings()

    def paint(frame: str) -> dict[str, Any]:
        made = make_frame_masks(settings.insar_dir, settings.insar_raw_dir, frame)
        return {"masks": len({row.file for row in made.rows}), "deformations": len(made.rows)} | _rejects(made.rejects)

    _report("Painting masks of frames", frames or _annotated(settings), paint, as_json=as_json)


@click.command()
@_frames
@_seed
@click.option("--size", type=click.IntRange(1), default=224, show_default=True, help="Columns and rows of a crop.")
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: a few more than cores]")
@options.as_json
def crops(frames: tuple[str, ...], seed: int, size: int, workers: int | None, *, as_json: bool) -> None:
    """Cut crops around deformations and tiles of other interferograms, with masks and labels, into shards."""
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

    _report("Cutting crops of frames", frames or _annotated(settings), cut, as_json=as_json)


@click.command()
@_seed
@click.option(
    "--test-frame",
    "test_frames",
    multiple=True,
    help="Tests in the split by frames; can be given several times.  [default: the published three]",
)
@options.as_json
def split(seed: int, test_frames: tuple[str, ...], *, as_json: bool) -> None:
    """Split the crops into training, validation and test: by frames, by time, and as published.

    The published split is made where its file, train_test_split.json, lies in hephaestus of the data folder.
    """
    from heph_dagster.hephaestus.splits import TEST_FRAMES, Part, make_splits
    from heph_dagster.settings import Settings

    made = make_splits(Settings().insar_dir, seed, test_frames or TEST_FRAMES)
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


def _annotated(settings: Settings) -> list[str]:
    from heph_dagster.hephaestus.annotations import load_table

    return sorted(set(load_table(settings.insar_dir, "annotations")["frame"].to_pylist()))


def _rejects(rejects: Iterable[CropReject]) -> dict[str, Any]:
    """Rejects as lines."""
    lines = []
    for each in rejects:
        where = "" if each.index is None else f", polygon {each.index}"
        lines.append(f"annotation {each.unique_id}{where}: {each.reason}")
    return {"rejects": lines}


def _report(what: str, frames: Iterable[str], work: Callable[[str], dict[str, Any]], *, as_json: bool) -> None:
    """Work frame by frame and print what became of each; those that fail are named at the end."""
    from heph_dagster.commands.progress import counting
    from heph_dagster.errors import HephError

    frames = list(frames)
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
            facts = {name: _flat(value) for name, value in row.items()}
            facts |= {"rejects": str(len(rejects))} if rejects else {}
            click.echo(f"{frame}: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in facts.items()))
            for line in rejects[:_MOST_LINES]:
                click.echo(f"  rejected {line}")
            if len(rejects) > _MOST_LINES:
                click.echo(f"  and {len(rejects) - _MOST_LINES} more")
    if failed:
        raise click.ClickException("\n".join(failed))


def _flat(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    counts = ", ".join(f"{name} {count}" for name, count in value.items() if count)
    return f"({counts})" if counts else "no"
