"""What follows by itself over simulated days: the conditions of the assets, looked at as the daemon does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import NO_DATA, TERRA, VIIRS

ONE, TWO, THREE = "2024-01-01", "2024-01-02", "2024-01-03"


class Days:
    """Assets that are made, and what the conditions then ask for."""

    def __init__(self, instance: dg.DagsterInstance, *layers: str) -> None:
        self.instance = instance
        self.definitions = build_definitions(Settings(layers=layers))
        self.cursor: object = None
        self.now = datetime.now(UTC).replace(hour=12)

    def made(self, layer: str, name: str, *days: str | None) -> None:
        for day in days or [None]:
            key = dg.AssetKey(["gibs", layer, *name.split("/")])
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=day))

    def look(self, later: timedelta = timedelta()) -> dict[str, list[str] | int]:
        """By asset, the days that are asked for, or 1 where it has none."""
        self.now += later
        found = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            asset_selection=dg.AssetSelection.all(),
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = found.cursor
        return {
            "/".join(key.path[2:]): sorted(filter(None, found.get_requested_partitions(key))) or number
            for key in self.definitions.resolve_asset_graph().get_all_asset_keys()
            if (number := found.get_num_requested(key))
        }


@pytest.fixture
def ephemeral() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def days(ephemeral: dg.DagsterInstance) -> Days:
    return Days(ephemeral, VIIRS)


def test_a_new_day_is_followed_by_all_that_is_told_of_it(days: Days) -> None:
    assert days.look() == {}
    days.made(VIIRS, "image", ONE)
    assert days.look() == {"missing_data": [ONE], "edge_warping": [ONE], "features": 1}
    assert days.look() == {}
    days.made(VIIRS, "missing_data", ONE)
    days.made(VIIRS, "edge_warping", ONE)
    days.made(VIIRS, "features")
    assert days.look() == {"hue_climatology": 1, "labels": 1}
    days.made(VIIRS, "hue_climatology")
    days.made(VIIRS, "labels")
    assert days.look() == {"miscoloration": [ONE]}
    days.made(VIIRS, "miscoloration", ONE)
    assert days.look() == {"labels": 1}
    days.made(VIIRS, "labels")
    assert days.look() == {}


def test_days_far_back_are_followed_as_well(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", "2016-02-29", THREE)
    assert days.look()["missing_data"] == ["2016-02-29", THREE]


def test_what_lacks_is_made_when_automation_begins(days: Days) -> None:
    days.made(VIIRS, "image", ONE, TWO)
    days.made(VIIRS, "missing_data", ONE)
    days.made(VIIRS, "features")
    assert days.look() == {"missing_data": [TWO], "edge_warping": [ONE, TWO], "hue_climatology": 1, "labels": 1}


def test_a_replaced_day_is_made_anew_and_no_other(days: Days) -> None:
    for name in ("image", "missing_data", "edge_warping", "miscoloration"):
        days.made(VIIRS, name, ONE, TWO)
    for name in ("hue_climatology", "features", "labels"):
        days.made(VIIRS, name)
    assert days.look() == {}
    days.made(VIIRS, "image", ONE)
    assert days.look() == {"missing_data": [ONE], "edge_warping": [ONE], "miscoloration": [ONE], "features": 1}


def test_a_climatology_makes_no_day_anew(days: Days) -> None:
    for name in ("image", "missing_data", "edge_warping", "miscoloration"):
        days.made(VIIRS, name, ONE)
    for name in ("hue_climatology", "features", "labels"):
        days.made(VIIRS, name)
    days.look()
    days.made(VIIRS, "hue_climatology")
    assert days.look() == {}


def test_days_are_predicted_once_there_is_a_model_and_history_is_left(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", ONE)
    assert "predictions" not in days.look()
    days.made(VIIRS, "models/missing_data/softmax")
    assert "predictions" not in days.look()
    days.made(VIIRS, "image", TWO)
    assert days.look()["predictions"] == [TWO]
    days.made(VIIRS, "predictions", TWO)
    days.made(VIIRS, "models/missing_data/softmax")
    assert "predictions" not in days.look()


def test_a_mask_is_not_made_while_its_image_is(days: Days) -> None:
    days.look()
    job = days.definitions.resolve_implicit_global_asset_job_def()
    image = dg.AssetKey(["gibs", VIIRS, "image"])
    days.made(VIIRS, "image", ONE)
    run = days.instance.create_run_for_job(
        job, tags={"dagster/partition": ONE}, asset_selection=frozenset({image}), status=dg.DagsterRunStatus.STARTED
    )
    assert "missing_data" not in days.look()
    days.instance.report_run_failed(run)
    assert days.look()["missing_data"] == [ONE]


def test_masks_that_a_failed_run_skipped_are_made(days: Days) -> None:
    days.look()
    job = days.definitions.resolve_implicit_global_asset_job_def()
    image, mask = (dg.AssetKey(["gibs", VIIRS, name]) for name in ("image", "missing_data"))
    tags = {"dagster/asset_partition_range_start": ONE, "dagster/asset_partition_range_end": TWO}
    run = days.instance.create_run_for_job(
        job, tags=tags, asset_selection=frozenset({image, mask}), status=dg.DagsterRunStatus.STARTED
    )
    days.made(VIIRS, "image", TWO)
    assert "missing_data" not in days.look()
    days.instance.report_run_failed(run)
    assert days.look()["missing_data"] == [TWO]


def test_what_was_asked_for_and_not_made_is_asked_for_again_the_next_day(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", ONE)
    assert days.look()["missing_data"] == [ONE]
    assert days.look(timedelta(hours=11)) == {}
    days.made(VIIRS, "edge_warping", ONE)
    days.made(VIIRS, "features")
    assert days.look() == {"labels": 1}
    days.made(VIIRS, "labels")
    assert days.look(timedelta(hours=2)) == {"missing_data": [ONE]}
    assert days.look(timedelta(hours=2)) == {}
    days.made(VIIRS, "missing_data", ONE)
    assert "missing_data" not in days.look(timedelta(hours=24))


def started(days: Days, name: str, day: str | None = None) -> dg.DagsterRun:
    """A run that is making an asset."""
    return days.instance.create_run_for_job(
        days.definitions.resolve_implicit_global_asset_job_def(),
        tags={"dagster/partition": day} if day else {},
        asset_selection=frozenset({dg.AssetKey(["gibs", VIIRS, name])}),
        status=dg.DagsterRunStatus.STARTED,
    )


def test_an_image_that_is_replaced_while_its_mask_is_made_gets_another_mask(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", ONE)
    days.look()
    run = started(days, "missing_data", ONE)
    days.look()
    days.made(VIIRS, "image", ONE)
    assert "missing_data" not in days.look()
    days.made(VIIRS, "missing_data", ONE)
    days.instance.report_run_canceled(run)
    assert days.look()["missing_data"] == [ONE]
    days.made(VIIRS, "missing_data", ONE)
    assert "missing_data" not in days.look()


def test_an_image_that_is_replaced_just_after_its_mask_was_made_gets_another_mask(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", ONE)
    days.look()
    days.look()
    days.made(VIIRS, "missing_data", ONE)
    days.made(VIIRS, "image", ONE)
    assert days.look()["missing_data"] == [ONE]


def test_a_table_that_is_being_made_when_a_day_comes_is_made_again(days: Days) -> None:
    days.look()
    days.made(VIIRS, "image", ONE)
    assert days.look()["features"] == 1
    run = started(days, "features")
    days.look()
    days.made(VIIRS, "image", TWO)
    assert "features" not in days.look()
    days.made(VIIRS, "features")
    days.instance.report_run_canceled(run)
    assert days.look()["features"] == 1
    days.made(VIIRS, "features")
    assert "features" not in days.look()


def test_a_run_of_an_image_and_its_mask_is_followed_by_no_other_mask(days: Days) -> None:
    days.look()
    image, mask = (dg.AssetKey(["gibs", VIIRS, name]) for name in ("image", "missing_data"))
    job = days.definitions.resolve_implicit_global_asset_job_def()
    run = days.instance.create_run_for_job(
        job,
        tags={"dagster/partition": ONE},
        asset_selection=frozenset({image, mask}),
        status=dg.DagsterRunStatus.STARTED,
    )

    def made(key: dg.AssetKey) -> None:
        event = dg.AssetMaterialization(key, partition=ONE)
        days.instance.report_dagster_event(
            DagsterEvent(
                DagsterEventType.ASSET_MATERIALIZATION.value,
                run.job_name,
                event_specific_data=StepMaterializationData(event),
            ),
            run.run_id,
        )

    made(image)
    assert "missing_data" not in days.look()
    made(mask)
    days.instance.report_run_canceled(run)
    assert "missing_data" not in days.look()
    assert "missing_data" not in days.look()


def test_the_newest_days_wait_for_the_no_data_layer_and_older_ones_do_not(ephemeral: dg.DagsterInstance) -> None:
    days = Days(ephemeral, TERRA, NO_DATA)
    days.look()
    yesterday = f"{datetime.now(UTC).date() - timedelta(days=1)}"
    days.made(TERRA, "image", ONE, yesterday)
    assert days.look()["missing_data"] == [ONE]
    days.made(NO_DATA, "image", yesterday)
    assert days.look()["missing_data"] == [yesterday]
    days.made(NO_DATA, "image", ONE)
    assert days.look()["missing_data"] == [ONE]


def test_frames_follow_their_annotations_and_interferograms(ephemeral: dg.DagsterInstance) -> None:
    days = Days(ephemeral)
    one, two = "124D_05291_081406", "001A_00000_010101"
    ephemeral.add_dynamic_partitions("hephaestus_frames", [one, two])

    def made(name: str, *frames: str | None) -> None:
        for frame in frames or [None]:
            key = dg.AssetKey(["hephaestus", *name.split("/")])
            ephemeral.report_runless_asset_event(dg.AssetMaterialization(key, partition=frame))

    def look() -> dict[str, object]:
        found = dg.evaluate_automation_conditions(
            days.definitions, ephemeral, asset_selection=dg.AssetSelection.all(), cursor=days.cursor
        )
        days.cursor = found.cursor
        keys = list(days.definitions.resolve_asset_graph().get_all_asset_keys())
        return {
            each.path[-1]: sorted(filter(None, found.get_requested_partitions(each))) or found.get_num_requested(each)
            for each in keys
            if found.get_num_requested(each)
        }

    assert look() == {}
    made("interferograms", one)
    assert look() == {}  # there are no annotations
    made("annotations")
    assert look() == {"masks": [one], "crops": [one]}
    made("masks", one)
    made("crops", one)
    assert look() == {"split": 1}
    made("split")
    made("models/classifier")
    assert look() == {}
    made("interferograms", two)
    assert look() == {"masks": [two], "crops": [two], "predictions": [two]}
