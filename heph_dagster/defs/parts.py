"""Which parts of the data root an asset works on: it gets copies of these where the root is in a bucket."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from heph_dagster.settings import INSAR, ActiveLayer
from heph_dagster.storage.working_copy import Part


def of_days(active: ActiveLayer, days: Iterable[date], *, pixels: bool = True) -> list[Part]:
    """All files of days of a layer; without pixels, no tiles and no masks."""
    return [Part(f"{active.epsg}/{day}/", (f"/{active.layer.identifier}.",), pixels) for day in sorted(set(days))]


def of_tables(active: ActiveLayer) -> list[Part]:
    """What is kept of all days of a layer together: labels, split, features, predictions, climatology."""
    return [Part(f"{active.epsg}/{active.layer.identifier}.")]


def of_layer(active: ActiveLayer, *, pixels: bool = True) -> list[Part]:
    """All files of a layer."""
    return [Part(f"{active.epsg}/", (f"/{active.layer.identifier}.",), pixels)]


def of_frames(frames: Iterable[str]) -> list[Part]:
    """Tables of InSAR data, and what was made of frames."""
    return [Part(f"{INSAR}/", shallow=True), Part(f"{INSAR}/", tuple(f"/{frame}" for frame in frames))]


def of_insar() -> list[Part]:
    """All that was made of InSAR data."""
    return [Part(f"{INSAR}/")]
