"""Periods of days."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.periods import Period, add_steps, compress, floor, parse_day, parse_periods, span_text

day_lists = st.lists(st.dates(date(2000, 1, 1), date(2001, 12, 31)), max_size=60)


def test_domains_with_gaps() -> None:
    periods = parse_periods("2018-05-26/2018-11-03/P1D,2019-08-23/2021-09-03/P1D")
    assert periods == [
        Period(date(2018, 5, 26), date(2018, 11, 3)),
        Period(date(2019, 8, 23), date(2021, 9, 3)),
    ]
    assert floor(periods, date(2018, 11, 3)) == date(2018, 11, 3)
    assert floor(periods, date(2018, 11, 4)) is None


@given(day_lists, st.sampled_from(["P1D", "P8D", "P1M"]))
def test_compressed_days_are_the_same_days(days: list[date], step: str) -> None:
    periods = compress(days, step)
    assert sorted(day for period in periods for day in period.days()) == sorted(set(days))


@given(day_lists)
def test_daily_periods_are_as_few_as_can_be(days: list[date]) -> None:
    periods = compress(days)
    assert all(b.start - a.end > timedelta(days=1) for a, b in pairwise(periods))
    assert parse_periods(",".join(map(str, periods))) == periods


@pytest.mark.parametrize(
    ("step", "asked", "answered"),
    [
        ("P8D", date(2016, 8, 6), date(2016, 7, 30)),
        ("P8D", date(2016, 8, 7), date(2016, 8, 7)),
        ("P8D", date(2016, 8, 22), date(2016, 8, 15)),
        ("P8D", date(2016, 8, 23), None),
        ("P1M", date(2016, 8, 29), date(2016, 7, 30)),
        ("P8D", date(2016, 7, 29), None),
    ],
)
def test_days_within_a_step_are_floored_to_its_start(step: str, asked: date, answered: date | None) -> None:
    assert Period(date(2016, 7, 30), date(2016, 8, 15), step).floor(asked) == answered


def test_the_later_period_holds_where_a_step_was_cut_short() -> None:
    # 8-day composites begin anew on 1 January.
    periods = compress([date(2019, 12, 19), date(2019, 12, 27), date(2020, 1, 1), date(2020, 1, 9)], "P8D")
    assert floor(periods, date(2020, 1, 1)) == date(2020, 1, 1)
    assert floor(periods, date(2020, 1, 2)) == date(2020, 1, 1)
    assert floor(periods, date(2019, 12, 31)) == date(2019, 12, 27)


@pytest.mark.parametrize(
    "text", ["2020-W39-5", "0001-01-01T00:00:00+23:59", "20200927", "2020-09-27\u2603", "", "2020-09-31"]
)
def test_other_texts_are_no_days(text: str) -> None:
    with pytest.raises(ValueError, match="is not a day"):
        parse_day(text)


def test_the_calendar_ends() -> None:
    end = date(9999, 12, 31)
    for step in ("P1D", "P8D", "P1M", "P1Y"):
        period = Period(date(9999, 11, 30), end, step)
        *_, last = period.days()
        assert period.floor(end) == floor([period], end) == last
        assert add_steps(end, step, 1) is None
        assert compress(period.days(), step) == [Period(period.start, last, step)]
    assert compress([date(9999, 12, 30), end], "P8D") == [Period(day, day, "P8D") for day in (date(9999, 12, 30), end)]


def test_days_are_written_as_runs() -> None:
    days = [date(2020, 9, 25), date(2020, 9, 26), date(2020, 9, 27), date(2020, 10, 1)]
    assert span_text(reversed(days)) == "2020-09-25 to 2020-09-27, 2020-10-01"


def test_months_end_where_they_end() -> None:
    assert add_steps(date(2024, 1, 31), "P1M", 1) == date(2024, 2, 29)
    assert add_steps(date(2024, 1, 31), "P1M", 2) == date(2024, 3, 31)
    assert add_steps(date(2024, 2, 29), "P1Y", 1) == date(2025, 2, 28)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2020-09-27", date(2020, 9, 27)),
        ("2020-09-27T00:00:00Z", date(2020, 9, 27)),
        ("2020-09-27T23:30:00-02:00", date(2020, 9, 28)),
    ],
)
def test_timestamps_are_utc_days(text: str, day: date) -> None:
    assert parse_day(text) == day


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_day("27.9.2020"), "'27.9.2020' is not a day: write it as YYYY-MM-DD"),
        (lambda: parse_periods("2020-01-01/2020-01-02"), "is not a period: it should read start/end/step"),
        (lambda: Period(date(2020, 1, 2), date(2020, 1, 1)), "cannot end before it starts"),
        (lambda: add_steps(date(2020, 1, 1), "PT1H", 1), "'PT1H' is not a step of days, months or years"),
        (lambda: add_steps(date(2020, 1, 1), "P0D", 1), "'P0D' is not a step"),
    ],
)
def test_what_cannot_be_read_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
