"""The days that `heph export` makes files of, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click

from heph_dagster.commands.progress import counting
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import BBox
from heph_dagster.gibs.partial import StorageError
from heph_dagster.gibs.periods import span_text
from heph_dagster.gibs.projection import projected_box
from heph_dagster.gibs.raster import RasterError
from heph_dagster.pools import stopping_pool
from heph_dagster.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which days of a layer to export: the options that all `heph export` commands have, where each is explained."""

    layer_name: str
    start_date: date
    end_date: date
    epsg: int
    output_dir: Path | None
    bbox: BBox | None
    as_json: bool

    @cached_property
    def layer(self) -> Layer:
        """The layer.

        Raises:
            ValueError: The catalogue does not have it, or not in that projection.
        """
        layer = Settings().catalogue()[self.layer_name]
        layer.grid(self.epsg)
        return layer

    @property
    def box(self) -> BBox | None:
        """The box in the units of the projection.

        Raises:
            ValueError: It has no extent, or lies outside the imagery.
        """
        return None if self.bbox is None else projected_box(self.epsg, self.bbox)

    @cached_property
    def days(self) -> dict[date, Path | None]:
        """The mosaic of each day, None where there is none; of a layer that is not daily, the days that are there.

        Raises:
            ValueError: The range is empty, or nothing is there of a layer that is not daily.
        """
        start, end, root = self.start_date, self.end_date, self.output_dir or Settings().root
        if end <= start:
            raise ValueError(f"no day lies from {start} to before {end}: the end date is not included")
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        paths = {day: mosaic_path(root, self.epsg, day, self.layer) for day in days}
        if self.layer.daily:
            return {day: path if path.exists() else None for day, path in paths.items()}
        found: dict[date, Path | None] = {day: path for day, path in paths.items() if path.exists()}
        if not found:
            raise ValueError(f"no day of {self.layer.identifier} from {start} to before {end} is below {root}")
        return found


@dataclass
class Report:
    """What became of a selection.

    Attributes:
        files: What was written: images, indices of tiles, or the animation.
        failed: Days that could not be exported, and why.
    """

    selection: Selection
    files: list[Path] = field(default_factory=list)
    failed: dict[date, RasterError | StorageError] = field(default_factory=dict)

    def end(self) -> int:
        """Print the report.

        Returns:
            Exit status: 0, or 1 when days are missing or failed.
        """
        missing = [day for day, mosaic in self.selection.days.items() if mosaic is None]
        if self.selection.as_json:
            values: dict[str, Any] = {
                "layer": self.selection.layer.identifier,
                "files": self.files,
                "failed": {str(day): str(error) for day, error in self.failed.items()},
                "missing": missing,
            }
            click.echo(json.dumps(values, default=str, indent=2))
        else:
            for path in self.files:
                click.echo(path)
            for day, error in self.failed.items():
                click.echo(f"{day}: {error}", err=True)
            if missing:
                click.echo(f"{len(missing)} days are not on disk: {span_text(missing)}", err=True)
        return 1 if missing or self.failed else 0


def export_each(selection: Selection, export: Callable[[Path], Path], workers: int | None) -> int:
    """Export the days that are on disk, one by one, and print the report.

    Args:
        selection: The days.
        export: Makes a file of a mosaic.
        workers: Days at once.

    Returns:
        Exit status, see `Report.end`.
    """
    report = Report(selection)
    mosaics = {day: mosaic for day, mosaic in selection.days.items() if mosaic is not None}
    with counting(selection.layer.identifier, len(mosaics)) as advance, stopping_pool(workers) as pool:
        for day, result in zip(mosaics, pool.map(partial(_attempt, export), mosaics.values()), strict=True):
            if isinstance(result, Path):
                report.files.append(result)
            else:
                report.failed[day] = result
            advance()
    return report.end()


def _attempt(export: Callable[[Path], Path], mosaic: Path) -> Path | RasterError | StorageError:
    """A damaged day does not keep the others."""
    try:
        return export(mosaic)
    except (RasterError, StorageError) as error:
        return error
