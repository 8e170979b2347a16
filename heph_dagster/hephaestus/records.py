"""Checking the JSON object of an annotation file, after what has one reading was repaired.

A record that could be meant in several ways is rejected with the reason, because a class that nobody annotated is worse
than an annotation less.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

import numpy as np
import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Label, Polygon
from heph_dagster.hephaestus.frames import FRAME_PATTERN, LONGEST_ID
from heph_dagster.hephaestus.repairs import CODES, Repair, labels_of, repair

LARGEST_COORDINATE = 32_000
"""In px; no interferogram is as large."""

_FLAGS = (
    "corrupted", "processing_error", "glacier_fringes", "orbital_fringes", "atmospheric_fringes", "low_coherence",
    "no_info", "image_artifacts",
)  # fmt: skip
_Flag = Annotated[int, Field(ge=0, le=1)]
_Kind = Annotated[int, Field(ge=0, le=3)]
_Word = Annotated[str, Field(min_length=1)]


class RejectedError(ValueError):
    """A record that is no annotation, or that could be meant in several ways."""


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
        return _checked(content)
    except RecursionError as error:
        raise RejectedError("it has lists within lists, deeper than can be read") from error


def _checked(content: bytes) -> tuple[Annotation, list[Repair]]:
    try:
        text = content.decode(json.detect_encoding(content))
        # Python's reader takes NaN and Infinity, which are no JSON and no coordinates, and of fields with one name the
        # last.
        raw = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
        if "\\ud" in text.lower():  # half of a pair of surrogates is no text
            json.dumps(raw, ensure_ascii=False).encode()
    except ValueError as error:
        raise RejectedError(f"it is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise RejectedError(f"it is a JSON {type(raw).__name__}, not an object with the fields of an annotation")
    try:
        repaired, repairs = repair(raw, Record.model_fields)
        record = Record.model_validate(repaired)
    except ValidationError as error:
        raise RejectedError("; ".join(_explain(each) for each in error.errors()[:5])) from error
    return _annotation(record), repairs


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and (twice := [name for name, value in pairs if found[name] != value]):
        raise ValueError(f"it has {twice[0]!r} twice, with different values")
    return found


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
    named = labels_of(record.activity_type) or [str(Label.NON_DEFORMATION)]
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
    activity = _code("activity_type", record.activity_type[index])
    intensity = _code("intensity_level", record.intensity_level[index])
    if activity is Activity.EARTHQUAKE and intensity is not None:
        raise RejectedError(
            f"intensity_level {index} is {intensity.word} of an earthquake, which has none, and another lacks one: "
            "which belong together cannot be told"
        )
    return Deformation(
        activity=activity,
        intensity=intensity,
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
        return CODES[field][word]
    except KeyError:
        raise RejectedError(f"{field} has {word!r}, which is none of {', '.join(CODES[field])}") from None
