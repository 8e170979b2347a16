"""Mosaics as files for others: images with world files, gibs-ml's 512 px tiles, overlapping tiles with an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from heph_dagster.files import replacing
from heph_dagster.gibs.box import Box, PixelWindow
from heph_dagster.gibs.grid import TILE_SIZE, BBox, Resolution
from heph_dagster.gibs.partial import StorageError
from heph_dagster.gibs.raster import Image, RasterError, gdal, palette_of, raster_size
from heph_dagster.gibs.tile_index import INDEX, write_index
from heph_dagster.gibs.tiling import QUALITY, Boundary, Tiling, pad, write_tiles

_DRIVERS = {"jpg": "JPEG", "png": "PNG", "tif": "COG"}
_WORLD_FILES = {"jpg": ".jgw", "png": ".pgw"}
# What a box adds to a name.
_BOX = r"(\.bbox(_[-+.e\d]+){4})?"
_LONGEST_EDGE = {"jpg": 65_500, "png": 1_000_000, "tif": 10_000_000}


def export_image(mosaic: Path, kind: str, size: tuple[int, int] | None = None, bbox: BBox | None = None) -> Path:
    """Write a mosaic, or a box of it, as one image beside it, with a world file where the format has no coordinates.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg`, `png` or `tif` (cloud-optimized).
        size: Width and height in px of an image of the whole world; the mosaic's own by default.
        bbox: Box as for `Box.open`; it becomes a part of the image's name.

    Returns:
        The image.

    Raises:
        RasterError: The mosaic cannot be read or does not meet the box, or it is not of the whole world, though a size
            is given, or the format cannot hold an image of this size or transparency.
        StorageError: The disk is full or fails.
    """
    box = Box.open(mosaic, bbox)
    if size is not None:
        _check_whole(box)
    target = mosaic.with_name(f"{_box_name(mosaic, bbox)}.{kind}")
    with _exporting(mosaic):
        write_image(box.dataset, target, kind, (0, 0, *box.window[2:]), size or box.window[2:])
    return target


def image_is_current(mosaic: Path, kind: str, size: tuple[int, int] | None = None) -> bool:
    """Whether the image that `export_image` would write of a whole mosaic is there, not older than the mosaic.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg`, `png` or `tif`.
        size: Width and height in px; the mosaic's own by default.

    Raises:
        RasterError: The mosaic cannot be read.
    """
    files = [mosaic, *image_files(mosaic.with_suffix(f".{kind}"))]
    if not all(path.exists() for path in files):
        return False
    # Each is written after the one before it: a world file that is older than its image belongs to another.
    times = [path.stat().st_mtime_ns for path in files]
    wanted = size or raster_size(mosaic)
    try:
        return times == sorted(times) and raster_size(files[1]) == wanted
    except RasterError:
        return False


def image_files(image: Path) -> list[Path]:
    """An image, and its world file where its format has no place for coordinates."""
    world_file = _WORLD_FILES.get(image.suffix[1:])
    return [image] if world_file is None else [image, image.with_suffix(world_file)]


def check_image(name: str, kind: str, size: tuple[int, int], *, transparent: bool) -> None:
    """Make sure that a format can hold an image.

    Args:
        name: What the image shows, for the message.
        kind: `jpg`, `png` or `tif`.
        size: Width and height in px.
        transparent: Whether it has an alpha band.

    Raises:
        RasterError: It can not.
    """
    if kind == "jpg" and transparent:
        raise RasterError(f"{name} has transparency, which a jpg cannot hold: export png or tif")
    if max(size) > _LONGEST_EDGE[kind]:
        raise RasterError(
            f"a {kind} of {size[0]} x {size[1]} px cannot be: choose another format, or a coarser resolution"
        )


def write_image(source: Any, target: Path, kind: str, window: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Write a part of an open raster as one image, with a world file where the format has no place for coordinates.

    Args:
        source: A GDAL dataset.
        target: The image, which is replaced as a whole.
        kind: `jpg`, `png` or `tif` (cloud-optimized).
        window: Left column, top row, width and height of the part in px.
        size: Width and height of the image in px.

    Raises:
        RasterError: The format cannot hold an image of this size or transparency.
        RuntimeError: GDAL cannot read or write the pixels.
    """
    width, height = size
    check_image(target.stem, kind, size, transparent=_is_transparent(source))
    with replacing(target) as part:
        _translate(source, part, kind, window, size)
    if kind in _WORLD_FILES:
        left, step_x, _, top, _, step_y = source.GetGeoTransform()
        left, top = left + window[0] * step_x, top + window[1] * step_y
        across, down = step_x * window[2] / width, step_y * window[3] / height
        lines = (across, 0.0, 0.0, down, left + across / 2, top + down / 2)
        with replacing(target.with_suffix(_WORLD_FILES[kind])) as part:
            part.write_text("".join(f"{line!r}\n" for line in lines), "ascii")


def export_tiles(mosaic: Path, kind: str, resolution: Resolution) -> Path:
    """Write a mosaic of the whole world as gibs-ml's grid of tiles, `tiles/{Layer}_Tile_{x}-{y}.{kind}`.

    The tiles cover the globe once, without overlap; x counts from the west, y from the north. Those of an earlier
    export to the same format go first: they may be of another grid.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg` or `png`.
        resolution: A row of gibs-ml's table.

    Returns:
        The folder of the tiles.

    Raises:
        RasterError: The mosaic cannot be read, is not one of the whole world or is too coarse to be cut so, or has
            transparency, which a jpg cannot hold.
        StorageError: The disk is full or fails.
    """
    import cv2

    box = Box.open(mosaic)
    _check_whole(box)
    _check_opaque(box.dataset, mosaic.stem, kind)
    cols, rows = resolution.grid
    if box.window.width % cols or box.window.height % rows:
        raise RasterError(f"{mosaic} is too coarse for {cols} x {rows} tiles: download level {resolution.level}")
    width, height = box.window.width // cols, box.window.height // rows
    folder = mosaic.parent / "tiles"

    def path_of(window: PixelWindow) -> Path:
        return folder / f"{mosaic.stem}_Tile_{window.col // width}-{window.row // height}.{kind}"

    def resize(pixels: Image) -> Image:
        # Nearest neighbour: the pixels stay NASA's, and the edges of no data stay hard.
        return cv2.resize(pixels, (TILE_SIZE, TILE_SIZE), interpolation=cv2.INTER_NEAREST_EXACT)

    with _exporting(mosaic):
        for path in _world_tiles(mosaic, kind):
            path.unlink()
        write_tiles(box, Tiling(width, height, 0).windows(*box.window[2:]), path_of, resize)
    return folder


def tiles_are_current(mosaic: Path, kind: str, resolution: Resolution) -> bool:
    """Whether the tiles that `export_tiles` would write are there, and no others, none older than the mosaic."""
    cols, rows = resolution.grid
    names = {f"{mosaic.stem}_Tile_{col}-{row}.{kind}" for col in range(cols) for row in range(rows)}
    tiles, since = _world_tiles(mosaic, kind), mosaic.stat().st_mtime_ns
    return {path.name for path in tiles} == names and all(path.stat().st_mtime_ns >= since for path in tiles)


def _world_tiles(mosaic: Path, kind: str) -> list[Path]:
    ours = re.compile(rf"{re.escape(mosaic.stem)}_Tile_\d+-\d+\.{kind}", re.ASCII)
    return [path for path in (mosaic.parent / "tiles").glob("*") if ours.fullmatch(path.name)]


def export_tiling(mosaic: Path, kind: str, tiling: Tiling, bbox: BBox | None = None) -> Path:
    """Write a mosaic, or a box of it, as tiles that overlap, with an index.

    The tiles go to `tiles/{width}x{height}_{overlap}/{Layer}/{Layer}_{col}-{row}.{kind}` beside the mosaic, with the
    first column and row of the mosaic that they show; a box and a boundary handling other than the default become a
    part of the last folder's name. The index is written last: where there is one, the tiles are whole. Tiles of an
    earlier export that are no longer in it are removed.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg` or `png`.
        tiling: How to cut.
        bbox: Box as for `Box.open`.

    Returns:
        The index, see `write_index`.

    Raises:
        RasterError: The mosaic cannot be read or does not meet the box, or has transparency, which a jpg cannot hold.
        StorageError: The disk is full or fails.
        ValueError: No tile lies inside the image, see `Tiling.windows`.
    """
    box = Box.open(mosaic, bbox)
    _check_opaque(box.dataset, mosaic.stem, kind)
    windows = tiling.windows(*box.window[2:])
    name = _box_name(mosaic, bbox)
    if tiling.boundary != Tiling.boundary:
        name += f".{tiling.boundary}"
    folder = mosaic.parent / "tiles" / f"{tiling.width}x{tiling.height}_{tiling.overlap:.12g}" / name

    def path_of(window: PixelWindow) -> Path:
        col, row = box.of_mosaic(window)[:2]
        return folder / f"{mosaic.stem}_{col}-{row}.{kind}"

    with _exporting(mosaic):
        (folder / INDEX).unlink(missing_ok=True)
        write_tiles(box, windows, path_of, lambda pixels: pad(pixels, tiling.width, tiling.height))
        tiles = {path_of(window).name: box.of_mosaic(window) for window in windows}
        index = write_index(folder, box, tiles.items())
        for path in folder.iterdir():
            if _is_tile(path, mosaic.stem) and path.name not in tiles:
                path.unlink()
    return index


def exported_files(mosaic: Path) -> list[Path]:
    """The images, world files, tiles and their indices that were written from a day's mosaic.

    Args:
        mosaic: The `.mrf` file, which may be gone.
    """
    layer, kinds = re.escape(mosaic.stem), "|".join(_DRIVERS)
    endings = "|".join([kinds, *(suffix[1:] for suffix in _WORLD_FILES.values())])
    # Not by a pattern of the shell: one layer's name may be another's with `_Tile_` and more behind it.
    image = re.compile(rf"{layer}{_BOX}\.({endings})", re.ASCII)
    tile = re.compile(rf"{layer}_Tile_\d+-\d+\.({kinds})", re.ASCII)
    tiling = re.compile(rf"{layer}{_BOX}(\.({'|'.join(get_args(Boundary))}))?", re.ASCII)
    tiles = mosaic.parent / "tiles"
    found = [path for path in mosaic.parent.glob("*") if image.fullmatch(path.name)]
    found += [path for path in tiles.glob("*") if tile.fullmatch(path.name)]
    for folder in tiles.glob("*x*_*/*"):
        if tiling.fullmatch(folder.name):
            found += [path for path in folder.glob("*") if path.name == INDEX or _is_tile(path, mosaic.stem)]
    return sorted(found)


def _is_tile(path: Path, stem: str) -> bool:
    """Whether a file in a folder of overlapping tiles is one of them; people keep labels beside them."""
    return re.fullmatch(rf"{re.escape(stem)}_\d+-\d+\.(jpg|png)", path.name, re.ASCII) is not None


@contextmanager
def _exporting(mosaic: Path) -> Iterator[None]:
    """Turns what GDAL and the disk refuse into errors that name the mosaic."""
    try:
        yield
    except RuntimeError as error:
        raise RasterError(f"{mosaic} cannot be exported: {error}") from error
    except OSError as error:
        raise StorageError(
            f"cannot write what is exported from {mosaic}: {error.strerror or error}. Make room or mend the folder, "
            "then run the same again"
        ) from error


def _box_name(mosaic: Path, bbox: BBox | None) -> str:
    """The name of what is cut from a mosaic, without a suffix: one that no image of the whole mosaic has."""
    return mosaic.stem if bbox is None else f"{mosaic.stem}.bbox_{'_'.join(f'{edge:.12g}' for edge in bbox)}"


def _check_whole(box: Box) -> None:
    if not box.whole:
        raise RasterError(f"{box.mosaic} is not of the whole world: gibs-ml's sizes and tiles are cut from that only")


def _is_transparent(source: Any) -> bool:
    entries = palette_of(source) or ()
    return source.RasterCount == 4 or any(alpha < 255 for *_, alpha in entries)


def _check_opaque(source: Any, name: str, kind: str) -> None:
    if kind == "jpg" and _is_transparent(source):
        raise RasterError(f"{name} has transparency, which a jpg cannot hold: export png or tif")


def _translate(source: Any, part: Path, kind: str, window: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    paletted = palette_of(source) is not None
    # Nearest neighbour: the pixels stay NASA's, and the edges of no data stay hard.
    gdal().Translate(
        str(part),
        source,
        format=_DRIVERS[kind],
        srcWin=list(window),
        width=size[0],
        height=size[1],
        resampleAlg="nearest",
        rgbExpand={"png": "rgba", "jpg": "rgb"}.get(kind) if paletted else None,
        creationOptions={"jpg": [f"QUALITY={QUALITY}"], "png": [], "tif": ["COMPRESS=DEFLATE"]}[kind],
    ).FlushCache()
