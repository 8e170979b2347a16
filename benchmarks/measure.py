"""How things are measured: pairs in turn, medians, rows of a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

RUNS = 5


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: What was measured.
        value: The figure.
        unit: Its unit; empty for a ratio.
        target: What it should reach, in words; empty where it is only reported.
        met: Whether it does; None where there is no target, or where the row is void.
        note: How it was measured, and its spread.
    """

    name: str
    value: float
    unit: str
    target: str
    met: bool | None
    note: str

    def as_json(self) -> dict[str, object]:
        """The row as plain values."""
        return asdict(self)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def pairs(other: Callable[[], object], ours: Callable[[], object], runs: int = RUNS) -> tuple[list[float], list[float]]:
    """Wall times of two calls, taken in turn after one of each that does not count."""
    other(), ours()
    times = [(seconds(other), seconds(ours)) for _ in range(runs)]
    return [pair[0] for pair in times], [pair[1] for pair in times]


def ratio_row(
    name: str, other: list[float], ours: list[float], least: float | None, note: str, *, void: str = ""
) -> Row:
    """The median of the pairs' ratios against a target, or as a figure without one."""
    ratios = [a / b for a, b in zip(other, ours, strict=True)]
    value = statistics.median(ratios)
    spread = (
        f"{min(ratios):.2f} to {max(ratios):.2f}; {statistics.median(other):.3f} s / {statistics.median(ours):.3f} s"
    )
    met = None if void or least is None else value >= least
    target = "" if least is None else f"{least:g} or more"
    return Row(name, value, "", target, met, "; ".join(filter(None, (void, spread, note))))
