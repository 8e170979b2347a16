"""What the atmosphere and the orbits add to the phase."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.synthetic.fields import Map, random_field
from heph_dagster.hephaestus.synthetic.orbit import PIXEL_METRES
from heph_dagster.hephaestus.synthetic.scene import HALF

STRATIFICATION, TURBULENCE = 1, 2
"""Bits of an annotation's `atmospheric_fringes`."""

_LAYER_METRES = 5000.0
"""Thickness of the turbulent layer. Hanssen finds 2 km and more; the thicker, the smoother the fringes."""


def atmosphere(level: int, heights: Map, rng: np.random.Generator) -> Map:
    """Phase of the atmosphere's delay.

    Turbulent mixing makes fringes everywhere, a stratified atmosphere such that follow the heights. A trace of both is
    in every interferogram.

    Args:
        level: The annotation's: 0 none, 1 vertical stratification, 2 turbulent mixing, 3 both.
        heights: H x W in km.
        rng: Source of randomness.

    Returns:
        H x W in radians.
    """
    strength, sign, layered = rng.uniform(), 1 if rng.uniform() < 0.5 else -1, rng.uniform()
    deviation = 1.4 + 1.6 * strength if level & TURBULENCE else 0.15 + 0.25 * strength
    # Fringes between the sea and the highest summit.
    fringes = 1.2 + 1.6 * layered if level & STRATIFICATION else 0.15 * layered
    delay = turbulence(heights.shape, rng)
    delay *= np.float32(deviation)
    delay += np.float32(sign * fringes * 2 * pi / max(float(heights.max()), 0.1)) * heights
    return delay


def turbulence(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Delay of a turbulent atmosphere, at half of the resolution.

    Its spectrum along a line falls with the power -5/3 over more than the thickness of the turbulent layer, and with
    -8/3 below; one more each in two dimensions.

    Source: Hanssen, "Radar Interferometry: Data Interpretation and Error Analysis", 2001, section 4.7.

    Args:
        shape: Height and width.
        rng: Source of randomness.

    Returns:
        H x W with mean 0 and standard deviation 1.
    """
    return random_field(rng, shape, _delay)


def _delay(wavenumber: NDArray[np.float64]) -> NDArray[np.float64]:
    relative = wavenumber * (_LAYER_METRES / (PIXEL_METRES * HALF))
    return np.where(relative < 1, relative ** (-8 / 3), relative ** (-11 / 3))


def orbital_ramp(shape: tuple[int, int], annotated: int, rng: np.random.Generator) -> Map:
    """Phase of orbits that are not known well: nearly a plane, with two to six fringes where annotated.

    Args:
        shape: Height and width.
        annotated: The annotation's `orbital_fringes`.
        rng: Source of randomness.

    Returns:
        H x W in radians.
    """
    direction, strength, bend = rng.uniform(0, 2 * pi), rng.uniform(), rng.uniform(-0.5, 0.5)
    fringes = 2 + 4 * strength if annotated else 0.3 * strength
    x = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    plane = np.float32(cos(direction)) * x + np.float32(sin(direction)) * y + np.float32(bend) * x * y
    return np.asarray(plane * np.float32(fringes * 2 * pi))
