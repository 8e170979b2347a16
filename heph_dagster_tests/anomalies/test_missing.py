"""Missing data: found where it is, and not where the night or a swath gap explains it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.brightness import MosaicBrightness
from heph_dagster.anomalies.gibs_ml import SIZE as GIBS_ML_SIZE
from heph_dagster.anomalies.gibs_ml import find_holes as find_gibs_ml_holes
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.missing import (
    UnusableImageError,
    find_missing,
)
from heph_dagster.anomalies.missing_files import label_missing_data, overlay
from heph_dagster.anomalies.sphere import EARTH_AREA_KM2
from heph_dagster.gibs.archive import encode, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.mrf import Layout, MosaicError
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import gdal, read_nearest, read_pixels
from heph_dagster.gibs.swath import pass_zenith
from heph_dagster.gibs.synthetic import render_day
from heph_dagster.gibs.synthetic.anomalies import Kind
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.anomalies.painting import cut_off, painted, whole
from heph_dagster_tests.anomalies.test_sphere import box
from heph_dagster_tests.conftest import DAYS, EPSG, NO_DATA, TERRA, VIIRS, earth, swath_gaps

EQUINOX, JUNE, DECEMBER = date(2024, 3, 20), date(2024, 6, 21), date(2024, 12, 21)
HEIGHT = 320


def night(day: date, satellite: str = "VIIRS_SNPP", zenith: float = 88.0, level: int = 0) -> np.ndarray:
    """Where no pass sees a place with the sun so high: height x width, 1 there, else 0."""
    seen = pass_zenith(SATELLITES[satellite], day, level)
    return ((seen >= zenith) & np.isfinite(seen)).astype(np.uint8)


def find(no_data: np.ndarray, day: date = EQUINOX, satellite: str = "VIIRS_SNPP", told: np.ndarray | None = None):
    """What a bright world lacks that is black where a mask is 1."""
    return find_both(no_data, day, satellite, told)[0]


def find_both(no_data: np.ndarray, day: date = EQUINOX, satellite: str = "VIIRS_SNPP", told: np.ndarray | None = None):
    """That, and the classes of its pixels."""
    return find_missing(np.where(no_data > 0, 0, 200).astype(np.uint8), satellite, day, told)


def test_a_whole_day_is_normal() -> None:
    result, classes = find_both(np.zeros((HEIGHT, 2 * HEIGHT), np.uint8))
    assert result.labels == (Label.NORMAL,)
    assert result.verdict == "normal"
    assert (result.missing_share, result.not_observed_share, result.holes) == (0, 0, ())
    assert not classes.any()


@pytest.mark.parametrize("height", [320, 640, 1280])
def test_a_hole_is_measured_on_the_ground(height: int) -> None:
    result = find(box(height, 10, 0, 20, 10))
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    (hole,) = result.holes
    assert hole.cause == "lost"
    assert hole.region.area_km2 == pytest.approx(1_230_150, rel=0.06 * HEIGHT / height)
    assert hole.region.bbox == pytest.approx((10, 0, 20, 10), abs=180 / height)
    assert result.missing_share == pytest.approx(hole.region.area_km2 / EARTH_AREA_KM2, rel=1e-9)


@pytest.mark.parametrize(
    "bounds",
    [(170, -5, -170, 5), (-180, -5, -170, 5), (0, 70, 20, 90), (0, -60, 20, -40)],
    ids=["antimeridian", "left", "top", "south"],
)
def test_holes_at_edges_are_one_hole_each(bounds: tuple[float, float, float, float]) -> None:
    # In June the north pole is lit: a hole may touch the top row.
    result = find(box(HEIGHT, *bounds) | night(JUNE), JUNE)
    assert len(result.holes) == 1
    assert result.labels == (Label.MISSING_UNEXPECTED,)


@pytest.mark.parametrize("day", [JUNE, DECEMBER, EQUINOX])
@pytest.mark.parametrize("zenith", [83.0, 86.0, 88.0])
def test_the_night_is_expected_wherever_imagery_stops(day: date, zenith: float) -> None:
    result, classes = find_both(night(day, zenith=zenith), day)
    assert result.holes == ()
    assert result.labels == (Label.NORMAL,)
    assert set(np.unique(classes)) <= {PixelClass.VALID, PixelClass.NOT_OBSERVED}


def test_black_where_the_sun_shines_is_no_night() -> None:
    result = find(night(JUNE, zenith=70.0), JUNE)
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    assert result.holes[0].region.bbox[0::2] == (-180, 180)


@pytest.mark.parametrize("west", [30, -170, 150])
def test_a_hole_beside_the_night_is_found_up_to_its_edge(west: int) -> None:
    dark, hole = night(JUNE, level=1), box(640, west, -75, west + 25, -50)
    result, classes = find_both(dark | hole, JUNE)
    assert len(result.holes) == 1
    truth, found = (hole > 0) & (dark == 0), classes == PixelClass.MISSING
    assert (truth & found).sum() / (truth | found).sum() > 0.97


def test_a_day_that_is_lost_altogether_is_missing() -> None:
    result = find(np.ones((HEIGHT, 2 * HEIGHT), np.uint8), JUNE)
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    assert result.missing_share > 0.8


@pytest.mark.parametrize("shift", [0.0, 4.5, -9.0])
def test_gaps_between_swaths_are_expected_though_the_orbits_drift(shift: float) -> None:
    zenith = pass_zenith(SATELLITES["MODIS_Terra"], EQUINOX, 1, shift_deg=shift)
    gaps = (~(zenith < 88)).astype(np.uint8)
    result = find(gaps, satellite="MODIS_Terra")
    assert result.holes == ()
    assert result.labels == (Label.MISSING_EXPECTED,)
    assert result.expectation.shift_deg == pytest.approx(shift, abs=0.15)
    hole = box(640, 40, -15, 65, 10)
    both, classes = find_both(gaps | hole, satellite="MODIS_Terra")
    assert both.labels == (Label.MISSING_UNEXPECTED,)
    truth, found = (hole > 0) & (gaps == 0), classes == PixelClass.MISSING
    assert (truth & found).sum() / (truth | found).sum() > 0.93


def test_black_bands_elsewhere_are_no_gaps() -> None:
    comb = np.zeros((640, 1280), np.uint8)
    comb[280:360, 40::160] = 1  # every 45 degrees: no orbit has that spacing
    result = find(cv2.dilate(comb, np.ones((1, 21), np.uint8)), satellite="MODIS_Terra")
    assert Label.MISSING_UNEXPECTED in result.labels


def test_the_no_data_layer_tells_gaps_but_does_not_excuse_granules() -> None:
    gaps, lost = swath_gaps(EQUINOX), box(640, 40, -15, 65, 10)
    # NASA makes the layer of the granules that arrived: it knows the hole, too.
    result = find(gaps | lost, satellite="MODIS_Terra", told=gaps | lost)
    assert result.method == "orbit+no_data_layer"
    assert result.labels == (Label.MISSING_UNEXPECTED,)
    expected = find(gaps, satellite="MODIS_Terra", told=gaps)
    assert (expected.holes, expected.labels) == ((), (Label.MISSING_EXPECTED,))


@pytest.mark.parametrize("level", [0, 2])
def test_the_no_data_layer_may_have_another_size(level: int) -> None:
    assert find(swath_gaps(EQUINOX), satellite="MODIS_Terra", told=swath_gaps(EQUINOX, level)).holes == ()


def test_levels_agree() -> None:
    """One day at three levels: the same holes, of nearly the same size."""
    found = []
    for level in (0, 1, 2):
        day = render_day(TERRA, date(2021, 5, 3), seed=5, level=level, kinds=(Kind.MISSING_GRANULE,))
        values = day.image.max(axis=2)
        found.append(find_missing(values, "MODIS_Terra", date(2021, 5, 3))[0])
    assert {each.labels for each in found} == {(Label.MISSING_UNEXPECTED,)}
    areas = [sum(hole.region.area_km2 for hole in each.holes) for each in found]
    assert areas == pytest.approx([areas[-1]] * 3, rel=0.03)
    assert len({each.expectation.shift_deg for each in found}) == 1


@pytest.mark.parametrize(
    ("side", "value", "found"),
    [(4, 8, 1), (4, 10, 0), (3, 8, 0), (3, 2, 1), (1, 2, 0)],
    ids=["narrow", "dark water", "a lake", "small", "a speck"],
)
def test_dark_water_is_no_hole_but_noise_around_a_narrow_hole_is(side: int, value: int, found: int) -> None:
    values = np.full((640, 1280), 120, np.uint8)
    values[300 : 300 + side, 500 : 500 + side] = value  # 970 km2 each
    assert len(find_missing(values, "VIIRS_SNPP", EQUINOX)[0].holes) == found


def test_a_sliver_beside_the_night_counts_with_its_rim() -> None:
    day, level = JUNE, 2
    zenith = pass_zenith(SATELLITES["VIIRS_SNPP"], day, level)
    dark = night(day, level=level)
    strip = box(1280, 20, -90, 21, 0) > 0
    # Most of it lies where nobody knows whether the sun was high enough.
    sliver = (strip & (zenith > 85.8) & (dark == 0)).astype(np.uint8)
    (hole,) = find(dark | sliver, day).holes
    assert 2500 < hole.region.area_km2 < 2 * 2500 + 25_000


@pytest.mark.parametrize(("degrees", "found"), [(0.35, 0), (0.55, 1)])
def test_holes_of_fifty_kilometres_are_the_smallest(degrees: float, found: int) -> None:
    assert len(find(box(2560, 10, 0, 10 + degrees, degrees)).holes) == found


def test_an_eclipse_is_told_from_lost_data() -> None:
    day = date(2024, 4, 8)  # total over Mexico and the United States
    synthetic = render_day(VIIRS, day, seed=1, level=1, kinds=())
    (eclipse,) = synthetic.anomalies
    result = find_missing(synthetic.image.max(axis=2), "VIIRS_SNPP", day)[0]
    assert result.labels == ((Label.ECLIPSE_MISSING if eclipse.code == 5 else Label.ECLIPSE_MISCOLOURED),)
    assert {hole.cause for hole in result.holes} <= {"eclipse"}
    west, south, east, north = result.eclipse
    assert -140 < west < east < -40
    assert 0 < south < north < 75


def test_a_day_without_an_eclipse_has_no_shadow() -> None:
    assert find(night(JUNE), JUNE).eclipse is None


@pytest.mark.parametrize("shape", [(1, 1), (63, 126), (320, 320), (2, 4)])
def test_images_that_are_not_of_the_world_are_unusable(shape: tuple[int, int]) -> None:
    with pytest.raises(UnusableImageError, match=f"an image of {shape[1]} x {shape[0]} px is unusable"):
        find_missing(np.zeros(shape, np.uint8), "VIIRS_SNPP", EQUINOX)


def test_a_mask_waits_for_its_no_data_layer(tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    write_day(tmp_path, terra, EPSG, DAYS[0], earth(DAYS[0]))
    with pytest.raises(FileNotFoundError, match="run MODIS_Terra_Data_No_Data for 2020-09-25 first, or take it out"):
        label_missing_data(tmp_path, terra, EPSG, DAYS[0], catalogue[NO_DATA])


def test_brightness_of_jpeg_and_png_layers(archive: Path, catalogue: Catalogue) -> None:
    def values(name: str) -> np.ndarray:
        return whole(MosaicBrightness(mosaic_path(archive, EPSG, DAYS[0], catalogue[name]), catalogue[name], EPSG))

    gaps = swath_gaps(DAYS[0])
    # GIBS's no-data layers are transparent where there are data.
    np.testing.assert_array_equal(values(NO_DATA), 255 * gaps)
    assert np.mean((values(TERRA) <= 10) != gaps) < 0.01
    assert values(VIIRS).min() > 40


def test_transparent_pixels_are_no_data(tmp_path: Path, catalogue: Catalogue) -> None:
    image = np.full((320, 640, 4), 9, np.uint8)
    image[10:20, 30:50, 3] = 0
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    path = write_day(tmp_path, layer, EPSG, DAYS[0], image)
    np.testing.assert_array_equal(whole(MosaicBrightness(path, layer, EPSG)), np.where(image[..., 3] == 0, 0, 255))


def test_dark_pixels_of_a_png_layer_are_data(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    path = write_day(tmp_path, layer, EPSG, DAYS[0], np.full((320, 640, 3), 8, np.uint8))
    assert (whole(MosaicBrightness(path, layer, EPSG)) == 255).all()


def test_a_labelled_day_on_disk(tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    gaps, image = swath_gaps(DAYS[0]), earth(DAYS[0])
    lost = box(640, 40, 10, 65, 30)
    write_day(tmp_path, terra, EPSG, DAYS[0], image * (1 - (gaps | lost))[..., None])
    write_day(tmp_path, catalogue[NO_DATA], EPSG, DAYS[0], gaps, NO_DATA_PALETTE)
    files = label_missing_data(tmp_path, terra, EPSG, DAYS[0], catalogue[NO_DATA])
    figures = json.loads(files.report.read_text("utf-8"))
    assert figures["labels"] == [2]
    assert figures["verdict"] == "missing unexpected"
    assert figures["expectation"] == "orbit+no_data_layer"
    assert figures["orbit_shift_deg"] == 0
    assert [hole["cause"] for hole in figures["holes"]] == ["lost"] * len(figures["holes"])
    holes = pq.read_table(files.polygons).to_pylist()
    assert [(row["class"], row["cause"]) for row in holes] == [("missing", "lost")] * len(figures["holes"])
    assert max(row["area_km2"] for row in holes) == figures["holes"][0]["area_km2"]
    classes = read_pixels(files.mask)
    assert classes.shape == (640, 1280)
    inner = np.ones((9, 9), np.uint8)
    assert (classes[cv2.erode(lost & (1 - gaps), inner) > 0] == PixelClass.MISSING).all()
    # JPEG's noise reaches into gaps, but not far.
    assert (classes[cv2.erode(gaps, inner) > 0] == PixelClass.NOT_OBSERVED).mean() > 0.99
    dataset = gdal().Open(str(files.mask))
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert dataset.GetGeoTransform() == (-180, 0.28125, 0, 90, 0, -0.28125)


def test_the_overlay_colours_what_the_mask_marks() -> None:
    image = np.full((100, 200, 3), 50, np.uint8)
    classes = np.zeros((50, 100), np.uint8)
    classes[10:20, 10:20] = PixelClass.MISSING
    picture = overlay(image, classes)
    assert tuple(picture[30, 30]) == (230, 25, 75)
    assert tuple(picture[0, 0]) == (50, 50, 50)


def test_what_cannot_be_labelled_is_named(tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    with pytest.raises(FileNotFoundError, match=f"{VIIRS}.mrf is not there: download the day first"):
        label_missing_data(tmp_path, viirs, EPSG, DAYS[0], None)
    with pytest.raises(ValueError, match="in EPSG:4326, not MODIS_Fires_All"):
        label_missing_data(tmp_path, catalogue["MODIS_Fires_All"], EPSG, DAYS[0], None)


@pytest.mark.parametrize("value", [255, 128, (20, 40, 110)])
def test_a_day_of_one_colour_is_unusable_and_keeps_no_old_files(
    tmp_path: Path, viirs: Layer, value: int | tuple[int, int, int]
) -> None:
    mosaic = write_day(tmp_path, viirs, EPSG, JUNE, painted(JUNE))
    old = label_missing_data(tmp_path, viirs, EPSG, JUNE, None)
    write_day(tmp_path, viirs, EPSG, JUNE, np.full((320, 640, 3), value, np.uint8))
    with pytest.raises(UnusableImageError, match=r"^all of the image is of one colour$"):
        label_missing_data(tmp_path, viirs, EPSG, JUNE, None)
    assert mosaic.exists()
    assert not any(path.exists() for path in (old.mask, old.polygons, old.report))


def test_an_all_black_day_is_missing(tmp_path: Path, viirs: Layer) -> None:
    write_day(tmp_path, viirs, EPSG, JUNE, np.zeros((320, 640, 3), np.uint8))
    assert label_missing_data(tmp_path, viirs, EPSG, JUNE, None).result.labels == (Label.MISSING_UNEXPECTED,)


def test_a_damaged_day_is_an_error(tmp_path: Path, viirs: Layer) -> None:
    cut_off(write_day(tmp_path, viirs, EPSG, JUNE, painted(JUNE)))
    with pytest.raises(MosaicError, match=r"ends before Tile.*: it or its index is damaged; heph verify --mend"):
        label_missing_data(tmp_path, viirs, EPSG, JUNE, None)


def test_a_box_of_the_no_data_layer_is_refused(tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    layer = catalogue[NO_DATA]
    write_day(tmp_path, terra, EPSG, JUNE, painted(JUNE))
    part = Layout(layer.grid(EPSG).window(1, (0, 0, 20, 20)))
    with MosaicWriter(mosaic_path(tmp_path, EPSG, JUNE, layer), part) as writer:
        for tile in part.window.tiles():
            writer.put(tile, encode(np.zeros((512, 512), np.uint8), "png", NO_DATA_PALETTE))
        writer.publish()
    with pytest.raises(UnusableImageError, match=f"the image is 512 x 512 px; {NO_DATA} tells gaps on images of the"):
        label_missing_data(tmp_path, terra, EPSG, JUNE, layer)


def test_gibs_mls_method_gives_what_it_finds(tmp_path: Path, viirs: Layer) -> None:
    image = painted(JUNE, level=3)
    for bounds in ((10, -20, 40, 10), (-100, 60, -60, 90)):  # the second hangs together with the top, and is dropped
        image[box(2560, *bounds) > 0] = 0
    write_day(tmp_path, viirs, EPSG, JUNE, image)
    ours = label_missing_data(tmp_path, viirs, EPSG, JUNE, None).result
    assert len(ours.holes) == 2
    files = label_missing_data(tmp_path, viirs, EPSG, JUNE, None, method="gibs-ml")
    (hole,) = files.result.holes
    # Its kernels shrink a hole by 4 px, less one that a JPEG lifts off black, and grow it by 30.
    assert hole.region.bbox == pytest.approx((10, -20, 40, 10), abs=15 * 360 / 4096)
    assert hole.region.area_km2 > ours.holes[0].region.area_km2 * 0.9
    figures = json.loads(files.report.read_text("utf-8"))
    assert (figures["method"], figures["expectation"], figures["labels"]) == ("gibs-ml", "edges", [2])
    assert figures["orbit_shift_deg"] is None
    mask = read_pixels(files.mask)
    expected = find_gibs_ml_holes(read_nearest(mosaic_path(tmp_path, EPSG, JUNE, viirs), GIBS_ML_SIZE)).mask
    np.testing.assert_array_equal(mask == PixelClass.MISSING, expected > 0)
    assert pq.read_table(files.polygons).num_rows == 1
