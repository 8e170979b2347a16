"""Which days of a layer to download, whether there is room for them, and when that was last asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from heph_dagster.errors import HephError
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.download import DayRequest
from heph_dagster.gibs.images import DayImages
from heph_dagster.gibs.partial import unfinished_tiles
from heph_dagster.gibs.periods import Period, floor
from heph_dagster.store import Store

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
        end: The day after the last that the server could tell of: the range's end; of a layer that is not daily, the
            day after its last one, because the next may yet come.
    """

    days: list[date]
    missing: list[date]
    notices: list[str]
    end: date

    def checked_until(self, failed: Iterable[date] = ()) -> date:
        """Where the next check should start: the first day that is missing or failed, else the end."""
        return min([self.end, *self.missing, *failed])


@dataclass(frozen=True)
class Need:
    """What a download takes, as far as one can tell before.

    Attributes:
        tiles: Tiles to ask for.
        bytes: Room on the disk.
    """

    tiles: int
    bytes: int


def plan_days(layer: Layer, periods: Iterable[Period], start: date | None, end: date) -> Plan:
    """The days to download of a range.

    Args:
        layer: The layer.
        periods: What the server has.
        start: First day; the server's first by default, and never before it; the catalogue's where it has none.
        end: The day after the last.

    Raises:
        ValueError: The range is empty.
    """
    periods = list(periods)
    first = min((period.start for period in periods), default=layer.first_day)
    notices = []
    if end <= first and (start is None or start < end):
        raise ValueError(f"{layer.identifier} begins on {first}: there is nothing before {end}")
    if start is None:
        start = first
    elif start < first:
        notices.append(f"{layer.identifier} begins on {first}: the days from {start} on are left out")
        start = first
    if end <= start:
        raise ValueError(f"no day lies from {start} to before {end}: the end date is not included")
    if not layer.daily:
        days = sorted({day for period in periods for day in period.days() if start <= day < end})
        return Plan(days, [], notices, days[-1] + timedelta(days=1) if days else start)
    wanted = [start + timedelta(days=number) for number in range((end - start).days)]
    days = [day for day in wanted if floor(periods, day) == day]
    return Plan(days, sorted(set(wanted) - set(days)), notices, end)


def need_of(request: DayRequest, days: Iterable[date], images: DayImages, suffix: str = ".mrf") -> Need:
    """What a download takes beyond what is on disk.

    Args:
        request: What is asked for of each day.
        days: The days.
        images: What is written of each day.
        suffix: Of the file by which a day is known to be on disk.
    """
    paths = [mosaic_path(request.root, request.epsg, day, request.layer) for day in days]
    new = [path for path in paths if not path.with_suffix(suffix).exists()]
    left = sum(request.layout.tiles - unfinished_tiles(path, request.layout) for path in new)
    again = request.layout.tiles * (len(paths) - len(new)) if request.refresh else 0
    return Need(left + again, left * _BYTES_OF_A_TILE[request.layer.format] + len(new) * images.bytes)


def check_room(folder: Path, need: Need) -> None:
    """Make sure that the disk can hold a download, as far as one can tell before.

    Raises:
        NoRoomError: It can not.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if need.bytes > free:
        raise NoRoomError(
            f"the days need about {_size(need.bytes)}, and {folder} has room for {_size(free)}: "
            "choose fewer days, a coarser resolution or another folder"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def last_check(root: Path, layer: Layer, epsg: int) -> date | None:
    """Until which day a layer was downloaded into a folder last time, None if it never was.

    Raises:
        ValueError: The file that tells it is damaged.
    """
    return _checks(root).read().get(f"{epsg}/{layer.identifier}")


def record_check(root: Path, layer: Layer, epsg: int, end: date) -> None:
    """Remember until which day, not included, a layer was downloaded into a folder; a later one stays.

    Raises:
        ValueError: The file that tells it is damaged.
    """
    name = f"{epsg}/{layer.identifier}"
    with _checks(root).changing() as checks:
        checks[name] = max(end, checks.get(name, end))


def _checks(root: Path) -> Store[date]:
    return Store(root / _CHECKS, "the days until which layers were downloaded", date.fromisoformat)
