"""Hand labels: stored, imported, and what is wrong with them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.hand_labels import (
    HandLabelsError,
    Imported,
    hand_labels_path,
    import_labels,
    label_day,
    read_hand_labels,
)
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, read_splits
from heph_dagster.gibs.catalogue import Layer
from heph_dagster_tests.anomalies.test_splits import REAL
from heph_dagster_tests.conftest import EPSG

DAY = date(2020, 9, 25)


def stored(root: Path, layer: Layer) -> dict[date, tuple[tuple[int, ...], str | None, str]]:
    labels = read_hand_labels(hand_labels_path(root, EPSG, layer))
    return {day: (label.codes, label.split, label.origin) for day, label in labels.items()}


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_label_is_stored_and_replaced(tmp_path: Path, viirs: Layer) -> None:
    before = datetime.now(UTC)
    label_day(tmp_path, viirs, EPSG, DAY, [Label.MISSING_UNEXPECTED, Label.MISCOLOURED])
    label_day(tmp_path, viirs, EPSG, DAY - timedelta(days=1), [Label.NORMAL])
    label_day(tmp_path, viirs, EPSG, DAY, [Label.EDGE_WARPED])
    assert list(stored(tmp_path, viirs).items()) == [
        (date(2020, 9, 24), ((0,), None, "heph label")),
        (DAY, ((4,), None, "heph label")),
    ]
    label = read_hand_labels(hand_labels_path(tmp_path, EPSG, viirs))[DAY]
    assert timedelta(milliseconds=-1) <= label.labelled_at - before < timedelta(minutes=5)


def test_labels_given_at_once_are_all_kept(tmp_path: Path, viirs: Layer) -> None:
    days = [DAY + timedelta(days=number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: label_day(tmp_path, viirs, EPSG, day, [Label.NORMAL]), days))
    assert list(stored(tmp_path, viirs)) == days


def test_a_text_file_is_taken_in(tmp_path: Path, viirs: Layer) -> None:
    source = write(tmp_path / "labels.txt", "train 2015-11-25 2 3\nval 2015-11-24 \ntest 2015-11-26 0\n")
    assert import_labels(tmp_path, viirs, EPSG, source) == Imported(3, 0, 0)
    assert stored(tmp_path, viirs) == {
        date(2015, 11, 24): ((), "val", "labels.txt"),
        date(2015, 11, 25): ((2, 3), "train", "labels.txt"),
        date(2015, 11, 26): ((0,), "test", "labels.txt"),
    }


def test_a_table_is_taken_in(tmp_path: Path, viirs: Layer) -> None:
    source = write(tmp_path / "labels.CSV", "\ufeffdate,codes\r\n2015-11-25,2 3\r\n2015-11-24,\r\n")
    assert import_labels(tmp_path, viirs, EPSG, source) == Imported(2, 0, 0)
    assert stored(tmp_path, viirs) == {
        date(2015, 11, 24): ((), None, "labels.CSV"),
        date(2015, 11, 25): ((2, 3), None, "labels.CSV"),
    }


def test_an_import_replaces_only_what_it_is_told_to(tmp_path: Path, viirs: Layer) -> None:
    label_day(tmp_path, viirs, EPSG, date(2015, 11, 25), [Label.MISCOLOURED, Label.MISSING_UNEXPECTED])
    import_labels(tmp_path, viirs, EPSG, write(tmp_path / "old.txt", "train 2015-11-24 2\nval 2015-11-25 2 3\n"))
    label_day(tmp_path, viirs, EPSG, date(2015, 11, 24), [Label.MISCOLOURED])
    new = write(tmp_path / "new.csv", "date,codes\n2015-11-24,2\n2015-11-25,2 3\n2015-11-26,4\n")
    before = stored(tmp_path, viirs)
    message = f"{new} contradicts hand labels of 1 days (2015-11-24): --replace takes those of the file"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        import_labels(tmp_path, viirs, EPSG, new)
    assert stored(tmp_path, viirs) == before
    assert import_labels(tmp_path, viirs, EPSG, new, replace=True) == Imported(1, 1, 1)
    assert stored(tmp_path, viirs) == {
        date(2015, 11, 24): ((2,), "train", "new.csv"),
        date(2015, 11, 25): ((3, 2), "val", "heph label"),
        date(2015, 11, 26): ((4,), None, "new.csv"),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "train 2015-11-25 2\ntrain 2015-11-26 9\n", "line 2: '9' is no label code; they are 0 to 6"),
        ("a.txt", "train 2015-11-25 2\nval 2015-11-25 3\n", "line 2: 2015-11-25 is there twice"),
        ("a.txt", "val 2015-11-25\nval 2015-11-23 3\n", "line 2: 2015-11-23 is before the first day of VIIRS"),
        ("a.txt", "val 2015-11-25 0 3\n", "line 1: 0 says that a day is normal: it cannot stand beside other codes"),
        ("a.txt", "val 2015-11-25 3 3\n", "line 1: a code is there twice"),
        ("a.csv", "date,codes\n2015-11-25,2\n2015-11-26,2;3\n", "line 3: '2;3' is no label code"),
        ("a.csv", "date,codes\n2015-11-25,2\n2015-11-25,3\n", "line 3: 2015-11-25 is there twice"),
        ("a.csv", "date,codes\n2015-11-23,2\n", "line 2: 2015-11-23 is before the first day of VIIRS"),
        ("a.csv", "date,codes\n25.11.2015,2\n", "line 2: '25.11.2015' is not a day"),
        ("a.csv", "date,codes\n2015-11-25,2,3\n", "line 2: '2015-11-25,2,3' should read `date,codes`"),
        ("a.csv", "day,codes\n2015-11-25,2\n", "line 1: 'day,codes' should read `date,codes`"),
        ("a.csv", 'date,codes\n2015-11-25,"2', "line 2: unexpected end of data"),
        ("a.csv", "", "line 1: '' should read `date,codes`"),
        ("a.csv", "date,codes\n", "has no labels"),
        ("a.txt", "", "has no labels"),
    ],
)
def test_a_wrong_file_changes_nothing(tmp_path: Path, viirs: Layer, name: str, text: str, message: str) -> None:
    source = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(source))},? {re.escape(message)}"):
        import_labels(tmp_path, viirs, EPSG, source)
    assert not hand_labels_path(tmp_path, EPSG, viirs).exists()


def test_a_table_that_is_no_text_is_named(tmp_path: Path, viirs: Layer) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(b"date,codes\n\xff\xd8\n")
    with pytest.raises(ValueError, match=r"a\.csv is not a CSV file in UTF-8: 'utf-8' codec"):
        import_labels(tmp_path, viirs, EPSG, source)


def test_a_day_or_projection_that_the_layer_lacks_is_refused(tmp_path: Path, viirs: Layer) -> None:
    ended = viirs.model_copy(update={"last_day": DAY})
    with pytest.raises(ValueError, match=r"^2020-09-26 is after the last day of VIIRS.*, 2020-09-25$"):
        label_day(tmp_path, ended, EPSG, DAY + timedelta(days=1), [Label.NORMAL])
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with pytest.raises(ValueError, match=f"^{tomorrow} has not come yet$"):
        label_day(tmp_path, viirs, EPSG, tomorrow, [Label.NORMAL])
    with pytest.raises(ValueError, match="is not available in EPSG:3857"):
        label_day(tmp_path, viirs, 3857, DAY, [Label.NORMAL])
    label_day(tmp_path, ended, EPSG, DAY, [Label.NORMAL])
    assert list(stored(tmp_path, ended)) == [DAY]


def test_a_damaged_file_is_named(tmp_path: Path, viirs: Layer) -> None:
    path = hand_labels_path(tmp_path, EPSG, viirs)
    label_day(tmp_path, viirs, EPSG, DAY, [Label.NORMAL])
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"version": "0"}), path)
    with pytest.raises(HandLabelsError, match="has schema version 0, and this program reads 1"):
        read_hand_labels(path)
    codes = pa.array([[9]], table["codes"].type)
    pq.write_table(table.set_column(1, "codes", codes), path)
    with pytest.raises(HandLabelsError, match="is of another program: 9 is not a valid Label; restore it"):
        read_hand_labels(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(HandLabelsError, match=r"hand_labels\.parquet is damaged: "):
        label_day(tmp_path, viirs, EPSG, DAY, [Label.NORMAL])
    assert path.read_bytes() == b"PAR1"


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL.name} is not here; HEPH_REAL_DATA names its folder")
def test_the_real_labels_are_taken_in_without_loss(tmp_path: Path, viirs: Layer) -> None:
    assert import_labels(tmp_path, viirs, EPSG, REAL) == Imported(946, 0, 0)
    labels = read_hand_labels(hand_labels_path(tmp_path, EPSG, viirs))
    assert [(day, label.split, label.codes) for day, label in labels.items()] == sorted(read_splits(REAL))
    assert Split.VAL in {label.split for label in labels.values()}
    assert import_labels(tmp_path, viirs, EPSG, REAL) == Imported(0, 0, 946)
