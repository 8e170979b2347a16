"""Days of a simple world with labels, features and a split."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.feature_table import update_features
from heph_dagster.anomalies.hand_labels import label_day
from heph_dagster.anomalies.hand_masks import hand_mask_path, write_hand_mask
from heph_dagster.anomalies.label_table import labels_path, read_labels, update_labels
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.splitting import block_split, split_path, write_split
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.models.days.source import LayerDays
from heph_dagster_tests.anomalies.painting import FIRST, MAGENTA, PATCH, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS

DAYS = [FIRST + timedelta(days=number) for number in range(30)]
BLOCKS = {"block_days": 3, "gap_days": 0}


def make_days(root: Path) -> LayerDays:
    """Thirty days, every third of them magenta in places, with hand labels and a split by blocks of three days."""
    layer = load_catalogue()[VIIRS]
    for number, day in enumerate(DAYS):
        bad = number % 3 == 0
        store(root, layer, day, painted(day, MAGENTA if bad else None))
        label_day(root, layer, EPSG, day, [Label.MISCOLOURED if bad else Label.NORMAL])
    update_labels(root, layer, EPSG)
    update_features(root, layer, EPSG)
    codes = read_labels(labels_path(root, EPSG, layer))
    write_split(split_path(root, EPSG, layer), block_split(DAYS, 0, **BLOCKS), codes)
    return LayerDays(root, layer, EPSG)


def paint_masks(source: LayerDays) -> None:
    """Hand masks of what is magenta."""
    for number, day in enumerate(DAYS):
        mask = np.zeros((320, 640), np.uint8)
        if number % 3 == 0:
            mask[PATCH] = PixelClass.MISCOLOURED
        write_hand_mask(hand_mask_path(source.root, EPSG, source.layer, day), mask)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> LayerDays:
    return make_days(tmp_path_factory.mktemp("days"))
