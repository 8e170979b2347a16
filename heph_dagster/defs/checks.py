"""The asset checks of a GIBS layer's images: days that repeat earlier ones, and a layer that has stopped."""

# No `from __future__ import annotations`: Dagster reads the types of a check function as they are.
from datetime import UTC, date, datetime

import dagster as dg

from heph_dagster.anomalies.frozen import check_frozen
from heph_dagster.anomalies.stale import find_stale, usual_delay
from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.client import GibsError
from heph_dagster.gibs.download import list_days
from heph_dagster.settings import ActiveLayer


def layer_checks(active: ActiveLayer) -> list[dg.AssetChecksDefinition]:
    """The checks of a layer's images; they warn and hold nothing up."""
    return [_frozen(active), _stale(active)]


def _frozen(active: ActiveLayer) -> dg.AssetChecksDefinition:
    layer, epsg = active

    # Checks by partition are a preview in Dagster, and know no ranges: the days of a run are one evaluation.
    @dg.asset_check(
        asset=asset_key(active, "image"),
        name="frozen",
        description="Whether the run's days equal earlier ones on disk, byte by byte, in large parts.",
    )
    def frozen(context: dg.AssetCheckExecutionContext, gibs: Gibs) -> dg.AssetCheckResult:
        if not (context.has_partition_key or context.has_partition_key_range):
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description="No day was compared: the check compares the days of the run that makes them. "
                "Materialize days, or run: heph check",
            )
        days = [date.fromisoformat(key) for key in context.partition_keys]
        results = check_frozen(gibs.root, layer, epsg, days)
        flagged = [each for each in results if each.flagged]
        unreadable = [each for each in results if each.unreadable is not None]
        lines = [f"- {each.message}" for each in [*flagged, *unreadable] or results]
        description = f"{len(flagged)} of {len(results)} days repeat an earlier one"
        return dg.AssetCheckResult(
            passed=not flagged and not unreadable,
            severity=dg.AssetCheckSeverity.WARN,
            description=description + (f"; {len(unreadable)} cannot be compared" if unreadable else ""),
            metadata={
                "days": len(results),
                "frozen_days": [str(each.day) for each in flagged],
                "repeated_days": [str(each.repeats) for each in flagged],
                "unreadable_days": [str(each.day) for each in unreadable],
                "greatest_share": max(each.share for each in results),
                "compared_with": max(len(each.compared) for each in results),
                "report": dg.MetadataValue.md("\n".join(lines)),
            },
        )

    return frozen


def _stale(active: ActiveLayer) -> dg.AssetChecksDefinition:
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "image"),
        name="stale",
        description="Whether the server's newest day is older than the layer's cadence and usual delay explain.",
    )
    def stale(gibs: Gibs) -> dg.AssetCheckResult:
        today = datetime.now(UTC).date()
        try:
            periods = list_days(gibs.client(), layer, epsg)
        except GibsError as error:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"The server does not tell which days it has: {error}",
            )
        result = find_stale(layer, periods, today, usual_delay(gibs.root, layer, epsg, today))
        return dg.AssetCheckResult(
            passed=not result.flagged,
            severity=dg.AssetCheckSeverity.WARN,
            description=result.message,
            metadata={
                "newest_day": str(result.newest),
                "due": str(result.due),
                "usual_delay_days": result.delay.days,
                "delay_learned_from_days": result.delay.learned_from,
            },
        )

    return stale
