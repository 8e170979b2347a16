"""The sensors that tell people: what is wrong with days, layers and checks, and which runs failed."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from heph_dagster.alerts.outbox import FILE, Outbox
from heph_dagster.defs.alert_events import Cursor, Events
from heph_dagster.defs.automation import sensor_status
from heph_dagster.files import locked
from heph_dagster.settings import Settings
from heph_dagster.storage.bucket import is_bucket
from heph_dagster.storage.working_copy import Part, working_copy


def alert_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors. The settings stay with them: addresses and passwords are in no resource and no run's configuration.

    Args:
        settings: What is told of, and by which channels.
    """
    status = sensor_status(settings)
    return [_alerts(settings, status), _failed_runs(settings, status)]


def _alerts(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    events = Events(settings)

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=status,
        description="Tells of days with anomalies, layers without new days, failed checks and failed runs, each once.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor = Cursor.parse(context.cursor)
        with _outbox(settings) as outbox:
            new = outbox.add(events.read(context.instance, cursor))
        context.update_cursor(str(cursor))  # they are written down: what cannot be sent waits there
        with _outbox(settings) as outbox:
            delivery = outbox.send(settings.alert_channels(), events.draw)
        for failure in delivery.failures:
            context.log.warning(failure)
        sent = ", ".join(f"{count} by {channel}" for channel, count in delivery.messages.items())
        told = "; ".join([f"{len(new)} new alerts", f"messages sent: {sent or 'none'}", *delivery.failures])
        return dg.SkipReason(told)

    return alerts


def _failed_runs(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    events = Events(settings)

    @dg.run_failure_sensor(
        name="alerts_of_failed_runs",
        minimum_interval_seconds=30,
        default_status=status,
        monitor_all_code_locations=True,  # runs of `heph run` are of none
        description="Hands runs that failed, and are not tried again, to the sensor alerts.",
    )
    def alerts_of_failed_runs(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return
        reasons = [f"{event.step_key}: {_reason(event)}" for event in context.get_step_failure_events()]
        with _outbox(settings) as outbox:
            outbox.add([events.of_failed_run(run, reasons or [context.failure_event.message or ""])])

    return alerts_of_failed_runs


@contextmanager
def _outbox(settings: Settings) -> Iterator[Outbox]:
    """The alerts of the data root. Of a bucket, one after the other has a copy: else one would send in vain."""
    bucket = is_bucket(settings.address)
    with (
        locked(settings.home / "cache" / FILE) if bucket else nullcontext(),
        working_copy(settings.address, settings.home, [Part(FILE)]) as copy,
    ):
        yield Outbox(copy.folder)


def _reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, without the traces of what it went through."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "no reason given" if error is None else error.message.strip()
