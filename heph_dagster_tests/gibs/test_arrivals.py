"""Which days are asked for, and when again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.arrivals import Arrivals, Known, Look, Tries
from heph_dagster.gibs.periods import Domain, Period, compress

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
WAIT = timedelta(minutes=10)
DAYS = [date(2024, 4, 20) + timedelta(days=number) for number in range(8)]  # to the 27th
LISTED = Domain(tuple(compress(DAYS)), "tag")


def look(
    arrivals: Arrivals,
    *,
    there: Iterable[date] = (),
    busy: Iterable[date] = (),
    failed: Iterable[date] = (),
    now: datetime = NOW,
) -> Look:
    return arrivals.look(arrivals.listed(date.min, TODAY), Known({*there}, {*busy}, {*failed}), now, WAIT)


def test_the_first_look_wants_the_newest_days() -> None:
    assert look(Arrivals().seen(LISTED, TODAY, 5)).wanted == tuple(DAYS[-5:])
    assert Arrivals().seen(LISTED, TODAY, 20).since == date(2024, 4, 11)
    assert Arrivals().seen(LISTED, TODAY, 0).since == TODAY
    assert Arrivals().seen(Domain(()), TODAY, 5).since == date(2024, 4, 26)


def test_the_newest_composites_are_wanted_however_old_they_are() -> None:
    composites = Domain((Period(date(2023, 1, 1), date(2024, 3, 29), "P8D"),))
    arrivals = Arrivals().seen(composites, TODAY, 2)
    assert look(arrivals).wanted == (date(2024, 3, 16), date(2024, 3, 24))


def test_a_first_day_that_was_told_holds() -> None:
    arrivals = Arrivals(DAYS[2]).seen(LISTED, TODAY, 1)
    assert look(arrivals).wanted == tuple(DAYS[2:])
    assert arrivals.seen(Domain(()), TODAY, 1).since == DAYS[2]


def test_a_list_without_end_is_cut() -> None:
    endless = Domain((Period(DAYS[0], date.max),))
    arrivals = Arrivals(DAYS[0]).seen(endless, TODAY, 1)
    assert arrivals.listed(DAYS[0], DAYS[1]) == DAYS[:2]
    assert arrivals.listed(DAYS[1], DAYS[1]) == DAYS[1:2]


def test_days_that_are_not_there_are_wanted_once() -> None:
    first = look(Arrivals(DAYS[0], LISTED), there=DAYS[:3], busy=DAYS[3:4])
    assert (first.wanted, first.waiting) == (tuple(DAYS[4:]), (DAYS[3],))
    second = look(first.arrivals, there=DAYS[:4], busy=DAYS[4:])
    assert (second.wanted, second.waiting) == ((), tuple(DAYS[4:]))
    third = look(second.arrivals, there=DAYS)
    assert (third.wanted, third.waiting, third.arrivals.tries) == ((), (), {})


def test_earlier_days_are_left_but_for_those_that_failed() -> None:
    assert look(Arrivals(DAYS[5], LISTED), there=DAYS[5:], failed=DAYS[1:2]).wanted == (DAYS[1],)
    assert look(Arrivals(DAYS[5], LISTED), there=DAYS[5:], failed=[date(2019, 1, 1)]).wanted == ()


def test_a_late_day_behind_others_is_wanted() -> None:
    gap = Domain(tuple(compress([*DAYS[:3], *DAYS[4:]])))
    arrivals = look(Arrivals(DAYS[0], gap), there=DAYS).arrivals
    there = set(DAYS) - {DAYS[3]}
    assert look(arrivals.seen(LISTED, TODAY, 5), there=there).wanted == (DAYS[3],)


def test_a_day_that_failed_is_tried_again_after_a_growing_time() -> None:
    arrivals, now, waits = Arrivals(DAYS[-1], LISTED), NOW, []
    for _ in range(7):
        found = look(arrivals, now=now)
        assert found.wanted == (DAYS[-1],)
        arrivals, asked = found.arrivals, now
        while not look(arrivals, now=now).wanted:
            now += timedelta(minutes=1)
        waits.append((now - asked) / timedelta(minutes=1))
    assert waits == [10, 40, 160, 640, 1440, 1440, 1440]


def test_a_day_is_not_asked_for_while_a_run_is_at_it() -> None:
    arrivals = look(Arrivals(DAYS[-1], LISTED)).arrivals
    later = look(arrivals, busy=DAYS, now=NOW + timedelta(days=9))
    assert (later.wanted, later.waiting) == ((), (DAYS[-1],))


def test_an_earlier_day_that_fails_again_waits_longer() -> None:
    arrivals, now, asked = Arrivals(DAYS[5], LISTED), NOW, []
    for minute in range(0, 120, 5):
        now = NOW + timedelta(minutes=minute)
        failed = look(arrivals, there=DAYS[5:], failed=DAYS[1:2], now=now)
        asked += [minute] * len(failed.wanted)
        # While the run is at it, it has not failed.
        arrivals = look(failed.arrivals, there=DAYS[5:], busy=DAYS[1:2], now=now).arrivals
    assert asked == [0, 10, 50]


def test_a_day_that_the_server_takes_back_is_forgotten() -> None:
    arrivals = look(Arrivals(DAYS[0], LISTED)).arrivals
    assert set(arrivals.tries) == set(DAYS)
    assert set(look(arrivals.seen(Domain(tuple(compress(DAYS[:2]))), TODAY, 5)).arrivals.tries) == set(DAYS[:2])


@given(
    since=st.none() | st.dates(),
    etag=st.none() | st.text(),
    days=st.sets(st.dates(date(2020, 1, 1), date(2020, 3, 1))),
    tries=st.dictionaries(
        st.dates(), st.builds(Tries, st.integers(1), st.datetimes(timezones=st.just(UTC))), max_size=3
    ),
)
def test_what_is_known_is_kept_as_text(
    since: date | None, etag: str | None, days: set[date], tries: dict[date, Tries]
) -> None:
    arrivals = Arrivals(since, Domain(tuple(compress(days)), etag), tries)
    assert Arrivals.parse(str(arrivals)) == arrivals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no record of arrivals .*reset the cursor"),
        ("[]", "no record of arrivals .*reset the cursor"),
        ("{}", "no record of arrivals .*reset the cursor"),
        ('{"version": 1, "since": "x"}', "no record of arrivals .*reset the cursor"),
        (
            '{"version": 1, "since": null, "etag": null, "periods": "", "tries": {"2024-01-01": [1, "2024-01-01"]}}',
            "2024-01-01 has no time zone",
        ),
        ('{"version": 2}', "is of version 2, not 1: reset the cursor"),
    ],
)
def test_text_that_is_none_of_ours_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arrivals.parse(text)
