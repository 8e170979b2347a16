"""What is known of an annotated interferogram, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from heph_dagster.hephaestus.annotation import Annotation, Deformation
from heph_dagster.hephaestus.crops import Crop
from heph_dagster.hephaestus.frames import Frame
from heph_dagster.hephaestus.rejects import CropReject

_ATMOSPHERE = {
    1: ("vertical stratification",),
    2: ("turbulent mixing",),
    3: ("vertical stratification", "turbulent mixing"),
}
_PROCESSING = {2: "debursting error", 3: "swath merging error"}


def conditions(annotation: Annotation) -> list[str]:
    """The flags of an annotation that are set, each in words: `turbulent mixing`, `low coherence`."""
    named = {
        "corrupted": annotation.corrupted,
        _PROCESSING.get(annotation.processing_error, "processing error"): annotation.processing_error,
        "glacier fringes": annotation.glacier_fringes,
        "orbital fringes": annotation.orbital_fringes,
        "low coherence": annotation.low_coherence,
        "very little signal": annotation.no_info,
        "image artifacts": annotation.image_artifacts,
    }
    return [*_ATMOSPHERE.get(annotation.atmospheric_fringes, ()), *(name for name, flag in named.items() if flag)]


def headline(annotation: Annotation) -> str:
    """ID, frame and region."""
    frame = Frame(annotation.frame)
    return "   ".join(filter(None, (f"{annotation.unique_id}", frame.id, frame.region)))


def details(annotation: Annotation, volcanoes: Sequence[str] = ()) -> list[str]:
    """The rest but outlines and caption, in lines of any length.

    Args:
        annotation: What was said.
        volcanoes: Volcanoes of its frame.
    """
    frame, days = Frame(annotation.frame), annotation.baseline_days
    parts = [
        f"{annotation.primary} to {annotation.secondary}, {days} {'day' if days == 1 else 'days'}",
        f"{frame.direction} orbit {frame.relative_orbit}",
        " and ".join(str(each).replace("_", " ").lower() for each in annotation.label),
        "phase not told" if annotation.phase is None else f"phase {annotation.phase.word.lower()}",
        f"confidence {annotation.confidence:g}",
        ", ".join(conditions(annotation)) or "no flag is set",
    ]
    return ["  |  ".join(parts), *([f"volcanoes of the frame: {', '.join(volcanoes)}"] if volcanoes else [])]


def in_words(deformation: Deformation) -> str:
    """Class and intensity: `Mogi, low`."""
    intensity = deformation.intensity
    return deformation.activity.word if intensity is None else f"{deformation.activity.word}, {intensity.word.lower()}"


def crop_notes(crops: Iterable[Crop | CropReject]) -> list[str]:
    """What is not as it should be with crops, a sentence each, and those that are the same once."""
    notes = []
    for each in crops:
        reason = each.warning if isinstance(each, Crop) else each.reason
        around = each.made_for is not None if isinstance(each, Crop) else each.index is not None
        if reason:
            notes.append(f"Crop {each.index}: {reason}." if around else f"Tiles: {reason}.")
    return list(dict.fromkeys(notes))


def facts(annotation: Annotation, volcanoes: Sequence[str] = ()) -> dict[str, Any]:
    """All that is said of an interferogram but its outlines.

    Args:
        annotation: What was said.
        volcanoes: Volcanoes of its frame.

    Returns:
        What JSON can hold, None where nobody said: `unique_id`, `frame`, `region`, `volcanoes`, `direction` of flight,
        `primary` and `secondary` day, `baseline_days`, `label`, `deformations` (`activity`, `intensity`, and the bounds
        `x`, `y`, `width`, `height` of the polygon in px), `phase`, `confidence`, `conditions`, `caption`.
    """
    frame = Frame(annotation.frame)
    return {
        "unique_id": annotation.unique_id,
        "frame": frame.id,
        "region": frame.region,
        "volcanoes": list(volcanoes),
        "direction": frame.direction,
        "primary": annotation.primary.isoformat(),
        "secondary": annotation.secondary.isoformat(),
        "baseline_days": annotation.baseline_days,
        "label": [str(each) for each in annotation.label],
        "deformations": [
            {
                "activity": each.activity.word,
                "intensity": None if each.intensity is None else each.intensity.word,
                **dict(zip(("x", "y"), each.polygon.min(axis=0).tolist(), strict=True)),
                **dict(zip(("width", "height"), np.ptp(each.polygon, axis=0).tolist(), strict=True)),
            }
            for each in annotation.deformations
        ],
        "phase": None if annotation.phase is None else annotation.phase.word,
        "confidence": annotation.confidence,
        "conditions": conditions(annotation),
        "caption": annotation.caption,
    }
