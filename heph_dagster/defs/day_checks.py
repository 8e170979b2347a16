"""The asset checks of judged days: what is missing, miscoloured or warped, as warnings that name the days."""

# No `from __future__ import annotations`: Dagster reads the types of a check function as they are.
import dagster as dg

from heph_dagster.anomalies.flagged_days import judged_days
from heph_dagster.defs import parts
from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.partitions import run_days
from heph_dagster.defs.reports import FLAGGED, bullets
from heph_dagster.defs.resources import Gibs
from heph_dagster.settings import ActiveLayer

DAY_CHECKS = {"missing_data": "nothing_lost", "miscoloration": "no_false_colours", "edge_warping": "no_warped_edges"}
"""The check of each asset that judges days."""
_WHAT = {
    "missing_data": "lack data over more than the area that is set (alert_area_km2)",
    "miscoloration": "are miscoloured",
    "edge_warping": "have warped edges",
}


def day_checks(active: ActiveLayer, alert_area_km2: float) -> list[dg.AssetChecksDefinition]:
    """The checks of a layer's judged days; they warn and hold nothing up.

    Args:
        active: The layer and its projection.
        alert_area_km2: Area of unexpected missing data from which on a day is told of.
    """
    if active.epsg != 4326:
        return []
    return [_check(active, method, alert_area_km2) for method in DAY_CHECKS if method in active.layer.checks]


def _check(active: ActiveLayer, method: str, alert_area_km2: float) -> dg.AssetChecksDefinition:
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, method),
        name=DAY_CHECKS[method],
        description=f"Whether none of the run's days {_WHAT[method]}; without days, all that were judged.",
    )
    def check(context: dg.AssetCheckExecutionContext, gibs: Gibs) -> dg.AssetCheckResult:
        days = run_days(context)
        here = parts.of_layer(active, pixels=False) if days is None else parts.of_days(active, days, pixels=False)
        with gibs.open(*here) as data:
            judged = judged_days(data.root, layer, epsg, method, days, alert_area_km2)
        flagged = [each for each in judged if each.flagged]
        return dg.AssetCheckResult(
            passed=not flagged,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(flagged)} of {len(judged)} days {_WHAT[method]}",
            metadata={
                "days": len(judged),
                FLAGGED: [str(each.day) for each in flagged],
                "places": [each.places for each in flagged],
                "area_km2": [round(each.area_km2) for each in flagged],
                "report": bullets(each.message for each in flagged or judged),
            },
        )

    return check
