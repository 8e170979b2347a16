"""Training loops, on points that a line parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from heph_dagster.gibs.server.run import free_port
from heph_dagster.models.errors import TrainingError
from heph_dagster.models.fitting import Fit, fit, seeded
from heph_dagster.models.loop import Loop, checkpoints

ON_CPU = {"accelerator": "cpu"}


class Line(LightningModule):
    """Parts points, with chance in every step."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 1))
        self.learning_rate = learning_rate
        self.right: list[torch.Tensor] = []

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        points, truth = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self.layers(points).ravel(), truth)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(points), sync_dist=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        points, truth = batch
        self.right.append((self.layers(points).ravel() > 0) == (truth > 0.5))

    def on_validation_epoch_end(self) -> None:
        self.log("val_accuracy", torch.cat(self.right).float().mean(), sync_dist=True)
        self.right.clear()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate)


def loaders() -> tuple[DataLoader, DataLoader]:
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(96, 2, generator=generator)
    data = TensorDataset(points, (points.sum(1) > 0).float())
    return DataLoader(data, batch_size=16, shuffle=True), DataLoader(data, batch_size=48)


def train(epochs: int = 4, folder: Path | None = None, module: Line | None = None, **options) -> tuple[Line, Fit]:
    with seeded(3):
        module = module or Line()
    loop = Loop(epochs, **(ON_CPU | options.pop("loop", {})))
    return module, fit(module, *loaders(), loop, seed=5, monitor="val_accuracy", folder=folder, **options)


def weights(module: Line) -> torch.Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


def test_a_module_learns_and_tells_of_each_epoch() -> None:
    told = []
    module, made = train(on_epoch=lambda number, values: told.append((number, dict(values))))
    assert [number for number, _ in told] == [1, 2, 3, 4]
    assert made.curves["train_loss"] == [values["train_loss"] for _, values in told]
    assert made.curves["train_loss"][-1] < made.curves["train_loss"][0]
    assert max(made.curves["val_accuracy"]) > 0.9
    assert made.best_epoch == 1 + made.curves["val_accuracy"].index(max(made.curves["val_accuracy"]))
    assert not module.training


def test_the_weights_are_those_of_the_best_epoch() -> None:
    module, made = train(6)
    again, _ = train(made.best_epoch)
    torch.testing.assert_close(weights(module), weights(again), rtol=0, atol=0)


def test_the_same_seed_gives_the_same_weights_and_leaves_other_chance_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, _ = train()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    second, _ = train()
    assert torch.equal(weights(first), weights(second))


class StopError(Exception):
    pass


def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    def stop(number: int, _) -> None:
        if number == 3:
            raise StopError

    with pytest.raises(StopError):
        train(5, tmp_path / "kept", on_epoch=stop)
    told = []
    module, made = train(5, tmp_path / "kept", on_epoch=lambda number, _: told.append(number))
    whole, unstopped = train(5)
    assert made.first_epoch == 3
    assert told == [3, 4, 5]
    assert made.curves == unstopped.curves
    assert torch.equal(weights(module), weights(whole))


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    train(2, tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    _, made = train(3, tmp_path)
    assert made.first_epoch == 1
    assert "is damaged" in caplog.text
    _, again = train(3, tmp_path)
    assert again.first_epoch == 4
    assert again.curves == made.curves


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(TrainingError, match="the loss is not finite in epoch 1: lower learning_rate"):
        train(module=Line(float("inf")))


@pytest.mark.slow
def test_two_processes_learn_as_one_and_tell_of_each_epoch(tmp_path: Path) -> None:
    module, made = train(3, on_epoch=Notes(tmp_path / "notes.txt"), loop={"devices": 2})
    assert (tmp_path / "notes.txt").read_text() == "1\n2\n3\n"
    assert len(made.curves["train_loss"]) == 3
    assert made.curves["val_accuracy"][-1] > 0.8
    assert torch.isfinite(weights(module)).all()


@pytest.mark.slow
def test_a_loss_of_two_processes_that_is_not_finite_is_told_in_the_same_words() -> None:
    with pytest.raises(TrainingError, match=r"^the loss is not finite in epoch 1: lower learning_rate"):
        train(module=Line(float("inf")), loop={"devices": 2})


@pytest.mark.slow
def test_two_machines_learn_as_one_and_the_first_has_the_weights(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from heph_dagster_tests.models.test_fitting import train, weights\n"
        "if __name__ == '__main__':\n"
        "    module, made = train(2, Path('kept'), loop={'devices': 1, 'nodes': 2})\n"
        "    print(len(made.curves['train_loss']), weights(module).isfinite().all().item())\n"
    )
    (tmp_path / "program.py").write_text(program)
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port(29500)), "PYTHONPATH": str(Path.cwd())}
    nodes = [
        subprocess.Popen(
            [sys.executable, "program.py"],
            env=os.environ | told | {"NODE_RANK": str(rank)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    (first, first_errors), (_, errors) = (node.communicate(timeout=300) for node in nodes)
    assert first.split() == ["2", "True"], first_errors
    assert "OtherNodeError: this machine's part of the training is done" in errors


class Notes:
    """Writes down epochs, from whatever process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, number: int, _) -> None:
        with self.path.open("a") as file:
            file.write(f"{number}\n")


def test_checkpoints_are_kept_until_a_training_ends_well(tmp_path: Path) -> None:
    def stopped() -> None:
        with checkpoints(tmp_path, {"seed": 1}) as folder:
            (folder / "last.ckpt").write_bytes(b"state")
            raise StopError

    with pytest.raises(StopError):
        stopped()
    with checkpoints(tmp_path, {"seed": 2}) as other:
        assert not (other / "last.ckpt").exists()
    with checkpoints(tmp_path, {"seed": 1}) as again:
        assert (again / "last.ckpt").read_bytes() == b"state"
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("name", ["epochs", "devices", "nodes"])
def test_a_loop_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 1 at least, not 0"):
        Loop(**({"epochs": 1} | {name: 0}))
