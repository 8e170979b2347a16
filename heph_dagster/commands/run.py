"""`heph run`: a layer's days through Dagster."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date

import click

from heph_dagster.commands import options


@click.command()
@click.option("--layer", "layer_names", multiple=True, help="An active layer, may be repeated.  [default: all]")
@options.first_day
@options.last_day
@options.epsg
@options.as_json
def run(layer_names: tuple[str, ...], start: date, end: date | None, epsg: int, *, as_json: bool) -> None:
    """Materialize all daily assets of layers for a range of days, in as few Dagster runs as HEPH_CHUNK_DAYS allows.

    A layer that began later has its first day instead.
    """
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import NoDaysError, instance_at, run_range
    from heph_dagster.settings import Settings

    settings = Settings()
    active = [settings.active_layer(name, epsg) for name in layer_names]
    definitions = build_definitions(settings)
    reports, without = [], []
    with instance_at(settings.dagster_home) as instance:
        for each in active or [layer for layer in settings.active_layers() if layer.epsg == epsg]:
            try:
                report = run_range(definitions, settings, instance, each, start, end or start)
            except NoDaysError as error:
                without.append(str(error))
                continue
            reports.append(report)
            for name, days in report.done.items():
                click.echo(f"{report.layer} {name}: {len(days)} days in {report.seconds:.1f} s", err=as_json)
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], default=str, indent=2))
    for line in without:
        click.echo(line, err=True)
    errors = [error for report in reports for error in report.errors]
    if errors or not reports:
        raise click.ClickException("\n".join(errors or ["no layer has days in the range"]))
