"""Edge warping: borders that are bent or shown twice are found where they are, and nothing else is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.warping import Warping, find_warping
from heph_dagster.gibs.raster import Image

STEP = 180 / 640


@pytest.fixture(scope="module")
def world() -> Image:
    """Cloud-like noise of all sizes at level 1, in grey."""
    rng = np.random.default_rng(8)
    sizes = [(20 << octave, 10 << octave) for octave in range(7)]
    layers = [rng.normal(0, 30 / 1.4**octave, size[::-1]) for octave, size in enumerate(sizes)]
    noise = np.sum([cv2.resize(layer, (1280, 640), interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    return np.repeat(np.clip(120 + noise, 30, 240).astype(np.uint8)[..., None], 3, axis=2)


def cols(west: float, east: float) -> slice:
    return slice(round((west + 180) / STEP), round((east + 180) / STEP))


def rows(south: float, north: float) -> slice:
    return slice(round((90 - north) / STEP), round((90 - south) / STEP))


def stretched(world: Image, west: float, east: float, south: float, north: float, factor: int) -> Image:
    """The world with the left part of a box drawn out over all of it."""
    image = world.copy()
    box = image[rows(south, north), cols(west, east)]
    part = box[:, : box.shape[1] // factor]
    box[:] = cv2.resize(part, box.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return image


def repeated(world: Image, west: float, width: float, south: float, north: float) -> Image:
    """The world with a strip that is shown once more beside it, to the east."""
    image = world.copy()
    image[rows(south, north), cols(west + width, west + 2 * width)] = world[
        rows(south, north), cols(west, west + width)
    ]
    return image


def only(warping: Warping):
    (edge,) = warping.edges
    assert warping.labels == (Label.EDGE_WARPED,)
    assert warping.score == edge.score >= 1
    return edge


def test_a_whole_day_is_normal(world: Image) -> None:
    result = find_warping(world)
    assert (result.edges, result.labels) == ((), (Label.NORMAL,))
    assert 0 < result.score < 1


@pytest.mark.parametrize(("west", "east", "at_edge"), [(170, 180, True), (-180, -170, True), (20, 30, False)])
def test_a_bent_border_is_found(world: Image, west: float, east: float, at_edge: bool) -> None:
    edge = only(find_warping(stretched(world, west, east, -10, 15, 4)))
    assert (edge.form, edge.at_antimeridian) == ("stretched", at_edge)
    assert edge.region.longitude == pytest.approx((west + east) / 2, abs=2.5)
    assert edge.region.latitude == pytest.approx(2.5, abs=2.5)
    assert edge.region.bbox[1::2] == pytest.approx((-10, 15), abs=5)


@pytest.mark.parametrize(("west", "at_edge"), [(171, True), (-180, True), (20, False)])
def test_a_strip_that_is_shown_twice_is_found_with_its_copy(world: Image, west: float, at_edge: bool) -> None:
    edge = only(find_warping(repeated(world, west, 4.5, 20, 40)))
    assert (edge.form, edge.at_antimeridian) == ("repeated", at_edge)
    assert edge.region.bbox == pytest.approx((west, 20, west + 9, 40), abs=4)


def test_a_finer_image_gives_the_same_place(world: Image) -> None:
    image = stretched(world, 170, 180, -10, 15, 4)
    fine = cv2.resize(image, (2560, 1280), interpolation=cv2.INTER_NEAREST)
    assert only(find_warping(fine)) == only(find_warping(image))


def test_holes_and_saturated_patches_are_not_warped(world: Image) -> None:
    image = world.copy()
    image[rows(-10, 15), cols(168, 180)] = 0
    image[rows(-10, 15), cols(20, 45)] = (250, 0, 250)
    image[rows(30, 50), cols(20, 45)] = (0, 240, 0)
    assert find_warping(image).edges == ()


def test_an_image_without_any_texture_is_not_warped() -> None:
    assert find_warping(np.full((640, 1280, 3), 120, np.uint8)).score == 0
    assert find_warping(np.zeros((640, 1280, 3), np.uint8)).score == 0


def test_a_coarse_image_is_not_searched_for_copies(world: Image) -> None:
    coarse = cv2.resize(repeated(world, 20, 4.5, 20, 40), (320, 160), interpolation=cv2.INTER_AREA)
    assert "repeated" not in {edge.form for edge in find_warping(coarse).edges}


@pytest.mark.parametrize("shape", [(640, 1280), (640, 1280, 4), (640, 640, 3)])
def test_only_images_of_the_world_in_colours_are_taken(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="looked for in RGB images of the whole world, not of shape"):
        find_warping(np.zeros(shape, np.uint8))
