"""The learners of a layer's days: each trains, is recorded in MLflow, and competes for the champion of its task."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
import dagster as dg
from pydantic import Field

from heph_dagster.anomalies.splits import Split
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.reports import in_own_words, picture
from heph_dagster.defs.resources import Gibs, Mlflow
from heph_dagster.models.days.classical import ForestParameters, LinearParameters, NetworkParameters
from heph_dagster.models.days.data import Task
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import DECISIVE, FLOOR, LEARNERS, Training, headline, train_days
from heph_dagster.settings import ActiveLayer

_FLOOR = "floor"
_LINEAR, _FOREST, _NETWORK = LinearParameters(), ForestParameters(), NetworkParameters()


class LearnerConfig(dg.Config):
    """Of every learner."""

    seed: int = Field(default=0, ge=0, description="Of all chance.")
    floor: float = Field(
        default=FLOOR, ge=0, le=1, description="Area under the curve, on the days that validate, that a champion needs."
    )


class LinearConfig(LearnerConfig):
    """Of the linear learners."""

    c: float = Field(default=_LINEAR.c, gt=0, description="Inverse of the strength of the regularisation.")


class ForestConfig(LearnerConfig):
    """Of the random forest."""

    trees: int = Field(default=_FOREST.trees, ge=1)
    depth: int = Field(default=_FOREST.depth, ge=1, description="Most decisions from root to leaf.")


class NetworkConfig(LearnerConfig):
    """Of the two-layer network."""

    hidden: int = Field(default=_NETWORK.hidden, ge=1, description="Units of the hidden layer.")
    epochs: int = Field(default=_NETWORK.epochs, ge=1)
    batch_size: int = Field(default=_NETWORK.batch_size, ge=1)
    learning_rate: float = Field(default=_NETWORK.learning_rate, gt=0)
    decay: float = Field(default=_NETWORK.decay, ge=0, description="Weight of the squared weights in the loss.")


def model_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """The learners of a layer; none where the catalogue asks for no check of its days."""
    if active.epsg != 4326:
        return []
    tasks = [task for task in Task if str(task) in active.layer.checks]
    return [
        asset
        for task in tasks
        for asset in (
            _asset(active, task, "linear_svm", LinearConfig),
            _asset(active, task, "softmax", LinearConfig),
            _asset(active, task, "random_forest", ForestConfig),
            _asset(active, task, "two_layer_network", NetworkConfig),
        )
    ]


def _asset(active: ActiveLayer, task: Task, learner: str, config_class: type[dg.Config]) -> dg.AssetsDefinition:
    key = dg.AssetKey([*asset_key(active, "models").path, str(task), learner])

    @dg.asset(
        key=key,
        deps=[asset_key(active, name) for name in ("features", "labels", "split")],
        group_name=group_name(active),
        kinds={"sklearn", "mlflow"},
        code_version="1",
        check_specs=[dg.AssetCheckSpec(_FLOOR, asset=key, description="Whether the learner is good enough.")],
        description=f"A {LEARNERS[learner].title} that tells {task.replace('_', ' ')} in days of {active.layer.title}.",
    )
    def model(
        context: dg.AssetExecutionContext,
        config: config_class,  # type: ignore[valid-type]
        gibs: Gibs,
        mlflow: Mlflow,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks, Dagster knows the plain type only
        told = config.model_dump()  # type: ignore[attr-defined]
        seed, floor = told.pop("seed"), told.pop("floor")
        tags = {"dagster_run_id": context.run.run_id, "asset_key": key.to_user_string()}
        with in_own_words():
            made = train_days(
                mlflow.tracking(),
                LayerDays(gibs.root, active.layer, active.epsg),
                task,
                learner,
                parameters=type(LEARNERS[learner].parameters)(**told),
                seed=seed,
                floor=floor,
                tags=tags,
            )
        metrics = made.trained.metrics
        return dg.MaterializeResult(
            metadata={
                "test_roc_auc": metrics[Split.TEST]["roc_auc"].value,
                **{f"{split}_roc_auc_interval": headline(metrics[split]) for split in Split},
                **{f"test_{name}": headline(metrics[Split.TEST], name) for name in ("average_precision", "f1")},
                **{f"{split}_days": len(part.days) for split, part in made.data.parts.items()},
                **{f"{split}_positive": int(part.truth.sum()) for split, part in made.data.parts.items()},
                "threshold": made.trained.threshold,
                "model": made.version.uri,
                "champion": _champion(made),
                "mlflow_run": mlflow.run_link(made.version.run_id),
                "roc": picture(made.plots["roc"]),
                "confusion_matrix": picture(made.plots["confusion_matrix"]),
            },
            data_version=dg.DataVersion(f"{made.version.name}/{made.version.number}"),
            check_results=[floor_check(headline(metrics[Split.VAL]), metrics[Split.VAL][DECISIVE].value, floor)],
        )

    return model


def floor_check(told: str, figure: float, floor: float) -> dg.AssetCheckResult:
    """Whether a learner's figure, on what validates, has reached its floor.

    Args:
        told: The figure with its interval.
        figure: The figure.
        floor: What it should reach.
    """
    return dg.AssetCheckResult(
        check_name=_FLOOR,
        passed=figure >= floor,
        description=f"{told}; at least {floor:g} is needed",
        metadata={"figure": figure, "floor": floor},
    )


def _champion(made: Training) -> str:
    if made.champion is None:
        return "none: no version has reached the floor"
    return f"this is the champion: {made.is_champion}; champion: version {made.champion.number}"
