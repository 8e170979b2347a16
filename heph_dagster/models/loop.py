"""How a network is trained: for how long, on what, and where it goes on from when it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heph_dagster import __version__
from heph_dagster.errors import HephError
from heph_dagster.files import locked

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Is told of each epoch: its number from 1 on, and its figures by name."""

RUN_FILE = "run.txt"
"""Holds the ID of the MLflow run that a training is recorded in."""


class OtherNodeError(HephError):
    """This is not the first of several machines: there is nothing to judge or to record here."""


def is_other_node() -> bool:
    """Whether this is one of several machines that train together, and not the first."""
    return int(os.environ.get("NODE_RANK", "0")) > 0


@dataclass(frozen=True)
class Loop:
    """How long and on what a network is trained.

    Attributes:
        epochs: Passes over the training data.
        accelerator: `cpu`, `gpu`, or another that lightning knows; `auto` takes a GPU where there is one.
        devices: How many GPUs, or processes on CPUs, of each machine; by default all GPUs, or one process.
        nodes: Machines; see `heph_dagster.models.fitting.fit` for what more than one need.
        precision: Of lightning's, say `32-true` or `bf16-mixed`; `auto` is mixed on a GPU and 32 bits on CPUs.
    """

    epochs: int
    accelerator: str = "auto"
    devices: int | None = None
    nodes: int = 1
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: A number is less than 1.
        """
        for name in ("epochs", "devices", "nodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is 1 at least, not {value}")


@contextmanager
def checkpoints(root: Path, told: Mapping[str, Any]) -> Iterator[Path]:
    """The folder in which a training keeps its state; it goes when the block ends well.

    The same training, asked for again after it was stopped, is given the same folder, and goes on from there. Another
    that is told the same at the same time waits.

    Args:
        root: Where such folders are.
        told: All that the training depends on; written as JSON to tell one from another.
    """
    text = json.dumps({"version": __version__, **told}, sort_keys=True, default=str)
    folder = root / hashlib.sha256(text.encode()).hexdigest()[:16]
    if told.get("nodes", 1) > 1 and is_other_node():  # the first has the lock
        yield folder
        return
    with locked(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.json").write_text(text + "\n", "utf-8")
        yield folder
        shutil.rmtree(folder)
