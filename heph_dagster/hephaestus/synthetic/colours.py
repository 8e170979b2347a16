"""The colours of LiCSAR's quick looks.

LiCSAR draws `{dates}.geo.diff.png` with a table of 252 steps of 0.025 rad, RdYlBu of ColorBrewer by way of 20 colours:
dark blue at -pi, pale yellow at 0, dark red at pi, with a jump where the phase wraps; black, made transparent, where
there are no data (black only here, as readers drop transparency). The file has a palette. `{dates}.geo.cc.png` is grey,
255 for a coherence of 1, black for no data.

Source: github.com/comet-licsar/licsar_proc, create_preview_wrapped, create_preview_coh, pha.cpt and cc.cpt. There, the
image is shrunk to 30 % after it is coloured, which mixes colours where the phase is noisy; not so here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.synthetic.coherence import TURN

STEPS = 252
"""Colours of a cycle; number 0 of the palette is no data."""

_COARSE_STEPS = 20
_ANCHORS = (
    (49, 54, 149), (69, 117, 180), (116, 173, 209), (171, 217, 233), (224, 243, 248), (255, 255, 191),
    (254, 224, 144), (253, 174, 97), (244, 109, 67), (215, 48, 39), (165, 0, 38),
)  # fmt: skip


@lru_cache(maxsize=1)
def palette() -> NDArray[np.uint8]:
    """RGB of no data, and of the phase from -pi to pi; 256 x 3, of which the last three have no use; read-only."""
    colours = np.array(_ANCHORS, dtype=np.float64)
    for number in (_COARSE_STEPS, STEPS):
        place = np.linspace(0, len(colours) - 1, number)
        colours = np.stack([np.interp(place, np.arange(len(colours)), channel) for channel in colours.T], axis=1)
    table: NDArray[np.uint8] = np.zeros((256, 3), dtype=np.uint8)
    table[1 : STEPS + 1] = np.rint(colours)
    table.setflags(write=False)
    return table


def colour_numbers(phase: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The palette's number of each pixel.

    Args:
        phase: H x W, unwrapped, of a `TURN`.

    Returns:
        H x W from 1 to 252.
    """
    return np.asarray(_numbers().take(phase.astype(np.uint16)))


@lru_cache(maxsize=1)
def _numbers() -> NDArray[np.uint8]:
    from_lowest = (np.arange(TURN) + TURN // 2) % TURN
    return (from_lowest * STEPS // TURN + 1).astype(np.uint8)
