"""Days to learn from: features or pixels, what they are, and which of them train, validate and test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.feature_table import features_path, read_features
from heph_dagster.anomalies.label_table import labels_path, read_label_table
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, read_splits
from heph_dagster.anomalies.splitting import split_path
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.models.days.pixels import Masks, Pixels, Size, has_mask, read_days, read_masks
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.errors import DataError

FEWEST = 2
"""Days of either kind below which nothing is learned."""
_REMEDY = "more days or smaller blocks (the split's block_days) make some"


class Task(StrEnum):
    """What a learner tells of a day."""

    MISSING_DATA = "missing_data"
    MISCOLORATION = "miscoloration"


@dataclass(frozen=True, eq=False)
class Part:
    """Days of a part of the split.

    Attributes:
        days: The days, in order.
        inputs: What is learned from: features, N x values, float32, or pixels, N x height x width x 4, uint8.
        truth: Whether each is positive, N.
    """

    days: tuple[date, ...]
    inputs: NDArray[Any]
    truth: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DayData:
    """Labelled days with what is learned from.

    Attributes:
        task: What is told of them.
        parts: The days by part of the split.
        sources: How many labels were given by hand and how many by methods.
        left_out: How many labelled days lack features or pixels, or have no part, or could not be judged.
        fingerprint: SHA-256 of all of it: of days, inputs, truth and parts.
        eclipse_is_missing: Whether an eclipse counts as missing data.
    """

    task: Task
    parts: Mapping[Split, Part]
    sources: Mapping[str, int]
    left_out: Mapping[str, int]
    fingerprint: str
    eclipse_is_missing: bool


@dataclass(frozen=True, eq=False)
class MaskPart:
    """Days of a part of the split whose pixels have classes.

    Attributes:
        days: The days, in order.
        pixels: N x height x width x 4, uint8.
        masks: N x height x width, uint8.
    """

    days: tuple[date, ...]
    pixels: Pixels
    masks: Masks


@dataclass(frozen=True, eq=False)
class MaskData:
    """Days whose pixels have classes.

    Attributes:
        parts: The days by part of the split.
        sources: How many masks were painted by hand and how many by methods.
        left_out: How many days of the split have no image or no mask.
        fingerprint: SHA-256 of all of it: of days, pixels, masks and parts.
    """

    parts: Mapping[Split, MaskPart]
    sources: Mapping[str, int]
    left_out: Mapping[str, int]
    fingerprint: str


def load_days(
    source: LayerDays, task: Task, size: Size | None = None, known: Mapping[Split, MaskPart] | None = None
) -> DayData:
    """The days of a layer that have a label, a part of the split, and features or pixels.

    Args:
        source: The layer's days.
        task: What to tell of them.
        size: Width and height in px of the pixels to learn from; None stands for features.
        known: Days whose pixels of that size have been read.

    Raises:
        FileNotFoundError: Labels, features or split are not there.
        DataError: A part has no days, or days of one kind only, or there are too few of one kind to train.
        FeaturesError, LabelTableError, ValueError: A table is damaged.
        RasterError: An image is damaged.
    """
    labelled = _labelled(source, task)
    parts = _parts(source)
    there = _with_features(source) if size is None else None
    chosen: dict[Split, list[tuple[date, bool]]] = {split: [] for split in Split}
    sources: Counter[str] = Counter()
    lacking = "without_features" if size is None else "without_pixels"
    left_out = Counter(dict.fromkeys(("not_judged", lacking, "in_no_part"), 0))
    for day, positive, origin in labelled.rows:
        if positive is None:
            left_out["not_judged"] += 1
        elif not (day in there if there is not None else _has_image(source, day)):
            left_out[lacking] += 1
        elif day not in parts:
            left_out["in_no_part"] += 1
        else:
            chosen[parts[day]].append((day, positive))
            sources[origin] += 1
    found = {}
    for split, rows in chosen.items():
        days = tuple(day for day, _ in rows)
        inputs: NDArray[Any]
        if there is not None:
            inputs = there.of(days)
        else:
            inputs = _pixels(source, days, size or (0, 0), known[split] if known else None)
        found[split] = Part(days, inputs, np.array([positive for _, positive in rows], bool))
    _check(found, task, source.layer.identifier)
    fingerprint = _fingerprint((split, part.days, (part.inputs, part.truth)) for split, part in found.items())
    return DayData(task, found, dict(sources), dict(left_out), fingerprint, labelled.eclipse_is_missing)


def load_masks(source: LayerDays, size: Size) -> MaskData:
    """The days of a layer that have an image, classes of pixels, and a part of the split.

    Args:
        source: The layer's days.
        size: Width and height in px of images and masks.

    Raises:
        FileNotFoundError: The split is not there.
        DataError: A part has no days, or the days that train have no anomaly.
        RasterError, ValueError: An image or mask, or the split, is damaged.
    """
    chosen: dict[Split, list[date]] = {split: [] for split in Split}
    left_out = Counter(dict.fromkeys(("without_pixels", "without_mask"), 0))
    for day, split in sorted(_parts(source).items()):
        if not _has_image(source, day):
            left_out["without_pixels"] += 1
        elif not has_mask(source, day):
            left_out["without_mask"] += 1
        else:
            chosen[split].append(day)
    by_hand, found = 0, {}
    for split, days in chosen.items():
        if not days:
            raise DataError(f"{source.layer.identifier} has no days with masks to {split}: {_REMEDY}")
        masks, painted = read_masks(source, days, size)
        by_hand += painted
        found[split] = MaskPart(tuple(days), read_days(source, days, size), masks)
    if not found[Split.TRAIN].masks.any():
        raise DataError(f"nothing is wrong with any day of {source.layer.identifier} that trains: {_REMEDY}")
    sources = {"hand": by_hand, "automatic": sum(map(len, chosen.values())) - by_hand}
    fingerprint = _fingerprint((split, part.days, (part.pixels, part.masks)) for split, part in found.items())
    return MaskData(found, {name: count for name, count in sources.items() if count}, dict(left_out), fingerprint)


class _Labelled(NamedTuple):
    rows: list[tuple[date, bool | None, str]]
    eclipse_is_missing: bool


class _Features:
    """Features by day."""

    def __init__(self, days: Sequence[date], values: NDArray[np.float32]) -> None:
        self._places = {day: number for number, day in enumerate(days)}
        self._values = values

    def __contains__(self, day: date) -> bool:
        return day in self._places

    def of(self, days: Sequence[date]) -> NDArray[np.float32]:
        return self._values[[self._places[day] for day in days]]


def _labelled(source: LayerDays, task: Task) -> _Labelled:
    table = read_label_table(labels_path(source.root, source.epsg, source.layer))
    table = table.sort_by("day").select(["day", "codes", "missing", "source", "miscoloured_share"])
    eclipse = (table.schema.metadata or {}).get(b"eclipse_is_missing") == b"true"
    rows = [(row["day"], _positive(row, task), row["source"]) for row in table.to_pylist()]
    return _Labelled(rows, eclipse)


def _parts(source: LayerDays) -> dict[date, Split]:
    path = split_path(source.root, source.epsg, source.layer)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: materialize the layer's split first")
    return {row.day: row.split for row in read_splits(path)}


def _with_features(source: LayerDays) -> _Features:
    return _Features(*read_features(features_path(source.root, source.epsg, source.layer)))


def _has_image(source: LayerDays, day: date) -> bool:
    return mosaic_path(source.root, source.epsg, day, source.layer).exists()


def _pixels(source: LayerDays, days: tuple[date, ...], size: Size, known: MaskPart | None) -> Pixels:
    if known is None:
        return read_days(source, days, size)
    if known.days == days:
        return known.pixels
    there = dict(zip(known.days, known.pixels, strict=True))
    new = [day for day in days if day not in there]
    there.update(zip(new, read_days(source, new, size), strict=True))
    return np.array([there[day] for day in days], np.uint8).reshape(-1, *known.pixels.shape[1:])


def _positive(row: dict[str, Any], task: Task) -> bool | None:
    if task is Task.MISSING_DATA:
        missing: bool | None = row["missing"]
        return missing
    if row["source"] == "automatic" and row["miscoloured_share"] is None:  # another method has found the day normal
        return None
    return Label.MISCOLOURED in row["codes"] if row["codes"] else None


def _check(parts: Mapping[Split, Part], task: Task, name: str) -> None:
    for split, part in parts.items():
        positives = int(part.truth.sum())
        if not len(part.days):
            raise DataError(f"{name} has no days to {split}: {_REMEDY}")
        if positives in {0, len(part.days)}:
            kind = "none" if not positives else "all"
            raise DataError(f"of the {len(part.days)} days of {name} that {split}, {kind} have {task}: {_REMEDY}")
    truth = parts[Split.TRAIN].truth
    for found, verb in ((truth, "has"), (~truth, "lacks")):
        if found.sum() < FEWEST:
            raise DataError(
                f"{found.sum()} of the days of {name} that train {verb} {task}, too few to learn from: {_REMEDY}"
            )


def _fingerprint(parts: Iterable[tuple[Split, Sequence[date], Sequence[NDArray[Any]]]]) -> str:
    digest = hashlib.sha256()
    for split, days, arrays in parts:
        digest.update(f"{split} {len(days)}\n".encode())
        for number, day in enumerate(days):
            digest.update(f"{day}\n".encode())
            for array in arrays:
                digest.update(f"{array.shape[1:]} {array.dtype}\n".encode() + array[number].tobytes())
    return digest.hexdigest()
