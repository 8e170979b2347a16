"""Features of a layer's days, a row and a vector for each: `{root}/{EPSG}/{Layer}.features/{YYYY-MM}.parquet`.

The folder is one table to pandas and pyarrow; a day that is added writes its month only. What the numbers were made
with stands in each file's metadata, the same in all. Features stay where imagery is pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.features import HUE_BINS, SIZE, Variant, feature_vector
from heph_dagster.anomalies.labels import UnusableImageError
from heph_dagster.anomalies.usable import check_world, observed
from heph_dagster.errors import HephError
from heph_dagster.files import locked
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.preview import thumbnail
from heph_dagster.gibs.raster import JPEG_BLACK, RasterError
from heph_dagster.gibs.verify import StoredDay, check_sound, stored_days
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "2"
VERSION = "1"
"""Version of the numbers: another one makes all of them anew."""
_FILES = "[0-9]*.parquet"

_Settings = dict[bytes, bytes]


class FeaturesError(HephError):
    """A table of features that cannot be read."""


@dataclass
class FeatureUpdate:
    """What became of the days on disk that a table did not know as they are.

    Attributes:
        days: Number of days in the table now.
        added: Days that were added, or replaced because their mosaic was.
        failed: Days that cannot be read, or are unusable, and why; they are not in the table.
    """

    days: int = 0
    added: list[date] = field(default_factory=list)
    failed: dict[date, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    day: date
    sha256: str
    vector: NDArray[np.float32]


_Result = _Row | Exception | None


def features_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's features stand below a data root: a folder of Parquet files."""
    return root / str(epsg) / f"{layer.identifier}.features"


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
    of bins or version is made anew of the days on disk. Months are done one by one, so that what is stopped goes on
    there, and runs at the same time wait for each other.

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
    if hue_bins < 1:
        raise ValueError(f"a hue histogram has 1 bin at least, not {hue_bins}")
    settings = {
        "version": SCHEMA_VERSION, "features_version": VERSION, "variant": variant, "width": str(SIZE[0]),
        "height": str(SIZE[1]), "hue_bins": str(hue_bins),
    }  # fmt: skip
    encoded = {name.encode(): value.encode() for name, value in settings.items()}
    folder = features_path(root, epsg, layer)
    months: dict[str, list[StoredDay]] = {}
    for stored in stored_days(root):
        if (stored.epsg, stored.layer) == (epsg, layer.identifier):
            months.setdefault(f"{stored.day:%Y-%m}", []).append(stored)
    with locked(folder):
        for path in folder.glob(_FILES):
            if _read(path, []).schema.metadata != encoded:  # before anything is written: no reader finds both
                path.unlink()
            else:
                months.setdefault(path.stem, [])
    update = FeatureUpdate()
    compute = partial(_compute, darkest=darkest_of(layer), variant=variant, hue_bins=hue_bins)
    with ThreadPoolExecutor() as pool:
        for month, days in sorted(months.items()):
            with locked(folder):
                _update_month(folder / f"{month}.parquet", days, encoded, compute, pool, update, on_day)
    return update


def read_features(path: Path) -> tuple[list[date], NDArray[np.float32]]:
    """The features of a table.

    Args:
        path: Its folder.

    Returns:
        The days, in order, and days x values, float32.

    Raises:
        FeaturesError: The table is damaged, of another version, or was made with several settings.
        FileNotFoundError: There is none.
    """
    import pyarrow as pa

    files = sorted(path.glob(_FILES))
    if not files:
        raise FileNotFoundError(f"{path} has no features: materialize the layer's features first")
    tables = [_read(file) for file in files]
    settings = [table.schema.metadata or {} for table in tables]
    remedy = "materialize the layer's features again"
    if any(each.get(b"version") != SCHEMA_VERSION.encode() for each in settings):
        raise FeaturesError(f"{path} is of another version of this program: {remedy}")
    if any(each != settings[0] for each in settings):
        raise FeaturesError(f"{path} was made with several settings: {remedy}")
    table = pa.concat_tables(tables).combine_chunks()
    vectors = table["vector"].combine_chunks()
    values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(table), vectors.type.list_size)
    return table["day"].to_pylist(), values


def days_not_finite(path: Path) -> list[date]:
    """Days of a table with a value that is no finite number; the argument and errors are those of `read_features`."""
    days, values = read_features(path)
    return [day for day, row in zip(days, values, strict=True) if not np.isfinite(row).all()]


def darkest_of(layer: Layer) -> int:
    """Highest value of a channel where a layer's days have no data."""
    return JPEG_BLACK if layer.format == "jpg" else 0


def mosaic_features(
    path: Path, epsg: int, darkest: int, variant: Variant = "dalal-triggs", hue_bins: int = HUE_BINS
) -> NDArray[np.float32]:
    """The features of a mosaic, as tables have them.

    Args:
        path: The mosaic.
        epsg: Its projection.
        darkest: Highest value of a channel where there is no data.
        variant: See `heph_dagster.anomalies.features.feature_vector`.
        hue_bins: Bins of the hue histogram.

    Raises:
        MosaicError, RasterError: It is damaged.
        UnusableImageError: It does not show the world, or hardly any of it.
    """
    check_sound(path, epsg)
    check_world(path, SIZE[1], "features are made of")
    image = thumbnail(path, SIZE)
    observed(image, darkest)
    return feature_vector(image, variant, hue_bins).astype(np.float32)


def _update_month(
    path: Path,
    days: list[StoredDay],
    settings: _Settings,
    compute: Callable[[StoredDay, str | None], _Result],
    pool: ThreadPoolExecutor,
    update: FeatureUpdate,
    on_day: Callable[[date], None],
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = _known(path, settings)
    rows: list[_Row] = []
    gone: list[date] = []
    results = pool.map(compute, days, [known.get(stored.day) for stored in days])
    for stored, result in zip(days, results, strict=True):
        if result is None:
            continue
        # A day that has changed and cannot be read has no features: the old ones are another image's.
        gone.append(stored.day)
        if isinstance(result, _Row):
            rows.append(result)
            update.added.append(stored.day)
        else:
            update.failed[stored.day] = result
        on_day(stored.day)
    left = known.keys() - set(gone)
    update.days += len(left) + len(rows)
    if not rows and len(left) == len(known):
        return
    tables = [_table(rows)] if rows else []
    if left:
        old = _read(path)
        tables.append(old.filter(pc.invert(pc.is_in(old["day"], pa.array(gone, pa.date32())))))
    if tables:
        write_table(path, pa.concat_tables(tables).sort_by("day").replace_schema_metadata(settings))
    else:
        path.unlink()


def _compute(stored: StoredDay, known: str | None, *, darkest: int, variant: Variant, hue_bins: int) -> _Result:
    """A day's row, None where its mosaic is the one that is known, or why there is none."""
    try:
        digest = hashlib.sha256(stored.path.read_bytes()).hexdigest()
        if digest == known:
            return None
        vector = mosaic_features(stored.path, stored.epsg, darkest, variant, hue_bins)
    except (RasterError, MosaicError, UnusableImageError, OSError) as error:
        return error
    return _Row(stored.day, digest, vector)


def _known(path: Path, settings: _Settings) -> dict[date, str]:
    """The days of a file and the digests of their mosaics; none where there is no file of these settings."""
    if not path.exists():
        return {}
    table = _read(path, ["day", "sha256"])
    if table.schema.metadata != settings:
        return {}
    return dict(zip(table["day"].to_pylist(), table["sha256"].to_pylist(), strict=True))


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa

    try:
        return read_table(path, columns)
    except (OSError, pa.ArrowException) as error:
        raise FeaturesError(
            f"{path} is damaged: {error}; delete it to make the features of its days on disk anew"
        ) from error


def _table(rows: list[_Row]) -> pa.Table:
    import pyarrow as pa

    vectors = pa.array(np.concatenate([row.vector for row in rows]))
    return pa.table(
        {
            "day": pa.array([row.day for row in rows], pa.date32()),
            "sha256": pa.array([row.sha256 for row in rows], pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(vectors, len(rows[0].vector)),
        }
    )
