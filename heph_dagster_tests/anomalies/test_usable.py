"""Images that can tell something, and those that cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.feature_table import update_features
from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.miscolour import label_miscolouring
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.anomalies.usable import check_world, observed
from heph_dagster.anomalies.warped_days import label_warping
from heph_dagster.gibs.archive import encode, mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster_tests.conftest import DAYS, EPSG


@pytest.mark.parametrize(
    ("size", "fits"), [((200, 100), True), ((201, 100), True), ((206, 100), False), ((198, 99), False)]
)
def test_an_image_is_one_of_the_whole_world(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    path = tmp_path / "day.png"
    path.write_bytes(encode(np.zeros(size[::-1], np.uint8), "png"))
    if fits:
        check_world(path, 100, "x is made of")
        return
    message = (
        f"^the image is {size[0]} x {size[1]} px; x is made of images of the whole world, twice as wide as high and at "
        "least 100 px high$"
    )
    with pytest.raises(UnusableImageError, match=message):
        check_world(path, 100, "x is made of")


def test_a_box_twice_as_wide_as_high_is_not_the_whole_world(tmp_path: Path, viirs: Layer) -> None:
    day = DAYS[0]
    box = Layout(viirs.grid(EPSG).window(2, (-180, -54, 108, 90)))
    assert box.window.size == (2048, 1024)
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    with MosaicWriter(mosaic_path(tmp_path, EPSG, day, viirs), box) as writer:
        for tile in box.window.tiles():
            writer.put(tile, encode(noise, "jpg"))
        writer.publish()
    reason = "the image is a box, -180 to 108 E and -54 to 90 N; {} images of the whole world"
    with pytest.raises(UnusableImageError) as error:
        label_missing_data(tmp_path, viirs, EPSG, day, None)
    assert str(error.value) == reason.format("missing data are told on")
    colours, warping = (label(tmp_path, viirs, EPSG, day) for label in (label_miscolouring, label_warping))
    assert (colours.result.verdict, colours.result.reason) == ("unusable", reason.format("colours are judged on"))
    assert (warping.verdict, warping.reason) == ("unusable", reason.format("edge warping is looked for on"))
    assert str(update_features(tmp_path, viirs, EPSG).failed[day]) == reason.format("features are made of")


def test_data_are_where_it_is_not_black_and_not_transparent() -> None:
    image = np.full((10, 20, 4), 255, np.uint8)
    image[:5] = (10, 200, 30, 255)
    image[0, :, :3] = (10, 3, 10)
    image[1, :, 3] = 0
    expected = np.ones((10, 20), np.uint8)
    expected[1] = 0
    np.testing.assert_array_equal(observed(image, 9), expected)
    expected[0] = 0
    np.testing.assert_array_equal(observed(image, 10), expected)
    assert observed(image[..., :3], 10)[1].all()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (20, 40, 110)])
def test_one_colour_tells_nothing_were_it_noisy(colour: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (100, 200, 3))
    image = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    image[0, 0] = 255 - np.array(colour)
    reason = "100.0% of the image are without data" if colour == (0, 0, 0) else "all of the image is of one colour"
    with pytest.raises(UnusableImageError, match=f"^{reason}"):
        observed(image, 10)


def test_a_hundredth_of_the_image_is_enough() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[0, :199, 0] = 255
    with pytest.raises(UnusableImageError, match=r"^99\.0% of the image are without data$"):
        observed(image, 10)
    image[0, :, 0], image[0, ::2, 1] = 255, 200
    assert observed(image, 10).sum() == 200
