"""Random fields with power-law spectra, drawn with few numbers and enlarged."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

Map: TypeAlias = NDArray[np.float32]
"""H x W values of a quantity, row 0 in the north, column 0 in the west."""

Spectrum: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Power at wavenumbers in cycles per px."""


def random_field(rng: np.random.Generator, shape: tuple[int, int], spectrum: Spectrum) -> Map:
    """A Gaussian random field.

    Args:
        rng: Source of randomness.
        shape: Height and width in px.
        spectrum: Its two-dimensional power, but for a factor; a function of a module, since results are kept by it.

    Returns:
        H x W with mean 0 and standard deviation 1.
    """
    amplitude, size = _amplitude(shape, spectrum)
    parts = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32)
    coefficients = parts.view(np.complex64)[..., 0]
    coefficients *= amplitude
    field = scipy.fft.irfft2(coefficients, s=size, overwrite_x=True)[: shape[0], : shape[1]]
    field -= field.mean()
    field *= 1 / field.std()
    return np.asarray(field, dtype=np.float32)


@lru_cache(maxsize=16)
def _amplitude(shape: tuple[int, int], spectrum: Spectrum) -> tuple[Map, tuple[int, int]]:
    """Square root of the power at the wavenumbers of a grid that transforms fast and is larger by an eighth.

    The field repeats itself over that grid; the eighth that is cut off keeps opposite sides from being alike.
    """
    height, width = (scipy.fft.next_fast_len(size + size // 8, real=True) for size in shape)
    wavenumber = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    wavenumber[0, 0] = 1
    amplitude = np.sqrt(spectrum(wavenumber))
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32), (height, width)


def enlarged(field: Map, factor: int, shape: tuple[int, int]) -> Map:
    """A field drawn at a fraction of the resolution, in full.

    Args:
        field: h x w.
        factor: How many px one of its px covers.
        shape: Height and width of the result, at most those of the field times the factor.

    Returns:
        H x W.
    """
    height, width = field.shape
    full = cv2.resize(field, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: shape[0], : shape[1]], dtype=np.float32)


def reduced_shape(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Height and width of a field that `enlarged` brings to a shape."""
    return -(-shape[0] // factor), -(-shape[1] // factor)
