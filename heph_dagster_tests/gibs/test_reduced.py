"""Mosaics at a smaller size: the average of their pixels, however they are read."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import Window, grid
from heph_dagster.gibs.raster import Image, RasterError, read_pixels
from heph_dagster.gibs.reduced import read_reduced
from heph_dagster_tests.conftest import EPSG
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic

WORLD = grid(EPSG).window(3)
PART = Window(EPSG, 3, 8, 1, 4, 2)  # across the antimeridian


def scene(window: Window) -> Image:
    """Noise over smooth colours, with a black tile and a sharp edge; elsewhere neither black nor white."""
    width, height = window.size
    smooth = cv2.resize(64 + noise(seed=1)[:8, :16] // 2, (width, height), interpolation=cv2.INTER_LINEAR)
    image = cv2.addWeighted(smooth, 0.8, noise(window, seed=2), 0.2, 0)
    image[:512, 512:1024] = 0
    image[-200:, :300] = (200, 60, 200)
    return image


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mosaic(tmp_path_factory.mktemp("world") / "world.mrf", scene(WORLD), WORLD, tile_format="jpg")


# Sizes that end where tiles do, that do not, and that share no divisor with the rows of tiles.
@pytest.mark.parametrize("size", [(640, 320), (320, 160), (384, 192), (101, 51)])
def test_a_jpeg_mosaic_is_averaged(world: Path, size: tuple[int, int]) -> None:
    expected = cv2.resize(read_pixels(world).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    result = read_reduced(world, size)
    assert (result.shape, result.dtype) == ((size[1], size[0], 3), np.uint8)
    # A JPEG has fewer pixels of colour; at full size they are spread over edges of blocks.
    assert np.abs(result - expected).max() < 5
    assert np.abs(result - expected).mean() < 0.6


def test_strips_leave_no_seams(world: Path) -> None:
    whole = cv2.resize(read_reduced(world, (640, 320)), (320, 160), interpolation=cv2.INTER_AREA)
    assert np.array_equal(read_reduced(world, (320, 160)), whole)


def test_where_there_is_no_tile_it_is_black(world: Path) -> None:
    assert not read_reduced(world, (640, 320))[:64, 64:128].any()
    assert read_reduced(world, (640, 320))[:64, 128:].all(axis=2).mean() > 0.9


def test_a_part_of_the_world_is_averaged(tmp_path: Path) -> None:
    mosaic = write_mosaic(tmp_path / "part.mrf", scene(PART), PART, tile_format="jpg")
    expected = cv2.resize(read_pixels(mosaic).astype(np.float32), (128, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(read_reduced(mosaic, (128, 64)) - expected).max() < 5


def test_other_mosaics_are_read_as_ever(world: Path, tmp_path: Path, viirs: Layer) -> None:
    png = write_mosaic(tmp_path / "png.mrf", scene(WORLD), WORLD)
    coarse = grid(EPSG).window(1)  # its tiles reach beyond the pole
    jpeg = write_mosaic(tmp_path / "coarse.mrf", noise(coarse), coarse, tile_format="jpg")
    pyramid = write_day(tmp_path, viirs, EPSG, date(2024, 4, 8), scene(WORLD))
    for path, size in ((png, (640, 320)), (jpeg, (160, 80)), (pyramid, (640, 320)), (world, (1280, 640))):
        assert np.array_equal(read_reduced(path, size), read_pixels(path, size))


def test_a_damaged_tile_is_an_error(tmp_path: Path) -> None:
    mosaic = write_mosaic(tmp_path / "bad.mrf", scene(WORLD), WORLD, tile_format="jpg")
    (data,) = tmp_path.glob("*.pjg")
    content = bytearray(data.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    data.write_bytes(content)
    with pytest.raises(
        RasterError, match=rf"{re.escape(str(mosaic))} cannot be read as an image: Tile\(level=3, row=2"
    ):
        read_reduced(mosaic, (640, 320))
    data.write_bytes(content[:middle])
    with pytest.raises(RasterError, match=r"bad\.mrf cannot be read as an image: .*\.pjg ends before Tile\(level=3"):
        read_reduced(mosaic, (640, 320))
