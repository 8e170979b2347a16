"""Boxes of pixels of mosaics, at the antimeridian and the poles too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.box import Box, Georeference, PixelWindow, pixel_window
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.raster import RasterError
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic

EARTH = Georeference(-180, 90, 0.5625, 0.5625, geographic=True)
EARTH_SIZE = (640, 320)
ARCTIC = Georeference(-4194304, 4194304, 8192, 8192, geographic=False)
# 150 to 210 degrees east, as a mosaic that crosses the antimeridian.
PACIFIC = Georeference(150, 30, 0.25, 0.25, geographic=True)
PACIFIC_SIZE = (240, 240)


@st.composite
def windows(draw: st.DrawFn, width: int, height: int) -> PixelWindow:
    col, row = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return PixelWindow(col, row, draw(st.integers(1, width - col)), draw(st.integers(1, height - row)))


@given(windows(*EARTH_SIZE))
def test_the_bounds_of_pixels_are_their_box(window: PixelWindow) -> None:
    assert pixel_window(EARTH, EARTH_SIZE, EARTH.bounds(window)) == window


@given(windows(1024, 1024))
def test_also_in_metres(window: PixelWindow) -> None:
    assert pixel_window(ARCTIC, (1024, 1024), ARCTIC.bounds(window)) == window


@given(windows(*PACIFIC_SIZE), st.sampled_from([-360, 0, 360]))
def test_also_where_a_mosaic_crosses_the_antimeridian(window: PixelWindow, turn: int) -> None:
    west, south, east, north = PACIFIC.bounds(window)
    assert pixel_window(PACIFIC, PACIFIC_SIZE, (west + turn, south, east + turn, north)) == window


@given(st.floats(-180, 180), st.floats(-90, 89), st.floats(0.001, 359), st.floats(0.001, 90))
def test_a_box_is_widened_by_at_most_a_pixel(west: float, south: float, width: float, height: float) -> None:
    east = west + width if west + width <= 180 else west + width - 360
    window = pixel_window(EARTH, EARTH_SIZE, (west, south, east, south + height))
    left, bottom, right, top = EARTH.bounds(window)
    # An edge within a hundredth of a pixel of a pixel's edge is that edge.
    slack, pixel = 0.5625 * 0.0101, 0.5625 * 1.0001
    turn = 360 * round((west - left) / 360)
    assert pixel > west - left - turn > -slack
    assert pixel > right + turn - (west + width) > -slack or window.width == EARTH_SIZE[0]
    assert pixel > south - bottom > -slack
    assert pixel > top - min(south + height, 90) > -slack


@pytest.mark.parametrize(
    ("bbox", "window"),
    [
        ((-180, -90, 180, 90), (0, 0, 640, 320)),
        ((0, -100, 360, 100), (320, 0, 640, 320)),
        ((-200, -90, 200, 90), (604, 0, 640, 320)),
        ((0, 0, 0.1, 0.1), (320, 159, 1, 1)),
        ((0.562499, 0, 1.125001, 0.5625), (321, 159, 1, 1)),  # edges written with few decimals
        ((179, 0, -179, 0.5625), (638, 159, 4, 1)),
        ((179, 0, 181, 0.5625), (638, 159, 4, 1)),
        ((-181, 0, -179, 0.5625), (638, 159, 4, 1)),
        ((180, 0, -179, 0.5625), (0, 159, 2, 1)),
        ((1, 0, 0, 0.5625), (321, 159, 639, 1)),
    ],
)
def test_boxes_on_the_whole_world(bbox: tuple[float, float, float, float], window: tuple[int, int, int, int]) -> None:
    assert pixel_window(EARTH, EARTH_SIZE, bbox) == window


@pytest.mark.parametrize(
    ("bbox", "window"),
    [
        ((140, 0, 160, 100), (0, 0, 40, 120)),
        ((200, -100, -100, 0), (200, 120, 40, 120)),
        ((-170, 0, -100, 1), (160, 116, 80, 4)),
        ((-180, -90, 180, 90), (0, 0, 240, 240)),
        ((140, 0, -140, 1), (0, 116, 240, 4)),
    ],
)
def test_boxes_are_clipped(bbox: tuple[float, float, float, float], window: tuple[int, int, int, int]) -> None:
    assert pixel_window(PACIFIC, PACIFIC_SIZE, bbox) == window


def test_a_box_that_meets_both_ends_of_a_part_is_refused() -> None:
    with pytest.raises(RasterError, match="meets the mosaic's western and eastern part: export them one by one"):
        pixel_window(PACIFIC, PACIFIC_SIZE, (-160, 0, 170, 10))


@pytest.mark.parametrize(
    "bbox", [(0, 5, 10, 5), (0, 10, 10, 5), (3, 0, 3, 5), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_empty_boxes_are_named(bbox: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="is empty: give it as west, south, east, north"):
        pixel_window(EARTH, EARTH_SIZE, bbox)


def test_a_polar_box_does_not_turn_around() -> None:
    with pytest.raises(ValueError, match="is empty"):
        pixel_window(ARCTIC, (1024, 1024), (10, 0, -10, 10))


@pytest.mark.parametrize(
    "bbox", [(0, 0, 10, 10), (140, 0, 150, 10), (-150, 0, -140, 10), (160, 30, 170, 40), (160, -40, 170, -30)]
)
def test_boxes_outside_are_named(bbox: tuple[float, float, float, float]) -> None:
    with pytest.raises(RasterError, match=r"lies outside, the mosaic covers \(150.0, -30.0, 210.0, 30.0\)"):
        pixel_window(PACIFIC, PACIFIC_SIZE, bbox)


def test_pixels_of_a_box_are_the_mosaics(tmp_path: Path) -> None:
    pixels = noise()
    box = Box.open(write_mosaic(tmp_path / "a.mrf", pixels), (-90, 0, 45, 60))
    assert box.window == (160, 53, 240, 107)
    np.testing.assert_array_equal(box.read(), pixels[53:160, 160:400])
    np.testing.assert_array_equal(box.read(PixelWindow(10, 20, 30, 40)), pixels[73:113, 170:200])
    assert box.bounds == (-90, 0, 45, 60.1875)
    assert not box.whole


def test_a_box_across_the_antimeridian_is_joined(tmp_path: Path) -> None:
    pixels = noise()
    box = Box.open(write_mosaic(tmp_path / "a.mrf", pixels), (135, -45, -135, 45))
    assert box.window == (560, 80, 160, 160)
    joined = np.hstack([pixels[80:240, 560:], pixels[80:240, :80]])
    np.testing.assert_array_equal(box.read(), joined)
    np.testing.assert_array_equal(box.read(PixelWindow(70, 0, 20, 160)), joined[:, 70:90])
    assert box.of_mosaic(PixelWindow(70, 5, 20, 10)) == (630, 85, 20, 10)
    assert box.of_mosaic(PixelWindow(80, 5, 20, 10)) == (0, 85, 20, 10)
    # A third of the size: the columns 78 to 80 lie on both sides, and the eastern one counts.
    thirds = joined[:159, :159].reshape(53, 3, 53, 3, 3).mean(axis=(1, 3))
    thirds[:, 26] = joined[:159, 80].reshape(53, 3, 3).mean(axis=1)
    part = box.read(PixelWindow(0, 0, 159, 159), (53, 53))
    assert np.abs(part - thirds).max() <= 0.5
    np.testing.assert_array_equal(box.read(size=(320, 320)), joined.repeat(2, axis=0).repeat(2, axis=1))


def test_a_mosaic_across_the_antimeridian_needs_no_joining(tmp_path: Path) -> None:
    window = grid(4326).window(2, (150, -10, -150, 10))
    pixels = noise(window)
    box = Box.open(write_mosaic(tmp_path / "a.mrf", pixels, window), (170, -5, -170, 5))
    left = round((170 - window.bbox[0]) / 0.140625)
    top = round((window.bbox[3] - 5.0625) / 0.140625)
    np.testing.assert_array_equal(box.read(), pixels[top : top + 72, left - 1 : left + 143])


def test_palettes_come_with_a_box(tmp_path: Path) -> None:
    indices = noise(bands=()) % 3
    palette = ((0, 0, 0, 0), (255, 255, 255, 255), (200, 100, 50, 128))
    box = Box.open(write_mosaic(tmp_path / "a.mrf", indices, palette=palette), (170, 0, -170, 20))
    table = box.dataset.GetRasterBand(1).GetColorTable()
    assert [table.GetColorEntry(number) for number in range(3)] == list(palette)
    np.testing.assert_array_equal(box.read(), np.hstack([indices[124:160, 622:], indices[124:160, :18]]))


def test_metres_at_the_pole(tmp_path: Path) -> None:
    window = grid(3413).window(0)
    pixels = noise(window)
    box = Box.open(write_mosaic(tmp_path / "a.mrf", pixels, window), (-819200, 0, 81920, 409600))
    np.testing.assert_array_equal(box.read(), pixels[462:512, 412:522])


def test_the_whole_is_told_from_a_part(tmp_path: Path) -> None:
    assert Box.open(write_mosaic(tmp_path / "a.mrf", noise())).whole
    polar = grid(3031).window(0)
    assert Box.open(write_mosaic(tmp_path / "p.mrf", noise(polar), polar)).whole
    # Twice as wide as high, as the world is.
    window = grid(4326).window(2, (-179, 20, -40, 89))
    assert (window.cols, window.rows) == (2, 1)
    assert not Box.open(write_mosaic(tmp_path / "b.mrf", noise(window), window)).whole


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "a.mrf", noise())
    with pytest.raises(RasterError, match=r"a\.mrf: bounding box .* lies outside"):
        Box.open(path, (0, 90, 10, 100))
    with pytest.raises(RasterError, match=r"b\.mrf cannot be read as an image"):
        Box.open(tmp_path / "b.mrf")
    (data,) = tmp_path.glob("*.ppg")
    data.write_bytes(b"\0" * data.stat().st_size)
    with pytest.raises(RasterError, match=r"a\.mrf cannot be read as an image"):
        Box.open(path, (170, 0, -170, 10)).read()
    unlocated = write_mosaic(tmp_path / "c.mrf", noise())
    text = unlocated.read_text("utf-8")
    unlocated.write_text(text.replace("<Projection>EPSG:4326</Projection>", ""), "utf-8")
    with pytest.raises(RasterError, match=r"c\.mrf does not say where it lies"):
        Box.open(unlocated)
