"""What is kept of a crop on disk, be it made here or of the published set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.crops import Crop
from heph_dagster.png import Picture


@dataclass(frozen=True, eq=False)
class StoredCrop:
    """A square window of an interferogram, and its labels.

    Attributes:
        name: Stem of its file names in the published set.
        unique_id: ID of the annotation.
        index: Number of the deformation that it was made for, or of the tile.
        frame: ID of the frame.
        primary: UTC day of the first radar image.
        secondary: UTC day of the second.
        x: Column of the window's left edge in the interferogram, px; None in the published set, which does not say.
        y: Row of its top edge, px, likewise.
        picture: Its pixels, S x S, with the palette of the interferogram if that has one.
        mask: `Activity` of each pixel, 0 where nothing is deformed, S x S.
        coherence: S x S; None if it is not on disk.
        made_for: The deformation that it was made for; None for a tile.
        activities: What is in it, in order; nothing in a tile.
        intensity: Of the deformation that it was made for; None for tiles and earthquakes.
        phase: Phase of the volcano; None where nobody said.
        fits: Whether it contains the whole deformation; None in the published set, which does not say.
        padded: Whether the interferogram is smaller than the window; the rest is 0.
        warning: What is not as it should be; None if nothing.
    """

    name: str
    unique_id: int
    index: int
    frame: str
    primary: date
    secondary: date
    x: int | None
    y: int | None
    picture: Picture
    mask: NDArray[np.uint8]
    coherence: NDArray[np.uint8] | None = None
    made_for: Activity | None = None
    activities: tuple[Activity, ...] = ()
    intensity: Intensity | None = None
    phase: Phase | None = None
    fits: bool | None = True
    padded: bool = False
    warning: str | None = None

    @property
    def image(self) -> NDArray[np.uint8]:
        """RGB, S x S x 3."""
        return self.picture.rgb()


def stored(crop: Crop) -> StoredCrop:
    """What is kept of a crop that was made here."""
    annotation, window = crop.annotation, crop.window
    return StoredCrop(
        name=crop.name,
        unique_id=annotation.unique_id,
        index=crop.index,
        frame=annotation.frame,
        primary=annotation.primary,
        secondary=annotation.secondary,
        x=window.x,
        y=window.y,
        picture=crop.picture,
        mask=crop.mask,
        coherence=crop.coherence,
        made_for=crop.made_for,
        activities=crop.activities,
        intensity=crop.intensity,
        phase=annotation.phase,
        fits=window.fits,
        padded=window.padded,
        warning=crop.warning,
    )
