"""Records of annotations for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from heph_dagster.hephaestus.interferograms import Image, Layout
from heph_dagster.png import Picture, encode_png

SQUARE = [10.5, 20.5, 40.5, 20.5, 40.5, 60.5, 10.5, 60.5]
OTHER = [100.0, 100.0, 130.0, 100.0, 115.0, 130.0]


def quiet(unique_id: int = 7, **fields: Any) -> dict[str, Any]:
    """A record without deformation."""
    return {
        "uniqueID": unique_id,
        "frameID": "124D_05291_081406",
        "primary_date": "20181128",
        "secondary_date": "20181204",
        "corrupted": 0,
        "processing_error": 0,
        "glacier_fringes": 0,
        "orbital_fringes": 0,
        "atmospheric_fringes": 2,
        "low_coherence": 0,
        "no_info": 0,
        "image_artifacts": 0,
        "label": ["Non_Deformation"],
        "activity_type": [],
        "intensity_level": [],
        "phase": "Rest",
        "confidence": 0.8,
        "segmentation_mask": [],
        "is_crowd": 0,
        "caption": "Turbulent mixing effect can be detected around the area. No deformation activity can be detected.",
        **fields,
    }


def deformed(unique_id: int = 8, **fields: Any) -> dict[str, Any]:
    """A record of a Mogi and an earthquake."""
    patterns = {
        "label": ["Deformation", "Earthquake"],
        "activity_type": ["Mogi", "Earthquake"],
        "intensity_level": ["High", "None"],
        "phase": "Unrest",
        "segmentation_mask": [SQUARE, OTHER],
        "is_crowd": 1,
        "caption": "A mogi-type deformation pattern of high intensity can be detected on the left side.",
    }
    return quiet(unique_id, **(patterns | fields))


def write_records(folder: Path, *records: dict[str, Any]) -> Path:
    """Write records as files named by their IDs."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        (folder / f"{record['uniqueID']}.json").write_text(json.dumps(record), "utf-8")
    return folder


def write_pair(raw: Path, record: dict[str, Any], width: int, height: int, layout: Layout = Layout.LICSAR) -> Image:
    """Put a random interferogram of a record into a raw archive, with its coherence; returns its RGB."""
    rng = np.random.default_rng([record["uniqueID"], width, height])
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    dates = f"{record['primary_date']}_{record['secondary_date']}"
    interferogram, coherence = layout.paths(raw / record["frameID"] / "interferograms" / dates)
    interferogram.parent.mkdir(parents=True, exist_ok=True)
    interferogram.write_bytes(encode_png(Picture(image)))
    coherence.write_bytes(encode_png(Picture(image[..., 0])))
    return image
