"""Coherence of synthetic interferograms, and the noise of the phase that follows from it."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.synthetic.fields import Map, random_field
from heph_dagster.hephaestus.synthetic.scene import Scene

LOOKS = 10
"""Independent looks that a pixel is the mean of."""

TURN = 1 << 16
"""Phase is kept as an integer, this many for a cycle."""

_SEA = 0.05
_DRAWS = 1024


def coherence(annotation: Annotation, scene: Scene, shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Coherence at half of the resolution.

    It falls with the temporal baseline and over some ground more than over other; it is low where that is annotated,
    next to nothing where the annotator found no information, and nothing at sea.

    Args:
        annotation: The annotation.
        scene: Its frame.
        shape: Height and width, half of the interferogram's.
        rng: Source of randomness.

    Returns:
        H x W from 0 to 1.
    """
    mean = rng.uniform(0.55, 0.85) * (0.7 + 0.3 * exp(-annotation.baseline_days / 120))
    spread = 0.11
    if annotation.low_coherence:
        mean, spread = rng.uniform(0.18, 0.32), 0.13
    if annotation.no_info:
        mean, spread = rng.uniform(0.04, 0.09), 0.02
    rows, columns = shape
    weather = random_field(rng, shape, _patches)
    field = scene.cover[:rows, :columns] * np.float32(0.8) + weather * np.float32(0.6)
    field *= np.float32(spread)
    field += np.float32(mean)
    np.clip(field, 0.02, 0.98, out=field)
    heights = scene.heights[:rows, :columns]
    field[heights <= 0] = _SEA
    return field


def phase_noise(levels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int16]:
    """Noise of the phase of pixels with a coherence.

    Args:
        levels: H x W coherence, of 255.
        rng: Source of randomness.

    Returns:
        H x W of a `TURN`.
    """
    draws = np.frombuffer(rng.bytes(2 * levels.size), dtype=np.uint16).reshape(levels.shape) >> np.uint16(6)
    place = levels.astype(np.int32)
    place *= _DRAWS
    place += draws
    return np.asarray(_noise_table().take(place))


def phase_density(phase: NDArray[np.float64], coherence: float, looks: int = LOOKS) -> NDArray[np.float64]:
    """Probability density of the phase's error.

    Source: Lee et al., "Intensity and phase statistics of multilook polarimetric and interferometric SAR imagery", IEEE
    Transactions on Geoscience and Remote Sensing 32, 1994, equation 12.

    Args:
        phase: Errors in radians.
        coherence: From 0, below 1.
        looks: Independent looks.

    Returns:
        Density per radian, of the shape of `phase`.
    """
    from scipy.special import hyp2f1

    beta = coherence * np.cos(phase)
    power = (1 - coherence**2) ** looks
    factor = exp(lgamma(looks + 0.5) - lgamma(looks)) / (2 * sqrt(pi))
    first = factor * power * beta / (1 - beta**2) ** (looks + 0.5)
    return np.asarray(first + power / (2 * pi) * hyp2f1(looks, 1, 0.5, beta**2))


@lru_cache(maxsize=1)
def _noise_table() -> NDArray[np.int16]:
    """Quantiles of the phase's error for each coherence from 0 to 255, one after the other."""
    phase = np.linspace(-pi, pi, 721)
    middles = (np.arange(_DRAWS) + 0.5) / _DRAWS
    table = np.empty((256, _DRAWS), dtype=np.float64)
    for level in range(256):
        density = phase_density(phase, min(level / 255, 0.995))
        share = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
        table[level] = np.interp(middles, share / share[-1], phase)
    return np.asarray(np.clip(np.rint(table * (TURN / (2 * pi))), -TURN // 2, TURN // 2 - 1), dtype=np.int16).ravel()


def _patches(wavenumber: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(wavenumber, 1 / 60) ** -2.4
