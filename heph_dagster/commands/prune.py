"""`heph prune`: the imagery of old days removed, having asked."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options
from heph_dagster.errors import HephError

if TYPE_CHECKING:
    from heph_dagster.gibs.prune import DayFiles


class NotConfirmedError(HephError):
    """A removal that nobody confirmed."""


@click.command()
@click.option(
    "--keep-days", type=click.IntRange(0, 100_000), required=True, help="Whole days before today (UTC) that stay."
)
@click.option("--layer", "names", multiple=True, help="Layer; may be repeated.  [default: all of the catalogue]")
@click.option("--epsg", "projections", type=int, multiple=True, help="Projection; may be repeated.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.output_dir
@options.as_json
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
    from heph_dagster.gibs.grid import GRIDS, grid
    from heph_dagster.gibs.partial import DayBusyError
    from heph_dagster.gibs.prune import old_days, remove_day
    from heph_dagster.settings import Settings

    settings = Settings()
    catalogue = settings.catalogue()
    layers = [catalogue[name] for name in names] or list(catalogue.values())
    codes = [grid(epsg).epsg for epsg in projections] or list(GRIDS)
    before = datetime.now(UTC).date() - timedelta(days=keep_days)
    root = output_dir or settings.root
    found = old_days(root, layers, codes, before)
    removed, in_use = found, []
    if found and not dry_run:
        if not yes:
            _confirm(f"{_total(found)} from before {before} in {root}")
        removed = []
        with click.progressbar(found, label="Removing", file=sys.stderr) as days:
            for old in days:
                try:
                    removed.append(remove_day(old))
                except DayBusyError:
                    in_use.append(old.mosaic)
    freed: dict[str, int] = {}
    for day in removed:
        freed[day.layer.identifier] = freed.get(day.layer.identifier, 0) + day.bytes
    if as_json:
        rows = [
            {"layer": day.layer.identifier, "epsg": day.epsg, "day": day.day, "files": day.files, "bytes": day.bytes}
            for day in removed
        ]
        values = {"before": before, "dry_run": dry_run, "days": rows, "freed": freed, "in_use": in_use}
        click.echo(json.dumps(values, default=str, indent=2))
    else:
        _report(removed, freed, dry_run=dry_run)
    for path in in_use:
        click.echo(f"{path} is being downloaded: left alone", err=True)


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise NotConfirmedError(
            f"this would remove {what}, and there is no terminal to ask on: give --yes to remove them, or --dry-run to "
            "list them"
        )
    if not click.confirm(f"Remove {what}?", err=True):
        raise NotConfirmedError("nothing was removed")


def _total(days: list[DayFiles]) -> str:
    layers = {day.layer.identifier for day in days}
    size = _megabytes(sum(day.bytes for day in days))
    return f"{len({day.day for day in days})} days of {len(layers)} layers ({size})"


def _report(removed: list[DayFiles], freed: dict[str, int], *, dry_run: bool) -> None:
    if dry_run:
        for day in removed:
            figures = f"{len(day.files):>5} files  {_megabytes(day.bytes):>12}"
            click.echo(f"{day.day}  {day.epsg}  {day.layer.identifier:<48}  {figures}")
    for name, size in freed.items():
        days = sum(day.layer.identifier == name for day in removed)
        click.echo(f"{name}: {days} days, {_megabytes(size)} {'would be freed' if dry_run else 'freed'}")
    if not removed:
        click.echo("nothing to remove")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
