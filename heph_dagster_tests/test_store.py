"""Values in a JSON file that several processes change."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from heph_dagster.store import Store


def _count(path: Path, times: int) -> None:
    for _ in range(times):
        with Store(path, "a count", int).changing() as values:
            values["n"] = values.get("n", 0) + 1


def test_no_change_of_another_process_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(tmp_path / "new" / "a.json", 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert json.loads((tmp_path / "new" / "a.json").read_text("utf-8")) == {"schema": 1, "n": 60}


def test_a_file_without_version_is_read_and_one_of_a_later_version_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.json", "a count", int)
    assert store.read() == {}
    store.path.write_text('{"n": 3}', "utf-8")
    assert store.read() == {"n": 3}
    store.path.write_text('{"schema": 2, "n": 3}', "utf-8")
    with pytest.raises(ValueError, match=r"a\.json has the layout of version 2, not 1"), store.changing() as values:
        values["n"] = 4
    assert "3" in store.path.read_text("utf-8")


def test_a_change_that_fails_is_none(tmp_path: Path) -> None:
    _count(tmp_path / "a.json", 1)
    store = Store(tmp_path / "a.json", "a count", int)
    with pytest.raises(ZeroDivisionError), store.changing() as values:
        values["n"] = 1 // 0
    assert store.read() == {"n": 1}
