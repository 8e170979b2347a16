"""Where an instrument should have seen something on a day: in its swaths, by daylight.

Swaths come from the nominal orbit, and two things about them from the image itself: how far the orbits have drifted
along the equator since, seen in the comb of gaps between MODIS's swaths, and at which height of the sun imagery stops.
Both are fitted to where the image is black, and a hole sways them little: gaps recur all around the equator, and the
night all around the pole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import SATELLITES, Satellite
from heph_dagster.gibs.sun import DAYLIGHT_CUTOFF_DEG
from heph_dagster.gibs.swath import pass_zenith

_LEVEL = 2
_ROWS = 320 << _LEVEL
_BELT_DEG = 20.0  # MODIS's gaps reach further; within it they are wide
_LEAST_GAPS = 0.02
_LEAST_CONTRAST = 0.15
_ZENITH_STEP_DEG = 0.5
_LOWEST_CUTOFF_DEG = 80.0
_HIGHEST_CUTOFF_DEG = 90.0
_FEWEST_PX = 500
EDGE_DEG = 0.35
"""How exactly the edges of swaths are known: the orbits' 25 km, and the pixels of the grid."""
NIGHT_EDGE_DEG = 1.0
"""How exactly the edge of the night is known, as height of the sun: imagery stops with a granule, not with an angle."""


@dataclass(frozen=True)
class Expectation:
    """Where data are expected on a day.

    Attributes:
        zenith: 1280 x 2560 degrees: solar zenith angle of the pass in the best light; infinite between swaths.
        cutoff_north_deg: Solar zenith angle beyond which the image is black in the northern hemisphere.
        cutoff_south_deg: The same in the southern one.
        shift_deg: Degrees to the east by which the orbits were found off the nominal ones; None where there are no gaps
            to tell by.
    """

    zenith: NDArray[np.float32]
    cutoff_north_deg: float
    cutoff_south_deg: float
    shift_deg: float | None

    def gaps(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Where no swath gets to: height x width, 1 there, else 0.

        Args:
            size: Width and height in px of a world image.
        """
        return fit(np.isinf(self.zenith).astype(np.uint8), size)

    def lit(self, size: tuple[int, int], margin_deg: float = 0.0) -> NDArray[np.uint8]:
        """Where the best pass has enough light, gaps included: height x width, 1 there, else 0.

        Args:
            size: Width and height in px of a world image.
            margin_deg: Degrees that the sun must stand higher than the cut-off.
        """
        cutoff = np.full((_ROWS, 1), self.cutoff_south_deg, np.float32)
        cutoff[: _ROWS // 2] = self.cutoff_north_deg
        return fit(((self.zenith < cutoff - margin_deg) | np.isinf(self.zenith)).astype(np.uint8), size)


def nominal_zenith(satellite_name: str, day: date) -> NDArray[np.float32]:
    """The solar zenith angle of the pass in the best light by the nominal orbit, as `Expectation.zenith` has it."""
    return pass_zenith(SATELLITES[satellite_name], day, _LEVEL)


def expect(
    no_data: NDArray[np.uint8], satellite_name: str, day: date, zenith: NDArray[np.float32] | None = None
) -> Expectation:
    """Work out where data are expected on a day.

    Args:
        no_data: Height x width of the whole world (EPSG:4326), not 0 where the image is black.
        satellite_name: A name of `heph_dagster.gibs.orbit.SATELLITES`.
        day: The day.
        zenith: What `nominal_zenith` gives, where it has been worked out before.
    """
    satellite = SATELLITES[satellite_name]
    black = fit((no_data > 0).astype(np.uint8), (2 * _ROWS, _ROWS))
    zenith = nominal_zenith(satellite_name, day) if zenith is None else zenith
    shift = _drift(black, np.isinf(zenith), satellite)
    if shift:
        zenith = pass_zenith(satellite, day, _LEVEL, shift_deg=shift)
    half = slice(0, _ROWS // 2), slice(_ROWS // 2, _ROWS)
    north, south = (_cutoff(black[rows], zenith[rows]) for rows in half)
    return Expectation(zenith, north, south, shift)


def fit(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask at another width and height in px, by nearest neighbour."""
    if mask.shape == (size[1], size[0]):
        return mask
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _drift(black: NDArray[np.uint8], gaps: NDArray[np.bool_], satellite: Satellite) -> float | None:
    """Degrees by which the comb of gaps in an image lies east of the nominal one, None where there is no comb."""
    rows = slice(round(_ROWS * (90 - _BELT_DEG) / 180), round(_ROWS * (90 + _BELT_DEG) / 180))
    seen, comb = black[rows].astype(np.float32), gaps[rows].astype(np.float32)
    if comb.mean() < _LEAST_GAPS:
        return None
    # Circular correlation along each row, summed over rows: how much black the comb covers when moved so far.
    spectrum = np.fft.rfft(seen, axis=1) * np.conj(np.fft.rfft(comb, axis=1))
    covered = np.fft.irfft(spectrum.sum(axis=0), n=seen.shape[1])
    reach = round(satellite.spacing_deg / 2 / 360 * len(covered))
    offsets = np.arange(-reach, reach + 1)
    scores = covered[offsets]
    if scores.max() - np.median(scores) < _LEAST_CONTRAST * comb.sum():
        return 0.0
    return float(offsets[scores.argmax()]) * 360 / len(covered)


def _cutoff(black: NDArray[np.uint8], zenith: NDArray[np.float32]) -> float:
    """Solar zenith angle from which on most pixels of a hemisphere are black, ring by ring."""
    edges = np.arange(_LOWEST_CUTOFF_DEG, _HIGHEST_CUTOFF_DEG + _ZENITH_STEP_DEG, _ZENITH_STEP_DEG)
    # As np.digitize of even steps, without a search.
    ring = np.clip((zenith - _LOWEST_CUTOFF_DEG) / _ZENITH_STEP_DEG + 1, 0, len(edges)).astype(np.int8)
    pixels = np.bincount(ring.ravel(), minlength=len(edges) + 1)[1:-1]
    dark = np.bincount(ring.ravel(), black.ravel(), minlength=len(edges) + 1)[1:-1]
    counted = pixels >= _FEWEST_PX
    if not counted.any():
        return DAYLIGHT_CUTOFF_DEG
    mostly = ~counted | (dark > pixels / 2)
    first = len(mostly) - int(np.logical_and.accumulate(mostly[::-1]).sum())
    # Rings too thin to tell say nothing of their own: the night begins with the first that does.
    while first < len(mostly) and not counted[first]:
        first += 1
    return float(edges[min(first, len(edges) - 1)])
