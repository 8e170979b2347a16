"""What is new in Dagster's event log, as alerts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from heph_dagster.alerts.alert import Alert, Severity
from heph_dagster.anomalies.flagged_days import judged_day, picture
from heph_dagster.defs.day_checks import DAY_CHECKS
from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.parts import of_days
from heph_dagster.defs.reports import FLAGGED
from heph_dagster.settings import ActiveLayer, Settings
from heph_dagster.storage.working_copy import Part, WorkingCopy, working_copy

_BATCH = 500
_MOST_BATCHES = 10
_MOST_ASSETS = 3
_LONGEST_TEXT = 2000
_TOLD = (
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.FRESHNESS_STATE_CHANGE,
)
_TITLES = {
    "missing_data": "data are missing on",
    "miscoloration": "wrong colours on",
    "edge_warping": "warped edges on",
    "frozen": "an earlier day is repeated on",
    "whole": "damaged files of",
}
_PARTITION_TAGS = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)


@dataclass
class Cursor:
    """How far the event log has been read.

    Attributes:
        after: Number of the last event that was read, by type.
        failing: Checks that have failed and not passed since: they are told once.
    """

    after: dict[str, int] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """The cursor that `str` has written; without one, the log is read from its beginning."""
        return cls(**json.loads(text)) if text else cls()

    def __str__(self) -> str:
        return json.dumps({"after": self.after, "failing": self.failing})


class Events:
    """Finds what to tell of in the event log of an instance."""

    def __init__(self, settings: Settings) -> None:
        """Know the layers, and where the UI is."""
        self._address, self._home, self._area = settings.address, settings.home, settings.alert_area_km2
        self._url = settings.dagster_url
        active = settings.active_layers()
        self._layers = {_name(each): each for each in active}
        self._images = {asset_key(each, "image"): each for each in active}
        self._judged = {
            asset_key(each, method): (each, method)
            for each in active
            for method in DAY_CHECKS
            if method in each.layer.checks and each.epsg == 4326
        }

    def read(self, instance: dg.DagsterInstance, cursor: Cursor) -> list[Alert]:
        """The alerts of what is new, at most some thousand events at once; the cursor moves on."""
        found: list[Alert] = []
        for kind in _TOLD:
            for _ in range(_MOST_BATCHES):
                entries = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
                    cursor.after.get(kind.value, -1), kind, _BATCH
                )
                events = {number: entry.dagster_event for number, entry in entries.items() if entry.dagster_event}
                with working_copy(self._address, self._home, self._parts(events.values())) as copy:
                    for number, event in events.items():
                        found += self._alerts(instance, copy, number, event, cursor)
                cursor.after[kind.value] = max(entries, default=cursor.after.get(kind.value, -1))
                if len(entries) < _BATCH:
                    break
        return found

    def draw(self, alert: Alert) -> bytes | None:
        """The picture of an alert of a day, with what is wrong drawn over it."""
        if alert.day is None or alert.subject not in self._layers:
            return None
        layer, epsg = self._layers[alert.subject]
        with working_copy(self._address, self._home, of_days(self._layers[alert.subject], [alert.day])) as copy:
            return picture(copy.folder, layer, epsg, alert.kind, alert.day)

    def of_failed_run(self, run: dg.DagsterRun, reasons: list[str]) -> Alert:
        """The alert of a run that failed.

        Args:
            run: The run.
            reasons: Why, of each step that failed, or of the run.
        """
        assets = sorted(key.to_user_string() for key in run.asset_selection or ())
        more = f" and {len(assets) - _MOST_ASSETS} more" if len(assets) > _MOST_ASSETS else ""
        what = ", ".join(assets[:_MOST_ASSETS]) + more if assets else run.job_name
        days = [run.tags[tag] for tag in _PARTITION_TAGS if tag in run.tags]
        return Alert(
            key=f"run_failure/{run.run_id}",
            kind="run_failure",
            subject=run.job_name,
            title=f"a run failed: {what}" + (f" ({' to '.join(days)})" if days else ""),
            text="\n".join(reasons)[:_LONGEST_TEXT] or "no reason given",
            severity="error",
            link=f"{self._url}/runs/{run.run_id}",
        )

    def _parts(self, events: Iterable[dg.DagsterEvent]) -> Iterator[Part]:
        """Figures of the days that were judged."""
        days: dict[ActiveLayer, set[date]] = {}
        for event in events:
            if event.is_step_materialization and event.asset_key in self._judged and event.partition:
                days.setdefault(self._judged[event.asset_key][0], set()).add(date.fromisoformat(event.partition))
        for active, judged in days.items():
            yield from of_days(active, judged, pixels=False)

    def _alerts(
        self, instance: dg.DagsterInstance, copy: WorkingCopy, number: int, event: dg.DagsterEvent, cursor: Cursor
    ) -> Iterator[Alert]:
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            if event.asset_key in self._judged and event.partition:
                yield from self._of_day(copy, event.asset_key, date.fromisoformat(event.partition))
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield from self._of_check(number, event.asset_check_evaluation_data, cursor)
        elif event.asset_freshness_state_change_data.new_state is FreshnessState.FAIL:
            yield from self._of_old_image(instance, event.asset_freshness_state_change_data.key)

    def _of_day(self, copy: WorkingCopy, key: dg.AssetKey, day: date) -> Iterator[Alert]:
        active, method = self._judged[key]
        try:
            judged = judged_day(copy.folder, active.layer, active.epsg, method, day, self._area)
        except ValueError as error:
            yield self._of_item(method, _name(active), key, f"{day}", copy.words(error), "error", "/damaged")
        else:
            if judged is not None and judged.flagged:
                yield self._of_item(method, _name(active), key, f"{day}", judged.message, "warning")

    def _of_check(self, number: int, check: dg.AssetCheckEvaluation, cursor: Cursor) -> Iterator[Alert]:
        key, name = check.asset_key, f"{check.asset_key.to_user_string()}/{check.check_name}"
        if key in self._judged and check.check_name == DAY_CHECKS[self._judged[key][1]]:
            return  # each of its days is told of as it is materialized, also where others of its run fail
        if check.passed:
            cursor.failing = [each for each in cursor.failing if each != name]
            return
        metadata: Mapping[str, Any] = {label: value.value for label, value in check.metadata.items()}
        severity: Severity = "error" if check.severity is dg.AssetCheckSeverity.ERROR else "warning"
        if key in self._images and check.check_name == "stale" and "newest_day" in metadata:
            yield self._stale(self._images[key], metadata["newest_day"], check.description or "")
        elif metadata.get(FLAGGED):
            subject = _name(self._images[key]) if key in self._images else key.to_user_string()
            lines = str(metadata.get("report", "")).splitlines()
            for item in metadata[FLAGGED]:
                own = next((line[2:] for line in lines if line.startswith(f"- {item}")), check.description or "")
                yield self._of_item(check.check_name, subject, key, item, own, severity)
        elif name not in cursor.failing:
            cursor.failing.append(name)
            yield Alert(
                key=f"check/{name}/{number}",
                kind="failed_check",
                subject=key.to_user_string(),
                title=f"{key.to_user_string()}: the check {check.check_name} failed",
                text=check.description or "no reason given",
                severity=severity,
                link=f"{self._asset(key)}?view=checks&checkDetail={quote(check.check_name)}",
            )

    def _of_item(
        self, kind: str, subject: str, key: dg.AssetKey, item: str, text: str, severity: Severity, again: str = ""
    ) -> Alert:
        """The alert of a day, or of a frame, with which something is wrong."""
        return Alert(
            key=f"{kind}/{subject}/{item}{again}",
            kind=kind,
            subject=subject,
            title=f"{subject}: {_TITLES.get(kind, kind)} {item}",
            text=text,
            severity=severity,
            link=f"{self._asset(key)}?view=partitions&partition={quote(item)}",
            day=_day(item),
        )

    def _of_old_image(self, instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[Alert]:
        if key in self._images:
            newest = max(instance.get_materialized_partitions(key), default="None")
            text = f"no day has come for longer than is usual; the newest here is {newest}"
            yield self._stale(self._images[key], newest, text)

    def _stale(self, active: ActiveLayer, newest: str, text: str) -> Alert:
        name = _name(active)
        return Alert(
            key=f"stale/{name}/{newest}",
            kind="stale",
            subject=name,
            title=f"{name}: nothing new since {newest}",
            text=text,
            severity="warning",
            link=f"{self._asset(asset_key(active, 'image'))}?view=checks&checkDetail=stale",
        )

    def _asset(self, key: dg.AssetKey) -> str:
        return f"{self._url}/assets/{'/'.join(map(quote, key.path))}"


def _name(active: ActiveLayer) -> str:
    """A layer as the setting `layers` names it."""
    return active.layer.identifier if active.epsg == 4326 else f"epsg{active.epsg}/{active.layer.identifier}"


def _day(item: str) -> date | None:
    try:
        return date.fromisoformat(item)
    except ValueError:  # a frame
        return None
