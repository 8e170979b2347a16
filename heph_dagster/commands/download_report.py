"""What `heph download` shows: the progress, and what became of each day."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import FailedDay, FetchedDay
from heph_dagster.gibs.gdal_download import GdalImage
from heph_dagster.gibs.periods import span_text

Result = FetchedDay | GdalImage | FailedDay


class Meter:
    """A progress bar that moves with every tile, and tells days, tiles, MB/s and the time left.

    Attributes:
        tiles: Tiles that are on disk; those of a day that failed are not.
        bytes: Bytes that came over the network.
    """

    def __init__(self, name: str, days: int, tiles: int) -> None:
        """Describe the work.

        Args:
            name: What is downloaded.
            days: Number of days.
            tiles: Tiles of a day.
        """
        self.tiles = self.bytes = 0
        self._of_a_day, self._days, self._days_done = tiles, days, 0
        self._total, self._started = days * tiles, time.perf_counter()
        self._on_the_way: dict[date, int] = {}
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=Console(file=sys.stderr))
        self._task = self._progress.add_task(name, total=self._total, speed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, day: date, tiles: int, transferred: int) -> None:
        """Some more tiles of a day are on disk, for which so many bytes came."""
        self._on_the_way[day] = self._on_the_way.get(day, 0) + tiles
        self.tiles += tiles
        self.bytes += transferred
        self._show()

    def day(self, result: Result) -> None:
        """A day is done, one way or the other."""
        self.tiles -= self._on_the_way.pop(result.day, 0)
        self._days_done += 1
        if isinstance(result, FailedDay):
            self._total -= self._of_a_day
        else:
            self.tiles += self._of_a_day
            if isinstance(result, GdalImage) and result.outcome != "kept":  # GDAL does not tell of its tiles
                self.bytes += result.bytes
        self._show()

    def _show(self) -> None:
        rate = self.bytes / 1e6 / (time.perf_counter() - self._started)
        speed = f"{self._days_done}/{self._days} days  {self.tiles} tiles  {rate:.1f} MB/s"
        self._progress.update(self._task, completed=self.tiles, total=self._total, speed=speed)


def report(
    layer: Layer, client: GibsClient, results: Sequence[Result], missing: Sequence[date], *, as_json: bool
) -> None:
    """Print what became of a range of days.

    Args:
        layer: The layer.
        client: The session that asked.
        results: Days that were asked for.
        missing: Days that the server does not have.
        as_json: Whether a script reads it.
    """
    failed = sorted((result for result in results if isinstance(result, FailedDay)), key=lambda each: each.day)
    done = sorted((result for result in results if not isinstance(result, FailedDay)), key=lambda each: each.day)
    if as_json:
        values: dict[str, Any] = {
            "layer": layer.identifier,
            "server": client.url,
            "endpoint": client.endpoint,
            "days": [asdict(result) for result in done],
            "failed": {str(result.day): str(result.error) for result in failed},
            "missing": missing,
        }
        click.echo(json.dumps(values, default=str, indent=2))
        return
    outcomes = [result.outcome for result in done]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    click.echo(f"{len(done)} days ({counts or 'none'}), {sum(result.bytes for result in done) / 1e6:.1f} MB")
    if any(result.verified_by == "nothing" for result in done):
        click.echo("Nothing verifies which days GDAL's images show.")
    reasons: dict[str, list[date]] = {}
    for result in failed:
        reasons.setdefault(str(result.error), []).append(result.day)
    for reason, days in reasons.items():
        click.echo(f"{span_text(days)}: {reason}", err=True)
    if missing:
        click.echo(f"The server does not have {len(missing)} days: {span_text(missing)}{layer.continuation}", err=True)
