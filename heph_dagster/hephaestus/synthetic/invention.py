"""Annotations invented from nothing, in the proportions of the real ones, with outlines of modelled fringes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import pi
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Intensity, Label, Phase, Polygon
from heph_dagster.hephaestus.frames import Frame
from heph_dagster.hephaestus.synthetic.captions import caption
from heph_dagster.hephaestus.synthetic.deformation import Source, fitted, outlined
from heph_dagster.hephaestus.synthetic.orbit import LineOfSight, line_of_sight
from heph_dagster.hephaestus.synthetic.scene import usual_shape
from heph_dagster.hephaestus.synthetic.seeds import generator

T = TypeVar("T")

FRAMES = ("021D_05184_131313", "057A_08231_121312", "102D_09716_111313", "150A_04467_131210")
"""Frames that do not exist."""
MANY_FRAMES = (
    *FRAMES, "008A_06612_131313", "035D_10240_131212", "043A_12077_131311", "071D_03986_121313", "090A_07315_131313",
    "116D_08862_111313", "135A_11493_131313", "164D_06028_131312",
)  # fmt: skip
"""As many as a split by whole frames takes to have some for each part."""

_FIRST_DAY = date(2014, 10, 7)
_REPEAT_DAYS, _ACQUISITIONS = 6, 432
_BASELINES = (12, 24, 6, 18, 36, 48)
MOST_PER_FRAME = _ACQUISITIONS * len(_BASELINES)
"""Pairs of days that a frame has."""

SHARE_DEFORMED = 0.091
"""Share of the real annotations that tell of a deformation."""
_SHARE_REBOUND = 0.07
_ACTIVITIES = {
    Activity.MOGI: 0.15, Activity.DYKE: 0.24, Activity.SILL: 0.54, Activity.SPHEROID: 0.015, Activity.EARTHQUAKE: 0.025,
    Activity.UNIDENTIFIED: 0.03,
}  # fmt: skip
_NUMBERS = {1: 0.82, 2: 0.13, 3: 0.05}
_INTENSITIES = {Intensity.LOW: 0.47, Intensity.MEDIUM: 0.25, Intensity.HIGH: 0.28}
_RADII = {Intensity.LOW: (7, 18), Intensity.MEDIUM: (9, 22), Intensity.HIGH: (11, 30), None: (8, 24)}
_ATMOSPHERE = {0: 0.07, 1: 0.16, 2: 0.56, 3: 0.21}
_ERRORS = {0: 0.975, 2: 0.009, 3: 0.016}
_CONFIDENCES = {0.8: 0.976, 0.7: 0.011, 0.6: 0.009, 0.5: 0.004}
_APART = 6.0  # radii between the sources of an interferogram


def invent(
    count: int, seed: int, frames: Sequence[str] = FRAMES, *, deformed: float = SHARE_DEFORMED
) -> list[Annotation]:
    """Annotations with the IDs from 1 on, one frame after the other.

    An outline is where a modelled source makes more than half a fringe; `synthesize` fits such a source to it again.

    Args:
        count: How many.
        seed: Seed of everything that is made.
        frames: Frames, each once.
        deformed: Share of the annotations that tell of a deformation.

    Returns:
        The annotations.

    Raises:
        ValueError: A frame is none or stands there twice, or has too few pairs of days.
    """
    ids = [Frame(frame).id for frame in frames]
    if len(set(ids)) != len(ids) or not ids:
        raise ValueError(f"frames should be named once each: {', '.join(frames) or 'there is none'}")
    if count > MOST_PER_FRAME * len(frames):
        raise ValueError(
            f"{count} annotations are too many: {len(frames)} frames have {MOST_PER_FRAME * len(frames)} pairs of days"
        )
    return [
        _annotation(number, seed, frames[number % len(frames)], number // len(frames), deformed)
        for number in range(count)
    ]


def _annotation(number: int, seed: int, frame: str, turn: int, share: float) -> Annotation:
    rng = generator(seed, frame, "annotation", number)
    primary, secondary = _days(seed, frame, turn)
    deformed = rng.uniform() < share
    flags = rng.uniform(size=6)
    annotation = Annotation(
        unique_id=number + 1,
        frame=frame,
        primary=primary,
        secondary=secondary,
        corrupted=int(not deformed and flags[0] < 0.016),
        processing_error=_choice(rng, _ERRORS),
        glacier_fringes=int(flags[1] < 0.004),
        orbital_fringes=int(flags[2] < 0.008),
        atmospheric_fringes=_choice(rng, _ATMOSPHERE),
        low_coherence=int(flags[3] < 0.17),
        no_info=int(not deformed and flags[4] < 0.011),
        image_artifacts=int(flags[5] < 0.003),
        label=(Label.NON_DEFORMATION,),
        deformations=(),
        phase=Phase.REST,
        confidence=_choice(rng, _CONFIDENCES),
        caption=None,
    )
    if deformed:
        annotation = _deformed(annotation, seed, rng)
    return replace(annotation, caption=caption(annotation, usual_shape(frame, seed)))


def _days(seed: int, frame: str, turn: int) -> tuple[date, date]:
    """A pair of days that no other turn of the frame has, from anywhere in the years of the archive."""
    pair = (int(generator(seed, frame, "days").integers(MOST_PER_FRAME)) + turn * 1597) % MOST_PER_FRAME
    primary = _FIRST_DAY + timedelta(days=_REPEAT_DAYS * (pair % _ACQUISITIONS))
    return primary, primary + timedelta(days=_BASELINES[pair // _ACQUISITIONS])


def _deformed(annotation: Annotation, seed: int, rng: np.random.Generator) -> Annotation:
    """The annotation with sources in a row across a volcano of its frame, and what follows from them."""
    sinks = rng.uniform() < _SHARE_REBOUND
    drawn = []
    for _ in range(_choice(rng, _NUMBERS)):
        activity = _choice(rng, _ACTIVITIES)
        intensity = None if activity is Activity.EARTHQUAKE else _choice(rng, _INTENSITIES)
        drawn.append((activity, intensity, rng.uniform(*_RADII[intensity]), rng.uniform(1, 2.2), rng.uniform(0, pi)))
    kinds = {each[0] for each in drawn}
    only_shaken = kinds == {Activity.EARTHQUAKE}
    deformed = () if only_shaken else (Label.DEFORMATION,)
    shaken = (Label.EARTHQUAKE,) if Activity.EARTHQUAKE in kinds else ()
    phase = None if only_shaken else Phase.REBOUND if sinks else Phase.UNREST
    sight = line_of_sight(annotation.frame)
    sources = generator(seed, annotation.unique_id)
    x, y = _volcano(annotation.frame, seed, rng)
    deformations = []
    for index, (activity, intensity, radius, elongation, direction) in enumerate(drawn):
        side = index - (len(drawn) - 1) / 2
        middle = np.array([x + side * _APART * radius, y + rng.uniform(-4, 4)])
        rough = Deformation(activity, intensity, _oval(middle, radius, elongation, direction))
        source = fitted(rough, sight, sources, sinks=phase is Phase.REBOUND)
        deformations.append(Deformation(activity, intensity, _outline(source, sight)))
    return replace(annotation, label=(*deformed, *shaken), phase=phase, deformations=tuple(deformations))


def _volcano(frame: str, seed: int, rng: np.random.Generator) -> tuple[float, float]:
    """A place near one of the up to three volcanoes of a frame, in px."""
    height, width = usual_shape(frame, seed)
    places = generator(seed, frame, "places").uniform(0.25, 0.75, size=(3, 2)) * (width, height)
    x, y = places[min(rng.integers(3), rng.integers(3))] + rng.uniform(-6, 6, size=2)
    return float(x), float(y)


def _oval(middle: NDArray[np.float64], radius: float, elongation: float, direction: float) -> Polygon:
    turn = np.linspace(0, 2 * pi, 48, endpoint=False)
    along, across = radius * elongation**0.5 * np.cos(turn), radius / elongation**0.5 * np.sin(turn)
    x = along * np.cos(direction) - across * np.sin(direction)
    y = along * np.sin(direction) + across * np.cos(direction)
    return np.asarray(middle + np.stack((x, y), axis=1))


def _outline(source: Source, sight: LineOfSight) -> Polygon:
    """A polygon of 8 to 40 vertices around the fringes of a source, as an annotator draws it."""
    seen, corner, step = outlined(source, sight)
    size = 3
    contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    while len(contours) > 1:
        # Lobes that lie side by side are one pattern.
        size += 2
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        closed = cv2.morphologyEx(np.pad(seen, size), cv2.MORPH_CLOSE, kernel)[size:-size, size:-size]
        contours, _ = cv2.findContours(np.ascontiguousarray(closed), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    ring = contours[0][:, 0].astype(np.float64)
    ring = np.concatenate((ring, ring[:1]))
    walked = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))))
    number = int(np.clip(round(walked[-1] * step / 4), 8, 40))
    places = np.linspace(0, walked[-1], number, endpoint=False)
    vertices = np.stack([np.interp(places, walked, axis) for axis in ring.T], axis=1)
    polygon: Polygon = np.array(corner) + vertices * step
    return polygon.round(3)


def _choice(rng: np.random.Generator, odds: dict[T, float]) -> T:
    place = rng.uniform() * sum(odds.values())
    for value, share in odds.items():
        place -= share
        if place < 0:
            return value
    return value
