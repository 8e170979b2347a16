"""The days of a layer, as GIBS writes them: periods such as `2018-05-26/2018-11-03/P1D`.

Source: OGC WMTS Multidimensional Domain Discovery, and GIBS API documentation, "Time Dimension".
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime
from itertools import takewhile

_DAY = re.compile(r"\d{4}-\d\d-\d\d(T[0-9:.]{5,15}(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_STEP = re.compile(r"P(?:(\d+)D|(\d+)M|(\d+)Y)")


def parse_day(text: str) -> date:
    """The UTC day of an ISO date or timestamp (`2020-09-27`, `2020-09-27T00:00:00Z`).

    Raises:
        ValueError: The text is neither.
    """
    try:
        if _DAY.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a day: write it as YYYY-MM-DD")


@dataclass(frozen=True, order=True)
class Period:
    """A run of days at equal steps.

    Attributes:
        start: First day.
        end: Last day on which imagery starts, or the last day that it covers.
        step: ISO 8601 duration in days, months or years.
    """

    start: date
    end: date
    step: str = "P1D"

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"a period cannot end before it starts: {self}")
        add_steps(self.start, self.step, 0)

    def __str__(self) -> str:
        return f"{self.start}/{self.end}/{self.step}"

    def days(self) -> Iterator[date]:
        """Days on which imagery starts, in order."""
        count = 0
        while (day := add_steps(self.start, self.step, count)) is not None and day <= self.end:
            yield day
            count += 1

    def floor(self, day: date) -> date | None:
        """The day whose imagery the server hands out for `day`, or None outside the period.

        Within a step that is longer than a day, GIBS answers with the step's first day.
        """
        if self.step == "P1D":
            return day if self.start <= day <= self.end else None
        for start in takewhile(lambda start: start <= day, self.days()):
            after = add_steps(start, self.step, 1)
            if after is None or day < after:
                return start
        return None


@dataclass(frozen=True)
class Domain:
    """All days that a server has of a layer.

    Attributes:
        periods: The days.
        etag: Entity tag of the answer that told them, None where it had none.
    """

    periods: tuple[Period, ...]
    etag: str | None = None


NOTHING = Domain(())
"""What is known of a server that was not asked yet."""


def add_steps(day: date, step: str, count: int) -> date | None:
    """The day `count` steps after another, None after the last year that a date can have.

    Month steps that fall on a day which the month lacks take the month's last day.

    Raises:
        ValueError: The step is not a number of days, months or years.
    """
    match = _STEP.fullmatch(step)
    if match is None or not int(match[match.lastindex or 0]):
        raise ValueError(f"{step!r} is not a step of days, months or years such as P1D, P8D, P1M")
    days, months, years = match.groups()
    if days is not None:
        number = day.toordinal() + int(days) * count
        return date.fromordinal(number) if number <= date.max.toordinal() else None
    total = day.year * 12 + day.month - 1 + (int(months) if months else 12 * int(years)) * count
    year, month = divmod(total, 12)
    if year > MAXYEAR:
        return None
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def parse_periods(text: str) -> list[Period]:
    """The periods of a DescribeDomains or GetCapabilities answer.

    Args:
        text: Comma-separated periods `start/end/step`; a lone date is a period of one day.

    Raises:
        ValueError: A period cannot be read.
    """
    periods = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        parts = item.split("/")
        if len(parts) == 1:
            parts = [item, item, "P1D"]
        if len(parts) != 3:
            raise ValueError(f"{item!r} is not a period: it should read start/end/step")
        periods.append(Period(parse_day(parts[0]), parse_day(parts[1]), parts[2]))
    return sorted(periods)


def compress(days: Iterable[date], step: str = "P1D") -> list[Period]:
    """The fewest periods of one step that hold exactly these days."""
    runs: list[list[date]] = []
    for day in sorted(set(days)):
        if runs and add_steps(runs[-1][0], step, len(runs[-1])) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [Period(run[0], run[-1], step) for run in runs]


def span_text(days: Iterable[date]) -> str:
    """Days for people to read: runs of them as their first and last, such as `2020-09-25 to 2020-09-27, 2020-10-01`."""
    runs = compress(days)
    return ", ".join(str(run.start) if run.start == run.end else f"{run.start} to {run.end}" for run in runs)


def floor(periods: Iterable[Period], day: date) -> date | None:
    """The day that a server with these periods hands out for `day`, or None where it has none."""
    # Steps can be cut short: 8-day composites begin anew on 1 January, and the later period holds then.
    return max(filter(None, (period.floor(day) for period in periods)), default=None)
