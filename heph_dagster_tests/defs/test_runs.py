"""Runs on a real instance, against a real server."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import cv2
import dagster as dg
import numpy as np
import pytest

from heph_dagster.anomalies.climatology import climatology_path
from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import DAILY_ASSETS, NoDaysError, RunReport, prepare_home, request_backfill, run_range
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, EPSG, FIRES, LEVEL, NDVI, NO_DATA, TERRA, VIIRS, fires, swath_gaps


@pytest.fixture
def settings(gibs_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", gibs_url=gibs_url, level=LEVEL, layers=(NO_DATA, VIIRS, TERRA, NDVI, FIRES)
    )


@pytest.fixture
def run(settings: Settings, instance: dg.DagsterInstance):
    definitions = build_definitions(settings)

    def start(layer: str, first: date, last: date) -> RunReport:
        return run_range(definitions, settings, instance, settings.active_layer(layer), first, last)

    return start


def materialized(instance: dg.DagsterInstance, layer: str, name: str) -> set[str]:
    return instance.get_materialized_partitions(dg.AssetKey(["gibs", layer, name]))


def metadata(instance: dg.DagsterInstance, layer: str, name: str, day: date) -> dict[str, object]:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["gibs", layer, name]), asset_partitions=[day.isoformat()]), limit=1
    ).records
    assert records[0].asset_materialization is not None
    return {key: value.value for key, value in records[0].asset_materialization.metadata.items()}


def test_a_range_is_one_run_with_figures_of_each_day(run, settings: Settings, instance: dg.DagsterInstance) -> None:
    report = run(TERRA, DAYS[0], DAYS[1])
    assert report.errors == []
    assert len(report.run_ids) == 1
    assert report.done == dict.fromkeys(DAILY_ASSETS, DAYS[:2])
    for day in DAYS[:2]:
        image = metadata(instance, TERRA, "image", day)
        assert (image["level"], image["tiles"], image["absent_tiles"], image["verified_by"]) == (
            1,
            6,
            0,
            "header",
        )
        assert str(image["preview"]).startswith("![preview](data:image/jpeg;base64,")
        assert Path(str(image["path"])).parent.name == day.isoformat()
        mask = metadata(instance, TERRA, "missing_data", day)
        assert (mask["verdict"], mask["holes"], mask["expectation"]) == (
            "missing expected",
            0,
            "orbit+no_data_layer",
        )
        within = cv2.erode(swath_gaps(day), np.ones((9, 9), np.uint8)) > 0
        assert (read_pixels(Path(str(mask["mask"])))[within] == PixelClass.NOT_OBSERVED).mean() > 0.99
        judged = metadata(instance, TERRA, "miscoloration", day)
        # Each of the two days is judged by the other.
        assert (judged["verdict"], judged["reason"]) == ("no climatology yet", "it has 1 normal day and needs 4")
    assert metadata(instance, TERRA, "image", DAYS[0])["bytes"] != metadata(instance, TERRA, "image", DAYS[1])["bytes"]
    assert instance.get_runs_count() == 1
    assert materialized(instance, NO_DATA, "image") == {day.isoformat() for day in DAYS[:2]}


def test_one_day_is_enough(run, instance: dg.DagsterInstance) -> None:
    report = run(VIIRS, DAYS[0], DAYS[0])
    assert report.done == dict.fromkeys(DAILY_ASSETS, DAYS[:1])
    assert metadata(instance, VIIRS, "missing_data", DAYS[0])["verdict"] == "normal"


def test_fires_come_as_maps(run, instance: dg.DagsterInstance) -> None:
    report = run(FIRES, DAYS[0], DAYS[2])
    assert report.done == {"image": DAYS}
    (error,) = report.errors
    assert error.startswith(f"{FIRES}/image: 1 of 4 days failed; the others are done. 2020-09-27: ")
    assert materialized(instance, FIRES, "image") == {day.isoformat() for day in DAYS}
    image = metadata(instance, FIRES, "image", DAYS[1])
    assert (image["tiles"], image["verified_by"]) == (6, "domains")
    np.testing.assert_array_equal(read_pixels(Path(str(image["path"]))), fires(DAYS[1]))


def test_a_day_that_fails_is_named_and_the_others_are_kept(run, instance: dg.DagsterInstance) -> None:
    report = run(VIIRS, DAYS[0], DAYS[2])
    (error,) = report.errors
    assert error.startswith(f"{VIIRS}/image: 1 of 4 days failed; the others are done. 2020-09-27: ")
    assert materialized(instance, VIIRS, "image") == {day.isoformat() for day in DAYS}
    assert report.done == dict.fromkeys(DAILY_ASSETS, DAYS)
    assert materialized(instance, VIIRS, "missing_data") == {day.isoformat() for day in DAYS}
    climatology = instance.get_latest_materialization_event(dg.AssetKey(["gibs", VIIRS, "hue_climatology"]))
    assert climatology is not None


@pytest.mark.slow
def test_what_has_failed_is_tried_and_told_once(run, settings: Settings, viirs: Layer) -> None:
    run(VIIRS, DAYS[0], DAYS[1])
    mosaic = mosaic_path(settings.data_dir, EPSG, DAYS[0], viirs)
    (data,) = mosaic.parent.glob(f"{VIIRS}.*.pjg")
    content = bytearray(data.read_bytes())
    content[15] ^= 1  # the first tile's density: it can be decoded, and is not what was downloaded
    data.write_bytes(content)
    report = run(VIIRS, DAYS[0], DAYS[1])
    assert report.done == {"image": DAYS[:2]} | dict.fromkeys(DAILY_ASSETS[1:], DAYS[1:2])
    assert sorted(error.partition(": ")[0] for error in report.errors) == [
        f"{VIIRS}/edge_warping",
        f"{VIIRS}/miscoloration",
        f"{VIIRS}/missing_data",
    ]
    for error in report.errors:
        assert f": 1 of 2 days failed; the others are done. {DAYS[0]}: {mosaic}: 1 of 6 tiles are not" in error


@pytest.mark.slow
def test_a_climatology_that_cannot_be_read_is_told_once(run, settings: Settings, viirs: Layer) -> None:
    path = climatology_path(settings.data_dir, EPSG, viirs)
    path.parent.mkdir(parents=True)
    path.write_text("no climatology", "utf-8")
    report = run(VIIRS, DAYS[0], DAYS[1])
    (error,) = report.errors
    assert error.startswith(f"{VIIRS}/hue_climatology: {path} cannot be read: ")
    assert "\n" not in error
    assert report.done == dict.fromkeys(("image", "missing_data", "edge_warping"), DAYS[:2])


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told_in_a_line(settings: Settings, instance: dg.DagsterInstance) -> None:
    pytest.importorskip("distributed")
    settings = settings.model_copy(update={"dask": "tcp://127.0.0.1:1"})
    layer = settings.active_layer(VIIRS)
    report = run_range(build_definitions(settings), settings, instance, layer, DAYS[0], DAYS[1])
    (error,) = report.errors
    assert error == (
        f"{VIIRS}/missing_data: no dask scheduler answers at tcp://127.0.0.1:1: start one with `dask scheduler`, or "
        "unset HEPH_DASK"
    )


def test_days_of_a_layer_that_is_not_daily_come_from_the_server(run, instance: dg.DagsterInstance) -> None:
    report = run(NDVI, date(2020, 9, 1), date(2020, 9, 30))
    assert report.errors == []
    assert report.done == {"image": [date(2020, 9, 13), date(2020, 9, 21)]}
    assert set(instance.get_dynamic_partitions(f"{NDVI}_days")) == {"2020-09-13", "2020-09-21"}


@pytest.mark.parametrize("layer", [VIIRS, NDVI])
def test_a_range_without_days_is_refused(run, layer: str) -> None:
    with pytest.raises(
        NoDaysError,
        match=f"{layer} has no days from 2001-01-01 to 2001-01-02; its first day is 201.*, its last is yesterday's",
    ):
        run(layer, date(2001, 1, 1), date(2001, 1, 2))


def test_a_range_is_checked(run) -> None:
    with pytest.raises(NoDaysError, match="the range ends on 2020-09-25, before it starts on 2020-09-26"):
        run(VIIRS, DAYS[1], DAYS[0])
    today = datetime.now(UTC).date()
    with pytest.raises(NoDaysError, match="its last is yesterday's"):
        run(VIIRS, today, today)


def test_a_mask_without_its_image_names_the_file(settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["gibs", VIIRS, "missing_data"])],
        partition_key="2020-09-25",
        raise_on_error=False,
    )
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "2020-09-25: " in str(failure.step_failure_data.user_failure_data.description)
    assert f"{VIIRS}.mrf is not there" in str(failure.step_failure_data.user_failure_data.description)


def test_a_home_is_made_once_with_telemetry_off(tmp_path: Path) -> None:
    home = prepare_home(tmp_path / "home")
    config = home / "dagster.yaml"
    assert "enabled: false" in config.read_text("utf-8")
    config.write_text("telemetry:\n  enabled: false\n# mine\n", "utf-8")
    assert "# mine" in (prepare_home(home) / "dagster.yaml").read_text("utf-8")


def test_figures_are_on_disk_as_well(run, settings: Settings) -> None:
    run(VIIRS, DAYS[0], DAYS[0])
    report = settings.data_dir / "4326" / "2020-09-25" / f"{VIIRS}.missing_data.json"
    assert json.loads(report.read_text("utf-8"))["labels"] == [0]


@pytest.mark.slow
def test_long_ranges_are_several_runs(settings: Settings, instance: dg.DagsterInstance) -> None:
    told = settings.model_copy(update={"chunk_days": 1})
    report = run_range(build_definitions(told), told, instance, told.active_layer(VIIRS), DAYS[0], DAYS[1])
    assert len(report.run_ids) == 2
    assert report.done["image"] == DAYS[:2]


def test_a_backfill_covers_the_days_of_each_layer(settings: Settings, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(settings)
    layers = [settings.active_layer(name) for name in (VIIRS, TERRA)]
    names = ("image", "features", "nothing")
    identifier, days = request_backfill(
        definitions, settings, instance, layers, names, date(2015, 11, 20), date(2015, 11, 26)
    )
    assert days == {
        VIIRS: (date(2015, 11, 24), date(2015, 11, 26)),
        TERRA: (date(2015, 11, 20), date(2015, 11, 26)),
    }
    backfill = instance.get_backfill(identifier)
    assert backfill is not None
    target = backfill.get_asset_backfill_data(definitions.resolve_asset_graph()).target_subset
    asked = {each.asset_key.to_user_string(): each.partition_key for each in target.iterate_asset_partitions()}
    counts = Counter(each.asset_key.to_user_string() for each in target.iterate_asset_partitions())
    assert counts == {
        f"gibs/{VIIRS}/image": 3,
        f"gibs/{TERRA}/image": 7,
        f"gibs/{VIIRS}/features": 1,
        f"gibs/{TERRA}/features": 1,
    }
    assert asked[f"gibs/{VIIRS}/features"] is None


def test_a_backfill_of_nothing_is_refused(settings: Settings, instance: dg.DagsterInstance) -> None:
    definitions, layers = build_definitions(settings), [settings.active_layer(VIIRS)]
    for names, year in ((("image",), 2001), (("nothing",), 2020)):
        day = date(year, 1, 1)
        with pytest.raises(NoDaysError, match=f"no layer has such assets and days from {day} to {day}"):
            request_backfill(definitions, settings, instance, layers, names, day, day)
    assert instance.get_backfills() == []


@pytest.mark.parametrize("days", [1, 366])
def test_a_backfill_of_days_is_cut_into_chunks(settings: Settings, days: int) -> None:
    definitions = build_definitions(settings.model_copy(update={"chunk_days": days}))
    for name in DAILY_ASSETS:
        node = definitions.resolve_asset_graph().get(dg.AssetKey(["gibs", VIIRS, name]))
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=days)
