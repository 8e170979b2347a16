"""Where tiles of any size and overlap lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.tiling import Tiling, pad

SHIFT, INCLUDE, DISCARD = "complete-tiles-shift", "include-incomplete-tiles", "discard-incomplete-tiles"
OVERLAPS = st.sampled_from([0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.9])


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, float]:
    """An image's edge, a tile's that fits, and an overlap that leaves a step of a pixel."""
    tile = draw(st.integers(10, 64))
    return draw(st.integers(tile, 300)), tile, draw(OVERLAPS)


def spans(size: int, tile: int, overlap: float, boundary: str) -> list[tuple[int, int]]:
    """First pixel and length of the tiles along an axis, which are the same along the other."""
    tiling = Tiling(tile, tile, overlap, boundary)
    across, down = tiling.windows(size, tile), tiling.windows(tile, size)
    assert [(row, col, height, width) for col, row, width, height in down] == across
    return [(col, width) for col, _, width, _ in across]


@given(cuts())
def test_shifted_tiles_are_whole_and_cover_the_image(cut: tuple[int, int, float]) -> None:
    size, tile, overlap = cut
    step = math.floor(tile * (1 - overlap) + 1e-9)
    tiles = spans(*cut, SHIFT)
    assert all(width == tile and 0 <= col <= size - tile for col, width in tiles)
    assert len(tiles) == 1 + math.ceil((size - tile) / step)
    assert [col for col, _ in tiles] == [min(number * step, size - tile) for number in range(len(tiles))]
    assert {pixel for col, width in tiles for pixel in range(col, col + width)} == set(range(size))


@given(cuts())
def test_included_tiles_cover_the_image_and_the_last_may_lack_pixels(cut: tuple[int, int, float]) -> None:
    size, tile, overlap = cut
    step = math.floor(tile * (1 - overlap) + 1e-9)
    tiles = spans(*cut, INCLUDE)
    assert [col for col, _ in tiles] == [number * step for number in range(1 + math.ceil((size - tile) / step))]
    assert [width for _, width in tiles[:-1]] == [tile] * (len(tiles) - 1)
    col, width = tiles[-1]
    assert col + width == size
    assert 0 < width <= tile
    assert {pixel for col, width in tiles for pixel in range(col, col + width)} == set(range(size))


@given(cuts())
def test_of_discarded_tiles_the_whole_ones_are_left(cut: tuple[int, int, float]) -> None:
    size, tile, overlap = cut
    step = math.floor(tile * (1 - overlap) + 1e-9)
    tiles = spans(*cut, DISCARD)
    assert tiles == [(number * step, tile) for number in range(1 + (size - tile) // step)]
    assert size - tile - step < tiles[-1][0] <= size - tile


@pytest.mark.parametrize("boundary", [SHIFT, INCLUDE, DISCARD])
@given(cuts())
def test_neighbours_share_at_least_the_overlap(boundary: str, cut: tuple[int, int, float]) -> None:
    tiles = spans(*cut, boundary)
    shared = [tiles[n][0] + cut[1] - tiles[n + 1][0] for n in range(len(tiles) - 1)]
    assert all(pixels >= cut[1] * cut[2] - 1e-6 for pixels in shared)
    assert len({col for col, _ in tiles}) == len(tiles)


@pytest.mark.parametrize(
    ("boundary", "cols"),
    [(SHIFT, [(0, 512), (256, 512), (488, 512)]), (INCLUDE, [(0, 512), (256, 512), (512, 488)]),
     (DISCARD, [(0, 512), (256, 512)])],
)  # fmt: skip
def test_a_thousand_pixels_with_the_defaults(boundary: str, cols: list[tuple[int, int]]) -> None:
    windows = Tiling(boundary=boundary).windows(1000, 600)
    rows = {SHIFT: [(0, 512), (88, 512)], INCLUDE: [(0, 512), (256, 344)], DISCARD: [(0, 512)]}[boundary]
    assert windows == [(col, row, width, height) for row, height in rows for col, width in cols]


@pytest.mark.parametrize("boundary", [SHIFT, INCLUDE, DISCARD])
def test_tiles_that_fit_need_no_handling(boundary: str) -> None:
    assert spans(1024, 512, 0.5, boundary) == [(0, 512), (256, 512), (512, 512)]
    assert spans(512, 512, 0.5, boundary) == [(0, 512)]


def test_steps_are_not_lost_to_rounding() -> None:
    assert spans(12, 10, 0.9, SHIFT) == [(0, 10), (1, 10), (2, 10)]


def test_an_image_smaller_than_a_tile() -> None:
    with pytest.raises(ValueError, match="no tile of 512 x 512 px lies inside an image of 1000 x 300 px"):
        Tiling().windows(1000, 300)
    assert Tiling(boundary=INCLUDE).windows(1000, 300) == [(0, 0, 512, 300), (256, 0, 512, 300), (512, 0, 488, 300)]
    assert Tiling(boundary=INCLUDE).windows(100, 300) == [(0, 0, 100, 300)]
    assert Tiling(boundary=DISCARD).windows(1000, 300) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 512, 0.5), "a tile of 0 x 512 px has no pixels"),
        ((512, 512, 1), "the overlap 1 is not a share of a tile: give it from 0 to below 1"),
        ((512, 512, -0.1), "the overlap -0.1 is not"),
        ((512, 512, float("nan")), "the overlap nan is not"),
        ((512, 8, 0.9), "tiles of 512 x 8 px with overlap 0.9 stay where they are"),
    ],
)
def test_tilings_that_cannot_be_are_named(arguments: tuple[int, int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tiling(*arguments)


def test_padding_is_black_or_transparent() -> None:
    pixels = np.full((2, 3, 4), 200, np.uint8)
    padded = pad(pixels, 5, 4)
    assert padded.shape == (4, 5, 4)
    assert (padded[:2, :3] == 200).all()
    assert padded.sum() == pixels.sum()
    assert pad(pixels[..., 0], 3, 2).tolist() == [[200] * 3] * 2
