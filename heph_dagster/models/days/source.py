"""Whose days are learned from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from heph_dagster.gibs.catalogue import Layer


class LayerDays(NamedTuple):
    """The days of a layer in one projection, below a data root."""

    root: Path
    layer: Layer
    epsg: int
