"""`heph backfill`: a range of days of many layers, done by the daemon."""

from __future__ import annotations

import json
from datetime import date

import click

from heph_dagster.commands import options


@click.command()
@click.option("--layer", "layer_names", multiple=True, help="An active layer, may be repeated.  [default: all]")
@click.option(
    "--asset", "names", multiple=True, help="Such as image or features, may be repeated.  [default: the daily ones]"
)
@options.first_day
@options.last_day
@options.epsg
@options.as_json
def backfill(
    layer_names: tuple[str, ...], names: tuple[str, ...], start: date, end: date | None, epsg: int, *, as_json: bool
) -> None:
    """Ask the daemon for days of layers, as one backfill that the UI shows; `heph run` needs no daemon.

    A layer that began later has its first day instead. Runs have HEPH_CHUNK_DAYS days at most.
    """
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import BACKFILLED, instance_at, request_backfill
    from heph_dagster.settings import Settings

    settings = Settings()
    layers = [settings.active_layer(name, epsg) for name in layer_names] or [
        each for each in settings.active_layers() if each.epsg == epsg
    ]
    with instance_at(settings.dagster_home) as instance:
        identifier, days = request_backfill(
            build_definitions(settings), settings, instance, layers, names or BACKFILLED, start, end or start
        )
    if as_json:
        click.echo(json.dumps({"backfill": identifier, "days": days}, default=str, indent=2))
        return
    for layer, (first, last) in days.items():
        click.echo(f"{layer}: {first} to {last}")
    click.echo(f"Backfill {identifier} is asked for; the daemon (make dev) carries it out, and the UI shows it.")
