"""Texture and colour of images: known pictures, and what gibs-ml's own code computed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.features import (
    SIZE,
    feature_vector,
    gibs_ml_hog,
    gibs_ml_hue_histogram,
    hog,
    hue_histogram,
    shrink,
)
from heph_dagster.gibs.raster import Image
from heph_dagster_tests.conftest import REAL_DATA

GOLDEN = REAL_DATA / "golden" / "gibs_ml.npz"


def noise(height: int = 64, width: int = 96) -> Image:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stripes(*, upright: bool) -> Image:
    wave = (127 + 100 * np.sin(np.arange(64) * 0.4)).astype(np.uint8)
    grey = np.broadcast_to(wave if upright else wave[:, None], (64, 64))
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(("upright", "strongest"), [(True, 0), (False, 4.5)])
def test_the_orientation_of_stripes_is_told(upright: bool, strongest: float) -> None:
    cells = hog(stripes(upright=upright)).reshape(-1, 9).sum(axis=0)
    around = {int(np.floor(strongest)), int(np.ceil(strongest))}
    assert set(np.flatnonzero(cells > cells.max() / 100)) == around


def test_opposite_gradients_are_one_orientation() -> None:
    image = noise()
    assert hog(255 - image) == pytest.approx(hog(image), abs=1e-6)


def test_blocks_are_normalised_so_that_contrast_does_not_count() -> None:
    image = noise() // 4
    blocks = hog(image).reshape(-1, 36)
    assert np.linalg.norm(blocks, axis=1) == pytest.approx(np.ones(len(blocks)))
    assert hog(image * 4) == pytest.approx(hog(image), abs=1e-6)


def test_a_picture_without_gradients_has_no_texture_and_no_nan() -> None:
    assert not hog(np.full((32, 32, 3), 80, np.uint8)).any()


def test_a_block_moves_with_its_pixels() -> None:
    image = np.full((32, 48, 3), 90, np.uint8)
    image[4:12, 4:12] = 200
    moved = np.roll(image, 16, axis=1)
    blocks, others = (hog(each).reshape(2, 3, 36) for each in (image, moved))
    assert others[:, 1:] == pytest.approx(blocks[:, :2], abs=1e-9)


def test_hues_fall_where_they_belong_and_grey_has_none() -> None:
    image = np.full((10, 10, 3), 128, np.uint8)
    image[0], image[1, :5], image[1, 5:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    histogram = hue_histogram(image)
    assert {int(place): histogram[place] for place in np.flatnonzero(histogram)} == {0: 0.5, 120: 0.25, 240: 0.25}
    assert not hue_histogram(np.full((4, 4, 3), 77, np.uint8)).any()


def test_a_vector_is_texture_then_colour_of_the_image_at_one_size() -> None:
    image = noise(320, 640)
    vector = feature_vector(image, hue_bins=256)
    assert len(vector) == SIZE[0] * SIZE[1] // 64 * 9 + 256
    assert np.array_equal(vector, feature_vector(shrink(image), hue_bins=256))
    assert np.array_equal(vector[-256:], hue_histogram(shrink(image), 256))


def test_levels_agree() -> None:
    fine = cv2.resize(noise(32, 64), (2048, 1024), interpolation=cv2.INTER_CUBIC)
    vectors = [feature_vector(cv2.resize(fine, (1024 >> k, 512 >> k), interpolation=cv2.INTER_AREA)) for k in (0, 1)]
    finest = feature_vector(fine)
    for vector in vectors:
        assert finest @ vector / np.linalg.norm(finest) / np.linalg.norm(vector) > 0.99


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"{GOLDEN.name} is not here; HEPH_REAL_DATA names its folder")
def test_the_variant_gibs_ml_computes_what_gibs_ml_computes() -> None:
    golden = np.load(GOLDEN)
    image = golden["features_image"]
    assert np.abs(gibs_ml_hog(image) - golden["features_hog"]).max() < 1e-9
    for bins in (10, 256, 360):
        assert np.abs(gibs_ml_hue_histogram(image, bins) - golden[f"features_hue_{bins}"]).max() < 1e-9
    vector = feature_vector(image, "gibs-ml", 10)
    assert np.array_equal(vector, np.concatenate([gibs_ml_hog(image), gibs_ml_hue_histogram(image, 10)]))


def test_gibs_ml_drops_the_gradients_of_one_half() -> None:
    rising = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    # A gradient to the right has 90 degrees there; one to the left has 270 and falls out.
    assert gibs_ml_hog(rising).any()
    assert not gibs_ml_hog(rising[:, ::-1]).reshape(8, 8, 9)[:, :7].any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64), np.uint8), r"RGB images of height x width x 3, not of \(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), r"not of \(64, 64, 4\)"),
    ],
)
def test_only_rgb_has_features(image: Image, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_vector(image)


def test_sizes_that_cells_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="40 x 32 px cannot be cut into blocks of 16 px"):
        hog(np.zeros((32, 40, 3), np.uint8))
    with pytest.raises(ValueError, match="cannot be made of 69 x 64 px: use a multiple of 8"):
        feature_vector(np.zeros((64, 69, 3), np.uint8), "gibs-ml")
