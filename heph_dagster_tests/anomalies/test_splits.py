"""gibs-ml's split files."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, SplitDay, read_splits, write_splits
from heph_dagster_tests.conftest import REAL_DATA, VIIRS

REAL = REAL_DATA / "gibs" / "labels" / f"{VIIRS}.txt"


def test_lines_become_days(tmp_path: Path) -> None:
    path = tmp_path / "layer.txt"
    path.write_text("train 2015-11-24 \ntest 2015-11-26 2 5\nval 2015-11-25 0\r\n", "utf-8")
    assert read_splits(path) == [
        SplitDay(date(2015, 11, 24), Split.TRAIN, ()),
        SplitDay(date(2015, 11, 26), Split.TEST, (Label.MISSING_UNEXPECTED, Label.ECLIPSE_MISSING)),
        SplitDay(date(2015, 11, 25), Split.VAL, (Label.NORMAL,)),
    ]


DAYS = st.lists(
    st.builds(SplitDay, st.dates(), st.sampled_from(Split), st.lists(st.sampled_from(Label), max_size=3).map(tuple)),
    unique_by=lambda row: row.day,
)


@given(rows=DAYS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[SplitDay]) -> None:
    path = tmp_path_factory.mktemp("splits") / "layer.txt"
    write_splits(path, rows)
    assert read_splits(path) == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian 2015-11-25", "'trian' is none of train, val, test"),
        ("2015-11-25 train", "'2015-11-25' is none of train"),
        ("train", "'train' should read `split day code...`"),
        ("", "'' should read `split day code...`"),
        ("train 2015-11-31", "'2015-11-31' is not a day: write it as YYYY-MM-DD"),
        ("train 20151125", "'20151125' is not a day"),
        ("train 2015-11-25T00:00:00Z", "'2015-11-25T00:00:00Z' is not a day"),
        ("train 2015-11-25 7", "'7' is no label code; they are 0 to 6"),
        ("train 2015-11-25 2,3", "'2,3' is no label code"),
        ("train 2015-11-25 -1", "'-1' is no label code"),
        ("val 2015-11-24 2", "2015-11-24 is there twice"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "layer.txt"
    path.write_text(f"train 2015-11-24\n{line}\ntest 2015-11-26\n", "utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}, line 2: {message}')}"):
        read_splits(path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "layer.txt"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"layer\.txt is not a split file: 'utf-8' codec"):
        read_splits(path)


def test_nothing_wrong_is_written(tmp_path: Path) -> None:
    path = tmp_path / "layer.txt"
    row = SplitDay(date(2015, 11, 24), Split.TRAIN, ())
    with pytest.raises(ValueError, match="line 2: 2015-11-24 is there twice"):
        write_splits(path, [row, row])
    assert not path.exists()


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL.name} is not here; HEPH_REAL_DATA names its folder")
def test_the_split_of_the_paper_is_read_and_written_unchanged(tmp_path: Path) -> None:
    rows = read_splits(REAL)
    assert Counter(row.split for row in rows) == {Split.TRAIN: 567, Split.VAL: 189, Split.TEST: 190}
    assert Counter(code for row in rows for code in row.codes) == {1: 14, 2: 93, 3: 53, 4: 1, 5: 4, 6: 2}
    assert sum(not row.codes for row in rows) == 815
    assert (rows[0].day, rows[-1].day, len(rows)) == (date(2015, 11, 24), date(2018, 6, 26), 946)
    write_splits(tmp_path / "again.txt", rows)
    assert (tmp_path / "again.txt").read_bytes() == REAL.read_bytes()
