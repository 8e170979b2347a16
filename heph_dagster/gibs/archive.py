"""An archive of one's own: global images become mosaics with all their levels, as GIBS keeps them.

The layout is `{root}/{EPSG}/{YYYY-MM-DD}/{Layer}.mrf`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import cv2
import numpy as np

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import TILE_SIZE, Grid, Tile
from heph_dagster.gibs.mrf import Layout
from heph_dagster.gibs.publish import MosaicWriter
from heph_dagster.gibs.raster import JPEG_BLACK, Image, RasterError, black, read_palette, read_pixels, read_place
from heph_dagster.gibs.tiles import Palette

JPEG_QUALITY = 90


def mosaic_path(root: Path, epsg: int, day: date, layer: Layer) -> Path:
    """Where a layer's mosaic of a day stands below a data root or archive."""
    return root / str(epsg) / day.isoformat() / f"{layer.identifier}.mrf"


def import_image(root: Path, layer: Layer, epsg: int, day: date, source: Path, level: int | None = None) -> Path:
    """Make a global image a day of an archive.

    Colours are resampled linearly; no data (black, with the tolerance that a JPEG needs) by nearest neighbour and
    apart from the colours, so that its edges stay hard. The mosaic's origin is the `source` (a file URI), its `sha256`,
    `width` and `height` in px, and `imported_at` (UTC).

    Args:
        root: The archive.
        layer: The layer that the image is a day of; a PNG layer keeps palette and transparency.
        epsg: Projection of the image, which covers the grid's whole extent.
        day: The day it shows.
        source: An image that GDAL reads; the content counts, not the name's suffix.
        level: Finest level to make; by default the coarsest one of the layer that is at least as wide as the image.

    Returns:
        The mosaic.

    Raises:
        RasterError: The image cannot be read, or does not have the proportions of the whole extent, or says itself that
            it lies elsewhere.
        ValueError: The layer has no such level.
    """
    grid = layer.grid(epsg)
    pixels = read_pixels(source)
    height, width = pixels.shape[:2]
    full_width, full_height = grid.size(0)
    if not np.isclose(width / height, full_width / full_height, rtol=0.01):
        raise RasterError(
            f"{source} is {width} x {height} px, but an image of all of EPSG:{epsg} is {full_width / full_height:g} "
            "times as wide as high: crop or pad it first"
        )
    _check_place(source, grid)
    finest = layer.finest_level(epsg)
    if level is None:
        level = min(grid.level_for_width(width), finest)
    elif level > finest:
        raise ValueError(f"{layer.identifier} has no level {level}: the finest in EPSG:{epsg} is {finest}")
    size, content = grid.size(level), source.read_bytes()
    # The pixels of a JPEG layer have been through JPEG, whatever file they are in now.
    tolerance = JPEG_BLACK if layer.format == "jpg" or content.startswith(b"\xff\xd8") else 0
    if pixels.ndim == 3 and pixels.shape[2] == 2:  # grey and alpha
        pixels = pixels[..., [0, 0, 0, 1]]
    palette = read_palette(source) if pixels.ndim == 2 else None
    if pixels.ndim == 2 and layer.format == "jpg":
        pixels, palette = _rgb(pixels, palette), None
    if pixels.ndim == 2:
        resampled = _nearest(pixels, size)
    else:
        resampled = _resample(pixels[..., :3] if layer.format == "jpg" else pixels, size, tolerance)
    origin = {
        "source": source.absolute().as_uri(), "sha256": hashlib.sha256(content).hexdigest(),
        "width": str(width), "height": str(height),
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    return write_day(root, layer, epsg, day, resampled, palette, origin)


def _check_place(source: Path, grid: Grid) -> None:
    """Make sure that an image which says where it lies covers the whole extent of a grid."""
    bbox, epsg = read_place(source)
    if epsg not in {None, grid.epsg}:
        raise RasterError(f"{source} is in EPSG:{epsg}, not in EPSG:{grid.epsg}: reproject it first")
    # A hundredth of the height: what the proportions may be wrong by.
    slack = (grid.extent[3] - grid.extent[1]) / 100
    if bbox is not None and not np.allclose(bbox, grid.extent, rtol=0, atol=slack):
        raise RasterError(f"{source} says that it covers {bbox}, which is not all of EPSG:{grid.epsg}, {grid.extent}")


def write_day(
    root: Path,
    layer: Layer,
    epsg: int,
    day: date,
    image: Image,
    palette: Palette | None = None,
    origin: Mapping[str, str] | None = None,
) -> Path:
    """Write a day's image as a mosaic with all its levels.

    Args:
        root: The archive.
        layer: The layer; its format says how tiles are encoded (JPEG of quality 90, or PNG).
        epsg: Projection.
        day: The day.
        image: Height x width x 3 (RGB) or 4 (RGBA), or height x width of grey or palette indices, at exactly the
            size of a level.
        palette: RGBA entries where the image holds palette indices.
        origin: Where the image comes from, if the mosaic is to tell.

    Returns:
        The mosaic.
    """
    grid = layer.grid(epsg)
    level = grid.level_of_size(image.shape[1], image.shape[0])
    with MosaicWriter(mosaic_path(root, epsg, day, layer), Layout(grid.window(level), pyramid=True), origin) as mosaic:
        for depth, matrix in enumerate(mosaic.layout.matrices):
            if depth:
                image = _halve(image)
            for row in range(matrix[1]):
                for col in range(matrix[0]):
                    tile = np.zeros((TILE_SIZE, TILE_SIZE, *image.shape[2:]), np.uint8)
                    part = image[row * TILE_SIZE : (row + 1) * TILE_SIZE, col * TILE_SIZE : (col + 1) * TILE_SIZE]
                    tile[: part.shape[0], : part.shape[1]] = part
                    mosaic.put(Tile(level - depth, row, col), encode(tile, layer.format, palette))
        return mosaic.publish()


def encode(pixels: Image, tile_format: str, palette: Palette | None = None, quality: int = JPEG_QUALITY) -> bytes:
    """Encode pixels (RGB, RGBA, grey, or palette indices) as JPEG or PNG."""
    if palette is not None:
        return _encode_palette(pixels, palette)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if tile_format == "jpg" else []
    return cv2.imencode(f".{tile_format}", pixels, options)[1].tobytes()


def _encode_palette(indices: Image, palette: Palette) -> bytes:
    from PIL import Image as Pillow

    # Pillow packs pixels of 16 colours or fewer, which GDAL's MRF driver does not unpack: unused entries prevent that.
    palette += ((0, 0, 0, 0),) * (17 - len(palette))
    picture = Pillow.fromarray(indices, "P")
    picture.putpalette([value for entry in palette for value in entry[:3]])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=bytes(entry[3] for entry in palette))
    return buffer.getvalue()


def _rgb(pixels: Image, palette: Palette | None) -> Image:
    """Grey, or the colours of palette indices, as RGB."""
    if palette is None:
        return np.repeat(pixels[..., None], 3, axis=2)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = [entry[:3] for entry in palette]
    return colours[pixels]


def _nearest(pixels: Image, size: tuple[int, int]) -> Image:
    return cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _resample(image: Image, size: tuple[int, int], tolerance: int) -> Image:
    """Linear where there is data, weighted so that no data does not bleed in; nearest where there is none."""
    no_data = black(image, tolerance) if image.shape[2] == 3 else (image[..., 3] == 0).astype(np.uint8)
    if (image.shape[1], image.shape[0]) == size:
        return np.where(no_data[..., None], 0, image).astype(np.uint8)
    weight = cv2.resize(1.0 - no_data.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    weighted = np.where(no_data[..., None], 0, image).astype(np.float32)
    colour = cv2.resize(weighted, size, interpolation=cv2.INTER_LINEAR)
    # In place: fresh pages for each step of an image this large cost more than the arithmetic.
    colour /= np.maximum(weight, 1e-6, out=weight)[..., None]
    np.clip(np.rint(colour, out=colour), 0, 255, out=colour)
    resampled = colour.astype(np.uint8)
    resampled[_nearest(no_data, size) == 1] = 0
    return resampled


def _halve(image: Image) -> Image:
    """Half the size, rounded up: means of 2 x 2 px of data, no data and palette indices by their nearest pixel."""
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), *((0, 0),) * (image.ndim - 2)), mode="edge")
    nearest = even[::2, ::2]
    if image.ndim == 2:
        return np.ascontiguousarray(nearest)
    data = 1 - black(even) if image.shape[2] == 3 else (even[..., 3] > 0).astype(np.uint8)
    half = (even.shape[1] // 2, even.shape[0] // 2)
    share = cv2.resize(data.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    weighted = even * data[..., None]
    mean = (
        cv2.resize(weighted.astype(np.float32), half, interpolation=cv2.INTER_AREA) / np.maximum(share, 0.25)[..., None]
    )
    return np.where(data[::2, ::2, None] == 1, np.rint(mean), nearest).astype(np.uint8)
