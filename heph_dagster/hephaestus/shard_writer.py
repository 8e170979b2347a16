"""Writing crops as shards, see `heph_dagster.hephaestus.shards`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heph_dagster.files import locked, temporary
from heph_dagster.hephaestus.annotation import Activity, Intensity
from heph_dagster.hephaestus.crops import LABELS
from heph_dagster.hephaestus.rejects import CropReject, rejects_to_json
from heph_dagster.hephaestus.shards import DIGESTS, FIELDS, MANIFEST, REJECTS, SCHEMA_VERSION, SIZE, VERSION
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.tables import write_table

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_CROPS = 1024
"""Crops of a shard: about 50 MB at 224 px with a palette, 80 MB with colours."""
GROUP_CROPS = 32
"""Crops that are read at once."""


def write_shards(
    folder: Path,
    crops: Iterable[StoredCrop],
    *,
    rejects: Iterable[CropReject] = (),
    shard_crops: int = SHARD_CROPS,
) -> pa.Table:
    """Write crops in place of those of a folder; readers see those of before until all are written.

    Args:
        folder: Made when it does not exist; what it has of an earlier run is removed at the end.
        crops: The crops, in the order to keep; not more than a row group of them is held in memory.
        rejects: What gave no crop; it is asked for after the last crop, and is kept in the manifest.
        shard_crops: Crops of a shard.

    Returns:
        The manifest, as `read_manifest` reads it.

    Raises:
        ValueError: A crop's pixels are of another size or kind than the first one's, or two have one name.
    """
    import pyarrow as pa

    remaining, writer = iter(crops), _Writer(folder)
    with locked(folder / MANIFEST):
        for first in remaining:
            writer.write(first, islice(remaining, shard_crops - 1))
        metadata = {
            VERSION: SCHEMA_VERSION.encode(),
            SIZE: str(writer.size).encode(),
            DIGESTS: json.dumps(writer.digests).encode(),
            REJECTS: rejects_to_json(rejects),
        }
        manifest = pa.Table.from_pylist(writer.rows, schema=_manifest_schema().with_metadata(metadata))
        write_table(folder / MANIFEST, manifest)
        for path in folder.glob("*.parquet"):  # of earlier runs, and what a writer that was killed has left
            if path.name not in {MANIFEST, *writer.digests}:
                path.unlink()
    return manifest


class _Writer:
    """Writes shard after shard, and keeps the rows of the manifest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        self.rows: list[dict[str, Any]] = []
        self.digests: dict[str, str] = {}
        self._names: set[str] = set()

    def write(self, first: StoredCrop, more: Iterator[StoredCrop]) -> None:
        """Write the next shard, of a crop and those that follow it."""
        part = temporary(self._folder / "shard", ".parquet")
        try:
            members = self._write_groups(part, first, more)
            with part.open("rb+") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            shard = f"{len(self.digests):05d}-{digest[:16]}.parquet"
            part.replace(self._folder / shard)
        finally:
            part.unlink(missing_ok=True)
        self.digests[shard] = digest
        self.rows += [row | {"shard": shard} for row in members]

    def _write_groups(self, path: Path, first: StoredCrop, more: Iterator[StoredCrop]) -> list[dict[str, Any]]:
        """Write row groups, and tell what the manifest says of their crops."""
        import pyarrow.parquet as pq

        self.size = self.size or first.picture.width
        schema, crops = _shard_schema(self.size), chain([first], more)
        rows: list[dict[str, Any]] = []
        options = {"compression": "lz4", "write_statistics": False, "write_page_checksum": True}
        with pq.ParquetWriter(path, schema, use_dictionary=["palette"], **options) as writer:
            while group := list(islice(crops, GROUP_CROPS)):
                for crop in group:
                    self._check(crop)
                writer.write_table(_group(group, schema))
                rows += [_row(crop, len(rows) + number) for number, crop in enumerate(group)]
        return rows

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


def _row(crop: StoredCrop, number: int) -> dict[str, Any]:
    group, row = divmod(number, GROUP_CROPS)
    return {
        **{name: getattr(crop, name) for name in FIELDS},
        "deformation": bool(crop.activities),
        **{each.name.lower(): each in crop.activities for each in Activity},
        **{each.name.lower(): each is crop.intensity for each in Intensity},
        "made_for": crop.made_for,
        "phase": crop.phase,
        "coherence": crop.coherence is not None,
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
