"""Which crops train, validate and test a model: as published, by whole frames, or by time.

Two crops of an interferogram, and two interferograms of a frame, resemble each other: a model that has seen one knows
something of the other. `shared_interferograms`, `shared_images` and `shared_frames` tell what two parts have in common.

| split | what two parts share |
| --- | --- |
| published | Train has frames of its own; val and test share all three of theirs, and most interferograms in these. |
| by frames | Nothing. |
| by time | Frames. The primary day decides, so an interferogram is in one part; where its secondary day lies beyond \
the end of the part, its second radar image is in interferograms of the next part, too. |

A split is made of the manifests of crops.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.hephaestus.frames import Frame
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

TEST_FRAMES = ("022D_04826_121209", "087D_07004_060904", "124D_04854_171313")
"""Frames that the published code tests with: Campi Flegrei and Vesuvius from two orbits, and Hawaii."""
VALIDATION_SHARE = 0.1
"""Share of the crops outside of test frames, with and without deformation, that should validate."""
ITEM = ("name", "unique_id", "frame", "primary", "secondary", "deformation")
"""What is known of a crop that is split."""
_RUN = b"heph_run"


class SplitError(HephError):
    """A split that cannot be read."""


class Part(StrEnum):
    """What a crop is used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


PERIODS = {
    Part.TRAIN: (date(2014, 1, 1), date(2019, 5, 31)),
    Part.VAL: (date(2019, 6, 1), date(2019, 12, 31)),
    Part.TEST: (date(2020, 1, 1), date(2021, 12, 31)),
}
"""First and last primary day of each part of the split by time, as in the configuration of Hephaestus Minicubes."""


@dataclass(frozen=True, eq=False)
class Split:
    """Crops and their parts.

    Attributes:
        rows: `name`, `unique_id`, `frame`, `primary`, `secondary`, `deformation` (whether there is one) and `part`.
        missing: `name`, `part`, `deformation` and the `reason`, for each that is in no part, or that a published split
            names though it cannot be used. Both together are all there are.
    """

    rows: pa.Table
    missing: pa.Table

    def names(self, part: Part) -> list[str]:
        """Names of the crops of a part."""
        import pyarrow.compute as pc

        return self.rows.filter(pc.equal(self.rows["part"], part))["name"].to_pylist()

    def empty_parts(self) -> list[str]:
        """Names of the parts that have nothing."""
        there = set(self.rows["part"].to_pylist())
        return [str(part) for part in Part if part not in there]

    def counts(self) -> dict[str, int]:
        """Crops of each part without and with deformation (`train/0`, `train/1`), and those that are `missing`."""
        pairs = Counter(zip(self.rows["part"].to_pylist(), self.rows["deformation"].to_pylist(), strict=True))
        return {f"{part}/{int(flag)}": pairs[part, flag] for part in Part for flag in (False, True)} | {
            "missing": len(self.missing)
        }


def crop_items(manifests: Sequence[pa.Table]) -> pa.Table:
    """What is split, of the crops of manifests: one row for each."""
    import pyarrow as pa

    return pa.concat_tables([_item_schema().empty_table(), *(_plain(each.select(ITEM)) for each in manifests)])


def make_split(rows: Sequence[Mapping[str, Any]], missing: Sequence[Mapping[str, Any]]) -> Split:
    """A split of rows with the columns of `Split`."""
    import pyarrow as pa

    reasons = {"name": pa.string(), "part": pa.string(), "deformation": pa.bool_(), "reason": pa.string()}
    part = pa.field("part", pa.string())
    return Split(
        pa.Table.from_pylist(list(rows), _item_schema().append(part)),
        pa.Table.from_pylist(list(missing), pa.schema(reasons)),
    )


def frame_split(items: pa.Table, seed: int = 0, test_frames: Sequence[str] = TEST_FRAMES) -> Split:
    """Split by whole frames.

    Frames validate that together have about a tenth of what is outside of the test frames, with and without deformation
    each: frames are tried in an order drawn by the seed, and taken or left as it brings both shares nearer to that.

    Args:
        items: Crops, of `crop_items`.
        seed: Another seed takes other frames.
        test_frames: Those that test.

    Raises:
        ValueError: One of them is no frame ID.
    """
    test_frames = [Frame(each).id for each in test_frames]
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(2, np.int64))
    for frame, deformation in zip(items["frame"].to_pylist(), items["deformation"].to_pylist(), strict=True):
        counts[frame][int(deformation)] += 1
    remaining = sorted(set(counts) - set(test_frames))
    total = np.maximum(sum((counts[frame] for frame in remaining), np.zeros(2, np.int64)), 1)
    validating = _near_share([counts[frame] / total for frame in remaining], seed)
    val_frames = {remaining[number] for number in validating}

    def part(row: Mapping[str, Any]) -> Part:
        if row["frame"] in test_frames:
            return Part.TEST
        return Part.VAL if row["frame"] in val_frames else Part.TRAIN

    return _split(items, part)


def temporal_split(items: pa.Table) -> Split:
    """Split by the primary day, at `PERIODS`; what is outside of all of them is missing.

    Source: Hephaestus Minicubes, which slices its time series by primary date and leaves the secondary date free.
    """

    def part(row: Mapping[str, Any]) -> Part | str:
        for part, (first, last) in PERIODS.items():
            if first <= row["primary"] <= last:
                return part
        return f"its primary day {row['primary']} is in no part's period"

    return _split(items, part)


def shared_interferograms(split: Split) -> list[tuple[str, date, date]]:
    """Frame, primary and secondary day of the interferograms that have crops in several parts."""
    return _shared(split.rows.select(["frame", "primary", "secondary", "part"]))


def shared_images(split: Split) -> list[tuple[str, date]]:
    """Frame and day of the radar images that interferograms of several parts were made of."""
    import pyarrow as pa

    days = [split.rows.select(["frame", day, "part"]) for day in ("primary", "secondary")]
    return _shared(pa.concat_tables(each.rename_columns(["frame", "day", "part"]) for each in days))


def shared_frames(split: Split) -> list[str]:
    """The frames that have crops in several parts."""
    return [frame for (frame,) in _shared(split.rows.select(["frame", "part"]))]


def split_names(folder: Path) -> list[str]:
    """The splits that have been made, by name."""
    paths = (folder / "splits").glob("*.missing.parquet")
    return sorted(path.name.removesuffix(".missing.parquet") for path in paths)


def write_split(folder: Path, name: str, split: Split) -> None:
    """Write `{name}.missing.parquet`, then `{name}.parquet`.

    Args:
        folder: Made when it does not exist.
        name: Of the split.
        split: The split.
    """
    digest = hashlib.sha256(_bytes(split.rows) + _bytes(split.missing)).hexdigest()
    for table, path in ((split.missing, f"{name}.missing.parquet"), (split.rows, f"{name}.parquet")):
        write_table(folder / path, table.replace_schema_metadata({_RUN: digest.encode()}))


def read_split(folder: Path, name: str) -> Split:
    """A split that `write_split` wrote.

    Raises:
        SplitError: It is not there, or its two tables are of different runs, as while it is written.
    """
    paths = [folder / f"{name}.parquet", folder / f"{name}.missing.parquet"]
    if absent := [str(path) for path in paths if not path.exists()]:
        raise SplitError(f"{' and '.join(absent)} is not there: make the split {name} first")
    tables = [read_table(path) for path in paths]
    if len({(table.schema.metadata or {}).get(_RUN) for table in tables}) > 1:
        raise SplitError(f"{' and '.join(map(str, paths))} are of different runs: make the split {name} again")
    return Split(*map(_plain, tables))


def _split(items: pa.Table, part_of: Callable[[Mapping[str, Any]], Part | str]) -> Split:
    rows, missing = [], []
    for row in items.to_pylist():
        part = part_of(row)
        if isinstance(part, Part):
            rows.append(row | {"part": part})
        else:
            missing.append({"name": row["name"], "deformation": row["deformation"], "part": None, "reason": part})
    return make_split(rows, missing)


def _near_share(shares: Sequence[NDArray[np.float64]], seed: int) -> set[int]:
    """Numbers of some shares whose sums are near to VALIDATION_SHARE."""

    def distance(numbers: set[int]) -> float:
        total = sum((shares[number] for number in numbers), np.zeros(2))
        return float(np.abs(total - VALIDATION_SHARE).sum())

    order = np.random.default_rng(seed).permutation(len(shares)).tolist()
    chosen: set[int] = set()
    changed = True
    while changed:
        changed = False
        for number in order:
            if distance(chosen ^ {number}) < distance(chosen) - 1e-9:
                chosen ^= {number}
                changed = True
    return chosen


def _shared(table: pa.Table) -> list[Any]:
    """What stands in the columns before `part`, where it stands there with several parts; in order."""
    keys = table.column_names[:-1]
    counts = table.group_by(keys).aggregate([("part", "count_distinct")])
    rows = zip(*(counts[name].to_pylist() for name in (*keys, "part_count_distinct")), strict=True)
    return sorted(row[:-1] for row in rows if row[-1] > 1)


def _bytes(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def _plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata()


def _item_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = (pa.string(), pa.int32(), pa.string(), pa.date32(), pa.date32(), pa.bool_())
    return pa.schema(list(zip(ITEM, kinds, strict=True)))
