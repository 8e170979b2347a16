"""What trained networks tell of the crops of a part, read as a stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from heph_dagster.hephaestus.loader import CropDataset
from heph_dagster.hephaestus.shards import PIXELS
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.insar.data import CLASSES, CropData
from heph_dagster.models.insar.evaluation import best_mask_threshold
from heph_dagster.models.insar.inputs import DARKEST
from heph_dagster.models.insar.modules import LEVELS, mask_counts
from heph_dagster.models.mask_metrics import Confusions, confusions

Predict: TypeAlias = Callable[[NDArray[Any]], NDArray[np.floating[Any]]]
"""Tells of crops, uint8, N x S x S x 4."""
_BATCH = 32


class Batch(NamedTuple):
    """Crops as predictors take them.

    Attributes:
        names: Of the crops.
        pixels: Red, green, blue and coherence, uint8, N x S x S x 4.
        masks: uint8, N x S x S.
    """

    names: list[str]
    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]


class Segments(NamedTuple):
    """What a segmenter tells of crops.

    Attributes:
        counts: Pixels of each crop by true class and class that they are called, N x 7 x 7.
        scores: Probability of deformation of the crop: of its likeliest pixel, N.
    """

    counts: Confusions
    scores: NDArray[np.float64]


def batches(data: CropData, names: Collection[str]) -> Iterator[Batch]:
    """Crops, in the order in which they are stored."""
    dataset = CropDataset(data.folders, names, columns=PIXELS, fill=True)
    for batch in DataLoader(dataset, batch_size=_BATCH):
        pixels = torch.cat((batch["image"], batch["coherence"][:, None]), dim=1).movedim(1, -1)
        yield Batch(batch["name"], pixels.contiguous().numpy(), batch["mask"].numpy())


def scored(predict: Predict, data: CropData, part: Part) -> NDArray[np.floating[Any]]:
    """What is told of the crops of a part, in the order of their names: N x outputs."""
    return np.concatenate([predict(batch.pixels) for batch in batches(data, data.parts[part].names)])


def mask_threshold(predict: Predict, data: CropData) -> tuple[float, float]:
    """The probability of deformation from which on a pixel is called deformed, of the highest IoU on val; and that."""
    counts = torch.zeros(2, LEVELS, dtype=torch.int64)
    for batch in batches(data, data.parts[Part.VAL].names):
        counts += mask_counts(torch.from_numpy(batch.masks), torch.from_numpy(1 - predict(batch.pixels)[:, 0]))
    return best_mask_threshold(counts.numpy())


def segmented(predict: Predict, data: CropData, part: Part, threshold: float) -> Segments:
    """What is told of the masks of the crops of a part, in the order of their names."""
    counts, scores = [], []
    for batch in batches(data, data.parts[part].names):
        found = predict(batch.pixels)
        counts.append(confusions(batch.masks, called(found, threshold), len(CLASSES)))
        scores.append(1 - found[:, 0].min(axis=(1, 2)))
    return Segments(np.concatenate(counts), np.concatenate(scores).astype(np.float64))


def called(found: NDArray[np.floating[Any]], threshold: float) -> NDArray[np.uint8]:
    """Classes of pixels: the likeliest type where deformation is likely enough, 0 elsewhere.

    Args:
        found: Probabilities, N x 7 x S x S.
        threshold: Of deformation.
    """
    kinds = found[:, 1:].argmax(axis=1).astype(np.uint8) + np.uint8(1)
    return np.where(1 - found[:, 0] >= threshold, kinds, np.uint8(0))


def described(data: CropData) -> dict[str, NDArray[np.float64]]:
    """Figures of all tiles by which drift is told: of the crops that were not made for a deformation.

    Returns:
        `coherence`, the mean of each crop where it has data, and `no_data`, the share where it has none; N each.
    """
    names = [
        name
        for part in data.parts.values()
        for name, deformed in zip(part.names, part.truth[:, 0], strict=True)
        if not deformed
    ]
    found = [describe_crops(batch.pixels) for batch in batches(data, names)]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def describe_crops(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Figures of crops by which drift is told, see `described`.

    Args:
        pixels: Red, green, blue and coherence, uint8, N x S x S x 4.
    """
    there = pixels[..., :3].max(axis=-1) >= DARKEST
    with_data = there.sum(axis=(1, 2))
    levels = np.where(there, pixels[..., 3], 0).sum(axis=(1, 2)) / 255
    return {"coherence": levels / np.maximum(with_data, 1), "no_data": 1 - with_data / there[0].size}
