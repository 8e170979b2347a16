"""The assets on a data root in a bucket: what they make there is what they make in a folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import numpy as np
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.resources import Gibs
from heph_dagster.defs.runs import instance_at, run_range
from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.settings import Settings
from heph_dagster.storage.bucket import Bucket
from heph_dagster.storage.working_copy import EVERYTHING, working_copy
from heph_dagster_tests.conftest import DAYS, LEVEL, VIIRS, earth
from heph_dagster_tests.defs.test_alert_sensors import Sensor, judge, materialized
from heph_dagster_tests.hephaestus.archives import ETNA, make_archive
from heph_dagster_tests.models.days.conftest import BLOCKS, make_days
from heph_dagster_tests.models.days.conftest import DAYS as MADE
from heph_dagster_tests.servers import posted
from heph_dagster_tests.test_cli import heph

IMAGE = dg.AssetKey(["gibs", VIIRS, "image"])
_CHANCE = {"seconds", "data_file"}  # tiles are in the order in which they came


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder of a data root in a bucket."""
    return tmp_path / "work"


def settings(data_dir: Path | str, work: Path, url: str, *layers: str) -> Settings:
    return Settings.model_validate(
        {"data_dir": data_dir, "work_dir": work, "gibs_url": url, "level": LEVEL, "layers": layers}
    )


def made(settings: Settings, instance: dg.DagsterInstance) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Metadata of what is materialized, by asset and partition; places below the data root, and nothing of time."""
    found = {}
    for key in instance.all_asset_keys():
        for record in instance.fetch_materializations(key, limit=100).records:
            event = record.asset_materialization
            assert event is not None
            told = {name: value.value for name, value in event.metadata.items() if name not in _CHANCE}
            for name in ("path", "mask", "polygons"):
                if name in told:
                    assert str(told[name]).startswith(settings.address), name
                    told[name] = str(told[name]).removeprefix(settings.address)
            found[key.to_user_string(), event.partition] = told
    return found


@contextmanager
def files(settings: Settings) -> Iterator[Path]:
    """The data root as a folder."""
    with working_copy(settings.address, settings.home, [EVERYTHING]) as copy:
        yield copy.folder


def content(root: Path) -> dict[str, bytes]:
    """All files: what they hold, or show; nothing of manifests and databases, which tell times."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not re.search(r"^gibs_requests\.json$|(^|/)\.", name):
            kind = re.sub(r"\.[0-9a-f]{12}\.", ".", name)
            if path.suffix == ".mrf":
                found[kind] = read_pixels(path).tobytes()
            else:
                found[kind] = b"" if kind.endswith((".tiles.parquet", ".pjg", ".idx", ".sqlite")) else path.read_bytes()
    return found


@pytest.mark.slow
def test_days_in_a_bucket_are_those_of_a_folder(address: str, work: Path, tmp_path: Path, gibs_url: str) -> None:
    runs = {}
    for told in (settings(tmp_path / "data", work, gibs_url, VIIRS), settings(address, work, gibs_url, VIIRS)):
        with instance_at(tmp_path / str(len(runs))) as instance:
            report = run_range(build_definitions(told), told, instance, told.active_layer(VIIRS), DAYS[0], DAYS[1])
            assert report.errors == []
            with files(told) as root:
                runs[told.address] = made(told, instance), content(root)
    (folder, local), (there, remote) = runs.values()
    assert there == folder
    assert remote.keys() == local.keys()
    assert [name for name in local if local[name] != remote[name]] == []
    assert f"4326/{DAYS[0]}/{VIIRS}.mrf" in remote
    assert sorted(path.name for path in work.iterdir()) == ["cache"]


def test_gdal_reads_a_day_where_it_is(address: str, work: Path, gibs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from osgeo import gdal

    told = settings(address, work, gibs_url, VIIRS)
    job = build_definitions(told).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance, asset_selection=[IMAGE], partition_key=f"{DAYS[0]}").success
    host = boto3.client("s3").meta.endpoint_url.removeprefix("http://")
    gdal.UseExceptions()
    name = f"4326/{DAYS[0]}/{VIIRS}.mrf"
    for option, value in {"AWS_S3_ENDPOINT": host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}.items():
        monkeypatch.setenv(option, value)
    seen = gdal.Open(f"{address.replace('s3://', '/vsis3/')}/{name}").ReadAsArray()
    with files(told) as root:
        np.testing.assert_array_equal(seen, np.moveaxis(read_pixels(root / name), 2, 0))


def test_of_two_runs_of_a_table_the_later_is_carried_out_again(address: str, work: Path, gibs_url: str) -> None:
    gibs = Gibs.of(settings(address, work, gibs_url, VIIRS))

    def overtaken() -> None:
        with gibs.open(EVERYTHING) as late:
            with gibs.open(EVERYTHING) as early:
                (early.root / "table").write_text("early")
            (late.root / "table").write_text("late")

    with pytest.raises(dg.RetryRequested) as told:
        overtaken()
    assert told.value.max_retries == 3


def test_a_bucket_that_is_not_open_has_no_folder(address: str, work: Path, gibs_url: str) -> None:
    told = settings(address, work, gibs_url, VIIRS)
    with pytest.raises(ValueError, match="is worked on in a copy: open its parts first"):
        _ = Gibs.of(told).root
    with pytest.raises(ValueError, match="is no folder: HEPH_DATA_DIR must name one for this"):
        _ = told.root


def test_workers_of_dask_see_no_bucket(address: str) -> None:
    with pytest.raises(ValueError, match="workers of dask see no bucket"):
        Settings.model_validate({"data_dir": address, "dask": "tcp://127.0.0.1:8786"})


def test_settings_are_of_the_work_folder(address: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work.mkdir()
    (work / "heph.toml").write_text('layers = ["MODIS_Terra_NDVI_8Day"]\n', "utf-8")
    monkeypatch.setenv("HEPH_DATA_DIR", address)
    monkeypatch.setenv("HEPH_WORK_DIR", str(work))
    told = Settings()
    assert told.layers == ("MODIS_Terra_NDVI_8Day",)
    assert told.dagster_home == work / "dagster"
    assert told.mlflow_uri == f"sqlite:///{work / 'mlflow.db'}"
    assert told.insar_raw_dir == work / "hephaestus" / "raw"


def test_alerts_are_sent_once_from_a_bucket(
    address: str, work: Path, viirs: Layer, instance: dg.DagsterInstance
) -> None:
    with posted() as (url, bodies):
        told = Settings(data_dir=address, work_dir=work, layers=(VIIRS,), alert_webhook=f"{url}/secret")
        with files(told) as root:
            judge(root, viirs, DAYS[0])
            judge(root, viirs, DAYS[1], area=0)
        materialized(instance, dg.AssetKey(["gibs", VIIRS, "missing_data"]), *DAYS[:2])
        sensor = Sensor(told, instance)
        assert sensor.tick() == "1 new alerts; messages sent: 1 by log, 1 by webhook"
        sensor.cursor = None
        assert sensor.tick() == "0 new alerts; messages sent: none"
    assert [body["title"] for body in bodies] == [f"{VIIRS}: data are missing on {DAYS[0]}"]
    assert [name for name, _ in Bucket(address).list("")][-1] == "alerts.json"


@pytest.mark.slow
def test_tables_and_models_of_a_bucket_are_those_of_a_folder(address: str, work: Path, tmp_path: Path) -> None:
    keys = [dg.AssetKey(["gibs", VIIRS, name]) for name in ("features", "labels", "split", "hue_climatology")]
    model = dg.AssetKey(["gibs", VIIRS, "models", "miscoloration", "softmax"])
    predictions = dg.AssetKey(["gibs", VIIRS, "predictions"])
    config = {"ops": {f"gibs__{VIIRS}__split": {"config": BLOCKS}}}
    make_days(tmp_path / "data")
    there = settings(address, work, "http://127.0.0.1:9", VIIRS)
    with files(there) as root:
        shutil.copytree(tmp_path / "data", root, dirs_exist_ok=True)
    runs = []
    for told in (settings(tmp_path / "data", tmp_path / "home", "http://127.0.0.1:9", VIIRS), there):
        job = build_definitions(told).resolve_implicit_global_asset_job_def()
        with instance_at(told.home / "dagster") as instance:
            assert job.execute_in_process(instance=instance, asset_selection=[*keys, model], run_config=config).success
            assert job.execute_in_process(
                instance=instance, asset_selection=[predictions], partition_key=f"{MADE[0]}"
            ).success
            with files(told) as root:
                runs.append((made(told, instance), content(root)))
    (folder, local), (bucketed, remote) = runs
    assert remote.keys() == local.keys()
    for name in ("features", "labels", "split", "hue_climatology"):
        assert bucketed[f"gibs/{VIIRS}/{name}", None] == folder[f"gibs/{VIIRS}/{name}", None]
    name = f"4326/{VIIRS}.predictions/{MADE[0]:%Y-%m}.parquet"
    assert name in remote
    assert [name for name in local if local[name] != remote[name] and "predictions" not in name] == []
    auc = model.to_user_string(), None
    assert bucketed[auc]["test_roc_auc"] == folder[auc]["test_roc_auc"]


@pytest.mark.slow
def test_interferograms_of_a_bucket_are_those_of_a_folder(address: str, work: Path, tmp_path: Path) -> None:
    names = ("interferograms", "masks", "crops")
    make_archive(work / "hephaestus")
    runs = []
    for told in (
        settings(tmp_path / "data", work, "http://127.0.0.1:9"),
        settings(address, work, "http://127.0.0.1:9"),
    ):
        job = build_definitions(told).resolve_implicit_global_asset_job_def()
        with instance_at(tmp_path / str(len(runs))) as instance:
            for selection, frame in (("annotations",), None), (names, ETNA), (("split",), None):
                keys = [dg.AssetKey(["hephaestus", name]) for name in selection]
                job.execute_in_process(
                    instance=instance, asset_selection=keys, partition_key=frame, raise_on_error=False
                )
            with files(told) as root:
                runs.append((made(told, instance), content(root)))
    (folder, local), (there, remote) = runs
    assert {key[0] for key in there} == {f"hephaestus/{name}" for name in (*names, "annotations", "split")}
    assert there == folder
    assert remote == local
    assert f"hephaestus/crops/{ETNA}/manifest.parquet" in remote


@pytest.mark.slow
def test_the_commands_work_on_a_bucket(
    address: str, work: Path, gibs_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "HEPH_DATA_DIR": address, "HEPH_WORK_DIR": str(work), "HEPH_GIBS_URL": gibs_url, "HEPH_LAYERS": VIIRS,
        "HEPH_LEVEL": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    dates = ("--start_date", f"{DAYS[0]}", "--end_date", f"{DAYS[1]}")
    told = heph("download", *dates, "--level", "1", "--layer_name", VIIRS)
    assert "1 days (1 new)" in told.stdout
    assert f"4326/{DAYS[0]}/{VIIRS}.jpg" in [name for name, _ in Bucket(address).list("")]
    assert "1 days (1 kept)" in heph("download", *dates, "--level", "1", "--layer_name", VIIRS).stdout
    run = heph("run", "--layer", VIIRS, "--start", f"{DAYS[0]}", "--end", f"{DAYS[1]}", "--json")
    assert [len(each["done"]["missing_data"]) for each in json.loads(run.stdout)] == [2]
    checked = json.loads(heph("verify", "--json").stdout)
    assert [each["path"] for each in checked if each["sound"]] == [
        f"{address}/4326/{day}/{VIIRS}.mrf" for day in DAYS[:2]
    ]
    heph("label", VIIRS, f"{DAYS[0]}", "3")
    rows = json.loads(heph("labels", VIIRS, "--json").stdout)["rows"]
    assert [row["source"] for row in rows] == ["hand", "automatic"]
    assert f"{address}/4326/{DAYS[0]}" in heph("export", "image", VIIRS, *dates).stdout
    heph("prune", "--keep-days", "0", "--yes")
    assert not [name for name, _ in Bucket(address).list("") if name.endswith((".mrf", ".pjg", ".jpg"))]
    heph("export", "image", VIIRS, *dates, code=1)
    lost = heph("segment", VIIRS, f"{DAYS[0]}", code=1).output
    assert f"{address}/4326/{DAYS[0]}/{VIIRS}.mrf" in lost
    image = tmp_path / "gibs-ml" / "4326" / f"{DAYS[2]}" / f"{VIIRS}.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(encode(earth(DAYS[2], 0), "jpg"))
    assert "1 days (1 adopted)" in heph("adopt", tmp_path / "gibs-ml").stdout
    with instance_at(work / "dagster") as instance:
        assert made(Settings(), instance)[IMAGE.to_user_string(), f"{DAYS[2]}"]["path"] == (
            f"/4326/{DAYS[2]}/{VIIRS}.mrf"
        )
    assert {path.name for path in work.iterdir()} == {"cache", "dagster"}
