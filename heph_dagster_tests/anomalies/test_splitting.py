"""Splits at random and by blocks."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, SplitDay, read_splits, write_splits
from heph_dagster.anomalies.splitting import block_split, lacking, leaks, random_split, write_split

FIRST = date(2015, 11, 24)
YEARS = [FIRST + timedelta(days=number) for number in range(3000)]
SETS = st.lists(st.dates(date(2000, 1, 1), date(2001, 12, 31)), max_size=200)
SEEDS = st.integers(0, 2**63)


@given(days=SETS, seed=SEEDS, data=st.data())
def test_a_random_split_has_its_shares_whatever_the_order(days: list[date], seed: int, data: st.DataObject) -> None:
    split = random_split(days, seed)
    assert list(split) == sorted(set(days))
    counts = Counter(split.values())
    assert (counts[Split.TRAIN], counts[Split.VAL]) == (len(split) * 3 // 5, len(split) // 5)
    assert random_split(data.draw(st.permutations(days)), seed) == split


def test_a_day_without_a_label_cannot_be_written(tmp_path: Path) -> None:
    split = dict.fromkeys(YEARS[:3], Split.TEST)
    with pytest.raises(ValueError, match=r"^2015-11-25, 2015-11-26: 2 days of the split have no label$"):
        write_split(tmp_path / "a.txt", split, {FIRST: (Label.NORMAL,)})
    assert list(tmp_path.iterdir()) == []


def test_a_random_split_is_the_seeds() -> None:
    first, second = random_split(YEARS, 1), random_split(YEARS, 2)
    assert first == random_split(reversed(YEARS), 1)
    # 0.6 x 0.6 + 0.2 x 0.2 + 0.2 x 0.2: what two independent draws have in common.
    assert sum(first[day] == second[day] for day in YEARS) / len(YEARS) == pytest.approx(0.44, abs=0.04)
    assert Counter(random_split(YEARS[:946]).values()) == {Split.TRAIN: 567, Split.VAL: 189, Split.TEST: 190}
    assert list(random_split(YEARS[:5], 3).values()) == ["val", "test", "train", "train", "train"]


@given(
    days=SETS,
    seed=SEEDS,
    sizes=st.integers(1, 40).flatmap(lambda block: st.tuples(st.just(block), st.integers(0, block - 1))),
)
def test_no_neighbours_leak(days: list[date], seed: int, sizes: tuple[int, int]) -> None:
    block_days, gap_days = sizes
    split = list(block_split(days, seed, block_days=block_days, gap_days=gap_days).items())
    for (day, one), (later, other) in itertools.pairwise(split):
        assert one == other or (later - day).days > gap_days


@given(days=SETS, more=SETS, seed=SEEDS)
def test_days_that_come_later_change_nothing(days: list[date], more: list[date], seed: int) -> None:
    before, after = block_split(days, seed), block_split([*more, *days], seed)
    assert before == {day: split for day, split in after.items() if day in set(days)}


@pytest.mark.parametrize("seed", range(3))
def test_blocks_have_their_shares_and_length(seed: int) -> None:
    split = block_split(YEARS, seed, gap_days=0)
    assert list(split) == YEARS
    counts = Counter(split.values())
    for each, share in ((Split.TRAIN, 0.6), (Split.VAL, 0.2), (Split.TEST, 0.2)):
        assert counts[each] / len(YEARS) == pytest.approx(share, abs=0.02)
    turns = [later for day, later in itertools.pairwise(YEARS) if split[day] != split[later]]
    assert {later.toordinal() % 30 for later in turns} == {0}
    with_gap = block_split(YEARS, seed)
    left_out = {turn + timedelta(days=number) for turn in turns for number in range(3)} - {FIRST}
    first_block = {day for day in YEARS[:30] if day.toordinal() // 30 == FIRST.toordinal() // 30}
    assert set(split) - set(with_gap) - first_block == left_out - first_block
    assert all(split[day] == each for day, each in with_gap.items())


def test_blocks_are_the_seeds() -> None:
    first, second = (block_split(YEARS, seed, gap_days=0) for seed in (1, 2))
    assert 0.25 < sum(first[day] == second[day] for day in YEARS) / len(YEARS) < 0.65
    assert first == block_split(reversed(YEARS), 1, gap_days=0)
    runs = [(split, len(list(days))) for split, days in itertools.groupby(block_split(YEARS[:150], 3).values())]
    assert runs == [("train", 4), ("test", 27), ("train", 57), ("val", 53)]


@pytest.mark.parametrize(("block", "gap"), [(30, -1), (3, 3), (0, 0), (-5, -6)])
def test_a_gap_that_does_not_fit_is_refused(block: int, gap: int) -> None:
    with pytest.raises(ValueError, match=f"^a gap of {gap} days does not fit in blocks of {block}: it must be shorter"):
        block_split(YEARS, block_days=block, gap_days=gap)


def test_a_split_is_written_as_gibs_ml_does(tmp_path: Path) -> None:
    codes = {YEARS[1]: (Label.MISSING_UNEXPECTED, Label.MISCOLOURED)}
    rows = [SplitDay(day, split, codes.get(day, ())) for day, split in random_split(YEARS[:5], 3).items()]
    write_splits(tmp_path / "a.txt", rows)
    assert read_splits(tmp_path / "a.txt") == rows
    assert (tmp_path / "a.txt").read_bytes() == (
        b"val 2015-11-24 \ntest 2015-11-25 2 3\ntrain 2015-11-26 \ntrain 2015-11-27 \ntrain 2015-11-28 \n"
    )


def test_pairs_of_days_that_are_too_near_leak() -> None:
    parts = {0: Split.TRAIN, 1: Split.TRAIN, 3: Split.VAL, 7: Split.TRAIN, 8: Split.TEST}
    split = {FIRST + timedelta(days=number): each for number, each in parts.items()}

    def found(gap: int) -> list[tuple[int, int]]:
        return [((one - FIRST).days, (other - FIRST).days) for one, other in leaks(split, gap)]

    assert found(0) == []
    assert found(1) == [(7, 8)]
    assert found(3) == [(0, 3), (1, 3), (7, 8)]
    assert found(4) == [(0, 3), (1, 3), (3, 7), (7, 8)]


@given(days=SETS, seed=SEEDS, gap=st.integers(0, 9))
def test_blocks_never_leak(days: list[date], seed: int, gap: int) -> None:
    assert leaks(block_split(days, seed, block_days=10, gap_days=gap), gap) == []


def test_parts_of_which_nothing_can_be_learned_are_told() -> None:
    rows = [SplitDay(FIRST, Split.TRAIN, ()), SplitDay(FIRST + timedelta(days=1), Split.TRAIN, (Label.MISCOLOURED,))]
    rows.append(SplitDay(FIRST + timedelta(days=9), Split.TEST, ()))
    assert lacking(rows) == ["val has no days", "test has only normal days"]
    assert lacking([SplitDay(FIRST, split, codes) for split in Split for codes in ((), (Label.EDGE_WARPED,))]) == []
