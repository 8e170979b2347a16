"""A folder of InSAR data for tests: two frames, one of them with flaws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
from heph_dagster.png import Picture, encode_png
from heph_dagster_tests.hephaestus.records import SQUARE, deformed, quiet, write_pair, write_records

ETNA, REUNION = "124D_05291_081406", "144A_SM_REUN_S6"
SINGLE: dict[str, Any] = {"label": ["Deformation"], "activity_type": ["Sill"], "intensity_level": ["Low"],
                          "is_crowd": 0, "segmentation_mask": [SQUARE]}  # fmt: skip
RECORDS = [
    quiet(1, primary_date="20181101"),
    deformed(2, primary_date="20181102"),
    deformed(3, **SINGLE, primary_date="20181103"),  # not on disk
    deformed(4, primary_date="20181104"),  # its second polygon is outside
    deformed(5, **SINGLE, frameID=REUNION, primary_date="20181105"),
    quiet(6, frameID=REUNION, primary_date="20181106"),  # damaged
]


def make_archive(folder: Path) -> Path:
    """Annotation files, their tables, and the raw archive below a folder; returns the folder."""
    write_records(folder / "annotations", *RECORDS)
    write_annotations(folder, read_annotations(folder / "annotations"))
    for record in RECORDS:
        width, height = (99, 98) if record["uniqueID"] == 4 else (260, 230)
        if record["uniqueID"] != 3:
            write_pair(folder / "raw", record, width, height)
    damaged = next((folder / "raw" / REUNION).rglob("20181106*.diff.png"))
    damaged.write_bytes(damaged.read_bytes()[:-50])
    unannotated = folder / "raw" / ETNA / "interferograms" / "20190101_20190107"
    unannotated.mkdir()
    (unannotated / "InSAR.png").write_bytes(encode_png(Picture(np.zeros((9, 9, 3), np.uint8))))
    return folder
