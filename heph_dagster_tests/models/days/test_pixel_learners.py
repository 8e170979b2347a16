"""Learners of pixels, what they leave, and how days are changed for them."""

from __future__ import annotations

import hashlib
import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.splits import Split
from heph_dagster.models.days import patches
from heph_dagster.models.days.classical import ForestParameters, train_random_forest
from heph_dagster.models.days.data import DayData, MaskData, MaskPart, Part, Task
from heph_dagster.models.days.image_learners import (
    facts_of_densenet121,
    train_cnn,
    train_densenet121,
    train_nearest_neighbours,
)
from heph_dagster.models.days.mask_learners import train_pixel_cnn, train_pixel_forest
from heph_dagster.models.days.parameters import (
    CnnParameters,
    DensenetParameters,
    NeighboursParameters,
    PixelCnnParameters,
    PixelForestParameters,
)
from heph_dagster.models.days.pixels import Masks, Pixels
from heph_dagster.models.days.predictors import LargestPlaces
from heph_dagster.models.errors import SkippedError, TrainingError
from heph_dagster.models.loop import Loop
from heph_dagster.models.serving import Predictor, load_predictor, save_predictor

SIZE = (64, 32)
FIRST = date(2024, 1, 1)
LOOP = {"width": 64, "epochs": 4, "batch_size": 4, "accelerator": "cpu"}
COUNTS = {Split.TRAIN: 16, Split.VAL: 8, Split.TEST: 8}


def painted(count: int, seed: int) -> tuple[Pixels, Masks]:
    """Days of bright noise with a dark night; a third has a hole, another a magenta patch."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 220, (count, 32, 64, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:, -6:] = 0
    masks = np.zeros(pixels.shape[:3], np.uint8)
    for number in range(count):
        row, column = int(rng.integers(0, 20)), int(rng.integers(0, 50))
        place = (number, slice(row, row + 6), slice(column, column + 12))
        if number % 3:
            pixels[place] = (0, 0, 0, 255) if number % 3 == 1 else (255, 0, 255, 255)
            masks[place] = number % 3
    return pixels, masks


@pytest.fixture(scope="module")
def masks() -> MaskData:
    parts = {}
    for seed, (split, count) in enumerate(COUNTS.items()):
        days = tuple(FIRST + timedelta(days=100 * seed + number) for number in range(count))
        parts[split] = MaskPart(days, *painted(count, seed))
    return MaskData(parts, {"hand": 32}, {}, "x")


@pytest.fixture(scope="module")
def days(masks: MaskData) -> DayData:
    parts = {
        split: Part(part.days, part.pixels, (part.masks == 2).any(axis=(1, 2))) for split, part in masks.parts.items()
    }
    return DayData(Task.MISCOLORATION, parts, {"hand": 32}, {}, "x", eclipse_is_missing=False)


def reloaded(model: Predictor, folder: Path) -> Predictor:
    save_predictor(model, folder)
    return load_predictor(folder)


@pytest.mark.slow
def test_the_cnn_learns_and_is_the_same_again(days: DayData, tmp_path: Path) -> None:
    parameters = CnnParameters(**LOOP | {"epochs": 8})
    first, second = (train_cnn(days, parameters, 3) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.metrics[Split.VAL]["roc_auc"].value > 0.9
    assert first.metrics[Split.TRAIN]["roc_auc"].value > 0.75
    assert sorted(first.curves) == ["train_loss", "val_roc_auc"]
    assert max(first.curves["val_roc_auc"]) == pytest.approx(first.metrics[Split.VAL]["roc_auc"].value, abs=1e-6)
    part = days.parts[Split.TEST]
    told = reloaded(first.model, tmp_path).predict(part.inputs)
    assert told.shape == (8, 2)
    np.testing.assert_array_equal(told[:, 1], first.scores[Split.TEST])
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("options", [{"pad": True}, {"grey": True}, {"width": 80}])
def test_the_cnn_takes_any_size(days: DayData, options: dict) -> None:
    parameters = CnnParameters(**LOOP | {"epochs": 1} | options)
    width, height = parameters.size
    parts = {
        split: Part(part.days, np.resize(part.inputs, (len(part.days), height, width, 4)), part.truth)
        for split, part in days.parts.items()
    }
    made = train_cnn(DayData(days.task, parts, {}, {}, "x", eclipse_is_missing=False), parameters, 0)
    assert np.isfinite(made.scores[Split.TEST]).all()


def test_a_wild_rate_is_an_error(days: DayData) -> None:
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train_cnn(days, CnnParameters(**LOOP | {"learning_rate": 1e30}), 0)


@pytest.mark.slow
def test_densenet_retrains_its_last_layer_where_there_are_weights(days: DayData, tmp_path: Path) -> None:
    import torch
    from torchvision.models import densenet121

    file = tmp_path / "weights.pth"
    torch.manual_seed(5)
    before = densenet121().state_dict()
    dotted = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): each for name, each in before.items()}
    torch.save(dotted, file)
    parameters = DensenetParameters(**LOOP | {"epochs": 1}, weights=str(file), without_weights="skip")
    assert facts_of_densenet121(parameters) == {"imagenet": hashlib.sha256(file.read_bytes()).hexdigest()}
    made = train_densenet121(days, parameters, 0)
    after = made.model.module.network.state_dict()  # type: ignore[union-attr]
    changed = {name for name, each in after.items() if name not in before or not torch.equal(each, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    all_layers = train_densenet121(days, DensenetParameters(**LOOP | {"epochs": 1}), 0)
    assert all_layers.model.module.network.features.conv0.weight.requires_grad  # type: ignore[union-attr]
    told = reloaded(made.model, tmp_path / "saved").predict(days.parts[Split.TEST].inputs)
    np.testing.assert_array_equal(told[:, 1], made.scores[Split.TEST])


def test_without_weights_densenet_is_skipped_if_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert facts_of_densenet121(DensenetParameters()) == {"imagenet": "none"}
    with pytest.raises(SkippedError, match="no weights of ImageNet for DenseNet-121, which is skipped: download them"):
        facts_of_densenet121(DensenetParameters(without_weights="skip"))
    with pytest.raises(TrainingError, match=r"absent\.pth holds no weights of DenseNet-121: .*No such file"):
        facts_of_densenet121(DensenetParameters(weights=str(tmp_path / "absent.pth")))


def test_a_file_of_other_weights_is_an_error_that_names_it(days: DayData, tmp_path: Path) -> None:
    import torch

    file = tmp_path / "weights.pth"
    parameters = DensenetParameters(**LOOP, weights=str(file))
    for held in (b"", b"no weights", {"layer.weight": torch.zeros(2)}, [1, 2], {"layer.weight": date}):
        if isinstance(held, bytes):
            file.write_bytes(held)
        else:
            torch.save(held, file)
        with pytest.raises(TrainingError, match=r"weights\.pth holds no weights of DenseNet-121"):
            train_densenet121(days, parameters, 0)


def test_neighbours_are_the_days_most_alike(days: DayData, tmp_path: Path) -> None:
    made = train_nearest_neighbours(days, NeighboursParameters(neighbours=3), 0)
    part = days.parts[Split.TRAIN]
    np.testing.assert_allclose(made.scores[Split.TRAIN], part.truth, atol=1e-6)  # each is its own neighbour
    flat = {split: each.inputs.reshape(len(each.days), -1) / 255 for split, each in days.parts.items()}
    apart = np.linalg.norm(flat[Split.TEST][:, None] - flat[Split.TRAIN][None], axis=2)
    nearest = np.argsort(apart, axis=1)[:, :3]
    weights = 1 / np.take_along_axis(apart, nearest, axis=1)
    expected = (weights * part.truth[nearest]).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(made.scores[Split.TEST], expected, rtol=1e-4)
    told = reloaded(made.model, tmp_path).predict(days.parts[Split.TEST].inputs)
    np.testing.assert_array_equal(told[:, 1], made.scores[Split.TEST])


def test_learners_by_trees_and_neighbours_are_the_same_again(days: DayData) -> None:
    flat = {
        split: Part(part.days, part.inputs.reshape(len(part.days), -1)[:, ::64].astype(np.float32), part.truth)
        for split, part in days.parts.items()
    }
    features = DayData(days.task, flat, {}, {}, "x", eclipse_is_missing=False)
    for train, data, parameters in (
        (train_random_forest, features, ForestParameters(trees=40)),
        (train_nearest_neighbours, days, NeighboursParameters()),
    ):
        first, second = (train(data, parameters, 3) for _ in range(2))  # type: ignore[operator]
        for split in Split:
            np.testing.assert_array_equal(first.scores[split], second.scores[split])


def test_features_of_a_pixel_are_of_it_and_of_what_is_around() -> None:
    pixels = np.zeros((12, 24, 4), np.uint8)
    pixels[5, 0] = (90, 30, 60, 200)
    found = dict(zip(patches.FEATURES, patches.features(pixels).transpose(2, 0, 1), strict=True))
    assert [found[name][5, 0] for name in patches.FEATURES[:6]] == [90, 30, 60, 200, 90, 60]
    assert found["near brightest"][4:7, 23].tolist() == [90, 90, 90]  # across the antimeridian
    assert found["near brightest"][:, 22].max() == 0
    assert found["near brightness"][5, 1] == pytest.approx(10)
    assert found["near light"][6, 23] == pytest.approx(200 / 9, rel=1e-6)
    assert found["far saturation"][5, 4] == pytest.approx(60 / 81, rel=1e-6)
    assert found["far roughness"][5, 4] == pytest.approx(np.std([90] + [0] * 80), rel=1e-4)
    assert found["near darkest"].max() == 0


def overlap(model: Predictor, part: MaskPart) -> float:
    told = model.predict(part.pixels).argmax(axis=1)
    return float(((told == part.masks) & (part.masks > 0)).sum() / ((told > 0) | (part.masks > 0)).sum())


def test_a_forest_finds_holes_and_patches(masks: MaskData, tmp_path: Path) -> None:
    parameters = PixelForestParameters(width=64, trees=10, depth=8, valid=100, anomalous=40)
    first, second = (train_pixel_forest(masks, parameters, 1) for _ in range(2))
    part = masks.parts[Split.TEST]
    assert overlap(first.model, part) > 0.8
    told = first.model.predict(part.pixels)
    assert told.shape == (8, 3, 32, 64)
    forest = first.model.forest  # type: ignore[attr-defined]
    in_order = np.mean(
        [tree.predict_proba(patches.features(part.pixels[0]).reshape(32 * 64, -1)) for tree in forest], 0
    )
    np.testing.assert_allclose(told[0].reshape(3, -1).T, in_order, rtol=1e-6)
    assert forest.n_jobs is None
    np.testing.assert_array_equal(second.model.predict(part.pixels), told)
    np.testing.assert_array_equal(reloaded(first.model, tmp_path).predict(part.pixels), told)
    with warnings.catch_warnings(record=True) as warned:
        warnings.resetwarnings()  # as some libraries leave them
        first.model.predict(part.pixels[:1])
    assert not warned
    assert first.importances is not None
    assert len(first.importances) == len(patches.FEATURES)


@pytest.mark.slow
def test_a_network_finds_holes_and_patches(masks: MaskData, tmp_path: Path) -> None:
    parameters = PixelCnnParameters(**LOOP | {"epochs": 30}, channels=8, crop=32, learning_rate=1e-2)
    first, second = (train_pixel_cnn(masks, parameters, 1) for _ in range(2))
    part = masks.parts[Split.TEST]
    assert overlap(first.model, part) > 0.6
    told = first.model.predict(part.pixels)
    np.testing.assert_array_equal(second.model.predict(part.pixels), told)
    np.testing.assert_array_equal(reloaded(first.model, tmp_path).predict(part.pixels), told)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    # A day may begin at any longitude.
    turned = first.model.predict(np.roll(part.pixels, 20, axis=2))
    np.testing.assert_allclose(turned, np.roll(told, 20, axis=3), atol=0.05)
    places = LargestPlaces(first.model, 1)
    scores = reloaded(places, tmp_path / "places").predict(part.pixels)
    np.testing.assert_array_equal(scores, places.predict(part.pixels))
    holes = (part.masks == 1).any(axis=(1, 2))
    assert scores[holes, 1].min() > scores[~holes, 1].max()


def test_other_inputs_are_refused(masks: MaskData) -> None:
    model = train_pixel_forest(masks, PixelForestParameters(width=64, trees=1, depth=2), 0).model
    with pytest.raises(ValueError, match=r"days x height x width x 4 of uint8, not \(2, 8, 16, 3\) of uint8"):
        model.predict(np.zeros((2, 8, 16, 3), np.uint8))


def test_days_are_changed_by_seed_epoch_and_day_alone(masks: MaskData) -> None:
    from heph_dagster.models.days.lessons import Lessons

    part = masks.parts[Split.TRAIN]
    lessons = Lessons(part.days, part.pixels, part.masks, seed=1)
    turned = Lessons(part.days[::-1], part.pixels[::-1], part.masks[::-1], seed=1)
    for number in (0, 5):
        pixels, mask, _ = lessons[number]
        again, mask_again, _ = turned[len(part.days) - 1 - number]
        np.testing.assert_array_equal(pixels, again)
        np.testing.assert_array_equal(mask, mask_again)
        # The mask goes with its pixels, and nothing is lost.
        assert (mask.numpy() == 0).sum() == (part.masks[number] == 0).sum()
        np.testing.assert_array_equal((pixels.numpy()[..., :3] == (255, 0, 255)).all(axis=2), mask.numpy() == 2)
    before = lessons[0][0].numpy()
    lessons.epoch = 1
    assert (before != lessons[0][0].numpy()).any()
    np.testing.assert_array_equal(Lessons(part.days, part.pixels, part.masks, seed=None)[0][0], part.pixels[0])


def test_pieces_show_what_is_wrong_more_often_than_chance_would(masks: MaskData) -> None:
    from heph_dagster.models.days.lessons import Lessons

    part = masks.parts[Split.TRAIN]
    lessons = Lessons(part.days, part.pixels, part.masks, seed=1, crop=8)
    shown = []
    for lessons.epoch in range(20):
        pixels, mask, _ = lessons[1]
        assert pixels.shape == (8, 16, 4)
        shown.append(bool((mask == 1).any()))
    assert np.mean(shown) > 0.5


def test_days_that_devices_fill_up_with_count_once(masks: MaskData, days: DayData) -> None:
    from torch.utils.data import DataLoader, Subset

    from heph_dagster.models.days.lessons import DayLesson, Lessons, MaskLesson
    from heph_dagster.models.days.networks import PixelCnn, VanillaCnn
    from heph_dagster.models.fitting import fit, seeded

    part = masks.parts[Split.VAL]
    truth = days.parts[Split.VAL].truth
    for name, target in (("val_iou_mean", part.masks), ("val_roc_auc", truth)):
        lessons = Lessons(part.days, part.pixels, target, seed=None)
        found = []
        for shown in ([*range(8)], [*range(8), *[3] * 8, *[5] * 8]):
            with seeded(4):
                lesson = (
                    MaskLesson(PixelCnn(2), learning_rate=0.0)
                    if name == "val_iou_mean"
                    else DayLesson(VanillaCnn(SIZE, pad=False, grey=False, hidden=4), positives=0.5, learning_rate=0.0)
                )
            batches = DataLoader(Subset(lessons, shown), 3)
            went = fit(lesson, DataLoader(lessons, 4), batches, Loop(1, "cpu"), seed=0, monitor=name)
            found.append(went.curves[name])
        assert found[0] == found[1]
