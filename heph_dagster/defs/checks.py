"""The asset checks of a GIBS layer's images: days that are damaged or repeat earlier ones, a layer that has stopped."""

# No `from __future__ import annotations`: Dagster reads the types of a check function as they are.
from datetime import UTC, datetime

import dagster as dg

from heph_dagster.anomalies.frozen import check_frozen, compared_days
from heph_dagster.anomalies.stale import days_of_delay, find_stale, usual_delay
from heph_dagster.defs import parts
from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.partitions import run_days
from heph_dagster.defs.reports import FLAGGED, bullets
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.client import GibsError
from heph_dagster.gibs.download import list_days
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.verify import check_agreement, stored_days
from heph_dagster.settings import ActiveLayer


def layer_checks(active: ActiveLayer) -> list[dg.AssetChecksDefinition]:
    """The checks of a layer's images; all but the first warn and hold nothing up."""
    return [_whole(active), _frozen(active), _stale(active)]


def _whole(active: ActiveLayer) -> dg.AssetChecksDefinition:
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "image"),
        name="whole",
        blocking=True,
        description="Whether mosaic, index and manifest of the run's days agree; without days, of all on disk.",
    )
    def whole(context: dg.AssetCheckExecutionContext, gibs: Gibs) -> dg.AssetCheckResult:
        days, wrong = run_days(context), {}
        with gibs.open(*(parts.of_layer(active) if days is None else parts.of_days(active, days))) as data:
            if days is None:
                here = stored_days(data.root)
                days = [each.day for each in here if (each.epsg, each.layer) == (epsg, layer.identifier)]
            for day in days:
                try:
                    check_agreement(mosaic_path(data.root, epsg, day, layer), epsg)
                except (MosaicError, OSError) as error:
                    wrong[day] = data.words(error)
        return dg.AssetCheckResult(
            passed=not wrong,
            description=f"{len(wrong)} of {len(days)} days are damaged",
            metadata={
                "days": len(days),
                FLAGGED: [str(day) for day in wrong],
                "report": bullets(f"{day}: {error}" for day, error in wrong.items()),
            },
        )

    return whole


def _frozen(active: ActiveLayer) -> dg.AssetChecksDefinition:
    layer, epsg = active

    # Checks by partition are a preview in Dagster, and know no ranges: the days of a run are one evaluation.
    @dg.asset_check(
        asset=asset_key(active, "image"),
        name="frozen",
        description="Whether the run's days equal earlier ones on disk, byte by byte, in large parts.",
    )
    def frozen(context: dg.AssetCheckExecutionContext, gibs: Gibs) -> dg.AssetCheckResult:
        days = run_days(context)
        if days is None:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description="No day was compared: the check compares the days of the run that makes them. "
                "Materialize days, or run: heph check",
            )
        with gibs.open(*parts.of_days(active, compared_days(days))) as data:
            results = check_frozen(data.root, layer, epsg, days)
        flagged = [each for each in results if each.flagged]
        unreadable = [each for each in results if each.unreadable is not None]
        description = f"{len(flagged)} of {len(results)} days repeat an earlier one"
        return dg.AssetCheckResult(
            passed=not flagged and not unreadable,
            severity=dg.AssetCheckSeverity.WARN,
            description=description + (f"; {len(unreadable)} cannot be compared" if unreadable else ""),
            metadata={
                "days": len(results),
                FLAGGED: [str(each.day) for each in flagged],
                "repeated_days": [str(each.repeats) for each in flagged],
                "unreadable_days": [str(each.day) for each in unreadable],
                "greatest_share": max(each.share for each in results),
                "compared_with": max(len(each.compared) for each in results),
                "report": bullets(each.message for each in [*flagged, *unreadable] or results),
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
        read = parts.of_days(active, days_of_delay(layer, today), pixels=False)
        with gibs.open(*(read if layer.daily else parts.of_layer(active, pixels=False))) as data:
            result = find_stale(layer, periods, today, usual_delay(data.root, layer, epsg, today))
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
