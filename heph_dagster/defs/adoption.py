"""Days that were adopted, made known to Dagster as materializations of their image assets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from heph_dagster.defs.gibs_assets import asset_key
from heph_dagster.defs.partitions import has_day
from heph_dagster.defs.reports import picture
from heph_dagster.gibs.adopt import Adopted
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.settings import ActiveLayer


@dataclass
class Marks:
    """What Dagster knows of adopted days.

    Attributes:
        marked: Days that were recorded as materialized now, by asset key.
        without_partition: Days on which the asset has no partition, by asset key.
        inactive: Days of layers without assets, by asset key if they had one.
    """

    marked: dict[str, list[date]] = field(default_factory=dict)
    without_partition: dict[str, list[date]] = field(default_factory=dict)
    inactive: dict[str, list[date]] = field(default_factory=dict)


def mark_adopted(
    instance: dg.DagsterInstance,
    active: Iterable[ActiveLayer],
    adopted: Iterable[Adopted],
    place: Callable[[Path], str] = lambda path: str(path.absolute()),
) -> Marks:
    """Record adopted days as materializations of `image`, which say where the days come from.

    Of the days that were kept, those are recorded whose mosaics were made of an image and of which Dagster does not
    know: an adoption may have been stopped before. A day that was downloaded is left to the runs that download.

    Args:
        instance: Where to record.
        active: The layers that have assets.
        adopted: The days.
        place: Tells where a mosaic is kept.

    Raises:
        MosaicError: A mosaic is damaged.
    """
    layers, marks = set(active), Marks()
    known: dict[dg.AssetKey, set[str]] = {}
    for each in adopted:
        if each.day is None:
            continue
        layer = ActiveLayer(each.layer, each.epsg)
        key, partition = asset_key(layer, "image"), each.day.isoformat()
        name = key.to_user_string()
        if key not in known:
            known[key] = instance.get_materialized_partitions(key)
        if each.outcome == "kept" and partition in known[key]:
            continue
        with Mosaic(each.target, each.epsg) as mosaic:
            origin, level = mosaic.origin, mosaic.level
        if origin is None:
            continue
        if layer not in layers:
            marks.inactive.setdefault(name, []).append(each.day)
        elif not has_day(instance, each.layer, each.day):
            marks.without_partition.setdefault(name, []).append(each.day)
        else:
            metadata: dict[str, Any] = {
                "preview": picture(thumbnail(each.target)),
                "path": dg.MetadataValue.path(place(each.target)),
                "outcome": "adopted",
                "level": level,
                **origin,
            }
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
            marks.marked.setdefault(name, []).append(each.day)
    return marks
