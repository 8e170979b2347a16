"""The `heph` command, as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from starlette.responses import Response

from heph_dagster.cli import main
from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster_tests.conftest import DAYS, FIRES, NDVI, NO_DATA, TERRA, VIIRS, earth
from heph_dagster_tests.gibs.test_capabilities import ODD
from heph_dagster_tests.servers import scripted


def heph(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_layers_are_listed_and_searched() -> None:
    assert len(heph("layers").stdout.splitlines()) == 24
    (row,) = heph("layers", "ndvi", "terra").stdout.splitlines()
    assert row.split() == [NDVI, "png", "250m", "2016-07-30", "science_parameter", "4326"]
    rows = json.loads(heph("layers", "--json", "noaa").stdout)
    assert [row["satellite"] for row in rows] == ["VIIRS_NOAA20", "VIIRS_NOAA21"]
    assert "no layer matches 'xyzzy'" in heph("layers", "xyzzy", code=1).output


def test_layers_of_a_projection_are_listed() -> None:
    assert len(heph("layers", "--epsg", 3031, "viirs", "--json").stdout.splitlines()) > 10
    assert not [row for row in json.loads(heph("layers", "--epsg", 3031, "--json").stdout) if row["kind"] == "fires"]


def test_layers_of_the_server_are_listed(gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)
    lines = [line.split()[:7] for line in heph("layers", "--remote").stdout.splitlines()]
    assert [line[0] for line in lines] == [TERRA, NO_DATA, VIIRS, NDVI]
    assert lines[2] == [VIIRS, "image/jpeg", "250m", "2020-09-25", "2020-09-28", "in", "catalogue"]
    assert len(heph("layers", "--remote", "terra", "ndvi").stdout.splitlines()) == 1
    assert "no layer matches 'xyzzy'" in heph("layers", "--remote", "xyzzy", code=1).output
    assert "no layer is listed" in heph("layers", "--remote", "--epsg", 3031, code=1).output
    assert "EPSG:3857 is not one of" in heph("layers", "--remote", "--epsg", 3857, code=1).output


def test_layers_that_only_the_server_has_are_told_from_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda *_: Response(ODD, media_type="text/xml")) as url:
        monkeypatch.setenv("HEPH_GIBS_URL", url)
        fires, *_, default = json.loads(heph("layers", "--remote", "--json").stdout)
        line = heph("layers", "--remote", "coast").stdout
    assert fires == {
        "identifier": "Fires", "title": "Fires", "formats": ["application/vnd.mapbox-vector-tile", "image/png"],
        "tile_matrix_sets": ["500m", "1km"], "first_day": "2015-11-25", "last_day": "2024-04-30", "in_catalogue": False,
    }  # fmt: skip
    assert default["tile_matrix_sets"] == []
    assert line.split() == ["Coastlines", "image/png", "15.625m", "no", "time", "-", "Coastlines"]


def test_an_image_becomes_a_day(tmp_path: Path) -> None:
    image, out = tmp_path / "day.png", tmp_path / "archive"
    image.write_bytes(encode(earth(DAYS[0]), "png"))
    heph("archive", "import", image, "--layer", VIIRS, "--date", "2020-09-25", "--epsg", 4326, "--out", out)
    with Mosaic(out / "4326" / "2020-09-25" / f"{VIIRS}.mrf", 4326) as mosaic:
        assert mosaic.level == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "Nope", "--date", "2020-09-25"], "unknown layer 'Nope'; nearest matches"),
        (["--layer", VIIRS, "--date", "25.9.2020"], "'25.9.2020' is not a day: write it as YYYY-MM-DD"),
        (["--layer", VIIRS, "--date", "2020-09-25", "--epsg", "3857"], "is not available in EPSG:3857"),
    ],
)
def test_errors_are_a_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    image = tmp_path / "day.png"
    image.write_bytes(encode(earth(DAYS[0]), "png"))
    result = CliRunner().invoke(main, ["archive", "import", str(image), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code in {1, 2}
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_an_archive_is_synthesized(tmp_path: Path) -> None:
    options = ("--days", 1, "--level", 0, "--layer", VIIRS, "--workers", 1)
    result = heph("archive", "synthesize", tmp_path / "a", *options)
    assert "1 days of 1 layers with 1 anomalies" in result.stdout
    assert len(list((tmp_path / "a").glob("4326/2024-03-30/*.mrf"))) == 1
    result = heph("archive", "synthesize", tmp_path / "b", *options, "--anomalous", 10)
    assert "1 days of 1 layers with 2 anomalies" in result.stdout
    result = heph("archive", "label", tmp_path / "b", "--layer", VIIRS)
    assert result.stdout == f"{tmp_path / 'b'}: 1 days of {VIIRS} labelled\n"
    assert len(list((tmp_path / "b").glob("4326/2024-03-30/*.hand_mask.png"))) == 1


def test_a_range_runs(gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)
    monkeypatch.setenv("HEPH_LEVEL", "1")
    (report,) = json.loads(heph("run", "--layer", VIIRS, "--start", DAYS[0], "--end", DAYS[1], "--json").stdout)
    days = ["2020-09-25", "2020-09-26"]
    assert report["done"] == {"image": days, "missing_data": days, "miscoloration": days, "edge_warping": days}
    result = heph("run", "--layer", VIIRS, "--start", "2020-09-27", code=1)
    assert "1 of 1 days failed" in result.output
    assert "is not active; add it to HEPH_LAYERS" in heph("run", "--layer", NDVI, "--start", DAYS[0], code=1).output


@pytest.mark.slow
def test_layers_run_together(gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_GIBS_URL", gibs_url)
    monkeypatch.setenv("HEPH_LEVEL", "1")
    monkeypatch.setenv("HEPH_LAYERS", f"{NO_DATA},MODIS_Terra_Chlorophyll_A,{FIRES}")
    reports = json.loads(heph("run", "--start", DAYS[0], "--layer", NO_DATA, "--layer", FIRES, "--json").stdout)
    assert [report["layer"] for report in reports] == [NO_DATA, FIRES]
    result = heph("run", "--start", "2003-01-01", code=1)
    assert f"{FIRES} has no days from 2003-01-01" in result.output
    assert "no layer has days in the range" in heph("run", "--start", "2001-01-01", code=1).output


def test_a_backfill_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_LAYERS", f"{VIIRS},{NO_DATA}")
    told = json.loads(heph("backfill", "--start", "2015-11-20", "--end", "2015-11-25", "--json").stdout)
    assert told["days"] == {VIIRS: ["2015-11-24", "2015-11-25"], NO_DATA: ["2015-11-20", "2015-11-25"]}
    result = heph("backfill", "--layer", VIIRS, "--asset", "image", "--start", "2020-01-01")
    assert f"{VIIRS}: 2020-01-01 to 2020-01-01\nBackfill " in result.stdout
    assert "no layer has such assets" in heph("backfill", "--asset", "x", "--start", "2020-01-01", code=1).output


def test_serve_announces_its_address_and_stops(archive: Path) -> None:
    command = [sys.executable, "-m", "heph_dagster.cli", "serve", str(archive), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith(f"Serving {archive} on http://127.0.0.1:")
            server.terminate()
            assert server.wait(30) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        finally:
            server.kill()


def _commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        yield from _commands(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]


def test_help_of_every_command_loads_nothing_heavy() -> None:
    paths = list(_commands(main))
    assert len(paths) >= 24
    code = f"""
import sys
from click.testing import CliRunner
from heph_dagster.cli import main
for path in {paths}:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0 and result.stdout.startswith(" ".join(["Usage: main", *path])), result.output
print([name for name in ("dagster", "numpy", "cv2", "pydantic", "rich", "aiohttp") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
