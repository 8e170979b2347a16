"""A data root with a climatology."""

from __future__ import annotations

from pathlib import Path

import pytest

from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.gibs.catalogue import Layer
from heph_dagster_tests.anomalies.painting import DAYS, painted, store
from heph_dagster_tests.conftest import EPSG


@pytest.fixture
def root(tmp_path: Path, viirs: Layer) -> Path:
    """Normal days, and the climatology made of them."""
    for day in DAYS:
        store(tmp_path, viirs, day, painted(day))
    assert add_normal_days(tmp_path, viirs, EPSG).added == DAYS
    return tmp_path
