"""A real day of MODIS Terra, from an image to its mask."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import instance_at, run_range
from heph_dagster.gibs.archive import import_image, mosaic_path
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import EPSG, REAL_DATA, TERRA

DAY = date(2020, 9, 27)
IMAGE = REAL_DATA / "gibs" / "images" / f"{TERRA}_{DAY}_3996x1998.jpg"
needs_real_data = pytest.mark.skipif(
    not IMAGE.exists(), reason=f"{IMAGE.name} is not here; HEPH_REAL_DATA names its folder"
)


@needs_real_data
def test_the_swath_gaps_of_a_real_day_are_found(tmp_path: Path, catalogue: Catalogue) -> None:
    archive = tmp_path / "archive"
    mosaic = import_image(archive, catalogue[TERRA], EPSG, DAY, IMAGE)
    assert read_pixels(mosaic).shape == (2560, 5120, 3)
    with running_server(archive, catalogue) as url:
        settings = Settings(data_dir=tmp_path / "data", gibs_url=url, level=3, layers=(TERRA,))
        with instance_at(settings.dagster_home) as instance:
            report = run_range(build_definitions(settings), settings, instance, settings.active_layers()[0], DAY, DAY)
    assert report.errors == []
    assert report.done == {"image": [DAY], "missing_data": [DAY], "miscoloration": [DAY]}
    report_path = mosaic_path(settings.data_dir, EPSG, DAY, catalogue[TERRA]).with_suffix(".missing_data.json")
    holes = json.loads(report_path.read_text("utf-8"))["holes"]
    gaps = [hole for hole in holes if hole["bbox"][1] < 0 < hole["bbox"][3] and hole["area_km2"] > 5e5]
    # Fourteen whole gaps, and half of one at the eastern edge: the western edge is another day's pass.
    assert len(gaps) == 15
    whole = [gap for gap in gaps if gap["bbox"][2] < 180]
    assert all(1.4e6 < gap["area_km2"] < 1.6e6 for gap in whole)
    assert all(-29 < gap["bbox"][1] < -25 and 27 < gap["bbox"][3] < 30 for gap in whole)
    # Gaps follow each other at the spacing of Terra's passes, 360 degrees in 14.56 revolutions.
    longitudes = sorted(gap["longitude"] for gap in whole)
    assert [b - a for a, b in pairwise(longitudes)] == pytest.approx([24.72] * 13, abs=0.5)
    # What else is found are specks of dark water.
    assert sum(hole["area_km2"] for hole in holes if hole not in gaps) < 2e4
