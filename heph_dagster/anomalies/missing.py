"""Missing data: black regions of a day where the instrument should have seen something."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.expectation import EDGE_DEG, NIGHT_EDGE_DEG, Expectation, expect, fit
from heph_dagster.anomalies.labels import PALETTE, Label, PixelClass, UnusableImageError
from heph_dagster.anomalies.polygons import write_polygons
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
from heph_dagster.gibs.raster import JPEG_BLACK, Image, brightest, read_palette, read_pixels, write_class_raster
from heph_dagster.gibs.sun import DAY_S, eclipse_obscuration_grid, may_eclipse
from heph_dagster.gibs.swath import coverage

METHOD = "black-regions"
VERSION = "2"

SMALLEST_HOLE_KM2 = 2500.0
"""Smaller black regions are taken for dark water and noise."""
# In a JPEG no data is exactly black but near its edges, where it is as dark as dark water at most. On a real MODIS day
# the mean of a gap's pixels is 1.2 to 1.6, that of lakes and specks of dark sea 4.5 to 9, and none of those is large.
_BLACK_MEAN = 2.5
_NARROW_HOLE_KM2 = 10_000.0
_NARROW_MEAN = 6.0
_LEAST_ROWS = 64
_ECLIPSED = 0.8
_DIMMED = 0.1
_ECLIPSE_LEVEL = 1


@dataclass(frozen=True)
class Hole:
    """A region that lacks data.

    Attributes:
        region: Its size and place.
        cause: `lost`, or `eclipse` where the moon's shadow lay on it.
    """

    region: Region
    cause: Literal["lost", "eclipse"]


@dataclass(frozen=True)
class MissingData:
    """What a day lacks.

    Attributes:
        classes: Height x width `PixelClass` values.
        holes: Regions that are missing though they should be there, largest first.
        missing_share: Their share of the Earth's surface.
        not_observed_share: Share of the surface that has no data, as expected.
        labels: Label codes of the day.
        expectation: Where data were expected, and what was fitted to the image for that.
        method: What says where data are expected: `orbit`, or `orbit+no_data_layer`.
        eclipse: West, south, east and north of the moon's shadow on the imagery; None without an eclipse.
    """

    classes: NDArray[np.uint8]
    holes: tuple[Hole, ...]
    missing_share: float
    not_observed_share: float
    labels: tuple[Label, ...]
    expectation: Expectation
    method: str
    eclipse: tuple[float, float, float, float] | None

    @property
    def verdict(self) -> str:
        """The labels in words."""
        return ", ".join(label.words for label in self.labels)


def brightness(path: Path, layer: Layer) -> NDArray[np.uint8]:
    """How bright each pixel of a day is, 0 where there are no data.

    No data is black in a JPEG layer, with its noise, and transparent in a PNG layer. The no-data layers are themselves
    transparent where there are data: of them, the result is 0 where data are.

    Args:
        path: The layer's mosaic.
        layer: The layer.

    Returns:
        Height x width: the brightest channel of a JPEG layer; 0 or 255 of a PNG layer.
    """
    pixels = read_pixels(path)
    palette = read_palette(path) if pixels.ndim == 2 else None
    if palette is not None:
        transparent = np.zeros(256, np.uint8)
        transparent[: len(palette)] = [255 * (entry[3] > 0) for entry in palette]
        return transparent[pixels]
    values = pixels if pixels.ndim == 2 else pixels[..., 3] if pixels.shape[2] == 4 else brightest(pixels)
    return values if layer.format == "jpg" else (values > 0).astype(np.uint8) * np.uint8(255)


def find_missing(
    values: NDArray[np.uint8], satellite: str, day: date, no_data_layer: NDArray[np.uint8] | None = None
) -> MissingData:
    """Tell what was lost from the night and from gaps between swaths.

    A hole is a connected region without data where a swath of the day should have seen something by daylight. The
    no-data layer tells the gaps more exactly than the orbits; what it says far from any gap is no excuse, because it is
    made of the granules that arrived.

    Args:
        values: Height x width of the whole world (EPSG:4326): brightness, see `brightness`; no data is 0, or up to
            `JPEG_BLACK`.
        satellite: A name of `heph_dagster.gibs.orbit.SATELLITES`.
        day: The day.
        no_data_layer: Height x width (any size), 1 where the no-data layer says that there are no data.

    Returns:
        Mask, holes and verdict.

    Raises:
        UnusableImageError: The image is not one of the world, or too small to tell anything.
    """
    height, width = values.shape
    if width != 2 * height or height < _LEAST_ROWS:
        raise UnusableImageError(
            f"an image of {width} x {height} px is unusable: it must be of the whole world, twice as wide as high, and "
            f"have {_LEAST_ROWS} rows at least"
        )
    black = values <= JPEG_BLACK
    expectation = expect(black.astype(np.uint8), satellite, day)
    nominal, core = _expected(expectation, no_data_layer, (width, height))
    missing = _holes(values, nominal, core)
    classes = np.zeros((height, width), np.uint8)
    classes[black & (nominal == 0)] = PixelClass.NOT_OBSERVED
    classes[missing > 0] = PixelClass.MISSING
    count, labels = label_regions(missing)
    obscured = _shadow(satellite, day, (width, height))
    holes = tuple(
        sorted(
            (
                Hole(region, "lost" if obscured is None else _cause(obscured, labels, number))
                for number, region in enumerate(measure_regions(labels, range(1, count + 1)), 1)
            ),
            key=lambda hole: -hole.region.area_km2,
        )
    )
    gaps = (classes == PixelClass.NOT_OBSERVED) & (expectation.gaps((width, height)) > 0)
    return MissingData(
        classes=classes,
        holes=holes,
        missing_share=_share(missing > 0),
        not_observed_share=_share(classes == PixelClass.NOT_OBSERVED),
        labels=_codes(holes, gaps, dimmed=obscured is not None),
        expectation=expectation,
        method="orbit" if no_data_layer is None else "orbit+no_data_layer",
        eclipse=None if obscured is None else _bounds(obscured > _DIMMED),
    )


def _expected(
    expectation: Expectation, no_data_layer: NDArray[np.uint8] | None, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Where data are expected, and where they are for certain: height x width each, 1 there, else 0."""
    gaps = expectation.gaps(size)
    near = _grown(gaps, EDGE_DEG)
    if no_data_layer is None:
        open_, closed = gaps, near
    else:
        # The layers' edges differ by a pixel of the coarser one.
        told = fit(no_data_layer, size)
        rim_deg = 1.01 * 180 / min(size[1], len(no_data_layer))
        open_, closed = told & near, _grown(told, rim_deg) & near
    night = _grown(1 - expectation.lit(size, NIGHT_EDGE_DEG), EDGE_DEG)
    return expectation.lit(size) & (1 - open_), 1 - (night | closed)


def _holes(values: NDArray[np.uint8], nominal: NDArray[np.uint8], core: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Regions without data where data are expected: height x width, 1 there, else 0."""
    black = values <= JPEG_BLACK
    count, labels = label_regions((black & (core > 0)).astype(np.uint8))
    inside = labels > 0
    numbers = labels[inside]
    pixels = np.bincount(numbers, minlength=count + 1)
    mean = np.bincount(numbers, values[inside], minlength=count + 1) / np.maximum(pixels, 1)
    areas = region_areas(count, labels)
    chosen = (areas >= SMALLEST_HOLE_KM2) & (mean <= _BLACK_MEAN)
    chosen |= (areas >= _NARROW_HOLE_KM2) & (mean <= _NARROW_MEAN)
    chosen[0] = False
    holes = chosen[labels]
    # What a hole has in the uncertain rims of gaps and night belongs to it.
    reach = EDGE_DEG + NIGHT_EDGE_DEG
    count, labels = label_regions(_grown(holes.astype(np.uint8), reach) & nominal & black)
    kept = (np.bincount(labels[holes], minlength=count + 1) > 0).astype(np.uint8)
    kept[0] = 0
    return kept[labels]


def _grown(mask: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """A mask grown to all sides, across the antimeridian too."""
    reach = max(1, round(degrees * len(mask) / 180))
    wide = np.hstack([mask[:, -reach:], mask, mask[:, :reach]])
    return cv2.dilate(wide, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))[:, reach:-reach]


def _codes(holes: tuple[Hole, ...], gaps: NDArray[np.bool_], *, dimmed: bool) -> tuple[Label, ...]:
    codes = set()
    if any(hole.cause == "lost" for hole in holes):
        codes.add(Label.MISSING_UNEXPECTED)
    elif _share(gaps) * EARTH_AREA_KM2 >= SMALLEST_HOLE_KM2:
        codes.add(Label.MISSING_EXPECTED)
    if any(hole.cause == "eclipse" for hole in holes):
        codes.add(Label.ECLIPSE_MISSING)
    elif dimmed:
        codes.add(Label.ECLIPSE_MISCOLOURED)
    return tuple(sorted(codes)) or (Label.NORMAL,)


def _shadow(satellite: str, day: date, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Share of the sun that the moon covers where and when each pixel is imaged; None if that is nowhere noticeable."""
    if not may_eclipse(day, -DAY_S / 4, DAY_S * 5 / 4):
        return None
    seen = coverage(SATELLITES[satellite], day, _ECLIPSE_LEVEL)
    height, width = seen.index.shape
    longitude = (np.arange(width) + 0.5) * 360 / width - 180
    latitude = 90 - (np.arange(height) + 0.5) * 180 / height
    share = eclipse_obscuration_grid(day, seen.time_s, longitude, latitude)
    if share.max() <= _DIMMED:
        return None
    return cv2.resize(share, size, interpolation=cv2.INTER_LINEAR)


def _cause(obscured: NDArray[np.float32], labels: NDArray[np.int32], number: int) -> Literal["lost", "eclipse"]:
    return "eclipse" if np.median(obscured[labels == number]) > _ECLIPSED else "lost"


def _bounds(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    count, labels = label_regions(mask.astype(np.uint8))
    areas = region_areas(count, labels)
    areas[0] = 0
    return measure_regions(labels, [int(areas.argmax())])[0].bbox


@dataclass(frozen=True)
class MissingDataFiles:
    """A labelled day on disk."""

    day: date
    result: MissingData
    mosaic: Path
    mask: Path
    polygons: Path
    report: Path


def label_missing_data(root: Path, layer: Layer, epsg: int, day: date, no_data_layer: Layer | None) -> MissingDataFiles:
    """Label a day on disk, and write mask (`.missing_data.tif`), holes (`.parquet`) and figures (`.json`).

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
    told = None
    if no_data_layer is not None:
        path = mosaic_path(root, epsg, day, no_data_layer)
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is not there: run {no_data_layer.identifier} for {day} first, "
                "or take it out of the active layers"
            )
        told = (brightness(path, no_data_layer) > 0).astype(np.uint8)
    result = find_missing(brightness(mosaic, layer), layer.satellite, day, told)
    mask, polygons, report = (mosaic.with_suffix(f".missing_data.{kind}") for kind in ("tif", "parquet", "json"))
    with replacing(mask) as part:
        write_class_raster(part, result.classes, PALETTE, like=mosaic)
    _write_holes(polygons, result, layer, day)
    with replacing(report) as part:
        part.write_text(json.dumps(_figures(result, layer, day), indent=2) + "\n", "utf-8")
    return MissingDataFiles(day, result, mosaic, mask, polygons, report)


def _write_holes(path: Path, result: MissingData, layer: Layer, day: date) -> None:
    count, labels = label_regions((result.classes == PixelClass.MISSING).astype(np.uint8))
    regions = measure_regions(labels, range(1, count + 1))
    causes = {hole.region: hole.cause for hole in result.holes}
    columns: dict[str, list[str]] = {"class": ["missing"] * count, "cause": [causes[region] for region in regions]}
    facts = {"layer": layer.identifier, "day": day.isoformat(), "method": METHOD, "method_version": VERSION}
    write_polygons(path, labels, regions, columns, facts)


def overlay(image: Image, classes: NDArray[np.uint8]) -> Image:
    """An RGB picture of a day with the classes of its mask drawn over it."""
    mask = fit(classes, (image.shape[1], image.shape[0]))
    colours = np.zeros((256, 3), np.uint8)
    for number, colour in PALETTE.items():
        colours[number] = colour[:3]
    return np.where(mask[..., None] > 0, colours[mask], image)


def _figures(result: MissingData, layer: Layer, day: date) -> dict[str, object]:
    expectation = result.expectation
    return {
        "layer": layer.identifier,
        "day": day.isoformat(),
        "method": METHOD,
        "version": VERSION,
        "expectation": result.method,
        "cutoff_north_deg": expectation.cutoff_north_deg,
        "cutoff_south_deg": expectation.cutoff_south_deg,
        "orbit_shift_deg": expectation.shift_deg,
        "eclipse": result.eclipse,
        "labels": [int(label) for label in result.labels],
        "verdict": result.verdict,
        "missing_share": result.missing_share,
        "not_observed_share": result.not_observed_share,
        "holes": [{**asdict(hole.region), "cause": hole.cause} for hole in result.holes],
    }


def _share(mask: NDArray[np.bool_]) -> float:
    areas = row_areas(*mask.shape)
    return float((mask.sum(axis=1) * areas).sum() / (areas.sum() * mask.shape[1]))
