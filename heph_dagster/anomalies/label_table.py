"""The labels of a layer's days: those that people gave where there are any, else those of the methods.

The table stands at `{root}/{EPSG}/{Layer}.labels.parquet` and is made of the hand labels and of the figures beside the
days, `{Layer}.missing_data.json`, `.miscoloration.json` and `.edge_warping.json`, which stay where imagery is pruned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heph_dagster.anomalies.hand_labels import HandLabel, hand_labels_path, read_hand_labels
from heph_dagster.anomalies.labels import Label
from heph_dagster.errors import HephError
from heph_dagster.files import locked
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.verify import stored_days
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "3"
_REMEDY = "materialize the layer's labels"
_JUDGES = {
    "missing_data": {Label.MISSING_UNEXPECTED, Label.ECLIPSE_MISSING, Label.ECLIPSE_MISCOLOURED},
    "miscoloration": {Label.MISCOLOURED},
    "edge_warping": {Label.EDGE_WARPED},
}


class LabelTableError(HephError):
    """A table of labels that cannot be read."""


@dataclass(frozen=True)
class LabelRow:
    """The labels of a day.

    Attributes:
        day: The day.
        codes: Label codes that hold, ascending; none where no method could judge the day.
        source: Who says so: `hand` or `automatic`.
        missing: Whether data are missing though they should be there; None where nobody could tell.
        hand: Codes that a person gave, ascending; None where nobody did.
        automatic: Codes that the methods give, ascending, none where they could not judge; None where none has run.
        differing: Codes that either the person or the methods give, of those that the methods look for.
        method: The methods that have run, with commas.
        version: Their versions, likewise.
        verdict: What they say in words.
        reason: Why they could not judge, where they could not.
        origin: Where the hand label came from.
        expectation: What told where data are expected.
        not_observed_share: Share of the Earth's surface without data, as expected (code 1).
        missing_share: Share that is missing (codes 2 and 5).
        holes: Number of regions that are missing.
        eclipsed_holes: Number of those that lay in the moon's shadow (code 5).
        largest_hole_km2: Area of the largest; 0 where there is none.
        eclipse: West, south, east and north of the moon's shadow on the imagery (codes 5 and 6).
        miscoloured_share: Share of the Earth's surface that is miscoloured (code 3).
        patches: Number of miscoloured patches.
        largest_patch_km2: Area of the largest; 0 where there is none.
        climatology_days: Number of days by which the colours were judged.
        warped_edges: Number of warped edges (code 4).
        warping_score: Greatest measure of warping in units of its threshold, over 1 where something is warped.

    A figure is None where its method has not run, or has none.
    """

    day: date
    codes: tuple[Label, ...]
    source: Literal["hand", "automatic"]
    missing: bool | None
    hand: tuple[Label, ...] | None
    automatic: tuple[Label, ...] | None
    differing: tuple[Label, ...]
    method: str | None
    version: str | None
    verdict: str | None
    reason: str | None
    origin: str | None
    expectation: str | None = None
    not_observed_share: float | None = None
    missing_share: float | None = None
    holes: int | None = None
    eclipsed_holes: int | None = None
    largest_hole_km2: float | None = None
    eclipse: tuple[float, float, float, float] | None = None
    miscoloured_share: float | None = None
    patches: int | None = None
    largest_patch_km2: float | None = None
    climatology_days: int | None = None
    warped_edges: int | None = None
    warping_score: float | None = None


def labels_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's table of labels stands below a data root."""
    return root / str(epsg) / f"{layer.identifier}.labels.parquet"


def label_rows(root: Path, layer: Layer, epsg: int, *, eclipse_is_missing: bool = False) -> list[LabelRow]:
    """The labels of all days of a layer that have any, in order.

    Hand and automatic labels are compared in the codes that the methods look for: 2, 5 and 6 where missing data were
    searched, 3 where colours were judged, 4 where warped edges were looked for. Code 1 is left out, since people note
    expected gaps now and then only.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        eclipse_is_missing: Whether data that an eclipse made black (code 5) count as missing, as in some of gibs-ml's
            notebooks. By default they do not: nothing was lost. Then 5 in place of 2 is a difference; else it is none.

    Raises:
        ValueError: A file of figures is damaged.
        HandLabelsError: The file of hand labels cannot be read.
    """
    layer.grid(epsg)
    hand = read_hand_labels(hand_labels_path(root, epsg, layer))
    reports: dict[date, dict[str, dict[str, Any]]] = {}
    for name in _JUDGES:
        for path in (root / str(epsg)).glob(f"*/{layer.identifier}.{name}.json"):
            try:
                day = parse_day(path.parent.name)
            except ValueError:  # a copy that somebody made of a day
                continue
            reports.setdefault(day, {})[name] = _read_report(path, name)
    return [
        _row(day, hand.get(day), reports.get(day, {}), eclipse_is_missing=eclipse_is_missing)
        for day in sorted(hand.keys() | reports.keys())
    ]


def update_labels(root: Path, layer: Layer, epsg: int, *, eclipse_is_missing: bool = False) -> list[LabelRow]:
    """Make a layer's table of labels anew; one run waits for the other, so that the last has seen all days.

    What an eclipse counts as stands in the file's metadata. The arguments and errors are those of `label_rows`.

    Returns:
        The rows of the table.
    """
    path = labels_path(root, epsg, layer)
    with locked(path):
        rows = label_rows(root, layer, epsg, eclipse_is_missing=eclipse_is_missing)
        _write(path, rows, eclipse_is_missing=eclipse_is_missing)
    return rows


def read_labels(path: Path) -> dict[date, tuple[Label, ...]]:
    """The label codes of each day of a table that could be judged, in order.

    Raises:
        FileNotFoundError: There is no table.
        LabelTableError: The table is damaged or of another version.
    """
    rows = read_label_table(path).select(["day", "codes"]).to_pylist()
    try:
        return {row["day"]: tuple(Label(code) for code in row["codes"]) for row in rows if row["codes"]}
    except ValueError as error:
        raise LabelTableError(f"{path} is of another program: {error}; {_REMEDY} again") from error


def read_label_table(path: Path) -> pa.Table:
    """The table of labels, with the columns of `LabelRow`.

    Raises:
        FileNotFoundError: There is no table.
        LabelTableError: The table is damaged or of another version.
    """
    import pyarrow as pa

    try:
        table = read_table(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is not there: {_REMEDY} first") from error
    except (OSError, pa.ArrowException) as error:
        raise LabelTableError(f"{path} is damaged: {error}; {_REMEDY} again") from error
    version = (table.schema.metadata or {}).get(b"version", b"none").decode()
    if version != SCHEMA_VERSION:
        raise LabelTableError(f"{path} has schema version {version}, not {SCHEMA_VERSION}: {_REMEDY} again")
    return table


def days_without_label(root: Path, layer: Layer, epsg: int) -> list[date]:
    """Days on disk that a layer's table has no row of; the errors are those of `read_label_table`."""
    known = set(read_label_table(labels_path(root, epsg, layer))["day"].to_pylist())
    here = (each for each in stored_days(root) if (each.epsg, each.layer) == (epsg, layer.identifier))
    return [each.day for each in here if each.day not in known]


def _write(path: Path, rows: Sequence[LabelRow], *, eclipse_is_missing: bool) -> None:
    import pyarrow as pa

    codes, text, number = pa.list_(pa.int8()), pa.string(), pa.float64()
    schema = pa.schema(
        {
            "day": pa.date32(), "codes": codes, "source": text, "missing": pa.bool_(), "hand": codes,
            "automatic": codes, "differing": codes, "method": text, "version": text, "verdict": text, "reason": text,
            "origin": text, "expectation": text, "not_observed_share": number, "missing_share": number,
            "holes": pa.int32(), "eclipsed_holes": pa.int32(), "largest_hole_km2": number, "eclipse": pa.list_(number),
            "miscoloured_share": number, "patches": pa.int32(), "largest_patch_km2": number,
            "climatology_days": pa.int32(), "warped_edges": pa.int32(), "warping_score": number,
        },
        metadata={"version": SCHEMA_VERSION, "eclipse_is_missing": json.dumps(eclipse_is_missing)},
    )  # fmt: skip
    write_table(path, pa.Table.from_pylist([asdict(row) for row in rows], schema))


def _read_report(path: Path, name: str) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        labels = tuple(Label(code) for code in report["labels"])
        return report | {"labels": labels, "figures": _FIGURES[name](report)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, and judge the day again") from error


def _missing_figures(report: dict[str, Any]) -> dict[str, Any]:
    figures = {name: report.get(name) for name in ("expectation", "not_observed_share", "missing_share")}
    holes, eclipse = report.get("holes"), report.get("eclipse")
    return (
        figures
        | _counted("holes", "largest_hole_km2", holes)
        | {
            "eclipsed_holes": None if holes is None else sum(hole["cause"] == "eclipse" for hole in holes),
            "eclipse": eclipse and tuple(eclipse),
        }
    )


def _colour_figures(report: dict[str, Any]) -> dict[str, Any]:
    figures = {name: report.get(name) for name in ("miscoloured_share", "climatology_days")}
    return figures | _counted("patches", "largest_patch_km2", report.get("patches"))


def _warping_figures(report: dict[str, Any]) -> dict[str, Any]:
    edges = report.get("edges")
    return {"warped_edges": None if edges is None else len(edges), "warping_score": report.get("score")}


_FIGURES = {"missing_data": _missing_figures, "miscoloration": _colour_figures, "edge_warping": _warping_figures}


def _counted(count: str, largest: str, regions: list[dict[str, Any]] | None) -> dict[str, Any]:
    if regions is None:
        return {}
    return {count: len(regions), largest: max((region["area_km2"] for region in regions), default=0.0)}


def _row(
    day: date, label: HandLabel | None, reports: dict[str, dict[str, Any]], *, eclipse_is_missing: bool
) -> LabelRow:
    hand = None if label is None else _joined(label.codes or (Label.NORMAL,))
    automatic = _automatic(list(reports.values())) if reports else None
    codes = hand if hand is not None else automatic or ()
    judged = {code for name, report in reports.items() if report["labels"] for code in _JUDGES[name]}
    differing: set[Label] = set()
    if hand is not None and automatic is not None:
        first, second = (_read_as(each, eclipse_is_missing=eclipse_is_missing) for each in (hand, automatic))
        differing = (first ^ second) & judged
    searched = hand is not None or bool(judged & _JUDGES["missing_data"])
    figures = {name: value for report in reports.values() for name, value in report["figures"].items()}
    read = _read_as(codes, eclipse_is_missing=eclipse_is_missing)
    return LabelRow(
        day=day,
        codes=codes,
        source="automatic" if hand is None else "hand",
        missing=Label.MISSING_UNEXPECTED in read if searched else None,
        hand=hand,
        automatic=automatic,
        differing=tuple(sorted(differing)),
        method=_told(reports, "method"),
        version=_told(reports, "version"),
        verdict=_told(reports, "verdict"),
        reason=", ".join(filter(None, (report.get("reason") for report in reports.values()))) or None,
        origin=None if label is None else label.origin,
        **figures,
    )


def _automatic(reports: Sequence[dict[str, Any]]) -> tuple[Label, ...]:
    """What the methods say together; where one calls the image unusable, the others cannot call the day normal."""
    codes = _joined([code for report in reports for code in report["labels"]])
    unusable = any(report.get("verdict") == "unusable" for report in reports)
    return () if unusable and codes == (Label.NORMAL,) else codes


def _joined(codes: Sequence[Label]) -> tuple[Label, ...]:
    """Codes of several methods: a day is normal where all of them say so."""
    anomalies = set(codes) - {Label.NORMAL}
    return tuple(sorted(anomalies or set(codes)))


def _read_as(codes: Sequence[Label], *, eclipse_is_missing: bool) -> set[Label]:
    alias = {Label.ECLIPSE_MISSING: Label.MISSING_UNEXPECTED} if eclipse_is_missing else {}
    return {alias.get(code, code) for code in codes}


def _told(reports: dict[str, dict[str, Any]], name: str) -> str | None:
    return ", ".join(str(report.get(name)) for report in reports.values()) or None
