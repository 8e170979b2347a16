"""Days that come and days that are replaced: a sensor of each layer asks the server and starts what fetches them."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)

from heph_dagster.defs.automation import sensor_status
from heph_dagster.defs.gibs_assets import POOL, TILES, asset_key, fetch_images, group_name
from heph_dagster.defs.partitions import days_of, dynamic_name
from heph_dagster.defs.reports import failure_of
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.arrivals import Arrivals, Known, Look
from heph_dagster.gibs.client import GibsError
from heph_dagster.gibs.download import list_domain
from heph_dagster.gibs.periods import compress, span_text
from heph_dagster.settings import ActiveLayer, Settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_RANGE = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
_RETRIED_WITHIN = timedelta(hours=1)


class RecheckConfig(dg.Config):
    """Which days are asked for again."""

    days: list[str]


def recheck_job(active: ActiveLayer) -> dg.JobDefinition:
    """Asks for days on disk again; those that NASA has replaced are materialized, and the others left as they are."""
    layer, key = active.layer, asset_key(active, "image")

    @dg.op(name=_op_name(active), out=dg.Out(dg.Nothing), pool=POOL)
    def recheck(context: dg.OpExecutionContext, config: RecheckConfig, gibs: Gibs) -> None:
        days = [date.fromisoformat(day) for day in config.days]
        done, failed = fetch_images(gibs, active, days, context.log)
        for day, metadata in done.items():
            # Not by the outcome: a recheck that was killed may have replaced the day without a word of it.
            if metadata[TILES] != _recorded(context.instance, key, day):
                tags = {DATA_VERSION_TAG: metadata[TILES]}
                context.log_event(dg.AssetMaterialization(key, partition=day, metadata=metadata, tags=tags))
        if failed:
            raise failure_of(done, failed)

    @dg.job(
        name=f"recheck_{group_name(active)}",
        description=f"Asks for days of {layer.title} again, and takes those that NASA has replaced.",
    )
    def job() -> None:
        recheck()

    return job


def new_day_sensor(active: ActiveLayer, settings: Settings, daily: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Looks which days the server has, and starts runs for those that are not there.

    Args:
        active: The layer and its projection.
        settings: From which day on.
        daily: Job with the layer's images.
    """
    layer, epsg = active

    @dg.sensor(
        name=f"new_days_{group_name(active)}",
        jobs=[daily],
        minimum_interval_seconds=settings.look_seconds,
        default_status=sensor_status(settings),
        description=f"Fetches days of {layer.title} when they come, however late.",
    )
    def new_days(context: dg.SensorEvaluationContext, gibs: Gibs) -> dg.SensorResult:
        now = datetime.now(UTC)
        arrivals = Arrivals.parse(context.cursor) if context.cursor else Arrivals()
        if settings.watch_from is not None:
            arrivals = replace(arrivals, since=settings.watch_from)
        try:
            domain = list_domain(gibs.client(), layer, epsg, arrivals.domain)
        except GibsError as error:
            return dg.SensorResult(skip_reason=f"no day is lost, the server is asked again: {error}")
        arrivals = arrivals.seen(domain, now.date(), settings.recheck_days)
        # A daily layer's day has a partition once it is over.
        last = now.date() - timedelta(days=1) if layer.daily else now.date()
        days = arrivals.listed(layer.first_day, last if layer.last_day is None else min(last, layer.last_day))
        if not layer.daily:
            context.instance.add_dynamic_partitions(dynamic_name(layer), [f"{day}" for day in days])
        wait = 2 * timedelta(seconds=settings.look_seconds)
        look = arrivals.look(days, known_days(context.instance, active, days), now, wait)
        requests = list(
            run_requests(
                daily.name, [asset_key(active, "image")], look.wanted, settings.chunk_days if layer.daily else 1
            )
        )
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _why_none(days, look),
            cursor=str(look.arrivals),
        )

    return new_days


def replaced_day_sensor(active: ActiveLayer, settings: Settings, recheck: dg.JobDefinition) -> dg.SensorDefinition:
    """Has the newest days asked for again.

    Args:
        active: The layer and its projection.
        settings: How many days, and how often.
        recheck: Job that asks.
    """
    layer = active.layer

    @dg.sensor(
        name=f"replaced_days_{group_name(active)}",
        job_name=recheck.name,
        minimum_interval_seconds=round(settings.recheck_hours * 3600),
        default_status=sensor_status(settings),
        description=f"Asks for the newest {settings.recheck_days} days of {layer.title} again: NASA replaces them.",
    )
    def replaced_days(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if context.instance.get_runs_count(dg.RunsFilter(job_name=recheck.name, statuses=UNFINISHED)):
            return dg.SkipReason("the newest days are being asked for")
        names = sorted(context.instance.get_materialized_partitions(asset_key(active, "image")))
        days = [date.fromisoformat(name) for name in names[-settings.recheck_days :]]
        busy = known_days(context.instance, active, days).busy
        again = [f"{day}" for day in days if day not in busy]
        if not again:
            return dg.SkipReason("no day is there yet" if not days else f"{span_text(days)} are being fetched")
        return dg.RunRequest(run_config={"ops": {_op_name(active): {"config": {"days": again}}}})

    return replaced_days


def _recorded(instance: dg.DagsterInstance, key: dg.AssetKey, day: str) -> str | None:
    """The file of tiles that a day had when it was last materialized."""
    events = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[day]), limit=1).records
    made = events[0].asset_materialization if events else None
    told = made.metadata.get(TILES) if made is not None else None
    return None if told is None else str(told.value)


def _op_name(active: ActiveLayer) -> str:
    return f"ask_again_{group_name(active)}"


def known_days(instance: dg.DagsterInstance, active: ActiveLayer, days: Sequence[date]) -> Known:
    """What Dagster knows of days of a layer's images."""
    key = asset_key(active, "image")
    names = instance.get_materialized_partitions(key)
    there = {day for day in days if f"{day}" in names}
    status = instance.get_status_by_partition(key, [f"{day}" for day in days], days_of(active.layer)) or {}
    busy, failed = (
        {date.fromisoformat(name) for name, each in status.items() if each == wanted}
        for wanted in (AssetPartitionStatus.IN_PROGRESS, AssetPartitionStatus.FAILED)
    )
    return Known(there, busy | _to_be_retried(instance, key, days), failed)


def _to_be_retried(instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[date]) -> set[date]:
    """Days of runs that were lost, and that Dagster has not begun to carry out again yet."""
    if not instance.run_retries_enabled:
        return set()
    lost = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.now(UTC) - _RETRIED_WITHIN)
    found: set[date] = set()
    for run in instance.get_runs(lost):
        if run.tags.get(WILL_RETRY_TAG) == "false" or AUTO_RETRY_RUN_ID_TAG in run.tags:
            continue
        if key in (run.asset_selection or ()):
            first, last = (run.tags.get(tag, run.tags.get(PARTITION_NAME_TAG)) for tag in _RANGE)
            found.update(day for day in days if first is not None and last is not None and first <= f"{day}" <= last)
    return found


def run_requests(job: str, keys: Sequence[dg.AssetKey], days: Iterable[date], most: int) -> Iterator[dg.RunRequest]:
    """Runs over days: one for each range without a gap, of so many days at most.

    Args:
        job: Name of the job.
        keys: Its assets that are made.
        days: The days.
        most: Days of a run.
    """
    for period in compress(days):
        run = list(period.days())
        for start in range(0, len(run), most):
            first, last = run[start], run[start : start + most][-1]
            tags = {ASSET_PARTITION_RANGE_START_TAG: f"{first}", ASSET_PARTITION_RANGE_END_TAG: f"{last}"}
            yield dg.RunRequest(
                job_name=job,
                asset_selection=keys,
                partition_key=f"{first}" if first == last else None,
                tags={} if first == last else tags,
            )


def _why_none(days: Sequence[date], look: Look) -> str:
    since = look.arrivals.since
    listed = [day for day in days if since is None or day >= since]
    told = f"the server lists {len(listed)} days from {since} on" + (
        f", the last of them {listed[-1]}" if listed else ""
    )
    if look.waiting:
        return f"{told}; {span_text(look.waiting)} are being fetched, or failed and are tried again later"
    return f"{told}; all of them are there"
