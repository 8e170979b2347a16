"""`heph check`: do days on disk repeat earlier ones, and does the layer go on?"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from heph_dagster.anomalies.frozen import check_frozen
from heph_dagster.anomalies.stale import find_stale, usual_delay
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.download import list_days
from heph_dagster.gibs.periods import Period
from heph_dagster.settings import Settings


def check_layer(name: str, start: date, end: date, epsg: int, root: Path | None, *, as_json: bool) -> int:
    """Check days of a layer for frozen ones, and the layer for being stale, and print what was found.

    Args:
        name: The layer.
        start: First day.
        end: Last day, included.
        epsg: Projection.
        root: The data root; the setting's by default.
        as_json: Whether to print JSON.

    Returns:
        Exit status: 0, or 1 when something is flagged or a day of a daily layer is not on disk.

    Raises:
        ValueError: The range is empty, or none of its days is on disk.
        GibsError: The server does not tell which days it has.
    """
    settings = Settings()
    root, layer, today = root or settings.data_dir, settings.catalogue()[name], datetime.now(UTC).date()
    layer.grid(epsg)
    if end < start:
        raise ValueError(f"the range ends on {end}, before it starts on {start}")
    days = list(Period(start, end).days())
    there = [day for day in days if mosaic_path(root, epsg, day, layer).exists()]
    missing = sorted(set(days) - set(there)) if layer.daily else []
    if not there:
        raise ValueError(f"{root} has no day of {layer.identifier} from {start} to {end}: download some first")
    stale = find_stale(layer, list_days(settings.client(), layer, epsg), today, usual_delay(root, layer, epsg, today))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("Comparing", total=len(there))
        frozen = check_frozen(root, layer, epsg, there, on_day=lambda _: progress.advance(task))
    if as_json:
        report = {
            "layer": layer.identifier,
            "epsg": epsg,
            "stale": stale.as_json(),
            "frozen": [each.as_json() for each in frozen],
            "missing": missing,
        }
        click.echo(json.dumps(report, default=str, indent=2))
    else:
        click.echo(("STALE  " if stale.flagged else "ok     ") + stale.message)
        for each in frozen:
            click.echo(("FROZEN " if each.flagged else "ok     ") + each.message)
        if missing:
            click.echo(f"Not on disk and not checked: {', '.join(map(str, missing))}", err=True)
    return int(stale.flagged or any(each.flagged for each in frozen) or bool(missing))
