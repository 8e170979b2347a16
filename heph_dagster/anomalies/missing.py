"""Missing data: what a day lacks, told from what nobody could have seen, and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.blocks import Block, blocks_of
from heph_dagster.anomalies.brightness import Brightness, ImageBrightness
from heph_dagster.anomalies.expectation import Expectation, expect, nominal_zenith
from heph_dagster.anomalies.holes import BLOCK, SMALLEST_HOLE_KM2, ClassMask, find_holes
from heph_dagster.anomalies.labels import Label, UnusableImageError
from heph_dagster.anomalies.places import sample
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import EARTH_AREA_KM2, Region, label_regions, measure, region_areas, row_areas
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.raster import JPEG_BLACK
from heph_dagster.gibs.sun import DAY_S, eclipse_obscuration_grid, may_eclipse
from heph_dagster.gibs.swath import coverage
from heph_dagster.pools import in_order

VERSION = "3"

LEAST_ROWS = 64
_IN_MEMORY = 1 << 28  # pixels of the largest image that is: level 5
_ECLIPSED = 0.8
_DIMMED = 0.1
_ECLIPSE_LEVEL = 1


@dataclass(frozen=True)
class Hole:
    """A region that lacks data.

    Attributes:
        region: Its size and place.
        runs: Its pixels.
        cause: `lost`, or `eclipse` where the moon's shadow lay on it.
    """

    region: Region
    runs: Runs
    cause: Literal["lost", "eclipse"]


@dataclass(frozen=True)
class MissingData:
    """What a day lacks.

    Attributes:
        size: Width and height in px of the image.
        holes: Regions that are missing though they should be there, largest first.
        missing_share: Their share of the Earth's surface.
        not_observed_share: Share of the surface that has no data, as expected.
        labels: Label codes of the day.
        expectation: Where data were expected, and what was fitted to the image for that; None by gibs-ml's method.
        method: What says where data are expected: `orbit`, `orbit+no_data_layer`, or `edges` by gibs-ml's method.
        variety: Standard deviation of the brightness of data, infinite where there are none.
        eclipse: West, south, east and north of the moon's shadow on the imagery; None without an eclipse.
    """

    size: tuple[int, int]
    holes: tuple[Hole, ...]
    missing_share: float
    not_observed_share: float
    labels: tuple[Label, ...]
    expectation: Expectation | None
    method: str
    variety: float
    eclipse: tuple[float, float, float, float] | None

    @property
    def verdict(self) -> str:
        """The labels in words."""
        return ", ".join(label.words for label in self.labels)


@dataclass(frozen=True)
class ImageClasses:
    """Classes of an image in memory.

    Attributes:
        values: Height x width.
    """

    values: NDArray[np.uint8]

    def put(self, rows: slice, cols: slice, classes: NDArray[np.uint8]) -> None:
        """Write a window."""
        self.values[rows, cols] = classes

    def get(self, rows: slice, cols: slice) -> NDArray[np.uint8]:
        """Read a window."""
        return self.values[rows, cols]


def find_missing(
    values: NDArray[np.uint8], satellite: str, day: date, no_data_layer: NDArray[np.uint8] | None = None
) -> tuple[MissingData, NDArray[np.uint8]]:
    """Tell what an image in memory lacks, see `search`.

    Args:
        values: Height x width of the whole world (EPSG:4326): brightness; no data is 0, or up to `JPEG_BLACK`.
        satellite: A name of `heph_dagster.gibs.orbit.SATELLITES`.
        day: The day.
        no_data_layer: Height x width (any size), 1 where the no-data layer says that there are no data.

    Returns:
        Holes and verdict, and height x width `PixelClass` values.

    Raises:
        UnusableImageError: The image is not one of the world, or too small to tell anything.
    """
    classes = np.zeros_like(values)
    told = None if no_data_layer is None else ImageBrightness(no_data_layer)
    return search(ImageBrightness(values), told, satellite, day, ImageClasses(classes)), classes


def search(
    image: Brightness,
    no_data_layer: Brightness | None,
    satellite: str,
    day: date,
    classes: ClassMask,
    pool: Executor | None = None,
    side: int = BLOCK,
) -> MissingData:
    """Tell what was lost from the night and from gaps between swaths.

    A hole is a connected region without data where a swath of the day should have seen something by daylight. The
    no-data layer tells the gaps more exactly than the orbits; what it says far from any gap is no excuse, because it is
    made of the granules that arrived. The image is read in blocks, on whose size nothing depends.

    Args:
        image: Brightness of the whole world (EPSG:4326).
        no_data_layer: The same of the no-data layer, of any size; not 0 where it says that there are no data.
        satellite: A name of `heph_dagster.gibs.orbit.SATELLITES`.
        day: The day.
        classes: Gets the `PixelClass` of each pixel; begins as zeros.
        pool: Who looks at the blocks; threads of this process by default.
        side: Width and height of a block in px.

    Raises:
        UnusableImageError: The image is not one of the world, or too small to tell anything.
    """
    width, height = size = image.size
    if width != 2 * height or height < LEAST_ROWS:
        raise UnusableImageError(
            f"an image of {width} x {height} px is unusable: it must be of the whole world, twice as wide as high, and "
            f"have {LEAST_ROWS} rows at least"
        )
    with ThreadPoolExecutor(1) as aside, _threads(pool) as workers:
        zenith = aside.submit(nominal_zenith, satellite, day)
        if pool is None and width * height <= _IN_MEMORY:
            image = _decoded(image, workers, side)
        samples = _sampled(image, workers, side)
        black = samples <= JPEG_BLACK
        expectation = expect(black.view(np.uint8), satellite, day, zenith.result())
        found = find_holes(image, no_data_layer, expectation, classes, workers, side)
    shadow = moon_shadow(satellite, day)
    holes = [_hole(runs, size, shadow) for runs in found.holes.split()]
    return MissingData(
        size=size,
        holes=tuple(sorted(holes, key=lambda hole: -hole.region.area_km2)),
        missing_share=sum(hole.region.area_km2 for hole in holes) / EARTH_AREA_KM2,
        not_observed_share=found.not_observed_km2 / EARTH_AREA_KM2,
        labels=_codes(holes, found.gaps_km2, dimmed=shadow is not None),
        expectation=expectation,
        method="orbit" if no_data_layer is None else "orbit+no_data_layer",
        variety=float(np.inf if black.all() else samples[~black].std()),
        eclipse=None if shadow is None else _bounds(shadow > _DIMMED),
    )


@contextmanager
def _threads(pool: Executor | None) -> Iterator[Executor]:
    """A pool, or threads while there is none."""
    if pool is not None:
        yield pool
    else:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            yield threads


def _decoded(image: Brightness, threads: Executor, side: int) -> Brightness:
    """An image in memory, so that its tiles are decoded once."""
    if isinstance(image, ImageBrightness):
        return image
    width, height = image.size
    values = np.empty((height, width), np.uint8)

    def read(block: Block) -> None:
        values[block.rows, block.cols] = image.read(block.rows, block.cols)

    for _ in in_order(threads, read, (block for line in blocks_of(image.size, side) for block in line)):
        pass
    return ImageBrightness(values)


def _sampled(image: Brightness, pool: Executor, side: int) -> NDArray[np.uint8]:
    """Brightness at the centres of the cells of the grid: height x width of it."""
    blocks = blocks_of(image.size, side)
    samples = in_order(pool, _sample, ((image, block) for line in blocks for block in line))
    return np.vstack([np.hstack([next(samples) for _ in line]) for line in blocks])


def _sample(job: tuple[Brightness, Block]) -> NDArray[np.uint8]:
    return sample(*job)


def _hole(runs: Runs, size: tuple[int, int], shadow: NDArray[np.float32] | None) -> Hole:
    dark = shadow is not None and _share_within(runs, size, shadow > _ECLIPSED) > 1 / 2
    return Hole(measure(runs, size[1], size[0]), runs, "eclipse" if dark else "lost")


def _share_within(runs: Runs, size: tuple[int, int], mask: NDArray[np.bool_]) -> float:
    """Share of a region's area that lies in a mask of another size."""
    height, width = mask.shape
    before = np.pad(np.cumsum(mask, axis=1, dtype=np.float64), ((0, 0), (1, 1)))
    before[:, -1] = before[:, -2]
    row = runs.row * height // size[1]
    edges = []
    for edge in (runs.start, runs.stop):
        col, rest = np.divmod(edge * width, size[0])
        edges.append(before[row, col] + (before[row, col + 1] - before[row, col]) * rest / size[0])
    areas = row_areas(size[1], size[0])[runs.row]
    within = (edges[1] - edges[0]) * size[0] / width
    return float((within * areas).sum() / ((runs.stop - runs.start) * areas).sum())


def _codes(holes: list[Hole], gaps_km2: float, *, dimmed: bool) -> tuple[Label, ...]:
    codes = set()
    if any(hole.cause == "lost" for hole in holes):
        codes.add(Label.MISSING_UNEXPECTED)
    elif gaps_km2 >= SMALLEST_HOLE_KM2:
        codes.add(Label.MISSING_EXPECTED)
    if any(hole.cause == "eclipse" for hole in holes):
        codes.add(Label.ECLIPSE_MISSING)
    elif dimmed:
        codes.add(Label.ECLIPSE_MISCOLOURED)
    return tuple(sorted(codes)) or (Label.NORMAL,)


def moon_shadow(satellite: str, day: date) -> NDArray[np.float32] | None:
    """Share of the sun that the moon covers where and when each place is imaged: 640 x 1280; None if that is little."""
    if not may_eclipse(day, -DAY_S / 4, DAY_S * 5 / 4):
        return None
    seen = coverage(SATELLITES[satellite], day, _ECLIPSE_LEVEL)
    height, width = seen.index.shape
    longitude = (np.arange(width) + 0.5) * 360 / width - 180
    latitude = 90 - (np.arange(height) + 0.5) * 180 / height
    share = eclipse_obscuration_grid(day, seen.time_s, longitude, latitude)
    return share if share.max() > _DIMMED else None


def _bounds(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    count, labels = label_regions(mask.astype(np.uint8))
    areas = region_areas(count, labels)
    areas[0] = 0
    largest = Runs.of((labels == areas.argmax()).astype(np.int32))
    return measure(largest, *mask.shape).bbox
