"""Making room: the imagery of old days goes, what was found out about them stays."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.export import exported_files
from heph_dagster.gibs.partial import held, unfinished_files
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.publish import generation_files, remove_mosaic


@dataclass(frozen=True)
class DayFiles:
    """The imagery of a day of a layer on disk.

    Attributes:
        layer: The layer.
        epsg: Projection.
        day: The day.
        mosaic: Its mosaic, which may not be there.
        files: The mosaic, its data, what was exported from it, and what a download left.
        bytes: Size of the files.
    """

    layer: Layer
    epsg: int
    day: date
    mosaic: Path
    files: tuple[Path, ...]
    bytes: int


def old_days(root: Path, layers: Iterable[Layer], projections: Iterable[int], before: date) -> list[DayFiles]:
    """The imagery of days before another, by projection, day and layer.

    Masks, figures and labels of those days do not count, nor do files of any other name, nor images of a day without a
    mosaic: those are not exports, but somebody's own.

    Args:
        root: Data root.
        layers: The layers to look for.
        projections: EPSG codes.
        before: The first day that stays.

    Raises:
        FileNotFoundError: The root is no folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder: name the data root with --output_dir or HEPH_DATA_DIR")
    chosen, found = list(layers), []
    for epsg in projections:
        for day, folder in _days(root / str(epsg)):
            if day >= before:
                continue
            names = []
            with suppress(FileNotFoundError):  # a folder that another removal takes away
                names = [path.name for path in (*folder.iterdir(), *folder.glob("tiles/*"))]
            for layer in chosen:
                name = layer.identifier
                if any(each.startswith((f"{name}.", f".{name}.", f"{name}_Tile_")) for each in names):
                    files = _files(layer, epsg, day, root)
                    found += [files] if files.files else []
    return found


def remove_day(old: DayFiles) -> DayFiles:
    """Remove a day's imagery, and the folders that this leaves empty.

    Returns:
        What was removed.

    Raises:
        DayBusyError: A download is at the day, which is left alone.
    """
    folder = old.mosaic.parent
    # Listed again: much can happen while somebody thinks about the question.
    removed = _files(old.layer, old.epsg, old.day, folder.parent.parent)
    with held(old.mosaic):
        # The mosaic goes last: without it, nothing tells that the others are its exports.
        for file in (exports := _exports(old.mosaic)):
            file.unlink(missing_ok=True)
        remove_mosaic(old.mosaic)
    tilings = {parent for file in exports for parent in (file.parent, file.parent.parent) if folder in parent.parents}
    for empty in (*sorted(tilings, reverse=True), folder / "tiles", folder, folder.parent):
        with suppress(OSError):
            empty.rmdir()
    return removed


def _days(folder: Path) -> list[tuple[date, Path]]:
    days = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(ValueError):  # a folder that is no day
            day = parse_day(path.name)
            if path.name == day.isoformat() and path.is_dir():
                days.append((day, path))
    return sorted(days)


def _files(layer: Layer, epsg: int, day: date, root: Path) -> DayFiles:
    mosaic = mosaic_path(root, epsg, day, layer)
    files = [mosaic, *generation_files(mosaic), *_exports(mosaic), *unfinished_files(mosaic)]
    sizes = {}
    for file in files:
        with suppress(FileNotFoundError):  # a download may be at the day
            sizes[file] = file.stat().st_size
    return DayFiles(layer, epsg, day, mosaic, tuple(sizes), sum(sizes.values()))


def _exports(mosaic: Path) -> list[Path]:
    """What was exported from a mosaic; nothing where there is none, nor was."""
    return exported_files(mosaic) if mosaic.exists() or generation_files(mosaic) else []
