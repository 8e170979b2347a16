"""Fitting networks with lightning: the same weights for the same seed, whole again after a stop, the best epoch's."""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.utils.data import DataLoader

from heph_dagster.models.errors import TrainingError
from heph_dagster.models.loop import Loop, OnEpoch, OtherNodeError, is_other_node

_QUIET = (
    ".*does not have many workers",
    ".*exists and is not empty",
    ".*smaller than the logging interval",
    ".*LeafSpec",
)
"""Warnings of lightning that tell a user of this program nothing to do."""


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Attributes:
        curves: Each figure by epoch.
        best_epoch: The epoch whose weights the module has now, from 1 on.
        first_epoch: The first epoch that was not there from a training that had been stopped.
    """

    curves: Mapping[str, list[float]]
    best_epoch: int
    first_epoch: int


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All chance in the block comes from a seed; what comes after is as if it had not been."""
    with isolate_rng():
        torch.manual_seed(seed)
        yield


def fit(
    module: LightningModule,
    train: DataLoader[Any],
    val: DataLoader[Any] | None,
    loop: Loop,
    *,
    seed: int,
    monitor: str,
    folder: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fit:
    """Train a module, and leave it on the CPU with the weights of its best epoch.

    Chance in an epoch comes from seed and epoch alone: that of the sampler, of a dataset that has an `epoch`, which is
    set, and of layers. So a training that goes on from a checkpoint ends where it would have without the stop.

    Several devices are processes that lightning starts, whose gradients are averaged: module, loaders and `on_epoch`
    are pickled then. On several machines, the same is called on each, with NODE_RANK, MASTER_ADDR and MASTER_PORT in
    the environment and `folder` on a file system that they share; it returns on the first, whose NODE_RANK is 0.

    Args:
        module: What is trained. It logs `train_loss`, and what it finds on the whole of `val`.
        train: Batches to learn from.
        val: Batches to validate with; None where the module finds its figures without.
        loop: How long and on what.
        seed: Of all chance.
        monitor: Name of the figure by which an epoch is better than another: the higher, or the lower if it is a
            `..._loss`.
        folder: Where the state after each epoch is kept, and is looked for first; nowhere by default.
        on_epoch: Is told of each epoch.

    Raises:
        TrainingError: A loss is not finite.
        OtherNodeError: This is not the first machine; its part is done.
    """
    with ExitStack() as stack:
        kept = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heph-")))
        stack.enter_context(_quiet())
        stack.enter_context(seeded(seed))
        best, last = kept / "best.ckpt", kept / "last.ckpt"
        mode = "min" if monitor.endswith("_loss") else "max"
        keepers = [  # the best first: the last tells which it is
            ModelCheckpoint(kept, best.stem, monitor, mode=mode, enable_version_counter=False),
            ModelCheckpoint(kept, last.stem, enable_version_counter=False),
        ]
        begun = _begun(last, best)
        resumed = None if begun is None else last
        first = 1 if begun is None else begun + 1
        trainer = Trainer(
            accelerator=loop.accelerator,
            devices=_devices(loop),
            num_nodes=loop.nodes,
            strategy=_strategy(loop),
            precision=_precision(loop),
            max_epochs=loop.epochs,
            callbacks=[_Chance(train, seed, first - 1), _Watch(on_epoch), *keepers],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=kept,
        )
        try:
            with _interruptible():
                trainer.fit(module, train, val, ckpt_path=resumed, weights_only=True)
        except ProcessRaisedException as error:
            # What a process of its own raises comes as text.
            message = str(error).strip().splitlines()[-1]
            name, _, words = message.partition(": ")
            if name.endswith(TrainingError.__name__):
                raise TrainingError(words) from error
            raise
        if loop.nodes > 1 and is_other_node():
            raise OtherNodeError("this machine's part of the training is done; the first one goes on")
        state, chosen = _read(last), _read(best)
        module.load_state_dict(chosen["state_dict"])
    module.cpu().eval()
    return Fit(state["callbacks"][_Watch.__qualname__]["curves"], int(chosen["epoch"]) + 1, first)


class _Chance(Callback):
    """Sets the chance of each epoch.

    lightning asks for the first batches of a training before it tells that an epoch begins, and only then.
    """

    def __init__(self, train: DataLoader[Any], seed: int, first: int) -> None:
        self._train, self._seed, self._first = train, seed, first

    def setup(self, *_: Any, **__: Any) -> None:
        # The seed of workers is drawn from here, and not from the chance of layers and samplers.
        self._train.generator = torch.Generator().manual_seed(self._seed)
        self._set(self._first)

    def on_train_epoch_start(self, trainer: Trainer, _: LightningModule) -> None:
        self._set(trainer.current_epoch)

    def _set(self, epoch: int) -> None:
        torch.manual_seed(self._seed * 1_000_003 + epoch)
        if hasattr(self._train.dataset, "epoch"):
            self._train.dataset.epoch = epoch


class _Watch(Callback):
    """Tells of epochs, and stops a training whose loss is not finite.

    Whether it is, is asked once per epoch: each question makes a GPU wait.
    """

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        self._on_epoch = on_epoch
        self._curves: dict[str, list[float]] = {}
        self._lost: Tensor | None = None

    def on_train_batch_end(self, trainer: Trainer, _: LightningModule, outputs: Any, *__: Any) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        lost = ~torch.isfinite(loss.detach()).all()
        self._lost = lost if self._lost is None else self._lost | lost
        if trainer.is_last_batch and bool(self._lost):
            raise TrainingError(
                f"the loss is not finite in epoch {trainer.current_epoch + 1}: lower learning_rate, or take precision "
                "32-true"
            )

    def on_train_epoch_end(self, trainer: Trainer, _: LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for name, value in values.items():
            self._curves.setdefault(name, []).append(value)
        if self._on_epoch is not None and trainer.is_global_zero:
            self._on_epoch(trainer.current_epoch + 1, values)

    def state_dict(self) -> dict[str, Any]:
        return {"curves": self._curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._curves = state_dict["curves"]


def _devices(loop: Loop) -> int | str:
    return loop.devices or ("auto" if _gpu(loop) else 1)


def _gpu(loop: Loop) -> bool:
    return loop.accelerator != "cpu" and torch.cuda.is_available()


def _strategy(loop: Loop) -> str:
    devices = loop.devices or (torch.cuda.device_count() if _gpu(loop) else 1)
    if devices * loop.nodes == 1:
        return "auto"
    # As "ddp", lightning starts the command of this process anew, which may be a whole run of many assets.
    return "ddp_spawn"


def _precision(loop: Loop) -> Any:
    if loop.precision != "auto":
        return loop.precision
    if not _gpu(loop):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def _begun(last: Path, best: Path) -> int | None:
    """The last epoch of a training that was stopped; None where there was none, or a machine died while it wrote."""
    if not (last.exists() and best.exists()):
        return None
    try:
        _read(best)
        return int(_read(last)["epoch"]) + 1
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        logging.getLogger(__name__).warning("%s is damaged (%s): the training begins anew", last.parent, error)
        last.unlink()
        best.unlink()
        return None


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _QUIET:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is KeyboardInterrupt in the block, of which lightning makes an exit that ignores what is pressed after."""
    handled = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if handled else None
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if handled:
            signal.signal(signal.SIGINT, before)
