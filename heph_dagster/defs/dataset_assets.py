"""What models of a GIBS layer are made of: its labels, their split and features of its days."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from collections import Counter

import dagster as dg
from pydantic import Field

from heph_dagster.anomalies import feature_table, label_table, splitting
from heph_dagster.anomalies.splits import Split
from heph_dagster.defs.automation import follow_all
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.resources import Gibs
from heph_dagster.settings import ActiveLayer

_MOST_LINES = 100


class LabelsConfig(dg.Config):
    """How labels are read."""

    eclipse_is_missing: bool = Field(default=False, description="Whether code 5 counts as missing data.")


class SplitConfig(dg.Config):
    """How days are split; by blocks unless `at_random`."""

    seed: int = Field(default=0, description="Another seed makes another split.")
    at_random: bool = Field(default=False, description="Each day for itself as gibs-ml does: neighbours leak.")
    block_days: int = Field(default=splitting.BLOCK_DAYS, description="Days of a block.")
    gap_days: int = Field(default=splitting.GAP_DAYS, description="Days left out between blocks of different splits.")


def dataset_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """Labels, split and features of a layer; none where the catalogue asks for no check of its days."""
    if "missing_data" not in active.layer.checks or active.epsg != 4326:
        return []
    return [_labels(active), _split(active), _features(active)]


def _labels(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "labels"),
        deps=[asset_key(active, check) for check in layer.checks],
        group_name=group_name(active),
        kinds={"parquet"},
        code_version=label_table.SCHEMA_VERSION,
        automation_condition=follow_all(*(asset_key(active, check) for check in layer.checks)),
        description=f"The label of each day of {layer.title}: by hand where somebody gave one, else automatic.",
    )
    def labels(config: LabelsConfig, gibs: Gibs) -> dg.MaterializeResult[None]:
        rows = label_table.update_labels(gibs.root, layer, epsg, eclipse_is_missing=config.eclipse_is_missing)
        differing = [row for row in rows if row.differing]
        lines = ["| day | by hand | automatic |", "| --- | --- | --- |"]
        for row in differing[:_MOST_LINES]:
            hand, automatic = (", ".join(code.words for code in codes or ()) for codes in (row.hand, row.automatic))
            lines.append(f"| {row.day} | {hand} | {automatic} |")
        return dg.MaterializeResult(
            metadata={
                "days": len(rows),
                "by_hand": sum(row.source == "hand" for row in rows),
                "could_not_be_judged": sum(not row.codes for row in rows),
                "missing": sum(row.missing is True for row in rows),
                "eclipse_is_missing": config.eclipse_is_missing,
                "disagreements": len(differing),
                "first_disagreements": dg.MetadataValue.md("\n".join(lines)),
                "path": dg.MetadataValue.path(str(label_table.labels_path(gibs.root, epsg, layer))),
            }
        )

    return labels


def _split(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "split"),
        deps=[asset_key(active, "labels")],
        group_name=group_name(active),
        code_version="1",
        description=f"Which labelled days of {layer.title} train, validate and test, as gibs-ml's text file.",
    )
    def split(context: dg.AssetExecutionContext, config: SplitConfig, gibs: Gibs) -> dg.MaterializeResult[None]:
        days = label_table.read_labels(label_table.labels_path(gibs.root, epsg, layer))
        if config.at_random:
            chosen = splitting.random_split(days, config.seed)
        else:
            chosen = splitting.block_split(days, config.seed, block_days=config.block_days, gap_days=config.gap_days)
        path = splitting.split_path(gibs.root, epsg, layer)
        splitting.write_split(path, chosen, days)
        counts = Counter(chosen.values())
        if empty := [str(each) for each in Split if not counts[each]]:
            context.log.warning("no days to %s: more days or smaller blocks make some", ", ".join(empty))
        return dg.MaterializeResult(
            metadata={
                **{str(each): counts[each] for each in Split},
                "left_out": len(days) - len(chosen),
                **config.model_dump(),
                "path": dg.MetadataValue.path(str(path)),
            }
        )

    return split


def _features(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "features"),
        deps=[asset_key(active, "image")],
        group_name=group_name(active),
        kinds={"parquet", "opencv"},
        code_version=feature_table.VERSION,
        automation_condition=follow_all(asset_key(active, "image")),
        description=f"Texture (HOG) and colour (hues) of each day of {layer.title}. Adds the days on disk that are new "
        "or have changed.",
    )
    def features(context: dg.AssetExecutionContext, gibs: Gibs) -> dg.MaterializeResult[None]:
        update = feature_table.update_features(gibs.root, layer, epsg, on_day=lambda day: context.log.info(f"{day}"))
        for day, error in update.failed.items():
            context.log.error(f"{day}: {error}")
        return dg.MaterializeResult(
            metadata={
                "days": update.days,
                "added": [day.isoformat() for day in update.added],
                "failed": {day.isoformat(): str(error) for day, error in update.failed.items()},
                "path": dg.MetadataValue.path(str(feature_table.features_path(gibs.root, epsg, layer))),
            }
        )

    return features
