"""`heph download --driver gdal-tms` and `gdal-twms`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.download import DayRequest, FailedDay
from heph_dagster.gibs.gdal_download import GdalImage, GdalSource, fetch_images
from heph_dagster.gibs.periods import Period
from heph_dagster.gibs.raster import raster_size, read_pixels
from heph_dagster.gibs.server import create_app, documents
from heph_dagster.gibs.server.run import running_app
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, NO_DATA, VIIRS, earth
from heph_dagster_tests.servers import counted, scripted
from heph_dagster_tests.test_cli import heph

RANGE = ("--start_date", "2020-09-25", "--end_date", "2020-09-27")
DRIVERS = ("gdal-tms", "gdal-twms")
BRIGHTNESS = "VIIRS_SNPP_Brightness_Temp_BandI5_Day"


@pytest.fixture(autouse=True)
def _server(gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("level", ["0", "1"])
def test_gdals_images_are_hephs_but_not_verified(tmp_path: Path, driver: str, level: str) -> None:
    arguments = ("--layer_name", NO_DATA, *RANGE, "--level", level, "--json")
    ours = json.loads(heph("download", *arguments, "--output_dir", tmp_path / "heph").stdout)
    theirs = json.loads(heph("download", *arguments, "--output_dir", tmp_path / "gdal", "--driver", driver).stdout)
    assert [(day["day"], day["outcome"], day["verified_by"]) for day in ours["days"]] == [
        ("2020-09-25", "new", "header"),
        ("2020-09-26", "new", "header"),
    ]
    assert [(day["day"], day["outcome"], day["verified_by"]) for day in theirs["days"]] == [
        ("2020-09-25", "new", "nothing"),
        ("2020-09-26", "new", "nothing"),
    ]
    for day in theirs["days"]:
        image = Path(day["path"])
        assert image == tmp_path / "gdal" / "4326" / day["day"] / f"{NO_DATA}.png"
        assert day["bytes"] == image.stat().st_size
        mine = tmp_path / "heph" / "4326" / day["day"] / f"{NO_DATA}.png"
        np.testing.assert_array_equal(read_pixels(image), read_pixels(mine))
        assert image.with_suffix(".pgw").read_bytes() == mine.with_suffix(".pgw").read_bytes()
        assert sorted(path.suffix for path in image.parent.iterdir()) == [".pgw", ".png"]


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_tables_sizes_hold_for_gdal_as_well(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    write_day(tmp_path / "archive", catalogue[BRIGHTNESS], EPSG, DAYS[0], earth(DAYS[0], 2))
    arguments = ("--layer_name", BRIGHTNESS, "--start_date", DAYS[0], "--end_date", DAYS[1])
    with running_app(create_app(tmp_path / "archive", catalogue)) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        heph("download", *arguments, "--output_dir", tmp_path / "heph")
        heph("download", *arguments, "--output_dir", tmp_path / "gdal", "--driver", driver)
    mine, theirs = (tmp_path / who / "4326" / f"{DAYS[0]}" / f"{BRIGHTNESS}.png" for who in ("heph", "gdal"))
    assert raster_size(theirs) == (4096, 2048)
    np.testing.assert_array_equal(read_pixels(theirs)[..., :3], read_pixels(mine))


def test_the_report_says_that_nothing_is_verified(tmp_path: Path) -> None:
    arguments = ("download", *RANGE, "--level", "0", "--output_dir", tmp_path, "--driver", "gdal-tms")
    result = heph(*arguments)
    assert "2 days (2 new)" in result.stdout
    assert not (tmp_path / "last_checks.json").exists()
    assert "Nothing verifies which days GDAL's images show." in result.stdout
    assert (tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jgw").exists()
    assert "2 days (2 kept)" in heph(*arguments).stdout
    (tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jgw").unlink()
    assert "2 days (1 new, 1 kept)" in heph(*arguments).stdout
    assert (tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jgw").exists()
    assert "2 days (2 replaced)" in heph(*arguments, "--refresh").stdout


def test_gdal_says_who_asks_and_goes_through_the_proxy(
    tmp_path: Path, archive: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked = create_app(archive, catalogue), set()

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/0/0/" in scope["path"]:
            headers = Request(scope).headers
            asked.add((headers["host"], headers["user-agent"].partition(" ")[2]))
        await app(scope, receive, send)

    monkeypatch.setenv("HEPH_GIBS_URL", "http://gibs.invalid")
    monkeypatch.setenv("HEPH_CONTACT", "mailto:me@example.org")
    with running_app(proxy) as url:
        monkeypatch.setenv("HEPH_PROXY", url)
        heph("download", *RANGE, "--level", "0", "--output_dir", tmp_path, "--driver", "gdal-tms")
    assert asked == {("gibs.invalid", "(+mailto:me@example.org)")}


def test_an_interrupt_ends_the_range(tmp_path: Path, archive: Path, catalogue: Catalogue) -> None:
    days = [date(2020, 9, number) for number in range(1, 29)]
    request = DayRequest(catalogue[VIIRS], EPSG, 0, tmp_path)

    def interrupt(_: GdalImage | FailedDay) -> None:
        raise KeyboardInterrupt

    with counted(archive, catalogue, seconds=0.05) as (url, statuses):
        source = GdalSource(protocol="tms", url=url)
        with pytest.raises(KeyboardInterrupt):
            fetch_images(source, request, days, "jpg", connections=1, on_day=interrupt)
    assert 0 < statuses.total() < 20


def test_days_come_from_the_servers_list(tmp_path: Path) -> None:
    arguments = ("--start_date", "2020-09-26", "--end_date", "2020-09-29", "--level", "0", "--output_dir", tmp_path)
    result = heph("download", *arguments, "--driver", "gdal-twms", code=1)
    assert "The server does not have 1 days: 2020-09-27" in result.output
    assert sorted(path.parent.name for path in tmp_path.glob("4326/*/*.jpg")) == ["2020-09-26", "2020-09-28"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_day_with_a_tile_missing_is_listed_and_leaves_nothing(
    tmp_path: Path, archive: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    app = create_app(archive, catalogue)

    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        address = str(Request(scope).url) if scope["type"] == "http" else ""
        broken = "2020-09-25" in address and ("/1/0/2.jpg" in address or "bbox=0108" in address)
        await (Response("gone", 404) if broken else app)(scope, receive, send)

    arguments = ("download", *RANGE, "--level", "1", "--output_dir", tmp_path, "--driver", driver, "--json")
    with running_app(faulty) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        result = heph(*arguments, code=1)
    report = json.loads(result.stdout)
    assert [day["day"] for day in report["days"]] == ["2020-09-26"]
    assert list(report["failed"]) == ["2020-09-25"]
    assert report["failed"]["2020-09-25"].startswith(f"GDAL cannot get {VIIRS} on 2020-09-25: ")
    assert "404" in report["failed"]["2020-09-25"]
    assert not list((tmp_path / "4326" / "2020-09-25").iterdir())


def test_an_image_of_gdals_takes_no_verified_days_place(tmp_path: Path) -> None:
    arguments = ("download", *RANGE, "--level", "0", "--output_dir", tmp_path)
    heph(*arguments)
    before = (tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jpg").read_bytes()
    result = heph(*arguments, "--driver", "gdal-tms", "--refresh", code=1)
    assert f"{VIIRS}.mrf is a verified day, whose images GDAL's would replace: choose another folder" in result.output
    assert (tmp_path / "4326" / "2020-09-25" / f"{VIIRS}.jpg").read_bytes() == before


def test_an_image_of_another_size_is_not_kept(tmp_path: Path) -> None:
    arguments = ("download", *RANGE, "--output_dir", tmp_path, "--driver", "gdal-tms")
    heph(*arguments, "--level", "0")
    assert "has another size: give --refresh to replace it" in heph(*arguments, "--level", "1", code=1).output
    assert "2 replaced" in heph(*arguments, "--level", "1", "--refresh").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tiled_world"], "--driver gdal-tms gets images of the world: leave out --tiled_world, --bbox, mrf"),
        (["--bbox", "0", "0", "10", "10"], "leave out --tiled_world, --bbox, mrf"),
        (["--format", "mrf"], "leave out --tiled_world, --bbox, mrf"),
        (["--layer_name", FIRES], f"{FIRES} has no tiles, which --driver gdal-tms asks for: leave it out"),
        (["--layer_name", NO_DATA, "--level", "0", "--format", "jpg"], "has transparency, which a jpg cannot hold"),
    ],
)
def test_what_gdal_cannot_do_is_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = heph("download", *RANGE, "--output_dir", tmp_path, "--driver", "gdal-tms", *arguments, code=1)
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_server_without_the_group_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Response("<WMS_Tile_Service/>", media_type="text/xml")
    domains = Response(documents.domains(EPSG, [Period(DAYS[0], DAYS[1])]), media_type="text/xml")
    with scripted(lambda _, path: service if path.startswith("/twms") else domains) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        result = heph("download", *RANGE, "--driver", "gdal-twms", "--output_dir", tmp_path, code=1)
    assert f"GetTileService lists no tiled group of {VIIRS}" in result.output
