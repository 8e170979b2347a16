"""Missing data: black regions of a day where the instrument should have seen something."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import PALETTE, Label, PixelClass
from heph_dagster.anomalies.sphere import (
    EARTH_AREA_KM2,
    Region,
    label_regions,
    measure_regions,
    region_areas,
    row_areas,
)
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.raster import JPEG_BLACK, Image, black, read_palette, read_pixels, write_class_raster
from heph_dagster.gibs.sun import solar_zenith

METHOD = "black-regions"
VERSION = "1"

# Day imagery ends at a solar zenith angle of 82 to 88 degrees. Where between them shows in the image: the black that
# hangs together with the pole ends at about the same latitude everywhere, scalloped by the orbits, but for holes.
_NIGHT_ZENITH_DEG = 82.0
_SCALLOP_DEG = 2.5
SMALLEST_HOLE_KM2 = 2500.0
"""Smaller black regions are taken for dark water and noise."""


@dataclass(frozen=True)
class MissingData:
    """What a day lacks.

    Attributes:
        classes: Height x width `PixelClass` values.
        holes: Regions that are missing though they should be there, largest first.
        missing_share: Their share of the Earth's surface.
        not_observed_share: Share of the surface that has no data, as expected.
        labels: Label codes of the day.
        expectation: What says where data are expected: `sun`, or `sun+no_data_layer`.
    """

    classes: NDArray[np.uint8]
    holes: tuple[Region, ...]
    missing_share: float
    not_observed_share: float
    labels: tuple[Label, ...]
    expectation: str

    @property
    def verdict(self) -> str:
        """The labels in words."""
        return ", ".join(label.name.lower().replace("_", " ") for label in self.labels)


def no_data_mask(path: Path, layer: Layer) -> NDArray[np.uint8]:
    """Where a day has no data: black in a JPEG layer (with its noise), transparent in a PNG layer.

    The no-data layers are themselves transparent where there are data: of them, the result says where data are.

    Args:
        path: The layer's mosaic.
        layer: The layer.

    Returns:
        Height x width, 1 for no data, else 0.
    """
    pixels = read_pixels(path)
    if pixels.ndim == 2:
        palette = read_palette(path)
        if palette is None:
            return (pixels <= (JPEG_BLACK if layer.format == "jpg" else 0)).astype(np.uint8)
        transparent = np.zeros(256, np.uint8)
        transparent[: len(palette)] = [entry[3] == 0 for entry in palette]
        return transparent[pixels]
    if pixels.shape[2] == 4:
        return (pixels[..., 3] == 0).astype(np.uint8)
    return black(pixels, JPEG_BLACK if layer.format == "jpg" else 0)


def find_missing(
    no_data: NDArray[np.uint8], satellite: str, day: date, expected: NDArray[np.uint8] | None = None
) -> MissingData:
    """Tell holes from the night and from gaps between swaths.

    A hole is a connected region without data where the no-data layer says that there are data. Without that layer
    it is one outside the polar night, and the gaps between MODIS swaths count as holes.

    Args:
        no_data: Height x width of the whole world (EPSG:4326), 1 where the image has no data.
        satellite: A name of `heph_dagster.gibs.orbit.SATELLITES`, for the local time of the overpass.
        day: The day.
        expected: Height x width (any size), 1 where the no-data layer says that there are data.

    Returns:
        Mask, holes and verdict.
    """
    height, width = no_data.shape
    night = _night_rows(no_data, satellite, day)
    if expected is None:
        unexpected = no_data.copy()
        unexpected[night] = 0
    else:
        # The two layers' edges differ by a pixel of the coarser: a rim of one pixel belongs to the gap.
        rim = np.ones((3, 3), np.uint8)
        if expected.shape[0] < height:
            expected = cv2.erode(expected, rim)
            unexpected = no_data & _fit(expected, width, height)
        else:
            unexpected = no_data & cv2.erode(_fit(expected, width, height), rim)
    count, labels = label_regions(unexpected)
    large = np.flatnonzero(region_areas(count, labels)[1:] >= SMALLEST_HOLE_KM2) + 1
    missing = np.isin(labels, large)
    classes = np.where(no_data == 1, np.uint8(PixelClass.NOT_OBSERVED), np.uint8(PixelClass.VALID))
    classes[(unexpected == 1) & ~missing] = PixelClass.VALID
    classes[missing] = PixelClass.MISSING
    holes = sorted(measure_regions(labels, large.tolist()), key=lambda hole: -hole.area_km2)
    gaps = (classes == PixelClass.NOT_OBSERVED) & ~night[:, None]
    if holes:
        verdict: tuple[Label, ...] = (Label.MISSING_UNEXPECTED,)
    elif _share(gaps) * EARTH_AREA_KM2 >= SMALLEST_HOLE_KM2:
        verdict = (Label.MISSING_EXPECTED,)
    else:
        verdict = (Label.NORMAL,)
    return MissingData(
        classes=classes,
        holes=tuple(holes),
        missing_share=_share(missing),
        not_observed_share=_share(classes == PixelClass.NOT_OBSERVED),
        labels=verdict,
        expectation="sun" if expected is None else "sun+no_data_layer",
    )


@dataclass(frozen=True)
class MissingDataFiles:
    """A labelled day on disk."""

    day: date
    result: MissingData
    mosaic: Path
    mask: Path
    report: Path


def label_missing_data(root: Path, layer: Layer, epsg: int, day: date, no_data_layer: Layer | None) -> MissingDataFiles:
    """Label a downloaded day, and write the mask (`.missing_data.tif`) and the figures (`.missing_data.json`).

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection; only EPSG:4326 can be labelled so far.
        day: The day, whose mosaic is on disk.
        no_data_layer: The layer that says where data are expected, if there is one.

    Raises:
        ValueError: The layer's satellite is not known, or the projection is not geographic.
        FileNotFoundError: The no-data layer's day is not on disk.
        RasterError: The mosaic cannot be read.
    """
    if layer.satellite is None or epsg != 4326:
        raise ValueError(
            f"missing data can be told for layers of a known satellite in EPSG:4326, not {layer.identifier}"
        )
    mosaic = mosaic_path(root, epsg, day, layer)
    expected = None
    if no_data_layer is not None:
        path = mosaic_path(root, epsg, day, no_data_layer)
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is not there: run {no_data_layer.identifier} for {day} first, "
                "or take it out of the active layers"
            )
        expected = no_data_mask(path, no_data_layer)
    result = find_missing(no_data_mask(mosaic, layer), layer.satellite, day, expected)
    mask, report = mosaic.with_suffix(".missing_data.tif"), mosaic.with_suffix(".missing_data.json")
    with replacing(mask) as part:
        write_class_raster(part, result.classes, PALETTE, like=mosaic)
    with replacing(report) as part:
        part.write_text(json.dumps(_figures(result, layer, day), indent=2) + "\n", "utf-8")
    return MissingDataFiles(day, result, mosaic, mask, report)


def overlay(image: Image, classes: NDArray[np.uint8]) -> Image:
    """An RGB picture of a day with the classes of its mask drawn over it."""
    mask = _fit(classes, image.shape[1], image.shape[0])
    colours = np.zeros((256, 3), np.uint8)
    for number, colour in PALETTE.items():
        colours[number] = colour[:3]
    return np.where(mask[..., None] > 0, colours[mask], image)


def _figures(result: MissingData, layer: Layer, day: date) -> dict[str, object]:
    return {
        "layer": layer.identifier,
        "day": day.isoformat(),
        "method": METHOD,
        "version": VERSION,
        "expectation": result.expectation,
        "labels": [int(label) for label in result.labels],
        "verdict": result.verdict,
        "missing_share": result.missing_share,
        "not_observed_share": result.not_observed_share,
        "holes": [asdict(hole) for hole in result.holes],
    }


def _night_rows(no_data: NDArray[np.uint8], satellite: str, day: date) -> NDArray[np.bool_]:
    """Which rows are put down to the polar night: those that the image shows black all around, and no sunny ones."""
    height = len(no_data)
    latitudes = 90 - (np.arange(height) + 0.5) * 180 / height
    low_sun = solar_zenith(latitudes, SATELLITES[satellite].local_time, day) > _NIGHT_ZENITH_DEG
    margin = round(_SCALLOP_DEG * height / 180)
    night = np.zeros(height, bool)
    for rows in (slice(None), slice(None, None, -1)):
        black_from_pole = np.logical_and.accumulate(no_data[rows], axis=0).sum(axis=0)
        edge = round(float(np.median(black_from_pole)))
        night[rows][: edge + margin if edge else 0] = True
    return night & low_sun


def _fit(mask: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _share(mask: NDArray[np.bool_]) -> float:
    areas = row_areas(*mask.shape)
    return float((mask.sum(axis=1) * areas).sum() / (areas.sum() * mask.shape[1]))
