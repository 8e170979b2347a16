"""`heph check`: do days on disk repeat earlier ones, and does the layer go on?"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import click

from heph_dagster.commands import options


@click.command()
@options.layer_name
@options.first_day
@options.last_day
@options.epsg
@options.output_dir
@options.as_json
def check(layer_name: str, start: date, end: date | None, epsg: int, output_dir: Path | None, *, as_json: bool) -> None:
    """Tell whether days of LAYER on disk repeat earlier ones, and whether the server has stopped bringing new ones."""
    from heph_dagster.anomalies.frozen import check_frozen
    from heph_dagster.anomalies.stale import find_stale, usual_delay
    from heph_dagster.commands.progress import counting
    from heph_dagster.gibs.archive import mosaic_path
    from heph_dagster.gibs.download import list_days
    from heph_dagster.gibs.periods import Period
    from heph_dagster.settings import Settings

    settings = Settings()
    root, layer, today = output_dir or settings.root, settings.catalogue()[layer_name], datetime.now(UTC).date()
    layer.grid(epsg)
    end = end or start
    if end < start:
        raise ValueError(f"the range ends on {end}, before it starts on {start}")
    days = list(Period(start, end).days())
    there = [day for day in days if mosaic_path(root, epsg, day, layer).exists()]
    missing = sorted(set(days) - set(there)) if layer.daily else []
    if not there:
        raise ValueError(f"{root} has no day of {layer.identifier} from {start} to {end}: download some first")
    stale = find_stale(layer, list_days(settings.client(), layer, epsg), today, usual_delay(root, layer, epsg, today))
    with counting("Comparing", len(there)) as advance:
        frozen = check_frozen(root, layer, epsg, there, on_day=lambda _: advance())
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
            verdict = "ok     " if each.unreadable is None else "ERROR  "
            click.echo(("FROZEN " if each.flagged else verdict) + each.message)
        if missing:
            click.echo(f"Not on disk and not checked: {', '.join(map(str, missing))}", err=True)
    bad = any(each.flagged or each.unreadable is not None for each in frozen)
    raise SystemExit(int(stale.flagged or bad or bool(missing)))
