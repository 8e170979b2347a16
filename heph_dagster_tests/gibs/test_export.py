"""Images and tiles as gibs-ml writes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.export import export_image, export_tiles, write_image
from heph_dagster.gibs.grid import Resolution, grid
from heph_dagster.gibs.mrf import Layout, MosaicWriter
from heph_dagster.gibs.raster import RasterError, gdal, read_palette, read_pixels
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, NO_DATA, VIIRS, earth, fires
from heph_dagster_tests.gibs.test_mrf import tile_bytes

DAY = DAYS[0]
SMALL = Resolution("64km", 0, (1024, 512), (2, 1), 2)


@pytest.fixture
def mosaic(tmp_path: Path, catalogue: Catalogue) -> Path:
    return write_day(tmp_path, catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"], EPSG, DAY, earth(DAY, 0))


def test_an_image_of_the_tables_size_lies_where_it_should(mosaic: Path) -> None:
    image = export_image(mosaic, "png", (1024, 512))
    assert image == mosaic.with_suffix(".png")
    dataset = gdal().Open(str(image))
    assert (dataset.RasterXSize, dataset.RasterYSize) == (1024, 512)
    assert dataset.GetGeoTransform() == (-180, 360 / 1024, 0, 90, 0, -180 / 512)
    expected = cv2.resize(read_pixels(mosaic), (1024, 512), interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(read_pixels(image), expected)
    assert sorted(path.suffix for path in mosaic.parent.iterdir()) == [".idx", ".mrf", ".pgw", ".png", ".ppg"]


def test_its_own_size_keeps_every_pixel(mosaic: Path) -> None:
    np.testing.assert_array_equal(read_pixels(export_image(mosaic, "png")), read_pixels(mosaic))
    tif = export_image(mosaic, "tif")
    np.testing.assert_array_equal(read_pixels(tif), read_pixels(mosaic))
    dataset = gdal().Open(str(tif))
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert dataset.GetGeoTransform() == (-180, 0.5625, 0, 90, 0, -0.5625)


def test_jpeg_days_are_jpeg_images(archive: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    path = write_day(tmp_path, catalogue[VIIRS], EPSG, DAY, earth(DAY))
    image = export_image(path, "jpg", (1024, 512))
    assert image.read_bytes().startswith(b"\xff\xd8")
    assert image.with_suffix(".jgw").read_text("ascii").splitlines()[0] == repr(360 / 1024)


def test_palettes_become_colours(archive: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    indices = read_pixels(mosaic_path(archive, EPSG, DAY, catalogue[NO_DATA]))
    path = write_day(tmp_path, catalogue[NO_DATA], EPSG, DAY, indices, NO_DATA_PALETTE)
    colours = np.array(read_palette(path), np.uint8)[indices]
    np.testing.assert_array_equal(read_pixels(export_image(path, "png")), colours)


def test_tiles_cover_the_globe_once(mosaic: Path) -> None:
    folder = export_tiles(mosaic, "png", SMALL)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{mosaic.stem}_Tile_{col}-0.png" for col in range(2)]
    world = np.hstack([read_pixels(folder / name) for name in names])
    np.testing.assert_array_equal(world, read_pixels(export_image(mosaic, "png", (1024, 512))))


def test_a_part_of_a_raster_lies_where_it_should(mosaic: Path, tmp_path: Path) -> None:
    write_image(gdal().Open(str(mosaic)), tmp_path / "part.png", "png", (320, 80, 160, 80), (320, 160))
    assert gdal().Open(str(tmp_path / "part.png")).GetGeoTransform() == (0, 0.28125, 0, 45, 0, -0.28125)
    expected = read_pixels(mosaic)[80:160, 320:480].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(read_pixels(tmp_path / "part.png"), expected)


def test_transparency_is_not_dropped(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write_day(tmp_path, catalogue[FIRES], EPSG, DAY, fires(DAY))
    np.testing.assert_array_equal(read_pixels(export_image(path, "png")), fires(DAY))
    with pytest.raises(RasterError, match="has transparency, which a jpg cannot hold: choose png or tif"):
        export_image(path, "jpg")


def test_what_cannot_be_exported_is_named(mosaic: Path, tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="a jpg of 70000 x 35000 px cannot be: export tiles, or a tif"):
        export_image(mosaic, "jpg", (70_000, 35_000))
    window = grid(EPSG).window(1, (0, 0, 10, 10))
    with MosaicWriter(tmp_path / "part.mrf", Layout(window)) as writer:
        writer.put(next(window.tiles()), tile_bytes(1))
        writer.publish()
    with pytest.raises(RasterError, match=r"part.mrf is not of the whole world"):
        export_tiles(tmp_path / "part.mrf", "png", SMALL)
