from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.hephaestus.frame_masks import frames_with_masks, make_frame_masks, read_frame_masks
from heph_dagster_tests.hephaestus.archives import ETNA, REUNION, make_archive


def test_masks_of_a_frame_are_images_and_rows(tmp_path: Path) -> None:
    folder = make_archive(tmp_path)
    made = make_frame_masks(folder, folder / "raw", ETNA)
    assert [(row.unique_id, row.index, row.activity, row.area, row.shown, row.inside) for row in made.rows] == [
        (2, 0, 1, 31 * 41, 31 * 41, True),
        (2, 1, 5, 496, 496, True),
        (4, 0, 1, 31 * 41, 31 * 41, True),
        (4, 1, 5, 0, 0, False),
    ]
    assert [(row.x, row.y, row.columns, row.rows) for row in made.rows] == [
        (10, 20, 31, 41), (100, 100, 31, 31), (10, 20, 31, 41), (None, None, 0, 0),
    ]  # fmt: skip
    assert [(each.unique_id, each.index) for each in made.rejects] == [(3, None)]
    mask = cv2.imread(str(folder / "masks" / ETNA / made.rows[0].file), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (230, 260)
    assert (mask[20:61, 10:41] == 1).all()
    assert np.bincount(mask.ravel()).tolist() == [230 * 260 - 31 * 41 - 496, 31 * 41, 0, 0, 0, 496]
    assert read_frame_masks(folder, ETNA) == made
    assert frames_with_masks(folder) == [ETNA]


def test_masks_that_are_no_longer_asked_for_go(tmp_path: Path) -> None:
    folder = make_archive(tmp_path)
    make_frame_masks(folder, folder / "raw", REUNION)
    old = folder / "masks" / REUNION / "20000101_20000113.77.png"
    old.write_bytes(b"")
    make_frame_masks(folder, folder / "raw", REUNION)
    assert [path.name for path in old.parent.glob("*.png")] == ["20181105_20181204.5.png"]


def test_masks_of_what_is_no_frame_touch_nothing(tmp_path: Path) -> None:
    folder = make_archive(tmp_path)
    other = folder / "pictures" / "1.png"
    other.parent.mkdir()
    other.write_bytes(b"")
    with pytest.raises(ValueError, match=r"'\.\./pictures' is not a frame ID"):
        make_frame_masks(folder, folder / "raw", "../pictures")
    assert list(other.parent.iterdir()) == [other]


def test_masks_that_were_not_made_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"make the masks of {ETNA} first"):
        read_frame_masks(tmp_path, ETNA)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    folder = make_archive(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: make_frame_masks(folder, folder / "raw", ETNA), range(24)))
    assert all(run == runs[0] for run in runs)
    assert read_frame_masks(folder, ETNA) == runs[0]
