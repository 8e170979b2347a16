"""Crops of interferograms: windows around deformations, tiles of the others, with masks and labels.

A crop around a deformation is placed at random, by the seed, the annotation's ID and the number of the polygon alone:
neither the order nor the number of workers changes it. It contains the whole deformation where that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import EARTHQUAKE_INTENSITY, Activity, Annotation, Intensity
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.masks import Footprint, class_mask, footprint
from heph_dagster.hephaestus.rejects import CropReject
from heph_dagster.png import Picture

CROP_SIZE = 224
LABELS = (
    "deformation", *(each.name.lower() for each in Activity), *(each.name.lower() for each in Intensity), "phase",
)  # fmt: skip
"""What the elements of a label vector tell."""


@dataclass(frozen=True)
class Window:
    """A square of an interferogram.

    Attributes:
        x: First column.
        y: First row.
        size: Columns and rows. Where the interferogram is smaller, the rest of the crop is 0.
        fits: Whether it contains the whole deformation, and lies in the interferogram; true for a tile.
        padded: Whether the interferogram is smaller than the square.
        warning: Why it does not fit; None if it does.
    """

    x: int
    y: int
    size: int
    fits: bool = True
    padded: bool = False
    warning: str | None = None


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop with what is known of it.

    Attributes:
        annotation: What was said of its interferogram.
        index: Number of the deformation that it was made for, or of the tile.
        window: Where it is.
        picture: Its pixels, with the palette of the interferogram.
        coherence: From 0 to 255, H x W; None if it is not on disk.
        mask: `Activity` of each pixel, 0 where nothing is deformed, H x W.
        activities: What is in the crop, in order; nothing in a tile.
        intensity: Of the deformation that it was made for; None for tiles and earthquakes.
        warning: What is not as it should be with the crop or its interferogram.
    """

    annotation: Annotation
    index: int
    window: Window
    picture: Picture
    coherence: Image | None
    mask: NDArray[np.uint8]
    activities: tuple[Activity, ...]
    intensity: Intensity | None
    warning: str | None

    @property
    def image(self) -> Image:
        """RGB, H x W x 3."""
        return self.picture.rgb()

    @property
    def name(self) -> str:
        """Stem of its file names in the published set: the annotation's ID, and a number unless it has one polygon."""
        alone = len(self.annotation.deformations) == 1
        return f"{self.annotation.unique_id}" if alone else f"{self.annotation.unique_id}_{self.index}"

    @property
    def made_for(self) -> Activity | None:
        """The deformation that it was made for; None for a tile."""
        deformations = self.annotation.deformations
        return deformations[self.index].activity if deformations else None

    def labels(self) -> NDArray[np.int8]:
        """Its label vector, in the order of `LABELS`: 0 or 1, and for the phase its code or -1 where nobody said."""
        vector = np.zeros(len(LABELS), np.int8)
        vector[0] = bool(self.activities)
        vector[[int(each) for each in self.activities]] = 1
        if self.intensity is not None:
            vector[1 + len(Activity) + self.intensity] = 1
        phase = self.annotation.phase
        vector[-1] = -1 if phase is None else phase
        return vector

    def published_label(self) -> dict[str, Any]:
        """The JSON object of the published set's `cls_labels`; its Phase is null where nobody said."""
        annotation = self.annotation
        intensity = 0 if self.intensity is None else int(self.intensity)
        return {
            "Deformation": [int(each) for each in self.activities] or [0],
            "Intensity": EARTHQUAKE_INTENSITY if self.made_for is Activity.EARTHQUAKE else intensity,
            "Phase": None if annotation.phase is None else int(annotation.phase),
            "frameID": annotation.frame,
            "primary_date": f"{annotation.primary:%Y%m%d}",
            "secondary_date": f"{annotation.secondary:%Y%m%d}",
        }


def crop_window(place: Footprint, width: int, height: int, size: int, rng: np.random.Generator) -> Window:
    """A random square around a deformation.

    It lies in the interferogram and contains the whole deformation, each such square being as likely as another. Where
    the deformation is too large, it lies in the interferogram and on some pixel of the deformation. Where the
    interferogram is too small, it begins at its edge.

    Args:
        place: Where the deformation is; some pixels of it.
        width: Columns of the interferogram.
        height: Rows.
        size: Columns and rows of the square.
        rng: What chance comes from.
    """
    # Any square on this pixel touches the deformation: its outline may be hollow, so its bounds would not do.
    rows, columns = np.nonzero(place.inside)
    at = int(rng.integers(len(rows)))
    x = _start(place.x, place.width, place.x + int(columns[at]), width, size, rng)
    y = _start(place.y, place.height, place.y + int(rows[at]), height, size, rng)
    padded = size > min(width, height)
    warnings = [
        f"the deformation of {place.width} x {place.height} px is larger than the crop, which shows a part of it"
        if max(place.width, place.height) > size
        else "",
        "the polygon leaves the interferogram" if place.cut else "",
        f"the interferogram of {width} x {height} px is smaller than the crop, the rest of which is 0"
        if padded
        else "",
    ]
    warning = "; ".join(filter(None, warnings)) or None
    return Window(x, y, size, warning is None, padded, warning)


def _start(first: int, length: int, pixel: int, available: int, size: int, rng: np.random.Generator) -> int:
    """Where a window begins along one axis, so that it contains `length` pixels from `first`, or `pixel` at least."""
    if available <= size:
        return 0
    if length <= size:
        low, high = first + length - size, first
    else:
        low, high = max(first, pixel - size + 1), min(pixel, first + length - size)
    return int(rng.integers(max(low, 0), min(high, available - size), endpoint=True))


def tile_windows(width: int, height: int, size: int = CROP_SIZE) -> list[Window]:
    """The squares of an interferogram that do not overlap, row by row; what is left at the right and below is lost.

    Args:
        width: Columns of the interferogram.
        height: Rows.
        size: Columns and rows of a square.
    """
    return [Window(x, y, size) for y in range(0, height - size + 1, size) for x in range(0, width - size + 1, size)]


def cut(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The pixels of a window, 0 beyond the image.

    Args:
        image: H x W or H x W x channels.
        window: The window.
    """
    part = image[window.y : window.y + window.size, window.x : window.x + window.size]
    if not window.padded:
        return part
    whole = np.zeros((window.size, window.size, *image.shape[2:]), image.dtype)
    whole[: part.shape[0], : part.shape[1]] = part
    return whole


def crops_of(
    annotation: Annotation,
    picture: Picture,
    coherence: Image | None = None,
    *,
    seed: int,
    size: int = CROP_SIZE,
    warning: str | None = None,
) -> Iterator[Crop | CropReject]:
    """The crops of an interferogram: one around each deformation, or its tiles where nothing is deformed.

    Args:
        annotation: What was said of it.
        picture: The interferogram.
        coherence: H x W, of the same size.
        seed: Another seed places crops elsewhere.
        size: Columns and rows of a crop.
        warning: What is not as it should be with the interferogram.

    Yields:
        Each crop, or the reason why it cannot be made: the deformation is outside of the image, or the image is smaller
        than a tile.
    """
    height, width = picture.height, picture.width
    places = [footprint(each.polygon, width, height) for each in annotation.deformations]
    if not places:
        windows = tile_windows(width, height, size)
        if not windows:
            reason = f"the interferogram of {width} x {height} px is smaller than a tile of {size} px"
            yield CropReject(annotation.unique_id, None, reason)
        for index, window in enumerate(windows):
            yield _crop(annotation, places, index, window, picture, coherence, warning)
    for index, place in enumerate(places):
        if place.area:
            rng = np.random.default_rng([seed, annotation.unique_id, index])
            window = crop_window(place, width, height, size, rng)
            yield _crop(annotation, places, index, window, picture, coherence, warning)
        else:
            reason = f"the polygon lies outside of the interferogram of {width} x {height} px"
            yield CropReject(annotation.unique_id, index, reason)


def _crop(
    annotation: Annotation,
    places: Sequence[Footprint],
    index: int,
    window: Window,
    picture: Picture,
    coherence: Image | None,
    warning: str | None,
) -> Crop:
    deformations, square = annotation.deformations, (window.x, window.y, window.size, window.size)
    own = deformations[index] if deformations else None
    return Crop(
        annotation=annotation,
        index=index,
        window=window,
        picture=Picture(cut(picture.pixels, window), picture.palette),
        coherence=None if coherence is None else cut(coherence, window),
        mask=class_mask(deformations, places, *square),
        # A deformation under others is in the crop, too, though its mask does not show it.
        activities=tuple(
            sorted({e.activity for e, place in zip(deformations, places, strict=True) if place.within(*square).any()})
        ),
        intensity=None if own is None or own.activity is Activity.EARTHQUAKE else own.intensity,
        warning="; ".join(filter(None, (window.warning, warning))) or None,
    )
