"""Finding miscoloured pixels: against the truth of synthetic days, the labels of real ones, and gibs-ml's way."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from benchmarks.fine import FINEST, alone, write_fine_day
from benchmarks.measure import Row, pairs, ratio_row
from heph_dagster.anomalies.climatology import HueClimatology, climatology_path
from heph_dagster.anomalies.hues import Presence, find_hues, presence, read_hues
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.miscolour import find_patches, label_miscolouring, miscoloured_pixels
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.anomalies.normal_days import add_normal_days
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Layer, load_catalogue
from heph_dagster.gibs.publish import remove_mosaic
from heph_dagster.gibs.raster import Image, black, read_pixels
from heph_dagster.gibs.synthetic import Kind, render_day

EPSG = 4326
SEED = 1913  # used nowhere else
FIRST = date(2023, 7, 1)
DAYS = 60
LEVEL = 2
LAYERS = (
    "VIIRS_SNPP_CorrectedReflectance_TrueColor",
    "VIIRS_SNPP_CorrectedReflectance_BandsM11-I2-I1",
    "VIIRS_SNPP_CorrectedReflectance_BandsM3-I3-M11",
)
SIZE = (2048, 1024)
"""Of gibs-ml's images, width and height."""
_REAL_DATA = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
_GIBS_ML_RADIUS, _GIBS_ML_LEAST = 15, 20  # pixels
_JUDGE = """
from heph_dagster.anomalies.miscolour import label_miscolouring
label_miscolouring(root, layer, 4326, day)
"""


class _Counts(NamedTuple):
    """What became of a day: pixels in common and in either mask, whether it is bad, and whether it was said to be."""

    common: int
    either: int
    bad: bool
    found: bool


def _make(root: Path, layer: Layer, day: date, kinds: tuple[Kind, ...] | None = None) -> NDArray[np.uint8]:
    """Store a synthetic day with its label of missing data; returns its miscoloured pixels, as packed bits."""
    scene = render_day(layer.identifier, day, seed=SEED, level=LEVEL, kinds=kinds)
    write_day(root, layer, EPSG, day, scene.image)
    label_missing_data(root, layer, EPSG, day, None)
    bad = [anomaly.id for anomaly in scene.anomalies if anomaly.code == Label.MISCOLOURED]
    return np.packbits(np.isin(scene.truth, bad))


def _compare(root: Path, layer: Layer, day: date, packed: NDArray[np.uint8]) -> _Counts:
    result = label_miscolouring(root, layer, EPSG, day).result
    if result.patches is None:
        raise RuntimeError(f"{day}: {result.reason}")
    mask = result.patches.classes == PixelClass.MISCOLOURED
    truth = np.unpackbits(packed, count=mask.size).reshape(mask.shape) == 1
    common, either = int((mask & truth).sum()), int((mask | truth).sum())
    return _Counts(common, either, bool(truth.any()), Label.MISCOLOURED in result.labels)


def _synthetic(name: str) -> list[Row]:
    layer = load_catalogue()[name]
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        jobs = [(root, layer, day) for day in days]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,), mp_context=context) as pool:
            truths = list(pool.map(_make, *zip(*jobs, strict=True)))
        update = add_normal_days(root, layer, EPSG)
        counts = [_compare(*job, truth) for job, truth in zip(jobs, truths, strict=True)]
        size = climatology_path(root, EPSG, layer).stat().st_size / 1e6
    share = sum(each.common for each in counts) / sum(each.either for each in counts)
    bad = sum(each.bad for each in counts)
    missed = sum(each.bad and not each.found for each in counts)
    false = sum(each.found and not each.bad for each in counts)
    what = f"synthetic, {name.rsplit('_', 1)[1]}"
    note = f"{DAYS} days at level {LEVEL}, seed {SEED}; climatology of {update.days} days, {size:.2f} MB"
    return [
        Row(f"pixel IoU of miscoloured masks, {what}", share, "", "0.95 or more", share >= 0.95, note),
        Row(f"days judged wrongly, {what}", missed + false, "", "", None, f"{missed} of {bad} missed, {false} false"),
    ]


def _real() -> Row:
    name = "verdicts on ten real VIIRS days that differ from the hand label"
    paths = sorted((_REAL_DATA / "gibs" / "images").glob(f"{LAYERS[0]}_300x150_*.png"))
    if len(paths) != 10:
        return Row(name, float("nan"), "", "at most 1", None, "void: the images are not here; see HEPH_REAL_DATA")
    hues = {path: find_hues(read_pixels(path), 0) for path in paths}
    days = {path: FIRST + timedelta(days=number) for number, path in enumerate(paths)}
    wrong = []
    with (
        tempfile.TemporaryDirectory() as folder,
        HueClimatology(Path(folder) / "hues.sqlite", load_catalogue()[LAYERS[0]], EPSG) as climatology,
    ):
        for path in paths:
            if "_normal_" in path.name:
                climatology.put(days[path], "", presence(hues[path]))
        for path in paths:
            # A normal day is judged by the four others, a miscoloured one by all five.
            found = bool(find_patches(hues[path], climatology.unusual(days[path])[1]).regions)
            if found != ("_miscolored_" in path.name):
                wrong.append(path.stem.split("300x150_")[1])
    return Row(name, len(wrong), "", "at most 1", len(wrong) <= 1, f"wrong: {', '.join(wrong) or 'none'}")


def _gibs_ml(image: Image, often: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """gibs-ml's way: a global set of hues, a loop over pixels, DBSCAN over those left.

    Args:
        image: Height x width x 3, RGB.
        often: Which of 360 hues occur on normal days.
    """
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hue, value = hsv[..., 0].astype(int) % 360, hsv[..., 2]
    height, width = hue.shape
    suspect = np.zeros((height, width), np.uint8)
    for row in range(height):
        for col in range(width):
            if int(value[row, col] * 255) and not often[int(hue[row, col])]:
                suspect[row, col] = 1
    places = np.argwhere(suspect)
    if len(places):
        labels = DBSCAN(eps=_GIBS_ML_RADIUS, min_samples=_GIBS_ML_LEAST).fit(places).labels_
        suspect[tuple(places[labels < 0].T)] = 0
    return suspect


def _example() -> tuple[Image, NDArray[np.bool_], Presence]:
    """A day with four patches at gibs-ml's size, and what each way knows of normal days."""
    name = LAYERS[0]
    layer = load_catalogue()[name]

    def scene(day: date, kinds: tuple[Kind, ...]) -> Image:
        image = render_day(name, day, seed=SEED, level=LEVEL, kinds=kinds).image
        return cv2.resize(image, SIZE, interpolation=cv2.INTER_NEAREST)

    often = np.zeros(360, np.int64)
    with tempfile.TemporaryDirectory() as folder, HueClimatology(Path(folder) / "hues", layer, EPSG) as climatology:
        for number in range(6):
            image = scene(FIRST - timedelta(days=1 + number), ())
            climatology.put(FIRST - timedelta(days=1 + number), "", presence(find_hues(image)))
            hue = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0].astype(int) % 360
            often += np.bincount(hue[black(image) == 0], minlength=360)
        unusual = climatology.unusual(FIRST)[1]
    bad = scene(FIRST, (Kind.MAGENTA, Kind.YELLOW, Kind.GREEN, Kind.RED))
    return bad, often >= 6 * np.prod(SIZE) / 1e5, unusual


def _speed() -> Row:
    image, often, unusual = _example()
    theirs, ours = pairs(lambda: _gibs_ml(image, often), lambda: miscoloured_pixels(find_hues(image), unusual))
    count, labels = miscoloured_pixels(find_hues(image), unusual)
    note = f"{SIZE[0]} x {SIZE[1]} px, {count} patches of {np.count_nonzero(labels)} px, from pixels to mask"
    return ratio_row("per-pixel loop and DBSCAN / ours, a synthetic day", theirs, ours, 15, note)


def _learn(root: Path, layer: Layer) -> None:
    """A climatology of six days at level 1."""
    with HueClimatology(climatology_path(root, EPSG, layer), layer, EPSG) as climatology:
        for number in range(6):
            day = FIRST - timedelta(days=1 + number)
            image = render_day(layer.identifier, day, seed=SEED, level=1, kinds=()).image
            climatology.put(day, "", presence(find_hues(image)))


def _judge_alone(root: Path, layer: Layer) -> tuple[float, float, int]:
    """Peak in MB and seconds of a process that judges a day, reading, mask and report included; pixels found."""
    memory, seconds = alone(_JUDGE, root, layer, FIRST)
    found = read_pixels(mosaic_path(root, EPSG, FIRST, layer).with_suffix(".miscoloration.tif"))
    return memory, seconds, np.count_nonzero(found)


def _memory() -> Row:
    layer = load_catalogue()[LAYERS[0]]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _learn(root, layer)
        _make(root, layer, FIRST, (Kind.MAGENTA, Kind.GREEN))
        memory, _, found = _judge_alone(root, layer)
    note = f"2560 x 1280 px, a process of its own, libraries included; {found} px found"
    return Row("peak memory of judging a day", memory, "MB", "under 400", memory < 400, note)


def _fine() -> list[Row]:
    """A day at 250m; and at 1km, where an eighth of each tile is compared with all of its pixels."""
    layer = load_catalogue()[LAYERS[0]]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _learn(root, layer)
        mosaic = write_fine_day(root, layer, FIRST, FINEST, (Kind.MAGENTA, Kind.GREEN))
        width, height = layer.grid(EPSG).size(FINEST)
        memory, seconds, found = _judge_alone(root, layer)
        remove_mosaic(mosaic)
        mosaic = write_fine_day(root, layer, FIRST, FINEST - 2, (Kind.MAGENTA, Kind.GREEN))
        with HueClimatology(climatology_path(root, EPSG, layer), layer, EPSG) as climatology:
            unusual = climatology.unusual(FIRST)[1]
        whole = find_patches(find_hues(read_pixels(mosaic, (2560, 1280))), unusual).classes
        eighth = find_patches(read_hues(mosaic, layer), unusual).classes
    note = (
        f"{width} x {height} px, a process of its own; {width * height / seconds / 1e6:.0f} Mpx a second, {found} found"
    )
    share = float(np.count_nonzero(whole & eighth) / np.count_nonzero(whole | eighth))
    return [
        Row("judging the colours of a day at 250m", seconds, "s", "", None, note),
        Row("peak memory of judging a day at 250m", memory, "MB", "under 2000", memory < 2000, "libraries included"),
        Row("IoU of masks from an eighth of the size and from all pixels", share, "", "", None,
            f"a day at level {FINEST - 2}; {np.count_nonzero(whole)} and {np.count_nonzero(eighth)} px"),
    ]  # fmt: skip


def run() -> list[Row]:
    """All measures of miscolouring."""
    return [*(row for name in LAYERS for row in _synthetic(name)), _real(), _speed(), _memory(), *_fine()]
