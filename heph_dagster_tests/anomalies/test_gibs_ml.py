"""gibs-ml's search for missing data: what its own code found, and what it overlooks."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.gibs_ml import find_holes, lacking_pixels
from heph_dagster_tests.conftest import REAL_DATA

GOLDEN = REAL_DATA / "golden" / "gibs_ml.npz"


def world() -> np.ndarray:
    return np.full((256, 512, 3), 90, np.uint8)


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"{GOLDEN.name} is not here; HEPH_REAL_DATA names its folder")
def test_results_are_those_of_gibs_ml() -> None:
    golden = np.load(GOLDEN)
    assert len(golden["viirs_images"]) == 24
    for image, row, mask in zip(
        golden["viirs_images"], golden["viirs_result"], golden["viirs_floodfilled"], strict=True
    ):
        holes = find_holes(image)
        assert (holes.count, holes.missing) == (row[0], bool(row[3]))
        assert (holes.share_before, holes.share_after) == pytest.approx(tuple(row[1:3]), abs=1e-12)
        np.testing.assert_array_equal(holes.mask, mask)


def test_holes_are_counted_and_grown() -> None:
    image = world()
    image[100:120, 100:120] = image[100:120, 300:330] = 0
    holes = find_holes(image)
    assert (holes.count, holes.missing) == (2, True)
    assert holes.share_before == (20 * 20 + 20 * 30) / image[..., 0].size
    # 4 x 4 eats three pixels, 30 x 30 adds twenty-nine.
    assert np.count_nonzero(holes.mask) == 46 * 46 + 46 * 56


def test_what_touches_the_top_or_bottom_is_dropped() -> None:
    image = world()
    image[:40, 50:90] = image[-30:, 200:260] = 0
    holes = find_holes(image)
    assert (holes.count, holes.missing, holes.mask.any()) == (0, False, False)


def test_a_day_that_is_black_by_a_sixth_is_missing_without_a_hole() -> None:
    image = world()
    image[:43] = 0
    assert find_holes(image).share_before > 0.165
    assert find_holes(image).missing
    image[42] = 90
    assert not find_holes(image).missing


def test_pixels_that_the_no_data_layer_knows_better() -> None:
    image, exists = world(), np.ones((256, 512), np.uint8)
    image[:10, :10] = 0
    exists[:5] = 0
    assert lacking_pixels(image, exists) == 50
    with pytest.raises(ValueError, match="do not match"):
        lacking_pixels(image, exists[1:])


def test_only_rgb_is_searched() -> None:
    with pytest.raises(ValueError, match=r"not \(256, 512\)"):
        find_holes(world()[..., 0])
