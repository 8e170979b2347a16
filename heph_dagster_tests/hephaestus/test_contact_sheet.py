from __future__ import annotations

import json

import numpy as np

from heph_dagster.hephaestus.annotation import Activity
from heph_dagster.hephaestus.contact_sheet import contact_sheet
from heph_dagster.hephaestus.crops import Crop, crops_of
from heph_dagster.hephaestus.drawing import CLASS_COLOURS
from heph_dagster.hephaestus.records import check_record
from heph_dagster.hephaestus.stored_crop import stored
from heph_dagster.png import Picture
from heph_dagster_tests.hephaestus.records import deformed


def test_crops_stand_side_by_side_with_outlines() -> None:
    annotation = check_record(json.dumps(deformed()).encode())[0]
    grey = Picture(np.full((300, 300, 3), 90, np.uint8))
    crops = [stored(each) for each in crops_of(annotation, grey, seed=0) if isinstance(each, Crop)]
    sheet = contact_sheet(crops)
    assert sheet is not None
    assert sheet.shape == (144, 292, 3)
    assert (sheet[:, 144:148] == 255).all()
    assert (sheet[:, :144] == CLASS_COLOURS[Activity.MOGI]).all(axis=2).any()
    assert (sheet[:, 148:] == CLASS_COLOURS[Activity.EARTHQUAKE]).all(axis=2).any()
    many = contact_sheet(crops * 9)
    assert many is not None
    assert many.shape == (292, 884, 3)


def test_without_crops_there_is_no_sheet() -> None:
    assert contact_sheet([]) is None
