"""What spoils interferograms: errors of the processing, corruption, artefacts and glaciers."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.synthetic.coherence import TURN
from heph_dagster.hephaestus.synthetic.fields import Map
from heph_dagster.hephaestus.synthetic.scene import Scene

DEBURSTING, MERGING = 2, 3
"""Values of an annotation's `processing_error`."""

_BURST_PX = 54  # 20 km along the flight
_SWATHS = 3
_ICE_PX = 4.0  # over which ice evens out the ground, at half of the resolution
_MARGIN = 8


@dataclass
class Canvas:
    """An interferogram being made.

    Attributes:
        phase: H x W, unwrapped, of a `TURN`.
        coherence: H x W, of 255.
        valid: Where there are data.
    """

    phase: NDArray[np.int32]
    coherence: NDArray[np.uint8]
    valid: NDArray[np.bool_]


def spoil(canvas: Canvas, annotation: Annotation, scene: Scene, rng: np.random.Generator) -> None:
    """Add the errors that an annotation tells of; none hides an outline.

    Args:
        canvas: The interferogram, which is changed.
        annotation: The annotation.
        scene: Its frame.
        rng: Source of randomness.
    """
    if annotation.processing_error == DEBURSTING:
        _badly_debursted(canvas, annotation, scene, rng)
    elif annotation.processing_error:
        _badly_merged(canvas, annotation, scene, rng)
    if annotation.image_artifacts:
        _bars(canvas, annotation, rng)
    if annotation.corrupted:
        _corrupted(canvas, annotation, scene, rng)


def glacier_phase(heights: Map, rng: np.random.Generator) -> Map:
    """Phase of ice that flows down from the highest ground, two to five fringes on each glacier.

    Args:
        heights: H x W in km, at half of the resolution.
        rng: Source of randomness.

    Returns:
        H x W in radians, 0 outside of glaciers.
    """
    smooth = np.asarray(cv2.GaussianBlur(heights, (0, 0), _ICE_PX), dtype=np.float32)
    low, high = np.quantile(smooth, (0.97, 0.999)).tolist()
    rise = np.clip((smooth - np.float32(low)) / np.float32(max(high - low, 0.01)), 0, 1)
    return np.asarray(rise * np.float32(rng.uniform(2, 5) * 2 * pi))


def _badly_debursted(canvas: Canvas, annotation: Annotation, scene: Scene, rng: np.random.Generator) -> None:
    """Bursts whose phases do not meet, with lines without data between them."""
    along, _ = scene.axes
    bursts, place = _bands(canvas.phase.shape, along, _BURST_PX)
    jumps = rng.integers(-TURN // 4, TURN // 4, size=bursts.max() + 1, dtype=np.int32)
    canvas.phase += jumps[bursts]
    canvas.valid &= (place > 1.5) | _outlines(canvas, annotation)


def _badly_merged(canvas: Canvas, annotation: Annotation, scene: Scene, rng: np.random.Generator) -> None:
    """Sub-swaths whose phases do not meet; one is missing, unless all hold outlines."""
    _, across = scene.axes
    swaths, _ = _bands(canvas.phase.shape, across, 0, _SWATHS)
    canvas.phase += rng.integers(-TURN // 3, TURN // 3, size=_SWATHS, dtype=np.int32)[swaths]
    free = np.setdiff1d(np.arange(_SWATHS), swaths[_outlines(canvas, annotation)])
    if free.size:
        canvas.valid &= swaths != rng.choice(free)


def _corrupted(canvas: Canvas, annotation: Annotation, scene: Scene, rng: np.random.Generator) -> None:
    """Bursts of noise and bursts without data."""
    along, _ = scene.axes
    bursts, _ = _bands(canvas.phase.shape, along, _BURST_PX)
    fate = rng.uniform(size=bursts.max() + 1)
    fate[bursts[_outlines(canvas, annotation)]] = 1
    lost = fate[bursts]
    canvas.coherence[lost < 0.75] = 4
    canvas.valid &= lost > 0.3


def _bars(canvas: Canvas, annotation: Annotation, rng: np.random.Generator) -> None:
    """Bars of a single colour, as no interferometry makes them."""
    height, width = canvas.phase.shape
    kept = _outlines(canvas, annotation)
    for _ in range(int(rng.integers(3, 8))):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        area = np.s_[top : top + int(rng.integers(3, 25)), left : left + int(rng.integers(width // 8, width // 2))]
        colour = int(rng.integers(TURN))
        canvas.phase[area] = np.where(kept[area], canvas.phase[area], colour)
        canvas.coherence[area] = np.where(kept[area], canvas.coherence[area], 255)


def _bands(
    shape: tuple[int, ...], axis: NDArray[np.float64], width: int, number: int = 1
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Number of the band across an axis that each px is in, and how far in; of a width in px, or equal ones."""
    x = np.arange(shape[1], dtype=np.float32)[None, :] * np.float32(axis[0])
    y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(axis[1])
    place = x + y
    place -= place.min()
    each = np.float32(width or place.max() / number + 1)
    bands = (place / each).astype(np.intp)
    return bands, place - bands * each


def _outlines(canvas: Canvas, annotation: Annotation) -> NDArray[np.bool_]:
    """The boxes of the outlines, with a margin."""
    kept: NDArray[np.bool_] = np.zeros(canvas.phase.shape, dtype=bool)
    for each in annotation.deformations:
        left, top = np.maximum(each.polygon.min(axis=0).astype(int) - _MARGIN, 0)
        right, bottom = each.polygon.max(axis=0).astype(int) + _MARGIN + 1
        kept[top:bottom, left:right] = True
    return kept
