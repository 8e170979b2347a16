"""Labels that people gave to days: a Parquet file per layer, `{root}/{EPSG}/{Layer}.hand_labels.parquet`.

They come from gibs-ml's text files (`train 2015-11-25 2 3`), from CSV files with the columns `date` and `codes` (codes
separated by spaces), and one by one. A day without a code is a normal one.
"""

from __future__ import annotations

import csv
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, read_codes, read_day, read_splits
from heph_dagster.errors import HephError
from heph_dagster.files import locked
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.tables import read_table, write_table

SCHEMA_VERSION = "1"
_CSV_COLUMNS = ["date", "codes"]


class HandLabelsError(HephError):
    """A file of hand labels that cannot be read."""


class HandLabel(NamedTuple):
    """What somebody says of a day.

    Attributes:
        codes: Label codes, as they were given.
        split: What the file that it came from uses the day for, if it says so.
        labelled_at: When it was stored (UTC).
        origin: Where it came from: the name of a file, or `heph label`.
    """

    codes: tuple[Label, ...]
    split: Split | None
    labelled_at: datetime
    origin: str


class Imported(NamedTuple):
    """How many days an import added, replaced, and found as they were."""

    added: int
    replaced: int
    unchanged: int


def hand_labels_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's hand labels stand below a data root."""
    return root / str(epsg) / f"{layer.identifier}.hand_labels.parquet"


def read_hand_labels(path: Path) -> dict[date, HandLabel]:
    """All hand labels of a layer by day, in order; none where there is no file.

    Raises:
        HandLabelsError: The file is damaged, or of another version.
    """
    import pyarrow as pa

    try:
        table = read_table(path)
    except FileNotFoundError:
        return {}
    except (OSError, pa.ArrowException) as error:
        raise HandLabelsError(f"{path} is damaged: {error}; restore it, or delete it and import again") from error
    version = (table.schema.metadata or {}).get(b"version", b"none").decode()
    if version != SCHEMA_VERSION:
        raise HandLabelsError(f"{path} has schema version {version}, and this program reads {SCHEMA_VERSION}")
    try:
        return {
            row["day"]: HandLabel(
                tuple(Label(code) for code in row["codes"]),
                None if row["split"] is None else Split(row["split"]),
                row["labelled_at"],
                row["origin"],
            )
            for row in table.to_pylist()
        }
    except ValueError as error:
        raise HandLabelsError(f"{path} is of another program: {error}; restore it") from error


def label_day(root: Path, layer: Layer, epsg: int, day: date, codes: Sequence[Label]) -> None:
    """Store a person's label of a day in place of an earlier one; see `label_days`."""
    label_days(root, layer, epsg, {day: codes}, "heph label")


def label_days(root: Path, layer: Layer, epsg: int, codes: Mapping[date, Sequence[Label]], origin: str) -> None:
    """Store labels of days in place of earlier ones, all of them or none; an imported day keeps its split.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        codes: Label codes of each day.
        origin: Where they come from.

    Raises:
        ValueError: The layer has no such day or projection, or the codes of a day contradict each other.
        HandLabelsError: The file of hand labels cannot be read.
    """
    layer.grid(epsg)
    for day, given in codes.items():
        _check_day(layer, day)
        _check_codes(given)
    path = hand_labels_path(root, epsg, layer)
    with locked(path):
        labels, now = read_hand_labels(path), datetime.now(UTC)
        for day, given in codes.items():
            split = labels[day].split if day in labels else None
            labels[day] = HandLabel(tuple(given), split, now, origin)
        _write(path, labels)


def remove_label(root: Path, layer: Layer, epsg: int, day: date) -> HandLabel:
    """Take a person's label of a day back, its split included.

    Returns:
        What was removed.

    Raises:
        ValueError: The layer has no such projection, or nobody has labelled that day.
        HandLabelsError: The file of hand labels cannot be read.
    """
    layer.grid(epsg)
    path = hand_labels_path(root, epsg, layer)
    with locked(path):
        labels = read_hand_labels(path)
        if day not in labels:
            raise ValueError(f"{layer.identifier} has no hand label of {day} below {root}")
        removed = labels.pop(day)
        _write(path, labels)
    return removed


def import_labels(root: Path, layer: Layer, epsg: int, source: Path, *, replace: bool = False) -> Imported:
    """Take in the labels of a file, all of them or none.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        source: A `.csv` file with the columns date and codes, or else a text file of gibs-ml's.
        replace: Whether labels that the file contradicts are replaced.

    Raises:
        ValueError: A line is wrong, a day is there twice or is none of the layer's, or the file contradicts labels that
            are stored.
        HandLabelsError: The file of hand labels cannot be read.
    """
    layer.grid(epsg)
    rows: dict[date, tuple[Split | None, tuple[Label, ...]]] = {}
    for number, day, split, codes in (_csv_rows if source.suffix.lower() == ".csv" else _text_rows)(source):
        try:
            _check_day(layer, day)
            _check_codes(codes)
            _check_new(day, rows)
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}") from error
        rows[day] = (split, codes)
    if not rows:
        raise ValueError(f"{source} has no labels")
    path = hand_labels_path(root, epsg, layer)
    with locked(path):
        labels = read_hand_labels(path)
        there = {day: label.codes for day, label in labels.items()}
        differing = [day for day, (_, codes) in rows.items() if day in there and set(there[day]) != set(codes)]
        if differing and not replace:
            days = ", ".join(map(str, differing[:5])) + (", ..." if len(differing) > 5 else "")
            raise ValueError(
                f"{source} contradicts hand labels of {len(differing)} days ({days}): --replace takes those of the file"
            )
        now = datetime.now(UTC)
        for day, (split, codes) in rows.items():
            label = labels.get(day)
            if label is None or day in differing:
                label = HandLabel(codes, label and label.split, now, source.name)
            labels[day] = label._replace(split=split or label.split)
        _write(path, labels)
    added = len(rows.keys() - there.keys())
    return Imported(added, len(differing), len(rows) - added - len(differing))


def _text_rows(source: Path) -> Iterator[tuple[int, date, Split, tuple[Label, ...]]]:
    for number, row in enumerate(read_splits(source), 1):
        yield number, row.day, row.split, row.codes


def _csv_rows(source: Path) -> Iterator[tuple[int, date, None, tuple[Label, ...]]]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            _check_cells(next(reader, []), _CSV_COLUMNS)
            for cells in reader:
                day, codes = _check_cells(cells)
                yield reader.line_num, read_day(day), None, read_codes(codes.split())
        except UnicodeDecodeError as error:
            raise ValueError(f"{source} is not a CSV file in UTF-8: {error}") from error
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{source}, line {max(reader.line_num, 1)}: {error}") from error


def _check_cells(cells: list[str], expected: list[str] | None = None) -> list[str]:
    if len(cells) != len(_CSV_COLUMNS) or cells != (expected or cells):
        raise ValueError(f"{','.join(cells)!r} should read `{','.join(_CSV_COLUMNS)}`")
    return cells


def _check_new(day: date, rows: Container[date]) -> None:
    if day in rows:
        raise ValueError(f"{day} is there twice")


def _check_day(layer: Layer, day: date) -> None:
    if day < layer.first_day:
        raise ValueError(f"{day} is before the first day of {layer.identifier}, {layer.first_day}")
    if day > datetime.now(UTC).date():
        raise ValueError(f"{day} has not come yet")
    if layer.last_day is not None and day > layer.last_day:
        raise ValueError(f"{day} is after the last day of {layer.identifier}, {layer.last_day}")


def _check_codes(codes: Iterable[Label]) -> None:
    codes = list(codes)
    if len(set(codes)) < len(codes):
        raise ValueError("a code is there twice")
    if Label.NORMAL in codes and len(codes) > 1:
        raise ValueError("0 says that a day is normal: it cannot stand beside other codes")


def _write(path: Path, labels: Mapping[date, HandLabel]) -> None:
    import pyarrow as pa

    schema = pa.schema(
        {
            "day": pa.date32(), "codes": pa.list_(pa.int8()), "split": pa.string(),
            "labelled_at": pa.timestamp("ms", "UTC"), "origin": pa.string(),
        },
        metadata={"version": SCHEMA_VERSION},
    )  # fmt: skip
    rows = [
        {"day": day} | label._asdict() | {"codes": [int(code) for code in label.codes]}
        for day, label in sorted(labels.items())
    ]
    write_table(path, pa.Table.from_pylist(rows, schema))
