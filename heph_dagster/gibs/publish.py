"""Writing mosaics: a new one takes the place of an old one at once, and what that leaves is found and removed.

The data and index files carry a digest of the tiles in their names and the XML names them. Replacing the XML
therefore replaces the whole mosaic at once, and a reader sees either the old day or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from heph_dagster.files import replacing, temporary
from heph_dagster.gibs.grid import TILE_SIZE, Tile
from heph_dagster.gibs.mrf import MANIFEST_SUFFIX, Index, Layout, MosaicError, document, empty_index, parse_document
from heph_dagster.gibs.tiles import TileError, TileType, read_header

_DATA_SUFFIX = {"jpg": ".pjg", "png": ".ppg"}


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
            part.write_text(document(layout, tile_type, data_path.name, index_path.name, origin), "utf-8")
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
            root = parse_document(path, path.read_bytes())
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


def generation_files(path: Path) -> list[Path]:
    """Data, index and manifest files of all generations of a mosaic."""
    hex_digits = "[0-9a-f]" * 12
    return sorted(path.parent.glob(f"{path.stem}.{hex_digits}.*"))


def _not_of(path: Path, stems: set[str]) -> list[Path]:
    """Files of the generations of a mosaic but those of these names."""
    keep = tuple(f"{stem}." for stem in stems)
    return [file for file in generation_files(path) if not file.name.startswith(keep)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder, so that two processes publish into it one after the other."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
