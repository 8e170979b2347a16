"""Maps drawn from tiles."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.grid import GRIDS, BBox, Tile, grid
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.server.maps import draw, opaque, over, sample
from heph_dagster.gibs.tiles import TileError

LEVELS = range(3)
edges = st.floats(-1.2, 1.2)


def stored(tile: Tile) -> bytes:
    """A tile whose pixels tell which they are."""
    row, col = np.mgrid[:512, :512]
    number = tile.level * 64 + tile.row * 8 + tile.col
    return encode(
        np.dstack([row % 256, col % 256, np.full_like(row, number), np.full_like(row, 255)]).astype(np.uint8), "png"
    )


TILES = {tile: stored(tile) for level in LEVELS for tile in grid(4326).window(level).tiles()}
DECODED = {
    tile: cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), -1), cv2.COLOR_BGRA2RGBA)
    for tile, data in TILES.items()
}


def drawn(bbox: BBox, size: tuple[int, int]) -> tuple[int, Image]:
    pixels = sample(grid(4326), LEVELS, bbox, size)
    return pixels.level, draw(pixels, {tile: TILES[tile] for tile in pixels.tiles})


@pytest.mark.parametrize("epsg", sorted(GRIDS))
@pytest.mark.parametrize("level", LEVELS)
def test_a_box_of_a_tile_is_its_pixels(epsg: int, level: int) -> None:
    for tile in grid(epsg).window(level).tiles():
        pixels = sample(grid(epsg), LEVELS, grid(epsg).tile_bbox(tile), (512, 512))
        assert pixels.tiles == [tile]
        width, height = grid(epsg).size(level)
        inside = (min(512, height - 512 * tile.row), min(512, width - 512 * tile.col))
        data = TILES.get(tile) or stored(tile)
        whole = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), -1), cv2.COLOR_BGRA2RGBA)
        picture = draw(pixels, {tile: data})
        np.testing.assert_array_equal(picture[: inside[0], : inside[1]], whole[: inside[0], : inside[1]])
        assert not picture[inside[0] :].any()
        assert not picture[:, inside[1] :].any()


@given(edges, edges, st.floats(1e-3, 1), st.floats(1e-3, 1), st.integers(1, 9), st.integers(1, 9))
def test_each_pixel_is_the_one_under_its_centre(
    west: float, south: float, across: float, down: float, width: int, height: int
) -> None:
    bbox = (west * 180, south * 90, (west + across) * 180, (south + down) * 90)
    level, picture = drawn(bbox, (width, height))
    step_x, step_y = (bbox[2] - bbox[0]) / width, (bbox[3] - bbox[1]) / height
    fine = [number for number in LEVELS if 0.5625 / 2**number <= min(step_x, step_y) * (1 + 1e-9)]
    assert level == min(fine, default=2)
    for row in range(height):
        for col in range(width):
            x, y = bbox[0] + (col + 0.5) * step_x, bbox[3] - (row + 0.5) * step_y
            place_x, place_y = (x + 180) / (0.5625 / 2**level), (90 - y) / (0.5625 / 2**level)
            if min(abs(place_x - round(place_x)), abs(place_y - round(place_y))) < 1e-6:
                continue  # on an edge between pixels either is right
            expected = np.zeros(4, np.uint8)
            if abs(x) < 180 and abs(y) < 90:
                tile = Tile(level, math.floor(place_y) // 512, math.floor(place_x) // 512)
                expected = DECODED[tile][math.floor(place_y) % 512, math.floor(place_x) % 512]
            np.testing.assert_array_equal(picture[row, col], expected)


@pytest.mark.parametrize(("width", "level"), [(1, 0), (640, 0), (641, 1), (1280, 1), (1281, 2), (2560, 2), (4000, 2)])
def test_the_level_is_the_coarsest_that_is_fine_enough(width: int, level: int) -> None:
    assert sample(grid(4326), LEVELS, (-180, -90, 180, 90), (width, 1)).level == level
    assert sample(grid(4326), range(2, 3), (-180, -90, 180, 90), (width, 1)).level == 2


@pytest.mark.parametrize("bbox", [(500.0, -90.0, 600.0, 90.0), (-180.0, 1e300, 180.0, 1.5e300)])
def test_beyond_the_world_is_nothing(bbox: BBox) -> None:
    pixels = sample(grid(4326), LEVELS, bbox, (7, 5))
    assert pixels.tiles == []
    assert draw(pixels, {}).shape == (5, 7, 4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((512, 512), 77, np.uint8), (77, 77, 77, 255)),
        (np.full((512, 512, 3), (1, 2, 3), np.uint8), (1, 2, 3, 255)),
        (np.full((512, 512, 4), (1, 2, 3, 4), np.uint8), (1, 2, 3, 4)),
    ],
    ids=["grey", "RGB", "RGBA"],
)
def test_all_kinds_of_tiles_are_drawn(image: Image, expected: tuple[int, ...]) -> None:
    pixels = sample(grid(3413), range(1), (0, 0, 100, 100), (2, 1))
    assert draw(pixels, {Tile(0, 0, 1): encode(image, "png")}).tolist() == [[list(expected)] * 2]


def test_palettes_are_drawn_in_their_colours() -> None:
    indices = np.zeros((512, 512), np.uint8)
    indices[:, 256:] = 1
    data = encode(indices, "png", ((9, 8, 7, 0), (202, 170, 86, 255)))
    pixels = sample(grid(3413), range(1), grid(3413).tile_bbox(Tile(0, 0, 0)), (2, 1))
    picture = draw(pixels, {Tile(0, 0, 0): data})
    assert picture[0, 0, 3] == 0
    assert picture[0, 1].tolist() == [202, 170, 86, 255]


def test_a_damaged_tile_is_named() -> None:
    pixels = sample(grid(4326), LEVELS, (0, 0, 1, 1), (1, 1))
    with pytest.raises(TileError, match=r"Tile\(level=0, row=0, col=0\) cannot be decoded"):
        draw(pixels, {Tile(0, 0, 0): b"\xff\xd8 no picture"})


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        ((10, 20, 30, 255), (1, 2, 3, 255), (10, 20, 30, 255)),
        ((10, 20, 30, 0), (1, 2, 3, 255), (1, 2, 3, 255)),
        ((10, 20, 30, 0), (1, 2, 3, 0), (0, 0, 0, 0)),
        ((200, 100, 0, 51), (100, 200, 50, 255), (120, 180, 40, 255)),
        ((200, 100, 0, 51), (9, 9, 9, 0), (200, 100, 0, 51)),
        ((200, 0, 0, 51), (0, 200, 0, 51), (111, 89, 0, 92)),
    ],
)
def test_layers_are_painted_over_one_another(
    upper: tuple[int, ...], lower: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    pixel: Callable[[tuple[int, ...]], Image] = lambda values: np.array([[values]], np.uint8)  # noqa: E731
    assert over(pixel(upper), pixel(lower)).tolist() == [[list(expected)]]


def test_what_is_transparent_is_black_in_a_picture_without_transparency() -> None:
    picture = np.array([[(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 51)]], np.uint8)
    assert opaque(picture).tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
