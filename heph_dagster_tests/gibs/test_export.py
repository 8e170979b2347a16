"""Images with world files, gibs-ml's tiles, and tiles that overlap."""

from __future__ import annotations

import csv
import multiprocessing
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.export import export_image, export_tiles, export_tiling, write_image
from heph_dagster.gibs.grid import RESOLUTIONS, Resolution, grid
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.partial import StorageError
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import RasterError, gdal, read_palette, read_pixels
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster.gibs.tiling import Tiling
from heph_dagster_tests.conftest import DAYS, EPSG, NO_DATA, VIIRS, earth
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic
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


@pytest.mark.parametrize(
    ("level", "resolution"), [(0, SMALL), (1, SMALL), (0, Resolution("", 0, (0, 0), (16, 8), 128))]
)
def test_tiles_are_as_gdal_cuts_them(tmp_path: Path, catalogue: Catalogue, level: int, resolution: Resolution) -> None:
    path = write_day(tmp_path, catalogue[VIIRS], EPSG, DAY, earth(DAY, level))
    source, (cols, rows) = gdal().Open(str(path)), resolution.grid
    width, height = source.RasterXSize // cols, source.RasterYSize // rows
    folder = export_tiles(path, "jpg", resolution)
    for col, row in {(0, 0), (cols - 1, rows - 1), (cols // 2, rows // 2)}:
        expected = tmp_path / "expected.jpg"
        gdal().Translate(
            str(expected), source, format="JPEG", srcWin=[col * width, row * height, width, height], width=512,
            height=512, creationOptions=["QUALITY=95"],
        ).FlushCache()  # fmt: skip
        tile = read_pixels(folder / f"{VIIRS}_Tile_{col}-{row}.jpg")
        np.testing.assert_array_equal(tile, read_pixels(expected))


def test_the_pole_is_a_world_too(tmp_path: Path) -> None:
    window = grid(3031).window(0)
    pixels = noise(window)
    path = write_mosaic(tmp_path / "a.mrf", pixels, window)
    coarse, own = RESOLUTIONS[3031]["16km"], RESOLUTIONS[3031]["8km"]
    np.testing.assert_array_equal(read_pixels(export_image(path, "png", coarse.size)), pixels[1::2, 1::2])
    folder = export_tiles(path, "png", coarse)
    np.testing.assert_array_equal(read_pixels(folder / "a_Tile_0-0.png"), pixels[1::2, 1::2])
    export_tiles(path, "png", own)
    np.testing.assert_array_equal(read_pixels(folder / "a_Tile_1-0.png"), pixels[:512, 512:])


def test_a_box_is_an_image_of_its_own(tmp_path: Path) -> None:
    pixels = noise()
    path = write_mosaic(tmp_path / "a.mrf", pixels)
    image = export_image(path, "png", bbox=(170.0, -12.5, -170, 20))
    assert image.name == "a.bbox_170_-12.5_-170_20.png"
    np.testing.assert_array_equal(read_pixels(image), np.hstack([pixels[124:183, 622:], pixels[124:183, :18]]))
    dataset = gdal().Open(str(image))
    assert dataset.GetGeoTransform() == (169.875, 0.5625, 0, 20.25, 0, -0.5625)
    tif = gdal().Open(str(export_image(path, "tif", bbox=(0, 0, 10, 10))))
    assert (tif.GetGeoTransform(), tif.RasterXSize, tif.RasterYSize) == ((0, 0.5625, 0, 10.125, 0, -0.5625), 18, 18)
    assert tif.GetSpatialRef().IsGeographic()
    assert not list(tmp_path.glob("a.png"))


def test_transparency_is_not_dropped(tmp_path: Path) -> None:
    rgba = noise(bands=(4,))
    path = write_mosaic(tmp_path / "a.mrf", rgba)
    np.testing.assert_array_equal(read_pixels(export_image(path, "png", bbox=(0, 0, 90, 45))), rgba[80:160, 320:480])
    paletted = write_mosaic(tmp_path / "b.mrf", noise(bands=()) % 2, palette=NO_DATA_PALETTE)
    for mosaic in (path, paletted):
        for export in (
            lambda mosaic: export_image(mosaic, "jpg"),
            lambda mosaic: export_tiles(mosaic, "jpg", SMALL),
            lambda mosaic: export_tiling(mosaic, "jpg", Tiling(64, 64)),
        ):
            with pytest.raises(RasterError, match="has transparency, which a jpg cannot hold: export png or tif"):
                export(mosaic)
    assert not list(tmp_path.glob("*.jpg"))
    assert not (tmp_path / "tiles").exists()


def index_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_overlapping_tiles_hold_the_mosaics_pixels(tmp_path: Path) -> None:
    pixels = noise()
    index = export_tiling(write_mosaic(tmp_path / "a.mrf", pixels), "png", Tiling(256, 128))
    assert index == tmp_path / "tiles" / "256x128_0.5" / "a" / "index.csv"
    tiles = index_of(index)
    assert [(int(tile["col"]), int(tile["row"])) for tile in tiles] == [
        (col, row) for row in (0, 64, 128, 192) for col in (0, 128, 256, 384)
    ]
    assert sorted(path.name for path in index.parent.iterdir()) == sorted(["index.csv", *(t["file"] for t in tiles)])
    for tile in tiles:
        col, row, width, height = (int(tile[name]) for name in ("col", "row", "width", "height"))
        assert tile["file"] == f"a_{col}-{row}.png"
        np.testing.assert_array_equal(read_pixels(index.parent / tile["file"]), pixels[row:, col:][:height, :width])
        assert float(tile["west"]) == -180 + col * 0.5625
        assert float(tile["south"]) == 90 - (row + height) * 0.5625


def test_included_tiles_are_padded_and_go_around_the_globe(tmp_path: Path) -> None:
    rgba = noise(bands=(4,))
    path = write_mosaic(tmp_path / "a.mrf", rgba)
    tiling = Tiling(64, 64, 0, "include-incomplete-tiles")
    index = export_tiling(path, "png", tiling, (153, 54, -153, 90))
    assert index.parent.name == "a.bbox_153_54_-153_90.include-incomplete-tiles"
    windows = [tuple(int(tile[name]) for name in ("col", "row", "width", "height")) for tile in index_of(index)]
    assert windows == [(592, 0, 64, 64), (16, 0, 32, 64)]
    joined = np.hstack([rgba[:64, 592:], rgba[:64, :48]])
    np.testing.assert_array_equal(read_pixels(index.parent / "a_592-0.png"), joined[:, :64])
    last = read_pixels(index.parent / "a_16-0.png")
    np.testing.assert_array_equal(last, np.pad(joined[:, 64:], ((0, 0), (0, 32), (0, 0))))
    assert [(tile["west"], tile["east"]) for tile in index_of(index)] == [("153.0", "-171.0"), ("-171.0", "-153.0")]


def test_palettes_become_colours_in_tiles_too(tmp_path: Path) -> None:
    indices = noise(bands=()) % 2
    path = write_mosaic(tmp_path / "a.mrf", indices, palette=NO_DATA_PALETTE)
    index = export_tiling(path, "png", Tiling(320, 320, 0))
    colours = np.array(read_palette(path), np.uint8)[indices]
    np.testing.assert_array_equal(read_pixels(index.parent / "a_320-0.png"), colours[:, 320:])


def test_a_jpeg_tile_is_as_gdal_writes_it(tmp_path: Path, catalogue: Catalogue) -> None:
    path = write_day(tmp_path, catalogue[VIIRS], EPSG, DAY, earth(DAY, 0))
    index = export_tiling(path, "jpg", Tiling(100, 70, 0.2))
    expected = tmp_path / "expected.jpg"
    gdal().Translate(
        str(expected), str(path), format="JPEG", srcWin=[80, 56, 100, 70], creationOptions=["QUALITY=95"]
    ).FlushCache()
    np.testing.assert_array_equal(read_pixels(index.parent / f"{VIIRS}_80-56.jpg"), read_pixels(expected))


def test_tiles_of_an_earlier_export_go_and_other_files_stay(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "a.mrf", noise())
    tiling = Tiling(320, 320, 0)
    folder = export_tiling(path, "jpg", tiling).parent
    (folder / "a_0-0.txt").write_text("a label", "utf-8")
    window = grid(EPSG).window(1, (-180, 40, -50, 90))
    write_mosaic(path, noise(window), window)
    index = export_tiling(path, "png", tiling)
    assert sorted(path.name for path in folder.iterdir()) == [
        "a_0-0.png", "a_0-0.txt", "a_0-192.png", "a_192-0.png", "a_192-192.png", "index.csv",
    ]  # fmt: skip
    assert len(index_of(index)) == 4


def test_discarding_may_leave_no_tile(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "a.mrf", noise())
    index = export_tiling(path, "png", Tiling(1024, 1024, 0, "discard-incomplete-tiles"))
    assert index_of(index) == []
    with pytest.raises(ValueError, match="no tile of 1024 x 1024 px lies inside an image of 640 x 320 px"):
        export_tiling(path, "png", Tiling(1024, 1024))


def test_a_damaged_mosaic_has_no_index(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "a.mrf", noise())
    index = export_tiling(path, "png", Tiling(64, 64))
    (data,) = tmp_path.glob("*.ppg")
    data.write_bytes(b"\0" * data.stat().st_size)
    for export in (lambda: export_tiling(path, "png", Tiling(64, 64)), lambda: export_image(path, "png")):
        with pytest.raises(RasterError, match=r"a\.mrf cannot be"):
            export()
    assert not index.exists()
    assert not list(tmp_path.glob("*.png"))


def _limited(mosaic: Path, name: str, limit: int, answer: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        EXPORTS[name](mosaic)
    except (RasterError, StorageError) as error:
        answer.send((type(error).__name__, str(error)))
    else:
        answer.send(("no error", ""))


EXPORTS: dict[str, Callable[[Path], object]] = {
    "jpg": lambda mosaic: export_image(mosaic, "jpg"),
    "png": lambda mosaic: export_image(mosaic, "png"),
    "tif": lambda mosaic: export_image(mosaic, "tif"),
    "tiles": lambda mosaic: export_tiles(mosaic, "png", SMALL),
    "tiling": lambda mosaic: export_tiling(mosaic, "png", Tiling(256, 256)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    mosaic = write_mosaic(tmp_path / "a.mrf", noise())
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    process = context.Process(target=_limited, args=(mosaic, name, 20_000, other))
    process.start()
    kind, message = mine.recv()
    process.join()
    assert kind == ("StorageError" if name in {"tiles", "tiling"} else "RasterError")
    assert str(mosaic) in message
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(name.rpartition(".")[2] for name in files) == ["idx", "mrf", "ppg"]


def test_what_cannot_be_exported_is_named(mosaic: Path, tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="a jpg of 70000 x 35000 px cannot be: choose another format"):
        export_image(mosaic, "jpg", (70_000, 35_000))
    window = grid(EPSG).window(1, (0, 0, 10, 10))
    with MosaicWriter(tmp_path / "part.mrf", Layout(window)) as writer:
        writer.put(next(window.tiles()), tile_bytes(1))
        writer.publish()
    with pytest.raises(RasterError, match=r"part.mrf is not of the whole world"):
        export_tiles(tmp_path / "part.mrf", "png", SMALL)
    with pytest.raises(RasterError, match=r"part.mrf is not of the whole world"):
        export_image(tmp_path / "part.mrf", "png", (1024, 512))
    with pytest.raises(RasterError, match="is too coarse for 4096 x 2048 tiles: download level 11"):
        export_tiles(mosaic, "png", RESOLUTIONS[EPSG]["31.25m"])
