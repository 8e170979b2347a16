"""Annotations for tests of synthetic interferograms."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Intensity, Label, Phase, Polygon
from heph_dagster.hephaestus.synthetic.scene import Scene, Volcano

ASCENDING, DESCENDING = "102A_09716_111313", "021D_05184_131313"


def oval(x: float, y: float, along: float, across: float, direction: float = 0.0) -> Polygon:
    """An ellipse, its long axis `direction` radians from the rows."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    u, v = along * np.cos(turn), across * np.sin(turn)
    axes = np.array([[np.cos(direction), np.sin(direction)], [-np.sin(direction), np.cos(direction)]])
    return np.array([x, y]) + np.stack((u, v), axis=1) @ axes


def deformation(activity: Activity, intensity: Intensity | None = Intensity.MEDIUM, **where: Any) -> Deformation:
    return Deformation(activity, intensity, oval(**({"x": 150.4, "y": 130.7, "along": 18, "across": 13} | where)))


def annotation(*deformations: Deformation, unique_id: int = 5, frame: str = DESCENDING, **fields: Any) -> Annotation:
    label = (Label.DEFORMATION,) if deformations else (Label.NON_DEFORMATION,)
    plain = Annotation(
        unique_id=unique_id, frame=frame, primary=date(2019, 5, 1), secondary=date(2019, 5, 13), corrupted=0,
        processing_error=0, glacier_fringes=0, orbital_fringes=0, atmospheric_fringes=0, low_coherence=0, no_info=0,
        image_artifacts=0, label=label, deformations=deformations, phase=Phase.UNREST if deformations else Phase.REST,
        confidence=0.8, caption=None,
    )  # fmt: skip
    return replace(plain, **fields)


def small_scene(frame: str = DESCENDING, seed: int = 3, shape: tuple[int, int] = (260, 300)) -> Scene:
    """A frame smaller than any, with one volcano in its middle."""
    return Scene(frame, seed, shape, (Volcano(150, 130, 20, 1.5),), (120.0, 100.0, 180.0, 160.0))
