"""Texture and colour of an image: gibs-ml's way, proved against its own results, and ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from matplotlib.colors import rgb_to_hsv
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from benchmarks.measure import Row, pairs, ratio_row
from heph_dagster.anomalies.features import (
    HUE_BINS,
    gibs_ml_hog,
    gibs_ml_hue_histogram,
    hog,
    hue_histogram,
    shrink,
)
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.synthetic import render_day

SEED = 2048
FULL = (2048, 1024)
"""Width and height in px of gibs-ml's images."""
_REAL_DATA = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
_GOLDEN = _REAL_DATA / "golden" / "gibs_ml.npz"
_CELL, _ORIENTATIONS = 8, 9

Feature = Callable[[Image], NDArray[np.float64]]


def _gibs_ml_hog(image: Image) -> NDArray[np.float64]:
    """gibs-ml's way: a picture of each orientation's magnitudes, filtered whole, of which one pixel in 64 stays."""
    grey = np.dot(image, (0.299, 0.587, 0.144))
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :-1], down[:-1] = np.diff(grey, axis=1), np.diff(grey, axis=0)
    magnitude = np.sqrt(across**2 + down**2)
    angle = np.arctan2(down, across + 1e-15) * (180 / np.pi) + 90
    cells = np.zeros((image.shape[0] // _CELL, image.shape[1] // _CELL, _ORIENTATIONS))
    for number in range(_ORIENTATIONS):
        first, end = (180 / _ORIENTATIONS * edge for edge in (number, number + 1))
        of_this = np.where((angle > 0) & (angle >= first) & (angle < end), magnitude, 0)
        cells[..., number] = uniform_filter(of_this, size=_CELL)[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
    return cells.ravel()


def _gibs_ml_hues(image: Image, bins: int = HUE_BINS) -> NDArray[np.float64]:
    """gibs-ml's way: all three channels of HSV in float64, then a histogram of one."""
    hue = rgb_to_hsv(image / 255)[..., 0] * 255
    counts, edges = np.histogram(hue, np.linspace(0, 255, bins + 1), density=True)
    return counts * np.diff(edges)


def _prove() -> None:
    golden = np.load(_GOLDEN)
    image = golden["features_image"]
    errors = [np.abs(_gibs_ml_hog(image) - golden["features_hog"]).max()]
    errors += [np.abs(_gibs_ml_hues(image, bins) - golden[f"features_hue_{bins}"]).max() for bins in (10, 256, 360)]
    if max(errors) > 1e-9:
        raise RuntimeError(f"the references do not compute what gibs-ml computes: {errors}")


def run() -> list[Row]:
    """All measures of features; ours shrinks an image first, which counts, unless the row says otherwise."""
    void = "" if _GOLDEN.exists() else f"void: {_GOLDEN.name} is not here to prove the references; see HEPH_REAL_DATA"
    if not void:
        _prove()
    day = render_day("VIIRS_SNPP_CorrectedReflectance_TrueColor", date(2023, 7, 1), seed=SEED, level=2, kinds=())
    image = cv2.resize(day.image, FULL, interpolation=cv2.INTER_AREA)

    def row(name: str, theirs: Feature, ours: Feature, least: float | None, what: str = "ours") -> Row:
        times = pairs(lambda: theirs(image), lambda: ours(image))
        return ratio_row(f"{name}, {FULL[0]}x{FULL[1]}: gibs-ml / {what}", *times, least, "", void=void)

    same = "our variant with the same numbers"
    return [
        row("HOG", _gibs_ml_hog, lambda each: hog(shrink(each)), 10),
        row("HOG", _gibs_ml_hog, hog, 10, "ours at that size"),
        row("HOG", _gibs_ml_hog, gibs_ml_hog, None, same),
        row("hue histogram", _gibs_ml_hues, lambda each: hue_histogram(shrink(each)), 100),
        row("hue histogram", _gibs_ml_hues, hue_histogram, None, "ours at that size"),
        row("hue histogram", _gibs_ml_hues, gibs_ml_hue_histogram, None, same),
    ]
