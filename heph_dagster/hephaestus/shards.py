"""Crops of a frame as Parquet shards: written once, read in large pieces, the same bytes for the same crops.

A shard has the columns `name`, `image`, `palette`, `mask` and `coherence`: raw pixels in planes of S x S px, which
Parquet compresses with LZ4. An image is one plane of numbers of its palette (256 x red, green, blue), or, where that is
null, of grey levels, or three planes of red, green and blue.

`manifest.parquet` beside the shards has a row per crop: everything but the pixels, and the shard, row group and row
where these are. Shards are named by their SHA-256 and the manifest is replaced last, so nobody reads a mixture of two
runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.files import locked, replacing
from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.crops import LABELS
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.png import Picture
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
SHARD_CROPS = 1024
"""Crops of a shard: about 100 MB at 224 px."""
GROUP_CROPS = 32
"""Crops that are read at once."""
PIXELS = ("image", "mask", "coherence")
"""Columns of pixels."""
SCHEMA_VERSION = "1"
_VERSION, _SIZE, _SHARDS = b"heph_version", b"heph_size", b"heph_shards"
_PLAIN = ("name", "unique_id", "index", "frame", "primary", "secondary", "x", "y", "fits", "padded", "warning")


class ShardsError(HephError):
    """Crops on disk that cannot be read or are not what their manifest says."""


def write_shards(folder: Path, crops: Iterable[StoredCrop], *, shard_crops: int = SHARD_CROPS) -> pa.Table:
    """Write crops in place of those of a folder; readers see those of before until all are written.

    Args:
        folder: Made when it does not exist; what it has of an earlier run is removed at the end.
        crops: The crops, in the order to keep; not more than a shard of them is held in memory.
        shard_crops: Crops of a shard.

    Returns:
        The manifest, as `read_manifest` reads it.

    Raises:
        ValueError: A crop's pixels are of another size or kind than the first one's, or two have one name.
    """
    import pyarrow as pa

    remaining, writer = iter(crops), _Writer(folder)
    with locked(folder / MANIFEST):
        while chunk := list(islice(remaining, shard_crops)):
            writer.write(chunk)
        metadata = {
            _VERSION: SCHEMA_VERSION.encode(),
            _SIZE: str(writer.size).encode(),
            _SHARDS: json.dumps(writer.digests).encode(),
        }
        manifest = pa.Table.from_pylist(writer.rows, schema=_manifest_schema().with_metadata(metadata))
        write_table(folder / MANIFEST, manifest)
        for path in folder.glob("*.parquet"):  # of earlier runs, and what a writer that was killed has left
            if path.name not in {MANIFEST, *writer.digests}:
                path.unlink()
    return manifest


def read_manifest(folder: Path) -> pa.Table:
    """The manifest of a folder of shards, one row per crop in the order of the shards.

    Args:
        folder: Where `write_shards` wrote.

    Returns:
        The columns of `StoredCrop` but for the pixels, with the `activities` and the `intensity` as flags by their
        names in `heph_dagster.hephaestus.crops.LABELS`, `made_for` and `phase` as codes, `deformation`, whether there
        are activities, `coherence`, whether there is one, and `shard`, `group` and `row`, where the pixels are.

    Raises:
        ShardsError: There is none, or another version wrote it.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise ShardsError(f"{path} is not there: make the crops of {folder.name} first")
    manifest = read_table(path)
    version = (manifest.schema.metadata or {}).get(_VERSION, b"none").decode()
    if version != SCHEMA_VERSION:
        raise ShardsError(f"{path} is of version {version}, not {SCHEMA_VERSION}: make the crops of {folder.name} anew")
    return manifest


def crop_size(manifest: pa.Table) -> int:
    """Side of the crops of a manifest in px; 0 where it has none."""
    return int(manifest.schema.metadata[_SIZE])


def read_crops(folder: Path, names: Collection[str] | None = None) -> Iterator[StoredCrop]:
    """Crops by their names.

    Args:
        folder: Where `write_shards` wrote.
        names: Those wanted; all by default.

    Yields:
        Each crop, in the order of the manifest.

    Raises:
        KeyError: There is no crop of a name.
        ShardsError: Shards or manifest cannot be read.
    """
    manifest = read_manifest(folder)
    rows = manifest.to_pylist()
    if names is not None:
        if unknown := sorted(set(names) - set(manifest["name"].to_pylist())):
            raise KeyError(f"{folder} has no crop {', '.join(unknown[:5])} ({len(unknown)} names without a crop)")
        rows = [row for row in rows if row["name"] in names]
    size = crop_size(manifest)
    for (shard, group), members in groupby(rows, key=lambda row: (row["shard"], row["group"])):
        pixels = read_group(folder / shard, group, PIXELS, size)
        for row in members:
            yield _crop(row, {name: planes[row["row"]] for name, planes in pixels.items()})


def read_group(path: Path, group: int, columns: Collection[str], size: int) -> dict[str, Any]:
    """The pixels of a row group.

    Args:
        path: The shard.
        group: Number of the row group.
        columns: Some of `PIXELS`.
        size: Side of a crop in px.

    Returns:
        Of each column the pixels of each crop, read-only: S x S, or `Pixels` where it is `image`. What a missing
        coherence holds means nothing.

    Raises:
        ShardsError: The shard cannot be read.
    """
    wanted = [*columns, "palette"] if "image" in columns else list(columns)
    table = _read(path, lambda file: file.read_row_group(group, columns=wanted, use_threads=False))
    return {name: _images(table, size) if name == "image" else _planes(table[name], size) for name in columns}


def check_shards(folder: Path) -> list[str]:
    """Read all crops of a folder.

    Args:
        folder: Where `write_shards` wrote.

    Returns:
        What is wrong, a line for each shard: none where each has its SHA-256, every crop can be read, and stands where
        the manifest says.

    Raises:
        ShardsError: The manifest cannot be read.
    """
    manifest = read_manifest(folder)
    digests: dict[str, str] = json.loads(manifest.schema.metadata[_SHARDS])
    named: dict[str, list[str]] = {shard: [] for shard in digests}
    for shard, name in zip(manifest["shard"].to_pylist(), manifest["name"].to_pylist(), strict=True):
        named[shard].append(name)
    wrong = []
    for shard, digest in digests.items():
        try:
            names = _read(folder / shard, lambda file: file.read()["name"].to_pylist())
            with (folder / shard).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except ShardsError as error:
            wrong.append(str(error))
            continue
        if names != named[shard]:
            wrong.append(f"{folder / shard} has other crops than the manifest says")
        elif found != digest:
            wrong.append(f"{folder / shard} has SHA-256 {found}, not {digest}")
    return wrong


@dataclass(frozen=True, eq=False)
class Pixels:
    """The image of a crop as a shard keeps it.

    Attributes:
        planes: 1 or 3 x S x S.
        palette: RGB of each number, 256 x 3; None where the pixels are no numbers.
    """

    planes: NDArray[np.uint8]
    palette: NDArray[np.uint8] | None

    def rgb(self) -> NDArray[np.uint8]:
        """Red, green and blue, a copy, 3 x S x S."""
        colours = np.empty((3, *self.planes.shape[1:]), np.uint8)
        if self.palette is None:
            colours[:] = self.planes
            return colours
        for plane, levels in zip(colours, self.palette.T, strict=True):
            cv2.LUT(self.planes[0], np.ascontiguousarray(levels), plane)
        return colours

    def picture(self) -> Picture:
        """The same with the colours of a pixel side by side."""
        if len(self.planes) == 1:
            return Picture(self.planes[0], self.palette)
        return Picture(np.ascontiguousarray(self.planes.transpose(1, 2, 0)))


class _Writer:
    """Writes shard after shard, and keeps the rows of the manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self.rows: list[dict[str, Any]] = []
        self.digests: dict[str, str] = {}
        self._names: set[str] = set()

    def write(self, crops: list[StoredCrop]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.size = self.size or crops[0].picture.width
        schema = _shard_schema(self.size)
        for crop in crops:
            self._check(crop)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            schema,
            compression="lz4",
            use_dictionary=["palette"],
            write_statistics=False,
            write_page_checksum=True,
        ) as writer:
            for start in range(0, len(crops), GROUP_CROPS):
                writer.write_table(_group(crops[start : start + GROUP_CROPS], schema))
        data = sink.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        shard = f"{len(self.digests):05d}-{digest[:16]}.parquet"
        with replacing(self.folder / shard) as part:
            part.write_bytes(data)
        self.digests[shard] = digest
        self.rows += [_row(crop, shard, number) for number, crop in enumerate(crops)]

    def _check(self, crop: StoredCrop) -> None:
        if crop.name in self._names:
            raise ValueError(f"two crops have the name {crop.name}: add a number of its own to each")
        self._names.add(crop.name)
        flat, image = (self.size, self.size), crop.picture.pixels
        for what, pixels, shape in (
            ("image", image, flat if image.ndim == 2 else (*flat, 3)),
            ("mask", crop.mask, flat),
            ("coherence", crop.coherence, flat),
        ):
            if pixels is not None and (pixels.shape != shape or pixels.dtype != np.uint8):
                raise ValueError(
                    f"the {what} of crop {crop.name} is {pixels.dtype} {pixels.shape}, not uint8 {shape}: "
                    "crops of a folder are of one size"
                )


def _read(path: Path, work: Callable[[Any], pa.Table]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            return work(pq.ParquetFile(file, page_checksum_verification=True))
    except FileNotFoundError as error:
        raise ShardsError(f"{path} is gone: the crops were made anew while they were read, so start again") from error
    except (OSError, pa.ArrowException) as error:
        raise ShardsError(f"{path} cannot be read ({error}): make the crops of {path.parent.name} anew") from error


def _planes(column: pa.ChunkedArray, size: int) -> NDArray[np.uint8]:
    array = column.combine_chunks()
    width = array.type.byte_width
    pixels = np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width)
    return pixels.reshape(len(array), size, size)


def _images(table: pa.Table, size: int) -> list[Pixels]:
    palettes = table["palette"].to_pylist()
    return [
        Pixels(
            np.frombuffer(image.as_buffer(), np.uint8).reshape(-1, size, size),
            None if palette is None else np.frombuffer(palette, np.uint8).reshape(-1, 3),
        )
        for image, palette in zip(table["image"].combine_chunks(), palettes, strict=True)
    ]


def _crop(row: dict[str, Any], pixels: dict[str, Any]) -> StoredCrop:
    return StoredCrop(
        **{name: row[name] for name in _PLAIN},
        picture=pixels["image"].picture(),
        mask=pixels["mask"],
        coherence=pixels["coherence"] if row["coherence"] else None,
        made_for=None if row["made_for"] is None else Activity(row["made_for"]),
        activities=tuple(each for each in Activity if row[each.name.lower()]),
        intensity=next((each for each in Intensity if row[each.name.lower()]), None),
        phase=None if row["phase"] is None else Phase(row["phase"]),
    )


def _row(crop: StoredCrop, shard: str, number: int) -> dict[str, Any]:
    group, row = divmod(number, GROUP_CROPS)
    return {
        **{name: getattr(crop, name) for name in _PLAIN},
        "deformation": bool(crop.activities),
        **{each.name.lower(): each in crop.activities for each in Activity},
        **{each.name.lower(): each is crop.intensity for each in Intensity},
        "made_for": crop.made_for,
        "phase": crop.phase,
        "coherence": crop.coherence is not None,
        "shard": shard,
        "group": group,
        "row": row,
    }


def _group(crops: list[StoredCrop], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = (
        [crop.name for crop in crops],
        [
            np.moveaxis(crop.picture.pixels, -1, 0).tobytes()
            if crop.picture.pixels.ndim == 3
            else crop.picture.pixels.tobytes()
            for crop in crops
        ],
        [None if crop.picture.palette is None else crop.picture.palette.tobytes() for crop in crops],
        [crop.mask.tobytes() for crop in crops],
        [None if crop.coherence is None else crop.coherence.tobytes() for crop in crops],
    )
    return pa.table([pa.array(each, of.type) for each, of in zip(columns, schema, strict=True)], schema=schema)


def _shard_schema(size: int) -> pa.Schema:
    import pyarrow as pa

    plane = pa.binary(size * size)
    columns = {"name": pa.string(), "image": pa.binary(), "palette": pa.binary(), "mask": plane, "coherence": plane}
    return pa.schema(columns)


def _manifest_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "name": pa.string(),
            "unique_id": pa.int32(),
            "index": pa.int32(),
            "frame": pa.string(),
            "primary": pa.date32(),
            "secondary": pa.date32(),
            "x": pa.int32(),
            "y": pa.int32(),
            "made_for": pa.int8(),
            **dict.fromkeys(LABELS[:-1], pa.bool_()),
            "phase": pa.int8(),
            "fits": pa.bool_(),
            "padded": pa.bool_(),
            "warning": pa.string(),
            "coherence": pa.bool_(),
            "shard": pa.string(),
            "group": pa.int32(),
            "row": pa.int32(),
        }
    )
