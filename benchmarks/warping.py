"""Edge warping: precision and recall on synthetic days, and on warps painted into a real one; time.

A synthetic score says what the detector makes of the generator's warps, and no more: real ones may look otherwise.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import RUNS, Row, seconds
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.warped_days import label_warping
from heph_dagster.anomalies.warping import MOST_ROWS, WarpedEdge, find_warping
from heph_dagster.gibs.archive import JPEG_QUALITY, write_day
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.orbit import SATELLITES
from heph_dagster.gibs.raster import Image, brightest, read_pixels
from heph_dagster.gibs.swath import coverage
from heph_dagster.gibs.synthetic import DEALT, Kind, render_day
from heph_dagster.gibs.synthetic.anomalies import WARPED
from heph_dagster.gibs.synthetic.canvas import Strip
from heph_dagster.gibs.synthetic.damage import Planner

SEED = 7_340_000
"""First of the seeds, which no test, demonstration or threshold has seen."""
DAYS = {1: 96, 2: 160, 3: 64}
"""Synthetic days by level: half of them warped, half of them with two other anomalies."""
ECLIPSES = tuple(
    map(date.fromisoformat, ("2016-03-09", "2017-08-21", "2019-07-02", "2019-12-26", "2020-06-21", "2023-10-14"))
)
REAL_DAY = date(2020, 9, 27)
REAL_WARPS = 24
"""Of each kind, each painted into the real day anew."""
LAYERS = tuple(
    f"{satellite}_CorrectedReflectance_TrueColor" for satellite in ("VIIRS_SNPP", "MODIS_Terra", "MODIS_Aqua")
)
_OTHERS = tuple(kind for kind in DEALT if kind not in WARPED)
_PAINTED_LEVEL = 2
REAL = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "gibs" / "images"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Judged:
    """A day: how it was warped if at all, whether that was found, and how many places are wrongly called warped."""

    kind: Kind | None
    found: bool
    false_places: int


def run() -> list[Row]:
    """All measures of edge warping."""
    levels = {level: [_synthetic(number, level) for number in range(days)] for level, days in DAYS.items()}
    rows = [*_totals("synthetic days", [day for days in levels.values() for day in days])]
    for level, days in levels.items():
        rows += [_recall(f"at level {level}", days, kind) for kind in WARPED]
        rows.append(_false_alarms(f"at level {level}", days))
    eclipsed = [_eclipsed(day, layer) for day in ECLIPSES for layer in LAYERS]
    return [*rows, _false_alarms("on days of solar eclipses, level 2", eclipsed), *_real(), _time()]


def _totals(name: str, days: list[_Judged]) -> Iterator[Row]:
    places = sum(day.found for day in days), sum(day.false_places for day in days)
    yield _share(
        f"edge warping, precision on {name}",
        places[0],
        sum(places),
        "places flagged are warped; a day that is rightly flagged counts once",
    )
    yield _share(
        f"edge warping, recall on {name}", places[0], sum(day.kind is not None for day in days), "days that are warped"
    )


def _recall(name: str, days: list[_Judged], kind: Kind) -> Row:
    found = [day.found for day in days if day.kind is kind]
    return _share(f"edge warping {name}, recall of {kind}", sum(found), len(found), "found where it is")


def _false_alarms(name: str, days: list[_Judged]) -> Row:
    clean = [day.false_places > 0 for day in days if day.kind is None]
    return _share(f"edge warping {name}, false alarms", sum(clean), len(clean), "days that are not warped")


def _share(name: str, part: int, whole: int, note: str) -> Row:
    return Row(name, part / whole if whole else 0.0, "", "", None, f"{part} of {whole} {note}")


def _synthetic(number: int, level: int) -> _Judged:
    """Every other day is warped in one of the four ways; of either kind of day, half have two other anomalies."""
    seed = SEED + 1000 * level + number
    rng = np.random.default_rng(seed)
    kind = WARPED[number // 2 % len(WARPED)] if number % 2 else None
    day = date(2016, 1, 1) + timedelta(days=int(rng.integers(3000)))
    others = [_OTHERS[i] for i in rng.choice(len(_OTHERS), 2, replace=False)] if number // 8 % 2 else []
    kinds = [*([kind] if kind else []), *others]
    scene = render_day(LAYERS[number % len(LAYERS)], day, seed=seed, level=level, kinds=kinds)
    ids = [anomaly.id for anomaly in scene.anomalies if anomaly.code == Label.EDGE_WARPED]
    return _judge(_as_jpeg(scene.image), kind, np.isin(scene.truth, ids))


def _eclipsed(day: date, layer: str) -> _Judged:
    scene = render_day(layer, day, seed=SEED, level=2, kinds=[])
    return _judge(_as_jpeg(scene.image), None, np.zeros(scene.truth.shape, bool))


def _as_jpeg(image: Image) -> Image:
    """The image as a server hands it out."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _judge(image: Image, kind: Kind | None, truth: Mask) -> _Judged:
    hits = [_overlaps(edge, truth) for edge in find_warping(image).edges]
    return _Judged(kind, any(hits), hits.count(False))


def _overlaps(edge: WarpedEdge, truth: Mask) -> bool:
    west, south, east, north = edge.region.bbox
    height, width = truth.shape
    latitude, longitude = 90 - (np.arange(height) + 0.5) * 180 / height, (np.arange(width) + 0.5) * 360 / width - 180
    rows = (latitude > south) & (latitude < north)
    inside = (longitude > west) & (longitude < east) if west < east else (longitude > west) | (longitude < east)
    return bool(truth[np.ix_(rows, inside)].any())


def _real() -> Iterator[Row]:
    """The real day, as it is and with warps painted into it."""
    path = REAL / f"{LAYERS[1]}_{REAL_DAY}_3996x1998.jpg"
    if not path.exists():
        yield Row("edge warping on a real day", float("nan"), "", "", None, f"skipped: {REAL} has none")
        return
    image = read_pixels(path)
    result = find_warping(image)
    yield Row("edge warping on a real day, highest score", result.score, "", "below 1", result.score < 1,
              "of its threshold; MODIS Terra, 3996 x 1998 px, not warped")  # fmt: skip
    painted = [_judge(*_painted(image, kind, number)) for kind in WARPED for number in range(REAL_WARPS)]
    yield from _totals("warps painted into a real day", painted)
    for kind in WARPED:
        yield _recall("painted into a real day", painted, kind)


def _painted(image: Image, kind: Kind, number: int) -> tuple[Image, Kind, Mask]:
    """The real day, warped at its own size and averaged down to level 2."""
    satellite, world = SATELLITES["MODIS_Terra"], Strip(_PAINTED_LEVEL)
    seen = coverage(satellite, REAL_DAY, _PAINTED_LEVEL)
    (damage,) = Planner(satellite, REAL_DAY, np.random.default_rng(SEED + number)).plan([kind])
    mask = damage.mask(world, seen.time_s, seen.cross_km)
    if damage.bend is None:
        raise ValueError(f"{kind} bends nothing")
    height, width = image.shape[:2]
    degrees = damage.bend.displacement(world, seen.time_s)
    shift, warped = (
        cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST) for each in (degrees, mask.astype(np.uint8))
    )
    map_x = np.arange(width, dtype=np.float32) + shift * np.float32(width / 360)
    map_y = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    bent = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR)
    inside = (warped > 0) & (brightest(image) > 0)
    size = (2 * MOST_ROWS, MOST_ROWS)
    return cv2.resize(np.where(inside[..., None], bent, image), size, interpolation=cv2.INTER_AREA), kind, mask


def _time() -> Row:
    layer, day = load_catalogue()[LAYERS[0]], REAL_DAY
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_day(root, layer, 4326, day, render_day(layer.identifier, day, seed=SEED, level=3, kinds=[]).image)
        label_warping(root, layer, 4326, day)
        times = [seconds(lambda: label_warping(root, layer, 4326, day)) for _ in range(RUNS)]
    note = f"{min(times):.3f} to {max(times):.3f} s; from the mosaic to the figures on disk"
    return Row("edge warping, a day of 5120 x 2560 px", statistics.median(times), "s", "", None, note)
