"""Days as batches, changed a little each time, and what is asked of a network by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from heph_dagster.anomalies.sphere import label_regions
from heph_dagster.models.days.pixels import CLASSES
from heph_dagster.models.mask_metrics import iou

_WEIGHTS = (1.0, 3.0, 3.0)
"""Of the classes of pixels in the loss: pieces of days have many more valid ones."""

_TURN = 8
"""Half of the world is as many times as far as a whole day is turned."""


class Lessons(Dataset[tuple[Tensor, Tensor, int]]):
    """Days with what is to be told of them: a truth for each, or a mask.

    Attributes:
        epoch: Of the training; days are changed otherwise in each.
    """

    def __init__(
        self,
        days: Sequence[date],
        pixels: NDArray[np.uint8],
        truth: NDArray[Any],
        *,
        seed: int | None,
        crop: int | None = None,
        pieces: int = 1,
    ) -> None:
        """Take days as they are, or changed.

        Changed, a day is mirrored or not, and begins up to 1/16 of the world further east or west: neither makes
        anything right that was wrong. Turned further, a network that knows its pixels by place learned nothing.
        By pieces, every second of them shows a place that is wrong, if there is one on that day: a small one as often
        as a large one. What changes a day is seed, epoch and day alone.

        Args:
            days: The days.
            pixels: N x height x width x 4.
            truth: Of each day, N, or of each pixel, N x height x width.
            seed: Of the changes; None leaves days as they are.
            crop: Height of the pieces, which are twice as wide; whole days by default.
            pieces: Of each day.
        """
        self.epoch = 0
        self._days, self._pixels, self._truth = list(days), pixels, truth
        self._seed, self._crop, self._pieces = seed, crop, pieces
        self._places = [_places(mask) for mask in truth] if seed is not None and crop is not None else None

    def __len__(self) -> int:
        return len(self._days) * self._pieces

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        piece, number = divmod(number, len(self._days))
        pixels, truth = self._pixels[number], np.asarray(self._truth[number])
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, self.epoch, self._days[number].toordinal(), piece])
            places = () if self._places is None else self._places[number]
            rows, columns = _piece(pixels.shape[:2], places, self._crop, rng)
            pixels, truth = pixels[rows][:, columns], truth[rows][:, columns] if truth.ndim else truth
        return torch.from_numpy(np.ascontiguousarray(pixels)), torch.as_tensor(truth.copy()), number


def _places(mask: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """The pixels of each place that is wrong, as numbers of a mask in a row."""
    found = []
    for each in range(1, len(CLASSES)):
        count, labels = label_regions((mask == each).astype(np.uint8))
        found += [np.flatnonzero(labels == number) for number in range(1, count + 1)]
    return found


def _piece(
    shape: tuple[int, int], places: Sequence[NDArray[np.int64]], crop: int | None, rng: np.random.Generator
) -> tuple[slice, NDArray[np.int64]]:
    """Rows and columns of a day or a piece of it, around any pixel or one of a place; mirrored or not."""
    height, width = shape
    row, column = int(rng.integers(height)), int(rng.integers(width))
    if places and rng.random() < 1 / 2:
        row, column = divmod(int(rng.choice(places[int(rng.integers(len(places)))])), width)
    high, wide = shape if crop is None else (min(crop, height), min(2 * crop, width))
    top = min(max(row - high // 2, 0), height - high)
    start = column - wide // 2 if crop is not None else (column - width // 2) // _TURN
    columns = (np.arange(wide) + start) % width
    return slice(top, top + high), columns[::-1] if rng.random() < 1 / 2 else columns


def _each_once(rows: Any) -> NDArray[Any]:
    """What is told of each day, without its number, from rows of all devices, which fill up their last batch."""
    flat = rows.reshape(-1, rows.shape[-1]).cpu().numpy()
    _, first = np.unique(flat[:, 0], return_index=True)
    return flat[first, 1:]


class DayLesson(LightningModule):
    """Telling whether days are positive; both kinds of days weigh the same."""

    def __init__(self, network: nn.Module, *, positives: float, learning_rate: float) -> None:
        """Teach a network.

        Args:
            network: From raw pixels to a logit of each day.
            positives: Share of positive days.
            learning_rate: Of Adam.
        """
        super().__init__()
        self.network = network
        self._rate = learning_rate
        self._weights = (0.5 / (1 - positives), 0.5 / positives)
        self._told: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        pixels, truth, _number = batch
        weights = torch.where(truth, self._weights[1], self._weights[0])
        logits = self.network(pixels)
        loss = functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), weights)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(truth), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Keep what is told of a batch."""
        pixels, truth, number = batch
        self._told.append(torch.stack([number.float(), truth.float(), self.network(pixels).float()], dim=1))

    def on_validation_epoch_end(self) -> None:
        """The area under the ROC curve of all days together."""
        from sklearn.metrics import roc_auc_score

        truth, logits = _each_once(self.all_gather(torch.cat(self._told))).T
        self._told.clear()
        area = roc_auc_score(truth, logits) if np.isfinite(logits).all() else 0.0
        self.log("val_roc_auc", float(area), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, of the layers that learn."""
        return torch.optim.Adam([each for each in self.parameters() if each.requires_grad], self._rate)


class MaskLesson(LightningModule):
    """Telling classes of pixels."""

    def __init__(self, network: nn.Module, *, learning_rate: float) -> None:
        """Teach a network.

        Args:
            network: From raw pixels to logits of the classes of each.
            learning_rate: The highest; it rises and falls over the training.
        """
        super().__init__()
        self.network = network
        self._rate = learning_rate
        self.weights: Tensor
        self._counts: list[Tensor] = []
        self.register_buffer("weights", torch.tensor(_WEIGHTS))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        pixels, truth, _number = batch
        loss = functional.cross_entropy(self.network(pixels), truth.long(), self.weights)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(truth), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Count what is told of each day of a batch."""
        pixels, truth, number = batch
        pairs = truth.long() * len(CLASSES) + self.network(pixels).argmax(dim=1)
        counts = [torch.bincount(each.flatten(), minlength=len(CLASSES) ** 2) for each in pairs]
        self._counts.append(torch.cat([number[:, None], torch.stack(counts)], dim=1))

    def on_validation_epoch_end(self) -> None:
        """The mean overlap of the classes over the pixels of all days together."""
        counts = _each_once(self.all_gather(torch.cat(self._counts)))
        self._counts.clear()
        found = iou(counts.sum(axis=0).reshape(len(CLASSES), len(CLASSES)))[1:]
        self.log("val_iou_mean", float(np.nanmean(found)) if np.isfinite(found).any() else 0.0, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam, with a rate that rises and falls once."""
        optimizer = torch.optim.Adam(self.parameters(), self._rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self._rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
