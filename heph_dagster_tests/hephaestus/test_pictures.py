"""Pictures of annotations show what was said, where it was said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Activity, Annotation, Intensity
from heph_dagster.hephaestus.crops import Crop, crops_of
from heph_dagster.hephaestus.drawing import CLASS_COLOURS
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.pictures import draw_annotation
from heph_dagster.png import Picture
from heph_dagster_tests.hephaestus.synthetic import annotation, deformation

FLAT, NOT_DEFORMED = (250, 240, 90), (32, 36, 40)
MOGI = deformation(Activity.MOGI, x=150.4, y=130.7)
DYKE = deformation(Activity.DYKE, Intensity.HIGH, x=230, y=200, along=30, across=20)


def draw(
    shown: Annotation, *, width: int = 300, height: int = 260, coherence: int | None = 137, size: int = 96
) -> Image:
    """The picture of an annotation on an interferogram of one colour, with a coherence of one grey."""
    picture = Picture(np.full((height, width, 3), FLAT, np.uint8))
    grey = None if coherence is None else np.full((height, width), coherence, np.uint8)
    return draw_annotation(shown, picture, grey, list(crops_of(shown, picture, grey, seed=0, size=size)))


class Panel(NamedTuple):
    """Rows and columns of an image on a page, without its frame."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, page: Image) -> Image:
        return page[self.top : self.bottom, self.left : self.right]


def is_colour(page: Image, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return (page == colour).all(axis=2)


def panel(page: Image, colour: tuple[int, int, int], *, below: int = 0) -> Panel:
    """The first image of a colour on a page; texts may have some pixels of it."""
    found = is_colour(page[below:], colour)
    top, bottom = first_run(found.sum(axis=1))
    left, right = first_run(found[top:bottom].sum(axis=0))
    return Panel(below + top, below + bottom, left, right)


def first_run(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The first rows (or columns) with many pixels, up to a gap of more than 20."""
    at = np.flatnonzero(counts > counts.max() / 5)
    gaps = np.flatnonzero(np.diff(at) > 20)
    return int(at[0]), int(at[gaps[0] if len(gaps) else -1]) + 1


def interferogram(page: Image) -> Panel:
    return panel(page, FLAT)


def mask(page: Image) -> Panel:
    return panel(page[: interferogram(page).bottom], NOT_DEFORMED)


def classes(page: Image) -> set[Activity]:
    return {kind for kind, colour in CLASS_COLOURS.items() if is_colour(page, colour).any()}


def test_outlines_are_where_their_polygons_are() -> None:
    page = draw(annotation(MOGI, DYKE))
    where = interferogram(page)
    scale = (where.bottom - where.top) / 260
    assert (where.right - where.left) / 300 == pytest.approx(scale, rel=0.01)
    for each in (MOGI, DYKE):
        drawn = is_colour(where.of(page), CLASS_COLOURS[each.activity])
        found = 0
        for x, y in np.rint(each.polygon * scale).astype(int):
            found += bool(drawn[y - 3 : y + 4, x - 3 : x + 4].any())
        assert found == len(each.polygon)
        x, y = np.rint(each.polygon.mean(axis=0) * scale).astype(int)
        assert not drawn[y - 5 : y + 6, x - 5 : x + 6].any()


def test_the_mask_has_the_areas_of_the_deformations() -> None:
    page = draw(annotation(MOGI, DYKE))
    where = mask(page)
    share = [is_colour(where.of(page), CLASS_COLOURS[each.activity]).mean() for each in (MOGI, DYKE)]
    expected = [np.pi * 18 * 13 / (300 * 260), np.pi * 30 * 20 / (300 * 260)]
    assert share == pytest.approx(expected, rel=0.1)


def test_only_classes_that_are_there_have_a_colour() -> None:
    assert classes(draw(annotation(MOGI, DYKE))) == {Activity.MOGI, Activity.DYKE}
    assert classes(draw(annotation(deformation(Activity.SPHEROID)))) == {Activity.SPHEROID}
    assert classes(draw(annotation())) == set()


def test_coherence_is_shown_where_there_is_one() -> None:
    with_it, without = draw(annotation(MOGI)), draw(annotation(MOGI), coherence=None)
    assert with_it.shape == without.shape
    shown, covered = panel(with_it, (137, 137, 137)), mask(with_it)
    sizes = [(each.bottom - each.top, each.right - each.left) for each in (shown, covered)]
    np.testing.assert_allclose(*sizes, atol=2)
    np.testing.assert_allclose(shown.of(with_it), 137, atol=1)
    assert not is_colour(without, (137, 137, 137)).sum() > 100


def test_a_crop_of_224_px_is_shown_pixel_by_pixel_with_its_mask() -> None:
    shown = annotation(MOGI)
    (crop,) = crops_of(shown, Picture(np.zeros((260, 300, 3), np.uint8)), seed=0)
    assert isinstance(crop, Crop)
    page = draw(shown, size=224)
    where = panel(page, NOT_DEFORMED, below=interferogram(page).bottom + 10)
    assert where.right - where.left == pytest.approx(224, abs=4)
    assert is_colour(where.of(page), CLASS_COLOURS[Activity.MOGI]).sum() == np.count_nonzero(crop.mask)


def test_tiles_are_a_grid_on_the_interferogram() -> None:
    page = draw(annotation(), size=100)
    where = interferogram(page)
    scale = (where.right - where.left) / 300
    white = where.of(page)[..., 2] > 180
    lines = np.flatnonzero(white[: round(200 * scale) - 40].mean(axis=0) > 0.8) / scale
    assert {round(line / 100) for line in lines} >= {1, 2}
    assert all(abs(line - 100 * round(line / 100)) < 2 for line in lines)
    assert not white[round(200 * scale) + 10 :].any()  # a third row of tiles has no room


def test_the_same_gives_the_same_and_other_masks_another_picture() -> None:
    page = draw(annotation(MOGI))
    np.testing.assert_array_equal(page, draw(annotation(MOGI)))
    moved = deformation(Activity.MOGI, x=160.4, y=130.7)
    other = draw(annotation(moved))
    assert (mask(page).of(page) != mask(other).of(other)).any()


def test_long_captions_and_more_crops_make_longer_pages() -> None:
    short = len(draw(annotation(MOGI, caption="A Mogi.")))
    assert len(draw(annotation(MOGI, caption="A Mogi. " * 200))) > short + 100
    crowd = [deformation(Activity.SILL, x=40 + 50 * number, y=50, along=9, across=9) for number in range(4)]
    three, four = (len(draw(annotation(*crowd[:number], caption="Sills."))) for number in (3, 4))
    assert four - three > 150


@pytest.mark.parametrize("size", [(90, 70), (1300, 40), (40, 1300)])
def test_images_of_any_shape_are_drawn(size: tuple[int, int]) -> None:
    x, y = size[0] / 2, size[1] / 2
    page = draw(annotation(deformation(Activity.MOGI, x=x, y=y, along=8, across=6)), width=size[0], height=size[1])
    assert page.shape[1] == 1448
    assert classes(page) == {Activity.MOGI}


def test_captions_are_text_as_they_stand() -> None:
    odd = "Costs $5 and $x_1^$ more, as “they” say: \\frac{1}{2}, Popocatépetl."
    assert (draw(annotation(MOGI, caption=odd)) != draw(annotation(MOGI, caption="None"))).any()


def test_labels_lie_on_no_outline_and_in_the_image() -> None:
    crowd = [deformation(Activity.DYKE, x=150, y=100 + 16 * number, along=4, across=4) for number in range(4)]
    page = draw(annotation(*crowd))
    where = interferogram(page)
    scale = (where.right - where.left) / 300
    for each in crowd:
        x, y = np.rint(each.polygon.mean(axis=0) * scale).astype(int)
        centre = where.of(page)[y - 4 : y + 5, x - 4 : x + 5]
        assert not is_colour(centre, CLASS_COLOURS[Activity.DYKE]).any()
    outside = page[where.top : where.bottom, where.right + 6 : where.right + 16]
    assert not is_colour(outside, CLASS_COLOURS[Activity.DYKE]).any()
