"""What models of a GIBS layer are made of: its labels, their split and features of its days."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from pydantic import Field

from heph_dagster.anomalies import feature_table, label_table, splitting
from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.splits import Split, SplitDay, read_splits
from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_all
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.reports import bullets
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
    if not _has_datasets(active):
        return []
    return [_labels(active), _split(active), _features(active)]


def dataset_checks(active: ActiveLayer) -> list[dg.AssetChecksDefinition]:
    """The check of a layer's labels; those of the split and the features come with these."""
    if not _has_datasets(active):
        return []
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "labels"), name="complete", description="Whether each day on disk has been judged."
    )
    def complete(gibs: Gibs) -> dg.AssetCheckResult:
        with gibs.open(*parts.of_layer(active, pixels=False)) as data:
            days = label_table.days_without_label(data.root, layer, epsg)
        return dg.AssetCheckResult(
            passed=not days,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(days)} days on disk have no label: materialize the assets that judge them",
            metadata={"days": bullets(days)},
        )

    return [complete]


def _has_datasets(active: ActiveLayer) -> bool:
    return "missing_data" in active.layer.checks and active.epsg == 4326


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
        with gibs.open(*parts.of_layer(active, pixels=False)) as data:
            rows = label_table.update_labels(data.root, layer, epsg, eclipse_is_missing=config.eclipse_is_missing)
            path = data.place(label_table.labels_path(data.root, epsg, layer))
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
                "path": path,
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
        check_specs=[
            dg.AssetCheckSpec(
                "no_leakage",
                asset=asset_key(active, "split"),
                blocking=True,
                description="Whether no day has a neighbour in another part; by design, days at random have some.",
            ),
            dg.AssetCheckSpec(
                "learnable",
                asset=asset_key(active, "split"),
                description="Whether each part has days, normal ones and others.",
            ),
        ],
        description=f"Which labelled days of {layer.title} train, validate and test, as gibs-ml's text file.",
    )
    def split(config: SplitConfig, gibs: Gibs) -> dg.MaterializeResult:  # type: ignore[type-arg]  # as models
        with gibs.open(*parts.of_tables(active)) as data:
            days = label_table.read_labels(label_table.labels_path(data.root, epsg, layer))
            if config.at_random:
                chosen = splitting.random_split(days, config.seed)
            else:
                chosen = splitting.block_split(
                    days, config.seed, block_days=config.block_days, gap_days=config.gap_days
                )
            path = splitting.split_path(data.root, epsg, layer)
            splitting.write_split(path, chosen, days)
            checks, place = list(_split_checks(read_splits(path), config)), data.place(path)
        counts = Counter(chosen.values())
        return dg.MaterializeResult(
            metadata={
                **{str(each): counts[each] for each in Split},
                "left_out": len(days) - len(chosen),
                **config.model_dump(),
                "path": place,
            },
            check_results=checks,
        )

    return split


def _split_checks(rows: list[SplitDay], config: SplitConfig) -> Iterator[dg.AssetCheckResult]:
    """What is wrong with a split as it was written."""
    near = splitting.leaks({row.day: row.split for row in rows}, 1 if config.at_random else config.gap_days)
    told = f"{len(near)} pairs of days of different parts are no more than {config.gap_days} days apart"
    if config.at_random:
        told = f"{len(near)} pairs of neighbours are in different parts: days at random are for comparison only"
    yield dg.AssetCheckResult(
        check_name="no_leakage",
        passed=config.at_random or not near,
        description=told,
        metadata={"pairs": bullets(f"{day} and {later}" for day, later in near)},
    )
    # Learners refuse such parts in words, and a young archive is no fault.
    lacking = splitting.lacking(rows)
    yield dg.AssetCheckResult(
        check_name="learnable",
        passed=not lacking,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(lacking)
        + (": more days or smaller blocks make some" if lacking else "each part has both"),
    )


def _features(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "features"),
        deps=[asset_key(active, "image")],
        group_name=group_name(active),
        kinds={"parquet", "opencv"},
        code_version=feature_table.VERSION,
        automation_condition=follow_all(asset_key(active, "image")),
        check_specs=[
            dg.AssetCheckSpec(
                "finite",
                asset=asset_key(active, "features"),
                blocking=True,
                description="Whether all values are finite numbers.",
            ),
            dg.AssetCheckSpec(
                "complete",
                asset=asset_key(active, "features"),
                description="Whether each day on disk that shows anything has a row.",
            ),
        ],
        description=f"Texture (HOG) and colour (hues) of each day of {layer.title}. Adds the days on disk that are new "
        "or have changed.",
    )
    def features(context: dg.AssetExecutionContext, gibs: Gibs) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with gibs.open(*parts.of_layer(active)) as data:
            update = feature_table.update_features(
                data.root, layer, epsg, on_day=lambda day: context.log.info(f"{day}")
            )
            path = feature_table.features_path(data.root, epsg, layer)
            checks, place = list(_feature_checks(path, update)), data.place(path)
        for day, error in update.failed.items():
            context.log.error(f"{day}: {error}")
        return dg.MaterializeResult(
            metadata={
                "days": update.days,
                "added": [day.isoformat() for day in update.added],
                "failed": {day.isoformat(): str(error) for day, error in update.failed.items()},
                "path": place,
            },
            check_results=checks,
        )

    return features


def _feature_checks(path: Path, update: feature_table.FeatureUpdate) -> Iterator[dg.AssetCheckResult]:
    """What is wrong with a table of features as it was written."""
    wrong = feature_table.days_not_finite(path) if update.days else []
    yield dg.AssetCheckResult(
        check_name="finite",
        passed=not wrong,
        description=f"{len(wrong)} of {update.days} days have values that are no finite numbers",
        metadata={"days": bullets(wrong)},
    )
    damaged = {day: error for day, error in update.failed.items() if not isinstance(error, UnusableImageError)}
    yield dg.AssetCheckResult(
        check_name="complete",
        passed=not damaged,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(damaged)} days cannot be read and have no features",
        metadata={"days": bullets(f"{day}: {error}" for day, error in damaged.items())},
    )
