"""Crops of a simple world: fringes where the ground deforms, a smooth phase elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.hephaestus.annotation import Activity, Intensity
from heph_dagster.hephaestus.frame_crops import crops_folder
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.shards import read_manifest
from heph_dagster.hephaestus.splits import crop_items, frame_split, temporal_split, write_split
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.hephaestus.synthetic.coherence import TURN
from heph_dagster.hephaestus.synthetic.colours import colour_numbers, palette
from heph_dagster.png import Picture
from heph_dagster_tests.hephaestus.making_crops import make_crop

FRAMES = ("021D_05184_131313", "057A_08231_121312", "102D_09716_111313")
SIZE = 48
_KINDS = (Activity.MOGI, Activity.DYKE, Activity.SILL)


def simple_crop(number: int, frame: str, year: int) -> StoredCrop:
    """Every second crop has three fringes in a disk; its type and intensity follow from its number."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    phase = rng.uniform(0, 1) + 0.3 * (rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1)) / SIZE
    mask = np.zeros((SIZE, SIZE), np.uint8)
    told = {}
    if number % 2:
        kind = _KINDS[number // 2 % len(_KINDS)]
        distance = np.hypot(rows - rng.uniform(14, 34), columns - rng.uniform(14, 34)) / 10
        phase += 3 * np.clip(1 - distance, 0, 1)
        mask[distance < 1] = kind
        told = {"made_for": kind, "activities": (kind,), "intensity": Intensity(number // 2 % 3)}
    numbers = colour_numbers((phase * TURN).astype(np.int32))
    numbers[:, :2] = 0
    crop = make_crop(f"{number}", frame=frame, size=SIZE, picture=Picture(numbers, palette()), mask=mask, **told)
    days = {"primary": date(year, 7, 5), "secondary": date(year, 7, 17)}
    return replace(crop, coherence=np.full((SIZE, SIZE), 200, np.uint8), **days)


def make_insar(root: Path, crops: int = 40) -> Path:
    """Crops of three frames, of which the second validates and the last tests."""
    manifests = []
    for place, frame in enumerate(FRAMES):
        numbers = range(1 + place * 1000, 1 + place * 1000 + (crops if place == 0 else crops // 2))
        year = (2016, 2019, 2020)[place]
        folder = crops_folder(root, frame)
        write_shards(folder, [simple_crop(number, frame, year) for number in numbers])
        manifests.append(read_manifest(folder))
    items = crop_items(manifests)
    write_split(root / "splits", "frames", frame_split(items, 0, FRAMES[2:]))
    write_split(root / "splits", "temporal", temporal_split(items))
    return root


@pytest.fixture(scope="session")
def insar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_insar(tmp_path_factory.mktemp("insar"))
