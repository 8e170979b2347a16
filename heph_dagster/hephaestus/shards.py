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
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.rejects import CropReject, rejects_from_json
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.png import Picture
from heph_dagster.tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
PIXELS = ("image", "mask", "coherence")
"""Columns of pixels."""
SCHEMA_VERSION = "2"
VERSION, SIZE, DIGESTS, REJECTS = b"heph_version", b"heph_size", b"heph_shards", b"heph_rejects"
"""Metadata of a manifest: version, side of the crops in px, SHA-256 of each shard and what gave no crop, as JSON."""
FIELDS = ("name", "unique_id", "index", "frame", "primary", "secondary", "x", "y", "fits", "padded", "warning")
"""Fields of `StoredCrop` that manifests have as they are."""


class ShardsError(HephError):
    """Crops on disk that cannot be read or are not what their manifest says."""


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
    version = (manifest.schema.metadata or {}).get(VERSION, b"none").decode()
    if version != SCHEMA_VERSION:
        raise ShardsError(f"{path} is of version {version}, not {SCHEMA_VERSION}: make the crops of {folder.name} anew")
    return manifest


def crop_size(manifest: pa.Table) -> int:
    """Side of the crops of a manifest in px; 0 where it has none."""
    return int(manifest.schema.metadata[SIZE])


def rejected(manifest: pa.Table) -> tuple[CropReject, ...]:
    """What gave no crop when those of a manifest were made."""
    return rejects_from_json(manifest.schema.metadata[REJECTS])


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
        names = set(names)
        if unknown := sorted(names - set(manifest["name"].to_pylist())):
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
    digests: dict[str, str] = json.loads(manifest.schema.metadata[DIGESTS])
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
        **{name: row[name] for name in FIELDS},
        picture=pixels["image"].picture(),
        mask=pixels["mask"],
        coherence=pixels["coherence"] if row["coherence"] else None,
        made_for=None if row["made_for"] is None else Activity(row["made_for"]),
        activities=tuple(each for each in Activity if row[each.name.lower()]),
        intensity=next((each for each in Intensity if row[each.name.lower()]), None),
        phase=None if row["phase"] is None else Phase(row["phase"]),
    )
