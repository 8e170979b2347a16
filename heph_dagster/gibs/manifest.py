"""What is known of each tile of a downloaded day: a Parquet file beside its mosaic, a row for each tile.

The rows stand in the order of the mosaic's index, in groups of equal size, so that a tile's row is found without
reading the others: the world at 31.25m has three million.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from heph_dagster.gibs.grid import Tile
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError, manifest_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MANIFEST_VERSION = "3"
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class TileRecord:
    """What is known of a tile: a row of a day's manifest.

    Attributes:
        level: Level.
        row: Row.
        col: Column.
        url: Address that was asked.
        status: HTTP status.
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


def record_line(record: TileRecord, **more: int) -> bytes:
    """A record, and some numbers more, as a line of JSON."""
    # `dataclasses.asdict` copies deeply and takes ten times as long.
    values = {name: getattr(record, name) for name in record.__slots__} | more
    values["fetched_at"] = record.fetched_at.isoformat(timespec="milliseconds")
    return json.dumps(values, default=str).encode() + b"\n"


def parse_line(line: bytes) -> tuple[TileRecord, dict[str, int]]:
    """The record of a line, and the numbers that stand there besides.

    Raises:
        ValueError, TypeError, KeyError: It is no such line.
    """
    values = json.loads(line)
    fields = {name: values.pop(name) for name in TileRecord.__slots__}
    day = fields["actual_day"]
    fields["actual_day"] = None if day is None else date.fromisoformat(day)
    fields["fetched_at"] = datetime.fromisoformat(fields["fetched_at"])
    return TileRecord(**fields), values


class ManifestWriter:
    """Writes a manifest row by row; use it with `with`."""

    def __init__(self, path: Path, facts: Mapping[str, str]) -> None:
        """Begin a manifest.

        Args:
            path: The file to write.
            facts: What holds for the whole day.
        """
        import pyarrow.parquet as pq

        self._schema = _schema()
        metadata = {"version": MANIFEST_VERSION, **facts}
        schema = self._schema.with_metadata(metadata)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
        self._lines: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writer:
            if kind is None:
                self._flush()

    def add(self, line: bytes) -> None:
        """Add the row of the next tile, in the order of the mosaic's index, as `record_line` makes it."""
        self._lines.append(line)
        if len(self._lines) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        # Arrow reads JSON by itself; given Python's objects it imports pandas first.
        import pyarrow as pa
        import pyarrow.json

        if not self._lines:
            return
        times = {"actual_day": pa.string(), "fetched_at": pa.string()}
        schema = pa.schema({field.name: times.get(field.name, field.type) for field in self._schema})
        options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        whole = pyarrow.json.ReadOptions(block_size=2 * sum(map(len, self._lines)))
        rows = pyarrow.json.read_json(pa.py_buffer(b"".join(self._lines)), whole, options)
        self._writer.write_table(rows.cast(self._schema).combine_chunks())
        self._lines.clear()


def fetched_on(path: Path) -> date | None:
    """The day on which the first tile of a mosaic came, by its manifest.

    Args:
        path: The `.mrf` file; nothing is read of its tiles.

    Returns:
        The day in UTC; None where there is no manifest, or none that can be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = manifest_path(path) if path.is_file() else None
        if found is None:
            return None
        with pq.ParquetFile(found, page_checksum_verification=True) as manifest:
            if not manifest.schema_arrow.equals(_schema()):
                return None
            times: list[datetime] = manifest.read(["fetched_at"]).column(0).to_pylist()
    except (MosaicError, OSError, pa.ArrowException):
        return None
    return min(times).date() if times else None


@dataclass(frozen=True)
class Published:
    """A day that was downloaded before; use it with `with`.

    Attributes:
        mosaic: Its mosaic, open.
        facts: What its manifest says of the whole day.
    """

    mosaic: Mosaic
    facts: dict[str, str]
    _manifest: pq.ParquetFile = field(repr=False)
    _path: Path = field(repr=False)
    _groups: dict[int, list[TileRecord]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: Path, layout: Layout | None = None, epsg: int = 4326) -> Published | None:
        """The day at a path, or None where there is none that has a manifest and this layout.

        Args:
            path: The `.mrf` file.
            layout: What it should hold; without it, any layout of the projection.
            epsg: Projection, where no layout is given.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            found = manifest_path(path) if path.is_file() else None
            if found is None:
                return None
            manifest = pq.ParquetFile(found, page_checksum_verification=True)
            mosaic = Mosaic(path, layout.window.epsg if layout else epsg)
        except (MosaicError, OSError, pa.ArrowException):  # Arrow says of some damage that the disk failed
            return None
        facts = _facts(manifest.metadata)
        whole = (
            manifest.metadata.num_rows == mosaic.layout.tiles
            and facts.get("version") == MANIFEST_VERSION
            # Pages have checksums, the names and figures at the end of the file have none.
            and manifest.schema_arrow.equals(_schema())
            and "verified_by" in facts
            and all(facts.get(count, "").isdecimal() for count in ("tiles", "absent", "bytes"))
        )
        if not whole or (layout is not None and mosaic.layout != layout):
            mosaic.close()
            manifest.close()
            return None
        return cls(mosaic, facts, manifest, found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.mosaic.close()
        self._manifest.close()

    def record(self, tile: Tile) -> TileRecord | None:
        """What is known of a tile, None where the mosaic does not reach.

        Raises:
            MosaicError: The manifest is damaged.
        """
        position = self.mosaic.layout.position(tile)
        if position is None:
            return None
        group, row = divmod(position, _ROWS)
        if group not in self._groups:
            # Tiles are asked for in about the order of the rows: two groups suffice.
            while len(self._groups) > 1:
                del self._groups[next(iter(self._groups))]
            self._groups[group] = list(self._read(group))
        return self._groups[group][row]

    def records(self) -> Iterator[TileRecord]:
        """The rows of all tiles, in the order of the mosaic's index.

        Raises:
            MosaicError: The manifest is damaged.
        """
        for group in range(self._manifest.num_row_groups):
            yield from self._read(group)

    def column(self, name: str) -> list[Any]:
        """One field of the records of all tiles, in the order of the mosaic's index."""
        values: list[Any] = self._manifest.read([name]).column(0).to_pylist()
        return values

    def data(self, record: TileRecord) -> bytes:
        """The bytes of a tile in the mosaic, compared with its row.

        Raises:
            MosaicError: They are not what was downloaded.
        """
        data = self.mosaic.tile(record.tile) or b""
        if hashlib.sha256(data).hexdigest() != record.stored_sha256:
            raise MosaicError(
                f"{self.mosaic.data_path} is damaged: {record.tile} is not what was downloaded; heph verify --mend "
                "downloads it again"
            )
        return data

    def check(self) -> None:
        """Read all of the manifest.

        Raises:
            MosaicError: It is damaged.
        """
        for group in range(self._manifest.num_row_groups):
            self._table(group)

    def _read(self, group: int) -> Iterator[TileRecord]:
        for row in self._table(group).to_pylist():
            yield TileRecord(**row)

    def _table(self, group: int) -> pa.Table:
        import pyarrow as pa

        try:
            return self._manifest.read_row_group(group, list(TileRecord.__slots__))
        except (OSError, pa.ArrowException) as error:
            raise MosaicError(f"the manifest {self._path} is damaged: {error}") from error


def read_facts(path: Path) -> dict[str, str] | None:
    """What the manifest of a mosaic says of the whole day, None where there is none that can be read.

    Args:
        path: The `.mrf` file; the mosaic's other files may be lost.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        manifest = manifest_path(path)
        return None if manifest is None else _facts(pq.read_metadata(manifest))
    except (MosaicError, OSError, pa.ArrowException):
        return None


def _facts(metadata: pq.FileMetaData) -> dict[str, str]:
    return {key.decode(): value.decode("utf-8", "replace") for key, value in (metadata.metadata or {}).items()}


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "level": pa.int8(), "row": pa.int32(), "col": pa.int32(), "url": pa.string(), "status": pa.int16(),
            "bytes": pa.int32(),
            "sha256": pa.string(), "etag": pa.string(), "last_modified": pa.string(), "actual_day": pa.date32(),
            "fetched_at": pa.timestamp("ms", "UTC"), "normalised": pa.bool_(), "stored_sha256": pa.string(),
        }
    )  # fmt: skip
