"""The learners of the pixels of a layer's days: each tells masks, and competes for the champions of days by them."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from typing import Any

import dagster as dg

from heph_dagster.anomalies.splits import Split
from heph_dagster.defs import parts
from heph_dagster.defs.gibs_assets import asset_key, group_name
from heph_dagster.defs.learner_configs import MaskConfig, PixelCnnConfig, PixelForestConfig
from heph_dagster.defs.model_assets import FLOOR_CHECK, champion_of, floor_check
from heph_dagster.defs.reports import in_own_words, origin, picture
from heph_dagster.defs.resources import Gibs, Mlflow
from heph_dagster.models.days.mask_training import MASK_DECISIVE, MASK_LEARNERS, MaskTraining, train_masks
from heph_dagster.models.days.source import LayerDays
from heph_dagster.settings import ActiveLayer

_CONFIGS: dict[str, type[MaskConfig]] = {"pixel_forest": PixelForestConfig, "pixel_cnn": PixelCnnConfig}


def mask_model_assets(active: ActiveLayer) -> list[dg.AssetsDefinition]:
    """The learners of a layer's pixels; none where the catalogue asks for no masks of its days."""
    if active.epsg != 4326 or not {"missing_data", "miscoloration"} & set(active.layer.checks):
        return []
    return [_asset(active, learner) for learner in MASK_LEARNERS]


def _asset(active: ActiveLayer, learner: str) -> dg.AssetsDefinition:
    config_class, kind = _CONFIGS[learner], MASK_LEARNERS[learner]
    key = dg.AssetKey([*asset_key(active, "models").path, "pixels", learner])

    @dg.asset(
        key=key,
        deps=[asset_key(active, name) for name in ("image", "labels", "split")],
        group_name=group_name(active),
        kinds={"pytorch" if kind.has_epochs else "sklearn", "mlflow"},
        code_version="1",
        check_specs=[dg.AssetCheckSpec(FLOOR_CHECK, asset=key, description="Whether the learner is good enough.")],
        description=f"A {kind.title} that tells which pixels of days of {active.layer.title} are missing or "
        "miscoloured, and by them which days.",
    )
    def model(
        context: dg.AssetExecutionContext,
        config: config_class,  # type: ignore[valid-type]
        gibs: Gibs,
        mlflow: Mlflow,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks, Dagster knows the plain type only
        told = config.model_dump()  # type: ignore[attr-defined]
        chosen = {name: told.pop(name) for name in ("seed", "floor", "mask_floor")}
        with gibs.open(*parts.of_layer(active)) as data, in_own_words():
            made = train_masks(
                mlflow.tracking(),
                LayerDays(data.root, active.layer, active.epsg),
                learner,
                parameters=type(kind.parameters)(**told),
                tags=origin(context),
                **chosen,
            )
        for task, why in made.left_out.items():
            context.log.warning(f"it tells no {task} of days: {why}")
        val = made.metrics[Split.VAL]
        return dg.MaterializeResult(
            metadata=_metadata(made)
            | {"mlflow_run": mlflow.run_link(made.version.run_id)}
            | {name: picture(plot) for name, plot in made.plots.items()},
            data_version=dg.DataVersion(f"{made.version.name}/{made.version.number}"),
            check_results=[floor_check(val[MASK_DECISIVE], chosen["mask_floor"])],
        )

    return model


def _metadata(made: MaskTraining) -> dict[str, Any]:
    """Figures of masks, and of days by them."""
    metadata: dict[str, Any] = {
        f"{split}_{name}": str(metrics[name])
        for split, metrics in made.metrics.items()
        for name in metrics
        if name.startswith("iou")
    }
    metadata |= {f"{split}_days": len(part.days) for split, part in made.data.parts.items()}
    metadata |= {"model": made.version.uri, "champion": champion_of(made)}
    for task, days in made.days.items():
        for name in ("roc_auc", "f1"):
            metadata[f"test_{task}_{name}"] = str(days.trained.metrics[Split.TEST][name])
        metadata[f"{task}_model"] = days.version.uri
        metadata[f"{task}_champion"] = champion_of(days)
    return metadata
