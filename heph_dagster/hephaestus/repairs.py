"""Repairs of the JSON object of an annotation file, where one reading is possible."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from operator import and_, or_
from typing import Any

from heph_dagster.hephaestus.annotation import Activity, Intensity, Label, Phase

CODES: dict[str, dict[str, Any]] = {
    "label": {str(each): each for each in Label},
    "activity_type": {each.word: each for each in Activity},
    "intensity_level": {each.word: each for each in Intensity} | {"None": None},
    "phase": {each.word: each for each in Phase} | {"None": None},
}
"""What the words of each field mean."""
_LISTS = ("label", "activity_type", "intensity_level")
_LONGEST_NUMBER = 32
_COORDINATE = re.compile(r"-?[0-9]{1,5}(\.[0-9]{0,32})?")
_INTEGERS = (
    "uniqueID", "corrupted", "processing_error", "glacier_fringes", "orbital_fringes", "atmospheric_fringes",
    "low_coherence", "no_info", "image_artifacts",
)  # fmt: skip


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


def repair(record: dict[str, Any], fields: Collection[str]) -> tuple[dict[str, Any], list[Repair]]:
    """Say in the schema's words what a record says in others.

    Args:
        record: The JSON object of a file.
        fields: Names of the fields of the schema.

    Returns:
        The object, in which what could be meant in several ways is as it was, and each change.
    """
    it = _Repairs(record)
    _repair_fields(it, fields)
    _repair_values(it)
    _repair_words(it)
    _repair_polygons(it)
    _repair_lists(it)
    return it.record, it.done


def labels_of(kinds: list[Any]) -> list[str]:
    """What the activity types say of the labels; nothing where there are none."""
    labels = []
    if any(kind != Activity.EARTHQUAKE.word for kind in kinds):
        labels.append(str(Label.DEFORMATION))
    if Activity.EARTHQUAKE.word in kinds:
        labels.append(str(Label.EARTHQUAKE))
    return labels


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


def _repair_fields(it: _Repairs, fields: Collection[str]) -> None:
    """Fields beyond the schema, and values in lists where it has none."""
    for field in [field for field in it.record if field not in fields]:
        was = json.dumps(it.record.pop(field))
        it.done.append(Repair(field, was, None, "it is no field of the schema"))
    if "caption" not in it.record:
        it.set("caption", None, "there is no caption")
    for field in [field for field in it.record if field not in (*_LISTS, "segmentation_mask")]:
        if len(value := it.items(field)) == 1:
            it.set(field, value[0], "a list of one is its value")


def _repair_values(it: _Repairs) -> None:
    """The types and spelling of single values."""
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
        elif isinstance(value, str) and len(value) < _LONGEST_NUMBER and value.strip().isdecimal() and value.isascii():
            it.set(field, int(value), "it is a number, not a text")
    confidence = it.record.get("confidence")
    if isinstance(confidence, str) and confidence.strip().replace(".", "", 1).isdecimal() and confidence.isascii():
        it.set("confidence", float(confidence), "it is a number, not a text")


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
    for field in (*_LISTS, "segmentation_mask"):
        value = it.record.get(field)
        if isinstance(value, str) and (written := _written(value)) is not None:
            it.set(field, written, "it is a list, not its text")
    _repair_nothing(it)
    for field in _LISTS:
        value = it.record.get(field)
        if isinstance(value, str):
            words = [word.strip() for word in value.split(",")]
            it.set(field, words, "words are a list" if len(words) > 1 else "a single word is a list of one")
    if it.record.get("intensity_level", 0) is None:
        it.set("intensity_level", ["None"], "nobody said how strong it is")
    for field in CODES:
        value = it.record.get(field)
        if isinstance(value, list):
            better: Any = [_spelled(field, each) for each in value]
        else:
            better = _spelled(field, value) if field == "phase" else value
        if field in it.record and better != value:
            it.set(field, better, "the same words in the schema's spelling")


def _repair_nothing(it: _Repairs) -> None:
    """The lists of an interferogram in which nothing is outlined."""
    for field in ("segmentation_mask", "activity_type", "intensity_level"):
        value = it.record.get(field, [])
        if any(it.items("segmentation_mask")) or value not in (None, "", "None", [None], [""], ["None"]):
            continue
        # The published example has "None" where nothing is deformed: a form, not a fault.
        if field == "intensity_level" and value in ("None", ["None"]):
            it.record[field] = []
        else:
            it.set(field, [], "nothing is outlined")


def _written(text: str) -> list[Any] | None:
    """The list that a text is, in JSON or with single quotes."""
    if not text.strip().startswith("["):
        return None
    try:
        found = json.loads(text.replace("'", '"'))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _spelled(field: str, value: Any) -> Any:
    if value is None:
        return "None"
    if not isinstance(value, str):
        return value
    plain = _plain(value)
    return next((word for word in CODES[field] if _plain(word) == plain), value)


def _plain(word: str) -> str:
    return " ".join(word.casefold().replace("_", " ").replace("-", " ").split())


def _repair_polygons(it: _Repairs) -> None:
    """Polygons as lists of x, y, x, y, ..., each vertex once."""
    polygons = it.items("segmentation_mask")
    numbers = [list(map(_number, each)) if isinstance(each, list) else _number(each) for each in polygons]
    if numbers != polygons:
        it.set("segmentation_mask", numbers, "coordinates are numbers, not texts")
        polygons = numbers
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
        it.set("segmentation_mask", [_opened(each) for each in polygons], "the last vertex is the first again")


def _repair_intensities(it: _Repairs) -> None:
    """Intensities where there are earthquakes, which have none."""
    kinds, levels = it.items("activity_type"), it.items("intensity_level")
    others = [kind for kind in kinds if kind != Activity.EARTHQUAKE.word]
    unsaid = isinstance(it.record.get("intensity_level"), list) and all(level == "None" for level in levels)
    if len(levels) != len(kinds) and (0 < len(others) == len(levels) or (unsaid and not others)):
        left = iter(levels)
        full = ["None" if kind == Activity.EARTHQUAKE.word else next(left) for kind in kinds]
        it.set("intensity_level", full, "earthquakes have no intensity")
    elif len(levels) == len(kinds):
        quakes = [kind == Activity.EARTHQUAKE.word for kind in kinds]
        told = [level != "None" for level in levels]
        # Where one of the others lacks an intensity, it may be the one that the earthquake has.
        if any(map(and_, quakes, told)) and all(map(or_, quakes, told)):
            full = ["None" if quake else level for quake, level in zip(quakes, levels, strict=True)]
            it.set("intensity_level", full, "earthquakes have no intensity")


def _repair_lists(it: _Repairs) -> None:
    """Lists that follow from others: intensities of earthquakes, labels, `is_crowd`."""
    _repair_intensities(it)
    kinds = it.items("activity_type")
    labels = it.items("label")
    words = all(isinstance(each, str) for each in labels)
    if words and len(set(labels)) < len(labels):
        labels = list(dict.fromkeys(labels))
        it.set("label", labels, "a label is given once")
    polygons = it.items("segmentation_mask")
    named = labels_of(kinds)
    if words and named and len(polygons) == len(kinds) and set(labels) < set(named):
        it.set("label", named, "the activity types of the polygons say so")
    crowd = int(len(polygons) > 1)
    if isinstance(it.record.get("segmentation_mask"), list) and it.record.get("is_crowd") != crowd:
        it.set("is_crowd", crowd, f"there are {len(polygons)} polygons")
    elif isinstance(it.record.get("is_crowd"), bool):
        it.set("is_crowd", crowd, "it is a whole number")


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


def _opened(polygon: Any) -> Any:
    while _is_closed(polygon):
        polygon = polygon[:-2]
    return polygon


def _number(value: Any) -> Any:
    """The coordinate that a text is; others as they are."""
    return float(value) if isinstance(value, str) and _COORDINATE.fullmatch(value.strip()) else value
