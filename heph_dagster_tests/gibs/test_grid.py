"""Levels, pixels, tiles and boxes."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heph_dagster.gibs.grid import GRIDS, RESOLUTIONS, TILE_SIZE, BBox, Resolution, Tile, Window, grid, resolution

WORLD = grid(4326)
epsgs = st.sampled_from(sorted(GRIDS))
levels = st.integers(0, 11)
ROUNDING = 1e-9  # degrees: a tenth of a millimetre


@pytest.mark.parametrize(
    ("level", "matrix"),
    [
        (0, (2, 1)),
        (1, (3, 2)),
        (2, (5, 3)),
        (3, (10, 5)),
        (4, (20, 10)),
        (5, (40, 20)),
        (6, (80, 40)),
        (8, (320, 160)),
    ],
)
def test_geographic_matrices_are_those_of_gibs(level: int, matrix: tuple[int, int]) -> None:
    assert WORLD.matrix(level) == matrix


@pytest.mark.parametrize("epsg", [3413, 3031])
def test_polar_matrices_double_from_two(epsg: int) -> None:
    assert [grid(epsg).matrix(level) for level in range(6)] == [(2 << level, 2 << level) for level in range(6)]
    assert grid(epsg).resolution(5) == 256
    assert grid(epsg).tile_bbox(Tile(0, 0, 0)) == (-4194304, 0, 0, 4194304)


def test_geographic_levels() -> None:
    assert WORLD.resolution(0) == 0.5625
    assert WORLD.span(0) == 288
    assert WORLD.size(2) == (2560, 1280)
    assert WORLD.size(8) == (163840, 81920)
    assert WORLD.tile_bbox(Tile(0, 0, 1)) == (108, -198, 396, 90)


def test_resolution_table_of_gibs_ml() -> None:
    rows = [(row.name, row.level, row.size, row.grid, row.tiles) for row in RESOLUTIONS[4326].values()]
    assert rows[0] == ("16km", 2, (4096, 2048), (8, 4), 32)
    assert rows[6] == ("250m", 8, (262144, 131072), (512, 256), 131072)
    assert rows[-1] == ("31.25m", 11, (2097152, 1048576), (4096, 2048), 8388608)
    assert [row.level for row in RESOLUTIONS[4326].values()] == list(range(2, 12))


@pytest.mark.parametrize("epsg", [3413, 3031])
def test_the_table_goes_on_at_the_poles(epsg: int) -> None:
    rows = [resolution(name, epsg) for name in RESOLUTIONS[4326]]
    assert rows == list(RESOLUTIONS[epsg].values())
    assert [row.level for row in rows] == [0, *range(9)]
    assert rows[0] == Resolution("16km", 0, (512, 512), (1, 1), 1)
    assert rows[1] == Resolution("8km", 0, (1024, 1024), (2, 2), 4)
    assert rows[6] == Resolution("250m", 5, (32768, 32768), (64, 64), 4096)
    assert rows[-1] == Resolution("31.25m", 8, (262144, 262144), (512, 512), 262144)
    # From 8km on an image has the level's own size, and so NASA's pixels unchanged.
    assert [row.size for row in rows[1:]] == [grid(epsg).size(row.level) for row in rows[1:]]


@pytest.mark.parametrize("epsg", sorted(GRIDS))
def test_sizes_are_whole_tiles(epsg: int) -> None:
    for row in RESOLUTIONS[epsg].values():
        assert row.tiles == row.grid[0] * row.grid[1]
        assert row.size == (row.grid[0] * TILE_SIZE, row.grid[1] * TILE_SIZE)


@given(epsgs, levels, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_pixels_and_coordinates_are_inverse(epsg: int, level: int, across: float, down: float) -> None:
    tiles = grid(epsg)
    width, height = tiles.size(level)
    x, y = tiles.pixel_to_xy(level, across * width, down * height)
    assert tiles.xy_to_pixel(level, x, y) == pytest.approx((across * width, down * height), abs=1e-6 * width)


@given(epsgs, st.integers(0, 5), st.data())
def test_a_tile_is_what_its_own_box_needs(epsg: int, level: int, data: st.DataObject) -> None:
    tiles = grid(epsg)
    tile = data.draw(st.sampled_from(list(tiles.window(level).tiles())))
    west, south, east, north = tiles.tile_bbox(tile)
    box = (
        max(west, tiles.extent[0]),
        max(south, tiles.extent[1]),
        min(east, tiles.extent[2]),
        min(north, tiles.extent[3]),
    )
    assert list(tiles.window(level, box).tiles()) == [tile]


@given(levels, st.floats(-180, 179), st.floats(-90, 89), st.floats(1e-3, 20), st.floats(1e-3, 20))
def test_the_tiles_of_a_box_cover_it(level: int, west: float, south: float, width: float, height: float) -> None:
    assume(level < 6)
    east, north = min(west + width, 180), min(south + height, 90)
    boxes = [WORLD.tile_bbox(tile) for tile in WORLD.window(level, (west, south, east, north)).tiles()]
    assert min(box[0] for box in boxes) <= west + ROUNDING
    assert max(box[2] for box in boxes) >= east - ROUNDING
    assert min(box[1] for box in boxes) <= south + ROUNDING
    assert max(box[3] for box in boxes) >= north - ROUNDING
    # None of them is superfluous: each shares more than an edge with the box.
    assert all(box[0] < east and box[2] > west and box[1] < north and box[3] > south for box in boxes)


def test_a_box_across_the_antimeridian_takes_tiles_from_both_ends() -> None:
    window = WORLD.window(3, (170, -10, -170, 10))
    assert list(window.tiles()) == [Tile(3, 2, 9), Tile(3, 2, 0)]
    assert window.bbox == (144, -18, 216, 18)
    assert window.size == (1024, 512)
    # Below level 2 tiles do not end at the antimeridian, and a box around the world is the world.
    assert WORLD.window(1, (170, -10, -170, 10)).cols == 3
    assert WORLD.window(3, (150, -10, -180, 10)) == WORLD.window(3, (150, -10, 180, 10))
    assert WORLD.window(3, (180, -10, -170, 10)) == WORLD.window(3, (-180, -10, -170, 10))
    assert WORLD.window(3, (-10, -10, -11, 10)) == WORLD.window(3, (-180, -10, 180, 10))


@pytest.mark.parametrize(
    ("box", "same"),
    [
        ((350, -10, 10, 10), (-10, -10, 10, 10)),
        ((350, -10, 360, 10), (-10, -10, 0, 10)),
        ((170, -10, 190, 10), (170, -10, -170, 10)),
        ((200, -10, 300, 10), (-160, -10, -60, 10)),
        ((180, -10, 360, 10), (-180, -10, 0, 10)),
        ((0, -10, 360, 10), (-180, -10, 180, 10)),
        ((-20, -10, 200, 10), (-20, -10, -160, 10)),
    ],
)
def test_longitudes_may_count_from_0_to_360(box: BBox, same: BBox) -> None:
    assert WORLD.window(5, box) == WORLD.window(5, same)


@given(epsgs, st.integers(0, 6), st.data())
def test_a_window_is_known_by_its_box_and_size(epsg: int, level: int, data: st.DataObject) -> None:
    tiles = grid(epsg)
    cols, rows = tiles.matrix(level)
    col, row = data.draw(st.integers(0, cols - 1)), data.draw(st.integers(0, rows - 1))
    window = Window(epsg, level, col, row, data.draw(st.integers(1, cols - col)), data.draw(st.integers(1, rows - row)))
    assert tiles.window_of(window.bbox, *window.size) == window
    assert len(list(window.tiles())) == window.cols * window.rows


@given(st.integers(1, 400_000))
def test_the_level_of_a_width_is_the_coarsest_that_is_wide_enough(width: int) -> None:
    level = WORLD.level_for_width(width)
    assert WORLD.size(level)[0] >= width
    assert level == 0 or WORLD.size(level - 1)[0] < width


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(3857), "EPSG:3857 is not one of .*4326, 3413, 3031"),
        (lambda: resolution("3km"), "unknown tile resolution '3km'; choose one of 16km, 8km"),
        (lambda: resolution("3km", 3031), "unknown tile resolution '3km'; choose one of 16km, 8km"),
        (lambda: resolution("8km", 3857), "EPSG:3857 is not one of .*4326, 3413, 3031"),
        (
            lambda: WORLD.tile_bbox(Tile(2, 3, 0)),
            "row 3, column 0 is outside level 2 .* 3 rows and 5 columns",
        ),
        (lambda: WORLD.window(2, (10, 20, 20, 10)), "is empty or lies outside"),
        (lambda: WORLD.window(2, (350, -10, 370, 10)), "leaves the globe: longitudes go from -180 to 180"),
        (lambda: WORLD.window(2, (-190, -10, 10, 10)), "leaves the globe"),
        (lambda: WORLD.window(2, (0, -10, 10, 91)), "leaves the globe"),
        (lambda: WORLD.window(2, (-100, -10, 300, 10)), "goes around the globe more than once"),
        (lambda: WORLD.window(2, (-math.inf, -10, 10, 10)), "a coordinate that is no number"),
        (lambda: grid(3413).window(2, (math.nan, 0, 1, 1)), "a coordinate that is no number"),
        (lambda: WORLD.finest_level("30m"), "no tile matrix set '30m'; it has 16km, 2km"),
        (lambda: WORLD.level_of_size(4096, 2048), "4096 x 2048 px is not the size of any level"),
        (lambda: WORLD.size(-1), "levels count from 0"),
    ],
)
def test_errors_name_the_remedy(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
