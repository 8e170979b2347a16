"""What masks tell of days."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.models.days.areas import day_scores


def test_a_day_scores_by_its_largest_place() -> None:
    probabilities = np.zeros((3, 180, 360), np.float32)
    probabilities[0] = 1
    light = np.full((180, 360), 140, np.uint8)
    assert day_scores(probabilities, light).tolist() == [0, 0]
    for rows, columns, each, sure in ((90, slice(0, 1), 1, 0.75), (90, slice(10, 12), 1, 0.5), (90, 359, 1, 0.75)):
        probabilities[each, rows, columns] = sure
    probabilities[2, 10, 20] = 0.09  # less than counts
    cell = row_areas(180, 360)[90]
    largest = 2 * 0.75 * cell  # across the antimeridian
    assert day_scores(probabilities, light).tolist() == [pytest.approx(largest / (largest + 10_000)), 0]


def test_what_is_dark_at_the_edge_of_the_night_does_not_count() -> None:
    probabilities = np.zeros((3, 180, 360), np.float32)
    probabilities[1, 60:70, 40:60] = 1
    light = np.full((180, 360), 139, np.uint8)
    assert day_scores(probabilities, light).tolist() == [0, 0]
    light[64, 50] = 140
    cell = row_areas(180, 360)[64]
    assert day_scores(probabilities, light).tolist() == [pytest.approx(cell / (cell + 10_000)), 0]
