from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from typing import Any

import numpy as np
import pytest

from heph_dagster.hephaestus.annotation import Activity, Annotation, Intensity, Label, Phase
from heph_dagster.hephaestus.records import RejectedError, check_record
from heph_dagster.hephaestus.repairs import Repair
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


def tremor(**fields: Any) -> dict[str, Any]:
    return one(**({"label": ["Earthquake"], "activity_type": ["Earthquake"], "intensity_level": ["None"]} | fields))


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
    "null for nothing": (quiet(segmentation_mask=None), quiet(), "segmentation_mask"),
    "a word for nothing": (quiet(activity_type="None"), quiet(), "activity_type"),
    "null intensity of nothing": (quiet(intensity_level=None), quiet(), "intensity_level"),
    "null intensity of one": (one(intensity_level=None), one(intensity_level=["None"]), "intensity_level"),
    "earthquake without intensities": (tremor(intensity_level=[]), tremor(), "intensity_level"),
    "earthquake with one intensity too many": (tremor(intensity_level=["None"] * 2), tremor(), "intensity_level"),
    "earthquake with intensity": (tremor(intensity_level=["High"]), tremor(), "intensity_level"),
    "both with intensity": (deformed(intensity_level=["High", "Low"]), deformed(), "intensity_level"),
    "list as text": (one(activity_type="['Sill']"), one(), "activity_type"),
    "polygons as text": (one(segmentation_mask=json.dumps([SQUARE])), one(), "segmentation_mask"),
    "words with a comma": (deformed(label="Deformation, Earthquake"), deformed(), "label"),
    "list for a word": (one(phase=["Unrest"]), one(), "phase"),
    "null label": (one(label=None), one(), "label"),
    "coordinates as texts": (one(segmentation_mask=[list(map(str, SQUARE))]), one(), "segmentation_mask"),
    "closed twice": (one(segmentation_mask=[SQUARE + SQUARE[:2] * 2]), one(), "segmentation_mask"),
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
    "intensities out of order": (
        deformed(intensity_level=["None", "High"]),
        "intensity_level 1 is High of an earthquake, which has none, and another lacks one",
    ),
    "no intensity": (one(intensity_level=[]), "1 in activity_type, 0 in intensity_level"),
    "label that is no word": (one(label=[["Deformation"]]), "label.0: Input should be a valid string"),
    "long number": (one(uniqueID="1" * 5000), "uniqueID: Input should be a valid integer"),
    "huge number": (one(uniqueID=10**400), "uniqueID: "),
    "half a surrogate pair": (one(caption="a \ud83c b"), "it is no JSON: 'utf-8' codec can't encode"),
    "null label of nothing": (quiet(label=None), "label: Input should be a valid list, but it is None"),
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
        (b"[" * 100_000, "deeper than can be read"),
        (b"[1]", "it is a JSON list, not an object"),
        (b'{"phase": "Rest", "phase": "Unrest"}', "it has 'phase' twice, with different values"),
        (json.dumps(one(segmentation_mask=[[float("nan"), *SQUARE[1:]]])).encode(), "NaN is no number"),
    ],
    ids=["empty", "cut off", "bytes", "deep", "list", "twice", "nan"],
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_any_encoding_of_json_is_read(encoding: str) -> None:
    record = quiet(caption="Fringes \u2013 \U0001f30b")
    assert check_record(json.dumps(record, ensure_ascii=False).encode(encoding))[0].record() == record


@pytest.mark.parametrize("field", ["more", "label", "segmentation_mask", "caption"])
def test_lists_of_any_depth_crash_nothing(field: str) -> None:
    before = json.dumps(without(quiet(), field))[:-1]
    for depth in range(2, 1200, 7):
        with suppress(RejectedError):
            check_record(f'{before}, "{field}": {"[" * depth}{"]" * depth}}}'.encode())
