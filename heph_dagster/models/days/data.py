"""Days to learn from: their features, what they are, and which of them train, validate and test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.feature_table import features_path, read_features
from heph_dagster.anomalies.label_table import labels_path, read_label_table
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split, read_splits
from heph_dagster.anomalies.splitting import split_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.models.errors import DataError

FEWEST_POSITIVES = 2


class Task(StrEnum):
    """What a learner tells of a day."""

    MISSING_DATA = "missing_data"
    MISCOLORATION = "miscoloration"


class LayerDays(NamedTuple):
    """The days of a layer in one projection, below a data root."""

    root: Path
    layer: Layer
    epsg: int


@dataclass(frozen=True, eq=False)
class Part:
    """Days of a part of the split.

    Attributes:
        days: The days, in order.
        features: Their features, N x values, float32.
        truth: Whether each is positive, N.
    """

    days: tuple[date, ...]
    features: NDArray[np.float32]
    truth: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DayData:
    """Labelled days with features.

    Attributes:
        task: What is told of them.
        parts: The days by part of the split.
        sources: How many labels were given by hand and how many by methods.
        left_out: How many labelled days lack features, or have no part, or could not be judged.
        fingerprint: SHA-256 of all of it: of days, features, truth and parts.
        eclipse_is_missing: Whether an eclipse counts as missing data.
    """

    task: Task
    parts: Mapping[Split, Part]
    sources: Mapping[str, int]
    left_out: Mapping[str, int]
    fingerprint: str
    eclipse_is_missing: bool


def load_days(source: LayerDays, task: Task) -> DayData:
    """The days of a layer that have a label, features and a part of the split.

    Args:
        source: The layer's days.
        task: What to tell of them.

    Raises:
        FileNotFoundError: Labels, features or split are not there.
        DataError: A part has no days, or days of one kind only, or there are too few positive ones to train.
        FeaturesError, LabelTableError, ValueError: A table is damaged.
    """
    root, layer, epsg = source
    table = read_label_table(labels_path(root, epsg, layer))
    split_file = split_path(root, epsg, layer)
    if not split_file.exists():
        raise FileNotFoundError(f"{split_file} is not there: materialize the layer's split first")
    parts = {row.day: row.split for row in read_splits(split_file)}
    days, values = read_features(features_path(root, epsg, layer))
    places = {day: number for number, day in enumerate(days)}
    chosen: dict[Split, list[tuple[date, bool]]] = {split: [] for split in Split}
    sources: Counter[str] = Counter()
    left_out = Counter(dict.fromkeys(("not_judged", "without_features", "in_no_part"), 0))
    for row in sorted(table.select(["day", "codes", "missing", "source"]).to_pylist(), key=lambda row: row["day"]):
        positive, day = _positive(row, task), row["day"]
        if positive is None:
            left_out["not_judged"] += 1
        elif day not in places:
            left_out["without_features"] += 1
        elif day not in parts:
            left_out["in_no_part"] += 1
        else:
            chosen[parts[day]].append((day, positive))
            sources[row["source"]] += 1
    found = {
        split: Part(
            tuple(day for day, _ in rows),
            values[[places[day] for day, _ in rows]],
            np.array([positive for _, positive in rows], bool),
        )
        for split, rows in chosen.items()
    }
    _check(found, task, layer.identifier)
    eclipse = (table.schema.metadata or {}).get(b"eclipse_is_missing") == b"true"
    return DayData(task, found, dict(sources), dict(left_out), _fingerprint(found), eclipse)


def _positive(row: dict[str, Any], task: Task) -> bool | None:
    if task is Task.MISSING_DATA:
        missing: bool | None = row["missing"]
        return missing
    return Label.MISCOLOURED in row["codes"] if row["codes"] else None


def _check(parts: Mapping[Split, Part], task: Task, name: str) -> None:
    remedy = "more days or smaller blocks (the split's block_days) make some"
    for split, part in parts.items():
        positives = int(part.truth.sum())
        if not len(part.days):
            raise DataError(f"{name} has no days to {split}: {remedy}")
        if positives in {0, len(part.days)}:
            kind = "none" if not positives else "all"
            raise DataError(f"of the {len(part.days)} days of {name} that {split}, {kind} have {task}: {remedy}")
    positives = int(parts[Split.TRAIN].truth.sum())
    if positives < FEWEST_POSITIVES:
        raise DataError(f"{positives} of the days of {name} that train has {task}, too few to learn from: {remedy}")


def _fingerprint(parts: Mapping[Split, Part]) -> str:
    digest = hashlib.sha256()
    for split, part in parts.items():
        digest.update(f"{split} {len(part.days)}\n".encode())
        for day, positive, vector in zip(part.days, part.truth, part.features, strict=True):
            digest.update(f"{day} {int(positive)}\n".encode() + vector.tobytes())
    return digest.hexdigest()
