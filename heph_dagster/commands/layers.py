"""`heph layers` and `heph days`: what the catalogue and the server have."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.settings import Settings

_NAME_WIDTH = 48


@click.command()
@click.argument("words", nargs=-1)
@click.option("--remote", is_flag=True, help="List the server's layers, with the days that its capabilities tell.")
@click.option("--epsg", type=int, help="Only layers of a projection.  [default: all, with --remote 4326]")
@options.as_json
def layers(words: tuple[str, ...], epsg: int | None, *, remote: bool, as_json: bool) -> None:
    """List the layers of the catalogue, or of the server, whose rows contain all WORDS."""
    from heph_dagster.settings import Settings

    settings = Settings()
    if remote:
        rows = _remote_rows(settings, 4326 if epsg is None else epsg)
    else:
        rows = [layer.model_dump(mode="json") for layer in settings.catalogue().values()]
        rows = [row for row in rows if epsg is None or epsg in row["projections"]]
    texts = [json.dumps(row, default=str).lower() for row in rows]
    rows = [row for row, text in zip(rows, texts, strict=True) if all(word.lower() in text for word in words)]
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    for row in rows:
        click.echo(f"{row['identifier']:<{_NAME_WIDTH}}  {(_remote_cells if remote else _cells)(row)}")
    if not rows:
        raise click.ClickException(f"no layer matches {' '.join(words)!r}" if words else "no layer is listed")


def _remote_rows(settings: Settings, epsg: int) -> list[dict[str, Any]]:
    import asyncio

    from heph_dagster.gibs.capabilities import ListedLayer, listed_layers
    from heph_dagster.gibs.grid import grid

    async def ask() -> list[ListedLayer]:
        async with settings.client() as client:
            return await listed_layers(client, grid(epsg).epsg)

    known = set(settings.catalogue())
    return [asdict(layer) | {"in_catalogue": layer.identifier in known} for layer in asyncio.run(ask())]


def _cells(row: dict[str, Any]) -> str:
    projections = " ".join(str(epsg) for epsg in row["projections"])
    return f"{row['format']}  {row['tile_matrix_set']:>5}  {row['first_day']}  {row['kind']:<21}  {projections}"


def _remote_cells(row: dict[str, Any]) -> str:
    formats, sets = ",".join(row["formats"]), ",".join(row["tile_matrix_sets"])
    days = f"{row['first_day'] or 'no time'!s:<10}  {row['last_day'] or ''!s:<10}"
    return f"{formats:<10}  {sets:>5}  {days}  {'in catalogue' if row['in_catalogue'] else '-':<12}  {row['title']}"


@click.command()
@options.layer_name
@options.epsg
@options.as_json
def days(layer_name: str, epsg: int, *, as_json: bool) -> None:
    """Show the days that the server has of a layer, gaps included."""
    from heph_dagster.gibs.download import list_days
    from heph_dagster.settings import Settings

    settings = Settings()
    layer = settings.catalogue()[layer_name]
    periods = list_days(settings.client(), layer, epsg)
    if as_json:
        click.echo(json.dumps([{"start": p.start, "end": p.end, "step": p.step} for p in periods], default=str))
        return
    for period in periods:
        click.echo(f"{period.start}  {period.end}  {period.step:>4}  {sum(1 for _ in period.days()):>6} days")
    if not periods:
        raise click.ClickException(f"{settings.gibs_url} has no days of {layer.identifier}{layer.continuation}")
