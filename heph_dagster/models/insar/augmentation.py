"""Augmentations for wrapped phase, none of which interpolates it or touches colours.

Flips, quarter turns and shifts of whole pixels move bytes about, of image, coherence and mask alike. What changes the
phase itself does so in radians, on the device: a constant, which interferograms leave open; a sign, uplift being as
likely as subsidence; a ramp, as orbital errors make it; and noise, as much as the coherence lets expect.

All of it follows from seed, epoch, name and the number of times that the crop has come in the epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from heph_dagster.hephaestus.loader import CropDataset

_LOOKS = 10
"""Independent looks that the noise is told for."""
_PLANES = ("image", "coherence", "mask")


@dataclass(frozen=True)
class Augmentation:
    """How much crops are changed.

    Attributes:
        shift: Largest shift as a share of the side; no deformed pixel that was in the crop leaves it.
        ramp: Most cycles of a ramp across the crop, along each axis.
        noise: Most noise that is added, in standard deviations that the coherence lets expect.
        keep: Whether shifts keep deformed pixels; a mask is needed.
    """

    shift: float = 0.1
    ramp: float = 1.0
    noise: float = 0.5
    keep: bool = True


class AugmentedCrops(IterableDataset[dict[str, Any]]):
    """Crops as they train: moved about, and with what is to become of their phase.

    An item has what one of `CropDataset` has, and `change`, float32: constant in radians, sign, cycles of the ramp
    along rows and columns, and noise; and `noise`, uint8, S x S, even from 0 to 255. With several views, all but name
    and labels have one more axis in front.

    Attributes:
        expected: About how many crops come in an epoch.
    """

    def __init__(
        self, crops: CropDataset, augmentation: Augmentation, *, seed: int, expected: float, views: int = 1
    ) -> None:
        """Augment crops.

        Args:
            crops: The crops; with image and coherence, and a mask where shifts are to keep deformed pixels.
            augmentation: How much.
            seed: Of chance.
            expected: About how many crops come in an epoch.
            views: How many of each crop, side by side.
        """
        self.expected = expected
        self._crops, self._augmentation, self._seed, self._views = crops, augmentation, seed, views

    @property
    def epoch(self) -> int:
        """The epoch of the next pass."""
        return self._crops.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._crops.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The crops of this worker."""
        seen: Counter[str] = Counter()
        for item in self._crops:
            name = item["name"]
            rng = np.random.default_rng([self._seed, self.epoch, seen[name], *name.encode()])
            seen[name] += 1
            views = [self._view(item, rng) for _ in range(self._views)]
            joined = views[0] if self._views == 1 else {key: torch.stack([v[key] for v in views]) for key in views[0]}
            yield item | joined

    def _view(self, item: dict[str, Any], rng: np.random.Generator) -> dict[str, Tensor]:
        told = self._augmentation
        planes = {name: item[name].numpy() for name in _PLANES if name in item}
        flip, turns = bool(rng.integers(2)), int(rng.integers(4))
        moved = {name: np.rot90(plane[..., ::-1] if flip else plane, turns, (-2, -1)) for name, plane in planes.items()}
        *_, size = moved["image"].shape
        down, right = shift_within(moved["mask"] if told.keep else None, size, round(told.shift * size), rng)
        made = {name: torch.from_numpy(shifted(plane, down, right)) for name, plane in moved.items()}
        change = [
            rng.uniform(-pi, pi),
            rng.choice((-1.0, 1.0)),
            *rng.uniform(-told.ramp, told.ramp, 2),
            rng.uniform(0, told.noise),
        ]
        noise = np.frombuffer(rng.bytes(size * size), np.uint8).reshape(size, size).copy()
        return made | {"change": torch.tensor(change, dtype=torch.float32), "noise": torch.from_numpy(noise)}


def shift_within(mask: NDArray[np.uint8] | None, size: int, most: int, rng: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of a random shift.

    Args:
        mask: Its pixels that are not 0 stay in the crop, S x S; None if there are none.
        size: Side of the crop in px.
        most: Largest shift along each axis in px.
        rng: What chance comes from.
    """
    shifts = []
    for axis in (1, 0):
        low, high = -most, most
        places = np.flatnonzero(mask.any(axis=axis)) if mask is not None else np.empty(0, int)
        if places.size:
            low, high = max(low, -int(places[0])), min(high, size - 1 - int(places[-1]))
        shifts.append(int(rng.integers(low, high, endpoint=True)))
    down, right = shifts
    return down, right


def shifted(plane: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Pixels moved by whole rows and columns; 0, which is no data, comes in.

    Args:
        plane: ... x H x W.
        down: Rows.
        right: Columns.
    """
    *_, height, width = plane.shape
    made = np.zeros(plane.shape, np.uint8)
    made[..., max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = plane[
        ..., max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return made


def changed(phase: Tensor, coherence: Tensor, change: Tensor, noise: Tensor) -> Tensor:
    """Phase with another constant, sign, ramp and noise; unwrapped.

    Args:
        phase: In radians, N x S x S.
        coherence: uint8, N x S x S.
        change: N x 5, see `AugmentedCrops`.
        noise: uint8, N x S x S.

    Returns:
        In radians, N x S x S.
    """
    constant, sign, down, right, strength = (each[:, None, None] for each in change.unbind(1))
    size = phase.shape[-1]
    along = torch.arange(size, device=phase.device) * (2 * pi / size)
    deviation = _deviations(phase.device)[coherence.int()] * _quantiles(phase.device)[noise.int()]
    return sign * phase + constant + down * along[:, None] + right * along + strength * deviation


@lru_cache
def _deviations(device: torch.device) -> Tensor:
    """Standard deviation of the phase for each level of coherence, at most that of a phase without any meaning.

    Source: E. Rodriguez and J. M. Martin, Theory and design of interferometric synthetic aperture radars, IEE
    Proceedings F 139, 1992: the Cramer-Rao bound.
    """
    coherence = torch.arange(256).clamp(min=1) / 255
    bound = ((1 - coherence**2) / (2 * _LOOKS * coherence**2)).sqrt()
    return bound.clamp(max=pi / 3**0.5).to(device)


@lru_cache
def _quantiles(device: torch.device) -> Tensor:
    """Quantiles of the normal distribution, of 256 equal shares."""
    return torch.special.ndtri((torch.arange(256) + 0.5) / 256).to(device)
