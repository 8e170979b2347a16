"""A real day of MODIS Terra, from an image to its mask."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.missing import find_missing
from heph_dagster.anomalies.sphere import label_regions, measure_regions, region_areas
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import DAILY_ASSETS, instance_at, run_range
from heph_dagster.gibs.archive import import_image, mosaic_path
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.swath import coverage
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import EPSG, REAL_DATA, TERRA

DAY = date(2020, 9, 27)
IMAGE = REAL_DATA / "gibs" / "images" / f"{TERRA}_{DAY}_3996x1998.jpg"
needs_real_data = pytest.mark.skipif(
    not IMAGE.exists(), reason=f"{IMAGE.name} is not here; HEPH_REAL_DATA names its folder"
)


@pytest.mark.slow
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
    assert report.done == {name: [DAY] for name in DAILY_ASSETS}
    report_path = mosaic_path(settings.data_dir, EPSG, DAY, catalogue[TERRA]).with_suffix(".missing_data.json")
    figures = json.loads(report_path.read_text("utf-8"))
    # Nothing was lost that day, the specks of dark water are no holes, and the orbit was where it should be.
    assert (figures["verdict"], figures["holes"]) == ("missing expected", [])
    assert abs(figures["orbit_shift_deg"]) < 0.3
    warping = json.loads(report_path.with_name(f"{TERRA}.edge_warping.json").read_text("utf-8"))
    assert (warping["verdict"], warping["edges"]) == ("normal", [])
    classes = read_pixels(report_path.with_suffix(".tif"))
    count, labels = label_regions((classes == PixelClass.NOT_OBSERVED).astype(np.uint8))
    numbers = np.flatnonzero(region_areas(count, labels)[1:] > 5e5) + 1
    regions = measure_regions(labels, numbers.tolist())
    gaps = [region for region in regions if region.bbox[1] < 0 < region.bbox[3]]
    # Fourteen whole gaps, and half of one at the eastern edge: the western edge is another day's pass.
    assert len(gaps) == 15
    whole = [gap for gap in gaps if gap.bbox[2] < 180]
    assert all(1.4e6 < gap.area_km2 < 1.6e6 for gap in whole)
    assert all(-29 < gap.bbox[1] < -25 and 27 < gap.bbox[3] < 30 for gap in whole)
    # Gaps follow each other at the spacing of Terra's passes, 360 degrees in 14.56 revolutions.
    longitudes = sorted(gap.longitude for gap in whole)
    assert [b - a for a, b in pairwise(longitudes)] == pytest.approx([24.72] * 13, abs=0.5)


@needs_real_data
@pytest.mark.parametrize(("along", "km"), [(-0.9, 2000), (0.1, 2000), (0.6, 300)])
def test_a_hole_cut_into_a_real_day_is_found(along: float, km: float) -> None:
    image = read_pixels(IMAGE)
    values = cv2.resize(image.max(axis=2), (1280, 640), interpolation=cv2.INTER_NEAREST)
    seen = coverage(SATELLITES["MODIS_Terra"], DAY, 1)
    number = int(np.median(seen.index[seen.index >= 0]))
    lost = (seen.index == number) & (seen.along_rad > along) & (seen.along_rad < along + km / 6371)
    lost &= np.abs(seen.cross_km) < km / 2
    values[lost] = 0
    result, classes = find_missing(values, "MODIS_Terra", DAY)
    found = classes == PixelClass.MISSING
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    assert (found & lost).sum() / (found | lost).sum() > 0.9
