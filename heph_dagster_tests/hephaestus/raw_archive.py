"""A small raw archive for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FRAME = "124D_05291_081406"


def png(width: int = 7, height: int = 5, channels: int = 3, seed: int = 0) -> bytes:
    """A PNG of noise."""
    shape = (height, width, channels)[: 2 + (channels > 1)]
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 256, shape, np.uint8))[1].tobytes()


def write_pair(
    raw: Path,
    dates: str,
    interferogram: bytes | None = png(),
    coherence: bytes | None = png(channels=1),
    *,
    plain: bool = False,
) -> Path:
    """Write the images of a pair that are given, and return its folder."""
    folder = raw / FRAME / "interferograms" / dates
    folder.mkdir(parents=True, exist_ok=True)
    names = ("InSAR.png", "Coherence.png") if plain else (f"{dates}.geo.diff.png", f"{dates}.geo.cc.png")
    for name, content in zip(names, (interferogram, coherence), strict=True):
        if content is not None:
            (folder / name).write_bytes(content)
    return folder
