"""gibs-ml's split files: which days train, validate and test a model, and what hands have labelled them.

A file `{Layer}.txt` has a line for each day, `split day code...`, such as `train 2015-11-25 2`. The codes are those of
`heph_dagster.anomalies.labels.Label`; a day without a code is a normal one, or one that nobody has looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from heph_dagster.anomalies.labels import Label
from heph_dagster.files import replacing
from heph_dagster.gibs.periods import parse_day


class Split(StrEnum):
    """What a day is for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class SplitDay(NamedTuple):
    """A line of a split file."""

    day: date
    split: Split
    codes: tuple[Label, ...]


def read_splits(path: Path) -> list[SplitDay]:
    """The days of a split file, in its order.

    Raises:
        ValueError: A line is wrong; the message names the file and the line's number.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a split file: {error}") from error
    return _parse(text, path)


def write_splits(path: Path, rows: Iterable[SplitDay]) -> None:
    """Write a split file as gibs-ml does; a day without a code ends with a space.

    Raises:
        ValueError: A day is there twice.
    """
    text = "".join(f"{row.split} {row.day} {' '.join(str(int(code)) for code in row.codes)}\n" for row in rows)
    _parse(text, path)
    with replacing(path) as part:
        part.write_text(text, "utf-8")


def _parse(text: str, path: Path) -> list[SplitDay]:
    rows: dict[date, SplitDay] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = _parse_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if row.day in rows:
            raise ValueError(f"{path}, line {number}: {row.day} is there twice")
        rows[row.day] = row
    return list(rows.values())


def _parse_line(line: str) -> SplitDay:
    if len(words := line.split()) < 2:
        raise ValueError(f"{line!r} should read `split day code...`")
    split, text, *codes = words
    if split not in list(Split):
        raise ValueError(f"{split!r} is none of {', '.join(Split)}")
    return SplitDay(read_day(text), Split(split), read_codes(codes))


def read_day(text: str) -> date:
    """The day of YYYY-MM-DD, and of nothing else.

    Raises:
        ValueError: The text is none.
    """
    day = parse_day(text)
    if text != day.isoformat():
        raise ValueError(f"{text!r} is not a day: write it as YYYY-MM-DD")
    return day


def read_codes(words: Iterable[str]) -> tuple[Label, ...]:
    """The labels of some codes.

    Raises:
        ValueError: A word is no label code.
    """
    known = {str(int(label)): label for label in Label}
    codes = tuple(words)
    for code in codes:
        if code not in known:
            raise ValueError(f"{code!r} is no label code; they are {min(known)} to {max(known)}")
    return tuple(known[code] for code in codes)
