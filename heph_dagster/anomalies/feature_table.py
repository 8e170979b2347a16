"""Features of a layer's days, `{root}/{EPSG}/{Layer}.features.parquet`: a row and a vector for each day.

What the numbers were made with stands in the file's metadata. Features stay where imagery is pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.features import HUE_BINS, SIZE, Variant, feature_vector
from heph_dagster.errors import HephError
from heph_dagster.files import locked, replacing
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.gibs.raster import RasterError
from heph_dagster.gibs.verify import StoredDay, stored_days

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "1"
VERSION = "1"
"""Version of the numbers: another one makes all of them anew."""
_ROW_GROUP = 256


class FeaturesError(HephError):
    """A table of features that cannot be read."""


@dataclass
class FeatureUpdate:
    """What became of the days on disk that a table did not know as they are.

    Attributes:
        days: Number of days in the table now.
        added: Days that were added, or replaced because their mosaic was.
        failed: Days that could not be read; they are not in the table.
    """

    days: int = 0
    added: list[date] = field(default_factory=list)
    failed: dict[date, Exception] = field(default_factory=dict)


def features_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's features stand below a data root."""
    return root / str(epsg) / f"{layer.identifier}.features.parquet"


def update_features(
    root: Path,
    layer: Layer,
    epsg: int,
    *,
    variant: Variant = "dalal-triggs",
    hue_bins: int = HUE_BINS,
    on_day: Callable[[date], None] = lambda _: None,
) -> FeatureUpdate:
    """Compute the features of the days on disk that are new, or whose mosaic is, several at once.

    A mosaic is shrunk to `heph_dagster.anomalies.features.SIZE` as it is read. A table of another variant, size, number
    of bins or version is made anew of the days on disk.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        variant: See `heph_dagster.anomalies.features.feature_vector`.
        hue_bins: Bins of the hue histogram.
        on_day: Called with each day that is computed, as it is done.

    Raises:
        ValueError: The number of bins is not positive.
        FeaturesError: The table cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if hue_bins < 1:
        raise ValueError(f"a hue histogram has 1 bin at least, not {hue_bins}")
    settings = {
        "version": SCHEMA_VERSION, "features_version": VERSION, "variant": variant, "width": str(SIZE[0]),
        "height": str(SIZE[1]), "hue_bins": str(hue_bins),
    }  # fmt: skip
    update = FeatureUpdate()
    path = features_path(root, epsg, layer)

    def compute(stored: StoredDay) -> tuple[str, NDArray[np.float32] | Exception]:
        try:
            digest = hashlib.sha256(stored.path.read_bytes()).hexdigest()
            return digest, feature_vector(thumbnail(stored.path, SIZE), variant, hue_bins).astype(np.float32)
        except (RasterError, OSError) as error:
            return "", error

    with locked(path):
        old = _read(path, settings)
        known = dict(zip(old["day"].to_pylist(), old["sha256"].to_pylist(), strict=True)) if old is not None else {}
        here = [each for each in stored_days(root) if (each.epsg, each.layer) == (epsg, layer.identifier)]
        wanted = [
            each
            for each in here
            if each.day not in known or hashlib.sha256(each.path.read_bytes()).hexdigest() != known[each.day]
        ]
        rows: list[tuple[date, str, NDArray[np.float32]]] = []
        with ThreadPoolExecutor() as pool:
            for stored, (digest, result) in zip(wanted, pool.map(compute, wanted), strict=True):
                if isinstance(result, Exception):
                    update.failed[stored.day] = result
                else:
                    rows.append((stored.day, digest, result))
                    update.added.append(stored.day)
                on_day(stored.day)
        tables = []
        if old is not None:
            # A day that has changed and cannot be read has no features: the old ones are another image's.
            gone = pa.array([each.day for each in wanted], pa.date32())
            tables.append(old.filter(pc.invert(pc.is_in(old["day"], gone))))
        if rows:
            tables.append(_table(rows))
        if not tables:
            return update
        table = pa.concat_tables(tables).sort_by("day")
        update.days = len(table)
        if wanted:
            _write(path, table.replace_schema_metadata(settings))
    return update


def read_features(path: Path) -> tuple[list[date], NDArray[np.float32]]:
    """The features of a table.

    Returns:
        The days, in order, and days x values, float32.

    Raises:
        FeaturesError: The table is damaged or of another version.
        FileNotFoundError: There is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: materialize the layer's features first")
    table = _read(path, {"version": SCHEMA_VERSION})
    if table is None:
        raise FeaturesError(f"{path} is of another version of this program: materialize the layer's features again")
    vectors = table["vector"].combine_chunks()
    values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(table), vectors.type.list_size)
    return table["day"].to_pylist(), values


def _read(path: Path, settings: dict[str, str]) -> pa.Table | None:
    """The table, or None where there is none of these settings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return None
    try:
        metadata = pq.read_metadata(path).metadata or {}
        if any(metadata.get(name.encode()) != value.encode() for name, value in settings.items()):
            return None
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise FeaturesError(f"{path} is damaged: {error}; delete it to make the features anew") from error


def _table(rows: list[tuple[date, str, NDArray[np.float32]]]) -> pa.Table:
    import pyarrow as pa

    days, digests, vectors = zip(*rows, strict=True)
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), len(vectors[0]))
    return pa.table({"day": pa.array(days, pa.date32()), "sha256": pa.array(digests, pa.string()), "vector": values})


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with replacing(path) as part:
        pq.write_table(
            table, part, compression="zstd", use_dictionary=False, row_group_size=_ROW_GROUP, write_page_checksum=True
        )
