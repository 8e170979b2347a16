"""`heph label` and `heph labels`: what people and methods say of days."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.anomalies.labels import Label


@click.command()
@options.layer_name
@click.argument("day", metavar="DATE", type=options.DAY)
@click.argument("codes", nargs=-1)
@click.option("--remove", is_flag=True, help="Take the label of DATE back: what the methods say holds again.")
@options.epsg
@options.output_dir
def label(
    layer_name: str, day: date, codes: tuple[str, ...], epsg: int, output_dir: Path | None, *, remove: bool
) -> None:
    """Say what DATE of LAYER shows; this wins over what the methods say, and replaces an earlier label.

    CODES are one or more of 0 normal, 1 missing data (expected), 2 missing data (unexpected), 3 miscolouring, 4 edge
    warping, 5 eclipse (missing data), 6 eclipse (miscolouring only).
    """
    from heph_dagster.anomalies.hand_labels import label_day, remove_label
    from heph_dagster.anomalies.labels import Label
    from heph_dagster.anomalies.splits import read_codes
    from heph_dagster.settings import Settings

    settings = Settings()
    if remove == bool(codes):
        raise click.UsageError("Give CODES, or --remove.")
    root, layer = output_dir or settings.root, settings.catalogue()[layer_name]
    if remove:
        removed = remove_label(root, layer, epsg, day)
        what = _words(removed.codes or (Label.NORMAL,))
        click.echo(f"{layer.identifier} {day}: removed {what} ({removed.origin}, {removed.labelled_at:%Y-%m-%d})")
        return
    read = read_codes(codes)
    label_day(root, layer, epsg, day, read)
    click.echo(f"{layer.identifier} {day}: {_words(read)}")


@click.command()
@options.layer_name
@click.option(
    "--import",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take in hand labels: gibs-ml's text file, or a .csv with the columns date and codes.",
)
@click.option("--replace", is_flag=True, help="Replace hand labels that the file contradicts.")
@click.option("--disagreements", is_flag=True, help="Only days whose hand and automatic labels differ.")
@click.option("--eclipse-is-missing", is_flag=True, help="Count data that an eclipse made black (code 5) as missing.")
@options.epsg
@options.output_dir
@options.as_json
def labels(
    layer_name: str,
    source: Path | None,
    epsg: int,
    output_dir: Path | None,
    *,
    replace: bool,
    disagreements: bool,
    eclipse_is_missing: bool,
    as_json: bool,
) -> None:
    """Show the labels of LAYER's days: by hand where there are any, else automatic.

    A day without a code in an imported file counts as normal: import a file once its days have been looked at.
    """
    from heph_dagster.anomalies.hand_labels import import_labels
    from heph_dagster.anomalies.label_table import label_rows
    from heph_dagster.settings import Settings

    settings = Settings()
    root, layer = output_dir or settings.root, settings.catalogue()[layer_name]
    if replace and source is None:
        raise ValueError("--replace goes with --import")
    imported = None if source is None else import_labels(root, layer, epsg, source, replace=replace)
    rows = label_rows(root, layer, epsg, eclipse_is_missing=eclipse_is_missing)
    if not rows:
        raise ValueError(f"{root} has no labels of {layer.identifier}: heph run makes some, heph label takes them")
    shown = [row for row in rows if row.differing] if disagreements else rows
    if as_json:
        report = {
            "layer": layer.identifier, "epsg": epsg, "eclipse_is_missing": eclipse_is_missing,
            "imported": imported and imported._asdict(), "days": len(rows), "rows": [asdict(row) for row in shown],
        }  # fmt: skip
        click.echo(json.dumps(report, default=str, indent=2))
        return
    if imported is not None:
        click.echo(
            f"{source}: {imported.added} days added, {imported.replaced} replaced, {imported.unchanged} unchanged"
        )
    click.echo(_line("day", "source", "by hand", "automatic", "differing", "label"))
    for row in shown:
        codes = (_codes(each) for each in (row.hand, row.automatic, row.differing or None))
        click.echo(_line(row.day, row.source, *codes, _words(row.codes)))
    both = sum(row.hand is not None and row.automatic is not None for row in rows)
    click.echo(
        f"{len(rows)} days, {sum(row.source == 'hand' for row in rows)} labelled by hand; {both} have both labels, "
        f"{sum(bool(row.differing) for row in rows)} of them differ. "
        f"Data that an eclipse made black count as {'missing' if eclipse_is_missing else 'not missing'}."
    )


def _line(*cells: object) -> str:
    return "{!s:<10}  {:<9}  {:<9}  {:<9}  {:<9}  {}".format(*cells)


def _words(codes: Sequence[Label]) -> str:
    return ", ".join(f"{int(code)} {code.words}" for code in codes) or "could not be judged"


def _codes(codes: Sequence[Label] | None) -> str:
    return "" if codes is None else " ".join(str(int(code)) for code in codes) or "-"
