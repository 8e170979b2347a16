"""Images that can tell something, and those that cannot."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.usable import check_world, observed


@pytest.mark.parametrize(
    ("size", "fits"), [((200, 100), True), ((201, 100), True), ((206, 100), False), ((198, 99), False)]
)
def test_an_image_is_one_of_the_whole_world(size: tuple[int, int], fits: bool) -> None:
    if fits:
        check_world(size, 100, "x is made of")
        return
    message = (
        f"^the image is {size[0]} x {size[1]} px; x is made of images of the whole world, twice as wide as high and at "
        "least 100 px high$"
    )
    with pytest.raises(UnusableImageError, match=message):
        check_world(size, 100, "x is made of")


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
