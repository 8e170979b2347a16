"""`heph label` and `heph labels`: what people and methods say of days."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import click

from heph_dagster.anomalies.hand_labels import import_labels, label_day
from heph_dagster.anomalies.label_table import label_rows
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import read_codes
from heph_dagster.settings import Settings


def label_by_hand(name: str, day: date, codes: Sequence[str], epsg: int, root: Path | None) -> None:
    """Store a person's label of a day.

    Args:
        name: The layer.
        day: The day.
        codes: Label codes.
        epsg: Projection.
        root: The data root; the setting's by default.

    Raises:
        ValueError: The layer has no such day or projection, or the codes are wrong.
        HandLabelsError: The file of hand labels cannot be read.
    """
    settings = Settings()
    layer, labels = settings.catalogue()[name], read_codes(codes)
    label_day(root or settings.data_dir, layer, epsg, day, labels)
    click.echo(f"{layer.identifier} {day}: {_words(labels)}")


def show_labels(
    name: str,
    *,
    source: Path | None,
    replace: bool,
    disagreements: bool,
    eclipse_is_missing: bool,
    epsg: int,
    output_dir: Path | None,
    as_json: bool,
) -> None:
    """Take in hand labels, if asked to, and print what is known of a layer's days.

    Args:
        name: The layer.
        source: A file of hand labels, to be taken in.
        replace: Whether labels that it contradicts are replaced.
        disagreements: Whether to print only days whose hand and automatic labels differ.
        eclipse_is_missing: Whether code 5 counts as missing data.
        epsg: Projection.
        output_dir: The data root; the setting's by default.
        as_json: Whether to print JSON.

    Raises:
        ValueError: A file cannot be read or taken in, there is no label, or `replace` is given without a file.
        HandLabelsError: The file of hand labels cannot be read.
    """
    settings = Settings()
    root, layer = output_dir or settings.data_dir, settings.catalogue()[name]
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
