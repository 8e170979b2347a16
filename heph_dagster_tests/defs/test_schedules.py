"""Schedules at their ticks."""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.resources import Gibs
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, LEVEL, NDVI, NO_DATA, VIIRS

IMAGE = dg.AssetKey(["gibs", VIIRS, "image"])


def tick(
    instance: dg.DagsterInstance, settings: Settings, name: str, day: date, minute: int = 0
) -> tuple[list[dg.RunRequest], str | None]:
    definitions = build_definitions(settings)
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(day.year, day.month, day.day, settings.daily_hour, minute, tzinfo=UTC),
        resources={"gibs": Gibs.of(settings)},
        repository_def=definitions.get_repository_def(),
    ) as context:
        told = definitions.resolve_schedule_def(name).evaluate_tick(context)
    return list(told.run_requests or ()), told.skip_message


@pytest.fixture
def settings(gibs_url: str) -> Settings:
    return Settings(gibs_url=gibs_url, level=LEVEL, layers=(VIIRS,))


def made(instance: dg.DagsterInstance, *days: str) -> None:
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization(IMAGE, partition=day))


def test_each_day_the_day_before_is_made(instance: dg.DagsterInstance, settings: Settings) -> None:
    (request,), _ = tick(instance, settings, f"daily_{VIIRS}", date(2020, 9, 29))
    assert request.partition_key == "2020-09-28"
    job = build_definitions(settings).resolve_job_def(f"daily_{VIIRS}")
    names = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
    assert names == {"image", "missing_data", "miscoloration", "edge_warping"}


def test_a_day_that_is_there_is_left(instance: dg.DagsterInstance, settings: Settings) -> None:
    made(instance, "2020-09-28")
    assert tick(instance, settings, f"daily_{VIIRS}", date(2020, 9, 29)) == ([], "2020-09-28 is there already")


def test_a_day_that_is_being_fetched_is_left(instance: dg.DagsterInstance, settings: Settings) -> None:
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    tags = {"dagster/partition": "2020-09-28"}
    instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({IMAGE}))
    assert tick(instance, settings, f"daily_{VIIRS}", date(2020, 9, 29)) == ([], "2020-09-28 is being fetched")


def test_a_day_that_the_server_lacks_is_left(instance: dg.DagsterInstance, settings: Settings) -> None:
    name = f"daily_{VIIRS}"
    assert tick(instance, settings, name, date(2020, 9, 28)) == ([], "the server has no 2020-09-27 yet")
    assert tick(instance, settings, name, date(2010, 1, 2)) == ([], f"{VIIRS} has no 2010-01-01")


def test_a_server_that_is_down_is_told(instance: dg.DagsterInstance, settings: Settings, gibs_url: str) -> None:
    wrong = settings.model_copy(update={"gibs_url": f"{gibs_url}/nowhere"})
    _, why = tick(instance, wrong, f"daily_{VIIRS}", date(2020, 9, 29))
    assert why is not None
    assert why.startswith("the server does not tell whether it has 2020-09-28: ")


def test_each_month_the_climatology_is_renewed_and_recent_days_are_judged(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    name, first = f"climatology_{VIIRS}", date(2020, 10, 1)
    climatology, judged = (dg.AssetKey(["gibs", VIIRS, part]) for part in ("hue_climatology", "miscoloration"))
    assert [each.asset_selection for each in tick(instance, settings, name, first)[0]] == [[climatology]]
    assert tick(instance, settings, name, first, 30) == ([], f"there is no day of {VIIRS} since 2020-07-31")
    made(instance, "2020-01-01", *(f"{day}" for day in DAYS))
    one, two = tick(instance, settings, name, first, 30)[0]
    assert (one.asset_selection, two.asset_selection) == ([judged], [judged])
    assert one.tags["dagster/asset_partition_range_start"] == "2020-09-25"
    assert one.tags["dagster/asset_partition_range_end"] == "2020-09-26"
    assert two.partition_key == "2020-09-28"
    assert one.run_key != two.run_key
    schedule = build_definitions(settings).resolve_schedule_def(name)
    assert schedule.cron_schedule == ["0 12 1 * *", "30 12 1 * *"]


def test_each_week_the_learners_that_are_set_train(instance: dg.DagsterInstance, settings: Settings) -> None:
    chosen = settings.model_copy(update={"retrain": ("softmax", "pixel_forest")})
    schedule = build_definitions(chosen).resolve_schedule_def(f"retrain_{VIIRS}")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 12 * * 1", "UTC")
    job = build_definitions(chosen).resolve_job_def(f"retrain_{VIIRS}")
    assert {"/".join(key.path[2:]) for key in job.asset_layer.executable_asset_keys} == {
        "features", "labels", "split", "models/missing_data/softmax", "models/miscoloration/softmax",
        "models/pixels/pixel_forest",
    }  # fmt: skip
    assert len(tick(instance, chosen, f"retrain_{VIIRS}", date(2020, 9, 28))[0]) == 1


def test_schedules_are_of_the_layers_that_have_them() -> None:
    def names(settings: Settings) -> set[str]:
        return {each.name for each in build_definitions(settings).schedules or ()}

    assert names(Settings(layers=(NDVI, NO_DATA))) == {f"daily_{NO_DATA}"}
    assert names(Settings(layers=(VIIRS,), retrain=())) == {f"daily_{VIIRS}", f"climatology_{VIIRS}"}
    hours = Settings(layers=(NO_DATA,), daily_hour=5)
    assert build_definitions(hours).resolve_schedule_def(f"daily_{NO_DATA}").cron_schedule == "0 5 * * *"
