"""Hues of pixels, and where they are said to occur."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.hues import (
    CELLS,
    CHROMAS,
    COLOURLESS,
    HUES,
    Hues,
    UnusableImageError,
    find_hues,
    presence,
    read_hues,
)
from heph_dagster.gibs.archive import encode, write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import RasterError
from heph_dagster_tests.conftest import DAYS, EPSG


def test_bins_are_hue_and_chroma() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    hues = find_hues(colours)
    chroma = colours.max(axis=2).astype(int) - colours.min(axis=2)
    np.testing.assert_allclose(hues.chroma, np.where(colours.max(axis=2) > 10, chroma, 0), atol=1)
    for (row, col), number in np.ndenumerate(hues.bins[::20, ::20]):
        red, green, blue = (colours[20 * row, 20 * col] / 255).tolist()
        here = int(hues.chroma[20 * row, 20 * col])
        if here < 32:
            assert number == COLOURLESS
            continue
        step, hue = divmod(int(number), HUES)
        assert step == (here - 32) // 16
        # The nearest hue may lie on the other side of an edge between bins: hues come in steps of 1.4 degrees.
        assert (colorsys.rgb_to_hsv(red, green, blue)[0] * HUES - hue - 0.5 + 9) % 18 - 9 == pytest.approx(0, abs=0.7)


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 128, 128), (20, 10, 30), (200, 190, 180), (0, 0, 0)])
def test_grey_white_and_dark_have_no_hue(colour: tuple[int, int, int]) -> None:
    image = np.full((90, 180, 3), colour, np.uint8)
    image[40:50] = (200, 100, 0)
    image[45:50] = (0, 200, 100)
    hues = find_hues(image)
    assert (hues.bins[:40] == COLOURLESS).all()
    assert (hues.bins[40:50] < COLOURLESS).all()


def test_transparent_pixels_have_no_hue() -> None:
    image = np.full((90, 180, 4), (200, 100, 0, 255), np.uint8)
    image[:20, :, 3] = 0
    image[50:] = (0, 200, 100, 255)
    hues = find_hues(image, 0)
    assert (hues.bins[:20] == COLOURLESS).all()
    assert not hues.chroma[:20].any()


@pytest.mark.parametrize(
    ("shape", "value", "reason"),
    [
        ((180, 360, 3), 0, "100.0% of the image are without data"),
        ((180, 360, 3), 255, r"all of the image is of one colour"),
        ((1, 1, 3), 200, "the image is 1 x 1 px; colours are judged on images of the whole world"),
        ((180, 300, 3), 200, "the image is 300 x 180 px"),
        ((180, 360), 200, "the image has one band"),
    ],
)
def test_what_says_nothing_is_refused_with_a_reason(
    tmp_path: Path, viirs: Layer, shape: tuple[int, ...], value: int, reason: str
) -> None:
    path = tmp_path / "day.png"
    path.write_bytes(encode(np.full(shape, value, np.uint8), "png"))
    with pytest.raises(UnusableImageError, match=f"^{reason}"):
        read_hues(path, viirs)


def test_an_image_of_greys_is_refused() -> None:
    greys = np.random.default_rng(0).integers(0, 256, (90, 180, 1), dtype=np.uint8).repeat(3, axis=2)
    with pytest.raises(UnusableImageError, match=r"^the image has no colours: all of it is black, white or grey$"):
        find_hues(greys)


def test_what_is_no_image_is_an_error(tmp_path: Path, viirs: Layer) -> None:
    (tmp_path / "day.png").write_bytes(b"PNG")
    with pytest.raises(RasterError, match=r"day\.png cannot be read as an image"):
        read_hues(tmp_path / "day.png", viirs)


def test_a_fine_day_is_read_at_16km(tmp_path: Path, viirs: Layer) -> None:
    image = np.zeros((2560, 5120, 3), np.uint8)
    image[:, ::2] = (200, 120, 0)
    image[:, 1::2] = (100, 60, 0)
    image[:100] = (0, 60, 200)
    hues = read_hues(write_day(tmp_path, viirs, EPSG, DAYS[0], image), viirs)
    assert hues.bins.shape == (1280, 2560)
    assert np.mean(hues.bins // HUES == (150 - 32) // 16) > 0.9


def world(*patches: tuple[slice, slice, int]) -> Hues:
    """Hues of a world at 1 degree that has only these patches."""
    bins = np.full((180, 360), COLOURLESS, np.uint8)
    for rows, cols, number in patches:
        bins[rows, cols] = number
    return Hues(bins, np.where(bins < COLOURLESS, np.uint8(200), np.uint8(0)))


def test_a_colour_is_present_beside_where_it_is_and_in_like_colours() -> None:
    step, hue = 3, 5
    here = presence(world((slice(50, 55), slice(100, 105), step * HUES + hue)))
    assert here.shape == (*CELLS, COLOURLESS + 1)
    cells = np.zeros(CELLS, bool)
    cells[9:12, 19:22] = True
    np.testing.assert_array_equal(here[..., COLOURLESS], cells)
    bins = np.zeros((CHROMAS, HUES), bool)
    bins[: step + 2, hue - 1 : hue + 2] = True
    np.testing.assert_array_equal(here[10, 20, :COLOURLESS], bins.ravel())
    np.testing.assert_array_equal(here[..., :COLOURLESS].any(axis=2), cells)


def test_neighbours_go_round_the_globe_and_hues_round_the_circle() -> None:
    here = presence(world((slice(0, 5), slice(0, 5), 0)))
    assert set(zip(*np.nonzero(here[..., COLOURLESS]), strict=True)) == {
        (row, col) for row in (0, 1) for col in (71, 0, 1)
    }
    assert set(np.flatnonzero(here[0, 0, :HUES])) == {17, 0, 1}


def test_a_speck_is_not_present() -> None:
    fine = np.full((1280, 2560), COLOURLESS, np.uint8)
    fine[640, 100] = fine[640, 500] = fine[640, 501] = fine[641, 500] = 7
    here = presence(Hues(fine, fine))[18]
    assert not here[2].any()
    assert here[14, 7]
