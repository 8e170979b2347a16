"""What is done at set times: the day before, learning anew each week, and the climatology of hues each month."""

# No `from __future__ import annotations`: Dagster reads the types of a schedule function as they are.
from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.new_days import known_days, run_requests
from heph_dagster.defs.partitions import days_of
from heph_dagster.defs.resources import Gibs
from heph_dagster.defs.runs import DAILY_ASSETS
from heph_dagster.gibs.client import GibsError
from heph_dagster.gibs.download import list_domain
from heph_dagster.gibs.periods import NOTHING
from heph_dagster.settings import ActiveLayer, Settings

_JUDGED_AGAIN = timedelta(days=62)
"""Days that a month's climatology judges anew: those of the month before, and some that had too few others."""


def daily_job(active: ActiveLayer, assets: Sequence[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """A day's image and what is told of it, as one run.

    Args:
        active: The layer and its projection.
        assets: All assets of the layer.
    """
    made = {each.key for each in assets}
    keys = [key for name in DAILY_ASSETS if (key := asset_key(active, name)) in made]
    return dg.define_asset_job(
        f"daily_{group_name(active)}",
        selection=dg.AssetSelection.assets(*keys),
        description=f"Days of {active.layer.title}: images, masks and verdicts.",
    )


def layer_schedules(
    active: ActiveLayer, settings: Settings, assets: Sequence[dg.AssetsDefinition], daily: UnresolvedAssetJobDefinition
) -> list[dg.ScheduleDefinition]:
    """The schedules of a layer.

    Args:
        active: The layer and its projection.
        settings: The hour, and which learners are trained.
        assets: All assets of the layer.
        daily: Its daily job.
    """
    made = {each.key for each in assets}
    schedules = [_daily(active, settings, daily)] if active.layer.daily else []
    if asset_key(active, "hue_climatology") in made:
        schedules.append(_monthly(active, settings))
    learners = [key for key in made if key.path[-1] in settings.retrain and "models" in key.path]
    if learners:
        schedules.append(_weekly(active, settings, learners))
    return schedules


def _status(settings: Settings) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED


def _daily(active: ActiveLayer, settings: Settings, daily: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    layer, epsg = active

    @dg.schedule(
        name=daily.name,
        job=daily,
        cron_schedule=f"0 {settings.daily_hour} * * *",
        execution_timezone="UTC",
        default_status=_status(settings),
        description=f"The day before of {layer.title}, where no sensor has started it yet.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, gibs: Gibs) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.date() - timedelta(days=1)
        if not days_of(layer).has_partition_key(f"{day}"):
            return dg.SkipReason(f"{layer.identifier} has no {day}")
        known = known_days(context.instance, active, [day])
        if known.there or known.busy:
            return dg.SkipReason(f"{day} is there already" if known.there else f"{day} is being fetched")
        try:
            listed = any(day in period.days() for period in list_domain(gibs.client(), layer, epsg, NOTHING).periods)
        except GibsError as error:
            return dg.SkipReason(f"the server does not tell whether it has {day}: {error}")
        return dg.RunRequest(partition_key=f"{day}") if listed else dg.SkipReason(f"the server has no {day} yet")

    return schedule


def _weekly(active: ActiveLayer, settings: Settings, learners: Sequence[dg.AssetKey]) -> dg.ScheduleDefinition:
    data = [asset_key(active, name) for name in ("features", "labels", "split")]
    job = dg.define_asset_job(
        f"retrain_{group_name(active)}",
        selection=dg.AssetSelection.assets(*data, *learners),
        description=f"Trains learners of {active.layer.title} anew on all days that are labelled.",
    )
    return dg.ScheduleDefinition(
        name=job.name,
        job=job,
        cron_schedule=f"0 {settings.daily_hour} * * 1",
        execution_timezone="UTC",
        default_status=_status(settings),
        description="On Mondays; a better model becomes the champion, and tells of the days that come after.",
    )


def _monthly(active: ActiveLayer, settings: Settings) -> dg.ScheduleDefinition:
    layer = active.layer
    climatology, judged = asset_key(active, "hue_climatology"), asset_key(active, "miscoloration")
    job = dg.define_asset_job(
        f"climatology_{group_name(active)}",
        selection=dg.AssetSelection.assets(climatology, judged),
        description=f"The climatology of hues of {layer.title}, and the colours of recent days judged by it.",
    )

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=[f"0 {settings.daily_hour} 1 * *", f"30 {settings.daily_hour} 1 * *"],
        execution_timezone="UTC",
        default_status=_status(settings),
        description="On the first day of the month: the climatology, and half an hour later the days.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        today = context.scheduled_execution_time.date()
        if context.scheduled_execution_time.minute == 0:
            return [dg.RunRequest(run_key=f"{today}", asset_selection=[climatology])]
        names = context.instance.get_materialized_partitions(asset_key(active, "image"))
        days = sorted(day for day in map(date.fromisoformat, names) if today - _JUDGED_AGAIN <= day < today)
        if not days:
            return dg.SkipReason(f"there is no day of {layer.identifier} since {today - _JUDGED_AGAIN}")
        return [
            each.with_replaced_attrs(run_key=f"{today} {number}")
            for number, each in enumerate(run_requests(job.name, [judged], days, settings.chunk_days))
        ]

    return schedule
