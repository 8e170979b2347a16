"""Edge warping: borders that are bent or shown twice are found where they are, and nothing else is."""

from __future__ import annotations

from datetime import date

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.labels import Label, PixelClass, UnusableImageError
from heph_dagster.anomalies.warping import Warping, find_warping
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.synthetic import Kind, render_day
from heph_dagster_tests.conftest import TERRA, VIIRS

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
    image = cv2.resize(stretched(world, 170, 180, -10, 15, 4), (2560, 1280), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(image, (5120, 2560), interpolation=cv2.INTER_NEAREST)
    assert only(find_warping(fine)) == only(find_warping(image))


def test_holes_and_saturated_patches_are_not_warped(world: Image) -> None:
    image = world.copy()
    image[rows(-10, 15), cols(168, 180)] = 0
    image[rows(-10, 15), cols(20, 45)] = (250, 0, 250)
    image[rows(30, 50), cols(20, 45)] = (0, 240, 0)
    assert find_warping(image).edges == ()


def test_clouds_that_are_drawn_out_along_a_whole_latitude_are_not_warped(world: Image) -> None:
    image = world.copy()
    belt = image[rows(25, 55)]
    belt[:] = cv2.resize(belt[:, : belt.shape[1] // 2], belt.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    for west in range(-170, 180, 24):
        image[:, cols(west, west + 8)] = 0
    assert find_warping(image).edges == ()


def test_clouds_that_are_drawn_out_here_and_there_along_a_latitude_are_not_warped(world: Image) -> None:
    image = world
    for west in range(-170, 160, 24):
        image = stretched(image, west, west + 12, -10, 15, 3)
    assert "stretched" not in {edge.form for edge in find_warping(image).edges}
    assert only(find_warping(stretched(world, 22, 34, -10, 15, 3))).form == "stretched"


def test_a_pattern_that_goes_on_at_all_distances_is_not_a_copy(world: Image) -> None:
    image = world.copy()
    image[rows(20, 40), cols(20, 60)] = world[rows(20, 40), cols(20, 21)].mean(axis=1, keepdims=True)
    assert "repeated" not in {edge.form for edge in find_warping(image).edges}


def test_the_mask_covers_what_is_warped(world: Image) -> None:
    result = find_warping(stretched(world, 20, 30, -10, 15, 4))
    west, south, east, north = only(result).region.bbox
    step = 180 / len(result.classes)
    assert result.classes.shape == (320, 640)
    assert set(np.unique(result.classes)) == {PixelClass.VALID, PixelClass.WARPED}
    found_rows, found_cols = np.nonzero(result.classes)
    assert (found_cols.min() * step - 180, (found_cols.max() + 1) * step - 180) == (west, east)
    assert (90 - (found_rows.max() + 1) * step, 90 - found_rows.min() * step) == (south, north)


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("kind", "form", "at_edge"),
    [
        (Kind.EDGE_WARP, "stretched", True),
        (Kind.EDGE_COPY, "repeated", True),
        (Kind.SWATH_WARP, "stretched", False),
        (Kind.SWATH_COPY, "repeated", False),
    ],
)
def test_a_synthetic_warp_of_each_kind_is_found_where_it_is(kind: Kind, form: str, at_edge: bool, level: int) -> None:
    scene = render_day(TERRA, date(2020, 9, 27), seed=9, level=level, kinds=[kind])
    (truth,) = scene.anomalies
    edge = only(find_warping(scene.image))
    assert (edge.form, edge.at_antimeridian) == (form, at_edge)
    west, south, east, north = truth.bbox
    # What is bent little at the rim is not seen; a copy is found with what it is a copy of.
    assert west - 7 < edge.region.longitude < east + 7
    assert south - 2 < edge.region.latitude < north + 2


@pytest.mark.parametrize("layer", [TERRA, VIIRS])
def test_a_synthetic_day_with_holes_and_wrong_colours_is_not_warped(layer: str) -> None:
    kinds = [Kind.MISSING_GRANULE, Kind.MISSING_AT_ANTIMERIDIAN, Kind.MAGENTA, Kind.YELLOW]
    scene = render_day(layer, date(2024, 4, 8), seed=3, level=1, kinds=kinds)
    assert "eclipse" in {anomaly.kind for anomaly in scene.anomalies}
    assert find_warping(scene.image).labels == (Label.NORMAL,)


@pytest.mark.parametrize(("grey", "share"), [(0, "100.0%"), (120, "100.0%"), (255, "100.0%")])
def test_an_image_without_any_texture_cannot_be_judged(grey: int, share: str) -> None:
    with pytest.raises(UnusableImageError, match=f"{share} of the image are without data or without any texture"):
        find_warping(np.full((640, 1280, 3), grey, np.uint8))


def test_a_coarse_image_cannot_be_judged(world: Image) -> None:
    with pytest.raises(UnusableImageError, match=r"an image of 1278 x 639 px is too coarse: .* from 1280 x 640 px on"):
        find_warping(world[:639, :1278])


@pytest.mark.parametrize("shape", [(640, 1280), (640, 1280, 4), (640, 640, 3)])
def test_only_images_of_the_world_in_colours_are_taken(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnusableImageError, match="looked for in RGB images of the whole world, not of shape"):
        find_warping(np.zeros(shape, np.uint8))
