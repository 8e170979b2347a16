"""An archive of synthetic days, each with its truth beside it.

Beside a mosaic `{Layer}.mrf` stand `{Layer}.truth.png` (0 valid, 1..n the number of an anomaly, 254 gap between swaths,
255 polar night) and `{Layer}.truth.json` (the anomalies in that order); fires have none.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.files import replacing
from heph_dagster.gibs.archive import encode, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.synthetic.anomalies import ANOMALOUS_DAYS, Anomaly
from heph_dagster.gibs.synthetic.fires import render_fires
from heph_dagster.gibs.synthetic.scene import SyntheticDay, render_day

DEFAULT_LAYERS = ("VIIRS_SNPP_CorrectedReflectance_TrueColor", "MODIS_Terra_CorrectedReflectance_TrueColor")
EPSG = 4326
NO_DATA_PALETTE = ((0, 0, 0, 0), (202, 170, 86, 255))
"""Palette of GIBS's no-data layers: transparent where there are data, brown where there are none."""


@dataclass(frozen=True)
class Recipe:
    """How synthetic days are made.

    Attributes:
        seed: Non-negative; the same seed gives the same bytes.
        level: Finest level.
        anomalous: How many of ten days carry anomalies, 1 to 10, every second of them two.
    """

    seed: int
    level: int
    anomalous: int = ANOMALOUS_DAYS


@dataclass(frozen=True)
class SyntheticFiles:
    """A synthetic day on disk.

    Attributes:
        layer: Identifier.
        day: The day.
        mosaic: Its mosaic.
        anomalies: What is wrong with it, in the order of the numbers in the truth raster.
    """

    layer: str
    day: date
    mosaic: Path
    anomalies: tuple[Anomaly, ...]


def synthesize(
    root: Path,
    layers: Sequence[Layer],
    days: Sequence[date],
    catalogue: Catalogue,
    recipe: Recipe,
    *,
    workers: int | None = None,
    on_day: Callable[[SyntheticFiles], None] = lambda _: None,
) -> list[SyntheticFiles]:
    """Make an archive of days; the same seed gives the same bytes with any number of workers.

    Args:
        root: The archive.
        layers: Layers of corrected reflectance and of fires; the no-data layer of a MODIS layer is made with it.
        days: The days.
        catalogue: Where the no-data layers are looked up.
        recipe: How they are made.
        workers: Processes; one per core by default.
        on_day: Called with each day as it is done.

    Returns:
        The days of each layer, in the order given.

    Raises:
        ValueError: A layer is of another kind.
    """
    for layer in layers:
        if layer.kind not in {"corrected_reflectance", "fires"}:
            raise ValueError(
                f"{layer.identifier} cannot be synthesized; layers of corrected reflectance and of fires can, "
                "and a MODIS layer brings its no-data layer along"
            )
    # Layers of an instrument share their no-data layer: the first of them makes it.
    first_user = {layer.no_data_layer: layer for layer in reversed(layers)}
    jobs = [
        (root, layer, catalogue[name] if name is not None and layer is first_user[name] else None, day, recipe)
        for layer in layers
        for name in (layer.no_data_layer,)
        for day in days
    ]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    made: dict[tuple[str, date], SyntheticFiles] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for future in as_completed([pool.submit(_make_day, *job) for job in jobs]):
            day_files = future.result()
            made[day_files.layer, day_files.day] = day_files
            on_day(day_files)
    return [made[layer.identifier, day] for layer in layers for day in days]


def truth_paths(mosaic: Path) -> tuple[Path, Path]:
    """Raster and records of the truth beside a synthetic mosaic."""
    return mosaic.with_suffix(".truth.png"), mosaic.with_suffix(".truth.json")


def write_truth(mosaic: Path, scene: SyntheticDay) -> None:
    """Write the truth of a day beside its mosaic."""
    raster, records = truth_paths(mosaic)
    with replacing(raster) as part:
        part.write_bytes(encode(scene.truth, "png"))
    with replacing(records) as part:
        part.write_text(json.dumps([anomaly.to_dict() for anomaly in scene.anomalies], indent=2) + "\n", "utf-8")


def _make_day(root: Path, layer: Layer, no_data: Layer | None, day: date, recipe: Recipe) -> SyntheticFiles:
    if layer.kind == "fires":
        image = render_fires(layer.identifier, day, seed=recipe.seed, level=recipe.level)
        return SyntheticFiles(layer.identifier, day, write_day(root, layer, EPSG, day, image), ())
    scene = render_day(layer.identifier, day, seed=recipe.seed, level=recipe.level, anomalous=recipe.anomalous)
    mosaic = write_day(root, layer, EPSG, day, scene.image)
    write_truth(mosaic, scene)
    if no_data is not None:
        lacking: NDArray[np.uint8] = (~scene.expected_data).astype(np.uint8)
        write_day(root, no_data, EPSG, day, lacking, NO_DATA_PALETTE)
    return SyntheticFiles(layer.identifier, day, mosaic, scene.anomalies)
