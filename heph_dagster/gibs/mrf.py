"""Mosaics on disk: MRF files, read tile by tile; `heph_dagster.gibs.publish` writes them.

An MRF is a heap of tile bytes, an index of big-endian (offset, size) pairs, finest level first, row by row, and a
small XML file. Tiles are stored as they came, so a download is an append. GDAL and QGIS open the XML file.

Source: Meta Raster Format user guide (nasa-gibs/mrf, doc/MUG.md); GDAL's MRF driver.
"""

from __future__ import annotations

import os
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import defusedxml.ElementTree as SafeET
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.grid import TILE_SIZE, Tile, Window, grid
from heph_dagster.gibs.tiles import TileType

_COMPRESSION = {"jpg": "JPEG", "png": "PNG"}
_INDEX_TYPE = np.dtype([("offset", ">u8"), ("size", ">u8")])
Index = NDArray[np.void]
_EDGES = ("minx", "miny", "maxx", "maxy")
MANIFEST_SUFFIX = ".tiles.parquet"


class MosaicError(ValueError):
    """A mosaic on disk that cannot be read."""


@dataclass(frozen=True)
class Layout:
    """Where each tile stands in the index of a mosaic.

    Attributes:
        window: What the mosaic holds of its finest level.
        pyramid: Whether the coarser levels follow, down to a single tile, which lies above GIBS's level 0.
    """

    window: Window
    pyramid: bool = False

    @cached_property
    def matrices(self) -> list[tuple[int, int]]:
        """Columns and rows of each level, finest first."""
        matrices = [(self.window.cols, self.window.rows)]
        while self.pyramid and matrices[-1] != (1, 1):
            cols, rows = matrices[-1]
            matrices.append((-(-cols // 2), -(-rows // 2)))
        return matrices

    @cached_property
    def tiles(self) -> int:
        """Number of tiles of all levels."""
        return sum(cols * rows for cols, rows in self.matrices)

    def position(self, tile: Tile) -> int | None:
        """Place of a tile in the index, or None where the mosaic does not reach."""
        depth = self.window.level - tile.level
        if not 0 <= depth < len(self.matrices):
            return None
        cols, rows = self.matrices[depth]
        col, row = tile.col, tile.row
        if not depth:
            columns = grid(self.window.epsg).matrix(tile.level)[0]
            row -= self.window.row
            col = (col - self.window.col) % columns if 0 <= col < columns else -1
        if not (0 <= row < rows and 0 <= col < cols):
            return None
        return sum(c * r for c, r in self.matrices[:depth]) + row * cols + col


def empty_index(layout: Layout) -> Index:
    """An index without tiles: offset and size in bytes, big-endian, of each tile of a layout."""
    return np.zeros(layout.tiles, _INDEX_TYPE)


def document(layout: Layout, tile_type: TileType, data: str, index: str, origin: Mapping[str, str] | None) -> str:
    """The XML file of a mosaic.

    Args:
        layout: What the mosaic holds.
        tile_type: Type of all its tiles.
        data: Name of its data file.
        index: Name of its index file.
        origin: Where its pixels come from, see `Mosaic.origin`.
    """
    width, height = layout.window.size
    root = ET.Element("MRF_META")
    raster = ET.SubElement(root, "Raster")
    bands = str(tile_type.bands)
    ET.SubElement(raster, "Size", x=str(width), y=str(height), c=bands)
    ET.SubElement(raster, "PageSize", x=str(TILE_SIZE), y=str(TILE_SIZE), c=bands)
    compression = "PPNG" if tile_type.palette is not None else _COMPRESSION[tile_type.format]
    ET.SubElement(raster, "Compression").text = compression
    ET.SubElement(raster, "DataFile").text = data
    ET.SubElement(raster, "IndexFile").text = index
    if tile_type.palette is not None:
        palette = ET.SubElement(raster, "Palette")
        ET.SubElement(palette, "Size").text = str(len(tile_type.palette))
        ET.SubElement(palette, "Model").text = "RGB"
        for number, entry in enumerate(tile_type.palette):
            colour = {f"c{band}": str(value) for band, value in enumerate(entry, 1)}
            ET.SubElement(palette, "Entry", {"idx": str(number), **colour})
    if len(layout.matrices) > 1:
        ET.SubElement(root, "Rsets", model="uniform", scale="2")
    geo = ET.SubElement(root, "GeoTags")
    edges = map(repr, layout.window.bbox)
    ET.SubElement(geo, "BoundingBox", dict(zip(_EDGES, edges, strict=True)))
    ET.SubElement(geo, "Projection").text = f"EPSG:{layout.window.epsg}"
    if origin is not None:
        ET.SubElement(root, "Origin", dict(origin))  # GDAL passes over elements that it does not know
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


class Mosaic:
    """A published MRF, open for reading tiles until it is closed or forgotten. Safe to share between threads.

    Attributes:
        path: The `.mrf` file.
        layout: What it holds.
        origin: Where the pixels of an imported image come from (see `heph_dagster.gibs.archive.import_image`), None for
            any other mosaic.
    """

    def __init__(self, path: Path, epsg: int) -> None:
        """Open a mosaic.

        Args:
            path: The `.mrf` file, ours or one of GDAL's whose pages are 512 x 512 px.
            epsg: Projection.

        Raises:
            FileNotFoundError: There is none.
            MosaicError: It is damaged, or not a global mosaic of a GIBS grid.
        """
        self.path = path
        text = path.read_bytes()
        while True:
            try:
                self._open(text, epsg)
            except FileNotFoundError:
                # Replaced since the XML was read, or damaged if it is still the same.
                text, known = path.read_bytes(), text
                if text == known:
                    raise
            else:
                return

    def _open(self, text: bytes, epsg: int) -> None:
        path = self.path
        root: Any = parse_document(path, text)  # an element that is missing is an AttributeError
        try:
            raster = root.find("Raster")
            size, page = raster.find("Size").attrib, raster.find("PageSize").attrib
            self.compression: str = raster.findtext("Compression", "PNG")
            suffix = ".pjg" if self.compression == "JPEG" else ".ppg"
            self.data_path = path.with_name(raster.findtext("DataFile", path.with_suffix(suffix).name).strip())
            index_path = path.with_name(raster.findtext("IndexFile", path.with_suffix(".idx").name).strip())
            pages = int(page["x"]), int(page["y"])
            width, height = int(size["x"]), int(size["y"])
            box = root.find("GeoTags/BoundingBox")
            edges = grid(epsg).extent if box is None else (float(box.attrib[edge]) for edge in _EDGES)
            left, bottom, right, top = edges
            window = grid(epsg).window_of((left, bottom, right, top), width, height)
            origin = root.find("Origin")
            self.origin: dict[str, str] | None = None if origin is None else dict(origin.attrib)
        except (AttributeError, KeyError) as error:
            raise MosaicError(f"{path} is not an MRF: {error}") from error
        except (ValueError, OverflowError) as error:
            raise MosaicError(f"{path}: {error}") from error
        if pages != (TILE_SIZE, TILE_SIZE):
            raise MosaicError(f"{path}: pages of {pages[0]} x {pages[1]} px, not {TILE_SIZE} x {TILE_SIZE}")
        self._index = np.fromfile(index_path, _INDEX_TYPE)
        self.layout = Layout(window, pyramid=len(self._index) != Layout(window).tiles)
        if len(self._index) < self.layout.tiles:
            raise MosaicError(
                f"{index_path} has {len(self._index)} entries where {self.layout.tiles} are needed: "
                "the mosaic is damaged or lacks overviews; download or import the day again"
            )
        self._fd = os.open(self.data_path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._fd)
        self._end = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the data file."""
        self._close()
        self._fd = -1

    @property
    def level(self) -> int:
        """The finest level."""
        return self.layout.window.level

    @property
    def levels(self) -> range:
        """The GIBS levels that the mosaic holds."""
        return range(max(0, self.level - len(self.layout.matrices) + 1), self.level + 1)

    @property
    def tile_sizes(self) -> NDArray[np.int64]:
        """Bytes of each tile of the finest level, row by row; 0 for a hole."""
        return self._index["size"][: self.layout.matrices[0][0] * self.layout.matrices[0][1]].astype(np.int64)

    def check_index(self) -> int:
        """Make sure that all tiles lie within the data, without reading them.

        Returns:
            Number of tiles of all levels.

        Raises:
            MosaicError: The index names bytes beyond the end of the data.
        """
        index = self._index[: self.layout.tiles]
        used = index[index["size"] > 0]
        if np.any(used["offset"] + used["size"] > self._end):
            raise MosaicError(
                f"{self.data_path} ends before its last tile: it or its index is damaged; heph verify --mend downloads "
                "again what is lost"
            )
        return len(used)

    def tile(self, tile: Tile) -> bytes | None:
        """The bytes of a tile as they are stored, or None where the mosaic has a hole or no such tile.

        Raises:
            MosaicError: The index names bytes beyond the end of the data.
        """
        position = self.layout.position(tile)
        if position is None:
            return None
        offset, size = self._index[position].tolist()
        if size and offset + size > self._end:
            raise MosaicError(
                f"{self.data_path} ends before {tile}: it or its index is damaged; heph verify --mend downloads the "
                "tile again"
            )
        return os.pread(self._fd, size, offset) or None


def manifest_path(path: Path) -> Path | None:
    """The tile manifest of a mosaic, or None where it has none (an imported day).

    Raises:
        FileNotFoundError: There is no mosaic.
        MosaicError: It is damaged.
    """
    index = parse_document(path, path.read_bytes()).findtext("Raster/IndexFile", "").strip()
    try:
        manifest = path.with_name(index.removesuffix(".idx") + MANIFEST_SUFFIX)
    except ValueError as error:
        raise MosaicError(f"{path}: {error}") from error
    return manifest if manifest.exists() else None


def parse_document(path: Path, text: bytes) -> ET.Element:
    """The XML file of a mosaic, parsed.

    Raises:
        MosaicError: It is no XML.
    """
    try:
        root: ET.Element = SafeET.fromstring(text)
    except (ET.ParseError, LookupError, ValueError) as error:  # an encoding may be unknown, an entity forbidden
        raise MosaicError(f"{path} is not an MRF: {error}") from error
    return root
