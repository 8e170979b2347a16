"""Momentum contrast (MoCo v2): an encoder learns from crops without labels to know a crop again.

Source: K. He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; X. Chen et al.,
Improved Baselines with Momentum Contrastive Learning, 2020 (the head with a hidden layer).

Keys are made in evaluation mode, with statistics of batch normalisation that follow those of the learning network as
its weights do: so a batch tells nothing of which key belongs to which query. (Z. Cai et al., Exponential Moving Average
Normalization for Self-supervised and Semi-supervised Learning, CVPR 2021.)
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heph_dagster.models.insar.modules import CropModule
from heph_dagster.models.insar.networks import Encoder
from heph_dagster.models.insar.parameters import MocoParameters


class Projection(nn.Module):
    """An encoder and a head with a hidden layer: vectors of length 1."""

    def __init__(self, encoder: Encoder, dimensions: int) -> None:
        super().__init__()
        self.encoder = encoder
        features = encoder.features
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, dimensions))

    def forward(self, inputs: Tensor) -> Tensor:
        """N x dimensions, of inputs, N x 4 x H x W."""
        return functional.normalize(self.head(self.encoder(inputs).mean((2, 3))), dim=1)


class MocoModule(CropModule):
    """Learns to tell a view of a crop from those of other crops, by another view of it."""

    told: MocoParameters
    queue: Tensor
    place: Tensor

    def __init__(self, encoder: Encoder, parameters: MocoParameters, steps: int) -> None:
        super().__init__(parameters, steps)
        self.network = Projection(encoder, parameters.dimensions)
        self.keys = deepcopy(self.network).requires_grad_(requires_grad=False)
        queue = torch.randn(parameters.queue, parameters.dimensions)
        self.register_buffer("queue", functional.normalize(queue, dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self._found: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Cross-entropy of a key among its like and the queue (InfoNCE)."""
        first, second = views(batch)
        queries = self.network(self.augmented(first))
        with torch.no_grad():
            self.keys.eval()
            follow(self.keys, self.network, self.told.momentum)
            keys = self.keys(self.augmented(second))
        loss = contrast(queries, keys, self.queue, self.told.temperature)
        gathered: Any = self.all_gather(keys)
        self._enqueue(gathered.reshape(-1, keys.shape[1]))
        self.tell("train_loss", loss, len(keys))
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Keep both views of crops."""
        first, second = (self.network(self.augmented(view)).float().cpu() for view in views(batch))
        self._found.append((first, second))

    def on_validation_epoch_end(self) -> None:
        """Share of the crops whose other view is the nearest of all."""
        first, second = (torch.cat(each) for each in zip(*self._found, strict=True))
        self._found.clear()
        nearest = torch.cat([(part @ second.T).argmax(1) for part in torch.split(first, 1024)])
        self.tell("val_known_again", (nearest == torch.arange(len(first))).float().mean(), 1)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        """Put keys in the place of the oldest."""
        kept = keys[-len(self.queue) :]
        places = (self.place + torch.arange(len(kept), device=kept.device)) % len(self.queue)
        self.queue[places] = kept.to(self.queue.dtype)
        self.place = (self.place + len(kept)) % len(self.queue)


def views(batch: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Both views of the crops of a batch, N x 2 x ... each."""
    names = ("image", "coherence", "change", "noise")
    return [{name: batch[name][:, number] for name in names} for number in (0, 1)]


def contrast(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of the key of each query among it and the queue.

    Args:
        queries: N x D, of length 1.
        keys: N x D, of length 1.
        queue: M x D, of length 1, of other crops.
        temperature: Similarities are divided by it.
    """
    own = (queries * keys).sum(dim=1, keepdim=True)
    logits = torch.cat((own, queries @ queue.T.clone()), dim=1) / temperature
    return functional.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


@torch.no_grad()
def follow(behind: nn.Module, ahead: nn.Module, momentum: float) -> None:
    """Move weights, and statistics of batch normalisation, some way towards those of a network.

    Args:
        behind: What follows.
        ahead: What it follows.
        momentum: Share that stays.
    """
    leading = ahead.state_dict()
    for name, value in behind.state_dict().items():
        if value.is_floating_point():
            value.lerp_(leading[name].to(value.dtype), 1 - momentum)
        else:
            value.copy_(leading[name])
