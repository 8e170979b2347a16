"""Pictures of a data set over time."""

from __future__ import annotations

import io
from datetime import date, timedelta

import numpy as np
import pytest
from PIL import Image as Pillow

from heph_dagster.hephaestus.annotation import Activity, Annotation
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.drawing import CLASS_COLOURS, webp
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.inventory import ImageFile, Pair
from heph_dagster.hephaestus.timelines import draw_distribution, draw_frame
from heph_dagster_tests.conftest import REAL_DATA
from heph_dagster_tests.hephaestus.synthetic import annotation, deformation

ETNA, HAWAII, NOWHERE = "124D_05291_081406", "087D_07004_060904", "001A_00001_010101"
ANNOTATED, OTHERS, NOT_ON_DISK = (87, 96, 106), (192, 198, 204), (243, 201, 159)
LARGEST = 60_000
REAL = REAL_DATA / "hephaestus" / "annotations.tar.gz"


def on(day: date, *activities: Activity, frame: str = ETNA, unique_id: int = 1) -> Annotation:
    """An annotation of a day with such deformations."""
    patterns = [deformation(each) for each in activities]
    return annotation(*patterns, frame=frame, unique_id=unique_id, primary=day, secondary=day + timedelta(12))


def pair(day: date, *, annotated: bool, on_disk: bool = True) -> Pair:
    image = ImageFile(path="InSAR.png") if on_disk else None
    return Pair(frame=ETNA, dates="", primary=day, unique_id=1 if annotated else None, interferogram=image)


def columns(picture: Image, colour: tuple[int, int, int]) -> np.ndarray:
    """The pixels of a colour in each column."""
    return (picture == colour).all(axis=2).sum(axis=0)


SILL, DYKE = CLASS_COLOURS[Activity.SILL], CLASS_COLOURS[Activity.DYKE]


def test_a_row_has_the_deformations_of_its_frame_where_their_quarter_is() -> None:
    shown = [
        on(date(2018, 1, 5), Activity.SILL, unique_id=1),
        on(date(2018, 12, 30), Activity.DYKE, Activity.DYKE, Activity.DYKE, Activity.DYKE, frame=HAWAII, unique_id=2),
    ]
    picture = draw_distribution(shown, {})
    hawaii, etna = picture[92:112, 470:790], picture[112:132, 470:790]
    assert columns(hawaii, SILL).sum() == columns(etna, DYKE).sum() == 0
    sill, dyke = columns(etna, SILL), columns(hawaii, DYKE)
    assert np.flatnonzero(sill).max() < 80  # the first quarter of 320 px
    assert np.flatnonzero(dyke).min() >= 240
    assert dyke.max() == pytest.approx(2 * sill.max(), abs=2)  # the root of 4 to that of 1


def test_quarters_with_more_interferograms_are_darker() -> None:
    days = [date(2018, 2, 1)] + [date(2018, 8, 1)] * 3
    row = draw_distribution([on(day, unique_id=number) for number, day in enumerate(days)], {})[96, 470:790].mean(
        axis=1
    )
    assert row[120] == 255 > row[40] > row[200]


def test_volcanoes_are_told_of_unknown_frames_only() -> None:
    for frame, differs in ((ETNA, False), (NOWHERE, True)):
        plain = draw_distribution([on(date(2018, 1, 5), frame=frame)], {})
        named = draw_distribution([on(date(2018, 1, 5), frame=frame)], {frame: ("Somma", "Vulcano")})
        assert (plain != named).any() == differs


def test_the_distribution_does_not_depend_on_the_order() -> None:
    shown = [
        on(date(2018, 1, 5 + n), Activity.SILL, frame=f, unique_id=n) for n, f in enumerate((NOWHERE, ETNA, HAWAII))
    ]
    np.testing.assert_array_equal(draw_distribution(shown, {}), draw_distribution(shown[::-1], {}))


def test_a_frame_shows_its_pairs_by_kind_and_its_deformations_by_class() -> None:
    day = date(2018, 3, 1)
    pairs = [pair(day, annotated=True), pair(day, annotated=False), pair(day, annotated=False)]
    picture = draw_frame([on(day, Activity.SILL, Activity.SILL, Activity.DYKE)], pairs)
    upper, lower = picture[41:179], picture[237:375]
    annotated, others = columns(upper, ANNOTATED).max(), columns(upper, OTHERS).max()
    assert others == pytest.approx(2 * annotated, abs=3)
    assert columns(lower, SILL).max() == pytest.approx(2 * columns(lower, DYKE).max(), abs=3)
    at = np.flatnonzero(columns(lower, SILL)).mean()
    assert 48 + 836 * 2 / 12 < at < 48 + 836 * 3 / 12  # March of the only year
    assert not columns(upper, NOT_ON_DISK).any()


def test_pairs_without_an_interferogram_are_a_kind_of_their_own() -> None:
    picture = draw_frame([], [pair(date(2018, 3, 1), annotated=True, on_disk=False)])
    assert columns(picture[41:179], NOT_ON_DISK).any()
    assert not columns(picture[41:179], ANNOTATED).any()


def test_pairs_of_unknown_days_are_told() -> None:
    odd = Pair(frame=ETNA, dates="notes")
    assert (draw_frame([], [odd]) != draw_frame([], [])).any()


def test_nothing_is_drawn_as_nothing() -> None:
    assert draw_distribution([], {}).shape == (152, 900, 3)
    assert draw_frame([], []).shape == (400, 900, 3)


def test_webp_keeps_every_pixel_and_is_the_same_again() -> None:
    picture = draw_frame([on(date(2018, 3, 1), Activity.SILL)], [])
    content = webp(picture)
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(content))), picture)
    assert content == webp(picture)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_the_real_data_set_makes_small_pictures() -> None:
    real = read_annotations(REAL).annotations
    picture = draw_distribution(real, {})
    assert picture.shape == (892, 900, 3)
    assert len(webp(picture)) < LARGEST
    assert len(webp(draw_frame([each for each in real if each.frame == HAWAII], []))) < LARGEST
