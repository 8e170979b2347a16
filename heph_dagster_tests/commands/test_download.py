"""`heph download` and `heph days`, with gibs-ml's flags."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.raster import gdal, read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster_tests.conftest import DAYS, FIRES, NDVI, NO_DATA, VIIRS, earth, fires
from heph_dagster_tests.servers import counted
from heph_dagster_tests.test_cli import heph

RANGE = ("--start_date", "2020-09-25", "--end_date", "2020-09-27", "--level", "1")


@pytest.fixture(autouse=True)
def _server(gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)


def test_days_of_a_layer_are_shown_with_their_gaps() -> None:
    lines = [line.split() for line in heph("days", VIIRS).stdout.splitlines()]
    assert lines == [["2020-09-25", "2020-09-26", "P1D", "2", "days"], ["2020-09-28", "2020-09-28", "P1D", "1", "days"]]
    assert json.loads(heph("days", NDVI, "--json").stdout) == [
        {"start": "2020-09-13", "end": "2020-09-21", "step": "P8D"}
    ]
    assert "has no days of MODIS_Aqua_Data_No_Data" in heph("days", "MODIS_Aqua_Data_No_Data", code=1).output


def test_a_range_comes_as_mosaics_and_images(tmp_path: Path) -> None:
    result = heph("download", *RANGE, "--output_dir", tmp_path)
    assert "2 days (2 new)" in result.stdout
    for day in ("2020-09-25", "2020-09-26"):
        dataset = gdal().Open(str(tmp_path / "4326" / day / f"{VIIRS}.jpg"))
        assert (dataset.RasterXSize, dataset.RasterYSize) == (1280, 640)
    again = json.loads(heph("download", *RANGE, "--output-dir", tmp_path, "--json").stdout)
    assert [day["outcome"] for day in again["days"]] == ["kept", "kept"]
    fresh = json.loads(heph("download", *RANGE, "--output_dir", tmp_path, "--refresh", "--json").stdout)
    assert [day["outcome"] for day in fresh["days"]] == ["unchanged", "unchanged"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tile_resolution", "1km"], "a jpg of 65536 x 32768 px cannot be: choose another format"),
        (["--layer_name", NO_DATA, "--format", "jpg"], "has transparency, which a jpg cannot hold: export png or tif"),
        (["--bbox", "350", "-10", "370", "10"], "leaves the globe"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_asked(
    tmp_path: Path,
    archive: Path,
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    with counted(archive, catalogue) as (url, statuses):
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        result = heph("download", *RANGE[:4], "--output_dir", tmp_path, *arguments, code=1)
    assert message in result.output
    assert not statuses


def test_a_day_whose_image_cannot_be_written_has_failed(tmp_path: Path) -> None:
    image = tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jpg"
    image.mkdir(parents=True)
    report = json.loads(heph("download", *RANGE, "--output_dir", tmp_path, "--json", code=1).stdout)
    assert [day["day"] for day in report["days"]] == ["2020-09-26"]
    assert report["failed"] == {
        "2020-09-25": f"cannot write what is exported from {image.with_suffix('.mrf')}: Is a directory. "
        "Make room or mend the folder, then run the same again"
    }
    image.rmdir()
    assert "2 days (2 kept)" in heph("download", *RANGE, "--output_dir", tmp_path).stdout
    assert read_pixels(image).shape == (640, 1280, 3)


def test_missing_days_are_listed_and_end_with_an_error_code(tmp_path: Path) -> None:
    arguments = ("--start_date", "2020-09-26", "--end_date", "2020-09-29", "--level", "1", "--output_dir", tmp_path)
    assert "The server does not have 1 days: 2020-09-27" in heph("download", *arguments, code=1).output
    assert len(list(tmp_path.glob("4326/*/*.mrf"))) == 2


def test_the_next_download_starts_where_the_last_ended(tmp_path: Path) -> None:
    heph("download", *RANGE, "--output_dir", tmp_path)
    arguments = ("--since-last-check", "--end_date", "2020-09-29", "--level", "1", "--output_dir", tmp_path, "--json")
    report = json.loads(heph("download", *arguments, code=1).stdout)
    assert [day["day"] for day in report["days"]] == ["2020-09-28"]
    assert report["missing"] == ["2020-09-27"]
    # The day that is missing is asked for again, and nothing else is new.
    result = heph("download", *arguments)
    assert json.loads(result.stdout)["missing"] == ["2020-09-27"]
    assert "nothing new" in result.stderr


def test_nothing_new_is_no_error(tmp_path: Path) -> None:
    heph("download", *RANGE, "--output_dir", tmp_path)
    arguments = ("--since-last-check", *RANGE[2:], "--output_dir", tmp_path)
    assert heph("download", *arguments).stdout == "nothing new: the days before 2020-09-27 have been checked\n"
    assert json.loads(heph("download", *arguments, "--json").stdout)["days"] == []


def test_a_failed_day_is_where_the_next_check_starts(tmp_path: Path) -> None:
    (tmp_path / "4326" / "2020-09-26" / f"{VIIRS}.jpg").mkdir(parents=True)
    heph("download", *RANGE, "--output_dir", tmp_path, code=1)
    (tmp_path / "4326" / "2020-09-26" / f"{VIIRS}.jpg").rmdir()
    arguments = ("--since-last-check", *RANGE[2:], "--output_dir", tmp_path, "--json")
    report = json.loads(heph("download", *arguments).stdout)
    assert [(day["day"], day["outcome"]) for day in report["days"]] == [("2020-09-26", "kept")]


def test_a_box_and_a_format(tmp_path: Path) -> None:
    box = ("--bbox", "0", "-10", "100", "10", "--format", "tif")
    heph("download", *RANGE, *box, "--output_dir", tmp_path)
    dataset = gdal().Open(str(tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.tif"))
    assert dataset.GetGeoTransform()[::3] == (-36, 90)


@pytest.mark.parametrize("epsg", [3413, 3031])
@pytest.mark.parametrize(("resolution", "size"), [("16km", 512), ("8km", 1024), ("4km", 2048)])
def test_resolutions_of_the_poles(
    tmp_path: Path,
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    epsg: int,
    resolution: str,
    size: int,
) -> None:
    layer = catalogue["VIIRS_SNPP_Brightness_Temp_BandI5_Day"]
    image = cv2.resize(earth(DAYS[0]), (2048, 2048))
    write_day(tmp_path / "archive", layer, epsg, DAYS[0], image)
    arguments = ("--layer_name", layer.identifier, "--start_date", DAYS[0], "--end_date", DAYS[1], "--epsg", epsg)
    with running_server(tmp_path / "archive", catalogue) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        heph("download", *arguments, "--tile_resolution", resolution, "--tiled_world", "--output_dir", tmp_path)
    folder = tmp_path / str(epsg) / f"{DAYS[0]}"
    world = read_pixels(folder / f"{layer.identifier}.png")
    assert world.shape == (size, size, 3)
    if size > 512:
        np.testing.assert_array_equal(world, read_pixels(folder / f"{layer.identifier}.mrf"))
    step = 8388608 / size
    assert [float(line) for line in (folder / f"{layer.identifier}.pgw").read_text("ascii").splitlines()] == [
        step, 0, 0, -step, -4194304 + step / 2, 4194304 - step / 2,
    ]  # fmt: skip
    count = size // 512
    rows = [
        np.hstack([read_pixels(folder / "tiles" / f"{layer.identifier}_Tile_{col}-{row}.png") for col in range(count)])
        for row in range(count)
    ]
    np.testing.assert_array_equal(np.vstack(rows), world)
    assert len(list((folder / "tiles").iterdir())) == count**2


def test_fires_come_as_images_too(tmp_path: Path) -> None:
    report = json.loads(heph("download", "--layer_name", FIRES, *RANGE, "--output_dir", tmp_path, "--json").stdout)
    assert [day["verified_by"] for day in report["days"]] == ["domains", "domains"]
    image = tmp_path / "4326" / "2020-09-26" / f"{FIRES}.png"
    np.testing.assert_array_equal(read_pixels(image), fires(DAYS[1]))


def test_fires_come_as_tiles_of_the_world(tmp_path: Path) -> None:
    day = ("--start_date", "2020-09-25", "--end_date", "2020-09-26", "--output_dir", tmp_path)
    heph("download", "--layer_name", "VIIRS_SNPP_Fires_375m", *day, "--tiled_world")
    folder = tmp_path / "4326" / "2020-09-25"
    rows = [
        np.hstack([read_pixels(folder / "tiles" / f"{FIRES}_Tile_{col}-{row}.png") for col in range(8)])
        for row in range(4)
    ]
    world = read_pixels(folder / f"{FIRES}.png")
    assert world.shape == (2048, 4096, 4)
    np.testing.assert_array_equal(np.vstack(rows), world)
    # The archive ends at level 1: a map of level 2 shows its pixels twice.
    np.testing.assert_array_equal(read_pixels(folder / f"{FIRES}.mrf")[::2, ::2], fires(DAYS[0]))


def test_an_old_name_tells_the_new_one(tmp_path: Path) -> None:
    hint = "GIBS continues MODIS_Fires_All as MODIS_Combined_Thermal_Anomalies_All"
    result = heph("download", "--layer_name", "MODIS_Fires_All", *RANGE, "--output_dir", tmp_path, code=1)
    assert f"does not have 2 days: 2020-09-25 to 2020-09-26; {hint}" in result.output
    assert f"has no days of MODIS_Fires_All; {hint}" in heph("days", "MODIS_Fires_All", code=1).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tile_resolution", "31.25m"], f"31.25m is finer than {VIIRS}, whose finest resolution is 250m"),
        (["--tile_resolution", "3km"], "unknown tile resolution '3km'; choose one of 16km"),
        (
            ["--epsg", "3413", "--tile_resolution", "125m"],
            f"125m is finer than {VIIRS}, whose finest resolution is 250m",
        ),
        (["--layer_name", NDVI, "--epsg", "3413"], f"{NDVI} is not available in EPSG:3413"),
        (["--tiled_world", "--level", "1"], "--tiled_world cuts the whole world by --tile_resolution"),
        (["--start_date", "Today"], "the end date is not included"),
        (["--level", "9"], f"{VIIRS} has no level 9: the finest in EPSG:4326 is 8"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = heph("download", "--output_dir", tmp_path, *arguments, code=1)
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_wrong_address_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", "ftp://127.0.0.1")
    assert "gibs_url" in heph("days", VIIRS, code=1).output
