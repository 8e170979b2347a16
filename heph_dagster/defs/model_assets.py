"""The learners of a layer's days: each trains, is recorded in MLflow, and competes for the champion of its task."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
import dagster as dg

from heph_dagster.anomalies.splits import Split
from heph_dagster.defs import parts
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.learner_configs import (
    CnnConfig,
    DensenetConfig,
    ForestConfig,
    LearnerConfig,
    LinearConfig,
    NeighboursConfig,
    NetworkConfig,
)
from heph_dagster.defs.reports import in_own_words, origin, picture
from heph_dagster.defs.resources import Gibs, Mlflow
from heph_dagster.models.days.data import Task
from heph_dagster.models.days.mask_training import MaskTraining
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import DECISIVE, LEARNERS, Training, train_days
from heph_dagster.models.errors import SkippedError
from heph_dagster.models.insar.training import Training as InsarTraining
from heph_dagster.models.metrics import Metric
from heph_dagster.settings import ActiveLayer

_CONFIGS: dict[str, type[LearnerConfig]] = {
    "linear_svm": LinearConfig,
    "softmax": LinearConfig,
    "random_forest": ForestConfig,
    "two_layer_network": NetworkConfig,
    "nearest_neighbours": NeighboursConfig,
    "cnn": CnnConfig,
    "densenet121": DensenetConfig,
}
FLOOR_CHECK = "floor"
"""Name of the check of whether a learner is good enough."""


def model_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """The learners of a layer; none where the catalogue asks for no check of its days."""
    if active.epsg != 4326:
        return []
    tasks = [task for task in Task if str(task) in active.layer.checks]
    return [_asset(active, task, learner) for task in tasks for learner in LEARNERS]


def _asset(active: ActiveLayer, task: Task, learner: str) -> dg.AssetsDefinition:
    config_class, kind = _CONFIGS[learner], LEARNERS[learner]
    inputs = "image" if kind.takes_pixels else "features"
    key = dg.AssetKey([*asset_key(active, "models").path, str(task), learner])

    @dg.asset(
        key=key,
        deps=[asset_key(active, name) for name in (inputs, "labels", "split")],
        group_name=group_name(active),
        kinds={"pytorch" if kind.keeps_checkpoints else "sklearn", "mlflow"},
        code_version="1",
        check_specs=[dg.AssetCheckSpec(FLOOR_CHECK, asset=key, description="Whether the learner is good enough.")],
        description=f"A {kind.title} that tells {task.replace('_', ' ')} in days of {active.layer.title}.",
    )
    def model(
        context: dg.AssetExecutionContext,
        config: config_class,  # type: ignore[valid-type]
        gibs: Gibs,
        mlflow: Mlflow,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks, Dagster knows the plain type only
        told = config.model_dump()  # type: ignore[attr-defined]
        seed, floor = told.pop("seed"), told.pop("floor")
        try:
            with gibs.open(*parts.of_layer(active)) as data, in_own_words():
                made = train_days(
                    mlflow.tracking(),
                    LayerDays(data.root, active.layer, active.epsg),
                    task,
                    learner,
                    parameters=type(kind.parameters)(**told),
                    seed=seed,
                    floor=floor,
                    tags=origin(context),
                )
        except dg.Failure as failure:
            if not isinstance(failure.__cause__, SkippedError):
                raise
            return _skipped(context, str(failure.__cause__))
        metrics = made.trained.metrics
        return dg.MaterializeResult(
            metadata={
                "test_roc_auc": metrics[Split.TEST]["roc_auc"].value,
                **{f"{split}_roc_auc_interval": str(metrics[split][DECISIVE]) for split in Split},
                **{f"test_{name}": str(metrics[Split.TEST][name]) for name in ("average_precision", "f1")},
                **{f"{split}_days": len(part.days) for split, part in made.data.parts.items()},
                **{f"{split}_positive": int(part.truth.sum()) for split, part in made.data.parts.items()},
                "threshold": made.trained.threshold,
                "model": made.version.uri,
                "champion": champion_of(made),
                "mlflow_run": mlflow.run_link(made.version.run_id),
                "roc": picture(made.plots["roc"]),
                "confusion_matrix": picture(made.plots["confusion_matrix"]),
            },
            data_version=dg.DataVersion(f"{made.version.name}/{made.version.number}"),
            check_results=[floor_check(metrics[Split.VAL][DECISIVE], floor)],
        )

    return model


def floor_check(figure: Metric, floor: float) -> dg.AssetCheckResult:
    """Whether a learner's figure, on what validates, has reached its floor."""
    return dg.AssetCheckResult(
        check_name=FLOOR_CHECK,
        passed=figure.value >= floor,
        description=f"{figure}; at least {floor:g} is needed",
        metadata={"figure": figure.value, "floor": floor},
    )


def champion_of(made: Training | MaskTraining | InsarTraining) -> str:
    """Which version is the champion after a training."""
    if made.champion is None:
        return "none: no version has reached the floor"
    return f"this is the champion: {made.is_champion}; champion: version {made.champion.number}"


def _skipped(context: dg.AssetExecutionContext, why: str) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What there is to tell of a learner that has not learned; champions and predictions do without it."""
    context.log.warning(why)
    check = dg.AssetCheckResult(
        check_name=FLOOR_CHECK, passed=False, severity=dg.AssetCheckSeverity.WARN, description=why
    )
    return dg.MaterializeResult(metadata={"skipped": why}, check_results=[check])
