"""Which days of a layer to download, whether there is room for them, and when that was last asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from heph_dagster.errors import HephError
from heph_dagster.files import replacing
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.periods import Period, floor

_CHECKS = "last_checks.json"
# Means of whole days of corrected reflectance and of palette layers; an estimate for the disk, no more.
_BYTES_OF_A_TILE = {"jpg": 40_000, "png": 20_000}


class NoRoomError(HephError):
    """A download that the disk cannot hold."""


@dataclass(frozen=True)
class Plan:
    """The days of a range.

    Attributes:
        days: Days that the server has, in order.
        missing: Days of a daily layer that it does not have.
        notices: What the user should know of how the range was understood.
    """

    days: list[date]
    missing: list[date]
    notices: list[str]

    def checked_until(self, end: date) -> date:
        """Where the next check should start: the range's end, but before the days at its end that are not there yet."""
        while (day := end - timedelta(days=1)) in self.missing:
            end = day
        return end


def plan_days(layer: Layer, periods: Iterable[Period], start: date | None, end: date) -> Plan:
    """The days to download of a range.

    Args:
        layer: The layer.
        periods: What the server has.
        start: First day; the layer's first by default, and never before it.
        end: The day after the last.

    Raises:
        ValueError: The range is empty.
    """
    periods = list(periods)
    first = min([layer.first_day, *(period.start for period in periods)])
    notices = []
    if start is None:
        start = first
    elif start < first:
        notices.append(f"{layer.identifier} begins on {first}: the days from {start} on are left out")
        start = first
    if end <= start:
        raise ValueError(f"no day lies from {start} to before {end}: the end date is not included")
    if not layer.daily:
        days = sorted({day for period in periods for day in period.days() if start <= day < end})
        return Plan(days, [], notices)
    wanted = [start + timedelta(days=number) for number in range((end - start).days)]
    days = [day for day in wanted if floor(periods, day) == day]
    return Plan(days, sorted(set(wanted) - set(days)), notices)


def check_room(folder: Path, layer: Layer, tiles: int) -> None:
    """Make sure that the disk can hold a download, as far as one can tell before.

    Raises:
        NoRoomError: It can not.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    needed, free = tiles * _BYTES_OF_A_TILE[layer.format], shutil.disk_usage(existing).free
    if needed > free:
        raise NoRoomError(
            f"{tiles} tiles need about {needed / 1e9:.1f} GB, and {folder} has room for {free / 1e9:.1f} GB: "
            "choose fewer days, a coarser resolution or another folder"
        )


def last_check(root: Path, layer: Layer, epsg: int) -> date | None:
    """Until which day a layer was downloaded into a folder last time, None if it never was."""
    path = root / _CHECKS
    checks = json.loads(path.read_text("utf-8")) if path.exists() else {}
    text = checks.get(f"{epsg}/{layer.identifier}")
    return None if text is None else date.fromisoformat(text)


def record_check(root: Path, layer: Layer, epsg: int, end: date) -> None:
    """Remember until which day, not included, a layer was downloaded into a folder."""
    path = root / _CHECKS
    checks = json.loads(path.read_text("utf-8")) if path.exists() else {}
    checks[f"{epsg}/{layer.identifier}"] = end.isoformat()
    with replacing(path) as part:
        part.write_text(json.dumps(checks, indent=2, sort_keys=True) + "\n", "utf-8")
