"""What an annotation of an interferogram says, once it has been checked.

Source: Bountos et al., "Hephaestus: A large scale multitask dataset towards InSAR understanding", CVPR Workshops 2022,
section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Polygon: TypeAlias = NDArray[np.float64]
"""Vertices of a polygon, N x 2: x (column) and y (row) in px from the top left corner of the interferogram; the last
vertex is not the first again."""


class Label(StrEnum):
    """What an interferogram shows; one that shows a deformation may have several."""

    NON_DEFORMATION = "Non_Deformation"
    DEFORMATION = "Deformation"
    EARTHQUAKE = "Earthquake"


class Activity(IntEnum):
    """Kind of source of a ground deformation, and its class in masks, where 0 is none."""

    MOGI = 1
    DYKE = 2
    SILL = 3
    SPHEROID = 4
    EARTHQUAKE = 5
    UNIDENTIFIED = 6

    @property
    def word(self) -> str:
        """As annotations write it: `Mogi`."""
        return self.name.capitalize()


class Intensity(IntEnum):
    """How strong a volcanic deformation is. An earthquake has none; label files give it the code 3."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def word(self) -> str:
        """As annotations write it: `Low`."""
        return self.name.capitalize()


EARTHQUAKE_INTENSITY = 3


class Phase(IntEnum):
    """Phase of the volcano."""

    REST = 0
    UNREST = 1
    REBOUND = 2

    @property
    def word(self) -> str:
        """As annotations write it: `Rest`."""
        return self.name.capitalize()


@dataclass(frozen=True, eq=False)
class Deformation:
    """One pattern of ground deformation in an interferogram.

    Attributes:
        activity: Its source.
        intensity: How strong it is; None for earthquakes and where nobody said.
        polygon: Its outline.
    """

    activity: Activity
    intensity: Intensity | None
    polygon: Polygon


@dataclass(frozen=True, eq=False)
class Annotation:
    """What an annotator said of an interferogram.

    Attributes:
        unique_id: ID of the annotation.
        frame: ID of the frame, a fixed place seen from one orbit (`124D_05291_081406`): relative orbit, Ascending or
            Descending, colatitude identifier, bursts of the swaths.
        primary: UTC day of the first radar image.
        secondary: UTC day of the second.
        corrupted: 1 if the interferogram is corrupted.
        processing_error: An error of the InSAR processing: 0 none, 2 of debursting, 3 of swath merging (or other).
        glacier_fringes: Not 0 if glaciers make fringes.
        orbital_fringes: 1 if orbital errors make fringes.
        atmospheric_fringes: Fringes of the atmosphere: 0 none, 1 vertical stratification, 2 turbulent mixing, 3 both.
        low_coherence: 1 if coherence is low.
        no_info: 1 if there is very little signal.
        image_artifacts: 1 if there are artifacts that are not of the interferometry.
        label: What the interferogram shows.
        deformations: Each deformation pattern; none without ground deformation.
        phase: Phase of the volcano; None where nobody said, as for earthquakes.
        confidence: The annotator's, from 0 to 1.
        caption: The annotator's description in English; None where there is none.
    """

    unique_id: int
    frame: str
    primary: date
    secondary: date
    corrupted: int
    processing_error: int
    glacier_fringes: int
    orbital_fringes: int
    atmospheric_fringes: int
    low_coherence: int
    no_info: int
    image_artifacts: int
    label: tuple[Label, ...]
    deformations: tuple[Deformation, ...]
    phase: Phase | None
    confidence: float
    caption: str | None

    @property
    def dates(self) -> str:
        """The days as folders of the archive name them: `20181128_20181204`."""
        return f"{self.primary:%Y%m%d}_{self.secondary:%Y%m%d}"

    @property
    def baseline_days(self) -> int:
        """Temporal baseline: days from the primary image to the secondary."""
        return (self.secondary - self.primary).days

    @property
    def is_crowd(self) -> bool:
        """Whether there are several deformation patterns."""
        return len(self.deformations) > 1

    def record(self) -> dict[str, Any]:
        """The JSON object of a Hephaestus annotation file that says the same."""
        return {
            "uniqueID": self.unique_id,
            "frameID": self.frame,
            "primary_date": f"{self.primary:%Y%m%d}",
            "secondary_date": f"{self.secondary:%Y%m%d}",
            "corrupted": self.corrupted,
            "processing_error": self.processing_error,
            "glacier_fringes": self.glacier_fringes,
            "orbital_fringes": self.orbital_fringes,
            "atmospheric_fringes": self.atmospheric_fringes,
            "low_coherence": self.low_coherence,
            "no_info": self.no_info,
            "image_artifacts": self.image_artifacts,
            "label": [str(each) for each in self.label],
            "activity_type": [each.activity.word for each in self.deformations],
            "intensity_level": ["None" if e.intensity is None else e.intensity.word for e in self.deformations],
            "phase": "None" if self.phase is None else self.phase.word,
            "confidence": self.confidence,
            "segmentation_mask": [each.polygon.ravel().tolist() for each in self.deformations],
            "is_crowd": int(self.is_crowd),
            "caption": self.caption or "",
        }
