"""Missing data: found where it is, and not where the night or a swath gap explains it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.missing import find_missing, label_missing_data, no_data_mask, overlay
from heph_dagster.anomalies.sphere import EARTH_AREA_KM2
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.raster import RasterError, gdal, read_pixels
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.anomalies.test_sphere import box
from heph_dagster_tests.conftest import DAYS, EPSG, NO_DATA, TERRA, VIIRS, earth

EQUINOX, JUNE = date(2024, 3, 20), date(2024, 6, 21)
HEIGHT = 320


def find(no_data: np.ndarray, day: date = EQUINOX, expected: np.ndarray | None = None):
    return find_missing(no_data, "VIIRS_SNPP", day, expected)


def test_a_whole_day_is_normal() -> None:
    result = find(np.zeros((HEIGHT, 2 * HEIGHT), np.uint8))
    assert result.labels == (Label.NORMAL,)
    assert result.verdict == "normal"
    assert (result.missing_share, result.not_observed_share, result.holes) == (0, 0, ())
    assert not result.classes.any()


@pytest.mark.parametrize("height", [320, 640, 1280])
def test_a_hole_is_measured_on_the_ground(height: int) -> None:
    result = find(box(height, 10, 0, 20, 10))
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    (hole,) = result.holes
    assert hole.area_km2 == pytest.approx(1_230_150, rel=0.06 * HEIGHT / height)
    assert hole.bbox == pytest.approx((10, 0, 20, 10), abs=180 / height)
    assert result.missing_share == pytest.approx(hole.area_km2 / EARTH_AREA_KM2, rel=1e-9)


@pytest.mark.parametrize(
    "bounds",
    [(170, -5, -170, 5), (-180, -5, -170, 5), (0, 70, 20, 90), (0, -60, 20, -40)],
    ids=["antimeridian", "left", "top", "south"],
)
def test_holes_at_edges_are_one_hole_each(bounds: tuple[float, float, float, float]) -> None:
    # In June the north pole is lit: a hole may touch the top row.
    result = find(box(HEIGHT, *bounds), JUNE)
    assert len(result.holes) == 1
    assert result.labels == (Label.MISSING_UNEXPECTED,)


def night(height: int, edge: float) -> np.ndarray:
    """Black from the south pole to a scalloped edge."""
    lon = np.arange(2 * height) * 360 / (2 * height)
    lat = 90 - (np.arange(height) + 0.5) * 180 / height
    return (lat[:, None] < edge + np.sin(np.radians(lon * 14))).astype(np.uint8)


def test_the_polar_night_is_expected() -> None:
    result = find(night(HEIGHT, -68), JUNE)
    assert result.labels == (Label.NORMAL,)
    assert result.not_observed_share == pytest.approx(0.036, abs=0.003)
    assert set(np.unique(result.classes)) == {PixelClass.VALID, PixelClass.NOT_OBSERVED}


def test_a_hole_beside_the_polar_night_is_found() -> None:
    result = find(night(HEIGHT, -68) | box(HEIGHT, 30, -75, 60, -50), JUNE)
    (hole,) = result.holes
    assert hole.bbox[1] == pytest.approx(-65.5, abs=1.5)
    assert hole.bbox[3] == pytest.approx(-50, abs=0.6)


def test_black_where_the_sun_shines_is_no_night() -> None:
    result = find(night(HEIGHT, -40), JUNE)
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    assert result.holes[0].bbox[0::2] == (-180, 180)


def test_specks_are_neither_missing_nor_lost_data() -> None:
    speck = np.zeros((1280, 2560), np.uint8)
    speck[640:643, 100:103] = 1
    result = find(speck)
    assert result.holes == ()
    assert not result.classes.any()


def test_gaps_that_the_no_data_layer_knows_are_expected() -> None:
    gap, hole = box(HEIGHT, 30, -20, 34, 20), box(HEIGHT, 100, -10, 120, 10)
    expected = find(gap, expected=1 - gap)
    assert expected.labels == (Label.MISSING_EXPECTED,)
    assert (expected.missing_share, expected.expectation) == (0, "sun+no_data_layer")
    both = find(gap | hole, expected=1 - gap)
    assert both.labels == (Label.MISSING_UNEXPECTED,)
    assert len(both.holes) == 1
    assert find(gap).labels == (Label.MISSING_UNEXPECTED,)


def test_a_mask_waits_for_its_no_data_layer(archive: Path, tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    write_day(tmp_path, terra, EPSG, DAYS[0], earth(DAYS[0]))
    with pytest.raises(FileNotFoundError, match="run MODIS_Terra_Data_No_Data for 2020-09-25 first, or take it out"):
        label_missing_data(tmp_path, terra, EPSG, DAYS[0], catalogue[NO_DATA])


@pytest.mark.parametrize("height", [HEIGHT // 4, HEIGHT // 2, 2 * HEIGHT])
def test_the_no_data_layer_may_have_another_size(height: int) -> None:
    lon = np.arange(2 * HEIGHT) * 180 / HEIGHT
    gap = box(HEIGHT, 30, -20, 36, 20) | (np.abs(np.arange(HEIGHT)[:, None] * 0.7 - lon + 100) < 5).astype(np.uint8)
    expected = cv2.resize(1 - gap, (2 * height, height), interpolation=cv2.INTER_NEAREST_EXACT)
    assert find(gap, expected=expected).holes == ()


def test_a_hole_beside_the_night_may_be_wide() -> None:
    (hole,) = find(night(HEIGHT, -68) | box(HEIGHT, -60, -75, 50, -60), JUNE).holes
    assert hole.bbox[0] == pytest.approx(-60, abs=1)
    assert hole.bbox[2] == pytest.approx(50, abs=1)


def test_the_northern_night_is_expected_as_well() -> None:
    assert find(night(HEIGHT, -68)[::-1], date(2024, 12, 21)).labels == (Label.NORMAL,)


def test_the_sun_bounds_the_night() -> None:
    # In the middle of June VIIRS sees the sun 8 degrees high at 59.3 south.
    assert find(night(HEIGHT, -60.5), JUNE).labels == (Label.NORMAL,)
    assert find(night(HEIGHT, -55), JUNE).labels == (Label.MISSING_UNEXPECTED,)


@pytest.mark.parametrize(("degrees", "found"), [(0.35, 0), (0.55, 1)])
def test_holes_of_fifty_kilometres_are_the_smallest(degrees: float, found: int) -> None:
    assert len(find(box(2560, 10, 0, 10 + degrees, degrees)).holes) == found


def test_masks_of_jpeg_and_png_layers(archive: Path, catalogue: Catalogue) -> None:
    def mask(name: str) -> np.ndarray:
        return no_data_mask(mosaic_path(archive, EPSG, DAYS[0], catalogue[name]), catalogue[name])

    expected = np.zeros((640, 1280), np.uint8)
    expected[280:360, 600:640] = 1
    # GIBS's no-data layers are transparent where there are data.
    np.testing.assert_array_equal(mask(NO_DATA), 1 - expected)
    assert np.mean(mask(TERRA) != expected) < 1e-3
    assert not mask(VIIRS).any()


def test_transparent_pixels_are_no_data(tmp_path: Path, catalogue: Catalogue) -> None:
    image = np.full((320, 640, 4), 9, np.uint8)
    image[10:20, 30:50, 3] = 0
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    path = write_day(tmp_path, layer, EPSG, DAYS[0], image)
    np.testing.assert_array_equal(no_data_mask(path, layer), image[..., 3] == 0)


def test_dark_pixels_of_a_png_layer_are_data(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    path = write_day(tmp_path, layer, EPSG, DAYS[0], np.full((320, 640, 3), 8, np.uint8))
    assert not no_data_mask(path, layer).any()


def test_a_labelled_day_on_disk(archive: Path, tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    image = earth(DAYS[0])
    image[280:360, 600:640] = 0
    image[200:260, 100:200] = 0
    write_day(tmp_path, terra, EPSG, DAYS[0], image)
    observed = np.ones((640, 1280), np.uint8)
    observed[280:360, 600:640] = 0
    write_day(tmp_path, catalogue[NO_DATA], EPSG, DAYS[0], 1 - observed, NO_DATA_PALETTE)
    files = label_missing_data(tmp_path, terra, EPSG, DAYS[0], catalogue[NO_DATA])
    figures = json.loads(files.report.read_text("utf-8"))
    assert figures["labels"] == [2]
    assert figures["verdict"] == "missing unexpected"
    assert figures["expectation"] == "sun+no_data_layer"
    assert len(figures["holes"]) == 1
    classes = read_pixels(files.mask)
    assert classes.shape == (640, 1280)
    assert (classes[205:255, 105:195] == PixelClass.MISSING).all()
    assert (classes[285:355, 605:635] == PixelClass.NOT_OBSERVED).all()
    dataset = gdal().Open(str(files.mask))
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert dataset.GetGeoTransform() == (-180, 0.28125, 0, 90, 0, -0.28125)
    assert sorted(file.suffix for file in tmp_path.rglob("*.missing_data.*")) == [".json", ".tif"]


def test_the_overlay_colours_what_the_mask_marks() -> None:
    image = np.full((100, 200, 3), 50, np.uint8)
    classes = np.zeros((50, 100), np.uint8)
    classes[10:20, 10:20] = PixelClass.MISSING
    picture = overlay(image, classes)
    assert tuple(picture[30, 30]) == (230, 25, 75)
    assert tuple(picture[0, 0]) == (50, 50, 50)


def test_what_cannot_be_labelled_is_named(tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    with pytest.raises(RasterError, match=f"{VIIRS}.mrf cannot be read"):
        label_missing_data(tmp_path, viirs, EPSG, DAYS[0], None)
    with pytest.raises(ValueError, match="in EPSG:4326, not MODIS_Fires_All"):
        label_missing_data(tmp_path, catalogue["MODIS_Fires_All"], EPSG, DAYS[0], None)
