"""Augmentations leave alone what they should, and follow from seed, epoch and name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from heph_dagster.hephaestus.loader import CropDataset
from heph_dagster.hephaestus.shards import PIXELS
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.insar.augmentation import Augmentation, AugmentedCrops, changed, shift_within, shifted
from heph_dagster.models.insar.data import load_crops

SIZE = 16


@pytest.fixture
def phase() -> torch.Tensor:
    return torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 6 - 3


def altered(phase: torch.Tensor, level: int = 200, **told: float) -> torch.Tensor:
    names = ("constant", "sign", "down", "right", "noise")
    change = torch.tensor([[told.get(name, float(name == "sign")) for name in names]] * len(phase))
    noise = torch.randint(0, 256, phase.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return changed(phase, torch.full(phase.shape, level, dtype=torch.uint8), change, noise)


def wrapped(phase: torch.Tensor) -> torch.Tensor:
    return torch.atan2(phase.sin(), phase.cos())


def test_without_a_change_the_phase_stays(phase: torch.Tensor) -> None:
    torch.testing.assert_close(altered(phase), phase)


def test_a_constant_leaves_differences_between_neighbours(phase: torch.Tensor) -> None:
    made = altered(phase, constant=2.5)
    assert (wrapped(made) - phase).abs().min() > 0.1
    torch.testing.assert_close(wrapped(made.diff(dim=-1)), wrapped(phase.diff(dim=-1)), atol=1e-5, rtol=0)


def test_a_sign_turns_differences_around(phase: torch.Tensor) -> None:
    torch.testing.assert_close(altered(phase, sign=-1.0).diff(dim=-2), -phase.diff(dim=-2))


def test_a_ramp_adds_the_same_to_each_difference(phase: torch.Tensor) -> None:
    added = altered(phase, down=1.0, right=-0.5) - phase
    torch.testing.assert_close(added.diff(dim=-2), torch.full((2, SIZE - 1, SIZE), 2 * np.pi / SIZE))
    torch.testing.assert_close(added.diff(dim=-1), torch.full((2, SIZE, SIZE - 1), -np.pi / SIZE))


def test_noise_is_stronger_where_coherence_is_lower(phase: torch.Tensor) -> None:
    spread = [float((altered(phase, level, noise=1.0) - phase).std()) for level in (255, 200, 100, 1)]
    assert spread[0] < 1e-6
    assert spread == sorted(spread)
    # The bound of Cramer and Rao for 10 looks.
    gamma = 100 / 255
    assert spread[2] == pytest.approx(np.sqrt((1 - gamma**2) / (20 * gamma**2)), rel=0.1)


def test_shifts_move_whole_pixels_and_bring_in_no_data() -> None:
    plane = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    assert shifted(plane, 1, -2).tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]
    assert np.array_equal(shifted(np.stack([plane] * 3), 0, 0)[1], plane)


def test_no_shift_loses_a_deformed_pixel() -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[1:4, 12:15] = 2
    rng = np.random.default_rng(0)
    found = [shift_within(mask, SIZE, 5, rng) for _ in range(200)]
    assert all(np.count_nonzero(shifted(mask, *each)) == 9 for each in found)
    assert {down for down, _ in found} == set(range(-1, 6))
    assert {right for _, right in found} == set(range(-5, 2))
    assert {right for _, right in (shift_within(None, SIZE, 5, rng) for _ in range(200))} == set(range(-5, 6))


def items(insar: Path, *, seed: int = 3, epoch: int = 0, views: int = 1) -> dict[str, dict]:
    data = load_crops(insar, "temporal")
    crops = CropDataset(data.folders, data.parts[Part.TRAIN].names, seed=seed, epoch=epoch, columns=PIXELS)
    augmented = AugmentedCrops(crops, Augmentation(), seed=seed, expected=40, views=views)
    return {item["name"]: item for item in augmented}


def test_changes_follow_from_seed_epoch_and_name(insar: Path) -> None:
    first, same, later, other = items(insar), items(insar), items(insar, epoch=1), items(insar, seed=4)
    for name in ("1", "2"):
        for key in ("image", "mask", "change", "noise"):
            assert torch.equal(first[name][key], same[name][key])
        for changed_one in (later, other):
            assert not torch.equal(first[name]["change"], changed_one[name]["change"])
    assert not torch.equal(first["1"]["change"], first["2"]["change"])


def test_image_coherence_and_mask_move_alike(insar: Path) -> None:
    data = load_crops(insar, "temporal")
    plain = {item["name"]: item for item in CropDataset(data.folders, columns=PIXELS)}
    for name, item in items(insar).items():
        # No colour is made or mixed, and each stays where the mask and the coherence were.
        def pixels(each: dict) -> list[tuple[int, ...]]:
            stack = torch.cat([each["image"], each["mask"][None], each["coherence"][None]]).flatten(1).T
            return sorted(map(tuple, stack[stack[:, 3] > 0].tolist()))

        assert pixels(item) == pixels(plain[name])


def test_views_of_a_crop_differ(insar: Path) -> None:
    item = items(insar, views=2)["1"]
    assert item["image"].shape == (2, 3, 48, 48)
    assert item["change"].shape == (2, 5)
    assert not torch.equal(item["change"][0], item["change"][1])


def test_batches_are_the_same_on_workers(insar: Path) -> None:
    data = load_crops(insar, "temporal")
    crops = CropDataset(data.folders, data.parts[Part.TRAIN].names, seed=1, columns=PIXELS)
    augmented = AugmentedCrops(crops, Augmentation(), seed=1, expected=40)
    here, there = (next(iter(DataLoader(augmented, batch_size=8, num_workers=workers))) for workers in (0, 1))
    assert here["name"] == there["name"]
    assert torch.equal(here["image"], there["image"])
    assert torch.equal(here["change"], there["change"])
