"""Miscoloured days: found where they are, and judged only when there is something to judge them by."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from heph_dagster.anomalies.climatology import LEAST_DAYS, HueClimatology
from heph_dagster.anomalies.hues import CELLS, COLOURLESS, find_hues, presence
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.miscolour import find_patches, label_miscolouring, miscoloured_pixels
from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.raster import read_pixels
from heph_dagster_tests.anomalies.painting import DAYS, FIRST, MAGENTA, PATCH, cut_off, painted, store
from heph_dagster_tests.conftest import EPSG, REAL_DATA


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_patch_is_found_and_measured_at_any_level(root: Path, viirs: Layer, level: int) -> None:
    day = FIRST + timedelta(days=20)
    mosaic = store(root, viirs, day, painted(day, MAGENTA, level))
    files = label_miscolouring(root, viirs, EPSG, day)
    assert (files.result.verdict, files.result.labels, files.result.days) == ("miscoloured", (Label.MISCOLOURED,), 8)
    assert files.mask == mosaic.with_suffix(".miscoloration.tif")
    mask = read_pixels(files.mask)
    assert mask.shape == (320 << level, 640 << level)
    truth = np.zeros((320, 640), np.uint8)
    truth[PATCH] = PixelClass.MISCOLOURED
    truth = cv2.resize(truth, (640 << level, 320 << level), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.count_nonzero((mask > 0) & (truth > 0)) / np.count_nonzero((mask > 0) | (truth > 0)) > 0.95
    assert set(np.unique(mask)) == {PixelClass.VALID, PixelClass.MISCOLOURED}
    (patch,) = files.result.patches.regions
    assert patch.bbox == pytest.approx((-11.25, 28.125, 22.5, 45.0), abs=0.6)
    report = json.loads(files.report.read_text("utf-8"))
    assert (report["verdict"], report["labels"], report["climatology_days"]) == ("miscoloured", [3], 8)
    assert report["patches"][0]["area_km2"] == pytest.approx(patch.area_km2)
    assert report["miscoloured_share"] == pytest.approx(patch.area_km2 / 510e6, rel=0.01)


def test_patches_are_polygons_largest_first(root: Path, viirs: Layer) -> None:
    day = FIRST + timedelta(days=20)
    image = painted(day, MAGENTA)
    image[30:50, 620:], image[30:50, :20] = MAGENTA, MAGENTA  # 62 to 73 N, 11 degrees on both sides of 180
    mosaic = store(root, viirs, day, image)
    files = label_miscolouring(root, viirs, EPSG, day)
    assert files.polygons == mosaic.with_suffix(".miscoloration.parquet")
    table = pq.read_table(files.polygons)
    assert table.schema.metadata[b"layer"] == viirs.identifier.encode()
    rows = table.to_pylist()
    shapes = [shapely.from_wkb(row["geometry"]) for row in rows]
    assert [row["class"] for row in rows] == ["miscoloured", "miscoloured"]
    areas = [region.area_km2 for region in files.result.patches.regions]
    assert [row["area_km2"] for row in rows] == areas == sorted(areas, reverse=True)
    assert shapes[0].bounds == pytest.approx((-11.25, 28.125, 22.5, 45.0), abs=0.6)
    assert shapes[1].bounds == pytest.approx((-180, 61.875, 180, 73.125), abs=0.6)
    assert (shapes[1].geom_type, len(shapes[1].geoms)) == ("MultiPolygon", 2)
    # They cover what the mask covers.
    step = 360 / 640
    assert [shape.area / step**2 for shape in shapes] == pytest.approx(
        [(runs.stop - runs.start).sum() for runs in files.result.patches.runs]
    )


def test_a_normal_day_is_normal(root: Path, viirs: Layer) -> None:
    files = label_miscolouring(root, viirs, EPSG, DAYS[2])
    assert pq.read_table(files.polygons).num_rows == 0
    assert (files.result.verdict, files.result.labels, files.result.days) == ("normal", (Label.NORMAL,), 7)
    assert not read_pixels(files.mask).any()


@pytest.mark.parametrize("colour", [MAGENTA, (250, 250, 0), (0, 250, 0), (250, 0, 0)])
def test_specks_are_not_patches(root: Path, viirs: Layer, colour: tuple[int, int, int]) -> None:
    day = FIRST + timedelta(days=20)
    image = painted(day)
    image[20:300:40, 20:620:40] = colour
    store(root, viirs, day, image)
    assert label_miscolouring(root, viirs, EPSG, day).result.verdict == "normal"


def test_what_is_normal_elsewhere_is_not_normal_here(tmp_path: Path, viirs: Layer) -> None:
    sea = np.full((180, 360, 3), (20, 40, 110), np.uint8)
    sea[60:70, 100:110] = (200, 160, 90)
    moved = np.roll(sea, 150, axis=1)
    with HueClimatology(tmp_path / "hues.sqlite", viirs, EPSG) as climatology:
        for number in range(20):
            climatology.put(FIRST + timedelta(days=number), "a", presence(find_hues(sea)))
        unusual = climatology.unusual(date(2025, 1, 1))[1]
    assert find_patches(find_hues(sea), unusual).regions == ()
    (patch,) = find_patches(find_hues(moved), unusual).regions
    assert patch.bbox == pytest.approx((70, 20, 80, 30))


def test_no_data_is_never_suspect() -> None:
    image = painted(FIRST, MAGENTA)
    image[PATCH] = (10, 0, 10)
    everything = np.ones((*CELLS, COLOURLESS + 1), bool)
    everything[..., COLOURLESS] = False
    count, labels = miscoloured_pixels(find_hues(image), everything)
    assert count > 0
    assert not labels[PATCH].any()


@pytest.mark.parametrize("number", range(LEAST_DAYS))
def test_the_first_days_are_not_judged(tmp_path: Path, viirs: Layer, number: int) -> None:
    for day in DAYS[:number]:
        store(tmp_path, viirs, day, painted(day))
    add_normal_days(tmp_path, viirs, EPSG)
    day = FIRST + timedelta(days=20)
    store(tmp_path, viirs, day, painted(day, MAGENTA))
    files = label_miscolouring(tmp_path, viirs, EPSG, day)
    assert (files.result.verdict, files.result.labels) == ("no climatology yet", ())
    assert (files.mask, files.polygons) == (None, None)
    report = json.loads(files.report.read_text("utf-8"))
    assert report["reason"] == f"it has {number} normal day{'s' * (number != 1)} and needs 4"
    assert (report["labels"], report["miscoloured_share"], report["patches"]) == ([], None, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "100.0% of the image are without data"),
        (255, "all of the image is of one colour"),
        (MAGENTA, "all of the image is of one colour"),
    ],
)
def test_a_day_without_contents_is_unusable_and_keeps_no_old_files(
    root: Path, viirs: Layer, value: int | tuple[int, int, int], reason: str
) -> None:
    old = label_miscolouring(root, viirs, EPSG, DAYS[0])
    assert old.mask.exists()
    assert old.polygons.exists()
    image = np.empty((320, 640, 3), np.uint8)
    image[:] = value
    store(root, viirs, DAYS[0], image)
    files = label_miscolouring(root, viirs, EPSG, DAYS[0])
    assert (files.result.verdict, files.result.labels) == ("unusable", ())
    assert reason in json.loads(files.report.read_text("utf-8"))["reason"]
    assert [path.exists() for path in (old.mask, old.polygons, old.report)] == [False, False, True]


def test_a_day_that_is_not_there_or_damaged_is_an_error(root: Path, viirs: Layer) -> None:
    with pytest.raises(FileNotFoundError, match=r"2025-01-01.*\.mrf is not there: download the day first$"):
        label_miscolouring(root, viirs, EPSG, date(2025, 1, 1))
    cut_off(mosaic_path(root, EPSG, DAYS[0], viirs))
    with pytest.raises(MosaicError, match="1 of 2 tiles are not what they were; heph verify --mend downloads again"):
        label_miscolouring(root, viirs, EPSG, DAYS[0])


def test_other_projections_are_refused(root: Path, viirs: Layer) -> None:
    with pytest.raises(ValueError, match="miscolouring can be told in EPSG:4326, not in EPSG:3413"):
        label_miscolouring(root, viirs, 3413, DAYS[0])


REAL = sorted((REAL_DATA / "gibs" / "images").glob("VIIRS_SNPP_CorrectedReflectance_TrueColor_300x150_*.png"))


@pytest.mark.skipif(not REAL, reason="the real VIIRS images are not here; HEPH_REAL_DATA names their folder")
def test_real_days_are_judged_as_people_did(tmp_path: Path, viirs: Layer) -> None:
    assert len(REAL) == 10
    hues = {path: find_hues(read_pixels(path), 0) for path in REAL}
    days = {path: FIRST + timedelta(days=number) for number, path in enumerate(REAL)}
    wrong = []
    with HueClimatology(tmp_path / "hues.sqlite", viirs, EPSG) as climatology:
        for path in REAL:
            if "_normal_" in path.name:
                climatology.put(days[path], "a", presence(hues[path]))
        for path in REAL:
            found = bool(find_patches(hues[path], climatology.unusual(days[path])[1]).regions)
            if found != ("_miscolored_" in path.name):
                wrong.append(path.stem[-12:])
    # One of the miscoloured days shows nothing that an eye can see at this size.
    assert wrong in ([], ["miscolored_1"])
