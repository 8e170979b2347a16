"""Images that become days of an archive."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.archive import encode, import_image, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster.gibs.raster import JPEG_BLACK, RasterError, black, gdal, read_pixels
from heph_dagster_tests.conftest import VIIRS, earth

DAY = date(2020, 9, 25)


@pytest.fixture(scope="session")
def png_layer(catalogue: Catalogue) -> Layer:
    return catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]


def gdal_array(image: np.ndarray, epsg: int | None = None, transform: tuple[float, ...] | None = None):
    """An RGB image as a GDAL dataset in memory, with a place on Earth if one is given."""
    from osgeo import osr

    height, width = image.shape[:2]
    dataset = gdal().GetDriverByName("MEM").Create("", width, height, 3)
    for band in range(3):
        dataset.GetRasterBand(band + 1).WriteArray(image[..., band])
    if transform is not None:
        dataset.SetGeoTransform(transform)
    if epsg is not None:
        system = osr.SpatialReference()
        system.ImportFromEPSG(epsg)
        dataset.SetSpatialRef(system)
    return dataset


def test_a_png_day_keeps_every_pixel_and_has_all_levels(tmp_path: Path, png_layer: Layer) -> None:
    image = earth(DAY)
    path = write_day(tmp_path, png_layer, 4326, DAY, image)
    assert path == tmp_path / "4326" / "2020-09-25" / f"{png_layer.identifier}.mrf"
    np.testing.assert_array_equal(read_pixels(path), image)
    with Mosaic(path, 4326) as mosaic:
        assert mosaic.levels == range(2)
        assert all(mosaic.tile(tile) for level in range(2) for tile in png_layer.grid(4326).window(level).tiles())
        assert mosaic.tile(Tile(-1, 0, 0)) is not None
    dataset = gdal().Open(str(path))
    assert [dataset.GetRasterBand(1).GetOverview(depth).XSize for depth in range(2)] == [640, 320]


def test_coarser_levels_average_data_and_keep_the_edges_of_no_data_hard(tmp_path: Path, png_layer: Layer) -> None:
    image = np.full((640, 1280, 3), 200, np.uint8)
    image[::2, ::2] = 100
    image[100:301, 401:800] = 0
    path = write_day(tmp_path, png_layer, 4326, DAY, image)
    with Mosaic(path, 4326) as mosaic:
        (tmp_path / "coarse.png").write_bytes(mosaic.tile(Tile(0, 0, 0)) or b"")
    coarse = read_pixels(tmp_path / "coarse.png")[:320]
    np.testing.assert_array_equal(black(coarse), black(image[::2, ::2])[:, :512])
    assert set(np.unique(coarse)) <= {0, 100, 150, 175, 167, 133, 200}
    assert coarse[10, 10, 0] == 175


def test_an_image_of_another_size_is_resampled_with_hard_edges(tmp_path: Path, viirs: Layer) -> None:
    image = np.full((500, 1000, 3), 180, np.uint8)
    image[200:300, 300:500] = 0
    source = tmp_path / "day.png"
    source.write_bytes(encode(image, "png"))
    path = import_image(tmp_path, viirs, 4326, DAY, source)
    pixels = read_pixels(path)
    assert pixels.shape == (640, 1280, 3)
    hole = black(pixels, JPEG_BLACK)
    expected = np.zeros_like(hole)
    expected[256:384, 384:640] = 1
    assert np.mean(hole != expected) < 1e-3
    # No dark fringe: next to the hole the image is as bright as elsewhere.
    assert pixels[250, 400:600].min() > 160


@pytest.mark.parametrize("size", [(1280, 640), (1000, 500)])
def test_the_noise_of_jpeg_black_becomes_no_data_at_every_level(
    tmp_path: Path, viirs: Layer, size: tuple[int, int]
) -> None:
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    image[:, 301:] = 0
    image[100:200, 301:] = 6
    source = tmp_path / "day.jpg"
    source.write_bytes(encode(image, "jpg"))
    path = import_image(tmp_path, viirs, 4326, DAY, source)
    with Mosaic(path, 4326) as mosaic:
        (tmp_path / "coarse.jpg").write_bytes(mosaic.tile(Tile(0, 0, 0)) or b"")
    row = read_pixels(tmp_path / "coarse.jpg")[75, :, 0].astype(int)
    assert set(np.flatnonzero((row > 30) & (row < 170))) <= set(range(140, 200))
    assert row[210:].max() <= JPEG_BLACK


@pytest.mark.parametrize("level", [0, 2])
def test_the_level_can_be_chosen(tmp_path: Path, viirs: Layer, level: int) -> None:
    source = tmp_path / "day.jpg"
    source.write_bytes(encode(earth(DAY), "jpg"))
    with Mosaic(import_image(tmp_path, viirs, 4326, DAY, source, level), 4326) as mosaic:
        assert mosaic.level == level


def test_palettes_survive(tmp_path: Path, png_layer: Layer) -> None:
    palette = ((0, 0, 0, 0), (255, 0, 0, 255), (0, 0, 255, 128))
    indices = np.random.default_rng(3).integers(0, 3, (640, 1280), dtype=np.uint8)
    source = tmp_path / "day.png"
    source.write_bytes(encode(indices, "png", palette))
    path = import_image(tmp_path, png_layer, 4326, DAY, source)
    np.testing.assert_array_equal(read_pixels(path), indices)


def test_a_palette_image_of_a_jpeg_layer_becomes_its_colours(tmp_path: Path, viirs: Layer) -> None:
    source = tmp_path / "day.png"
    indices = np.repeat(np.arange(2, dtype=np.uint8), 320)[None].repeat(320, axis=0)
    source.write_bytes(encode(indices, "png", ((200, 40, 90, 255), (30, 180, 60, 255))))
    pixels = read_pixels(import_image(tmp_path, viirs, 4326, DAY, source)).astype(int)
    assert abs(pixels[:288, :288] - (200, 40, 90)).max() <= 3
    assert abs(pixels[:288, 352:608] - (30, 180, 60)).max() <= 3


def test_a_mosaic_says_which_image_it_was_made_of(tmp_path: Path, viirs: Layer) -> None:
    source = tmp_path / 'übers \x07\n<&".png'
    source.write_bytes(encode(earth(DAY, 0)[::2, ::2], "png"))
    with Mosaic(import_image(tmp_path, viirs, 4326, DAY, source), 4326) as mosaic:
        origin = dict(mosaic.origin or {})
    age = datetime.now(UTC) - datetime.fromisoformat(origin.pop("imported_at"))
    assert 0 <= age.total_seconds() < 3600
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert origin == {"source": source.as_uri(), "sha256": digest, "width": "320", "height": "160"}
    assert read_pixels(mosaic.path).shape == (320, 640, 3)
    with Mosaic(write_day(tmp_path, viirs, 4326, DAY, earth(DAY, 0)), 4326) as mosaic:
        assert mosaic.origin is None


def test_the_content_counts_and_not_the_name(tmp_path: Path, viirs: Layer, png_layer: Layer) -> None:
    image = earth(DAY, 0)
    image[100:200, 100:200] = 7
    source = tmp_path / "day.jpg"
    gdal().GetDriverByName("GTiff").CreateCopy(str(source), gdal_array(image)).FlushCache()
    assert black(read_pixels(import_image(tmp_path, viirs, 4326, DAY, source)), JPEG_BLACK)[110:190, 110:190].all()
    np.testing.assert_array_equal(read_pixels(import_image(tmp_path, png_layer, 4326, DAY, source)), image)


@pytest.mark.parametrize(
    ("epsg", "transform", "message"),
    [
        (4326, (-180, 0.5625, 0, 90, 0, -0.5625), None),
        (None, (-180.2, 0.563, 0, 90.1, 0, -0.563), None),
        (
            4326,
            (-180, 0.28125, 0, 90, 0, -0.28125),
            r"it covers \(-180.0, 0.0, 0.0, 90.0\), which is not all of EPSG:4326",
        ),
        (None, (0, 0.5625, 0, 90, 0, -0.5625), r"it covers \(0.0, -90.0, 360.0, 90.0\)"),
        (None, (-180, 0.5625, 0, -90, 0, 0.5625), "which is not all of EPSG:4326"),
        (3857, None, "is in EPSG:3857, not in EPSG:4326: reproject it first"),
    ],
)
def test_an_image_that_says_where_it_lies_is_believed(
    tmp_path: Path, viirs: Layer, epsg: int | None, transform: tuple[float, ...] | None, message: str | None
) -> None:
    source = tmp_path / "day.tif"
    gdal().GetDriverByName("GTiff").CreateCopy(str(source), gdal_array(earth(DAY, 0), epsg, transform)).FlushCache()
    if message is None:
        assert import_image(tmp_path, viirs, 4326, DAY, source).exists()
        return
    with pytest.raises(RasterError, match=message):
        import_image(tmp_path, viirs, 4326, DAY, source)


def test_a_jpeg_that_was_cut_off_is_refused(tmp_path: Path, viirs: Layer) -> None:
    source, data = tmp_path / "day.jpg", encode(earth(DAY, 0), "jpg")
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(RasterError, match=r"day\.jpg cannot be read as an image: .*Premature end of JPEG file"):
        import_image(tmp_path, viirs, 4326, DAY, source)
    source.write_bytes(data)
    assert import_image(tmp_path, viirs, 4326, DAY, source).exists()


def test_no_level_finer_than_the_layers_is_made(tmp_path: Path, catalogue: Catalogue) -> None:
    layer = catalogue[VIIRS].model_copy(update={"tile_matrix_set": "16km", "projections": (4326,)})
    source = tmp_path / "day.png"
    source.write_bytes(encode(np.full((1300, 2600, 3), 99, np.uint8), "png"))
    assert read_pixels(import_image(tmp_path, layer, 4326, DAY, source)).shape == (1280, 2560, 3)
    with pytest.raises(ValueError, match=f"{layer.identifier} has no level 3: the finest in EPSG:4326 is 2"):
        import_image(tmp_path, layer, 4326, DAY, source, 3)


def test_polar_images(tmp_path: Path, viirs: Layer) -> None:
    image = np.full((1024, 1024, 3), 99, np.uint8)
    source = tmp_path / "day.png"
    source.write_bytes(encode(image, "png"))
    path = import_image(tmp_path, viirs, 3031, DAY, source)
    assert path.parent.parent.name == "3031"
    assert read_pixels(path).shape == (1024, 1024, 3)


def test_images_that_do_not_fit_are_refused(tmp_path: Path, viirs: Layer) -> None:
    square = tmp_path / "square.png"
    square.write_bytes(encode(np.zeros((100, 100, 3), np.uint8), "png"))
    with pytest.raises(RasterError, match=r"square.png is 100 x 100 px, but an image of all of EPSG:4326 is 2 times"):
        import_image(tmp_path, viirs, 4326, DAY, square)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    with pytest.raises(RasterError, match=r"broken\.jpg cannot be read as an image"):
        import_image(tmp_path, viirs, 4326, DAY, broken)
    deep = tmp_path / "deep.png"
    deep.write_bytes(encode(np.zeros((10, 20), np.uint16), "png"))
    with pytest.raises(RasterError, match=r"deep\.png holds UInt16, not bytes"):
        import_image(tmp_path, viirs, 4326, DAY, deep)
    with pytest.raises(ValueError, match="not the size of any level"):
        write_day(tmp_path, viirs, 4326, DAY, np.zeros((300, 600, 3), np.uint8))
    assert not list(tmp_path.glob("4326/*/*.mrf"))
