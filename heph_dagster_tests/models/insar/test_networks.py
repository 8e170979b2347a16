"""Networks, losses and what is told of them, on numbers that are known."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heph_dagster.models.errors import TrainingError
from heph_dagster.models.insar.data import CLASSES, OUTPUTS
from heph_dagster.models.insar.evaluation import (
    best_mask_threshold,
    evaluate_outputs,
    evaluate_segments,
    thresholds,
    told_apart,
)
from heph_dagster.models.insar.moco import contrast, follow
from heph_dagster.models.insar.modules import LEVELS, mask_counts, type_loss
from heph_dagster.models.insar.networks import CellClassifier, Encoder, Segmenter, smooth_maximum
from heph_dagster.models.insar.predictors import ClassifierPredictor, EncoderPredictor, SegmenterPredictor
from heph_dagster.models.insar.scoring import called
from heph_dagster.models.mask_metrics import confusions
from heph_dagster.models.serving import load_predictor, save_predictor

SETTINGS = {
    ClassifierPredictor: {"backbone": "test_resnet", "stride": 8, "input_size": 32},
    EncoderPredictor: {"backbone": "test_resnet", "stride": 4, "input_size": 32},
    SegmenterPredictor: {"learner": "unet", "encoder": "tu-test_resnet", "depth": 3, "width": 4, "input_size": 32},
}


def pixels(count: int = 3, size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 4), np.uint8)


def test_a_crop_shows_nearly_what_its_likeliest_cell_does() -> None:
    cells = torch.full((1, 2, 4, 4), -8.0)
    cells[0, 1, 2, 3] = 6.0
    told = smooth_maximum(cells)
    assert told[0, 0].item() == pytest.approx(-8)
    assert told[0, 1].item() == pytest.approx(6 - log(16) / 4, abs=1e-4)


def test_cells_are_as_wide_as_asked_for() -> None:
    for stride in (4, 8):
        cells = CellClassifier(Encoder("test_resnet", stride), 10).cells(torch.zeros(1, 4, 32, 32))
        assert cells.shape == (1, 10, 32 // stride, 32 // stride)


@pytest.mark.parametrize(("learner", "encoder"), [("unet", "tu-test_resnet"), ("deeplabv3plus", "resnet18")])
def test_segmenters_take_crops_of_any_size(learner: str, encoder: str) -> None:
    network = Segmenter(learner, encoder, depth=3, width=4, classes=7).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 37, 50)).shape == (1, 7, 37, 50)


def test_what_cannot_be_a_network_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing is no backbone of timm"):
        Encoder("nothing", 8)
    with pytest.raises(TrainingError, match="test_resnet has cells of 2 px and more: raise stride from 1"):
        Encoder("test_resnet", 1)
    with pytest.raises(TrainingError, match="nothing is no encoder of Unet"):
        Segmenter("unet", "nothing", depth=3, width=4, classes=7)


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_a_predictor_is_read_as_it_was_written(kind, tmp_path: Path) -> None:
    torch.manual_seed(0)
    predictor = kind(kind.build(SETTINGS[kind]), SETTINGS[kind])
    save_predictor(predictor, tmp_path)
    again = load_predictor(tmp_path)
    assert type(again) is kind
    assert again.settings == predictor.settings
    np.testing.assert_array_equal(again.predict(pixels()), predictor.predict(pixels()))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_predictors_tell_probabilities() -> None:
    torch.manual_seed(0)
    shapes = {ClassifierPredictor: (3, len(OUTPUTS)), SegmenterPredictor: (3, len(CLASSES), 40, 40)}
    for kind, shape in shapes.items():
        found = kind(kind.build(SETTINGS[kind]), SETTINGS[kind]).predict(pixels())
        assert (found.shape, found.dtype) == (shape, np.float32)
        assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8, 3), np.uint8), np.zeros((8, 8, 4), np.uint8), pixels() / 255])
def test_what_is_no_crop_is_refused(wrong: np.ndarray) -> None:
    predictor = ClassifierPredictor(nn.Identity(), SETTINGS[ClassifierPredictor])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="crops are N x S x S x 4 of uint8, not"):
        predictor.predict(wrong)


def test_types_are_told_among_deformed_pixels_only() -> None:
    logits = torch.zeros(1, 7, 2, 2)
    mask = torch.tensor([[[0, 0], [0, 3]]])
    assert type_loss(logits, mask).item() == pytest.approx(log(6))
    logits[0, 0] = 50  # nothing deforms, say the logits: which is no matter here
    assert type_loss(logits, mask).item() == pytest.approx(log(6))
    logits[0, 3, 1, 1] = 50
    assert type_loss(logits, mask).item() == pytest.approx(0)
    assert type_loss(logits, torch.zeros_like(mask)).item() == 0


def test_pixels_are_counted_by_truth_and_probability() -> None:
    counts = mask_counts(torch.tensor([[[0, 2], [5, 0]]]), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]))
    assert counts.sum() == 4
    assert [counts[0, 0], counts[0, LEVELS // 2], counts[1, LEVELS // 2], counts[1, -1]] == [1, 1, 1, 1]


def test_the_threshold_of_masks_is_that_of_the_highest_overlap() -> None:
    counts = np.array([[90, 6, 2, 0], [1, 1, 5, 3]])
    assert best_mask_threshold(counts) == (0.5, pytest.approx(8 / 12))


def test_a_pixel_has_the_likeliest_type_where_it_deforms() -> None:
    found = np.full((1, 7, 1, 2), 0.05)
    found[0, 0, 0] = 0.6, 0.1
    found[0, 4, 0] = 0.2
    assert called(found, 0.5).tolist() == [[[0, 4]]]
    assert called(found, 0.3).tolist() == [[[4, 4]]]


def test_the_loss_of_moco_is_that_of_the_own_key_among_others() -> None:
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    queue = torch.cat((other, -other))
    assert contrast(one, one, queue, 0.5).item() == pytest.approx(log(np.exp(2) + 2) - 2)
    assert contrast(one, other, one.repeat(3, 1), 0.5).item() == pytest.approx(log(1 + 3 * np.exp(2)))


def test_what_makes_keys_follows_weights_and_statistics() -> None:
    ahead, behind = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        ahead.weight.fill_(3.0)
        ahead.running_mean.fill_(8.0)
        ahead.num_batches_tracked.fill_(4)
    follow(behind, ahead, 0.75)
    assert behind.weight.item() == pytest.approx(1.5)
    assert behind.running_mean.item() == pytest.approx(2)
    assert behind.num_batches_tracked.item() == 4


def test_outputs_of_one_kind_have_no_figures() -> None:
    truth = np.zeros((6, len(OUTPUTS)), bool)
    truth[:3, 0] = truth[:1, 3] = True
    truth[:, 7] = True
    scores = np.tile(np.linspace(0.9, 0.4, 6)[:, None], len(OUTPUTS))
    assert told_apart(truth).nonzero()[0].tolist() == [0, 3]
    at = thresholds(truth, scores)
    assert at[[0, 3, 1]] == pytest.approx([0.65, 0.85, 0.5])
    found = evaluate_outputs(truth, scores, at)
    assert {name.rpartition("_roc_auc")[0] for name in found if name.endswith("_roc_auc")} == {
        "deformation", "sill", "mean",
    }  # fmt: skip
    assert found["deformation_f1"].value == found["sill_roc_auc"].value == found["mean_roc_auc"].value == 1


def test_overlap_is_told_by_type_and_of_what_deforms_at_all() -> None:
    truth, told = np.zeros((2, 1, 4), np.uint8), np.zeros((2, 1, 4), np.uint8)
    truth[0, 0] = 1, 1, 3, 0
    told[0, 0] = 1, 3, 3, 3
    found = evaluate_segments(confusions(truth, told, len(CLASSES)))
    assert found["iou_deformation"].value == pytest.approx(3 / 4)
    assert found["dice_deformation"].value == pytest.approx(6 / 7)
    assert (found["iou_mogi"].value, found["iou_sill"].value) == pytest.approx((1 / 2, 1 / 3))
    assert found["iou_mean"].value == pytest.approx(5 / 12)
    assert not any("dyke" in name for name in found)
