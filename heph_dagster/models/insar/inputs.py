"""What networks see of a crop: the phase that its colours stand for, and its coherence.

Colours go around in a circle that jumps nowhere in phase but everywhere in red, green and blue: networks are given the
cosine and the sine instead, and what shrinks a crop means these, as multilooking does.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from heph_dagster.hephaestus.synthetic.colours import STEPS, palette

CHANNELS = 4
"""Cosine and sine of the phase, coherence, and whether there are data."""
_CELL = 4
DARKEST = 64
"""A pixel whose colours are all below this is black: the palette's are 149 at least in one of them."""


def phase_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """The phase that colours stand for: that of the nearest colour of LiCSAR's palette.

    Colours of the palette itself are told exactly, to their step of 0.025 rad; mixed ones to about two steps.

    Args:
        image: RGB, uint8, N x 3 x H x W.

    Returns:
        Phase from -pi to pi, 0 where there are no data, and whether there are, 1 or 0: both float32, N x H x W.
    """
    red, green, blue = image.int().unbind(1)
    number = _nearest_colours(image.device)[(red << 16) + (green << 8) + blue]
    there = (image.amax(1) >= DARKEST).float()
    return _middles(image.device)[number.int()] * there, there


def channels(phase: Tensor, there: Tensor, coherence: Tensor | None) -> Tensor:
    """What networks see of a phase.

    Args:
        phase: In radians, N x H x W.
        there: Whether there are data, 1 or 0, N x H x W.
        coherence: uint8, 255 for a coherence of 1, N x H x W; None where there is none, which counts as 0.

    Returns:
        float32, N x 4 x H x W: cosine, sine, coherence from 0 to 1, and 1 where there are data; all 0 elsewhere.
    """
    level = torch.zeros_like(phase) if coherence is None else coherence.float() / 255
    return torch.stack((phase.cos() * there, phase.sin() * there, level * there, there), dim=1)


def shrunk(inputs: Tensor, size: int) -> Tensor:
    """Smaller inputs whose pixels are means over areas; as they are where they are not larger.

    Args:
        inputs: N x C x S x S.
        size: Side in px.
    """
    return inputs if inputs.shape[-1] <= size else functional.interpolate(inputs, (size, size), mode="area")


@lru_cache
def _middles(device: torch.device) -> Tensor:
    """The phase in the middle of each step of the palette."""
    return ((torch.arange(STEPS) + 0.5) * (2 * pi / STEPS) - pi).to(device)


@lru_cache
def _nearest_colours(device: torch.device) -> Tensor:
    """Number of the palette's nearest colour, from 0, for each of the 2^24 colours, uint8.

    It is that of the middle of a cell of 4 x 4 x 4 colours, but for the palette's own.
    """
    from scipy.spatial import cKDTree

    own = palette()[1 : STEPS + 1].astype(np.int64)
    side = 256 // _CELL
    middles = np.indices((side, side, side)).reshape(3, -1).T * _CELL + (_CELL - 1) / 2
    cells = cKDTree(own).query(middles)[1].astype(np.uint8).reshape(side, side, side)
    numbers = cells.repeat(_CELL, 0).repeat(_CELL, 1).repeat(_CELL, 2)
    numbers[tuple(own.T)] = np.arange(STEPS)
    return torch.from_numpy(numbers.ravel()).to(device)
