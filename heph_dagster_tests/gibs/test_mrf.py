"""Mosaics: written whole or not at all, read by us and by GDAL."""

from __future__ import annotations

import multiprocessing
import os
import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.grid import Tile, grid
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError, manifest_path
from heph_dagster.gibs.publish import MosaicWriter, generation_files, remove_mosaic, superseded_files
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.tiles import TileError
from heph_dagster_tests.conftest import earth

WORLD = Layout(grid(4326).window(1))
PALETTE = ((0, 0, 0, 0), (255, 255, 255, 255), (200, 100, 50, 128))


def tile_bytes(seed: int, channels: tuple[int, ...] = (3,)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (512, 512, *channels), dtype=np.uint8)
    return encode(pixels, "png")


def write(path: Path, tiles: dict[Tile, bytes], level: int = 1, epsg: int = 4326) -> Path:
    with MosaicWriter(path, Layout(grid(epsg).window(level))) as mosaic:
        for tile, data in tiles.items():
            mosaic.put(tile, data)
        return mosaic.publish()


def all_tiles(level: int = 1, offset: int = 0) -> dict[Tile, bytes]:
    return {tile: tile_bytes(number + offset) for number, tile in enumerate(grid(4326).window(level).tiles())}


def test_tiles_come_back_unchanged_whatever_their_order(tmp_path: Path) -> None:
    tiles = all_tiles()
    path = write(tmp_path / "a.mrf", dict(reversed(tiles.items())))
    with Mosaic(path, 4326) as mosaic:
        assert {tile: mosaic.tile(tile) for tile in tiles} == tiles
        assert mosaic.levels == range(1, 2)
        assert mosaic.tile(Tile(0, 0, 0)) is None
        assert mosaic.tile(Tile(1, 2, 0)) is None


def test_a_mosaic_that_is_forgotten_closes_its_file(tmp_path: Path) -> None:
    tile = Tile(1, 0, 0)
    path = write(tmp_path / "a.mrf", {tile: tile_bytes(0)})

    def opened() -> list[str]:
        files = map(os.path.realpath, Path("/proc/self/fd").iterdir())
        return [file for file in files if file.startswith(str(tmp_path.resolve()))]

    mosaic = Mosaic(path, 4326)
    assert mosaic.tile(tile) == tile_bytes(0)
    assert len(opened()) == 1
    del mosaic
    assert opened() == []


def test_holes_are_none_to_us_and_black_to_gdal(tmp_path: Path) -> None:
    tiles = all_tiles()
    del tiles[Tile(1, 0, 1)]
    path = write(tmp_path / "a.mrf", tiles)
    with Mosaic(path, 4326) as mosaic:
        assert mosaic.tile(Tile(1, 0, 1)) is None
    pixels = read_pixels(path)
    assert pixels.shape == (640, 1280, 3)
    assert not pixels[:512, 512:1024].any()
    assert pixels[:512, :512].any(axis=2).mean() > 0.99


@pytest.mark.parametrize(
    ("channels", "palette"),
    [((3,), None), ((4,), None), ((), None), ((), PALETTE)],
    ids=["RGB", "RGBA", "grey", "palette"],
)
def test_gdal_reads_every_kind_of_png_as_it_was_written(tmp_path: Path, channels: tuple[int, ...], palette) -> None:
    rng = np.random.default_rng(7)
    top = 256 if palette is None else len(palette)
    world = rng.integers(0, top, (640, 1280, *channels), dtype=np.uint8)
    with MosaicWriter(tmp_path / "a.mrf", WORLD) as mosaic:
        for tile in grid(4326).window(1).tiles():
            pixels = np.zeros((512, 512, *channels), np.uint8)
            part = world[tile.row * 512 : tile.row * 512 + 512, tile.col * 512 : tile.col * 512 + 512]
            pixels[: part.shape[0], : part.shape[1]] = part
            mosaic.put(tile, encode(pixels, "png", palette))
        mosaic.publish()
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.mrf"), world)


@pytest.mark.parametrize("epsg", [3413, 3031])
def test_polar_mosaics_have_their_place(tmp_path: Path, epsg: int) -> None:
    from heph_dagster.gibs.raster import gdal

    tiles = {tile: tile_bytes(number) for number, tile in enumerate(grid(epsg).window(0).tiles())}
    dataset = gdal().Open(str(write(tmp_path / "a.mrf", tiles, level=0, epsg=epsg)))
    assert dataset.GetGeoTransform() == (-4194304, 8192, 0, 4194304, 0, -8192)
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == str(epsg)


def test_a_block_that_fails_leaves_the_old_day_and_nothing_else(tmp_path: Path) -> None:
    old = all_tiles()
    path = write(tmp_path / "a.mrf", old)
    before = sorted(file.name for file in tmp_path.iterdir())
    with pytest.raises(TileError, match="neither JPEG nor PNG"):
        write(path, {Tile(1, 0, 0): tile_bytes(99), Tile(1, 0, 1): b"the cable was cut"})
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    with Mosaic(path, 4326) as mosaic:
        assert mosaic.tile(Tile(1, 0, 0)) == old[Tile(1, 0, 0)]


def test_replacing_a_day_removes_the_old_files_but_not_from_open_readers(tmp_path: Path) -> None:
    old, new = all_tiles(), all_tiles(offset=100)
    path = write(tmp_path / "a.mrf", old)
    with Mosaic(path, 4326) as reader:
        write(path, new)
        assert {tile: reader.tile(tile) for tile in old} == old
    with Mosaic(path, 4326) as reader:
        assert {tile: reader.tile(tile) for tile in new} == new
    assert len(generation_files(path)) == 2


def test_a_neighbour_whose_name_begins_alike_is_left_alone(tmp_path: Path) -> None:
    neighbour = write(tmp_path / "a.b.mrf", all_tiles())
    write(tmp_path / "a.mrf", all_tiles(offset=10))
    write(tmp_path / "a.mrf", all_tiles(offset=20))
    with Mosaic(neighbour, 4326) as mosaic:
        assert mosaic.tile(Tile(1, 0, 0)) == all_tiles()[Tile(1, 0, 0)]


def _republish(path: Path, offset: int) -> None:
    for _ in range(5):
        write(path, all_tiles(offset=offset))


def test_two_writers_do_not_damage_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.mrf"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_republish, args=(path, offset)) for offset in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with Mosaic(path, 4326) as mosaic:
        found = {tile: mosaic.tile(tile) for tile in grid(4326).window(1).tiles()}
    assert found in (all_tiles(), all_tiles(offset=1000))


def _publish_and_read(path: Path) -> None:
    for number in range(10):
        write(path, {Tile(1, 0, 0): tile_bytes(number)})
        with Mosaic(path, 4326) as mosaic:
            if mosaic.tile(Tile(1, 0, 0)) != tile_bytes(number):
                raise SystemExit(2)


def test_a_day_that_is_being_published_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrf", {Tile(1, 0, 0): tile_bytes(99)})
    writer = multiprocessing.get_context("fork").Process(target=_publish_and_read, args=(path,))
    writer.start()
    found = []
    while writer.exitcode is None:
        found += superseded_files(path, remove=True)
    assert (writer.exitcode, found) == (0, [])


def test_refused_tiles(tmp_path: Path) -> None:
    with MosaicWriter(tmp_path / "a.mrf", WORLD) as mosaic:
        mosaic.put(Tile(1, 0, 0), tile_bytes(1))
        with pytest.raises(TileError, match="was already added"):
            mosaic.put(Tile(1, 0, 0), tile_bytes(1))
        with pytest.raises(TileError, match="is outside this mosaic"):
            mosaic.put(Tile(1, 0, 3), tile_bytes(1))
        with pytest.raises(
            TileError, match=r"is png, 4 band\(s\) of 8 bits, which does not go with a mosaic of png, 3 band\(s\)"
        ):
            mosaic.put(Tile(1, 0, 1), tile_bytes(1, (4,)))
        with pytest.raises(TileError, match="is 10 x 20 px instead of 512 x 512"):
            mosaic.put(Tile(1, 0, 1), encode(np.zeros((20, 10, 3), np.uint8), "png"))


def test_an_empty_mosaic_is_not_published(tmp_path: Path) -> None:
    with (
        MosaicWriter(tmp_path / "day" / "a.mrf", WORLD) as mosaic,
        pytest.raises(MosaicError, match="without tiles"),
    ):
        mosaic.publish()
    assert not (tmp_path / "day").exists()


def test_damage_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrf", all_tiles())
    index = next(tmp_path.glob("*.idx"))
    index.write_bytes(index.read_bytes()[:-16])
    with pytest.raises(MosaicError, match=r"idx has 5 entries where 6|idx has 5 entries where 9"):
        Mosaic(path, 4326)
    path.write_text("<MRF_META/>", "utf-8")
    with pytest.raises(MosaicError, match=r"a\.mrf is not an MRF"):
        Mosaic(path, 4326)
    with pytest.raises(FileNotFoundError):
        Mosaic(tmp_path / "none.mrf", 4326)


@pytest.mark.parametrize("element", ["DataFile", "IndexFile"])
@pytest.mark.parametrize("name", ["../other", "/etc/passwd"])
def test_a_mosaic_names_no_files_of_other_folders(tmp_path: Path, element: str, name: str) -> None:
    path = write(tmp_path / "a.mrf", all_tiles())
    path.write_text(re.sub(rf"(<{element}>).*(</{element}>)", rf"\g<1>{name}\2", path.read_text("utf-8")), "utf-8")
    with pytest.raises(MosaicError, match="Invalid name"):
        Mosaic(path, 4326)


def test_mosaics_that_gdal_made_are_read(tmp_path: Path) -> None:
    from heph_dagster.gibs.raster import gdal

    source = gdal().GetDriverByName("MEM").Create("", 1280, 640, 3)
    # Smooth, because the PNG pages of GDAL 3.4 overflow on noise.
    source.WriteArray(np.moveaxis(earth(date(2020, 9, 25)), -1, 0).copy())
    options = ["COMPRESS=PNG", "BLOCKSIZE=512"]
    gdal().GetDriverByName("MRF").CreateCopy(str(tmp_path / "a.mrf"), source, options=options).FlushCache()
    with Mosaic(tmp_path / "a.mrf", 4326) as mosaic:
        data = mosaic.tile(Tile(1, 0, 0))
    assert data is not None
    assert data.startswith(b"\x89PNG")
    assert manifest_path(tmp_path / "a.mrf") is None


def test_days_of_the_same_tiles_are_the_same_bytes(tmp_path: Path) -> None:
    day = date(2020, 9, 25)
    for name in ("one", "two"):
        write(tmp_path / name / f"{day}.mrf", all_tiles())
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [file.name for file in one] == [file.name for file in two]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_a_mosaic_is_removed_with_all_its_generations(tmp_path: Path) -> None:
    path, other = (write(tmp_path / name, all_tiles()) for name in ("a.mrf", "a_b.mrf"))
    (tmp_path / "a.000000000000.idx").write_bytes(b"")
    remove_mosaic(path)
    assert sorted(tmp_path.iterdir()) == sorted([other, *generation_files(other)])
    remove_mosaic(path)
    assert other.exists()
