"""Edge warping: precision and recall on synthetic days, false alarms on the few real ones.

A synthetic score says what the detector makes of the generator's warps, and no more: real ones may look otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Row
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.warping import WarpedEdge, find_warping
from heph_dagster.gibs.archive import JPEG_QUALITY
from heph_dagster.gibs.raster import Image, read_pixels
from heph_dagster.gibs.synthetic import DEALT, Kind, SyntheticDay, render_day
from heph_dagster.gibs.synthetic.anomalies import WARPED

SEED = 71_000
"""First of the seeds, which no test, demonstration or threshold has seen."""
DAYS = 240
LEVEL = 1
OTHER_LEVELS = {0: 96, 2: 64}
"""Days at other levels: a warp painted at level 2 and looked at at level 1 lacks the traces of its resampling."""
LAYERS = tuple(
    f"{satellite}_CorrectedReflectance_TrueColor" for satellite in ("VIIRS_SNPP", "MODIS_Terra", "MODIS_Aqua")
)
_OTHERS = tuple(kind for kind in DEALT if kind not in WARPED)
REAL = Path(os.environ.get("HEPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "gibs" / "images"


@dataclass(frozen=True)
class _Judged:
    """A day: how it was warped if at all, whether that was found, and how many places are wrongly called warped."""

    kind: Kind | None
    flagged: bool
    found: bool
    false_places: int
    others: bool


def _day(number: int, level: int) -> tuple[Kind | None, SyntheticDay]:
    """A synthetic day: every other one is warped in one of the four ways, half of all have two other anomalies."""
    rng = np.random.default_rng(SEED + number)
    kind = WARPED[number // 2 % len(WARPED)] if number % 2 else None
    day = date(2016, 1, 1) + timedelta(days=int(rng.integers(3000)))
    others = [_OTHERS[i] for i in rng.choice(len(_OTHERS), 2, replace=False)] if number // 8 % 2 else []
    kinds = [*([kind] if kind else []), *others]
    return kind, render_day(LAYERS[number % len(LAYERS)], day, seed=SEED + number, level=level, kinds=kinds)


def _as_jpeg(image: Image) -> Image:
    """The image as a server hands it out."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _judge(number: int, level: int = LEVEL) -> _Judged:
    kind, scene = _day(number, level)
    ids = [anomaly.id for anomaly in scene.anomalies if anomaly.code == Label.EDGE_WARPED]
    truth = np.isin(scene.truth, ids)
    edges = find_warping(_as_jpeg(scene.image)).edges
    hits = [_overlaps(edge, truth) for edge in edges]
    return _Judged(kind, bool(edges), any(hits), hits.count(False), len(scene.anomalies) > len(ids))


def _overlaps(edge: WarpedEdge, truth: np.ndarray) -> bool:
    west, south, east, north = edge.region.bbox
    height, width = truth.shape
    latitude, longitude = 90 - (np.arange(height) + 0.5) * 180 / height, (np.arange(width) + 0.5) * 360 / width - 180
    rows = (latitude > south) & (latitude < north)
    inside = (longitude > west) & (longitude < east) if west < east else (longitude > west) | (longitude < east)
    return bool(truth[np.ix_(rows, inside)].any())


def run() -> list[Row]:
    """All measures of edge warping."""
    judged = [_judge(number) for number in range(DAYS)]
    warped = [each for each in judged if each.kind]
    clean = [each for each in judged if not each.kind]
    flagged = [each for each in judged if each.flagged]
    right = sum(each.found for each in flagged)
    mixed = sum(each.others for each in judged)
    rows = [
        _share("edge warping, precision by day", right, len(flagged),
               f"of the days that are flagged; {mixed} of {DAYS} synthetic days have other anomalies"),
        _share("edge warping, recall by day", right, len(warped), "of the synthetic days that are warped"),
        _share("edge warping, false alarms", sum(each.flagged for each in clean), len(clean),
               "of the synthetic days that are not warped"),
    ]  # fmt: skip
    rows += [
        _share(f"edge warping, recall of {kind}", sum(e.found for e in warped if e.kind is kind),
               sum(e.kind is kind for e in warped), "synthetic")
        for kind in WARPED
    ]  # fmt: skip
    places = sum(each.false_places for each in judged)
    rows.append(Row("edge warping, places wrongly flagged", places, "", "", None, f"on {DAYS} synthetic days"))
    for level, days in OTHER_LEVELS.items():
        rows += _at_level(level, [_judge(number, level) for number in range(days)])
    return [*rows, *(_real(name) for name in ("MODIS", "VIIRS"))]


def _at_level(level: int, judged: list[_Judged]) -> list[Row]:
    bent = [each.found for each in judged if each.kind in {Kind.EDGE_WARP, Kind.SWATH_WARP}]
    copied = [each.found for each in judged if each.kind in {Kind.EDGE_COPY, Kind.SWATH_COPY}]
    clean = [each.flagged for each in judged if not each.kind]
    return [
        _share(f"edge warping at level {level}, {name}", sum(values), len(values), "synthetic")
        for name, values in (("recall of bent", bent), ("recall of copied", copied), ("false alarms", clean))
    ]


def _share(name: str, part: int, whole: int, note: str) -> Row:
    return Row(name, part / whole if whole else 0.0, "", "", None, f"{part} of {whole}; {note}")


def _real(name: str) -> Row:
    paths = sorted(REAL.glob(f"{name}_*"))
    title = f"edge warping, false alarms on real {name} images"
    if not paths:
        return Row(title, float("nan"), "", "", None, f"skipped: {REAL} has none")
    scores = [find_warping(np.ascontiguousarray(read_pixels(path)[..., :3])).score for path in paths]
    size = "x".join(map(str, read_pixels(paths[0]).shape[1::-1]))
    note = f"{len(paths)} images of {size} px, none of them warped; highest score {max(scores):.2f} of 1"
    return Row(title, sum(score >= 1 for score in scores), "", "", None, note)
