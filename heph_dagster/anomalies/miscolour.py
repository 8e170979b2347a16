"""Miscolouring: patches of a day whose colours hardly ever occur where they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.climatology import LEAST_DAYS, HueClimatology, climatology_path
from heph_dagster.anomalies.dbscan import cluster_pixels
from heph_dagster.anomalies.hues import CELLS, COLOURLESS, Hues, Presence, cells_of, read_hues
from heph_dagster.anomalies.labels import PALETTE, Label, PixelClass, UnusableImageError
from heph_dagster.anomalies.polygons import write_polygons
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import Region, measure, row_areas
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.class_raster import write_class_raster
from heph_dagster.gibs.verify import check_sound

METHOD = "hue-climatology"
VERSION = "1"

_NEIGHBOURS_KM = 150.0
_SMALLEST_KM2 = 10_000.0
_FEWEST_PIXELS = 3  # of the equator, where the image is coarse


@dataclass(frozen=True)
class Patches:
    """Miscoloured patches of a day.

    Attributes:
        classes: Height x width `PixelClass` values.
        regions: The patches, largest first.
        runs: Their pixels.
        share: Their share of the Earth's surface.
    """

    classes: NDArray[np.uint8]
    regions: tuple[Region, ...]
    runs: tuple[Runs, ...]
    share: float


@dataclass(frozen=True)
class Miscolouring:
    """What is known of the colours of a day.

    Attributes:
        verdict: `normal`, `miscoloured`, `unusable` or `no climatology yet`.
        reason: Why there is no label, else empty.
        days: Number of days of the climatology, the day itself left out.
        patches: What was found; None where there is no label.
    """

    verdict: str
    reason: str
    days: int
    patches: Patches | None

    @property
    def labels(self) -> tuple[Label, ...]:
        """Label codes of the day; none where its colours could not be judged."""
        if self.patches is None:
            return ()
        return (Label.MISCOLOURED if self.patches.regions else Label.NORMAL,)


def miscoloured_pixels(hues: Hues, unusual: Presence) -> tuple[int, NDArray[np.int32]]:
    """Pixels of unusual colours that are many together.

    Args:
        hues: Hues of the whole world (EPSG:4326).
        unusual: 36 x 72 x 253, which colours are unusual where.

    Returns:
        Number of patches, and height x width of their numbers, 0 outside.
    """
    height, width = hues.bins.shape
    cell_row, cell_col = cells_of(height, width)
    cells = (cell_row[:, None] * CELLS[1] + cell_col).ravel()
    coloured = np.flatnonzero(hues.bins < COLOURLESS)
    colours = cells[coloured] * (COLOURLESS + 1) + hues.bins.ravel()[coloured]
    found = coloured[unusual.ravel()[colours]]
    chroma = np.zeros_like(hues.chroma)
    chroma.ravel()[found] = hues.chroma.ravel()[found]
    # JPEG halves the resolution of colour: what is less than half as vivid as its neighbour is the neighbour's fringe.
    suspect = (chroma > 0) & (chroma >= cv2.dilate(chroma, np.ones((3, 3), np.uint8)) // 2)
    least = max(_SMALLEST_KM2, _FEWEST_PIXELS * float(row_areas(height, width).max()))
    return cluster_pixels(suspect.astype(np.uint8), _NEIGHBOURS_KM, least)


def find_patches(hues: Hues, unusual: Presence) -> Patches:
    """Find and measure miscoloured patches; the arguments are those of `miscoloured_pixels`."""
    labels = miscoloured_pixels(hues, unusual)[1]
    found = sorted(
        ((measure(runs, *labels.shape), runs) for runs in Runs.of(labels).split()), key=lambda each: -each[0].area_km2
    )
    areas = row_areas(*labels.shape)
    return Patches(
        classes=np.where(labels > 0, np.uint8(PixelClass.MISCOLOURED), np.uint8(PixelClass.VALID)),
        regions=tuple(region for region, _ in found),
        runs=tuple(runs for _, runs in found),
        share=float(((labels > 0).sum(axis=1) * areas).sum() / (areas.sum() * labels.shape[1])),
    )


def judge(mosaic: Path, layer: Layer, day: date, climatology: HueClimatology) -> Miscolouring:
    """Judge the colours of a day by those of the others.

    Args:
        mosaic: Its mosaic.
        layer: Its layer.
        day: The day, which does not speak for itself where the climatology has it.
        climatology: That of the layer.

    Raises:
        RasterError: The mosaic cannot be read.
    """
    days, unusual = climatology.unusual(day)
    try:
        hues = read_hues(mosaic, layer)
    except UnusableImageError as error:
        return Miscolouring("unusable", str(error), days, None)
    if days < LEAST_DAYS:
        reason = f"it has {days} normal day{'s' * (days != 1)} and needs {LEAST_DAYS}"
        return Miscolouring("no climatology yet", reason, days, None)
    patches = find_patches(hues, unusual)
    return Miscolouring("miscoloured" if patches.regions else "normal", "", days, patches)


@dataclass(frozen=True)
class MiscolouringFiles:
    """A judged day on disk; there are no mask and no polygons where there is no label."""

    day: date
    result: Miscolouring
    mosaic: Path
    mask: Path | None
    polygons: Path | None
    report: Path


def label_miscolouring(root: Path, layer: Layer, epsg: int, day: date) -> MiscolouringFiles:
    """Judge a day on disk, and write mask (`.miscoloration.tif`), patches (`.parquet`) and figures (`.json`).

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection; only EPSG:4326 can be judged so far.
        day: The day, whose mosaic is on disk.

    Raises:
        ValueError: The projection is not geographic.
        FileNotFoundError: The day is not on disk.
        MosaicError: The mosaic is damaged, or cannot be read.
        RasterError: GDAL cannot read it.
        ClimatologyError: The climatology cannot be read.
    """
    if epsg != 4326:
        raise ValueError(f"miscolouring can be told in EPSG:4326, not in EPSG:{epsg}")
    mosaic = mosaic_path(root, epsg, day, layer)
    check_sound(mosaic, epsg)
    with HueClimatology(climatology_path(root, epsg, layer), layer, epsg) as climatology:
        result = judge(mosaic, layer, day, climatology)
    mask, polygons, report = (mosaic.with_suffix(f".miscoloration.{kind}") for kind in ("tif", "parquet", "json"))
    if result.patches is None:
        mask.unlink(missing_ok=True)
        polygons.unlink(missing_ok=True)
    else:
        with replacing(mask) as part:
            write_class_raster(part, result.patches.classes, PALETTE, like=mosaic)
        _write_patches(polygons, result.patches, layer, day)
    with replacing(report) as part:
        part.write_text(json.dumps(_figures(result, layer, day), indent=2) + "\n", "utf-8")
    if result.patches is None:
        return MiscolouringFiles(day, result, mosaic, None, None, report)
    return MiscolouringFiles(day, result, mosaic, mask, polygons, report)


def _write_patches(path: Path, patches: Patches, layer: Layer, day: date) -> None:
    columns = {"class": ["miscoloured"] * len(patches.regions)}
    facts = {"layer": layer.identifier, "day": day.isoformat(), "method": METHOD, "method_version": VERSION}
    height, width = patches.classes.shape
    found = list(zip(patches.regions, patches.runs, strict=True))
    write_polygons(path, found, (width, height), columns, facts)


def _figures(result: Miscolouring, layer: Layer, day: date) -> dict[str, object]:
    patches = result.patches
    return {
        "layer": layer.identifier,
        "day": day.isoformat(),
        "method": METHOD,
        "version": VERSION,
        "climatology_days": result.days,
        "labels": [int(label) for label in result.labels],
        "verdict": result.verdict,
        "reason": result.reason,
        "miscoloured_share": None if patches is None else patches.share,
        "patches": None if patches is None else [asdict(region) for region in patches.regions],
    }
