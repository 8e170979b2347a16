"""Taking in the images of an existing gibs-ml folder, `{EPSG}/{YYYY-MM-DD}/{Layer}.{jpg|jpeg|png|tif|tiff}`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from heph_dagster.gibs.archive import import_image, mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.raster import RasterError, gdal
from heph_dagster.png import PNG_SIGNATURE

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
_SIGNATURES = (b"\xff\xd8\xff", PNG_SIGNATURE, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TILE = re.compile(r"(.+)_Tile_\d+-\d+", re.ASCII)


@dataclass(frozen=True)
class Adopted:
    """A file of another folder that is in the data root now.

    Attributes:
        source: The file.
        target: What it became.
        layer: The layer.
        epsg: Projection.
        day: The day that an image shows; None for a file that is not of one day.
        outcome: `adopted`; `replaced`, there was another; `kept`, there was one and it stays.
    """

    source: Path
    target: Path
    layer: Layer
    epsg: int
    day: date | None
    outcome: Literal["adopted", "replaced", "kept"]


@dataclass(frozen=True)
class Rejected:
    """A file that is not adopted, and why."""

    source: Path
    reason: str


class ImageDay(NamedTuple):
    """An image of a day of a layer."""

    source: Path
    layer: Layer
    epsg: int
    day: date


def find_images(directory: Path, catalogue: Catalogue) -> tuple[list[ImageDay], list[Rejected]]:
    """The images of a gibs-ml folder.

    Only folders of EPSG codes are looked into. Passed over are hidden files, what this project derives from a day
    (`{Layer}.missing_data.tif`), and the tiles of a day of which there is an image or a mosaic of the whole world.

    Args:
        directory: The folder, `data` in gibs-ml.
        catalogue: The layers.

    Returns:
        The days, at most one image for each, and the images that are none.
    """
    days: dict[tuple[int, date, str], ImageDay] = {}
    tiles: dict[Path, int] = {}
    rejected = []
    for path in _images(directory):
        tile = _TILE.fullmatch(path.stem)
        if tile is not None and path.parent.name == "tiles":
            whole = path.parent.with_name(tile[1])
            tiles[whole] = tiles.get(whole, 0) + 1
        elif path.stem.rpartition(".")[0] not in catalogue:
            try:
                found = _image_day(path, directory, catalogue)
            except ValueError as error:
                rejected.append(Rejected(path, str(error)))
                continue
            taken = days.setdefault((found.epsg, found.day, found.layer.identifier), found).source
            if taken != path:
                rejected.append(Rejected(path, f"{taken.name} is taken for this day: remove one of the two"))
    for whole, count in tiles.items():
        if not any(whole.with_name(whole.name + suffix).exists() for suffix in (*_SUFFIXES, ".mrf")):
            reason = (
                f"{count} tiles: gibs-ml's tiled download covers only a quarter of the globe, because it computes the "
                "extent with 180 and 90 degrees in place of 360 and 180. Download the day with heph download"
            )
            rejected.append(Rejected(whole.parent / "tiles" / f"{whole.name}_Tile_*", reason))
    return list(days.values()), rejected


def adopt_images(
    root: Path,
    images: list[ImageDay],
    *,
    level: int | None = None,
    replace: bool = False,
    on_image: Callable[[], None] = lambda: None,
) -> list[Adopted | Rejected]:
    """Make images the mosaics of their days, several at once.

    Args:
        root: Data root.
        images: What `find_images` found.
        level: Finest level to make, see `heph_dagster.gibs.archive.import_image`.
        replace: Whether an image replaces a day that is there; else that stays.
        on_image: Called after each image.

    Returns:
        What became of each image, in their order.

    Raises:
        OSError: The disk is full or fails.
    """
    results: dict[ImageDay, Adopted | Rejected] = {}
    # While it is resampled, an image takes ten times the memory of its pixels: one for each processor is enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {pool.submit(_adopt, root, image, level, replace=replace): image for image in images}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                on_image()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [results[image] for image in images]


def is_epsg_folder(path: Path) -> bool:
    """Whether a path is a folder whose name is a number, as those of projections are."""
    return path.name.isascii() and path.name.isdigit() and path.is_dir()


def _adopt(root: Path, image: ImageDay, level: int | None, *, replace: bool) -> Adopted | Rejected:
    source, layer, epsg, day = image
    target = mosaic_path(root, epsg, day, layer)
    there = target.exists()
    if there and not replace:
        return Adopted(source, target, layer, epsg, day, "kept")
    try:
        _check_whole(source)
        import_image(root, layer, epsg, day, source, level)
    except ValueError as error:
        return Rejected(source, str(error).removeprefix(f"{source} "))
    return Adopted(source, target, layer, epsg, day, "replaced" if there else "adopted")


def _images(directory: Path) -> Iterator[Path]:
    """Image files below folders of EPSG codes, by their suffixes; hidden ones are left out."""
    for folder in sorted(directory.iterdir()):
        if is_epsg_folder(folder):
            for path in sorted(folder.rglob("*")):
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.suffix.lower() in _SUFFIXES and not hidden and path.is_file():
                    yield path


def _image_day(path: Path, directory: Path, catalogue: Catalogue) -> ImageDay:
    code, *folders, _ = path.relative_to(directory).parts
    if len(folders) != 1:
        raise ValueError("does not stand in a folder {EPSG}/{YYYY-MM-DD}")
    day = parse_day(folders[0])
    layer = catalogue[path.stem]
    layer.grid(int(code))
    return ImageDay(path, layer, int(code), day)


def _check_whole(path: Path) -> None:
    """Make sure that a file is an image, whatever its name says, and was written to its end."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror}") from error
    if not start.startswith(_SIGNATURES):
        raise RasterError(f"{path} is neither JPEG, PNG nor TIFF: it begins with {start!r}")
    library = gdal()
    try:
        dataset = library.Open(str(path))
    except RuntimeError as error:
        raise RasterError(f"{path} cannot be read as an image: {error}") from error
    # A gdal_translate that was stopped leaves a TIFF that lacks blocks, and those would read as black.
    for number in range(1, dataset.RasterCount + 1):
        status, _ = dataset.GetRasterBand(number).GetDataCoverageStatus(0, 0, dataset.RasterXSize, dataset.RasterYSize)
        if status & library.GDAL_DATA_COVERAGE_STATUS_EMPTY:
            raise RasterError(f"{path} was not written to its end: blocks of the TIFF are missing")
