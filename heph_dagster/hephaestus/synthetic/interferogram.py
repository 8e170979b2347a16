"""An interferogram for an annotation."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.synthetic import deformation
from heph_dagster.hephaestus.synthetic.atmosphere import atmosphere, orbital_ramp
from heph_dagster.hephaestus.synthetic.coherence import TURN, coherence, phase_noise
from heph_dagster.hephaestus.synthetic.colours import colour_numbers, palette
from heph_dagster.hephaestus.synthetic.damage import Canvas, glacier_phase, spoil
from heph_dagster.hephaestus.synthetic.fields import Map, enlarged, reduced_shape
from heph_dagster.hephaestus.synthetic.scene import HALF, Scene, image_shape
from heph_dagster.hephaestus.synthetic.seeds import generator
from heph_dagster.png import Picture

_SEEN, _BARELY_SEEN = 0.6, 0.4  # least coherence in an outline, and where low coherence is annotated


@dataclass(frozen=True, eq=False)
class Interferogram:
    """A synthetic interferogram.

    Attributes:
        numbers: H x W numbers of colours in the palette, 0 for no data.
        coherence: H x W, uint8: 255 for a coherence of 1, 0 for no data.
        sources: What deforms the ground, in the order of the annotation.
    """

    numbers: NDArray[np.uint8]
    coherence: NDArray[np.uint8]
    sources: tuple[deformation.Source, ...]

    @property
    def picture(self) -> Picture:
        """Its colours as its file keeps them."""
        return Picture(self.numbers, palette())

    @property
    def image(self) -> NDArray[np.uint8]:
        """RGB, H x W x 3, black where there are no data."""
        return self.picture.rgb()


def synthesize(annotation: Annotation, scene: Scene) -> Interferogram:
    """Make an interferogram that shows what an annotation says.

    Args:
        annotation: The annotation.
        scene: Its frame, of `scenes`.

    Returns:
        The interferogram; the same for the same annotation and scene.

    Raises:
        ValueError: The scene is of another frame, or does not hold an outline.
    """
    if annotation.frame != scene.frame:
        raise ValueError(f"annotation {annotation.unique_id} is of {annotation.frame}, the scene of {scene.frame}")
    shape = image_shape(scene, annotation)
    for each in annotation.deformations:
        if (each.polygon < 0).any() or (each.polygon >= shape[::-1]).any():
            raise ValueError(
                f"annotation {annotation.unique_id} has an outline outside of its image of {shape[1]} x {shape[0]} px: "
                "make the scene with it"
            )
    rng = generator(scene.seed, annotation.unique_id)
    sources = deformation.place(annotation, scene.sight, rng)
    canvas = Canvas(*_undamaged(annotation, scene, shape, sources, rng), scene.swath(shape))
    spoil(canvas, annotation, scene, rng)
    canvas.phase += phase_noise(canvas.coherence, rng)
    numbers = colour_numbers(canvas.phase)
    np.maximum(canvas.coherence, 1, out=canvas.coherence)
    numbers *= canvas.valid
    canvas.coherence *= canvas.valid
    return Interferogram(numbers, canvas.coherence, sources)


def _undamaged(
    annotation: Annotation,
    scene: Scene,
    shape: tuple[int, int],
    sources: tuple[deformation.Source, ...],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Phase without noise, of a `TURN`, and coherence, of 255."""
    half = reduced_shape(shape, HALF)
    heights = scene.heights[: half[0], : half[1]]
    delay = atmosphere(annotation.atmospheric_fringes, heights, rng)
    delay += orbital_ramp(half, annotation.orbital_fringes, rng)
    if annotation.glacier_fringes:
        delay += glacier_phase(heights, rng)
    phase = enlarged(delay, HALF, shape)
    if sources:
        phase += deformation.phase(sources, shape, scene.sight)
    phase *= np.float32(TURN / (2 * pi))
    field = coherence(annotation, scene, half, rng)
    return phase.astype(np.int32), _levels(_seen(field, annotation), shape)


def _seen(field: Map, annotation: Annotation) -> Map:
    """The coherence at half of the resolution, so high in the outlines that an annotator sees the fringes."""
    outlines = [np.rint(each.polygon / HALF).astype(np.int32) for each in annotation.deformations]
    if outlines:
        area: NDArray[np.float32] = np.zeros(field.shape, dtype=np.float32)
        cv2.fillPoly(area, outlines, _BARELY_SEEN if annotation.low_coherence or annotation.no_info else _SEEN)
        np.maximum(field, cv2.blur(cv2.dilate(area, np.ones((5, 5))), (5, 5)), out=field)
    return field


def _levels(field: Map, shape: tuple[int, int]) -> NDArray[np.uint8]:
    small = np.rint(field * np.float32(255)).astype(np.uint8)
    full = cv2.resize(small, (small.shape[1] * HALF, small.shape[0] * HALF), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(full[: shape[0], : shape[1]])
