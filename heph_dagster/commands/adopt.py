"""`heph adopt`: a gibs-ml folder taken into the data root, and its days made known to Dagster."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options
from heph_dagster.commands.copied import keep, place

if TYPE_CHECKING:
    from heph_dagster.anomalies.splits import SplitDay
    from heph_dagster.defs.adoption import Marks
    from heph_dagster.gibs.adopt import Adopted, Rejected
    from heph_dagster.gibs.catalogue import Catalogue

_EPSG = 4326
"""Projection of the split files that stand in no folder of one."""


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.output_dir
@click.option(
    "--level", type=click.IntRange(0, 12), help="Finest level to make.  [default: the next finer than the image]"
)
@click.option("--replace", is_flag=True, help="Replace days and split files that are there.")
@options.as_json
def adopt(directory: Path, output_dir: Path | None, level: int | None, *, replace: bool, as_json: bool) -> None:
    """Take in DIRECTORY, gibs-ml's data: its images become mosaics, its split files are checked and copied.

    DIRECTORY/{EPSG}/{YYYY-MM-DD}/{Layer}.jpg (.jpeg, .png, .tif, .tiff) and DIRECTORY/{EPSG}/{Layer}.txt or
    DIRECTORY/{Layer}.txt (EPSG:4326) are taken in; what is there already is kept. The days of active layers are marked
    as materialized in Dagster. The exit code is 1 when a file was rejected.
    """
    from heph_dagster.defs.adoption import Marks, mark_adopted
    from heph_dagster.defs.runs import instance_at
    from heph_dagster.gibs.adopt import Adopted, Rejected, adopt_images, find_images
    from heph_dagster.settings import Settings

    settings = Settings()
    catalogue, active = settings.catalogue(), settings.active_layers()
    root = output_dir or settings.root
    images, unknown = find_images(directory, catalogue)
    if not images and not unknown and not any(_split_files(directory)):
        raise ValueError(
            f"{directory} holds nothing to adopt, neither images {{EPSG}}/{{YYYY-MM-DD}}/{{Layer}}.jpg nor split files "
            "{EPSG}/{Layer}.txt: name the folder that gibs-ml calls data"
        )
    with click.progressbar(length=len(images), label="Adopting", file=sys.stderr) as bar:
        results = adopt_images(root, images, level=level, replace=replace, on_image=lambda: bar.update(1))
    results += _adopt_split_files(directory, root, catalogue, replace=replace)
    adopted = [each for each in results if isinstance(each, Adopted)]
    rejected = unknown + [each for each in results if isinstance(each, Rejected)]
    own = output_dir is None or (isinstance(settings.data_dir, Path) and root.resolve() == settings.data_dir.resolve())
    marks = Marks()
    keep()
    if any(each.day is not None for each in adopted):
        with (
            instance_at(settings.dagster_home if own else root.absolute() / "dagster") as instance,
            click.progressbar(adopted, label="Marking", file=sys.stderr) as days,
        ):
            marks = mark_adopted(instance, active, days, lambda path: place(path.absolute()))
    ignored = sorted(path.name for path in directory.iterdir() if _ignored(path))
    _report(adopted, rejected, marks, ignored, as_json=as_json)
    raise SystemExit(int(bool(rejected)))


def _adopt_split_files(directory: Path, root: Path, catalogue: Catalogue, *, replace: bool) -> list[Adopted | Rejected]:
    from heph_dagster.anomalies.splits import read_splits, write_splits
    from heph_dagster.gibs.adopt import Adopted, Rejected

    results: list[Adopted | Rejected] = []
    taken: dict[Path, tuple[Path, list[SplitDay]]] = {}
    for source, epsg in _split_files(directory):
        try:
            layer = catalogue[source.stem]
            layer.grid(epsg)
            rows = read_splits(source)
        except ValueError as error:
            results.append(Rejected(source, str(error).removeprefix(f"{source}, ")))
            continue
        target = root / f"{epsg}" / f"{layer.identifier}.txt"
        there = target.exists()
        first, known = taken.setdefault(target, (source, rows))
        if known != rows:
            results.append(Rejected(source, f"{first} is of the same layer and says otherwise: remove one of the two"))
        elif there and (not replace or first != source):
            results.append(Adopted(source, target, layer, epsg, None, "kept"))
        else:
            write_splits(target, rows)
            results.append(Adopted(source, target, layer, epsg, None, "replaced" if there else "adopted"))
    return results


def _split_files(directory: Path) -> Iterator[tuple[Path, int]]:
    """Split files and the codes of their projections."""
    from heph_dagster.gibs.adopt import is_epsg_folder

    for folder in sorted(path for path in directory.iterdir() if is_epsg_folder(path)):
        yield from ((path, int(folder.name)) for path in sorted(folder.glob("[!.]*.txt")))
    yield from ((path, _EPSG) for path in sorted(directory.glob("[!.]*.txt")))


def _ignored(path: Path) -> bool:
    from heph_dagster.gibs.adopt import is_epsg_folder

    return not (path.name.startswith(".") or path.suffix == ".txt" or is_epsg_folder(path))


def _report(
    adopted: list[Adopted], rejected: list[Rejected], marks: Marks, ignored: list[str], *, as_json: bool
) -> None:
    if as_json:
        files = [asdict(each) | {"layer": each.layer.identifier} for each in adopted]
        refused = {str(each.source): each.reason for each in rejected}
        values = {"files": files, "rejected": refused, **asdict(marks), "ignored": ignored}
        click.echo(json.dumps(values, default=str, indent=2))
        return
    for what, chosen in (
        ("days", [each for each in adopted if each.day is not None]),
        ("split files", [each for each in adopted if each.day is None]),
    ):
        counts = Counter(each.outcome for each in chosen)
        click.echo(f"{len(chosen)} {what} ({', '.join(f'{count} {name}' for name, count in counts.items()) or 'none'})")
    for key, days in marks.marked.items():
        click.echo(f"{key}: {len(days)} days marked as materialized")
    for key, days in marks.without_partition.items():
        click.echo(f"{key} has no partition for {_spell(days)}: adopted, but not marked", err=True)
    for key, days in marks.inactive.items():
        click.echo(f"{key} is no asset: {len(days)} days adopted, but not marked. HEPH_LAYERS adds layers", err=True)
    for each in rejected:
        click.echo(f"{each.source}: {each.reason}", err=True)
    if ignored:
        click.echo(f"left alone, being no folder of an EPSG code: {', '.join(ignored)}", err=True)


def _spell(days: list[date]) -> str:
    return ", ".join(map(str, days))
