"""Sensors of alerts on a real instance, with a real webhook and a real mail server."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import cv2
import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from pydantic import ValidationError

from heph_dagster.alerts.outbox import FILE
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.alert_sensors import alert_sensors
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import DAYS, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS
from heph_dagster_tests.servers import mail_server, posted

IMAGE, MISSING, COLOURS = (dg.AssetKey(["gibs", VIIRS, name]) for name in ("image", "missing_data", "miscoloration"))
UI = f"http://127.0.0.1:3000/assets/gibs/{VIIRS}"
SECRET = "T0P-SECRET"


@pytest.fixture
def memory() -> Iterator[dg.DagsterInstance]:
    """An instance without files: most tests ask for its events only."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def settings_of(tmp_path: Path, url: str | None = None, **more: Any) -> Settings:
    address = {} if url is None else {"alert_webhook": f"{url}/{SECRET}"}
    return Settings(data_dir=tmp_path / "data", layers=(VIIRS,), **address | more)


class Sensor:
    """The sensor of alerts, evaluated as the daemon does."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.sensor, self.failed_runs = alert_sensors(settings)
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> str:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        assert data.run_requests == []
        return str(data.skip_message)


def judge(root: Path, layer: Layer, day: date, method: str = "missing_data", area: float = 2e5) -> None:
    """What a method writes of a day: with an area of 0 nothing is wrong."""
    name, label = {"missing_data": ("holes", 2), "miscoloration": ("patches", 3)}[method]
    places = [{"area_km2": area, "latitude": 1.0, "longitude": 2.0, "cause": "lost"}] if area else []
    path = mosaic_path(root, EPSG, day, layer).with_suffix(f".{method}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"labels": [label if area else 0], "verdict": "?", name: places}), "utf-8")


def materialized(instance: dg.DagsterInstance, key: dg.AssetKey, *days: date) -> None:
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=f"{day}"))


def evaluated(
    instance: dg.DagsterInstance, key: dg.AssetKey, name: str, *, passed: bool = False, text: str = "", **metadata: Any
) -> None:
    event = dg.AssetCheckEvaluation(
        asset_key=key, check_name=name, passed=passed, description=text, metadata=metadata,
        severity=dg.AssetCheckSeverity.WARN,
    )  # fmt: skip
    instance.report_runless_asset_event(event)


@pytest.mark.slow
def test_a_run_that_finds_a_hole_is_told_with_a_picture(
    tmp_path: Path, viirs: Layer, instance: dg.DagsterInstance
) -> None:
    image = painted(DAYS[0])
    image[80:240, 100:200] = 0
    store(tmp_path / "data", viirs, DAYS[0], image)
    with posted() as (url, bodies), mail_server() as mails:
        more = {"alert_email": "ops@example.org", "alert_smtp": f"smtp://127.0.0.1:{mails.port}"}
        settings = settings_of(tmp_path, url, **more)
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(
            instance=instance, asset_selection=[MISSING], partition_key=f"{DAYS[0]}", raise_on_error=False
        ).success
        sensor = Sensor(settings, instance)
        assert sensor.tick() == "1 new alerts; messages sent: 1 by log, 1 by webhook, 1 by email"
        assert sensor.tick() == "0 new alerts; messages sent: none"
    (body,), (mail,) = bodies, mails.mails
    assert body["title"] == f"{VIIRS}: data are missing on {DAYS[0]}"
    assert body["text"].startswith(f"{DAYS[0]}: ")
    assert "km2 are missing that should be there, in 1 hole" in body["text"]
    assert body["link"] == f"{UI}/missing_data?view=partitions&partition={DAYS[0]}"
    assert [alert["key"] for alert in body["alerts"]] == [f"missing_data/{VIIRS}/{DAYS[0]}"]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(body["picture_jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(shown[60:130, 65:115].mean(axis=(0, 1)) - (75, 25, 230)).max() < 12  # red, as BGR
    assert mail["Subject"] == f"[heph_dagster] {body['title']}"
    (picture,) = mail.iter_attachments()
    assert picture.get_content() == base64.b64decode(body["picture_jpeg"])


def test_each_day_is_told_once_of_each_anomaly(tmp_path: Path, viirs: Layer, memory: dg.DagsterInstance) -> None:
    root = tmp_path / "data"
    with posted() as (url, bodies):
        sensor = Sensor(settings_of(tmp_path, url), memory)

        def told() -> list[str]:
            before = len(bodies)
            sensor.tick()
            return [alert["key"] for body in bodies[before:] for alert in body["alerts"]]

        judge(root, viirs, DAYS[0])
        judge(root, viirs, DAYS[1], area=0)
        materialized(memory, MISSING, *DAYS[:2])
        assert told() == [f"missing_data/{VIIRS}/{DAYS[0]}"]
        materialized(memory, MISSING, *DAYS[:2])  # judged again, with the same result
        assert told() == []
        judge(root, viirs, DAYS[1])  # it has been replaced
        judge(root, viirs, DAYS[0], "miscoloration")
        materialized(memory, MISSING, *DAYS[:2])
        materialized(memory, COLOURS, DAYS[0])
        assert told() == [f"miscoloration/{VIIRS}/{DAYS[0]}", f"missing_data/{VIIRS}/{DAYS[1]}"]
        sensor = Sensor(settings_of(tmp_path, url), memory)  # the cursor is lost
        assert told() == []


def test_figures_that_are_damaged_are_told_and_do_not_stop_the_sensor(
    tmp_path: Path, viirs: Layer, memory: dg.DagsterInstance
) -> None:
    judge(tmp_path / "data", viirs, DAYS[0])
    judge(tmp_path / "data", viirs, DAYS[1])
    figures = mosaic_path(tmp_path / "data", EPSG, DAYS[0], viirs).with_suffix(".missing_data.json")
    figures.write_text("{", "utf-8")
    materialized(memory, MISSING, *DAYS[:2])
    with posted() as (url, bodies):
        Sensor(settings_of(tmp_path, url), memory).tick()
    assert [body["alerts"][0]["key"] for body in bodies] == [
        f"missing_data/{VIIRS}/{DAYS[0]}/damaged", f"missing_data/{VIIRS}/{DAYS[1]}",
    ]  # fmt: skip
    assert f"{figures.name} is damaged" in bodies[0]["text"]


def test_checks_are_told_by_day_by_the_newest_day_or_until_they_pass(
    tmp_path: Path, memory: dg.DagsterInstance
) -> None:
    report = dg.MetadataValue.md(f"- {DAYS[0]} is frozen\n- {DAYS[1]} is frozen")
    labels = dg.AssetKey(["gibs", VIIRS, "labels"])
    crops = dg.AssetKey(["hephaestus", "crops"])
    with posted() as (url, bodies):
        sensor = Sensor(settings_of(tmp_path, url), memory)

        def told() -> list[tuple[str, str, str]]:
            before = len(bodies)
            sensor.tick()
            return [(body["alerts"][0]["key"], body["title"], body["text"]) for body in bodies[before:]]

        evaluated(memory, IMAGE, "frozen", text="2 of 2", flagged=[f"{day}" for day in DAYS[:2]], report=report)
        evaluated(memory, MISSING, "nothing_lost", flagged=[f"{DAYS[0]}"])  # told as it is materialized
        assert told() == [
            (f"frozen/{VIIRS}/{day}", f"{VIIRS}: an earlier day is repeated on {day}", f"{day} is frozen")
            for day in DAYS[:2]
        ]
        for day in (DAYS[0], DAYS[0], DAYS[1]):
            evaluated(memory, IMAGE, "stale", text="late", newest_day=f"{day}")
        stale = [(f"stale/{VIIRS}/{day}", f"{VIIRS}: nothing new since {day}", "late") for day in DAYS[:2]]
        assert told() == stale
        evaluated(memory, crops, "readable", text="2 damaged shards", flagged=["001A"], wrong="...")
        assert told() == [("readable/hephaestus/crops/001A", "hephaestus/crops: readable 001A", "2 damaged shards")]
        for passed in (False, False):
            evaluated(memory, labels, "complete", passed=passed, text="3 days")
        (first,) = told()
        assert first[1:] == (f"gibs/{VIIRS}/labels: the check complete failed", "3 days")
        assert bodies[-1]["link"] == f"{UI}/labels?view=checks&checkDetail=complete"
        evaluated(memory, labels, "complete", text="4 days")
        assert told() == []  # it has not passed since
        evaluated(memory, labels, "complete", passed=True)
        evaluated(memory, labels, "complete", text="5 days")
        (second,) = told()
        assert second[2] == "5 days"
        assert second[0] != first[0]


def test_a_layer_that_brings_nothing_is_told_once_by_freshness_and_check(
    tmp_path: Path, memory: dg.DagsterInstance
) -> None:
    def becomes(state: FreshnessState) -> None:
        change = FreshnessStateChange(
            key=IMAGE, new_state=state, previous_state=FreshnessState.PASS, state_change_timestamp=1.0
        )
        memory._report_runless_asset_event(change)

    materialized(memory, IMAGE, *DAYS[:2])
    with posted() as (url, bodies):
        sensor = Sensor(settings_of(tmp_path, url), memory)
        becomes(FreshnessState.WARN)
        assert sensor.tick() == "0 new alerts; messages sent: none"
        becomes(FreshnessState.FAIL)
        evaluated(memory, IMAGE, "stale", text="late", newest_day=f"{DAYS[1]}")
        assert sensor.tick() == "1 new alerts; messages sent: 1 by log, 1 by webhook"
    (body,) = bodies
    assert body["title"] == f"{VIIRS}: nothing new since {DAYS[1]}"
    assert body["link"] == f"{UI}/image?view=checks&checkDetail=stale"


def test_a_history_is_a_message_of_each_kind(tmp_path: Path, viirs: Layer, memory: dg.DagsterInstance) -> None:
    days = [DAYS[0] + timedelta(days=number) for number in range(30)]
    for day in days:
        judge(tmp_path / "data", viirs, day)
        judge(tmp_path / "data", viirs, day, "miscoloration")
    materialized(memory, MISSING, *days)
    materialized(memory, COLOURS, *days)
    with posted() as (url, bodies):
        assert Sensor(settings_of(tmp_path, url), memory).tick().startswith("60 new alerts; messages sent: 2 by log")
    assert [body["title"] for body in bodies] == [
        f"{VIIRS}: 30 alerts of miscoloration", f"{VIIRS}: 30 alerts of missing data",
    ]  # fmt: skip
    assert bodies[0]["text"].splitlines()[29] == f"- {VIIRS}: wrong colours on {days[-1]}"


def test_more_events_than_a_batch_are_read_at_once(
    tmp_path: Path, viirs: Layer, memory: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heph_dagster.defs.alert_events._BATCH", 3)
    for day in DAYS[:7]:
        judge(tmp_path / "data", viirs, day)
    materialized(memory, MISSING, *DAYS[:7])
    assert Sensor(settings_of(tmp_path), memory).tick() == "7 new alerts; messages sent: 7 by log"


def failing_run(instance: dg.DagsterInstance, *, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
    @dg.op
    def fails() -> None:
        raise ValueError("the disk is full")

    @dg.job
    def doomed() -> None:
        fails()

    return doomed.execute_in_process(instance=instance, raise_on_error=False, tags=tags)


def test_a_failed_run_is_told_with_its_reason_unless_it_is_tried_again(
    tmp_path: Path, memory: dg.DagsterInstance
) -> None:
    with posted() as (url, bodies):
        sensor = Sensor(settings_of(tmp_path, url), memory)
        failed = [failing_run(memory, tags={"dagster/will_retry": will}) for will in ("true", "false", "false")]
        for result in (*failed, failed[1]):
            context = dg.build_run_status_sensor_context(
                sensor_name="alerts_of_failed_runs",
                dagster_instance=memory,
                dagster_run=result.dagster_run,
                dagster_event=result.get_run_failure_event(),
            ).for_run_failure()
            sensor.failed_runs(context)
        sensor.tick()
    assert sorted(body["link"] for body in bodies) == sorted(
        f"http://127.0.0.1:3000/runs/{result.run_id}" for result in failed[1:]
    )
    body = bodies[0]
    assert (body["title"], body["text"]) == ("a run failed: doomed", "fails: ValueError: the disk is full")
    assert (body["severity"], body["picture_jpeg"]) == ("error", None)


def test_the_daemon_finds_failed_runs_by_itself(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    sensor = Sensor(settings_of(tmp_path), instance)
    cursor = None
    for failures in (0, 1):
        for _ in range(failures):
            failing_run(instance)
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_name="r", definitions=dg.Definitions()
        ) as context:
            cursor = sensor.failed_runs.evaluate_tick(context).cursor
    assert sensor.tick() == "0 new alerts; messages sent: 1 by log"


def test_a_webhook_that_is_down_gets_all_later_and_nobody_waits_for_it(
    tmp_path: Path, viirs: Layer, memory: dg.DagsterInstance
) -> None:
    with posted(lambda number: 503 if number <= 2 else 200) as (url, bodies):
        sensor = Sensor(settings_of(tmp_path, url), memory)
        for number in range(2):
            judge(tmp_path / "data", viirs, DAYS[number])
            materialized(memory, MISSING, DAYS[number])
            assert sensor.tick() == "1 new alerts; messages sent: 1 by log; webhook: it answers 503"
        assert sensor.tick() == "0 new alerts; messages sent: 2 by webhook"
    assert [body["alerts"][0]["day"] for body in bodies[2:]] == [f"{DAYS[0]}", f"{DAYS[1]}"]


def test_no_secret_gets_anywhere(
    tmp_path: Path,
    viirs: Layer,
    instance: dg.DagsterInstance,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    store(tmp_path / "data", viirs, DAYS[0], painted(DAYS[0]))
    mail = {"alert_email": "ops@example.org", "alert_smtp": f"smtp://me:{SECRET}@127.0.0.1:9"}
    settings = settings_of(tmp_path, "http://127.0.0.1:9", **mail)
    assert f"/{SECRET}" in settings.alert_webhook.get_secret_value()
    definitions = build_definitions(settings)
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, asset_selection=[MISSING], partition_key=f"{DAYS[0]}")
    judge(tmp_path / "data", viirs, DAYS[1])
    materialized(instance, MISSING, DAYS[1])
    told = Sensor(settings, instance).tick()
    assert told.startswith("1 new alerts; messages sent: 1 by log; webhook: it cannot be reached: ")
    assert "; email: the mail server cannot be used: Connection refused" in told
    monkeypatch.setenv("HEPH_ALERT_WEBHOOK", f"ftp://{SECRET}")
    monkeypatch.setenv("HEPH_ALERT_SMTP", f"smtp://127.0.0.1:99999{SECRET}")
    with pytest.raises(ValidationError) as wrong:
        Settings()
    (tmp_path / "data" / "other").mkdir()
    (tmp_path / "data" / "other" / "heph.toml").write_text(f'alert_webhok = "https://{SECRET}"', "utf-8")
    with pytest.raises(ValidationError, match="alert_webhok") as misspelt:
        Settings(data_dir=tmp_path / "data" / "other")
    (tmp_path / "data" / "other" / "heph.toml").unlink()
    assert "should match" in str(wrong.value)
    texts = {
        "settings": f"{settings!r} {settings}", "json": settings.model_dump_json(), "told": told, "log": caplog.text,
        "errors": f"{wrong.value!r} {misspelt.value!r}", "run": repr(result.dagster_run),
        "resources": repr(definitions.resources),
    }  # fmt: skip
    assert [name for name, text in texts.items() if SECRET in text] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "data" / FILE in files
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("automation", [True, False])
def test_one_setting_switches_the_sensors_on(tmp_path: Path, automation: bool) -> None:
    sensors = alert_sensors(settings_of(tmp_path, automation=automation))
    status = dg.DefaultSensorStatus.RUNNING if automation else dg.DefaultSensorStatus.STOPPED
    assert [(each.name, each.default_status) for each in sensors] == [
        ("alerts", status), ("alerts_of_failed_runs", status),
    ]  # fmt: skip
