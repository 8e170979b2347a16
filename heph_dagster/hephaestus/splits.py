"""Which crops train, validate and test a model: as published, by whole frames, or by time.

Two crops of an interferogram, and two interferograms of a frame, resemble each other: a model that has seen one knows
something of the other. `shared_interferograms`, `shared_images` and `shared_frames` tell what two parts have in common.

| split | what two parts share |
| --- | --- |
| published | Train has frames of its own; val and test share all three of theirs, and most interferograms in these. |
| by frames | Nothing. |
| by time | Frames. The primary day decides, so an interferogram is in one part; where its secondary day lies beyond \
the end of the part, its second radar image is in interferograms of the next part, too. |

A split of crops is made of their manifests; where there are no crops, a split of annotations has the same columns.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.annotations import load_annotations
from heph_dagster.hephaestus.frame_crops import frames_with_crops, read_frame_crops
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

PUBLISHED_FILE = "train_test_split.json"
"""Name of the published split, below `hephaestus` in the data root."""
TEST_FRAMES = ("022D_04826_121209", "087D_07004_060904", "124D_04854_171313")
"""Frames that the published code tests with: Campi Flegrei and Vesuvius from two orbits, and Hawaii."""
VALIDATION_SHARE = 0.1
"""Share of the crops outside of test frames, with and without deformation, that should validate."""
_ITEM = ("name", "unique_id", "frame", "primary", "secondary", "deformation")
_NAME = re.compile(r"([0-9]{1,9})(?:_([0-9]{1,6}))?\.json")


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
    """Crops (or annotations) and their parts.

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

    return pa.concat_tables([_item_schema().empty_table(), *(_plain(each.select(_ITEM)) for each in manifests)])


def annotation_items(annotations: Iterable[Annotation]) -> pa.Table:
    """What is split where there are no crops: one row per annotation, named by its ID."""
    import pyarrow as pa

    rows = [
        {
            **{field: getattr(each, field) for field in ("unique_id", "frame", "primary", "secondary")},
            "name": f"{each.unique_id}",
            "deformation": bool(each.deformations),
        }
        for each in annotations
    ]
    return pa.Table.from_pylist(rows, _item_schema())


def frame_split(items: pa.Table, seed: int = 0, test_frames: Sequence[str] = TEST_FRAMES) -> Split:
    """Split by whole frames.

    Frames validate that together have about a tenth of what is outside of the test frames, with and without deformation
    each: frames are tried in an order drawn by the seed, and taken or left as it brings both shares nearer to that.

    Args:
        items: Crops or annotations.
        seed: Another seed takes other frames.
        test_frames: Those that test.
    """
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


def published_split(
    path: Path,
    crops: pa.Table | None = None,
    annotations: Iterable[Annotation] | None = None,
    rejects: Mapping[str, str] | None = None,
) -> Split:
    """The published split of crops, every name of which is found or missing.

    Args:
        path: `train_test_split.json`: `{train, val, test}` to `{"0", "1"}` (without and with deformation) to
            `{stem}.json`.
        crops: The crops that there are; by default, those that could be made of the annotations.
        annotations: The annotations, which tell why there is no crop.
        rejects: Why crops could not be made, by their names, or by the ID of the annotation where all are meant.

    Returns:
        The split, in the order of the file. A name is missing if it is no name of a crop, if it stands in the file
        twice, if its annotation is not there, if the annotation has no such deformation, if the crop was not made, or
        if published class and annotation differ.

    Raises:
        SplitError: The file is no such split.
    """
    import pyarrow as pa

    published = _read_published(path)
    known = None if annotations is None else {each.unique_id: each for each in annotations}
    made = None if crops is None else {row["name"]: row for row in crops.to_pylist()}
    times = Counter(name for name, _, _ in published)
    rows, missing = [], []
    for name, part, deformation in published:
        reason = f"it stands {times[name]} times in the file" if times[name] > 1 else None
        item = reason or _find(name, deformation, made, known, rejects or {})
        labels = {"part": part, "deformation": deformation}
        if isinstance(item, str):
            missing.append({"name": name.removesuffix(".json"), **labels, "reason": item})
        else:
            rows.append(item | labels)
    return Split(pa.Table.from_pylist(rows, _row_schema()), pa.Table.from_pylist(missing, _missing_schema()))


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


def make_splits(folder: Path, seed: int = 0, test_frames: Sequence[str] = TEST_FRAMES) -> dict[str, Split]:
    """Split the crops of all frames, and write the splits to `splits`.

    Args:
        folder: Folder of InSAR data, with crops. The published split is made where `train_test_split.json` is there.
        seed: Of the split by frames.
        test_frames: Those that test in it.

    Returns:
        `frames`, `temporal`, and `published` where its file is.

    Raises:
        SplitError: There are no crops, or the published file is none.
    """
    frames = frames_with_crops(folder)
    if not frames:
        raise SplitError(f"{folder / 'crops'} has no crops: make those of some frames first (heph insar crops)")
    crops = [read_frame_crops(folder, frame) for frame in frames]
    items = crop_items([each.manifest for each in crops])
    made = {"frames": frame_split(items, seed, test_frames), "temporal": temporal_split(items)}
    if (folder / PUBLISHED_FILE).exists():
        annotations = load_annotations(folder)
        alone = {each.unique_id for each in annotations if len(each.deformations) == 1}
        rejects = {
            f"{it.unique_id}" if it.index is None or it.unique_id in alone else f"{it.unique_id}_{it.index}": it.reason
            for each in crops
            for it in each.rejects
        }
        made["published"] = published_split(folder / PUBLISHED_FILE, items, annotations, rejects)
    for name, split in made.items():
        write_split(folder / "splits", name, split)
    return made


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
    write_table(folder / f"{name}.missing.parquet", split.missing)
    write_table(folder / f"{name}.parquet", split.rows)


def read_split(folder: Path, name: str) -> Split:
    """A split that `write_split` wrote.

    Raises:
        SplitError: It is not there.
    """
    paths = [folder / f"{name}.parquet", folder / f"{name}.missing.parquet"]
    if absent := [str(path) for path in paths if not path.exists()]:
        raise SplitError(f"{' and '.join(absent)} is not there: make the split {name} first")
    return Split(*map(read_table, paths))


def _split(items: pa.Table, part_of: Callable[[Mapping[str, Any]], Part | str]) -> Split:
    import pyarrow as pa

    rows, missing = [], []
    for row in items.to_pylist():
        part = part_of(row)
        if isinstance(part, Part):
            rows.append(row | {"part": part})
        else:
            missing.append({"name": row["name"], "deformation": row["deformation"], "part": None, "reason": part})
    return Split(pa.Table.from_pylist(rows, _row_schema()), pa.Table.from_pylist(missing, _missing_schema()))


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


def _read_published(path: Path) -> list[tuple[str, Part, bool]]:
    try:
        content = json.loads(path.read_bytes())
        return [
            (_text(name), Part(part), {"0": False, "1": True}[code])
            for part, classes in content.items()
            for code, names in classes.items()
            for name in names
        ]
    except FileNotFoundError as error:
        raise SplitError(f"{path} is not there: put the published {PUBLISHED_FILE} there, or name it") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SplitError(
            f"{path} is no published split of train, val and test, each with names of classes 0 and 1: {error!r}"
        ) from error


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name")
    return name


def _find(  # noqa: PLR0911 - a reason each
    name: str,
    deformation: bool,  # noqa: FBT001
    made: Mapping[str, dict[str, Any]] | None,
    known: Mapping[int, Annotation] | None,
    rejects: Mapping[str, str],
) -> dict[str, Any] | str:
    """The item of a published name, or why it is missing."""
    match = _NAME.fullmatch(name)
    if match is None:
        return "it is no name of a crop: <uniqueID>.json or <uniqueID>_<number>.json"
    stem, unique_id = name.removesuffix(".json"), int(match[1])
    if made is not None and stem in made:
        return made[stem] if made[stem]["deformation"] == deformation else _differs(deformation)
    if why := rejects.get(stem, rejects.get(match[1])):
        return f"the crop could not be made: {why}"
    annotation = None if known is None else known.get(unique_id)
    if annotation is None:
        return "there is no crop of this name" if known is None else f"annotation {unique_id} is not in the table"
    if unlike := _unlike(annotation, match[2], deformation):
        return unlike
    if made is not None:
        return f"annotation {unique_id} is there, but this crop was not made"
    return {"name": stem} | {field: getattr(annotation, field) for field in _ITEM[1:-1]}


def _unlike(annotation: Annotation, number: str | None, deformation: bool) -> str | None:  # noqa: FBT001
    """Why no crop of an annotation has a number and a class."""
    count = len(annotation.deformations)
    if bool(count) != deformation:
        return _differs(deformation)
    if (count == 1) != (number is None) or (count > 1 and int(number or 0) >= count):
        return f"annotation {annotation.unique_id} has {count} deformations, none of which gives this name"
    return None


def _differs(deformation: bool) -> str:  # noqa: FBT001
    words = ("no deformation", "deformation")
    return f"the published class is {words[deformation]}, the annotation says {words[not deformation]}"


def _shared(table: pa.Table) -> list[Any]:
    """What stands in the columns before `part`, where it stands there with several parts; in order."""
    keys = table.column_names[:-1]
    counts = table.group_by(keys).aggregate([("part", "count_distinct")])
    rows = zip(*(counts[name].to_pylist() for name in (*keys, "part_count_distinct")), strict=True)
    return sorted(row[:-1] for row in rows if row[-1] > 1)


def _plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata()


def _item_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = (pa.string(), pa.int32(), pa.string(), pa.date32(), pa.date32(), pa.bool_())
    return pa.schema(list(zip(_ITEM, kinds, strict=True)))


def _row_schema() -> pa.Schema:
    import pyarrow as pa

    return _item_schema().append(pa.field("part", pa.string()))


def _missing_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"name": pa.string(), "part": pa.string(), "deformation": pa.bool_(), "reason": pa.string()})
