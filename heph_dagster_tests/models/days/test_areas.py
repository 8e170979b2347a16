"""What masks tell of days."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.models.days.areas import day_scores


def test_a_day_scores_by_its_largest_place() -> None:
    probabilities = np.zeros((3, 180, 360), np.float32)
    probabilities[0] = 1
    assert day_scores(probabilities).tolist() == [0, 0]
    for rows, columns, each, sure in ((90, slice(0, 1), 1, 0.75), (90, slice(10, 12), 1, 0.5), (90, 359, 1, 0.75)):
        probabilities[each, rows, columns], probabilities[0, rows, columns] = sure, (1 - sure) * 0.9
    probabilities[2, 10, 20] = 0.6  # less sure than that it is valid
    cell = row_areas(180, 360)[90]
    largest = 2 * 0.75 * cell  # across the antimeridian
    assert day_scores(probabilities).tolist() == [pytest.approx(largest / (largest + 10_000)), 0]
