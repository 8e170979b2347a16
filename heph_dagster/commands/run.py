"""`heph run`: a layer's days through Dagster."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date

import click

from heph_dagster.commands import options


@click.command()
@click.option("--layer", "layer_name", required=True, help="An active layer.")
@options.first_day
@options.last_day
@options.epsg
@options.as_json
def run(layer_name: str, start: date, end: date | None, epsg: int, *, as_json: bool) -> None:
    """Materialize all daily assets of a layer for a range of days, as one Dagster run."""
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import instance_at, run_range
    from heph_dagster.settings import Settings

    settings = Settings()
    active = settings.active_layer(layer_name, epsg)
    with instance_at(settings.dagster_home) as instance:
        report = run_range(build_definitions(settings), settings, instance, active, start, end or start)
    if as_json:
        click.echo(json.dumps(asdict(report), default=str, indent=2))
    else:
        for name, days in report.done.items():
            click.echo(f"{report.layer} {name}: {len(days)} days in {report.seconds:.1f} s")
    if report.errors:
        raise click.ClickException("\n".join(report.errors))
