"""The learners of interferograms: each trains, is recorded in MLflow, and competes for the champion of its model."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from dataclasses import replace

import dagster as dg
from pydantic import Field

from heph_dagster.defs import parts
from heph_dagster.defs.insar_assets import GROUP, insar_key
from heph_dagster.defs.model_assets import FLOOR_CHECK, champion_of, floor_check
from heph_dagster.defs.reports import in_own_words, origin, picture
from heph_dagster.defs.resources import Insar, Mlflow
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.insar.parameters import ClassifierParameters, MocoParameters, SegmenterParameters
from heph_dagster.models.insar.training import (
    CLASSIFIER,
    DECISIVE,
    ENCODER,
    FLOOR,
    LEARNERS,
    SEGMENTER,
    train_interferograms,
)

_CLASSIFIER, _SEGMENTER, _MOCO = ClassifierParameters(), SegmenterParameters(), MocoParameters()
_SHOWN = {
    CLASSIFIER: ("deformation_average_precision", "deformation_f1", "mean_roc_auc", "chance_deformation_roc_auc"),
    SEGMENTER: ("dice_deformation", "iou_mean"),
    ENCODER: ("linear_average_precision", "chance_roc_auc"),
}
"""Figures of the crops that test which are told beside the decisive one."""


class LearnerConfig(dg.Config):
    """Of every learner."""

    seed: int = Field(default=0, ge=0, description="Of all chance.")
    split: str = Field(default="frames", description="Name of the split: frames, temporal or published.")
    floor: float | None = Field(
        default=None, ge=0, le=1, description="What a champion's decisive figure reaches; that of the model by default."
    )
    epochs: int = Field(default=_CLASSIFIER.epochs, ge=1)
    batch_size: int = Field(default=_CLASSIFIER.batch_size, ge=2, description="Crops of a step, in each process.")
    learning_rate: float = Field(default=_CLASSIFIER.learning_rate, gt=0, description="The highest.")
    decay: float = Field(default=_CLASSIFIER.decay, ge=0, description="Weight decay of AdamW.")
    input_size: int = Field(default=_CLASSIFIER.input_size, ge=32, description="Side that crops are shrunk to, px.")
    shift: float = Field(default=_CLASSIFIER.shift, ge=0, lt=1, description="Largest shift, as a share of the side.")
    ramp: float = Field(default=_CLASSIFIER.ramp, ge=0, description="Most fringes of a ramp that is added.")
    noise: float = Field(
        default=_CLASSIFIER.noise, ge=0, description="Most noise that is added, in deviations that coherence explains."
    )
    workers: int = Field(default=0, ge=0, description="Processes that read crops.")
    accelerator: str = Field(default="auto", description="auto, cpu or gpu.")
    devices: int | None = Field(default=None, ge=1, description="GPUs, or processes on CPUs; null takes all GPUs.")
    nodes: int = Field(default=1, ge=1, description="Machines.")
    precision: str = Field(default="auto", description="As lightning names it: 32-true, bf16-mixed.")


class LabelledConfig(LearnerConfig):
    """Of learners of labels."""

    repeat_below: float = Field(
        default=_CLASSIFIER.repeat_below,
        ge=0,
        le=1,
        description="Crops of kinds that a smaller share of the deformed ones has come more often.",
    )
    calm: float | None = Field(
        default=_CLASSIFIER.calm, gt=0, description="Crops without deformation for each with one; null takes all."
    )


class ClassifierConfig(LabelledConfig):
    """Of the multi-label classifier."""

    backbone: str = Field(default=_CLASSIFIER.backbone, description="Of timm.")
    stride: int = Field(default=_CLASSIFIER.stride, ge=1, description="Largest cell of its features, input px.")
    focal: float = Field(default=_CLASSIFIER.focal, ge=0, description="Gamma of the focal loss; 0 is cross-entropy.")
    mask_weight: float = Field(default=_CLASSIFIER.mask_weight, ge=0, description="Of the loss of cells.")
    encoder: int | None = Field(
        default=None, ge=1, description="Version of the pre-trained encoder to start from; null starts from chance."
    )


class SegmenterConfig(LabelledConfig):
    """Of a segmenter."""

    epochs: int = Field(default=_SEGMENTER.epochs, ge=1)
    learning_rate: float = Field(default=_SEGMENTER.learning_rate, gt=0, description="The highest.")
    calm: float | None = Field(
        default=_SEGMENTER.calm, gt=0, description="Crops without deformation for each with one; null takes all."
    )
    encoder: str = Field(default=_SEGMENTER.encoder, description="Of segmentation-models-pytorch.")
    depth: int = Field(default=_SEGMENTER.depth, ge=3, le=5, description="Times that a U-Net halves its input.")
    width: int = Field(default=_SEGMENTER.width, ge=1, description="Channels of the decoder's last layer.")
    focal: float = Field(default=_SEGMENTER.focal, ge=0, description="Gamma of the focal loss; 0 is cross-entropy.")
    dice_weight: float = Field(default=_SEGMENTER.dice_weight, ge=0, description="Of the Dice loss.")
    type_weight: float = Field(default=_SEGMENTER.type_weight, ge=0, description="Of the loss of types.")


class MocoConfig(LearnerConfig):
    """Of MoCo's pre-training."""

    epochs: int = Field(default=_MOCO.epochs, ge=1)
    batch_size: int = Field(default=_MOCO.batch_size, ge=2, description="Crops of a step, in each process.")
    shift: float = Field(default=_MOCO.shift, ge=0, lt=1, description="Largest shift, as a share of the side.")
    backbone: str = Field(default=_MOCO.backbone, description="Of timm.")
    stride: int = Field(default=_MOCO.stride, ge=1, description="Largest cell of its features, input px.")
    queue: int = Field(default=_MOCO.queue, ge=1, description="Keys of earlier batches.")
    momentum: float = Field(default=_MOCO.momentum, ge=0, le=1, description="Of the encoder that makes keys.")
    temperature: float = Field(default=_MOCO.temperature, gt=0, description="Of the softmax over similarities.")
    dimensions: int = Field(default=_MOCO.dimensions, ge=1, description="Of the space where crops are compared.")


def _asset(learner: str, config_class: type[LearnerConfig], after: tuple[str, ...] = ()) -> dg.AssetsDefinition:
    kind = LEARNERS[learner]
    decisive = DECISIVE[kind.model]
    key = dg.AssetKey([GROUP, "models", learner])

    @dg.asset(
        key=key,
        deps=[insar_key("crops"), insar_key("split"), *(dg.AssetKey([GROUP, "models", name]) for name in after)],
        group_name=GROUP,
        kinds={"pytorch", "mlflow"},
        code_version="1",
        check_specs=[dg.AssetCheckSpec(FLOOR_CHECK, asset=key, description="Whether the learner is good enough.")],
        description=f"A {kind.title}, trained on crops of interferograms.",
    )
    def model(
        context: dg.AssetExecutionContext,
        config: config_class,  # type: ignore[valid-type]
        insar: Insar,
        mlflow: Mlflow,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks, Dagster knows the plain type only
        told = config.model_dump()  # type: ignore[attr-defined]
        seed, split, floor = (told.pop(name) for name in ("seed", "split", "floor"))
        with insar.open(*parts.of_insar()) as data, in_own_words():
            made = train_interferograms(
                mlflow.tracking(),
                data.folder,
                learner,
                parameters=replace(kind.parameters, **told),
                split=split,
                seed=seed,
                floor=floor,
                tags=origin(context),
            )
        metrics, test = made.metrics, made.metrics[Part.TEST]
        lowest = FLOOR[kind.model] if floor is None else floor
        return dg.MaterializeResult(
            metadata={
                f"test_{decisive}": test[decisive].value,
                **{f"{part}_{decisive}_interval": str(metrics[part][decisive]) for part in Part},
                **{f"test_{name}": str(test[name]) for name in _SHOWN[kind.model] if name in test},
                **{f"{part}_crops": len(crops.names) for part, crops in made.data.parts.items()},
                **{f"{part}_deformed": crops.deformed for part, crops in made.data.parts.items()},
                "without_coherence": made.data.without_coherence,
                "model": made.version.uri,
                "champion": champion_of(made),
                "mlflow_run": mlflow.run_link(made.version.run_id),
                **{plot: picture(image) for plot, image in made.plots.items()},
            },
            data_version=dg.DataVersion(f"{made.version.name}/{made.version.number}"),
            check_results=[floor_check(metrics[Part.VAL][decisive], lowest)],
        )

    return model


INSAR_MODEL_ASSETS = [
    _asset("classifier", ClassifierConfig),
    _asset("unet", SegmenterConfig),
    _asset("deeplabv3plus", SegmenterConfig),
    _asset("segformer", SegmenterConfig),
    _asset("moco", MocoConfig),
    _asset("linear_evaluation", ClassifierConfig, after=("moco",)),
]
"""Learners of interferograms."""
