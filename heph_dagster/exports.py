"""`heph export`: days on disk as images, tiles and animations, without a server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from heph_dagster.gibs.animation import export_animation
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.box import Box
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.export import export_image, export_tiling
from heph_dagster.gibs.grid import BBox
from heph_dagster.gibs.partial import StorageError
from heph_dagster.gibs.periods import span_text
from heph_dagster.gibs.projection import projected_box
from heph_dagster.gibs.raster import RasterError
from heph_dagster.gibs.tiling import Tiling
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
        start, end, root = self.start_date, self.end_date, self.output_dir or Settings().data_dir
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
class _Report:
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


def export_images(selection: Selection, kind: str | None, tile_resolution: str | None) -> int:
    """Write an image of each day.

    Args:
        selection: The days.
        kind: `jpg`, `png` or `tif`; the layer's format by default.
        tile_resolution: Row of gibs-ml's table that gives the size; the mosaic's own by default.

    Returns:
        Exit status, see `_Report.end`.

    Raises:
        ValueError: The options do not go together.
    """
    layer, epsg = selection.layer, selection.epsg
    resolution = None if tile_resolution is None else layer.resolution(tile_resolution, epsg)
    if resolution is not None and selection.bbox is not None:
        raise ValueError("--tile_resolution gives the size of the whole world: leave out --bbox or it")

    def export(mosaic: Path) -> Path:
        if resolution and Box.open(mosaic).georeference.across > layer.grid(epsg).resolution(resolution.level):
            raise RasterError(f"{mosaic} is too coarse for {resolution.name}: download level {resolution.level}")
        return export_image(mosaic, kind or layer.format, resolution and resolution.size, selection.box)

    return _each_day(selection, export, os.cpu_count())


def export_tilings(selection: Selection, kind: str | None, tiling: Tiling) -> int:
    """Write tiles of each day, with an index.

    Args:
        selection: The days.
        kind: `jpg` or `png`; the layer's format by default.
        tiling: How to cut.

    Returns:
        Exit status, see `_Report.end`.

    Raises:
        ValueError: No tile lies inside the image.
    """
    # The tiles of one day are written at once already.
    return _each_day(
        selection, lambda mosaic: export_tiling(mosaic, kind or selection.layer.format, tiling, selection.box), 1
    )


def export_movie(selection: Selection, target: Path, fps: float, width: int | None) -> int:
    """Write the days as one animation.

    Args:
        selection: The days.
        target: `.mp4` or `.gif`.
        fps: Days a second.
        width: Width of the frames in px.

    Returns:
        Exit status, see `_Report.end`.

    Raises:
        ValueError: No day is on disk, a mosaic cannot be read, or the frames cannot be.
    """
    with _progress(selection, len(selection.days)) as advance:
        path = export_animation(target, selection.days, selection.box, fps=fps, width=width, on_day=lambda _: advance())
    return _Report(selection, [path]).end()


def _each_day(selection: Selection, export: Callable[[Path], Path], workers: int | None) -> int:
    report = _Report(selection)
    mosaics = {day: mosaic for day, mosaic in selection.days.items() if mosaic is not None}
    with _progress(selection, len(mosaics)) as advance, stopping_pool(workers) as pool:
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


@contextmanager
def _progress(selection: Selection, total: int) -> Iterator[Callable[[], None]]:
    with Progress(console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(selection.layer.identifier, total=total)
        yield lambda: progress.advance(task)
