"""What is known of an annotation, in words."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest

from heph_dagster.hephaestus.annotation import Activity, Intensity
from heph_dagster.hephaestus.crops import crops_of
from heph_dagster.hephaestus.facts import conditions, crop_notes, details, facts, headline, in_words
from heph_dagster.png import Picture
from heph_dagster_tests.hephaestus.synthetic import annotation, deformation

ETNA = "124D_05291_081406"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, []),
        ({"atmospheric_fringes": 1}, ["vertical stratification"]),
        ({"atmospheric_fringes": 2}, ["turbulent mixing"]),
        ({"atmospheric_fringes": 3}, ["vertical stratification", "turbulent mixing"]),
        ({"processing_error": 2}, ["debursting error"]),
        ({"processing_error": 3}, ["swath merging error"]),
        ({"processing_error": 1}, ["processing error"]),
        ({"corrupted": 1, "orbital_fringes": 1}, ["corrupted", "orbital fringes"]),
        ({"glacier_fringes": 2, "low_coherence": 1}, ["glacier fringes", "low coherence"]),
        ({"no_info": 1, "image_artifacts": 1}, ["very little signal", "image artifacts"]),
    ],
)
def test_flags_that_are_set_have_words(flags: dict[str, int], words: list[str]) -> None:
    assert conditions(annotation(**flags)) == words


def test_headline_and_details_are_lines() -> None:
    shown = annotation(deformation(Activity.MOGI), frame=ETNA, unique_id=12, low_coherence=1, confidence=0.75)
    assert headline(shown) == "12   124D_05291_081406   Sicily: Etna"
    first, second = details(shown, ["Etna", "Vulcano"])
    assert first == (
        "2019-05-01 to 2019-05-13, 12 days  |  descending orbit 124  |  deformation  |  phase unrest  |  "
        "confidence 0.75  |  low coherence"
    )
    assert second == "volcanoes of the frame: Etna, Vulcano"


def test_what_nobody_said_is_told_as_such() -> None:
    quiet = annotation(phase=None, secondary=date(2019, 5, 2))
    assert headline(quiet) == "5   021D_05184_131313"
    (line,) = details(quiet)
    assert line == (
        "2019-05-01 to 2019-05-02, 1 day  |  descending orbit 21  |  non deformation  |  phase not told  |  "
        "confidence 0.8  |  no flag is set"
    )


def test_deformations_have_class_and_intensity() -> None:
    assert in_words(deformation(Activity.SILL, Intensity.HIGH)) == "Sill, high"
    assert in_words(deformation(Activity.EARTHQUAKE, None)) == "Earthquake"


def test_facts_can_be_written_as_json() -> None:
    square = np.array([[10.5, 20], [40, 20], [40, 60], [10.5, 60]])
    dyke = deformation(Activity.DYKE, Intensity.LOW)
    told = json.loads(
        json.dumps(facts(annotation(type(dyke)(dyke.activity, dyke.intensity, square), frame=ETNA, caption="Look")))
    )
    assert told == {
        "unique_id": 5, "frame": ETNA, "region": "Sicily: Etna", "volcanoes": [], "direction": "descending",
        "primary": "2019-05-01", "secondary": "2019-05-13", "baseline_days": 12, "label": ["Deformation"],
        "deformations": [{"activity": "Dyke", "intensity": "Low", "x": 10.5, "y": 20.0, "width": 29.5, "height": 40.0}],
        "phase": "Unrest", "confidence": 0.8, "conditions": [], "caption": "Look",
    }  # fmt: skip
    quiet = facts(annotation(deformation(Activity.EARTHQUAKE, None), phase=None))
    assert (quiet["region"], quiet["phase"], quiet["deformations"][0]["intensity"]) == (None, None, None)


def test_crops_that_are_not_as_they_should_be_are_told_once() -> None:
    picture = Picture(np.zeros((100, 300, 3), np.uint8))
    inside, outside = deformation(Activity.MOGI, x=50, y=50), deformation(Activity.MOGI, x=900, y=50)
    assert crop_notes(crops_of(annotation(inside, outside), picture, seed=0)) == [
        "Crop 0: the interferogram of 300 x 100 px is smaller than the crop, the rest of which is 0.",
        "Crop 1: the polygon lies outside of the interferogram of 300 x 100 px.",
    ]
    assert crop_notes(crops_of(annotation(), picture, seed=0)) == [
        "Tiles: the interferogram of 300 x 100 px is smaller than a tile of 224 px."
    ]
    assert crop_notes(crops_of(annotation(), picture, seed=0, size=50, warning="it is grey")) == ["Tiles: it is grey."]
    assert crop_notes(crops_of(annotation(inside), picture, seed=0, size=60)) == []
