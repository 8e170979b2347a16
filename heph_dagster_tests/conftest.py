"""Small seeded data, real servers and real Dagster instances for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import cv2
import dagster as dg
import hypothesis
import numpy as np
import pytest

from heph_dagster.defs.runs import instance_at
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer, load_catalogue
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.swath import pass_zenith
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE

# Tests never judge how long something takes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

VIIRS = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
TERRA = "MODIS_Terra_CorrectedReflectance_TrueColor"
NO_DATA = "MODIS_Terra_Data_No_Data"
NDVI = "MODIS_Terra_NDVI_8Day"
FIRES = "VIIRS_SNPP_Thermal_Anomalies_375m_All"
EPSG = 4326
LEVEL = 1
DAYS = [date(2020, 9, 25), date(2020, 9, 26), date(2020, 9, 28)]  # the 27th is a gap
NDVI_DAYS = [date(2020, 9, 13), date(2020, 9, 21)]
REAL_DATA = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's machine reaches a test."""
    for name in [name for name in os.environ if name.startswith("HEPH_") and name != "HEPH_REAL_DATA"]:
        monkeypatch.delenv(name)
    for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEPH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    monkeypatch.setenv("GDAL_DEFAULT_WMS_CACHE_PATH", str(tmp_path / "gdalwmscache"))


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def viirs(catalogue: Catalogue) -> Layer:
    return catalogue[VIIRS]


@pytest.fixture(scope="session")
def terra(catalogue: Catalogue) -> Layer:
    return catalogue[TERRA]


def earth(day: date, level: int = LEVEL) -> Image:
    """A smooth bright world of a day: RGB, nowhere darker than 60, other colours each day."""
    rng = np.random.default_rng(day.toordinal())
    width, height = 640 << level, 320 << level
    coarse = rng.integers(60, 256, (8, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def fires(day: date, level: int = LEVEL) -> Image:
    """A few dots of a day on a transparent world: RGBA, red to yellow, one of them half transparent."""
    rng = np.random.default_rng(day.toordinal())
    image = np.zeros((320 << level, 640 << level, 4), np.uint8)
    for row, col in rng.integers((0, 0), (image.shape[0] - 4, image.shape[1] - 4), (60, 2)):
        image[row : row + 4, col : col + 4] = (255, rng.integers(256), 0, 255)
    image[100:110, 200:210] = (200, 100, 50, 128)
    return image


def swath_gaps(day: date, level: int = LEVEL) -> Image:
    """Where no swath of MODIS on Terra gets to on a day: height x width, 1 there, else 0."""
    return np.isinf(pass_zenith(SATELLITES["MODIS_Terra"], day, level)).astype(np.uint8)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    """Three days of two layers at level 1, with a gap of a day, a no-data layer, fires, and two 8-day periods."""
    root = tmp_path_factory.mktemp("archive")
    for day in DAYS:
        image = earth(day)
        write_day(root, catalogue[VIIRS], EPSG, day, image)
        observed = 1 - swath_gaps(day)
        write_day(root, catalogue[TERRA], EPSG, day, image * observed[..., None])
        write_day(root, catalogue[NO_DATA], EPSG, day, 1 - observed, NO_DATA_PALETTE)
        write_day(root, catalogue[FIRES], EPSG, day, fires(day))
    for day in NDVI_DAYS:
        green = np.zeros((640, 1280, 4), np.uint8)
        green[100:500, 300:900] = (0, day.day, 0, 255)
        write_day(root, catalogue[NDVI], EPSG, day, green)
    return root


@pytest.fixture(scope="session")
def gibs_url(archive: Path, catalogue: Catalogue) -> Iterator[str]:
    """A local GIBS server over the archive."""
    with running_server(archive, catalogue) as url:
        yield url


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with its own SQLite files."""
    with instance_at(tmp_path / "dagster") as instance:
        yield instance


@pytest.fixture(scope="module")
def _store() -> Iterator[None]:
    from heph_dagster_tests.storage.server import running_store

    with running_store("earth"):
        yield


@pytest.fixture
def address(_store: None, request: pytest.FixtureRequest) -> str:
    """A prefix of a test's own in a bucket of an S3-compatible store."""
    return f"s3://earth/{request.node.name}"
