"""The assets that judge a GIBS layer's colours, made from its row in the catalogue."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from datetime import date
from typing import Any

import dagster as dg

from heph_dagster.anomalies import climatology, miscolour
from heph_dagster.anomalies.missing_files import overlay
from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_all, follow_days
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.partitions import asked_days, days_of
from heph_dagster.defs.reports import in_own_words, picture, work_through
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.settings import ActiveLayer


def colour_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """The climatology of a layer's hues and the days judged by it; none where the catalogue does not ask for them."""
    if not _judges_colours(active):
        return []
    return [_hue_climatology(active), _miscoloration(active)]


def _hue_climatology(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "hue_climatology"),
        deps=[asset_key(active, "missing_data")],
        group_name=group_name(active),
        kinds={"sqlite"},
        code_version=str(climatology.SCHEMA_VERSION),
        automation_condition=follow_all(asset_key(active, "missing_data")),
        description=f"How often each hue occurs where on normal days of {layer.title}. Adds the days on disk that "
        "are not in it yet, without what they lack.",
    )
    def hue_climatology(context: dg.AssetExecutionContext, gibs: Gibs) -> dg.MaterializeResult[None]:
        with gibs.open(*parts.of_layer(active)) as data, in_own_words():
            update = add_normal_days(data.root, layer, epsg, lambda day: context.log.info(f"{day}"))
            path = data.place(climatology.climatology_path(data.root, epsg, layer))
        for day, error in update.failed.items():
            context.log.error(f"{day}: {error}")
        return dg.MaterializeResult(
            metadata={
                "days": update.days,
                "added": [day.isoformat() for day in update.added],
                "removed": [day.isoformat() for day in update.removed],
                "left_out": {day.isoformat(): why for day, why in update.left_out.items()},
                "failed": {day.isoformat(): str(error) for day, error in update.failed.items()},
                "path": path,
            }
        )

    return hue_climatology


def colour_checks(active: ActiveLayer) -> list[dg.AssetChecksDefinition]:
    """Whether a layer's climatology can be what its days add up to; without that, no day's colours are judged."""
    if not _judges_colours(active):
        return []
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "hue_climatology"),
        name="consistent",
        blocking=True,
        description="Whether the sums of the climatology can be those of its days.",
    )
    def consistent(gibs: Gibs) -> dg.AssetCheckResult:
        try:
            with (
                gibs.open(*parts.of_tables(active)) as data,
                climatology.HueClimatology(climatology.climatology_path(data.root, epsg, layer), layer, epsg) as hues,
            ):
                hues.check()
                told = f"{hues.count()} days are counted"
        except climatology.ClimatologyError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(passed=True, description=told)

    return [consistent]


def _judges_colours(active: ActiveLayer) -> bool:
    return {"missing_data", "miscoloration"} <= set(active.layer.checks) and active.epsg == 4326


def _miscoloration(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "miscoloration"),
        deps=[asset_key(active, "image"), asset_key(active, "hue_climatology")],
        partitions_def=days_of(layer),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group_name(active),
        kinds={"opencv"},
        code_version=miscolour.VERSION,
        automation_condition=follow_days(asset_key(active, "image"), needed=asset_key(active, "hue_climatology")),
        description=f"Where {layer.title} has colours that day which hardly ever occur there: a class mask, the "
        "patches as polygons and a verdict.",
    )
    def miscoloration(context: dg.AssetExecutionContext, gibs: Gibs) -> None:
        def judge(data: Gibs, key: str) -> dict[str, Any]:
            day = date.fromisoformat(key)
            return _metadata(data, miscolour.label_miscolouring(data.root, layer, epsg, day))

        read = (*parts.of_tables(active), *parts.of_days(active, asked_days(context)))
        work_through(context, gibs.open(*read), judge)

    return miscoloration


def _metadata(data: Gibs, files: miscolour.MiscolouringFiles) -> dict[str, Any]:
    result = files.result
    metadata: dict[str, Any] = {
        "verdict": result.verdict,
        "labels": [int(label) for label in result.labels],
        "climatology_days": result.days,
    }
    if result.patches is None or files.mask is None or files.polygons is None:
        return metadata | {"reason": result.reason}
    regions = result.patches.regions
    return metadata | {
        "preview": picture(overlay(thumbnail(files.mosaic), result.patches.classes)),
        "miscoloured_share": result.patches.share,
        "patches": len(regions),
        "largest_patch_km2": round(regions[0].area_km2) if regions else 0,
        "mask": data.place(files.mask),
        "polygons": data.place(files.polygons),
    }
