"""What networks see of colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heph_dagster.hephaestus.synthetic.coherence import TURN
from heph_dagster.hephaestus.synthetic.colours import STEPS, colour_numbers, palette
from heph_dagster.models.insar.inputs import channels, phase_of, shrunk


def as_image(colours: np.ndarray) -> torch.Tensor:
    """Colours, N x 3, as an image of one row."""
    return torch.from_numpy(np.ascontiguousarray(colours.T[None, :, None].astype(np.uint8)))


def test_the_phase_of_the_palettes_colours_is_exact() -> None:
    turns = np.arange(0, TURN, 64, dtype=np.int32)
    phase, there = phase_of(as_image(palette()[colour_numbers(turns[None])[0]]))
    error = np.angle(np.exp(1j * (phase[0, 0].numpy() - turns * (2 * np.pi / TURN))))
    assert np.abs(error).max() <= np.pi / STEPS + 1e-6
    assert there.all()


def test_black_is_no_data() -> None:
    phase, there = phase_of(as_image(np.array([[0, 0, 0], [20, 10, 5], [49, 54, 149]])))
    assert there[0, 0].tolist() == [0, 0, 1]
    assert phase[0, 0, :2].tolist() == [0, 0]
    seen = channels(phase, there, torch.full((1, 1, 3), 255, dtype=torch.uint8))
    assert seen[0, :, 0, 0].tolist() == [0, 0, 0, 0]
    assert seen[0, 2:, 0, 2].tolist() == [1, 1]


def test_mixed_colours_have_the_phase_of_the_nearest() -> None:
    own = palette()[1 : STEPS + 1].astype(float)
    rng = np.random.default_rng(0)
    # What lies between two neighbours, off by a little, as shrinking and JPEG leave it.
    mixed = np.rint((own[:-1] + own[1:]) / 2 + rng.uniform(-2, 2, (STEPS - 1, 3))).clip(0, 255)
    phase, _ = phase_of(as_image(mixed))
    expected = (np.arange(STEPS - 1) + 1) * (2 * np.pi / STEPS) - np.pi
    assert np.abs(phase[0, 0].numpy() - expected).max() < 4 * 2 * np.pi / STEPS


def test_no_coherence_counts_as_nothing() -> None:
    phase, there = phase_of(as_image(palette()[[5, 100]]))
    assert channels(phase, there, None)[0, 2].tolist() == [[0, 0]]


def test_shrinking_means_cosine_and_sine() -> None:
    phase = torch.tensor([[[3.0, -3.0], [3.0, -3.0]]])  # nearly pi on both sides of the jump
    small = shrunk(channels(phase, torch.ones_like(phase), None), 1)
    assert torch.atan2(small[0, 1], small[0, 0]).abs().item() == pytest.approx(np.pi)
    assert shrunk(small, 4) is small
