"""What masks tell of whole days: how large the largest place is that is missing or miscoloured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.sphere import label_regions, row_areas

_HALF_KM2 = 10_000.0
_LEAST = 0.1
_DAY = 140
"""Light of `heph_dagster.models.days.pixels.expected_light` from which it is day: the sun 3 degrees up."""


def day_scores(probabilities: NDArray[np.float32], light: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How surely there is a place of each class on a day.

    Pixels that are of a class with a probability of 0.1 at least make regions. Each has an area, to which a pixel adds
    what it is likely of. The largest of them, as a share of itself and 10,000 km2, is the day's score: one half for a
    place as large as that. Where the sun is lower than 3 degrees nothing counts: the edge of the night, which the
    swath draws, is no hole.

    Args:
        probabilities: Of one day, classes x height x width, valid first.
        light: That is to be expected, height x width.

    Returns:
        Scores from 0 to 1 of the classes after the first.
    """
    classes, height, width = probabilities.shape
    areas = row_areas(height, width)[:, None]
    scores = np.zeros(classes - 1)
    for each in range(1, classes):
        mask = ((probabilities[each] >= _LEAST) & (light >= _DAY)).astype(np.uint8)
        if mask.any():
            count, labels = label_regions(mask)
            weights = areas * probabilities[each]
            largest = np.bincount(labels.ravel(), weights.ravel(), count + 1)[1:].max()
            scores[each - 1] = largest / (largest + _HALF_KM2)
    return scores
