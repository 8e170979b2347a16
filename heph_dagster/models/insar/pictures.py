"""Pictures of the crops that were judged worst."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.splits import Part
from heph_dagster.models import figures
from heph_dagster.models.insar.data import OUTPUTS, CropData
from heph_dagster.models.insar.scoring import batches
from heph_dagster.models.mask_metrics import Confusions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORST = 6
_COLOURS = np.array(
    [(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)], np.uint8
)
"""Of the classes of masks. Source: M. Okabe and K. Ito, Color Universal Design, 2008."""


def worst_crops(data: CropData, scores: NDArray[np.float64]) -> Figure:
    """The crops that test whose deformation was judged worst, with their masks and what was told.

    Args:
        data: Crops.
        scores: Probabilities of the crops that test, N x outputs.
    """
    part = data.parts[Part.TEST]
    worst = np.argsort(-np.abs(part.truth[:, 0] - scores[:, 0]), kind="stable")[:_WORST]
    found = _found(data, [part.names[number] for number in worst])
    pictures = []
    for number in worst:
        pixels, mask = found[part.names[number]]
        shown = [name for name, value in zip(OUTPUTS, part.truth[number], strict=True) if value]
        words = f"{part.names[number]}: {' '.join(shown) or 'nothing'}, told {scores[number, 0]:.2f}"
        pictures.append((words, np.hstack((pixels[..., :3], _COLOURS[mask]))))
    return figures.mistakes(pictures, "Crops judged worst: crop, truth")


def worst_masks(data: CropData, counts: Confusions, call: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Figure:
    """The crops that test in which most pixels were called wrong.

    Args:
        data: Crops.
        counts: Of the crops that test, N x 7 x 7.
        call: Classes of the pixels of crops.
    """
    part = data.parts[Part.TEST]
    wrong = counts[:, 0, 1:].sum(axis=1) + counts[:, 1:, 0].sum(axis=1)
    worst = np.argsort(-wrong, kind="stable")[:_WORST]
    found = _found(data, [part.names[number] for number in worst])
    pictures = []
    for number in worst:
        pixels, mask = found[part.names[number]]
        (told,) = call(pixels[None])
        words = f"{part.names[number]}: {wrong[number]} pixels wrong"
        pictures.append((words, np.hstack((pixels[..., :3], _COLOURS[mask], _COLOURS[told]))))
    return figures.mistakes(pictures, "Crops judged worst: crop, truth, told")


def _found(data: CropData, names: Collection[str]) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pixels, S x S x 4, and mask, S x S, of crops by name."""
    return {
        name: (pixels, mask)
        for batch in batches(data, names)
        for name, pixels, mask in zip(batch.names, batch.pixels, batch.masks, strict=True)
    }
