"""What the champions tell of a layer's days, and whether these still look like those that they learned from."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_once_learned
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.insar_assets import table
from heph_dagster.defs.partitions import asked_days, days_of, run_days
from heph_dagster.defs.reports import bullets, conclude, in_own_words
from heph_dagster.defs.resources import Gibs, Mlflow
from heph_dagster.models.days.data import Task
from heph_dagster.models.days.prediction_table import Prediction, days_without_prediction, predictions_path
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.drift import Shift
from heph_dagster.settings import ActiveLayer


def prediction_assets(active: ActiveLayer, models: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The predictions of a layer's days; none where nothing learns of them.

    Args:
        active: The layer and its projection.
        models: The assets of its learners.
    """
    if not models:
        return []
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "predictions"),
        deps=[asset_key(active, "image"), *(each.key for each in models)],
        partitions_def=days_of(layer),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group_name(active),
        kinds={"parquet", "mlflow"},
        code_version="1",
        automation_condition=follow_once_learned(
            asset_key(active, "image"), dg.AssetSelection.assets(*(each.key for each in models))
        ),
        description=f"What the champion of each task tells of a day of {layer.title}, with its version.",
    )
    def predictions(context: dg.AssetExecutionContext, gibs: Gibs, mlflow: Mlflow) -> None:
        from heph_dagster.models.days.predictions import predict_days

        days = asked_days(context)
        read = (*parts.of_tables(active), *parts.of_days(active, days))
        with gibs.open(*read) as data, in_own_words():
            source = LayerDays(data.root, layer, epsg)
            made = predict_days(
                mlflow.tracking(), source, days, lambda done: context.log.info(f"{len(done)} days: done")
            )
            path = data.place(predictions_path(data.root, epsg, layer))
        for task in made.without_champion:
            context.log.warning(f"nothing tells {task} of days: no learner of it has a champion")
        done = {str(day): {**_metadata(each.values()), "path": path} for day, each in made.predictions.items()}
        conclude(context, done, {str(day): error for day, error in made.failed.items()})

    return [predictions]


def prediction_checks(active: ActiveLayer, models: Sequence[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """Drift of what a layer's champions see and tell, by task, and days untold; they warn and hold nothing up."""
    if not models:
        return []
    tasks = [task for task in Task if str(task) in active.layer.checks]
    return [_complete(active, tasks), *(_drift(active, task) for task in tasks)]


def _complete(active: ActiveLayer, tasks: Sequence[Task]) -> dg.AssetChecksDefinition:
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "predictions"),
        name="complete",
        description="Whether a champion of each task has told of each of the run's days.",
    )
    def complete(context: dg.AssetCheckExecutionContext, gibs: Gibs) -> dg.AssetCheckResult:
        days = run_days(context) or []
        with gibs.open(*parts.of_tables(active)) as data:
            lacking = days_without_prediction(predictions_path(data.root, epsg, layer), days, tasks)
        lines = [f"{day}: {', '.join(each)}" for day, each in lacking.items()]
        untold = sorted({str(task) for each in lacking.values() for task in each})
        return dg.AssetCheckResult(
            passed=not lacking,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(lacking)} of {len(days)} days lack a prediction"
            + (f" of {' and '.join(untold)}: is there a champion?" if untold else ""),
            metadata={"days": len(days), "lacking": bullets(lines)},
        )

    return complete


def _drift(active: ActiveLayer, task: Task) -> dg.AssetChecksDefinition:
    layer, epsg = active

    @dg.asset_check(
        asset=asset_key(active, "predictions"),
        name=f"drift_of_{task}",
        description="Whether recent days, and what the champion tells of them, look like those of its training.",
    )
    def drift(gibs: Gibs, mlflow: Mlflow) -> dg.AssetCheckResult:
        from heph_dagster.models.days.predictions import RECENT_DAYS, find_drift

        with gibs.open(*parts.of_tables(active)) as data, in_own_words():
            shifts = find_drift(mlflow.tracking(), LayerDays(data.root, layer, epsg), task)
        return drift_result(shifts, f"days of the last {RECENT_DAYS} that the present champion told of")

    return drift


def drift_result(shifts: Mapping[str, Shift], what: str) -> dg.AssetCheckResult:
    """The result of a check of drift, which warns.

    Args:
        shifts: By name of the figure; empty where too few cases could be compared.
        what: What was compared, in words.
    """
    drifted = sorted(name for name, each in shifts.items() if each.drifted)
    if not shifts:
        told = f"There are too few {what} to compare them with its training."
    elif drifted:
        told = f"{', '.join(drifted)} of the {what} are not as in training: look at them, or train again."
    else:
        told = f"The {what} are as in training."
    rows = [(name, f"{each.index:.2f}", f"{each.threshold:.2f}", each.cases) for name, each in shifts.items()]
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={"shifts": table(("figure", "stability index", "threshold", "cases"), rows)},
    )


def _metadata(predictions: Iterable[Prediction]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for each in predictions:
        metadata |= {
            str(each.task): each.positive,
            f"{each.task}_probability": each.probability,
            f"{each.task}_threshold": each.threshold,
            f"{each.task}_model": f"models:/{each.model}/{each.version}",
            f"{each.task}_learner": each.learner,
        }
    return metadata
