from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pytest

from heph_dagster.hephaestus.annotation import Activity, Annotation, Intensity, Label, Phase
from heph_dagster.hephaestus.records import RejectedError, Repair, check_record
from heph_dagster_tests.hephaestus.records import OTHER, SQUARE, deformed, quiet


def check(record: dict[str, Any]) -> tuple[Annotation, list[Repair]]:
    return check_record(json.dumps(record).encode())


def test_a_record_is_read_as_it_stands() -> None:
    annotation, repairs = check(deformed())
    assert not repairs
    assert (annotation.unique_id, annotation.frame) == (8, "124D_05291_081406")
    assert (annotation.primary, annotation.secondary) == (date(2018, 11, 28), date(2018, 12, 4))
    assert annotation.dates == "20181128_20181204"
    assert annotation.baseline_days == 6
    assert annotation.label == (Label.DEFORMATION, Label.EARTHQUAKE)
    assert [each.activity for each in annotation.deformations] == [Activity.MOGI, Activity.EARTHQUAKE]
    assert [each.intensity for each in annotation.deformations] == [Intensity.HIGH, None]
    assert annotation.deformations[0].polygon.tolist() == np.reshape(SQUARE, (-1, 2)).tolist()
    assert annotation.phase is Phase.UNREST
    assert annotation.is_crowd
    assert annotation.atmospheric_fringes == 2


@pytest.mark.parametrize("record", [quiet(), deformed()])
def test_a_record_is_written_as_it_was_read(record: dict[str, Any]) -> None:
    assert check(record)[0].record() == record


@pytest.mark.parametrize("none", ["None", ["None"], []])
def test_the_forms_of_no_intensity_need_no_repair(none: Any) -> None:
    annotation, repairs = check(quiet(intensity_level=none))
    assert not repairs
    assert not annotation.deformations


def one(**fields: Any) -> dict[str, Any]:
    single = {
        "label": ["Deformation"],
        "activity_type": ["Sill"],
        "intensity_level": ["Low"],
        "segmentation_mask": [SQUARE],
        "is_crowd": 0,
    }
    return deformed(**(single | fields))


def without(record: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != field}


REPAIRABLE = {
    "crowd of one": (one(is_crowd=1), one(), "is_crowd"),
    "no crowd of two": (deformed(is_crowd=0), deformed(), "is_crowd"),
    "crowd unsaid": (without(deformed(), "is_crowd"), deformed(), "is_crowd"),
    "crowd as true": (deformed(is_crowd=True), deformed(), "is_crowd"),
    "flat polygon": (one(segmentation_mask=SQUARE), one(), "segmentation_mask"),
    "points": (one(segmentation_mask=[np.reshape(SQUARE, (-1, 2)).tolist()]), one(), "segmentation_mask"),
    "points of one": (one(segmentation_mask=np.reshape(SQUARE, (-1, 2)).tolist()), one(), "segmentation_mask"),
    "empty polygon": (one(segmentation_mask=[[], SQUARE]), one(), "segmentation_mask"),
    "closed polygon": (one(segmentation_mask=[SQUARE + SQUARE[:2]]), one(), "segmentation_mask"),
    "one word": (one(activity_type="Sill"), one(), "activity_type"),
    "one label": (one(label="Deformation"), one(), "label"),
    "lower case": (one(activity_type=["sill"]), one(), "activity_type"),
    "blank for a line": (quiet(label=["Non Deformation"]), quiet(), "label"),
    "null intensity": (deformed(intensity_level=["High", None]), deformed(), "intensity_level"),
    "no intensity of the earthquake": (deformed(intensity_level=["High"]), deformed(), "intensity_level"),
    "earthquake not labelled": (deformed(label=["Deformation"]), deformed(), "label"),
    "label twice": (one(label=["Deformation", "Deformation"]), one(), "label"),
    "number as text": (one(uniqueID="8"), one(), "uniqueID"),
    "flag as true": (one(low_coherence=True), one(low_coherence=1), "low_coherence"),
    "confidence as text": (one(confidence="0.8"), one(), "confidence"),
    "date with dashes": (one(primary_date="2018-11-28"), one(), "primary_date"),
    "date as number": (one(secondary_date=20181204), one(), "secondary_date"),
    "blanks": (one(frameID=" 124D_05291_081406 "), one(), "frameID"),
    "unknown field": (one(annotator="x"), one(), "annotator"),
}


@pytest.mark.parametrize(("faulty", "meant", "field"), REPAIRABLE.values(), ids=REPAIRABLE)
def test_what_has_one_reading_is_repaired(faulty: dict[str, Any], meant: dict[str, Any], field: str) -> None:
    annotation, repairs = check(faulty)
    assert annotation.record() == meant
    (repair,) = repairs
    assert repair.field == field
    assert repair.reason
    assert repair.was == (json.dumps(faulty[field]) if field in faulty else None)
    assert repair.now == (json.dumps(meant[field]) if field in meant else None)


def test_a_missing_caption_is_none() -> None:
    annotation, (repair,) = check(without(quiet(), "caption"))
    assert annotation.caption is None
    assert repair == Repair("caption", None, "null", "there is no caption")


AMBIGUOUS = {
    "fewer types": (
        deformed(activity_type=["Mogi"]),
        "2 in segmentation_mask, 1 in activity_type, 2 in intensity_level",
    ),
    "fewer polygons": (deformed(segmentation_mask=[SQUARE]), "1 in segmentation_mask, 2 in activity_type"),
    "fewer intensities": (
        deformed(activity_type=["Mogi", "Sill"], intensity_level=["Low"], label=["Deformation"]),
        "1 in intensity_level: which belong together cannot be told",
    ),
    "polygon of no deformation": (quiet(segmentation_mask=[SQUARE]), "1 in segmentation_mask, 0 in activity_type"),
    "deformed without polygon": (quiet(label=["Deformation"]), "polygons and activity types say ['Non_Deformation']"),
    "both labels": (one(label=["Non_Deformation", "Deformation"]), "label is ['Non_Deformation', 'Deformation']"),
    "no deformation with polygon": (one(label=["Non_Deformation"]), "but the polygons and activity types say"),
    "earthquake without polygon": (one(label=["Deformation", "Earthquake"]), "say ['Deformation']"),
    "no label": (quiet(label=[]), "label is []"),
    "unknown type": (one(activity_type=["Laccolith"]), "activity_type has 'Laccolith', which is none of Mogi, Dyke"),
    "unknown phase": (one(phase="Calm"), "phase has 'Calm', which is none of Rest, Unrest, Rebound, None"),
    "odd coordinates": (one(segmentation_mask=[SQUARE[:-1]]), "has 7 coordinates: one x or y is missing"),
    "line": (one(segmentation_mask=[[0, 0, 5, 5, 9, 9]]), "has 3 vertices that enclose nothing"),
    "point": (one(segmentation_mask=[[5, 5, 5, 5, 5, 5]]), "enclose nothing"),
    "far": (one(segmentation_mask=[[0, 0, 9, 0, 9, 1e9]]), "segmentation_mask.0.5: Input should be less than"),
    "no day": (one(primary_date="20181332"), "primary_date 20181332 is no day of the calendar"),
    "dates reversed": (one(primary_date="20190101"), "20190101 is not before secondary_date 20181204"),
    "a date twice": (one(primary_date="20181204"), "is not before"),
    "no frame": (one(frameID="../../etc"), "frameID: String should match pattern"),
    "no fringes": (one(atmospheric_fringes=4), "atmospheric_fringes: Input should be less than or equal to 3"),
    "sure": (one(confidence=1.5), "confidence: Input should be less than or equal to 1"),
    "no id": (without(one(), "uniqueID"), "uniqueID is missing"),
    "coordinate as text": (
        one(segmentation_mask=[["a", *SQUARE[1:]]]),
        "segmentation_mask.0.0: Input should be a valid",
    ),
}


@pytest.mark.parametrize(("record", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_be_meant_in_several_ways_is_rejected(record: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedError) as error:
        check(record)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no JSON"),
        (b'{"uniqueID": 1', "it is no JSON"),
        (b"\xff\xfe\xfa", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[1]", "it is a JSON list, not an object"),
        (json.dumps(one(segmentation_mask=[[float("nan"), *SQUARE[1:]]])).encode(), "NaN is no number"),
    ],
    ids=["empty", "cut off", "bytes", "deep", "list", "nan"],
)
def test_what_is_no_record_is_rejected(content: bytes, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        check_record(content)


def test_the_parts_of_a_deformation_stay_together() -> None:
    annotation, _ = check(deformed(activity_type=["Earthquake", "Mogi"], intensity_level=["Low"]))
    assert [(each.activity, each.intensity) for each in annotation.deformations] == [
        (Activity.EARTHQUAKE, None),
        (Activity.MOGI, Intensity.LOW),
    ]
    assert annotation.deformations[1].polygon.ravel().tolist() == OTHER
