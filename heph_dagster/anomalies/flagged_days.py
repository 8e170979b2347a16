"""Days that somebody should know of: what the figures beside a day call wrong, in words and in a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.missing_files import overlay
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.preview import SIZE, jpeg, thumbnail
from heph_dagster.gibs.raster import RasterError, read_pixels

LABELS = {
    "missing_data": Label.MISSING_UNEXPECTED,
    "miscoloration": Label.MISCOLOURED,
    "edge_warping": Label.EDGE_WARPED,
}
"""The label code that each method flags."""


@dataclass(frozen=True)
class JudgedDay:
    """What a method says of a day.

    Attributes:
        day: The day.
        flagged: Whether somebody should know.
        places: Number of holes, patches or warped edges; 0 where nothing is wrong.
        area_km2: Area on the ground of the holes or patches, or of the boxes of the edges.
        message: The result in words.
    """

    day: date
    flagged: bool
    places: int
    area_km2: float
    message: str


def judged_days(
    root: Path, layer: Layer, epsg: int, method: str, days: Iterable[date] | None, alert_area_km2: float
) -> list[JudgedDay]:
    """What the files of figures say of days.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        method: `missing_data`, `miscoloration` or `edge_warping`.
        days: The days; those that have no figures are left out. None stands for all that have some.
        alert_area_km2: Unexpected missing data flag a day from this area on.

    Raises:
        ValueError: A file of figures is damaged.
    """
    if days is None:
        days = _days_with_figures(root, layer, epsg, method)
    judged = (judged_day(root, layer, epsg, method, day, alert_area_km2) for day in sorted(set(days)))
    return [each for each in judged if each is not None]


def judged_day(root: Path, layer: Layer, epsg: int, method: str, day: date, alert_area_km2: float) -> JudgedDay | None:
    """What the file of figures of a day says, None where there is none; see `judged_days`."""
    path = mosaic_path(root, epsg, day, layer).with_suffix(f".{method}.json")
    try:
        report = json.loads(path.read_text("utf-8"))
        places = _places(report, method)
        area = sum(place["area_km2"] for place in places)
        found = LABELS[method] in report["labels"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, and judge the day again") from error
    flagged = found and (method != "missing_data" or area >= alert_area_km2)
    return JudgedDay(day, flagged, len(places), area, _message(report, method, day, places, area, found=found))


def picture(root: Path, layer: Layer, epsg: int, method: str, day: date) -> bytes | None:
    """A day with the mask of a method drawn over it, 384 x 192 px, as a JPEG file.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        method: That of the mask; the day alone is shown where it wrote none.
        day: The day.

    Returns:
        None where the imagery is pruned or damaged.
    """
    mosaic = mosaic_path(root, epsg, day, layer)
    mask = mosaic.with_suffix(f".{method}.tif")
    try:
        image = thumbnail(mosaic)
        if mask.exists():
            image = overlay(image, read_pixels(mask, SIZE))
    except (RasterError, MosaicError, OSError):
        return None
    return jpeg(image)


def _days_with_figures(root: Path, layer: Layer, epsg: int, method: str) -> list[date]:
    days = []
    for path in (root / str(epsg)).glob(f"*/{layer.identifier}.{method}.json"):
        try:
            days.append(parse_day(path.parent.name))
        except ValueError:  # a copy that somebody made of a day
            continue
    return days


def _places(report: dict[str, Any], method: str) -> list[dict[str, Any]]:
    name = {"missing_data": "holes", "miscoloration": "patches", "edge_warping": "edges"}[method]
    return [place for place in report.get(name) or () if place.get("cause") != "eclipse"]


def _message(
    report: dict[str, Any], method: str, day: date, places: list[dict[str, Any]], area: float, *, found: bool
) -> str:
    if not report["labels"]:
        return f"{day} could not be judged: {report.get('reason') or report.get('verdict')}"
    if not found:
        return f"{day}: {report.get('verdict', 'normal')}"
    largest = max(places, key=lambda place: place["area_km2"], default=None)
    where = "" if largest is None else f", the largest at {_place(largest)}"
    several = "" if len(places) == 1 else "s"
    if method == "missing_data":
        return f"{day}: {area:,.0f} km2 are missing that should be there, in {len(places)} hole{several}{where}"
    if method == "miscoloration":
        return f"{day}: {area:,.0f} km2 are miscoloured, in {len(places)} patch{several and 'es'}{where}"
    return f"{day}: {len(places)} warped edge{several}{where}"


def _place(region: dict[str, Any]) -> str:
    latitude, longitude = region["latitude"], region["longitude"]
    return f"{abs(latitude):.0f} {'NS'[latitude < 0]}, {abs(longitude):.0f} {'EW'[longitude < 0]}"
