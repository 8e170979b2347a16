"""Images beside mosaics: written where they lack or are out of date, and refused before where no format holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.grid import RESOLUTIONS, Resolution
from heph_dagster.gibs.images import DayImages
from heph_dagster.gibs.raster import RasterError, raster_size, read_pixels
from heph_dagster_tests.conftest import NO_DATA
from heph_dagster_tests.gibs.mosaics import WORLD, noise, write_mosaic

SMALL = Resolution("", 0, (1024, 512), (2, 1), 2)
SMALLER = Resolution("", 0, (512, 512), (1, 1), 1)


@pytest.fixture
def mosaic(tmp_path: Path) -> Path:
    return write_mosaic(tmp_path / "a.mrf", noise())


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in {".png", ".pgw", ".jpg"}}


def test_what_is_up_to_date_is_left_alone(mosaic: Path, viirs: Layer) -> None:
    images = DayImages(layer=viirs, window=WORLD, kind="png", tiling=SMALL)
    images.write(mosaic)
    before = times(mosaic.parent)
    assert sorted(before) == ["a.pgw", "a.png", "a_Tile_0-0.png", "a_Tile_1-0.png"]
    images.write(mosaic)
    assert times(mosaic.parent) == before


def test_a_newer_mosaic_has_its_images_written_again(mosaic: Path, viirs: Layer) -> None:
    images = DayImages(layer=viirs, window=WORLD, kind="png", tiling=SMALL)
    images.write(mosaic)
    for name in times(mosaic.parent):
        (path,) = mosaic.parent.rglob(name)
        os.utime(path, ns=(0, 0))
    write_mosaic(mosaic, noise(seed=1))
    images.write(mosaic)
    np.testing.assert_array_equal(read_pixels(mosaic.with_suffix(".png")), noise(seed=1))
    tile = read_pixels(mosaic.parent / "tiles" / "a_Tile_0-0.png")
    assert set(map(tuple, tile.reshape(-1, 3))) <= set(map(tuple, noise(seed=1).reshape(-1, 3)))
    assert min(times(mosaic.parent).values()) > 0


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: os.utime(path, ns=(0, 0))])
@pytest.mark.parametrize("name", ["a.png", "a.pgw"])
def test_an_image_or_a_world_file_that_lacks_or_is_old_is_written(
    mosaic: Path, viirs: Layer, name: str, damage
) -> None:
    images = DayImages(layer=viirs, window=WORLD, kind="png")
    images.write(mosaic)
    before = mosaic.with_suffix(".pgw").read_text("ascii")
    damage(mosaic.with_name(name))
    images.write(mosaic)
    assert times(mosaic.parent)[name] > 0
    assert mosaic.with_suffix(".pgw").read_text("ascii") == before
    np.testing.assert_array_equal(read_pixels(mosaic.with_suffix(".png")), noise())


def test_an_image_of_another_size_or_that_is_none_is_written(mosaic: Path, viirs: Layer) -> None:
    image = mosaic.with_suffix(".png")
    for size in ((1024, 512), None, (2048, 1024)):
        DayImages(layer=viirs, window=WORLD, kind="png", size=size).write(mosaic)
        assert raster_size(image) == (size or (640, 320))
    image.write_bytes(b"nothing")
    os.utime(mosaic.with_suffix(".pgw"))
    DayImages(layer=viirs, window=WORLD, kind="png").write(mosaic)
    assert raster_size(image) == (640, 320)


def test_tiles_of_another_grid_go(mosaic: Path, viirs: Layer) -> None:
    folder = mosaic.parent / "tiles"
    for tiling, count in ((SMALL, 2), (SMALLER, 1), (SMALL, 2)):
        DayImages(layer=viirs, window=WORLD, kind="png", tiling=tiling).write(mosaic)
        assert len(list(folder.iterdir())) == count
    (folder / "a_Tile_1-0.png").unlink()
    DayImages(layer=viirs, window=WORLD, kind="png", tiling=SMALL).write(mosaic)
    assert len(list(folder.iterdir())) == 2


def test_tiles_have_the_images_format(mosaic: Path, viirs: Layer) -> None:
    for kind, tile_kind in (("png", "png"), ("jpg", "jpg"), ("tif", "jpg"), ("mrf", "jpg")):
        assert DayImages(layer=viirs, window=WORLD, kind=kind, tiling=SMALL).tile_kind == tile_kind
    DayImages(layer=viirs, window=WORLD, kind="mrf", tiling=SMALL).write(mosaic)
    assert sorted(path.name for path in mosaic.parent.rglob("*.jpg")) == ["a_Tile_0-0.jpg", "a_Tile_1-0.jpg"]


@pytest.mark.parametrize("name", ["1km", "500m", "250m"])
def test_a_jpeg_cannot_hold_the_finest_worlds(viirs: Layer, name: str) -> None:
    fine = RESOLUTIONS[4326][name]
    with pytest.raises(RasterError, match=rf"a jpg of {fine.size[0]} x .* cannot be: choose another format"):
        DayImages(layer=viirs, window=WORLD, kind="jpg", size=fine.size).check()
    DayImages(layer=viirs, window=WORLD, kind="tif", size=fine.size).check()
    DayImages(layer=viirs, window=WORLD, kind="mrf", tiling=fine).check()
    with pytest.raises(RasterError, match="a jpg of 81920 x 40960 px cannot be"):
        DayImages(layer=viirs, window=viirs.grid(4326).window(7), kind="jpg").check()


def test_a_jpeg_cannot_hold_transparency(catalogue: Catalogue) -> None:
    with pytest.raises(RasterError, match=f"{NO_DATA} has transparency, which a jpg cannot hold"):
        DayImages(layer=catalogue[NO_DATA], window=WORLD, kind="jpg").check()
    DayImages(layer=catalogue[NO_DATA], window=WORLD, kind="png", tiling=SMALL).check()
