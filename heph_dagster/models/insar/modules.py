"""How networks of crops learn: losses, figures on the crops that validate, optimizers."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from heph_dagster.models.insar.augmentation import changed
from heph_dagster.models.insar.data import CLASSES, OUTPUTS
from heph_dagster.models.insar.evaluation import best_mask_threshold, mean_roc_auc
from heph_dagster.models.insar.inputs import channels, phase_of, shrunk
from heph_dagster.models.insar.networks import CellClassifier, Segmenter, enlarged, smooth_maximum
from heph_dagster.models.insar.parameters import ClassifierParameters, CommonParameters, SegmenterParameters

_WARM_UP = 0.1
LEVELS = 256
"""Steps of probabilities that thresholds of masks are chosen from."""


class CropModule(LightningModule):
    """What learners of crops have in common."""

    def __init__(self, parameters: CommonParameters, steps: int) -> None:
        """Make a module.

        Args:
            parameters: Of the learner.
            steps: How many batches it will see in all.
        """
        super().__init__()
        self.told = parameters
        self.steps = steps

    def configure_optimizers(self) -> Any:
        """AdamW, whose rate rises over a tenth of the steps and falls along a cosine."""
        learning = [each for each in self.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(learning, self.told.learning_rate, weight_decay=self.told.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share(self, step: int) -> float:
        """Share of the learning rate at a step."""
        done = min(step / max(self.steps, 1), 1.0)
        return min((done + 1 / self.steps) / _WARM_UP, 1.0) if done < _WARM_UP else 0.5 + 0.5 * cos(pi * done)

    def augmented(self, batch: dict[str, Any]) -> Tensor:
        """What networks see of a batch of `AugmentedCrops`."""
        phase, there = phase_of(batch["image"])
        phase = changed(phase, batch["coherence"], batch["change"], batch["noise"])
        return shrunk(channels(phase, there, batch["coherence"]), self.told.input_size)

    def plain(self, batch: dict[str, Any]) -> Tensor:
        """What networks see of a batch of `CropDataset`."""
        return shrunk(channels(*phase_of(batch["image"]), batch["coherence"]), self.told.input_size)

    def tell(self, name: str, value: Any, count: int) -> None:
        """Log a figure of an epoch."""
        self.log(name, value, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


class ClassifierModule(CropModule):
    """Learns to tell what crops show."""

    told: ClassifierParameters

    def __init__(self, network: CellClassifier, parameters: ClassifierParameters, steps: int) -> None:
        super().__init__(parameters, steps)
        self.network = network
        self._found: list[tuple[Tensor, Tensor]] = []
        if parameters.frozen:
            network.encoder.requires_grad_(requires_grad=False)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Loss of crops, and of their cells against the masks."""
        if self.told.frozen:
            self.network.encoder.eval()
        truth = batch["labels"][:, : len(OUTPUTS)].float()
        cells = self.network.cells(self.augmented(batch))
        mask = batch["mask"]
        seen = torch.stack([mask > 0, *(mask == kind for kind in range(1, len(CLASSES)))], dim=1).float()
        # A crop is as strong as the deformation that it was made for; where there are others, that is a guess for them.
        strong = truth[:, len(CLASSES) :, None, None] * seen[:, :1]
        seen = torch.cat((seen, strong), dim=1)
        shown = functional.adaptive_max_pool2d(seen, cells.shape[-2:])
        loss = self._loss(smooth_maximum(cells), truth)
        loss = loss + self.told.mask_weight * self._loss(cells, shown)
        self.tell("train_loss", loss, len(truth))
        return loss

    def _loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        from torchvision.ops import sigmoid_focal_loss

        loss: Tensor = sigmoid_focal_loss(logits, truth, alpha=-1, gamma=self.told.focal, reduction="mean")
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Keep what is told of crops."""
        self._found.append((self.network(self.plain(batch)).sigmoid().float().cpu(), batch["labels"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Figures of all of them."""
        scores, labels = (torch.cat(each).numpy() for each in zip(*self._found, strict=True))
        self._found.clear()
        self.tell("val_mean_auc", mean_roc_auc(labels[:, : len(OUTPUTS)] > 0, scores), 1)


class SegmenterModule(CropModule):
    """Learns to tell what pixels show."""

    told: SegmenterParameters

    def __init__(self, network: Segmenter, parameters: SegmenterParameters, steps: int) -> None:
        super().__init__(parameters, steps)
        import segmentation_models_pytorch as smp

        self.network = network
        self.dice = smp.losses.DiceLoss("binary", from_logits=False)
        self.focal: nn.Module = (
            smp.losses.FocalLoss("multiclass", gamma=parameters.focal) if parameters.focal else nn.CrossEntropyLoss()
        )
        self._counts = torch.zeros(2, LEVELS, dtype=torch.int64)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Loss of pixels, of the overlap of what deforms, and of its types."""
        inputs = self.augmented(batch)
        mask = batch["mask"].long()
        logits = enlarged(self.network(inputs), mask.shape[-1])
        overlap = self.dice(1 - logits.softmax(1)[:, 0], (mask > 0).float())
        loss: Tensor = self.focal(logits, mask) + self.told.dice_weight * overlap
        loss = loss + self.told.type_weight * type_loss(logits, mask)
        self.tell("train_loss", loss, len(mask))
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Count pixels by how likely they are said to deform."""
        logits = enlarged(self.network(self.plain(batch)), batch["mask"].shape[-1])
        likely = 1 - logits.softmax(1)[:, 0]
        self._counts += mask_counts(batch["mask"].cpu(), likely.cpu())

    def on_validation_epoch_end(self) -> None:
        """The best overlap of any threshold."""
        counts = self._counts.numpy().copy()
        self._counts.zero_()
        self.tell("val_iou", best_mask_threshold(counts)[1], 1)


def type_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of the types of deformed pixels, among each other; 0 where there are none.

    They are so few that a mean over all pixels would leave them untold.

    Args:
        logits: N x 7 x S x S.
        mask: N x S x S.
    """
    total = functional.cross_entropy(logits[:, 1:], mask - 1, ignore_index=-1, reduction="sum")
    return total / (mask > 0).sum().clamp(min=1)


def mask_counts(mask: Tensor, likely: Tensor) -> Tensor:
    """Pixels that do not deform and that do, by how likely they are said to: 2 x `LEVELS`."""
    level = (likely * LEVELS).long().clamp(0, LEVELS - 1)
    both = (mask > 0).long() * LEVELS + level
    return torch.bincount(both.flatten(), minlength=2 * LEVELS).reshape(2, LEVELS)
