"""The asset that looks for warped edges in a GIBS layer's days, made from its row in the catalogue."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from datetime import date
from typing import Any

import dagster as dg

from heph_dagster.anomalies import warping
from heph_dagster.anomalies.missing_files import overlay
from heph_dagster.anomalies.warped_days import WarpingFiles, label_warping
from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_days
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.partitions import asked_days, days_of
from heph_dagster.defs.reports import picture, work_through
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.settings import ActiveLayer


def warping_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """The days of a layer judged for warped edges; none where the catalogue does not ask for it."""
    if "edge_warping" not in active.layer.checks or active.epsg != 4326:
        return []
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "edge_warping"),
        deps=[asset_key(active, "image")],
        partitions_def=days_of(layer),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group_name(active),
        kinds={"opencv"},
        code_version=warping.VERSION,
        automation_condition=follow_days(asset_key(active, "image")),
        description=f"Where borders of the image or of a swath of {layer.title} are bent or shown twice that day: "
        "the places and a verdict.",
    )
    def edge_warping(context: dg.AssetExecutionContext, gibs: Gibs) -> None:
        def judge(data: Gibs, key: str) -> dict[str, Any]:
            return _metadata(data, label_warping(data.root, layer, epsg, date.fromisoformat(key)))

        work_through(context, gibs.open(*parts.of_days(active, asked_days(context))), judge)

    return [edge_warping]


def _metadata(data: Gibs, files: WarpingFiles) -> dict[str, Any]:
    metadata: dict[str, Any] = {"verdict": files.verdict, "labels": [int(label) for label in files.labels]}
    if files.warping is None:
        return metadata | {"reason": files.reason}
    edges = files.warping.edges
    metadata |= {
        "preview": picture(overlay(thumbnail(files.mosaic), files.warping.classes)),
        "edges": len(edges),
        "at_antimeridian": sum(edge.at_antimeridian for edge in edges),
        "highest_score": files.warping.score,
    }
    return metadata if files.mask is None else metadata | {"mask": data.place(files.mask)}
