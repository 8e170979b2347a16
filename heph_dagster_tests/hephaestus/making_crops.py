"""Crops for tests."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.png import Picture

FRAME = "124D_05291_081406"
SIZE = 6


def make_crop(name: str, *, frame: str = FRAME, size: int = SIZE, coherence: bool = True, **fields: Any) -> StoredCrop:
    """A crop of noise that depends on its name; a tile unless fields say otherwise."""
    rng = np.random.default_rng(list(name.encode()))
    flat = rng.integers(0, 256, (2, size, size), np.uint8)
    return StoredCrop(
        **{
            "name": name,
            "unique_id": int(name.partition("_")[0]),
            "index": int(name.partition("_")[2] or 0),
            "frame": frame,
            "primary": date(2018, 11, 28),
            "secondary": date(2018, 12, 4),
            "x": 0,
            "y": size,
            "picture": Picture(rng.integers(0, 256, (size, size, 3), np.uint8)),
            "mask": np.zeros((size, size), np.uint8),
            "coherence": flat[0] if coherence else None,
            "phase": Phase.REST,
            **fields,
        }
    )


def deformed_crop(name: str, **fields: Any) -> StoredCrop:
    """A crop with a Mogi and a dyke of which one is high."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[1:3, 2:5], mask[4, 4] = Activity.MOGI, Activity.DYKE
    labels: dict[str, Any] = {
        "mask": mask,
        "made_for": Activity.DYKE,
        "activities": (Activity.MOGI, Activity.DYKE),
        "intensity": Intensity.HIGH,
        "phase": Phase.UNREST,
    }
    return make_crop(name, **(labels | fields))


def write_frame(folder: Path, tiles: int, *, unique_id: int = 7, **fields: Any) -> Path:
    """Shards of at most 100 tiles, the first of which shows a deformation."""
    names = [f"{unique_id}_{number}" for number in range(tiles)]
    crops = [deformed_crop(names[0], **fields), *(make_crop(name, **fields) for name in names[1:])]
    write_shards(folder, crops, shard_crops=100)
    return folder
