"""Frozen days: days that repeat earlier ones are told from those that only share black tiles."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.frozen import DayTiles, Frozen, check_frozen, find_data, find_frozen, read_tiles, tile_areas
from heph_dagster.anomalies.sphere import EARTH_AREA_KM2
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.conftest import DAYS, EPSG, NO_DATA, earth
from heph_dagster_tests.gibs.downloading import fetch

FIRST = date(2024, 4, 1)


def later(days: int) -> date:
    return FIRST + timedelta(days=days)


def write(root: Path, layer: Layer, *images: Image) -> list[date]:
    days = [later(number) for number in range(len(images))]
    for day, image in zip(days, images, strict=True):
        write_day(root, layer, EPSG, day, image)
    return days


def check(root: Path, layer: Layer, *images: Image, **options: int) -> list[Frozen]:
    return check_frozen(root, layer, EPSG, write(root, layer, *images), **options)


def test_a_day_that_repeats_an_earlier_one_is_frozen(tmp_path: Path, viirs: Layer) -> None:
    first, second, third = check(tmp_path, viirs, earth(later(0)), earth(later(1)), earth(later(0)))
    assert (first.flagged, first.message) == (False, "2024-04-01: no earlier day on disk to compare with")
    assert (second.flagged, second.repeats, second.share) == (False, None, 0)
    assert second.message == "2024-04-02 repeats none of 1 earlier days"
    assert (third.flagged, third.repeats, third.share) == (True, later(0), pytest.approx(1))
    assert third.message == "2024-04-03 is frozen: 100% of its data equals 2024-04-01, byte by byte"
    report = json.loads(mosaic_path(tmp_path, EPSG, later(2), viirs).with_suffix(".frozen.json").read_text("utf-8"))
    assert report == {"layer": viirs.identifier, **third.as_json()}
    assert (report["repeats"], report["compared"]) == ("2024-04-01", ["2024-04-01", "2024-04-02"])


def test_the_latest_of_several_equal_days_is_named(tmp_path: Path, viirs: Layer) -> None:
    assert check(tmp_path, viirs, *[earth(later(0))] * 3)[2].repeats == later(1)


def test_the_share_is_that_of_the_ground(tmp_path: Path, viirs: Layer) -> None:
    # At level 1 a tile is 144 degrees wide and high: of the three upper ones the last spans the other 72 degrees.
    mixed = earth(later(1))
    mixed[:512, 1024:] = earth(later(0))[:512, 1024:]
    result = check(tmp_path, viirs, earth(later(0)), mixed)[1]
    assert result.share == pytest.approx(0.2 * (1 + np.sin(np.radians(54))) / 2, rel=1e-6)
    assert (result.flagged, result.repeats) == (False, later(0))
    mixed[:512, 512:] = earth(later(0))[:512, 512:]
    mosaic_path(tmp_path, EPSG, later(1), viirs).unlink()
    assert check(tmp_path, viirs, earth(later(0)), mixed)[1].flagged


@pytest.mark.parametrize("value", [0, 255])
def test_tiles_of_one_colour_do_not_count(tmp_path: Path, viirs: Layer, value: int) -> None:
    images = [earth(later(number)) for number in range(2)]
    for image in images:
        image[:512, :1024] = value
    result = check(tmp_path, viirs, *images)[1]
    assert (result.flagged, result.repeats, result.share) == (False, None, 0)
    assert find_data(mosaic_path(tmp_path, EPSG, later(1), viirs), EPSG).tolist() == [False, False, True] + [True] * 3


def test_a_day_without_any_data_repeats_nothing(tmp_path: Path, viirs: Layer) -> None:
    black = np.zeros((640, 1280, 3), np.uint8)
    assert [(each.flagged, each.share) for each in check(tmp_path, viirs, black, black)] == [(False, 0)] * 2


def test_transparent_tiles_do_not_count(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue["MODIS_Terra_Chlorophyll_A"]
    clear = np.zeros((640, 1280, 4), np.uint8)
    clear[:, ::2, 0] = 9  # colours that nobody sees
    other = clear.copy()
    other[100:110, 100:110, 3] = 255
    assert check(tmp_path, layer, clear, clear)[1].share == 0
    assert check(tmp_path, layer, other, other)[1].share == 1


def tiles(day: date, digests: str, level: int = 0) -> DayTiles:
    return DayTiles(day, grid(EPSG).window(level), np.array(list(digests), "S64"))


def test_masks_repeat_with_the_orbits(catalogue: Catalogue, viirs: Layer) -> None:
    data = np.ones(2, bool)
    before = [tiles(later(0), "ab"), tiles(later(2), "ac")]
    mask = find_frozen(tiles(later(16), "ab"), data, before, catalogue[NO_DATA])
    assert (mask.flagged, mask.not_comparable) == (False, {later(0): "the orbits repeat"})
    # Four fifths of it may repeat: a large part of a mask is of two colours.
    assert mask.share == pytest.approx(0.8)
    image = find_frozen(tiles(later(16), "ab"), data, before, viirs)
    assert (image.flagged, image.repeats, image.share) == (True, later(0), 1)


def test_absent_tiles_are_no_data(viirs: Layer) -> None:
    day = tiles(later(1), "xb")
    day.digests[0] = ""
    earlier = tiles(later(0), "xc")
    earlier.digests[0] = ""
    assert find_frozen(day, np.array([False, True]), [earlier], viirs).share == 0


def test_another_level_or_box_is_not_comparable(tmp_path: Path, viirs: Layer, gibs_url: str) -> None:
    fetch(gibs_url, viirs, tmp_path, DAYS[0], level=0)
    fetch(gibs_url, viirs, tmp_path, DAYS[1], bbox=(0, 0, 10, 10))
    fetch(gibs_url, viirs, tmp_path, DAYS[2])
    result = check_frozen(tmp_path, viirs, EPSG, [DAYS[2]])[0]
    assert result.not_comparable == {DAYS[0]: "level 0 instead of 1", DAYS[1]: "another box"}
    assert result.compared == ()


def test_a_downloaded_day_is_compared_with_an_imported_one(tmp_path: Path, viirs: Layer, gibs_url: str) -> None:
    fetch(gibs_url, viirs, tmp_path, DAYS[1])
    write_day(tmp_path, viirs, EPSG, DAYS[0], earth(DAYS[1]))
    downloaded, imported = (read_tiles(mosaic_path(tmp_path, EPSG, day, viirs), EPSG, day) for day in DAYS[1::-1])
    np.testing.assert_array_equal(downloaded.digests, imported.digests)
    assert check_frozen(tmp_path, viirs, EPSG, [DAYS[1]])[0].repeats == DAYS[0]


def test_only_the_days_looked_back_are_compared(tmp_path: Path, viirs: Layer) -> None:
    images = [earth(later(0)), earth(later(1)), earth(later(0))]
    assert not check(tmp_path, viirs, *images, look_back=1)[2].flagged
    assert check(tmp_path, viirs, *images, look_back=2)[2].flagged


def test_a_damaged_earlier_day_is_named(tmp_path: Path, viirs: Layer) -> None:
    write(tmp_path, viirs, earth(later(0)), earth(later(1)))
    path = mosaic_path(tmp_path, EPSG, later(0), viirs)
    path.write_text("nonsense", "utf-8")
    result = check_frozen(tmp_path, viirs, EPSG, [later(1)])[0]
    assert f"{path} is not an MRF" in result.not_comparable[later(0)]
    assert result.compared == ()


@pytest.mark.parametrize("damage", ["mosaic", "data"])
def test_a_day_that_cannot_be_read_does_not_keep_the_others(tmp_path: Path, viirs: Layer, damage: str) -> None:
    days = write(tmp_path, viirs, *(earth(later(number)) for number in (0, 1, 0)))
    path = mosaic_path(tmp_path, EPSG, days[1], viirs)
    if damage == "mosaic":
        path.write_text("nonsense", "utf-8")
    else:
        next(path.parent.glob("*.pjg")).unlink()
    results = check_frozen(tmp_path, viirs, EPSG, [*days, later(3)])
    assert [each.flagged for each in results] == [False, False, True, False]
    assert [each.unreadable is None for each in results] == [True, False, True, False]
    assert results[1].message.startswith(f"{days[1]} cannot be compared: ")
    assert str(path.with_suffix("")) in results[1].message
    assert list(results[2].not_comparable) == [days[1]]
    report = json.loads(path.with_suffix(".frozen.json").read_text("utf-8"))
    assert (report["flagged"], report["unreadable"]) == (False, results[1].unreadable)
    assert not mosaic_path(tmp_path, EPSG, later(3), viirs).parent.exists()


def test_palette_tiles_are_told_apart_by_their_colours(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue[NO_DATA]
    mask = np.zeros((640, 1280), np.uint8)
    mask[300:340, 600:640] = 1
    write_day(tmp_path, layer, EPSG, FIRST, mask, NO_DATA_PALETTE)
    assert find_data(mosaic_path(tmp_path, EPSG, FIRST, layer), EPSG).tolist() == [False, True] + [False] * 4


def test_tiles_cover_the_ground() -> None:
    assert tile_areas(grid(EPSG).window(2)).sum() == pytest.approx(EARTH_AREA_KM2)
    for epsg in (3413, 3031):
        areas = tile_areas(grid(epsg).window(4)).reshape(32, 32)
        np.testing.assert_allclose(areas, areas[::-1, ::-1])
        # True to scale at 70 and 71 degrees; at the pole a metre of the map is more.
        assert areas[15, 15] == pytest.approx((512 * 0.512) ** 2 * (2 / (1 + np.sin(np.radians(70.5)))) ** 2, rel=0.01)
        assert areas.max() == areas[15, 15]
