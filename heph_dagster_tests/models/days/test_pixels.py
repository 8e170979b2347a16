"""Pixels and classes of days as arrays."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.hand_masks import hand_mask_path, write_hand_mask
from heph_dagster.anomalies.labels import PALETTE
from heph_dagster.anomalies.splits import Split
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.class_raster import write_class_raster
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.gibs.synthetic import render_day
from heph_dagster.models.days.data import Task, load_days, load_masks
from heph_dagster.models.days.pixels import expected_light, has_mask, read_days, read_masks, shrink
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.errors import DataError
from heph_dagster_tests.anomalies.painting import PATCH
from heph_dagster_tests.conftest import EPSG, FIRES, TERRA, VIIRS
from heph_dagster_tests.models.days.conftest import DAYS

SIZE = (128, 64)


def automatic(source: LayerDays, day: date, **classes: np.ndarray) -> None:
    mosaic = mosaic_path(source.root, EPSG, day, source.layer)
    for name, mask in classes.items():
        write_class_raster(mosaic.with_suffix(f".{name}.tif"), mask, PALETTE, like=mosaic)


@pytest.fixture
def masked(source: LayerDays, tmp_path: Path) -> LayerDays:
    """The same days, every third of them with a hand mask of its patch, the others with empty automatic masks."""
    shutil.copytree(source.root / str(EPSG), tmp_path / "days" / str(EPSG))
    source = source._replace(root=tmp_path / "days")
    for number, day in enumerate(DAYS):
        mask = np.zeros((320, 640), np.uint8)
        if number % 3 == 0:
            mask[PATCH] = 2
            write_hand_mask(hand_mask_path(source.root, EPSG, source.layer, day), mask)
        else:
            automatic(source, day, missing_data=mask, miscoloration=mask)
    return source


def test_light_is_that_of_the_overpass(viirs: Layer) -> None:
    light = expected_light(LayerDays(Path(), viirs, EPSG), date(2024, 6, 20), (640, 320)).astype(int)
    assert light[:20].min() > 4 * 32  # the arctic summer
    assert light[-20:].max() < 4 * 32  # the antarctic winter
    assert light[120:130].min() == 255
    scene = render_day(VIIRS, date(2024, 6, 20), seed=0, level=0, kinds=())
    # Where imagery is expected, the sun is 2 degrees high or more.
    dark = light < 4 * (32 + 2)
    assert (dark == ~scene.expected_data).mean() > 0.99


def test_gaps_and_the_shadow_of_the_moon_are_dark(viirs: Layer, catalogue: Catalogue) -> None:
    gaps = expected_light(LayerDays(Path(), catalogue[TERRA], EPSG), date(2024, 6, 20), (640, 320))[160] == 0
    assert 0.05 < gaps.mean() < 0.3
    light, before = (
        expected_light(LayerDays(Path(), viirs, EPSG), day, (640, 320)) for day in (date(2024, 4, 8), date(2024, 4, 7))
    )
    eclipsed = (light == 0) & (before > 200)
    assert 20 < eclipsed.sum() < 2000


def test_a_layer_without_a_satellite_has_no_light(catalogue: Catalogue) -> None:
    layer = catalogue[FIRES].model_copy(update={"satellite": None})
    with pytest.raises(DataError, match=f"the satellite of {FIRES} is not known"):
        expected_light(LayerDays(Path(), layer, EPSG), DAYS[0], SIZE)


def test_pixels_are_shrunk_images_with_their_light(source: LayerDays) -> None:
    pixels = read_days(source, DAYS[:3], SIZE)
    assert pixels.shape == (3, 64, 128, 4)
    for number, day in enumerate(DAYS[:3]):
        np.testing.assert_array_equal(pixels[number, ..., :3], thumbnail(mosaic_path(*place(source, day)), SIZE))
        np.testing.assert_array_equal(pixels[number, ..., 3], expected_light(source, day, SIZE))


def place(source: LayerDays, day: date) -> tuple[Path, int, date, Layer]:
    return source.root, source.epsg, day, source.layer


def test_a_shrunk_pixel_is_of_the_class_of_most_of_it() -> None:
    classes = np.array(
        [
            [0, 0, 1, 0, 2, 0, 2, 1, 255, 1, 2, 2],
            [0, 1, 0, 1, 0, 2, 2, 1, 1, 255, 0, 255],
        ],
        np.uint8,
    )
    assert shrink(classes, (6, 1)).tolist() == [[0, 1, 2, 1, 1, 2]]
    assert shrink(classes[:, :2], (4, 4))[3].tolist() == [0, 0, 1, 1]


def test_hand_masks_win_over_automatic_ones_and_missing_over_miscoloured(masked: LayerDays) -> None:
    first, second, third = DAYS[3:6]
    missing, wrong = np.zeros((2, 320, 640), np.uint8)
    missing[:100], wrong[50:150] = 1, 2
    automatic(masked, first, missing_data=missing, miscoloration=wrong)
    automatic(masked, second, missing_data=missing, miscoloration=wrong)
    masks, by_hand = read_masks(masked, [first, second, third], (640, 320))
    assert by_hand == 1
    assert (masks[0][PATCH] == 2).all()
    assert np.count_nonzero(masks[0]) == np.count_nonzero(masks[0][PATCH])
    assert masks[1, :, 0].tolist() == [1] * 100 + [2] * 50 + [0] * 170
    assert not masks[2].any()


def test_days_with_pixels_are_those_with_features(source: LayerDays) -> None:
    by_features, by_pixels = (load_days(source, Task.MISCOLORATION, size) for size in (None, SIZE))
    for split, part in by_features.parts.items():
        assert by_pixels.parts[split].days == part.days
        np.testing.assert_array_equal(by_pixels.parts[split].truth, part.truth)
        np.testing.assert_array_equal(by_pixels.parts[split].inputs, read_days(source, part.days, SIZE))
    again, larger = (load_days(source, Task.MISCOLORATION, size) for size in (SIZE, (64, 32)))
    assert by_pixels.fingerprint == again.fingerprint
    assert len({by_features.fingerprint, by_pixels.fingerprint, larger.fingerprint}) == 3


def test_pruned_days_have_no_pixels(masked: LayerDays) -> None:
    mosaic_path(*place(masked, DAYS[4])).unlink()
    assert load_days(masked, Task.MISCOLORATION, SIZE).left_out["without_pixels"] == 1
    assert load_masks(masked, SIZE).left_out == {"without_pixels": 1, "without_mask": 0}


def test_masks_come_with_their_pixels_and_parts(masked: LayerDays) -> None:
    data = load_masks(masked, SIZE)
    assert data.sources == {"hand": 10, "automatic": 20}
    days = load_days(masked, Task.MISCOLORATION, SIZE)
    for split, part in data.parts.items():
        assert part.days == days.parts[split].days
        np.testing.assert_array_equal(part.pixels, days.parts[split].inputs)
        np.testing.assert_array_equal(part.masks.any(axis=(1, 2)), days.parts[split].truth)
        assert load_days(masked, Task.MISCOLORATION, SIZE, data.parts).parts[split].inputs is part.pixels
    day = data.parts[Split.TRAIN].days[0]
    write_hand_mask(hand_mask_path(masked.root, EPSG, masked.layer, day), np.ones((4, 8), np.uint8))
    assert load_masks(masked, SIZE).fingerprint != data.fingerprint


def test_days_without_masks_are_left_out(masked: LayerDays) -> None:
    assert has_mask(masked, DAYS[1])
    mosaic_path(*place(masked, DAYS[1])).with_suffix(".miscoloration.tif").unlink()
    assert not has_mask(masked, DAYS[1])
    data = load_masks(masked, SIZE)
    assert data.left_out == {"without_pixels": 0, "without_mask": 1}
    again, read = (load_days(masked, Task.MISCOLORATION, SIZE, known) for known in (data.parts, None))
    assert again.fingerprint == read.fingerprint


def test_without_any_anomaly_there_is_nothing_to_learn(masked: LayerDays) -> None:
    for day in DAYS[::3]:
        write_hand_mask(hand_mask_path(masked.root, EPSG, masked.layer, day), np.zeros((4, 8), np.uint8))
    with pytest.raises(DataError, match=r"nothing is wrong with any day of VIIRS_.* that trains: more days or"):
        load_masks(masked, SIZE)
