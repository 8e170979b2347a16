"""Mosaics on disk: MRF files, written tile by tile and read tile by tile.

An MRF is a heap of tile bytes, an index of big-endian (offset, size) pairs, finest level first, row by row, and a
small XML file. Tiles are stored as they came, so a download is an append. GDAL and QGIS open the XML file.

The data and index files carry a digest of the tiles in their names and the XML names them. Replacing the XML
therefore replaces the whole mosaic at once, and a reader sees either the old day or the new one.

Source: Meta Raster Format user guide (nasa-gibs/mrf, doc/MUG.md); GDAL's MRF driver.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import defusedxml.ElementTree as SafeET
import numpy as np
from numpy.typing import NDArray

from heph_dagster.files import replacing, temporary
from heph_dagster.gibs.grid import TILE_SIZE, Tile, Window, grid
from heph_dagster.gibs.tiles import TileError, TileType, read_header

_COMPRESSION = {"jpg": "JPEG", "png": "PNG"}
_DATA_SUFFIX = {"jpg": ".pjg", "png": ".ppg"}
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


class MosaicWriter:
    """Collects the tiles of a mosaic in any order; `publish` makes it visible, leaving without it leaves nothing.

    All tiles must be of one type, because GDAL decodes mosaics of mixed tiles wrongly.
    """

    def __init__(self, path: Path, layout: Layout, origin: Mapping[str, str] | None = None) -> None:
        """Begin a mosaic.

        Args:
            path: The `.mrf` file to publish.
            layout: What it holds.
            origin: Where its pixels come from, see `Mosaic.origin`.
        """
        self.path = path
        self.layout = layout
        self._origin = origin
        self.type: TileType | None = None
        self._index = empty_index(layout)
        self._digests: dict[int, str] = {}
        self._end = 0
        self._part = temporary(path, ".part")
        self._data: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._data is not None:
                self._data.close()  # writes what is buffered, which a full disk refuses
        finally:
            self._part.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes of all tiles so far."""
        return self._end

    def put(self, tile: Tile, data: bytes) -> None:
        """Add a tile.

        Raises:
            TileError: The bytes are not a 512 x 512 px tile of the type of the others, or the tile does not belong
                to this mosaic or was added before.
        """
        header = read_header(data)
        if (header.width, header.height) != (TILE_SIZE, TILE_SIZE):
            raise TileError(f"{tile} is {header.width} x {header.height} px instead of {TILE_SIZE} x {TILE_SIZE}")
        if self.type is None and header.type.storable:
            self.type = header.type
        if header.type != self.type:
            raise TileError(f"{tile} is {header.type}, which does not go with a mosaic of {self.type or 'whole bytes'}")
        position = self.layout.position(tile)
        if position is None or self._index[position]["size"]:
            raise TileError(f"{tile} {'is outside this mosaic' if position is None else 'was already added'}")
        if self._data is None:  # not before: a mosaic that gets no tile leaves no folder behind
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._data = self._part.open("wb")
        self._data.write(data)
        self._index[position] = (self._end, len(data))
        self._digests[position] = hashlib.sha256(data).hexdigest()
        self._end += len(data)

    def publish(self) -> Path:
        """Put the mosaic in place, replacing the one that was there.

        Returns:
            The `.mrf` file.

        Raises:
            MosaicError: No tile was added.
        """
        if self._data is None or self.type is None:
            raise MosaicError(f"{self.path}: a mosaic without tiles is not published")
        self._data.flush()
        digest = hashlib.sha256("".join(self._digests[position] for position in sorted(self._digests)).encode())
        return publish_mosaic(
            self.path, self.layout, self.type, self._index, self._part, digest.hexdigest(), origin=self._origin
        )


def empty_index(layout: Layout) -> Index:
    """An index without tiles: offset and size in bytes, big-endian, of each tile of a layout."""
    return np.zeros(layout.tiles, _INDEX_TYPE)


def publish_mosaic(
    path: Path,
    layout: Layout,
    tile_type: TileType,
    index: Index,
    data: Path,
    digest: str,
    manifest: Path | None = None,
    origin: Mapping[str, str] | None = None,
) -> Path:
    """Put a mosaic in place, replacing the one that was there.

    Args:
        path: The `.mrf` file.
        layout: What the mosaic holds.
        tile_type: Type of all its tiles.
        index: Offset and size of each tile in `data`; size 0 for a hole.
        data: The tiles' bytes, in the same folder; the file is moved.
        digest: SHA-256 of the digests of all tiles, in the order of the index.
        manifest: What is known of each tile's origin, to be kept beside the mosaic; the file is moved.
        origin: Where the pixels of a mosaic that is not made of tiles as served come from, kept in the mosaic.

    Returns:
        The `.mrf` file.
    """
    # The digest covers the index: the same tiles in another order are other files, and no reader mixes the two.
    name = hashlib.sha256(digest.encode() + index.tobytes()).hexdigest()
    stem = f"{path.stem}.{name[:12]}"
    for part in (data, manifest) if manifest else (data,):
        with part.open("rb") as written:
            os.fsync(written.fileno())
    data_path, index_path = (path.with_name(stem + suffix) for suffix in (_DATA_SUFFIX[tile_type.format], ".idx"))
    with _locked(path.parent):
        with replacing(index_path) as part:
            index.tofile(part)
        if manifest is not None:
            manifest.replace(path.with_name(stem + MANIFEST_SUFFIX))
        data.replace(data_path)
        with replacing(path) as part:
            part.write_text(_xml(layout, tile_type, data_path.name, index_path.name, origin), "utf-8")
        for old in _not_of(path, {stem}):
            old.unlink()
    return path


def superseded_files(path: Path, *, remove: bool = False) -> list[Path]:
    """Files of generations that a mosaic does not name: what a crash left when it was replaced.

    The folder is locked meanwhile, so that the files of a day that is being published are not taken for such.

    Args:
        path: The `.mrf` file.
        remove: Whether to remove them.

    Returns:
        The files; none where the mosaic is gone or damaged, because nothing tells then which ones it needs.
    """
    try:
        with _locked(path.parent):
            root = _parse(path, path.read_bytes())
            names = (root.findtext(f"Raster/{name}", "").strip() for name in ("DataFile", "IndexFile"))
            old = _not_of(path, {name.rpartition(".")[0] for name in names})
            for file in old if remove else ():
                file.unlink(missing_ok=True)
    except (FileNotFoundError, MosaicError):
        return []
    return old


def remove_mosaic(path: Path) -> None:
    """Take a mosaic away, the XML first, so that no reader meets one without its data.

    Args:
        path: The `.mrf` file; files of generations that a crash left behind go too, also where it is gone.
    """
    with _locked(path.parent):
        for file in (path, *generation_files(path)):
            file.unlink(missing_ok=True)


def _xml(layout: Layout, tile_type: TileType, data: str, index: str, origin: Mapping[str, str] | None) -> str:
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
    """A published MRF, open for reading tiles. Safe to share between threads.

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
        root: Any = _parse(path, text)  # an element that is missing is an AttributeError
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
        self._end = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the data file."""
        if self._fd >= 0:
            os.close(self._fd)
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


def generation_files(path: Path) -> list[Path]:
    """Data, index and manifest files of all generations of a mosaic."""
    hex_digits = "[0-9a-f]" * 12
    return sorted(path.parent.glob(f"{path.stem}.{hex_digits}.*"))


def _not_of(path: Path, stems: set[str]) -> list[Path]:
    """Files of the generations of a mosaic but those of these names."""
    keep = tuple(f"{stem}." for stem in stems)
    return [file for file in generation_files(path) if not file.name.startswith(keep)]


def manifest_path(path: Path) -> Path | None:
    """The tile manifest of a mosaic, or None where it has none (an imported day).

    Raises:
        FileNotFoundError: There is no mosaic.
        MosaicError: It is damaged.
    """
    index = _parse(path, path.read_bytes()).findtext("Raster/IndexFile", "").strip()
    try:
        manifest = path.with_name(index.removesuffix(".idx") + MANIFEST_SUFFIX)
    except ValueError as error:
        raise MosaicError(f"{path}: {error}") from error
    return manifest if manifest.exists() else None


def _parse(path: Path, text: bytes) -> ET.Element:
    """The document of a mosaic."""
    try:
        root: ET.Element = SafeET.fromstring(text)
    except (ET.ParseError, LookupError, ValueError) as error:  # an encoding may be unknown, an entity forbidden
        raise MosaicError(f"{path} is not an MRF: {error}") from error
    return root


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder, so that two processes publish into it one after the other."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
