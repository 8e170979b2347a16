"""Bringing a climatology up to date with the days on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from heph_dagster.anomalies.climatology import LEAST_DAYS, HueClimatology, climatology_path
from heph_dagster.anomalies.hues import presence, read_hues
from heph_dagster.anomalies.labels import Label, UnusableImageError
from heph_dagster.anomalies.miscolour import miscoloured_pixels
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import RasterError
from heph_dagster.gibs.verify import stored_days

_NORMAL = {Label.NORMAL, Label.MISSING_EXPECTED}


@dataclass
class ClimatologyUpdate:
    """What became of the days on disk that a climatology did not know as they are.

    Attributes:
        days: Number of days that the climatology counts now.
        added: Days that were added, or replaced because their mosaic was.
        removed: Days that were taken out, because they are not labelled normal any more.
        left_out: Days that are not to be counted, and why.
        failed: Days that could not be read.
    """

    days: int = 0
    added: list[date] = field(default_factory=list)
    removed: list[date] = field(default_factory=list)
    left_out: dict[date, str] = field(default_factory=dict)
    failed: dict[date, Exception] = field(default_factory=dict)


def add_normal_days(
    root: Path, layer: Layer, epsg: int, on_day: Callable[[date], None] = lambda _: None
) -> ClimatologyUpdate:
    """Add the days on disk that lack nothing unexpected and are not in the climatology yet.

    A day with a patch of a colour that hardly occurs anywhere is left out: weeks of one fault would make it normal. A
    colour that is only new to a place is learnt. The images of days that are known are not read again.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection, EPSG:4326.
        on_day: Called with each day as it is done.

    Raises:
        ClimatologyError: The climatology cannot be read.
    """
    update = ClimatologyUpdate()
    with HueClimatology(climatology_path(root, epsg, layer), layer, epsg) as climatology:
        known = climatology.days()
        for day, mosaic in _labelled(root, layer, epsg):
            if mosaic is None:
                if day in known:
                    climatology.remove(day)
                    update.removed.append(day)
            elif (digest := hashlib.sha256(mosaic.read_bytes()).hexdigest()) != known.get(day):
                try:
                    _add(climatology, layer, day, mosaic, digest)
                except RasterError as error:
                    update.failed[day] = error
                else:
                    update.added.append(day)
                on_day(day)
        update.left_out = climatology.left_out()
        update.added = [day for day in update.added if day not in update.left_out]
        update.days = len(climatology.days()) - len(update.left_out)
    return update


def _labelled(root: Path, layer: Layer, epsg: int) -> Iterator[tuple[date, Path | None]]:
    """The days on disk with a label of missing data, and their mosaics where it is a normal one."""
    for stored in stored_days(root):
        if (stored.epsg, stored.layer) != (epsg, layer.identifier):
            continue
        report = mosaic_path(root, epsg, stored.day, layer).with_suffix(".missing_data.json")
        if report.exists():
            labels = json.loads(report.read_text("utf-8"))["labels"]
            yield stored.day, stored.path if set(labels) <= _NORMAL else None


def _add(climatology: HueClimatology, layer: Layer, day: date, mosaic: Path, digest: str) -> None:
    try:
        hues = read_hues(mosaic, layer)
    except UnusableImageError as error:
        climatology.leave_out(day, digest, str(error))
        return
    days, unheard_of = climatology.unheard_of(day)
    if days >= LEAST_DAYS and miscoloured_pixels(hues, unheard_of)[0]:
        climatology.leave_out(day, digest, "it has patches of colours that no other day has")
    else:
        climatology.put(day, digest, presence(hues))
