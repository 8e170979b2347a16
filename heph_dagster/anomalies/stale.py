"""Stale layers: the newest day that the server lists is older than the layer's cadence and its usual delay explain."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.manifest import fetched_on
from heph_dagster.gibs.periods import Period, add_steps

# Daily imagery is near real time and there within hours; composites wait for science-quality data.
_DAILY_DELAY_DAYS = 2
_COMPOSITE_DELAY_DAYS = 30
_NEAR_REAL_TIME = timedelta(hours=6)  # a day is over at 24:00 UTC, and its imagery there 3 to 5 hours later
_LOOK_BACK_STEPS = 60
_BACKFILL_DAYS = 30  # a day that was fetched later tells nothing of when it came
_FEWEST_DAYS = 5


@dataclass(frozen=True)
class Delay:
    """How long after its end a day's imagery usually comes.

    Attributes:
        days: Days, 1 or more.
        learned_from: Number of days on disk whose recorded times say so; 0 for the default.
    """

    days: int
    learned_from: int = 0


@dataclass(frozen=True)
class Stale:
    """Whether a layer has stopped.

    Attributes:
        layer: Identifier.
        flagged: Whether it is called stale.
        newest: Newest day that the server lists, None where it lists none.
        due: Day by which the next should have come; None where none is to come.
        delay: The usual delay that `due` allows for.
        message: The result in words.
    """

    layer: str
    flagged: bool
    newest: date | None
    due: date | None
    delay: Delay
    message: str

    def as_json(self) -> dict[str, Any]:
        """The result in types of JSON."""
        return {**asdict(self), "newest": _text(self.newest), "due": _text(self.due)}


def default_delay(layer: Layer) -> Delay:
    """The delay that is taken as usual where nothing is recorded: 2 days, or 30 for composites of several days."""
    return Delay(_DAILY_DELAY_DAYS if layer.daily else _COMPOSITE_DELAY_DAYS)


def freshness_windows(layer: Layer) -> tuple[timedelta | None, timedelta]:
    """How long nothing new of a layer that goes on is usual: from one day that was fetched to the next.

    Args:
        layer: The layer.

    Returns:
        When to wonder, None for composites, whose days come as they are ready; and when something is wrong: a step of
        the layer's cadence, and its usual delay.
    """
    first = date(2000, 1, 1)  # of a month with 31 days and of a year with 366
    step = (add_steps(first, layer.period, 1) or first) - first
    return step + _NEAR_REAL_TIME if layer.daily else None, step + timedelta(days=default_delay(layer).days)


def days_of_delay(layer: Layer, today: date) -> list[date]:
    """The days on which `usual_delay` looks at."""
    first = add_steps(today, layer.period, -_LOOK_BACK_STEPS) or today
    return [first + timedelta(days=number) for number in range((today - first).days)]


def usual_delay(root: Path, layer: Layer, epsg: int, today: date) -> Delay:
    """The delay that the days on disk show: the upper quartile of the times from a day's end to when it was fetched.

    It counts the days that were fetched within 30 days; where these are fewer than 5, the default holds.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        today: Day up to which to look, 60 steps of the layer's cadence back.
    """
    delays = []
    for day in days_of_delay(layer, today):
        fetched, over = fetched_on(mosaic_path(root, epsg, day, layer)), add_steps(day, layer.period, 1)
        if fetched is not None and over is not None:  # a day that is damaged, or was imported, tells nothing
            delays.append((fetched - over).days)
    delays = [max(0, delay) for delay in delays if delay <= _BACKFILL_DAYS]
    if len(delays) < _FEWEST_DAYS:
        return default_delay(layer)
    return Delay(max(1, math.ceil(statistics.quantiles(delays, n=4, method="inclusive")[2])), len(delays))


def find_stale(layer: Layer, periods: Iterable[Period], today: date, delay: Delay) -> Stale:
    """Compare the newest day of a layer with when the next should have come.

    The next day is due when its last day is over and the usual delay has passed.

    Args:
        layer: The layer.
        periods: What the server lists.
        today: The day of the comparison, in UTC.
        delay: The usual delay.
    """
    newest = max((list(period.days())[-1] for period in periods), default=None)
    name = layer.identifier
    if layer.last_day is not None:
        message = f"{name} ended on {layer.last_day}"
        return Stale(name, flagged=False, newest=newest, due=None, delay=delay, message=message)
    if newest is None:
        message = f"{name}: the server lists no days at all{layer.continuation}"
        return Stale(name, flagged=True, newest=None, due=None, delay=delay, message=message)
    after_next = add_steps(newest, layer.period, 2)
    if after_next is None:
        message = f"{name}: the server lists days until {newest}, which are no days of imagery"
        return Stale(name, flagged=True, newest=newest, due=None, delay=delay, message=message)
    due = after_next + timedelta(days=delay.days)
    how = f"learned from {delay.learned_from} days on disk" if delay.learned_from else "the default"
    message = (
        f"{name}: the newest day on the server is {newest}, {(today - newest).days} days ago; the next is due by {due} "
        f"(step {layer.period}, usual delay {delay.days} days, {how})"
    )
    if today <= due:
        return Stale(name, flagged=False, newest=newest, due=due, delay=delay, message=message)
    return Stale(name, flagged=True, newest=newest, due=due, delay=delay, message=f"{message}{layer.continuation}")


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
