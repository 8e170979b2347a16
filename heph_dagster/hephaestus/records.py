"""Checking the JSON object of an annotation file: what is inconsistent is repaired where one reading is possible.

A record that could be meant in several ways is rejected with the reason, because a class that nobody annotated is worse
than an annotation less.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Intensity, Label, Phase, Polygon
from heph_dagster.hephaestus.frames import FRAME_PATTERN, LONGEST_ID

LARGEST_COORDINATE = 32_000
"""In px; no interferogram is as large."""

_CODES: dict[str, dict[str, Any]] = {
    "label": {str(each): each for each in Label},
    "activity_type": {each.word: each for each in Activity},
    "intensity_level": {each.word: each for each in Intensity} | {"None": None},
    "phase": {each.word: each for each in Phase} | {"None": None},
}
_LISTS = ("label", "activity_type", "intensity_level")
_FLAGS = (
    "corrupted", "processing_error", "glacier_fringes", "orbital_fringes", "atmospheric_fringes", "low_coherence",
    "no_info", "image_artifacts",
)  # fmt: skip
_INTEGERS = ("uniqueID", *_FLAGS)
_Flag = Annotated[int, Field(ge=0, le=1)]
_Kind = Annotated[int, Field(ge=0, le=3)]
_Word = Annotated[str, Field(min_length=1)]


class RejectedError(ValueError):
    """A record that is no annotation, or that could be meant in several ways."""


@dataclass(frozen=True)
class Repair:
    """A change to a record, so that it says in the schema's words what it said before.

    Attributes:
        field: Name of the field in the file.
        was: Its JSON before; None where it was missing.
        now: Its JSON after; None where it was taken out.
        reason: Why, and why there is no other reading.
    """

    field: str
    was: str | None
    now: str | None
    reason: str


class Record(BaseModel):
    """The schema of an annotation file; `heph_dagster.hephaestus.annotation.Annotation` tells what the fields mean."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    # The names of the fields in the files.
    uniqueID: Annotated[int, Field(ge=0, lt=1 << 31)]  # noqa: N815
    frameID: Annotated[str, Field(pattern=FRAME_PATTERN, max_length=LONGEST_ID)]  # noqa: N815
    primary_date: Annotated[str, Field(pattern=r"^[0-9]{8}$")]
    secondary_date: Annotated[str, Field(pattern=r"^[0-9]{8}$")]
    corrupted: _Flag
    processing_error: _Kind
    glacier_fringes: _Kind
    orbital_fringes: _Flag
    atmospheric_fringes: _Kind
    low_coherence: _Flag
    no_info: _Flag
    image_artifacts: _Flag
    label: list[_Word]
    activity_type: list[_Word]
    intensity_level: list[_Word]
    phase: _Word
    confidence: Annotated[float, Field(ge=0, le=1)]
    segmentation_mask: list[list[Annotated[float, Field(ge=-LARGEST_COORDINATE, le=LARGEST_COORDINATE)]]]
    is_crowd: _Flag
    caption: str | None


_FIELDS = frozenset(Record.model_fields)


def check_record(content: bytes) -> tuple[Annotation, list[Repair]]:
    """The annotation of a file.

    Args:
        content: Its bytes.

    Returns:
        The annotation, and what had to be repaired in it.

    Raises:
        RejectedError: It is no annotation, or could be meant in several ways; the message says what is wrong.
    """
    try:
        # Python's reader takes NaN and Infinity, which are no JSON and no coordinates.
        raw = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"it is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise RejectedError(f"it is a JSON {type(raw).__name__}, not an object with the fields of an annotation")
    repaired = _Repairs(raw)
    _repair_values(repaired)
    _repair_polygons(repaired)
    _repair_lists(repaired)
    try:
        record = Record.model_validate(repaired.record)
    except ValidationError as error:
        raise RejectedError("; ".join(_explain(each) for each in error.errors()[:5])) from error
    return _annotation(record), repaired.done


class _Repairs:
    """A record while it is repaired."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.record = dict(raw)
        self.done: list[Repair] = []

    def set(self, field: str, value: Any, reason: str) -> None:
        """Give a field another value; null where it was missing."""
        was = json.dumps(self.record[field]) if field in self.record else None
        self.record[field] = value
        self.done.append(Repair(field, was, json.dumps(value), reason))

    def items(self, field: str) -> list[Any]:
        """What a field lists; nothing if it is no list."""
        value = self.record.get(field)
        return value if isinstance(value, list) else []


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _repair_values(it: _Repairs) -> None:
    """The types and spelling of single values."""
    for field in [field for field in it.record if field not in _FIELDS]:
        was = json.dumps(it.record.pop(field))
        it.done.append(Repair(str(field), was, None, "it is no field of the schema"))
    if "caption" not in it.record:
        it.set("caption", None, "there is no caption")
    for field in ("frameID", "primary_date", "secondary_date"):
        value = it.record.get(field)
        if isinstance(value, str) and value != value.strip():
            it.set(field, value.strip(), "there are blanks around it")
    for field in ("primary_date", "secondary_date"):
        _repair_date(it, field)
    for field in _INTEGERS:
        value = it.record.get(field)
        if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
            it.set(field, int(value), "it is a whole number")
        elif isinstance(value, str) and value.strip().isdecimal() and value.isascii():
            it.set(field, int(value), "it is a number, not a text")
    confidence = it.record.get("confidence")
    if isinstance(confidence, str) and confidence.strip().replace(".", "", 1).isdecimal() and confidence.isascii():
        it.set("confidence", float(confidence), "it is a number, not a text")
    _repair_words(it)


def _repair_date(it: _Repairs, field: str) -> None:
    value = it.record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        it.set(field, str(value), "a date is a text")
    elif isinstance(value, str) and len(value) == len("2018-11-28"):
        try:
            parsed = date.fromisoformat(value)
        except ValueError:
            return
        it.set(field, f"{parsed:%Y%m%d}", "dates are written without dashes")


def _repair_words(it: _Repairs) -> None:
    """Words in the schema's spelling, in lists where the schema has lists."""
    for field in _LISTS:
        value = it.record.get(field)
        if isinstance(value, str):
            # The published example has "None" where nothing is deformed: a form, not a fault.
            if field == "intensity_level" and value == "None" and not it.items("activity_type"):
                it.record[field] = []
            else:
                it.set(field, [value], "a single word is a list of one")
    if it.record.get("intensity_level") == ["None"] and it.record.get("activity_type") == []:
        it.record["intensity_level"] = []
    for field in _CODES:
        value = it.record.get(field)
        better = [_spelled(field, each) for each in value] if isinstance(value, list) else _spelled(field, value)
        if field in it.record and better != value:
            it.set(field, better, "the same words in the schema's spelling")


def _spelled(field: str, value: Any) -> Any:
    if value is None:
        return "None"
    if not isinstance(value, str):
        return value
    plain = _plain(value)
    return next((word for word in _CODES[field] if _plain(word) == plain), value)


def _plain(word: str) -> str:
    return " ".join(word.casefold().replace("_", " ").replace("-", " ").split())


def _repair_polygons(it: _Repairs) -> None:
    """Polygons as lists of x, y, x, y, ..., each vertex once."""
    polygons = it.items("segmentation_mask")
    if polygons and all(map(_is_number, polygons)):
        it.set("segmentation_mask", [polygons], "one flat list of coordinates is one polygon")
    elif len(polygons) > 2 and all(map(_is_point, polygons)):
        it.set("segmentation_mask", [_flat(polygons)], "one flat list of points is one polygon")
    elif any(each and isinstance(each, list) and all(map(_is_point, each)) for each in polygons):
        it.set("segmentation_mask", [_flat(each) for each in polygons], "points in pairs are the same coordinates")
    polygons = it.items("segmentation_mask")
    full = [each for each in polygons if each != []]
    if len(full) < len(polygons) and len(full) == len(it.items("activity_type")):
        it.set("segmentation_mask", full, "empty polygons belong to no activity type")
    polygons = it.items("segmentation_mask")
    if any(_is_closed(each) for each in polygons):
        opened = [each[:-2] if _is_closed(each) else each for each in polygons]
        it.set("segmentation_mask", opened, "the last vertex is the first again")


def _repair_lists(it: _Repairs) -> None:
    """Lists that follow from others: intensities of earthquakes, labels, `is_crowd`."""
    kinds, levels = it.items("activity_type"), it.items("intensity_level")
    others = [kind for kind in kinds if kind != Activity.EARTHQUAKE.word]
    if len(others) == len(levels) < len(kinds) and levels:
        left = iter(levels)
        full = ["None" if kind == Activity.EARTHQUAKE.word else next(left) for kind in kinds]
        it.set("intensity_level", full, "earthquakes have no intensity, and were left out")
    labels = it.items("label")
    if all(isinstance(each, str) for each in labels) and len(set(labels)) < len(labels):
        it.set("label", list(dict.fromkeys(labels)), "a label is given once")
    polygons = it.items("segmentation_mask")
    named = _labels_of(kinds)
    if named and len(polygons) == len(kinds) and set(it.items("label")) < set(named):
        it.set("label", named, "the activity types of the polygons say so")
    crowd = int(len(polygons) > 1)
    if isinstance(it.record.get("segmentation_mask"), list) and it.record.get("is_crowd") != crowd:
        it.set("is_crowd", crowd, f"there are {len(polygons)} polygons")
    elif isinstance(it.record.get("is_crowd"), bool):
        it.set("is_crowd", crowd, "it is a whole number")


def _labels_of(kinds: list[Any]) -> list[str]:
    """What the activity types say of the labels."""
    labels = []
    if any(kind != Activity.EARTHQUAKE.word for kind in kinds):
        labels.append(str(Label.DEFORMATION))
    if Activity.EARTHQUAKE.word in kinds:
        labels.append(str(Label.EARTHQUAKE))
    return labels


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _flat(polygon: Any) -> Any:
    """A list of points as one of coordinates; others as they are."""
    if not isinstance(polygon, list) or not all(map(_is_point, polygon)):
        return polygon
    return [value for point in polygon for value in point]


def _is_closed(polygon: Any) -> bool:
    return isinstance(polygon, list) and len(polygon) > 6 and polygon[:2] == polygon[-2:]


def _explain(error: Any) -> str:
    """A line of a ValidationError, with the field first."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{place} is missing"
    shown = repr(error["input"])
    return f"{place}: {error['msg']}, but it is {shown if len(shown) < 60 else shown[:57] + '...'}"


def _annotation(record: Record) -> Annotation:
    primary, secondary = (_day(record, field) for field in ("primary_date", "secondary_date"))
    if primary >= secondary:
        raise RejectedError(
            f"primary_date {record.primary_date} is not before secondary_date {record.secondary_date}: which "
            "interferogram is meant cannot be told"
        )
    labels = tuple(_code("label", word) for word in record.label)
    lengths = {name: len(getattr(record, name)) for name in ("segmentation_mask", "activity_type", "intensity_level")}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} in {name}" for name, count in lengths.items())
        raise RejectedError(f"the deformations are {counts}: which belong together cannot be told")
    named = _labels_of(record.activity_type) or [str(Label.NON_DEFORMATION)]
    if set(labels) != set(named):
        raise RejectedError(f"label is {record.label}, but the polygons and activity types say {named}")
    return Annotation(
        unique_id=record.uniqueID,
        frame=record.frameID,
        primary=primary,
        secondary=secondary,
        **{flag: getattr(record, flag) for flag in _FLAGS},
        label=labels,
        deformations=tuple(_deformation(record, index) for index in range(len(record.segmentation_mask))),
        phase=_code("phase", record.phase),
        confidence=record.confidence,
        caption=record.caption,
    )


def _deformation(record: Record, index: int) -> Deformation:
    return Deformation(
        activity=_code("activity_type", record.activity_type[index]),
        intensity=_code("intensity_level", record.intensity_level[index]),
        polygon=_polygon(record.segmentation_mask[index], index),
    )


def _polygon(coordinates: list[float], index: int) -> Polygon:
    where = f"polygon {index} of segmentation_mask"
    if len(coordinates) % 2:
        raise RejectedError(f"{where} has {len(coordinates)} coordinates: one x or y is missing")
    polygon = np.array(coordinates, dtype=np.float64).reshape(-1, 2)
    if len(np.unique(polygon, axis=0)) < 3 or shapely.MultiPoint(polygon).convex_hull.area == 0:
        raise RejectedError(f"{where} has {len(polygon)} vertices that enclose nothing")
    return polygon


def _day(record: Record, field: str) -> date:
    value = getattr(record, field)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise RejectedError(f"{field} {value} is no day of the calendar") from None


def _code(field: str, word: str) -> Any:
    try:
        return _CODES[field][word]
    except KeyError:
        raise RejectedError(f"{field} has {word!r}, which is none of {', '.join(_CODES[field])}") from None
