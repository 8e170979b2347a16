"""Sensors of days that come and of days that are replaced, over real servers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from starlette.responses import Response

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, load_catalogue
from heph_dagster.gibs.download import DayRequest, fetch_days
from heph_dagster.gibs.server import running_server
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, NDVI, NDVI_DAYS, NO_DATA, TERRA, VIIRS, earth
from heph_dagster_tests.servers import counted, scripted

IMAGE = dg.AssetKey(["gibs", VIIRS, "image"])
MASK = dg.AssetKey(["gibs", VIIRS, "missing_data"])
LATE = date(2020, 9, 27)


@pytest.fixture
def server(tmp_path: Path, archive: Path, catalogue: Catalogue) -> Iterator[tuple[Path, str]]:
    """A server over an archive of its own."""
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    with running_server(root, catalogue) as url:
        yield root, url


def settings(url: str, **more: object) -> Settings:
    told = {"gibs_url": url, "level": LEVEL, "layers": (VIIRS, NDVI), "watch_from": DAYS[0]} | more
    return Settings.model_validate(told)


class Look:
    """A sensor that is looked at as the daemon does: cursor kept, runs carried out."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, name: str) -> None:
        self.instance = instance
        self.name = name
        self.cursor: str | None = None
        self.go_to(settings)

    def go_to(self, settings: Settings) -> None:
        """Another server, or other settings, under the same cursor."""
        self.definitions = build_definitions(settings)
        self.sensor = self.definitions.resolve_sensor_def(self.name)
        self.resources = {"gibs": Gibs.of(settings)}

    def __call__(self) -> tuple[list[str], str | None]:
        """The days of each run that was asked for, and why there is none."""
        with (
            dg.build_sensor_context(
                instance=self.instance, cursor=self.cursor, definitions=self.definitions, resources=self.resources
            ) as context,
            partition_loading_context(dynamic_partitions_store=self.instance),  # the daemon has it from its instance
        ):
            told = self.sensor.evaluate_tick(context)
        self.cursor = told.cursor
        self.requests = list(told.run_requests or ())
        return [days(request) for request in self.requests], told.skip_message

    def run(self) -> list[bool]:
        """Carry out the runs; whether each succeeded."""
        done = []
        for request in self.requests:
            job = self.definitions.resolve_job_def(request.job_name or self.sensor.job_name)
            done.append(
                job.execute_in_process(
                    instance=self.instance,
                    asset_selection=request.asset_selection,
                    partition_key=request.partition_key,
                    tags=dict(request.tags),
                    run_config=request.run_config,
                    raise_on_error=False,
                ).success
            )
        return done


def days(request: dg.RunRequest) -> str:
    if request.partition_key:
        return request.partition_key
    start, end = (request.tags.get(f"dagster/asset_partition_range_{name}") for name in ("start", "end"))
    return f"{start}...{end}" if start else "recheck"


@pytest.fixture
def look(instance: dg.DagsterInstance) -> Callable[..., Look]:
    def start(told: Settings, name: str = f"new_days_{VIIRS}") -> Look:
        return Look(instance, told, name)

    return start


def there(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(IMAGE)


def test_new_days_are_asked_for_once_as_ranges(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    new = look(settings(server[1]))
    assert new() == (["2020-09-25...2020-09-26", "2020-09-28"], None)
    assert [request.asset_selection for request in new.requests] == [[IMAGE], [IMAGE]]
    requests, why = new()
    assert requests == []
    assert why == (
        "the server lists 3 days from 2020-09-25 on, the last of them 2020-09-28; 2020-09-25 to 2020-09-26, 2020-09-28 "
        "are being fetched, or failed and are tried again later"
    )


def test_days_that_are_there_are_left(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    new = look(settings(server[1]))
    new()
    assert new.run() == [True, True]
    assert there(instance) == {f"{day}" for day in DAYS}
    assert not instance.get_materialized_partitions(MASK)  # that is for the conditions
    told = "the server lists 3 days from 2020-09-25 on, the last of them 2020-09-28; all of them are there"
    assert new() == ([], told)


@pytest.mark.slow
def test_a_day_that_comes_late_is_fetched(
    look, server: tuple[Path, str], catalogue: Catalogue, instance: dg.DagsterInstance
) -> None:
    root, url = server
    new = look(settings(url))
    new()
    new.run()
    write_day(root, catalogue[VIIRS], EPSG, LATE, earth(LATE))
    with running_server(root, catalogue) as again:  # a server looks at its folder once a second
        new.go_to(settings(again))
        assert new() == (["2020-09-27"], None)
        assert new.run() == [True]
    assert f"{LATE}" in there(instance)


def test_a_day_of_a_backfill_that_failed_is_tried_again_alone(
    look, server: tuple[Path, str], instance: dg.DagsterInstance
) -> None:
    root, url = server
    shutil.move(root / "4326" / "2020-09-26", root / "lost")
    new = look(settings(url, watch_from=DAYS[2]))
    job = new.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": "2020-09-25", "dagster/asset_partition_range_end": "2020-09-26"}
    result = job.execute_in_process(instance=instance, asset_selection=[IMAGE, MASK], tags=tags, raise_on_error=False)
    assert not result.success
    assert there(instance) == {"2020-09-25"}
    assert instance.get_materialized_partitions(MASK) == set()
    assert new()[0] == ["2020-09-28"]  # the server does not have the other
    shutil.move(root / "lost", root / "4326" / "2020-09-26")
    with running_server(root, load_catalogue()) as again:
        new.go_to(settings(again, watch_from=DAYS[2]))
        assert new()[0] == ["2020-09-26"]


def test_long_ranges_are_several_runs(look, server: tuple[Path, str]) -> None:
    assert look(settings(server[1], chunk_days=1))()[0] == [f"{day}" for day in DAYS]


def test_an_outage_loses_no_day(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    _, url = server
    new = look(settings(url))
    with scripted(lambda *_: Response(status_code=400)) as down:
        new.go_to(settings(down))
        requests, why = new()
        assert requests == []
        assert why is not None
        assert why.startswith("no day is lost, the server is asked again: ")
        assert new.cursor is None
    new.go_to(settings(url))
    assert new()[0] == ["2020-09-25...2020-09-26", "2020-09-28"]


def test_an_outage_keeps_what_is_known(look, server: tuple[Path, str]) -> None:
    new = look(settings(server[1]))
    new()
    known = new.cursor
    with scripted(lambda *_: Response(status_code=400)) as down:
        new.go_to(settings(down))
        assert new()[0] == []
    assert new.cursor == known


def test_the_first_day_that_is_set_holds_at_every_look(look, server: tuple[Path, str]) -> None:
    new = look(settings(server[1], watch_from=DAYS[2]))
    assert new()[0] == ["2020-09-28"]
    new.go_to(settings(server[1], watch_from=DAYS[1]))
    assert new()[0] == ["2020-09-26"]


def test_days_before_the_layer_began_are_left(look, archive: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    for day in (date(2015, 11, 20), date(2015, 11, 24)):
        write_day(root, catalogue[VIIRS], EPSG, day, earth(day))
    with running_server(root, catalogue) as url:
        assert look(settings(url, watch_from=date(2015, 1, 1)))()[0] == ["2015-11-24"]


def test_the_list_of_days_is_asked_for_under_a_condition(look, archive: Path, catalogue: Catalogue) -> None:
    with counted(archive, catalogue) as (url, statuses):
        new = look(settings(url))
        new()
        new()
        assert dict(statuses) == {200: 1, 304: 1}


def test_a_run_in_progress_holds_its_days(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    new = look(settings(server[1]))
    job = new.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": "2020-09-25", "dagster/asset_partition_range_end": "2020-09-26"}
    instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({IMAGE}))
    assert new()[0] == ["2020-09-28"]


def test_a_lost_run_holds_its_days_until_dagster_has_carried_it_out_again(
    look, server: tuple[Path, str], instance: dg.DagsterInstance
) -> None:
    new = look(settings(server[1]))
    job = new.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": "2020-09-25", "dagster/asset_partition_range_end": "2020-09-26"}
    begun = dg.DagsterRunStatus.STARTED
    run = instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({IMAGE}), status=begun)
    lost = instance.report_run_failed(run, "its process is gone")
    assert lost is not None
    assert new()[0] == ["2020-09-28"]
    again = instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({IMAGE}), status=begun)
    instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": again.run_id})
    instance.report_run_canceled(again)
    new.cursor = None
    assert new()[0] == ["2020-09-25...2020-09-26", "2020-09-28"]


def test_days_of_other_steps_become_partitions(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    new = look(settings(server[1], watch_from=NDVI_DAYS[0]), f"new_days_{NDVI}")
    assert new()[0] == [f"{day}" for day in NDVI_DAYS]
    assert instance.get_dynamic_partitions(f"{NDVI}_days") == [f"{day}" for day in NDVI_DAYS]
    assert new.run() == [True, True]


def test_a_replaced_day_alone_is_materialized(
    look, server: tuple[Path, str], catalogue: Catalogue, instance: dg.DagsterInstance
) -> None:
    root, url = server
    new = look(settings(url))
    replaced = look(settings(url, recheck_days=2), f"replaced_days_{VIIRS}")
    assert replaced() == ([], "no day is there yet")
    new()
    new.run()

    def images() -> list[str | None]:
        records = instance.fetch_materializations(IMAGE, limit=10).records
        return [record.partition_key for record in records][::-1]

    assert images() == [f"{day}" for day in DAYS]
    assert replaced()[0] == ["recheck"]
    assert replaced.requests[0].run_config == {
        "ops": {f"ask_again_{VIIRS}": {"config": {"days": ["2020-09-26", "2020-09-28"]}}}
    }
    assert replaced.run() == [True]
    assert images() == [f"{day}" for day in DAYS]
    write_day(root, catalogue[VIIRS], EPSG, DAYS[1], earth(LATE))
    assert replaced()[0] == ["recheck"]
    assert replaced.run() == [True]
    assert images() == [*(f"{day}" for day in DAYS), "2020-09-26"]
    job = replaced.definitions.resolve_job_def(f"recheck_{VIIRS}")
    instance.create_run_for_job(job, run_config=replaced.requests[0].run_config)
    assert replaced() == ([], "the newest days are being asked for")
    event = instance.get_latest_materialization_event(IMAGE)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["outcome"].value == "replaced"
    path = mosaic_path(Settings().data_dir, EPSG, DAYS[1], catalogue[VIIRS])
    assert (event.asset_materialization.tags or {})["dagster/data_version"] in [
        each.name for each in path.parent.iterdir()
    ]


def test_a_day_that_a_killed_recheck_replaced_is_materialized_by_the_next(
    look, server: tuple[Path, str], catalogue: Catalogue, instance: dg.DagsterInstance
) -> None:
    root, url = server
    new = look(settings(url))
    new()
    new.run()
    write_day(root, catalogue[VIIRS], EPSG, DAYS[1], earth(LATE))
    client = settings(url).client()
    request = DayRequest(catalogue[VIIRS], EPSG, LEVEL, Settings().data_dir, refresh=True)
    assert [each.outcome for each in fetch_days(client, request, DAYS)] == ["unchanged", "replaced", "unchanged"]
    replaced = look(settings(url), f"replaced_days_{VIIRS}")
    replaced()
    assert replaced.run() == [True]
    records = instance.fetch_materializations(IMAGE, limit=10).records
    assert [record.partition_key for record in records] == ["2020-09-26", *(f"{day}" for day in reversed(DAYS))]


@pytest.mark.slow
def test_a_recheck_that_fails_names_the_day(look, server: tuple[Path, str], instance: dg.DagsterInstance) -> None:
    root, url = server
    new = look(settings(url))
    new()
    new.run()
    shutil.rmtree(root / "4326" / "2020-09-28")
    replaced = look(settings(url), f"replaced_days_{VIIRS}")
    replaced()
    assert replaced.run() == [False]
    (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    failures = [
        entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    ]
    told = failures[0].step_failure_data.user_failure_data.description
    assert told.startswith("1 of 3 days failed; the others are done. 2020-09-28: ")
    assert there(instance) == {f"{day}" for day in DAYS}


@pytest.mark.parametrize("on", [False, True])
def test_one_setting_switches_automation_on(on: bool) -> None:
    definitions = build_definitions(Settings(automation=on))
    always = ("hephaestus_frames", "lost_runs")
    sensors = {each.name: each for each in definitions.sensors or () if each.name not in always}
    schedules = list(definitions.schedules or ())
    layers = (VIIRS, TERRA, NO_DATA)
    assert sensors.keys() == {
        *(f"{what}_days_{layer}" for what in ("new", "replaced") for layer in layers),
        *("follow", "alerts", "alerts_of_failed_runs", "hephaestus_annotations", "hephaestus_raw"),
    }
    assert len(schedules) == 7
    assert {each.default_status.value for each in (*sensors.values(), *schedules)} == {"RUNNING" if on else "STOPPED"}


def test_rechecks_can_be_left_out() -> None:
    names = {each.name for each in build_definitions(Settings(recheck_days=0)).sensors or ()}
    assert not any(name.startswith("replaced_days") for name in names)
