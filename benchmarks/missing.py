"""Telling lost data from night and gaps: against the truth of synthetic days and of cuts into a real one."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.fine import FINEST, alone, write_fine_day
from benchmarks.measure import Row, pairs, ratio_row
from heph_dagster.anomalies.gibs_ml import find_holes
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.missing import MissingData, find_missing
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.anomalies.sphere import Region, label_regions, measure_regions
from heph_dagster.gibs.archive import encode, write_day
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.export import export_image
from heph_dagster.gibs.orbit import SATELLITES, satellite_of
from heph_dagster.gibs.raster import Image, brightest, read_pixels
from heph_dagster.gibs.swath import coverage
from heph_dagster.gibs.synthetic import Kind, render_day

SEED = 500_000  # seeds from here on are used nowhere else
DAYS = 500
LEVEL = 1
EPSG = 4326
LAYERS = (
    "MODIS_Terra_CorrectedReflectance_TrueColor",
    "MODIS_Aqua_CorrectedReflectance_TrueColor",
    "VIIRS_SNPP_CorrectedReflectance_TrueColor",
)
HOLES = tuple(kind for kind in Kind if kind.is_missing)
OTHERS = (Kind.MAGENTA, Kind.YELLOW, Kind.GREEN, Kind.RED, Kind.EDGE_WARP)
REAL_DAY = date(2020, 9, 27)
_REAL_DATA = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
_REAL = _REAL_DATA / "gibs" / "images" / f"{LAYERS[0]}_{REAL_DAY}_3996x1998.jpg"
_LARGE_KM = 300.0
_FINE_DAY = date(2022, 5, 8)
_LABEL = """
from heph_dagster.anomalies.missing_files import label_missing_data
label_missing_data(root, layer, 4326, day, None)
"""


class _Counts(NamedTuple):
    """What became of a day.

    Attributes:
        holed: Whether it has a hole.
        found: Whether one was found.
        large: Holes over 300 km.
        large_found: Those of which the mask has at least half.
        large_false: Regions over 300 km of the mask, at least half of which is no hole.
        common: Pixels of the truth and of the mask.
        either: Pixels of either.
    """

    holed: bool
    found: bool
    large: int
    large_found: int
    large_false: int
    common: int
    either: int


def _compare(labelled: tuple[MissingData, NDArray[np.uint8]], truth: NDArray[np.bool_]) -> _Counts:
    result, classes = labelled
    found = classes == PixelClass.MISSING
    height, width = found.shape
    for hole in result.holes:
        if hole.cause == "eclipse":  # nothing was lost
            found &= ~hole.runs.mask(slice(0, height), slice(0, width))
    holes, masks = _large(truth), _large(found)
    return _Counts(
        bool(truth.any()),
        Label.MISSING_UNEXPECTED in result.labels,
        len(holes),
        sum(bool(found[hole].mean() >= 0.5) for hole in holes),
        sum(bool(truth[mask].mean() < 0.5) for mask in masks),
        int((truth & found).sum()),
        int((truth | found).sum()),
    )


def _large(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The regions over 300 km, each as a mask."""
    count, labels = label_regions(mask.astype(np.uint8))
    regions: list[Region] = measure_regions(labels, range(1, count + 1))
    return [labels == number for number, region in enumerate(regions, 1) if region.extent_km > _LARGE_KM]


def _served(image: Image) -> NDArray[np.uint8]:
    """Brightness of an image as a JPEG layer serves it."""
    return brightest(cv2.cvtColor(cv2.imdecode(np.frombuffer(encode(image, "jpg"), np.uint8), 1), cv2.COLOR_BGR2RGB))


def _synthetic(number: int) -> _Counts:
    rng = np.random.default_rng([SEED, number])
    layer = LAYERS[number % len(LAYERS)]
    day = date(2019, 1, 1) + timedelta(days=int(rng.integers(0, 2200)))
    kinds = [OTHERS[int(rng.integers(len(OTHERS)))]] if number % 4 in {1, 2} else []
    if number % 2:
        kinds.append(HOLES[number // 2 % len(HOLES)])
    try:
        scene = render_day(layer, day, seed=SEED + number, level=LEVEL, kinds=tuple(kinds))
    except ValueError:  # no room for both, or no such place on that day
        scene = render_day(layer, day, seed=SEED + number, level=LEVEL, kinds=(Kind.MISSING_GRANULE,)[: number % 2])
    truth = np.isin(scene.truth, [each.id for each in scene.anomalies if each.kind.is_missing])
    return _compare(find_missing(_served(scene.image), satellite_of(layer).name, day), truth)


@lru_cache(maxsize=1)
def _real_day() -> Image:
    size = (640 << LEVEL, 320 << LEVEL)
    return cv2.resize(read_pixels(_REAL), size, interpolation=cv2.INTER_NEAREST)


def _cut(number: int) -> _Counts:
    """A granule, an orbit's piece, a small hole or nothing, cut into the real MODIS day."""
    rng = np.random.default_rng([SEED, 1, number])
    image, lost = _real_day().copy(), np.zeros(_real_day().shape[:2], bool)
    seen = coverage(SATELLITES["MODIS_Terra"], REAL_DAY, LEVEL)
    while number % 2 and np.count_nonzero(lost) < 20:
        along, cross = rng.uniform(-1.2, 1.2), rng.uniform(-1100, 900)
        length, width = [(300 * 7.5, 2400), (3000 * 7.5, 2400), (rng.uniform(100, 900), rng.uniform(100, 500))][
            number // 2 % 3
        ]
        start = -1200 if width == 2400 else cross
        lost = seen.index == rng.choice(np.unique(seen.index[seen.imaged]))
        lost &= (seen.along_rad > along) & (seen.along_rad < along + length / 6371)
        lost &= (seen.cross_km > start) & (seen.cross_km < start + width) & (brightest(image) > 10)
    image[lost] = 0
    return _compare(find_missing(_served(image), "MODIS_Terra", REAL_DAY), lost)


def _flood_filled(path: Path, size: tuple[int, int]) -> int:
    """gibs-ml's way: open, bring to size, and fill from each pixel of the top and the bottom row."""
    image = cv2.resize(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_LINEAR)
    black = cv2.threshold(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 0, 255, cv2.THRESH_BINARY_INV)[1]
    holes = cv2.dilate(cv2.erode(black, np.ones((4, 4), np.uint8)), np.ones((30, 30), np.uint8))
    mask = np.zeros((size[1] + 2, size[0] + 2), np.uint8)
    for col in range(size[0]):
        cv2.floodFill(holes, mask, (col, 0), 0)
        cv2.floodFill(holes, mask, (col, size[1] - 1), 0)
    return int(ndimage.label(holes)[1])


def run() -> list[Row]:
    """All measures of missing data."""
    rows: list[Row] = []
    with ProcessPoolExecutor() as pool:
        counts = list(pool.map(_synthetic, range(DAYS), chunksize=5))
        rows += _rows(counts, f"synthetic: {DAYS} days at level {LEVEL}, made with the orbits that the method knows")
        if _REAL.exists():
            cuts = list(pool.map(_cut, range(DAYS), chunksize=5))
            rows += _rows(cuts, f"{DAYS} copies of a real MODIS day, half of them with a cut")
            rows += _rows(counts + cuts, "both together")
    rows.append(_speed())
    rows += _fine()
    return rows


def _rows(counts: list[_Counts], note: str) -> list[Row]:
    right = sum(each.holed and each.found for each in counts)
    wrong = sum(each.found and not each.holed for each in counts)
    holed = sum(each.holed for each in counts)
    large, found = sum(each.large for each in counts), sum(each.large_found for each in counts)
    false = sum(each.large_false for each in counts)
    overlap = sum(each.common for each in counts) / sum(each.either for each in counts)
    figures = (
        ("missing-data verdict, precision", right / (right + wrong), 0.99, f"{right} of {right + wrong} days"),
        ("missing-data verdict, recall", right / holed, 0.99, f"{right} of {holed} days"),
        ("holes over 300 km, precision", found / (found + false), 1.0, f"{false} false ones"),
        ("holes over 300 km, recall", found / large, 1.0, f"{found} of {large}"),
        ("missing pixels, IoU", overlap, 0.95, ""),
    )
    return [
        Row(name, float(value), "", f"{least:g} or more", bool(value >= least), "; ".join(filter(None, (detail, note))))
        for name, value, least, detail in figures
    ]


def _speed() -> Row:
    layer, day = load_catalogue()[LAYERS[2]], _FINE_DAY
    image = render_day(layer.identifier, day, seed=SEED, level=4, kinds=(Kind.MISSING_GRANULE,)).image
    size = (8192, 4096)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        mosaic = write_day(root, layer, EPSG, day, image)
        jpeg = export_image(mosaic, "jpg", size)
        small = cv2.resize(read_pixels(jpeg), (1024, 512), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / "small.png"), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if _flood_filled(root / "small.png", (1024, 512)) != find_holes(small).count:
            raise RuntimeError("the reference does not find what gibs-ml's method finds")
        # 10240 x 5120 px, half as many again as the flood fill gets.
        theirs, ours = pairs(
            lambda: _flood_filled(jpeg, size), lambda: label_missing_data(root, layer, EPSG, day, None)
        )
    note = "an 8192 x 4096 px JPEG / a mosaic of 10240 x 5120 px, mask, polygons and figures written"
    return ratio_row("flood fill / labelling a day", theirs, ours, 5, note)


def _fine() -> list[Row]:
    layer, day = load_catalogue()[LAYERS[2]], _FINE_DAY
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_fine_day(root, layer, day, FINEST, (Kind.MISSING_ORBIT, Kind.MISSING_AT_ANTIMERIDIAN))
        width, height = layer.grid(EPSG).size(FINEST)
        memory, taken = alone(_LABEL, root, layer, day)
    cores = os.cpu_count() or 1
    speed = width * height / taken / cores / 1e6
    note = f"{width} x {height} px in {taken:.0f} s on {cores} cores; mask, polygons and figures written"
    return [
        Row("labelling a day at 250m, each core", speed, "Mpx/s", "", None, note),
        Row("peak memory of labelling a day at 250m", memory, "MB", "under 2000", memory < 2000, "libraries included"),
    ]
