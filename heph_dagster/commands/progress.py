"""Bars on the terminal that count days, or bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar in the block, on the error output.

    Args:
        what: What is done.
        total: How often.

    Yields:
        Call it after each.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def measuring(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of bytes in the block, on the error output.

    Args:
        what: What is done.

    Yields:
        Call it with the bytes that are done and those of all, None where nobody knows.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
