"""Running assets over a range of days from Python, as one Dagster run per layer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.selector import (
    PartitionRangeSelector,
    PartitionsByAssetSelector,
    PartitionsSelector,
)
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from dagster._core.utils import make_new_backfill_id

from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.partitions import dynamic_name
from heph_dagster.files import replacing
from heph_dagster.gibs.download import list_days
from heph_dagster.gibs.periods import Period, compress
from heph_dagster.processes import this_process
from heph_dagster.settings import ActiveLayer, Settings

PROCESS_TAG = "heph/process"
"""Tag of a run that a process of ours carries out itself: which one."""
DAILY_ASSETS = ("image", "missing_data", "miscoloration", "edge_warping")
BACKFILLED = (*DAILY_ASSETS, "hue_climatology")
"""Miscolouring needs the climatology of its days."""


class NoDaysError(ValueError):
    """A range in which a layer has no days."""


def prepare_home(home: Path) -> Path:
    """Make a Dagster home, with telemetry off, where there is none."""
    config = home / "dagster.yaml"
    if not config.exists():
        with replacing(config) as part:
            part.write_bytes(Path(__file__).with_name("dagster.yaml").read_bytes())
    return home


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a home."""
    with dg.DagsterInstance.from_config(str(prepare_home(home))) as instance:
        yield instance


@dataclass
class RunReport:
    """What became of a range of days.

    Attributes:
        layer: Identifier of the layer.
        run_ids: Dagster's runs.
        done: Days that were materialized, by the asset's name (`image`, ...).
        errors: What failed, in words.
        seconds: Wall time.
    """

    layer: str
    run_ids: list[str] = field(default_factory=list)
    done: dict[str, list[date]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_range(
    definitions: dg.Definitions,
    settings: Settings,
    instance: dg.DagsterInstance,
    active: ActiveLayer,
    start: date,
    end: date,
) -> RunReport:
    """Materialize all daily assets of a layer for a range of days, in this process, in as few runs as are allowed.

    The no-data layer that the masks use comes along, and the climatology of hues is brought up to date with the range
    before its days are judged, each by the others. Where an image fails, the masks of the other days follow in runs of
    their own.
    The days of a layer that is not daily are asked of the server and run one by one, because Dagster keeps dynamic
    partitions in the order in which they were added.

    Args:
        definitions: The code location.
        settings: Where days come from.
        instance: Where the run is recorded.
        active: The layer.
        start: First day.
        end: Last day, included.

    Raises:
        NoDaysError: The layer has no days in the range.
    """
    layer = active.layer
    started = time.perf_counter()
    spans = _spans(settings, instance, active, start, end)
    job = definitions.resolve_implicit_global_asset_job_def()
    graph = definitions.resolve_asset_graph()
    image, *derived = (key for name in DAILY_ASSETS if graph.has(key := asset_key(active, name)))
    upstream = {parent for key in derived for parent in graph.get(key).parent_keys} - {image, *derived}
    report = RunReport(layer.identifier)
    steps = {key.to_python_identifier(): key for key in graph.get_all_asset_keys()}
    failed: dict[dg.AssetKey, set[date]] = {}

    def run(keys: list[dg.AssetKey], first: date, last: date) -> None:
        tags = {PROCESS_TAG: this_process()}
        if first != last:
            tags |= {ASSET_PARTITION_RANGE_START_TAG: f"{first}", ASSET_PARTITION_RANGE_END_TAG: f"{last}"}
        result = job.execute_in_process(
            instance=instance,
            asset_selection=keys,
            partition_key=f"{first}" if first == last else None,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        _add(report, instance, result, {image, *derived})
        for event in result.all_events:
            if event.is_step_failure:
                step = str(event.step_key)
                if step in steps:  # else it is a check
                    failed.setdefault(steps[step], set()).update(Period(first, last).days())
                    step = "/".join(steps[step].path[1:])
                report.errors.append(f"{step}: {_reason(event)}")

    for span in spans:
        run([*upstream, image, *derived], *span)
    for key in derived:
        name = key.path[-1]
        # A step does not run where an earlier one failed, were it for a single day: the days that it has go on. What
        # has failed itself is not tried again.
        left = set(report.done.get(image.path[-1], [])) - set(report.done.get(name, [])) - failed.get(key, set())
        undated = [parent for parent in graph.get(key).parent_keys if not graph.get(parent).is_partitioned]
        if not failed.keys().isdisjoint(undated):
            continue
        for period in compress(left):
            run([*undated, key], period.start, period.end)
    report.seconds = time.perf_counter() - started
    return report


def request_backfill(
    definitions: dg.Definitions,
    settings: Settings,
    instance: dg.DagsterInstance,
    layers: Iterable[ActiveLayer],
    names: Iterable[str],
    start: date,
    end: date,
) -> tuple[str, dict[str, tuple[date, date]]]:
    """Have the daemon materialize assets of layers over a range of days, as one backfill.

    Args:
        definitions: The code location.
        settings: Where days come from.
        instance: Whose daemon it is.
        layers: The layers; one that began later has its first day instead, and one without days in the range is left.
        names: Names of assets, as `image`; a layer that lacks one does without.
        start: First day.
        end: Last day, included.

    Returns:
        Identifier of the backfill, and the first and last day of each layer.

    Raises:
        NoDaysError: No layer has days in the range, or none has such an asset.
    """
    graph = definitions.resolve_asset_graph()
    days: dict[str, tuple[date, date]] = {}
    chosen: list[PartitionsByAssetSelector] = []
    for active in layers:
        keys = [key for name in names if graph.has(key := asset_key(active, name))]
        try:
            spans = _spans(settings, instance, active, start, end)
        except NoDaysError:
            continue
        span = spans[0][0], spans[-1][-1]
        if keys:
            days[active.layer.identifier] = span
        ranges = [PartitionRangeSelector(f"{first}", f"{last}") for first, last in spans]
        chosen += [
            PartitionsByAssetSelector(
                asset_key=key, partitions=PartitionsSelector(ranges=ranges) if graph.get(key).is_partitioned else None
            )
            for key in keys
        ]
    if not chosen:
        raise NoDaysError(f"no layer has such assets and days from {start} to {end}")
    with partition_loading_context(dynamic_partitions_store=instance):
        backfill = PartitionBackfill.from_partitions_by_assets(
            make_new_backfill_id(),
            graph,
            datetime.now(UTC).timestamp(),
            {},
            instance,
            chosen,
            title=f"{start} to {end}",
            description=None,
            run_config=None,
        )
    instance.add_backfill(backfill)
    return backfill.backfill_id, days


def _spans(
    settings: Settings, instance: dg.DagsterInstance, active: ActiveLayer, start: date, end: date
) -> list[tuple[date, date]]:
    """First and last days of the runs that a range of days takes; the days have partitions then."""
    layer = active.layer
    if end < start:
        raise NoDaysError(f"the range ends on {end}, before it starts on {start}")
    if layer.daily:
        # A day has a partition once it is over.
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        first, last = max(start, layer.first_day), min(end, layer.last_day or end, yesterday)
        most = timedelta(days=settings.chunk_days)
        starts = (first + number * most for number in range(-(-(last - first + timedelta(days=1)) // most)))
        spans = [(begin, min(begin + most - timedelta(days=1), last)) for begin in starts]
    else:
        periods = list_days(settings.client(), layer, active.epsg, start, end)
        days = sorted(day for period in periods for day in period.days() if start <= day <= end)
        instance.add_dynamic_partitions(dynamic_name(layer), [day.isoformat() for day in days])
        spans = [(day, day) for day in days]
    if not spans:
        until = f"its last {layer.last_day}" if layer.last_day else "its last is yesterday's"
        raise NoDaysError(
            f"{layer.identifier} has no days from {start} to {end}; its first day is {layer.first_day}, {until}"
        )
    return spans


def _add(
    report: RunReport, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, keys: set[dg.AssetKey]
) -> None:
    report.run_ids.append(result.run_id)
    records = instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    for event in (record.event_log_entry.dagster_event for record in records):
        if event is not None and event.asset_key in keys and event.asset_key and event.partition:
            report.done.setdefault(event.asset_key.path[-1], []).append(date.fromisoformat(event.partition))
    for days in report.done.values():
        days.sort()


def _reason(event: dg.DagsterEvent) -> str:
    """Why a step failed."""
    failure = event.step_failure_data
    text = failure.user_failure_data.description if failure.user_failure_data else None
    return text or (failure.error.to_string() if failure.error else "no reason given")
