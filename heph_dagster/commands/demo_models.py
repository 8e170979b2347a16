"""The demonstration's learners: those that are quick, trained on its few days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    from heph_dagster.settings import ActiveLayer

QUICK = ("softmax", "random_forest")
_SPLIT = {"block_days": 3, "gap_days": 0}


@dataclass(frozen=True)
class LearnerSummary:
    """A learner of the demonstration.

    Attributes:
        layer: Identifier of the layer.
        task: What it tells of a day.
        learner: Its name.
        test_roc_auc: Area under the curve on the test days, with its interval; None if it was not trained.
        skipped: Why it was not trained.
    """

    layer: str
    task: str
    learner: str
    test_roc_auc: str | None
    skipped: str | None = None


def train_learners(
    definitions: dg.Definitions, instance: dg.DagsterInstance, layers: list[ActiveLayer]
) -> list[LearnerSummary]:
    """Label days, compute their features, split them by blocks of three days, and train the quick learners.

    Args:
        definitions: The code location.
        instance: Where runs are recorded.
        layers: Layers whose days have masks.

    Raises:
        RuntimeError: The data of the learners cannot be made.
    """
    import dagster as dg

    from heph_dagster.defs.gibs_assets import asset_key
    from heph_dagster.models.days.data import Task

    job = definitions.resolve_implicit_global_asset_job_def()
    graph = definitions.resolve_asset_graph()
    summaries = []

    def run(*keys: dg.AssetKey, ops: dict[str, object] | None = None) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=instance,
            asset_selection=list(keys),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": ops or {}},
        )

    for active in layers:
        data = [asset_key(active, name) for name in ("labels", "features", "split")]
        if not run(*data, ops={data[2].to_python_identifier(): {"config": _SPLIT}}).success:
            raise RuntimeError(f"labels, features or split of {active.layer.identifier} failed")
        for task in Task:
            for learner in QUICK:
                key = dg.AssetKey([*asset_key(active, "models").path, str(task), learner])
                if graph.has(key):
                    summaries.append(_summary(active.layer.identifier, task, learner, run(key), key))
    return summaries


def _summary(
    layer: str, task: str, learner: str, result: dg.ExecuteInProcessResult, key: dg.AssetKey
) -> LearnerSummary:
    if result.success:
        (event,) = result.asset_materializations_for_node(key.to_python_identifier())
        return LearnerSummary(layer, task, learner, str(event.metadata["test_roc_auc_interval"].value))
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    told = next((each.description for each in failures if each is not None), None)
    return LearnerSummary(layer, task, learner, None, told or "it failed; the run is in the Dagster UI")
