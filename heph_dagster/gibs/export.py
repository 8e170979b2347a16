"""Mosaics as the files that gibs-ml's users know: one image of the world with a world file, or 512 px tiles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from heph_dagster.files import replacing
from heph_dagster.gibs.grid import TILE_SIZE, Resolution
from heph_dagster.gibs.raster import RasterError, gdal

_DRIVERS = {"jpg": "JPEG", "png": "PNG", "tif": "COG"}
_WORLD_FILES = {"jpg": ".jgw", "png": ".pgw"}
_LONGEST_EDGE = {"jpg": 65_500, "png": 1_000_000, "tif": 10_000_000}
_QUALITY = 95


def export_image(mosaic: Path, kind: str, size: tuple[int, int] | None = None) -> Path:
    """Write a mosaic as one image beside it, with a world file where the format has no place for coordinates.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg`, `png` or `tif` (cloud-optimized).
        size: Width and height in px; the mosaic's own by default.

    Returns:
        The image.

    Raises:
        RasterError: The mosaic cannot be read, or the format cannot hold an image of this size or transparency.
    """
    source = _open(mosaic)
    window = (0, 0, source.RasterXSize, source.RasterYSize)
    target = mosaic.with_suffix(f".{kind}")
    write_image(source, target, kind, window, size or window[2:])
    return target


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
    """
    width, height = size
    if max(width, height) > _LONGEST_EDGE[kind]:
        raise RasterError(
            f"a {kind} of {width} x {height} px cannot be: export tiles, or a tif, or a coarser resolution"
        )
    if kind == "jpg" and source.RasterCount == 4:
        raise RasterError(f"{target.stem} has transparency, which a jpg cannot hold: choose png or tif")
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

    The tiles cover the globe once, without overlap; x counts from the west, y from the north. They are cut one by
    one, so that the finest resolutions need no more memory than the coarsest.

    Args:
        mosaic: The `.mrf` file.
        kind: `jpg` or `png`.
        resolution: A row of gibs-ml's table.

    Returns:
        The folder of the tiles.

    Raises:
        RasterError: The mosaic cannot be read, or is not one of the whole world.
    """
    source = _open(mosaic)
    cols, rows = resolution.grid
    if source.RasterXSize * rows != source.RasterYSize * cols:
        raise RasterError(f"{mosaic} is not of the whole world: gibs-ml's tiles are cut from that only")
    width, height = source.RasterXSize / cols, source.RasterYSize / rows
    folder = mosaic.parent / "tiles"
    for row in range(rows):
        for col in range(cols):
            with replacing(folder / f"{mosaic.stem}_Tile_{col}-{row}.{kind}") as part:
                _translate(source, part, kind, (col * width, row * height, width, height), (TILE_SIZE, TILE_SIZE))
    return folder


def exported_files(mosaic: Path) -> list[Path]:
    """The images, world files and tiles of a day that were written from its mosaic.

    Args:
        mosaic: The `.mrf` file, which may be gone.
    """
    suffixes = [*(f".{kind}" for kind in _DRIVERS), *_WORLD_FILES.values()]
    # Not by a pattern of the shell: one layer's name may be another's with `_Tile_` and more behind it.
    tile = re.compile(rf"{re.escape(mosaic.stem)}_Tile_\d+-\d+\.({'|'.join(_DRIVERS)})", re.ASCII)
    tiles = sorted(path for path in (mosaic.parent / "tiles").glob("*") if tile.fullmatch(path.name))
    return [path for path in map(mosaic.with_suffix, suffixes) if path.exists()] + tiles


def _open(mosaic: Path) -> Any:
    try:
        return gdal().Open(str(mosaic))
    except RuntimeError as error:
        raise RasterError(f"{mosaic} cannot be read as an image: {error}") from error


def _translate(
    source: Any, target: Path, kind: str, window: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    options = {"jpg": [f"QUALITY={_QUALITY}"], "png": [], "tif": ["COMPRESS=DEFLATE"]}[kind]
    paletted = source.GetRasterBand(1).GetColorTable() is not None
    # Nearest neighbour: the pixels stay NASA's, and the edges of no data stay hard.
    gdal().Translate(
        str(target),
        source,
        format=_DRIVERS[kind],
        srcWin=list(window),
        width=size[0],
        height=size[1],
        resampleAlg="nearest",
        rgbExpand={"png": "rgba", "jpg": "rgb"}.get(kind) if paletted else None,
        creationOptions=options,
    ).FlushCache()
