"""What masks tell of whole days: how large the largest place is that is missing or miscoloured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.sphere import label_regions, row_areas

_HALF_KM2 = 10_000.0


def day_scores(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """How surely there is a place of each class on a day.

    Pixels that are more likely of a class than of any other make regions. Each has an area, to which a pixel adds what
    it is likely of. The largest of them, as a share of itself and 10,000 km2, is the day's score: one half for a place
    as large as that.

    Args:
        probabilities: Of one day, classes x height x width, valid first.

    Returns:
        Scores from 0 to 1 of the classes after the first.
    """
    classes, height, width = probabilities.shape
    areas = row_areas(height, width)[:, None]
    called = probabilities.argmax(axis=0)
    scores = np.zeros(classes - 1)
    for each in range(1, classes):
        mask = (called == each).astype(np.uint8)
        if mask.any():
            count, labels = label_regions(mask)
            weights = areas * probabilities[each]
            largest = np.bincount(labels.ravel(), weights.ravel(), count + 1)[1:].max()
            scores[each - 1] = largest / (largest + _HALF_KM2)
    return scores
