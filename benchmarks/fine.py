"""Days at 250m, and processes of their own that work on them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from heph_dagster.gibs.archive import encode, mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.synthetic import Kind, render_day

FINEST = 8
"""The level of 250m: 163,840 x 81,920 px."""
_SEED = 1914
_TILES = 40  # different ones along the equator; the others repeat them
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
    height, width = image.shape[0] * 2 // _TILES, image.shape[1] // _TILES

    @lru_cache(maxsize=_TILES)
    def tile(row: int, col: int) -> bytes:
        part = image[row * height : (row + 1) * height, col * width : (col + 1) * width]
        large = cv2.resize(part, (512, 512), interpolation=cv2.INTER_LINEAR)
        return encode(np.clip(large + noise * (large.max(axis=2, keepdims=True) > 10), 0, 255).astype(np.uint8), "jpg")

    with MosaicWriter(mosaic_path(root, 4326, day, layer), Layout(window)) as mosaic:
        for each in window.tiles():
            mosaic.put(each, tile(each.row * _TILES // 2 // window.rows, each.col * _TILES // window.cols))
        return mosaic.publish()
