"""Bringing a climatology up to date with the days on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from heph_dagster.anomalies.climatology import LEAST_DAYS, HueClimatology, climatology_path
from heph_dagster.anomalies.hues import presence, read_hues
from heph_dagster.anomalies.labels import Label, UnusableImageError
from heph_dagster.anomalies.miscolour import miscoloured_pixels
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.verify import StoredDay, check_sound, stored_days

_LEARNT = {Label.NORMAL, Label.MISSING_EXPECTED, Label.MISSING_UNEXPECTED}
"""Labels of missing data of the days that are learnt; the dim light beside an eclipse changes colours."""


@dataclass
class ClimatologyUpdate:
    """What became of the days on disk that a climatology did not know as they are.

    Attributes:
        days: Number of days that the climatology counts now.
        added: Days that were added, or replaced because their mosaic was.
        removed: Days that were taken out, because an eclipse was found on them.
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
    """Add the days on disk that are not in the climatology yet; what they lack is not observed, and teaches nothing.

    A day with a patch of a colour that hardly occurs anywhere is left out: weeks of one fault would make it normal. A
    colour that is only new to a place is learnt. The first days, for which there are too few others to tell, are looked
    at again when there are enough; other images that are known are not read again.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection, EPSG:4326.
        on_day: Called with each new day as it is done.

    Raises:
        ClimatologyError: The climatology cannot be read.
    """
    update = ClimatologyUpdate()
    with HueClimatology(climatology_path(root, epsg, layer), layer, epsg) as climatology:
        known = climatology.days()
        here = [each for each in stored_days(root) if (each.epsg, each.layer) == (epsg, layer.identifier)]
        for stored in here:
            try:
                labels = _labels(stored)
                if labels is None:
                    continue
                if not labels <= _LEARNT:
                    if stored.day in known:
                        climatology.remove(stored.day)
                        update.removed.append(stored.day)
                    continue
                digest = _digest(stored)
                if digest == known.get(stored.day):
                    continue
                _learn(climatology, layer, stored, digest)
                update.added.append(stored.day)
            except (ValueError, OSError) as error:
                update.failed[stored.day] = error
            on_day(stored.day)
        _look_again(climatology, layer, here, update)
        update.left_out = climatology.left_out()
        update.added = [day for day in update.added if day not in update.left_out]
        update.days = climatology.count()
    return update


def _look_again(climatology: HueClimatology, layer: Layer, here: list[StoredDay], update: ClimatologyUpdate) -> None:
    """Judge the days that were learnt while there were too few others, once there are enough."""
    unguarded = climatology.unguarded()
    if not unguarded or climatology.count() <= LEAST_DAYS:
        return
    for stored in here:
        if stored.day in unguarded and stored.day not in update.failed:
            try:
                _learn(climatology, layer, stored, _digest(stored))
            except (ValueError, OSError) as error:
                update.failed[stored.day] = error


def _labels(stored: StoredDay) -> set[int] | None:
    """The label of missing data of a day, or None where it has none yet."""
    path = stored.path.with_suffix(".missing_data.json")
    try:
        return set(json.loads(path.read_text("utf-8"))["labels"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, and judge the day again") from error


def _digest(stored: StoredDay) -> str:
    return hashlib.sha256(stored.path.read_bytes()).hexdigest()


def _learn(climatology: HueClimatology, layer: Layer, stored: StoredDay, digest: str) -> None:
    check_sound(stored.path, stored.epsg)
    try:
        hues = read_hues(stored.path, layer)
    except UnusableImageError as error:
        climatology.leave_out(stored.day, digest, str(error))
        return
    days, unheard_of = climatology.unheard_of(stored.day)
    guarded = days >= LEAST_DAYS
    if guarded and miscoloured_pixels(hues, unheard_of)[0]:
        climatology.leave_out(stored.day, digest, "it has patches of colours that no other day has")
    else:
        climatology.put(stored.day, digest, presence(hues), guarded=guarded)
