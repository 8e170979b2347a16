"""A day on its way: tiles as they arrive, and a journal of what is known of each, so that a stopped download goes on.

Beside `{Layer}.mrf` stand, hidden, `.{Layer}.part` (tile bytes) and `.{Layer}.part.jsonl` (the journal: a line for the
request, then one for each tile). Whoever holds the lock on the journal owns both. In memory stands only where each tile
and its line begin, so that the finest world takes no more room than 35 bytes a tile.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.manifest import ManifestWriter, Published, TileRecord, parse_line, record_line
from heph_dagster.gibs.mrf import Layout, empty_index
from heph_dagster.gibs.publish import publish_mosaic
from heph_dagster.gibs.tiles import TileError, TileType, read_header, to_rgba

_LINE = 1 << 10
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class StorageError(OSError):
    """A day that cannot be written to disk."""


class DayBusyError(HephError):
    """A day that another process is at."""


class PartialDay:
    """The tiles of a day that have arrived; leaving without `publish` or `discard` keeps them for the next try.

    Attributes:
        path: The `.mrf` file to publish.
        layout: What the mosaic holds.
        tiles: Tiles that the server has.
        absent: Tiles that it does not have.
        changed: Tiles that are new or other ones than before.
        undated: Tiles of which the server does not say what day they show.
        bytes: Bytes of all tiles, as served.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        """Take hold of a day.

        Args:
            path: The `.mrf` file to publish.
            layout: What the mosaic holds.

        Raises:
            DayBusyError: Another process is at it.
            StorageError: The folder cannot be written.
        """
        self.path = path
        self.layout = layout
        self.tiles = self.absent = self.changed = self.undated = self.bytes = 0
        self._adding = threading.Lock()
        self._types: set[TileType] = set()
        self._index = empty_index(layout)
        self._lines = np.zeros(layout.tiles, np.int64)  # where each tile's line begins; 0 is the request's line
        self._in_old = np.zeros(layout.tiles, bool)
        self._to_confirm = np.zeros(layout.tiles, bool)
        self._changed = np.zeros(layout.tiles, bool)
        self._end = self._journal_end = 0
        self._data_path, self._rgba_path, self._manifest_path, self._journal_path = _unfinished_paths(path)
        with _storage(path):
            self._journal = _lock(path, self._journal_path)
            self._data = os.open(self._data_path, os.O_RDWR | os.O_CREAT, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.tiles + self.absent:
            self.discard()
        os.close(self._data)
        os.close(self._journal)

    def __contains__(self, tile: Tile) -> bool:
        """Whether a tile has arrived, or is known to be absent or unchanged."""
        position = self.layout.position(tile)
        return position is not None and bool(self._lines[position]) and not self._to_confirm[position]

    def earlier(self, tile: Tile) -> TileRecord | None:
        """What an earlier try knew of a tile that is to be asked for again, None of any other tile."""
        position = self.layout.position(tile)
        return self._record(position) if position is not None and self._to_confirm[position] else None

    def confirm(self, tile: Tile) -> None:
        """Keep a tile of an earlier try: the server says that it has not changed."""
        self._to_confirm[self.layout.position(tile)] = False

    def add(self, record: TileRecord, data: bytes | None = b"", *, changed: bool = True) -> None:
        """Keep a tile whose bytes were checked, or the fact that it is absent or unchanged; from any thread.

        Args:
            record: What is known of it.
            data: Its bytes as served, none for an absent tile; None for a tile that is taken from the day that is
                replaced.
            changed: Whether it differs from that day's.

        Raises:
            StorageError: The disk is full or fails.
        """
        with self._adding, _storage(self.path):
            offset = -1 if data is None else self._end
            line = record_line(record, offset=offset, changed=changed)
            if data:
                _write_all(self._data, data)
            # The journal's line comes after the bytes: what it lists is there.
            _write_all(self._journal, line)
            self._note(record, data, len(line), changed=changed)

    def publish(self, facts: Mapping[str, str], old: Published | None = None) -> None:
        """Put the day in place, its manifest beside it.

        Tiles of different types become RGBA, all of them, because a mosaic holds tiles of one type.

        Args:
            facts: What holds for the whole day, for the manifest.
            old: The day that is replaced; unchanged tiles are taken from it.

        Raises:
            StorageError: The disk is full or fails.
            TileError: Tiles of different types that cannot be brought together without loss.
        """
        counts = {"tiles": str(self.tiles), "absent": str(self.absent), "bytes": str(self.bytes)}
        digest = hashlib.sha256()
        with _storage(self.path):
            try:
                if old is not None:
                    self._take_from(old)
                convert = len(self._types) > 1 or not all(kind.storable for kind in self._types)
                converted = self._converted() if convert else None
                with ManifestWriter(self._manifest_path, {**facts, **counts}) as rows:
                    for position in map(int, np.flatnonzero(self._lines)):
                        record = self._record(position)
                        if converted is not None and record.bytes:
                            record = replace(record, normalised=True, stored_sha256=converted[position].decode())
                        digest.update((record.stored_sha256 or "").encode())
                        rows.add(record_line(record))
                (kind,) = self._types
                publish_mosaic(
                    self.path, self.layout, kind, self._index, self._data_path, digest.hexdigest(), self._manifest_path
                )
            finally:
                self._manifest_path.unlink(missing_ok=True)
            self._journal_path.unlink()

    def discard(self) -> None:
        """Throw away what has arrived, and the folder if nothing else is in it."""
        self.tiles = self.absent = 0
        for path in (self._data_path, self._journal_path):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def recover(self, request: Mapping[str, Any], fresh: datetime = _LONG_AGO) -> None:
        """Take over the tiles of an earlier try for the same request, up to the first that is not whole.

        Args:
            request: What is asked for; what an earlier try got for another request is thrown away.
            fresh: Tiles that came before are to be asked for again, see `earlier`.

        Raises:
            StorageError: The disk is full or fails.
        """
        with _storage(self.path):
            self._recover(json.dumps(request, sort_keys=True).encode() + b"\n", fresh)

    def _recover(self, request: bytes, fresh: datetime) -> None:
        with self._journal_path.open("rb") as journal:
            if journal.readline() == request:
                self._journal_end = len(request)
                for line in journal:
                    try:
                        record, more = parse_line(line)
                        offset, changed = more["offset"], bool(more["changed"])
                    except (ValueError, TypeError, KeyError):
                        break
                    if not line.endswith(b"\n"):
                        break
                    data = None if offset < 0 else os.pread(self._data, record.bytes, self._end)
                    if data and hashlib.sha256(data).hexdigest() != record.sha256:
                        break
                    if data is not None and (offset != self._end or len(data) != record.bytes):
                        break
                    self._note(record, data, len(line), changed=changed)
                    self._to_confirm[self.layout.position(record.tile)] = record.fetched_at < fresh
        if not self.tiles + self.absent:
            os.ftruncate(self._journal, 0)
            _write_all(self._journal, request)
            self._journal_end = len(request)
        os.ftruncate(self._journal, self._journal_end)
        os.ftruncate(self._data, self._end)
        os.lseek(self._data, self._end, os.SEEK_SET)

    def _note(self, record: TileRecord, data: bytes | None, line: int, *, changed: bool) -> None:
        """Remember where a tile and its line are, and count it."""
        position = self.layout.position(record.tile)
        if position is not None and self._lines[position]:  # another line takes the place of the first
            self._count(self._record(position), -1, changed=bool(self._changed[position]))
        self._lines[position] = self._journal_end
        self._journal_end += line
        self._in_old[position] = data is None and record.bytes > 0
        self._to_confirm[position] = False
        self._changed[position] = changed
        self._index[position] = (0, 0)
        if data:
            self._place(position, data)
        self._count(record, 1, changed=changed)

    def _count(self, record: TileRecord, sign: int, *, changed: bool) -> None:
        self.tiles += sign * (record.bytes > 0)
        self.absent += sign * (record.bytes == 0)
        self.undated += sign * (record.bytes > 0 and record.actual_day is None)
        self.bytes += sign * record.bytes
        self.changed += sign * changed

    def _place(self, position: int | None, data: bytes) -> None:
        self._index[position] = (self._end, len(data))
        self._types.add(read_header(data).type)
        self._end += len(data)

    def _record(self, position: int) -> TileRecord:
        size = _LINE
        while b"\n" not in (text := os.pread(self._journal, size, self._lines[position])):
            size *= 2
        return parse_line(text.split(b"\n", 1)[0])[0]

    def _take_from(self, old: Published) -> None:
        """Copy the bytes of unchanged tiles.

        Raises:
            MosaicError: They are no longer what was downloaded.
        """
        for position in map(int, np.flatnonzero(self._in_old)):
            data = old.data(self._record(position))
            _write_all(self._data, data)
            self._place(position, data)

    def _converted(self) -> NDArray[np.bytes_]:
        """Replace all tiles by RGBA ones; the SHA-256 of each by its position."""
        if any(kind.format == "jpg" for kind in self._types):
            kinds = "; ".join(sorted(map(str, self._types)))
            raise TileError(f"{self.path}: the day's JPEG tiles are of different types, {kinds}")
        digests = np.zeros(self.layout.tiles, "S64")
        self._types, self._end = set(), 0
        with self._rgba_path.open("wb") as target:
            for position in map(int, np.flatnonzero(self._index["size"])):
                offset, size = self._index[position].tolist()
                data = to_rgba(os.pread(self._data, size, offset))
                target.write(data)
                self._place(position, data)
                digests[position] = hashlib.sha256(data).hexdigest()
        self._rgba_path.replace(self._data_path)
        return digests


def unfinished_files(path: Path) -> list[Path]:
    """What there is of a download of a day that is under way, or was stopped.

    Args:
        path: The `.mrf` file that it is to publish.
    """
    return [file for file in _unfinished_paths(path) if file.exists()]


def unfinished_tiles(path: Path, layout: Layout) -> int:
    """About how many tiles of a day a stopped download has left; whole lines of the journal are counted, not checked.

    Args:
        path: The `.mrf` file that it is to publish.
        layout: What the mosaic is to hold; what was got for another window does not count.
    """
    try:
        with _unfinished_paths(path)[-1].open("rb") as journal:
            same = json.loads(journal.readline()).get("window") == str(layout.window)
            return min(sum(1 for _ in journal), layout.tiles) if same else 0
    except (FileNotFoundError, ValueError, AttributeError):
        return 0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keeps downloads away from a day while the block runs, and throws away what an earlier one left.

    Args:
        path: The `.mrf` file, whose folder exists.

    Raises:
        DayBusyError: A download is at the day; nothing is thrown away then.
    """
    *files, journal_path = _unfinished_paths(path)
    journal = _lock(path, journal_path)
    try:
        yield
        for file in files:
            file.unlink(missing_ok=True)
    finally:
        journal_path.unlink(missing_ok=True)
        os.close(journal)


def _unfinished_paths(path: Path) -> tuple[Path, Path, Path, Path]:
    """Tile bytes, the same as RGBA, the manifest, and the journal."""
    data, rgba, manifest, journal = (
        path.with_name(f".{path.stem}.{suffix}") for suffix in ("part", "rgba", "parquet", "part.jsonl")
    )
    return data, rgba, manifest, journal


def _lock(path: Path, journal_path: Path) -> int:
    """The open journal of a day, locked; not one that its former owner has removed in the meantime."""
    while True:
        journal_path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            journal = os.open(journal_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(journal)
                raise DayBusyError(f"{path} is being downloaded by another process") from None
            with suppress(FileNotFoundError):
                if journal_path.stat().st_ino == os.fstat(journal).st_ino:
                    return journal
            os.close(journal)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. Make room or choose another folder (HEPH_DATA_DIR), "
            "then run the same again: what has arrived is kept."
        ) from error
