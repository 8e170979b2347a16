"""What the champions tell of a frame's interferograms, and whether these still look like those of training."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from typing import Any

import dagster as dg

from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_once_learned
from heph_dagster.defs.insar_assets import GROUP, insar_key, table, work_through_frames
from heph_dagster.defs.insar_partitions import FRAMES
from heph_dagster.defs.prediction_assets import drift_result
from heph_dagster.defs.reports import in_own_words
from heph_dagster.defs.resources import Insar, Mlflow
from heph_dagster.models.insar.prediction_table import frames_with_predictions, predictions_path

_PREDICTIONS = insar_key("predictions")
_MOST = 20


def insar_predictions(learners: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The predictions of interferograms.

    Args:
        learners: Keys of the assets that train.
    """

    @dg.asset(
        key=_PREDICTIONS,
        partitions_def=FRAMES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[insar_key("interferograms"), *learners],
        automation_condition=follow_once_learned(insar_key("interferograms"), dg.AssetSelection.assets(*learners)),
        group_name=GROUP,
        kinds={"parquet", "mlflow"},
        code_version="1",
        description="What the champions tell of a frame's interferograms, annotated or not, with their versions. Asks "
        "about those that are new or have changed, and about all when there is a new champion.",
    )
    def predictions(context: dg.AssetExecutionContext, insar: Insar, mlflow: Mlflow) -> None:
        from heph_dagster.models.insar.predictions import load_champions, predict_frame

        with in_own_words():
            champions = load_champions(mlflow.tracking())

        def predict(data: Insar, frame: str) -> dict[str, Any]:
            made = predict_frame(champions, data.folder, data.raw, frame)
            deformed = sorted((each for each in made.rows if each.deformed), key=lambda each: -_probability(each))
            lines = [(each.dates, f"{_probability(each):.3f}", each.x, each.y, each.unique_id) for each in deformed]
            return {
                "interferograms": len(made.rows),
                "asked_anew": made.anew,
                "deformed": len(deformed),
                "deformed_not_annotated": sum(each.unique_id is None for each in deformed),
                "likeliest": table(("dates", "probability", "x", "y", "annotation"), lines[:_MOST]),
                "left_out": len(made.left_out),
                "first_left_out": table(("dates", "reason"), list(made.left_out.items())),
                "model": champions.classifier.model.version.uri,
                "segmenter": "none" if champions.segmenter is None else champions.segmenter.model.version.uri,
                "path": data.place(predictions_path(data.folder, frame)),
            }

        work_through_frames(context, insar, predict)

    return predictions


@dg.asset_check(
    asset=_PREDICTIONS,
    name="drift",
    description="Whether interferograms, and what the champion tells of them, look like those of its training.",
)
def insar_drift(insar: Insar, mlflow: Mlflow) -> dg.AssetCheckResult:
    """Compare all frames with the training of the champion."""
    from heph_dagster.models.insar.predictions import find_drift

    with insar.open(*parts.of_insar()) as data, in_own_words():
        shifts = find_drift(mlflow.tracking(), data.folder, frames_with_predictions(data.folder))
    return drift_result(shifts, "interferograms that the present champion told of")


def _probability(prediction: Any) -> float:
    found: float = next(iter(prediction.probabilities.values()))
    return found
