"""A day on its way: tiles as they arrive, and a journal of what is known of each, so that a stopped download goes on.

Beside `{Layer}.mrf` stand, hidden, `.{Layer}.part` (tile bytes) and `.{Layer}.part.jsonl` (the journal: a line for the
request, then one for each tile). Whoever holds the lock on the journal owns both.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError, empty_index, manifest_path, publish_mosaic
from heph_dagster.gibs.tiles import TileError, TileType, read_header, to_rgba

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = "2"
UNCHANGED = 304


class StorageError(OSError):
    """A day that cannot be written to disk."""


@dataclass(frozen=True, slots=True)
class TileRecord:
    """What is known of a tile: a row of a day's manifest.

    Attributes:
        level: Level.
        row: Row.
        col: Column.
        url: Address that was asked.
        status: HTTP status; 304 while a refresh is under way, for a tile that has not changed.
        bytes: Size as served; 0 for a tile that the server does not have.
        sha256: Of the bytes as served; None for an absent tile.
        etag: Entity tag, without quotes.
        last_modified: Header of that name.
        actual_day: Day that the server says the tile shows, None where it does not say.
        fetched_at: When the answer came.
        normalised: Whether the mosaic holds the tile as RGBA in place of the bytes as served.
        stored_sha256: Of the bytes in the mosaic.
    """

    level: int
    row: int
    col: int
    url: str
    status: int
    bytes: int
    sha256: str | None
    etag: str | None
    last_modified: str | None
    actual_day: date | None
    fetched_at: datetime
    normalised: bool = False
    stored_sha256: str | None = None

    @property
    def tile(self) -> Tile:
        """The tile."""
        return Tile(self.level, self.row, self.col)

    def as_row(self) -> dict[str, Any]:
        """The fields by name; `dataclasses.asdict` copies deeply and takes ten times as long."""
        return {name: getattr(self, name) for name in self.__slots__}


class PartialDay:
    """The tiles of a day that have arrived; leaving without `publish` or `discard` keeps them for the next try."""

    def __init__(self, path: Path, layout: Layout) -> None:
        """Take hold of a day; waits while another process is at it.

        Args:
            path: The `.mrf` file to publish.
            layout: What the mosaic holds.

        Raises:
            StorageError: The folder cannot be written.
        """
        self.path = path
        self.layout = layout
        self.records: dict[Tile, TileRecord] = {}
        self._types: set[TileType] = set()
        self._places: dict[Tile, tuple[int, int]] = {}
        self._end = 0
        self._data_path, self._rgba_path, self._journal_path = _unfinished_paths(path)
        with _storage(path):
            self._journal = _lock(self._journal_path)
            self._data = os.open(self._data_path, os.O_RDWR | os.O_CREAT, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.records:
            self.discard()
        os.close(self._data)
        os.close(self._journal)

    def add(self, record: TileRecord, data: bytes = b"") -> None:
        """Keep a tile whose bytes were checked, or the fact that it is absent or unchanged.

        Raises:
            StorageError: The disk is full or fails.
        """
        line = json.dumps(record.as_row() | {"offset": self._end}, default=str) + "\n"
        with _storage(self.path):
            self._append(record, data)
            # The journal's line comes after the bytes: what it lists is there.
            _write_all(self._journal, line.encode())

    def publish(self, facts: dict[str, str], old: Published | None = None) -> None:
        """Put the day in place, its manifest beside it.

        Tiles of different types become RGBA, all of them, because a mosaic holds tiles of one type.

        Args:
            facts: What holds for the whole day, for the manifest.
            old: The day that is replaced; unchanged tiles are taken from it.

        Raises:
            StorageError: The disk is full or fails.
            TileError: Tiles of different types that cannot be brought together without loss.
        """
        with _storage(self.path):
            for tile, record in list(self.records.items()):
                if record.status == UNCHANGED and old is not None:
                    self._append(old.records[tile], old.mosaic.tile(tile) or b"")
            if len(self._types) > 1 or not all(kind.storable for kind in self._types):
                if any(kind.format == "jpg" for kind in self._types):
                    kinds = "; ".join(sorted(map(str, self._types)))
                    raise TileError(f"{self.path}: the day's JPEG tiles are of different types, {kinds}")
                self._normalise()
            index = empty_index(self.layout)
            for tile, place in self._places.items():
                index[self.layout.position(tile)] = place
            (kind,) = self._types
            stored = [self.records[tile].stored_sha256 or "" for tile in sorted(self._places)]
            manifest = _manifest(self.records, facts)
            publish_mosaic(self.path, self.layout, kind, index, self._data_path, stored, manifest)
            self._journal_path.unlink()

    def discard(self) -> None:
        """Throw away what has arrived, and the folder if nothing else is in it."""
        self.records.clear()
        for path in (self._data_path, self._journal_path):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def _append(self, record: TileRecord, data: bytes) -> None:
        self.records[record.tile] = record
        if data:
            os.lseek(self._data, self._end, os.SEEK_SET)
            _write_all(self._data, data)
            self._places[record.tile] = (self._end, len(data))
            self._types.add(read_header(data).type)
            self._end += len(data)

    def recover(self, request: dict[str, Any]) -> None:
        """Take over the tiles of an earlier try for the same request, up to the first that is not whole.

        Args:
            request: What is asked for; what an earlier try got for another request is thrown away.

        Raises:
            StorageError: The disk is full or fails.
        """
        with _storage(self.path):
            self._recover(json.dumps(request, sort_keys=True).encode())

    def _recover(self, request: bytes) -> None:
        first, *lines = self._journal_path.read_bytes().split(b"\n")
        kept = len(first) + 1
        if first == request:
            for line in lines:
                try:
                    values = json.loads(line)
                    offset = values.pop("offset")
                    record = _parse_record(values)
                except (ValueError, TypeError, KeyError):
                    break
                data = os.pread(self._data, record.bytes, offset)
                if offset != self._end or (record.bytes and hashlib.sha256(data).hexdigest() != record.sha256):
                    break
                self.records[record.tile] = record
                if data:
                    self._places[record.tile] = (offset, len(data))
                    self._types.add(read_header(data).type)
                self._end += len(data)
                kept += len(line) + 1
        if not self.records:
            os.ftruncate(self._journal, 0)
            _write_all(self._journal, request + b"\n")
        else:
            os.ftruncate(self._journal, kept)
        os.ftruncate(self._data, self._end)

    def _normalise(self) -> None:
        self._types, places, end = set(), {}, 0
        with self._rgba_path.open("wb") as target:
            for tile, (offset, size) in self._places.items():
                data = to_rgba(os.pread(self._data, size, offset))
                target.write(data)
                places[tile] = (end, len(data))
                end += len(data)
                self._types.add(read_header(data).type)
                digest = hashlib.sha256(data).hexdigest()
                self.records[tile] = replace(self.records[tile], normalised=True, stored_sha256=digest)
        self._places = places
        self._rgba_path.replace(self._data_path)


@dataclass(frozen=True)
class Published:
    """A day that was downloaded before.

    Attributes:
        mosaic: Its mosaic, open.
        records: Its manifest.
        facts: What the manifest says of the whole day.
    """

    mosaic: Mosaic
    records: dict[Tile, TileRecord]
    facts: dict[str, str]

    @classmethod
    def load(cls, path: Path, layout: Layout) -> Published | None:
        """The day at a path, or None where there is none that has a manifest and this layout."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            manifest = manifest_path(path) if path.is_file() else None
            if manifest is None:
                return None
            table = pq.read_table(manifest)
            mosaic = Mosaic(path, layout.window.epsg)
        except (FileNotFoundError, MosaicError, pa.ArrowInvalid):
            return None
        facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if mosaic.layout != layout or facts.get("version") != MANIFEST_VERSION:
            mosaic.close()
            return None
        names = [field.name for field in fields(TileRecord)]
        records = [TileRecord(**row) for row in table.select(names).to_pylist()]
        return cls(mosaic, {record.tile: record for record in records}, facts)


def unfinished_files(path: Path) -> list[Path]:
    """What there is of a download of a day that is under way, or was stopped.

    Args:
        path: The `.mrf` file that it is to publish.
    """
    return [file for file in _unfinished_paths(path) if file.exists()]


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Keeps downloads away from a day while the block runs, and throws away what an earlier one left.

    Args:
        path: The `.mrf` file, whose folder exists.

    Yields:
        Whether the day could be had: False where a download is at it, and then nothing is thrown away.
    """
    *files, journal_path = _unfinished_paths(path)
    try:
        journal = _lock(journal_path, fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
        for file in files:
            file.unlink(missing_ok=True)
    finally:
        journal_path.unlink(missing_ok=True)
        os.close(journal)


def _unfinished_paths(path: Path) -> tuple[Path, Path, Path]:
    """Tile bytes, the same as RGBA, and the journal."""
    data = path.with_name(f".{path.stem}.part")
    return data, data.with_suffix(".rgba"), data.with_name(f"{data.name}.jsonl")


def _lock(journal_path: Path, flags: int = 0) -> int:
    """The open journal, locked; not one that its former owner has removed in the meantime."""
    while True:
        journal_path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            journal = os.open(journal_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | flags)
                with suppress(FileNotFoundError):
                    if journal_path.stat().st_ino == os.fstat(journal).st_ino:
                        return journal
            except OSError:
                os.close(journal)
                raise
            os.close(journal)


def _manifest(records: dict[Tile, TileRecord], facts: dict[str, str]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        {
            "level": pa.int8(), "row": pa.int32(), "col": pa.int32(), "url": pa.string(), "status": pa.int16(),
            "bytes": pa.int32(),
            "sha256": pa.string(), "etag": pa.string(), "last_modified": pa.string(), "actual_day": pa.date32(),
            "fetched_at": pa.timestamp("ms", "UTC"), "normalised": pa.bool_(), "stored_sha256": pa.string(),
        },
        {"version": MANIFEST_VERSION, **facts},
    )  # fmt: skip
    return pa.Table.from_pylist([records[tile].as_row() for tile in sorted(records)], schema)


def _parse_record(values: dict[str, Any]) -> TileRecord:
    day = values["actual_day"]
    values["actual_day"] = None if day is None else date.fromisoformat(day)
    values["fetched_at"] = datetime.fromisoformat(values["fetched_at"])
    return TileRecord(**values)


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
