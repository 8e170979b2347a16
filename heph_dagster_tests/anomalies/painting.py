"""Days of a simple world, stored with their labels of missing data."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np

from heph_dagster.anomalies.brightness import Brightness
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import Image
from heph_dagster_tests.conftest import EPSG

FIRST = date(2024, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(8)]
MAGENTA = (255, 0, 255)
PATCH = (slice(80, 110), slice(300, 360))
"""10 N to 45 N, 11 W to 22 E of a day at level 0."""


def painted(day: date, patch: tuple[int, int, int] | None = None, level: int = 0) -> Image:
    """A blue sea with an ochre continent and moving clouds, at level 0 or finer."""
    rng = np.random.default_rng(day.toordinal())
    image = np.empty((320, 640, 3), np.uint8)
    image[:] = (20, 40, 110)
    image[60:200, 250:420] = (200, 160, 90)
    clouds = cv2.resize(rng.random((20, 40), np.float32), (640, 320), interpolation=cv2.INTER_LINEAR)
    image[clouds > 0.6] = 245
    if patch is not None:
        image[PATCH] = patch
    return cv2.resize(image, (640 << level, 320 << level), interpolation=cv2.INTER_NEAREST_EXACT)


def cut_off(mosaic: Path) -> None:
    """Cut a stored day's data off within the second of its two tiles."""
    (data,) = mosaic.parent.glob(f"{mosaic.stem}.*.pjg")
    content = data.read_bytes()
    data.write_bytes(content[: len(content) * 6 // 10])


def store(root: Path, layer: Layer, day: date, image: Image, labels: tuple[int, ...] = (0,)) -> Path:
    mosaic = write_day(root, layer, EPSG, day, image)
    mosaic.with_suffix(".missing_data.json").write_text(json.dumps({"labels": labels}), "utf-8")
    return mosaic


def whole(source: Brightness) -> np.ndarray:
    """All of a day's brightness: height x width."""
    width, height = source.size
    return source.read(slice(0, height), slice(0, width))
