"""`heph export`: days on disk as images, tiles and animations."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.raster import read_pixels
from heph_dagster_tests.conftest import DAYS, EPSG, NDVI, TERRA, VIIRS
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic
from heph_dagster_tests.test_cli import heph

GAP = ("--start_date", "2020-09-25", "--end_date", "2020-09-29")  # the 27th is missing
FIRST = ("--start-date", "2020-09-25", "--end-date", "2020-09-26")


@pytest.fixture
def root(tmp_path: Path, catalogue: Catalogue) -> Path:
    """A data root with three days of the world, a day of it missing between them."""
    for number, day in enumerate(DAYS):
        write_mosaic(mosaic_path(tmp_path / "data", EPSG, day, catalogue[VIIRS]), noise(seed=number))
    return tmp_path / "data"


def test_images_lie_beside_their_mosaics(root: Path) -> None:
    report = json.loads(heph("export", "image", VIIRS, *GAP, "--format", "png", "--json", code=1).stdout)
    paths = [root / "4326" / str(day) / f"{VIIRS}.png" for day in DAYS]
    assert report == {
        "layer": VIIRS,
        "files": [str(path) for path in paths],
        "failed": {},
        "missing": ["2020-09-27"],
    }
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(read_pixels(path), noise(seed=number))
        assert path.with_suffix(".pgw").read_text("ascii").split()[::4] == ["0.5625", "-179.71875"]
    result = heph("export", "image", VIIRS, *FIRST)
    assert result.stdout == f"{paths[0].with_suffix('.jpg')}\n"
    assert paths[0].with_suffix(".jgw").exists()


def test_days_that_are_missing_are_listed(root: Path) -> None:
    result = heph("export", "tiles", VIIRS, *GAP, "--tile-width", 320, "--tile-height", 320, code=1)
    assert result.stderr.endswith("1 days are not on disk: 2020-09-27\n")
    assert len(result.stdout.splitlines()) == 3
    result = heph("export", "image", TERRA, *GAP, code=1)
    assert "4 days are not on disk: 2020-09-25 to 2020-09-28" in result.stderr
    assert result.stdout == ""


def test_an_image_of_a_box_and_one_of_the_tables_size(tmp_path: Path, catalogue: Catalogue) -> None:
    mosaic = mosaic_path(tmp_path / "other", EPSG, DAYS[0], catalogue[VIIRS])
    window = grid(EPSG).window(2)
    pixels = noise(window)
    write_mosaic(mosaic, pixels, window)
    options = (*FIRST, "--output_dir", tmp_path / "other", "--format", "png")
    heph("export", "image", VIIRS, *options, "--bbox", 170, -10, -170, 10)
    box = mosaic.with_name(f"{VIIRS}.bbox_170_-10_-170_10.png")
    np.testing.assert_array_equal(read_pixels(box), np.hstack([pixels[568:712, 2488:], pixels[568:712, :72]]))
    heph("export", "image", VIIRS, *options, "--tile_resolution", "16km")
    assert read_pixels(mosaic.with_suffix(".png")).shape == (2048, 4096, 3)
    result = heph("export", "image", VIIRS, *options, "--tile-resolution", "8km", code=1)
    assert f"2020-09-25: {mosaic} is too coarse for 8km: download level 3" in result.stderr


def test_the_pole_has_sizes_and_boxes_too(root: Path, catalogue: Catalogue) -> None:
    mosaic = mosaic_path(root, 3413, DAYS[0], catalogue[VIIRS])
    pixels = noise(grid(3413).window(0))
    write_mosaic(mosaic, pixels, grid(3413).window(0))
    options = (*FIRST, "--epsg", 3413, "--format", "png")
    heph("export", "image", VIIRS, *options, "--tile_resolution", "16km")
    np.testing.assert_array_equal(read_pixels(mosaic.with_suffix(".png")), pixels[1::2, 1::2])
    # Degrees there, too: Greenland, below the pole and on both sides of 45 W.
    result = heph("export", "image", VIIRS, *options, "--bbox", -60, 60, -30, 80, "--json")
    (file,) = json.loads(result.stdout)["files"]
    assert Path(file).name.startswith(f"{VIIRS}.bbox_-")
    np.testing.assert_array_equal(read_pixels(Path(file)), pixels[640:918, 407:617])


def test_tiles_take_gibs_downloaders_options(root: Path) -> None:
    arguments = ("--tile-width", 256, "--tile-height", 300, "--tile-overlap", 0.25)
    report = json.loads(heph("export", "tiles", VIIRS, *FIRST, *arguments, "--format", "png", "--json").stdout)
    (index,) = report["files"]
    folder = root / "4326" / "2020-09-25" / "tiles" / "256x300_0.25" / VIIRS
    assert index == str(folder / "index.csv")
    names = [f"{VIIRS}_{col}-{row}.png" for row in (0, 20) for col in (0, 192, 384)]
    assert sorted(path.name for path in folder.glob("*.png")) == sorted(names)
    np.testing.assert_array_equal(read_pixels(folder / names[4]), noise()[20:320, 192:448])
    for boundary, count in (("include-incomplete-tiles", 6), ("discard-incomplete-tiles", 3)):
        heph("export", "tiles", VIIRS, *FIRST, *arguments, "--boundary-handling", boundary)
        assert len(list(folder.with_name(f"{VIIRS}.{boundary}").glob("*.jpg"))) == count


def test_an_animation_has_a_frame_a_day(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "films" / "days.mp4"
    arguments = ("--bbox", 0, -45, 90, 45, "--fps", 2, "--width", 200, "--json")
    report = json.loads(heph("export", "animation", VIIRS, target, *GAP, *arguments, code=1).stdout)
    assert (report["files"], report["missing"]) == ([str(target)], ["2020-09-27"])
    with av.open(str(target)) as file:
        assert file.streams.video[0].average_rate == 2
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert [frame.shape for frame in frames] == [(200, 200, 3)] * 4
    # Noise is grey on average, and the day without data is black.
    assert [frame[:80].mean() > 60 for frame in frames] == [True, True, False, True]
    assert heph("export", "animation", VIIRS, tmp_path / "a.gif", *FIRST).stdout == f"{tmp_path / 'a.gif'}\n"


def test_a_layer_that_is_not_daily_misses_no_day(archive: Path, tmp_path: Path) -> None:
    options = ("--start_date", "2020-09-10", "--end_date", "2020-09-22", "--output_dir", archive)
    report = json.loads(heph("export", "animation", NDVI, tmp_path / "ndvi.mp4", *options, "--json").stdout)
    assert report["missing"] == []
    with av.open(str(tmp_path / "ndvi.mp4")) as file:
        assert file.streams.video[0].frames == 2
    result = heph("export", "image", NDVI, *GAP, code=1)
    assert f"no day of {NDVI} from 2020-09-25 to before 2020-09-29 is below" in result.output


def test_a_damaged_day_does_not_keep_the_others(root: Path) -> None:
    (data,) = (root / "4326" / "2020-09-26").glob("*.ppg")
    data.write_bytes(b"\0" * data.stat().st_size)
    report = json.loads(heph("export", "image", VIIRS, *GAP, "--json", code=1).stdout)
    assert list(report["failed"]) == ["2020-09-26"]
    assert "cannot be exported" in report["failed"]["2020-09-26"]
    assert len(report["files"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["image", VIIRS, "--tile_resolution", "16km", "--bbox", "0", "0", "9", "9"],
            "--tile_resolution gives the size of the whole world",
        ),
        (["image", VIIRS, "--tile_resolution", "3km"], "unknown tile resolution '3km'"),
        (["image", VIIRS, "--bbox", "9", "0", "9", "9"], "is empty: give it as west, south, east, north"),
        (
            ["image", VIIRS, "--bbox", "0", "91", "9", "99"],
            "lies outside, the mosaic covers (-180.0, -90.0, 180.0, 90.0)",
        ),
        (["image", VIIRS, "--epsg", "3857"], "is not available in EPSG:3857"),
        (["image", "Nope"], "unknown layer 'Nope'"),
        (["tiles", VIIRS], "no tile of 512 x 512 px lies inside an image of 640 x 320 px"),
        (["tiles", VIIRS, "--tile-overlap", "1"], "the overlap 1.0 is not a share of a tile"),
        (["animation", TERRA, "a.mp4"], "none of the days is on disk"),
        (["animation", VIIRS, "a.webm"], "an animation is an .mp4 or a .gif file"),
        (["image", VIIRS, "--end_date", "2020-09-25"], "the end date is not included"),
    ],
)
def test_what_cannot_be_exported_is_a_line(root: Path, arguments: list[str], message: str) -> None:
    result = heph("export", arguments[0], arguments[1], *FIRST, *arguments[2:], code=1)
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(root.glob("4326/*/*.jpg"))
