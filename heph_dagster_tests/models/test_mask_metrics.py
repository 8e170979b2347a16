"""Overlap of masks, with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from heph_dagster.models.mask_metrics import confusions, evaluate_masks, iou


def test_pixels_are_counted_by_item_and_class() -> None:
    truth = np.array([[[0, 0, 1, 2]], [[2, 2, 255, 1]]], np.uint8)
    told = np.array([[[0, 1, 1, 0]], [[2, 0, 9, 1]]], np.uint8)  # 9 stands where nothing is judged
    assert confusions(truth, told, 3).tolist() == [
        [[1, 1, 0], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [1, 0, 1]],
    ]


def test_overlap_is_that_of_all_pixels_together() -> None:
    truth = np.array([[[0, 0, 1, 2]], [[2, 2, 255, 1]]], np.uint8)
    told = np.array([[[0, 1, 1, 0]], [[2, 0, 9, 1]]], np.uint8)
    found = evaluate_masks(confusions(truth, told, 3), ["", "missing", "miscoloured"])
    assert sorted(found) == ["dice_miscoloured", "dice_missing", "iou_mean", "iou_miscoloured", "iou_missing"]
    assert found["iou_missing"].value == pytest.approx(2 / 3)
    assert found["dice_missing"].value == pytest.approx(4 / 5)
    assert found["iou_miscoloured"].value == pytest.approx(1 / 3)
    assert found["dice_miscoloured"].value == pytest.approx(2 / 4)
    assert found["iou_mean"].value == pytest.approx(1 / 2)


def test_overlap_of_one_matrix_is_that_of_its_item() -> None:
    counts = np.array([[5, 1, 0], [0, 3, 0], [0, 0, 0]])
    np.testing.assert_allclose(iou(counts), [5 / 6, 3 / 4, np.nan])


def test_interval_is_that_of_resampled_items() -> None:
    # Two kinds of items, found and not found: IoU of a resample is the share of items found.
    truth = np.ones((400, 1, 1), np.uint8)
    told = np.repeat(np.array([1, 0], np.uint8), [300, 100])[:, None, None]
    found = evaluate_masks(confusions(truth, told, 2), ["", "hole"], seed=1)["iou_hole"]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - half, abs=0.01)
    assert found.high == pytest.approx(0.75 + half, abs=0.01)


def test_a_class_that_is_nowhere_has_no_overlap() -> None:
    none = np.zeros((3, 2, 2), np.uint8)
    found = evaluate_masks(confusions(none, none, 2), ["", "hole"])
    assert np.isnan(list(found["iou_hole"])).all()


def test_same_seed_same_intervals() -> None:
    rng = np.random.default_rng(0)
    truth, told = rng.integers(0, 3, (2, 20, 4, 4), dtype=np.uint8)
    counts = confusions(truth, told, 3)
    names = ["valid", "missing", "miscoloured"]
    assert evaluate_masks(counts, names, seed=3) == evaluate_masks(counts, names, seed=3)
    assert evaluate_masks(counts, names, seed=3) != evaluate_masks(counts, names, seed=4)


def test_what_does_not_fit_is_refused() -> None:
    mask = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError, match=r"masks must be N x H x W and alike, not \(2, 3, 3\) and \(1, 3, 3\)"):
        confusions(mask, mask[:1], 2)
    with pytest.raises(ValueError, match="item 0 is predicted to have class 2, but there are 2 classes"):
        confusions(mask, mask + 2, 2)
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        evaluate_masks(confusions(mask, mask, 2), ["hole"])
    with pytest.raises(ValueError, match="there are no masks to judge"):
        evaluate_masks(np.zeros((0, 2, 2), np.int64), ["", "hole"])
