"""Days at 250m, and processes of their own that work on them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from functools import lru_cache
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from heph_dagster.gibs.archive import encode, mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import Image
from heph_dagster.gibs.synthetic import Kind, render_day

FINEST = 8
"""The level of 250m: 163,840 x 81,920 px."""
_SEED = 1914
_TILES = 40  # different ones without black along the equator; the others repeat them
_BEFORE = """
import sys, time
from datetime import date
from pathlib import Path
from heph_dagster.gibs.catalogue import load_catalogue
root, layer, day = Path(sys.argv[1]), load_catalogue()[sys.argv[2]], date.fromisoformat(sys.argv[3])
started = time.perf_counter()
"""
# Not ru_maxrss: that of a child begins with its parent's.
_AFTER = """
seconds = time.perf_counter() - started
print(Path("/proc/self/status").read_text("ascii").split("VmHWM:")[1].split()[0], seconds)
"""


def alone(code: str, root: Path, layer: Layer, day: date) -> tuple[float, float]:
    """Run code in a process of its own.

    Args:
        code: Python, which finds `root`, `layer` and `day`.
        root: Data root.
        layer: The layer.
        day: The day.

    Returns:
        Peak memory in MB, libraries included, and seconds without the start of Python.
    """
    command = [sys.executable, "-c", _BEFORE + code + _AFTER, str(root), layer.identifier, f"{day}"]
    memory, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(memory) / 1024, float(seconds)


def write_fine_day(root: Path, layer: Layer, day: date, level: int, kinds: tuple[Kind, ...]) -> Path:
    """A day with the tiles of a level, without coarser ones, as a download writes it: a coarse day with noise.

    Args:
        root: Data root.
        layer: Its layer.
        day: The day.
        level: The level.
        kinds: What is wrong with it.

    Returns:
        The mosaic.
    """
    window = layer.grid(4326).window(level)
    image = render_day(layer.identifier, day, seed=_SEED, level=3, kinds=kinds).image
    noise = np.random.default_rng(_SEED).normal(0, 12, (512, 512, 1)).astype(np.float32)
    side = image.shape[0] / (window.size[1] / 512)  # pixels that a tile enlarges

    def enlarged(part: Image) -> bytes:
        large = cv2.resize(part, (512, 512), interpolation=cv2.INTER_LINEAR)
        data = cv2.resize(part, (512, 512), interpolation=cv2.INTER_NEAREST).max(axis=2, keepdims=True) > 10
        return encode(np.where(data, np.clip(large + noise, 11, 255), 0).astype(np.uint8), "jpg")

    @lru_cache
    def bright(row: int, col: int) -> bytes:
        size = image.shape[1] // _TILES
        part = image[row * size : (row + 1) * size, col * size : (col + 1) * size]
        return enlarged(np.maximum(part, 40))

    def tile(row: int, col: int) -> bytes:
        part = image[int(row * side) : ceil((row + 1) * side), int(col * side) : ceil((col + 1) * side)]
        # The edges of black are tiles of their own; others are those of the surroundings, as many as fit.
        if (part.max(axis=2) <= 10).any():
            return enlarged(part) if part.any() else black
        size = image.shape[1] // _TILES
        return bright(int(row * side) // size, int(col * side) // size)

    black = encode(np.zeros((512, 512, 3), np.uint8), "jpg")
    with MosaicWriter(mosaic_path(root, 4326, day, layer), Layout(window)) as mosaic:
        for each in window.tiles():
            mosaic.put(each, tile(each.row, each.col))
        return mosaic.publish()
