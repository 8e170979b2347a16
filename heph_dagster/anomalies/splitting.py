"""Which days train, validate and test a model: 60, 20 and 20 % of them, by blocks of days or at random.

A day resembles those before and after it. Split at random, as gibs-ml does, nearly every test day has a neighbour that
a model was trained on: figures made so are for comparison only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, SplitDay, write_splits
from heph_dagster.gibs.catalogue import Layer

BLOCK_DAYS = 30
"""Days of a block, by default."""
GAP_DAYS = 3
"""Days left out between blocks of different splits, by default: weather takes as long to pass."""
_TRAIN, _VAL, _TEST = 3, 1, 1
_CYCLE = (Split.TRAIN,) * _TRAIN + (Split.VAL,) * _VAL + (Split.TEST,) * _TEST


def split_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's split stands below a data root; `{Layer}.txt` beside it is a split that was adopted."""
    return root / str(epsg) / f"{layer.identifier}.split.txt"


def random_split(days: Iterable[date], seed: int = 0) -> dict[date, Split]:
    """Split days at random, each for itself.

    Args:
        days: The days, in any order; one that is there twice counts once.
        seed: Another seed makes another split.

    Returns:
        Each day's split, in order: three fifths train (rounded down), one fifth validates (rounded down), the rest
        tests. It depends on the set of days and the seed only.
    """
    ranked = sorted(set(days), key=lambda day: _draw(seed, day.isoformat()))
    train, val = (len(ranked) * share // len(_CYCLE) for share in (_TRAIN, _VAL))
    splits = [Split.TRAIN] * train + [Split.VAL] * val + [Split.TEST] * (len(ranked) - train - val)
    return dict(sorted(zip(ranked, splits, strict=True)))


def block_split(
    days: Iterable[date], seed: int = 0, *, block_days: int = BLOCK_DAYS, gap_days: int = GAP_DAYS
) -> dict[date, Split]:
    """Split days by contiguous blocks of the calendar, with gaps, so that no test day has a neighbour in training.

    Of every five blocks that follow each other three train, one validates and one tests, in an order that the seed
    draws anew for each five. Where a block's split differs from that of the block before, its first days are left out.
    A day's split depends on nothing but the day and the arguments: days that come later change no earlier one.

    Args:
        days: The days, in any order.
        seed: Another seed makes another split.
        block_days: Days of a block.
        gap_days: Two days of different splits are more than so many days apart; 0 to less than `block_days`.

    Returns:
        Each day's split, in order, without the days left out.

    Raises:
        ValueError: The gap is negative or as long as a block.
    """
    if not 0 <= gap_days < block_days:
        raise ValueError(f"a gap of {gap_days} days does not fit in blocks of {block_days}: it must be shorter, or 0")
    result = {}
    for day in sorted(set(days)):
        block, place = divmod(day.toordinal(), block_days)
        split = _block(block, seed)
        if place >= gap_days or split == _block(block - 1, seed):
            result[day] = split
    return result


def leaks(split: Mapping[date, Split], gap_days: int) -> list[tuple[date, date]]:
    """Pairs of days of different splits that are so near that one tells of the other.

    Args:
        split: Each day's split.
        gap_days: Two days of different splits should be more than so many days apart.

    Returns:
        The earlier and the later day of each pair, in order.
    """
    days = sorted(split)
    found = []
    for number, day in enumerate(days):
        for later in days[number + 1 :]:
            if (later - day).days > gap_days:
                break
            if split[later] != split[day]:
                found.append((day, later))
    return found


def lacking(rows: Iterable[SplitDay]) -> list[str]:
    """What keeps learners from a split, in words: parts without days, or whose days are all normal or all not."""
    kinds: dict[Split, set[bool]] = {split: set() for split in Split}
    for row in rows:
        kinds[row.split].add(bool(row.codes))
    words = {frozenset(): "no days", frozenset({False}): "only normal days", frozenset({True}): "no normal days"}
    return [f"{split} has {words[frozenset(each)]}" for split, each in kinds.items() if len(each) < 2]


def write_split(path: Path, split: Mapping[date, Split], codes: Mapping[date, tuple[Label, ...]]) -> None:
    """Write a split and its days' labels as gibs-ml's text file, which has no code for a normal day.

    Args:
        path: The file.
        split: Each day's split.
        codes: Each day's label codes.

    Raises:
        ValueError: A day of the split has no label.
    """
    if unlabelled := [str(day) for day in split if day not in codes]:
        raise ValueError(f"{', '.join(unlabelled[:5])}: {len(unlabelled)} days of the split have no label")
    rows = (
        SplitDay(day, each, tuple(code for code in codes[day] if code != Label.NORMAL)) for day, each in split.items()
    )
    write_splits(path, rows)


def _block(number: int, seed: int) -> Split:
    cycle, place = divmod(number, len(_CYCLE))
    order = sorted(range(len(_CYCLE)), key=lambda each: _draw(seed, f"{cycle}/{each}"))
    return _CYCLE[order[place]]


def _draw(seed: int, what: str) -> bytes:
    """What chance says of something: the same everywhere and with every version of Python."""
    return hashlib.sha256(f"{seed} {what}".encode()).digest()
