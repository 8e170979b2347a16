"""Which days of a layer to ask for: those that have come, and each that failed again after a growing time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Self

from heph_dagster.gibs.periods import NOTHING, Domain, parse_periods

LONGEST_WAIT = timedelta(days=1)
_VERSION = 1


@dataclass(frozen=True)
class Tries:
    """How often a day that is not there yet was asked for.

    Attributes:
        count: Times.
        last: When last, in UTC.
    """

    count: int
    last: datetime

    def due(self, now: datetime, first_wait: timedelta) -> bool:
        """Whether it is time to ask again: after a first wait, then each time four times as long, a day at most."""
        return now >= self.last + min(first_wait * 4 ** min(self.count - 1, 8), LONGEST_WAIT)


@dataclass(frozen=True)
class Arrivals:
    """What is known of the days of a layer from one look at the server to the next.

    Attributes:
        since: First day that is wanted; None before the first look, which begins with the newest days.
        domain: What the server listed last.
        tries: Days that were asked for and are not there yet.
    """

    since: date | None = None
    domain: Domain = NOTHING
    tries: Mapping[date, Tries] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` wrote.

        Raises:
            ValueError: The text is none of ours.
        """
        try:
            told = json.loads(text)
            if (version := told["version"]) == _VERSION:
                return cls(
                    None if told["since"] is None else date.fromisoformat(told["since"]),
                    Domain(tuple(parse_periods(told["periods"])), told["etag"]),
                    {
                        date.fromisoformat(day): Tries(count, _moment(last))
                        for day, (count, last) in told["tries"].items()
                    },
                )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no record of arrivals ({error}), reset the cursor: {text[:80]!r}") from error
        raise ValueError(f"this record of arrivals is of version {version}, not {_VERSION}: reset the cursor")

    def __str__(self) -> str:
        tries = {str(day): (each.count, each.last.isoformat()) for day, each in sorted(self.tries.items())}
        periods = ",".join(map(str, self.domain.periods))
        since = None if self.since is None else str(self.since)
        told = {"since": since, "etag": self.domain.etag, "periods": periods}
        return json.dumps({"version": _VERSION, **told, "tries": tries})

    def seen(self, domain: Domain, today: date, newest: int) -> Self:
        """What is known once the server has told its days.

        Args:
            domain: The days that it lists.
            today: The day, in UTC.
            newest: How many of its newest days are wanted where no first day was told.
        """
        if self.since is not None:
            return replace(self, domain=domain)
        listed = sorted(_days(domain, today))[-newest:] if newest else []
        return replace(self, domain=domain, since=min([*listed, today - timedelta(days=newest)]))

    def listed(self, first: date, last: date) -> list[date]:
        """The days of a range that the server lists, in order."""
        return sorted(day for day in _days(self.domain, last) if day >= first)

    def look(self, days: Iterable[date], known: Known, now: datetime, first_wait: timedelta) -> Look:
        """What is to be done about days.

        Args:
            days: That the server lists. Those before the first that is wanted are left, but for those that failed.
            known: What is known of them.
            now: The present, in UTC.
            first_wait: How long after a day was asked for first it is asked for again, if it is not there.
        """
        asked = known.failed | self.tries.keys()
        watched = (day for day in days if self.since is None or day >= self.since or day in asked)
        lacking = [day for day in watched if day not in known.there]
        waiting = [day for day in lacking if self._waits(day, now, first_wait, busy=day in known.busy)]
        held = set(waiting)
        wanted = [day for day in lacking if day not in held]
        # A day that is there, or that the server has taken back, needs no record.
        tries = {day: self.tries[day] for day in lacking if day in self.tries}
        tries |= {day: Tries(tries[day].count + 1 if day in tries else 1, now) for day in wanted}
        return Look(tuple(wanted), tuple(waiting), replace(self, tries=tries))

    def _waits(self, day: date, now: datetime, first_wait: timedelta, *, busy: bool) -> bool:
        tries = self.tries.get(day)
        return busy or (tries is not None and not tries.due(now, first_wait))


@dataclass(frozen=True)
class Known:
    """What is known of days.

    Attributes:
        there: Those on disk.
        busy: Those that are being downloaded, or will be.
        failed: Those whose last download failed.
    """

    there: AbstractSet[date]
    busy: AbstractSet[date]
    failed: AbstractSet[date]


@dataclass(frozen=True)
class Look:
    """What is to be done after a look at the server.

    Attributes:
        wanted: Days to ask for now.
        waiting: Days that are being fetched, or that failed and are asked for later.
        arrivals: What is known then.
    """

    wanted: tuple[date, ...]
    waiting: tuple[date, ...]
    arrivals: Arrivals


def _days(domain: Domain, until: date) -> set[date]:
    return {day for each in domain.periods for day in takewhile(lambda day: day <= until, each.days())}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
