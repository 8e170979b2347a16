"""Masks that people painted, and the truth of synthetic days as such."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.hand_labels import hand_labels_path, label_day, read_hand_labels
from heph_dagster.anomalies.hand_masks import hand_mask_path, read_hand_mask, write_hand_mask
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.synthetic_truth import take_truth
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.prune import old_days, remove_day
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic import render_day
from heph_dagster.gibs.synthetic.anomalies import Kind
from heph_dagster.gibs.synthetic.archive import truth_paths, write_truth
from heph_dagster.gibs.verify import check_days, stored_days
from heph_dagster_tests.conftest import EPSG, VIIRS

DAY = date(2024, 4, 8)
KINDS = (Kind.MISSING_GRANULE, Kind.MAGENTA, Kind.EDGE_COPY)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, viirs: Layer) -> Path:
    """A day with a hole, a patch, a doubled edge and an eclipse."""
    root = tmp_path_factory.mktemp("truth")
    scene = render_day(VIIRS, DAY, seed=4, level=0, kinds=KINDS)
    write_truth(write_day(root, viirs, EPSG, DAY, scene.image), scene)
    return root


def test_a_mask_is_read_as_it_was_written(tmp_path: Path, viirs: Layer) -> None:
    path = hand_mask_path(tmp_path, EPSG, viirs, DAY)
    assert path == tmp_path / "4326/2024-04-08" / f"{VIIRS}.hand_mask.png"
    classes = np.array([[0, 1, 2], [255, 0, 1]], np.uint8)
    write_hand_mask(path, classes)
    np.testing.assert_array_equal(read_hand_mask(path), classes)


def test_other_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with pytest.raises(ValueError, match=r"mask\.png has the class 3: classes are 0 valid, 1 missing, 2 mis"):
        write_hand_mask(path, np.full((2, 2), 3, np.uint8))
    with pytest.raises(ValueError, match="should have one band of class numbers, not 3"):
        write_hand_mask(path, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"mask\.png is not there"):
        read_hand_mask(path)


def test_the_truth_becomes_labels_and_masks(archive: Path, viirs: Layer) -> None:
    label_day(archive, viirs, EPSG, DAY, [Label.NORMAL])
    assert take_truth(archive, viirs, EPSG) == [DAY]
    label = read_hand_labels(hand_labels_path(archive, EPSG, viirs))[DAY]
    assert label.codes == (2, 3, 4, 5)
    assert label.origin == "synthetic truth"
    scene = render_day(VIIRS, DAY, seed=4, level=0, kinds=KINDS)
    assert [anomaly.code for anomaly in scene.anomalies] == [2, 3, 4, 5]
    meaning = np.zeros(256, np.uint8)
    meaning[[1, 2, 254, 255]] = 1, 2, 255, 255
    np.testing.assert_array_equal(read_hand_mask(hand_mask_path(archive, EPSG, viirs, DAY)), meaning[scene.truth])


def test_neither_truth_nor_mask_upset_checks_and_go_with_no_image(archive: Path, viirs: Layer) -> None:
    take_truth(archive, viirs, EPSG)
    (checked,) = check_days(stored_days(archive))
    assert checked.sound
    (old,) = old_days(archive, [viirs], [EPSG], date(2025, 1, 1))
    mask = hand_mask_path(archive, EPSG, viirs, DAY)
    kept = {mask, *truth_paths(old.mosaic)}
    assert not kept & set(old.files)
    remove_day(old)
    assert all(path.exists() for path in kept)
    assert read_pixels(mask).shape == (320, 640)


def test_without_truth_there_is_nothing_to_take(tmp_path: Path, viirs: Layer) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no synthetic days of VIIRS_.*: heph archive synthesize"):
        take_truth(tmp_path, viirs, EPSG)


def test_damaged_records_are_an_error(tmp_path: Path, viirs: Layer) -> None:
    path = tmp_path / f"4326/2024-04-08/{VIIRS}.truth.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"id": 1}]), "utf-8")
    with pytest.raises(ValueError, match=r"truth.json is damaged \(KeyError\('code'\)\): synthesize the day again"):
        take_truth(tmp_path, viirs, EPSG)
