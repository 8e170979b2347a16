"""Asking champions what is wrong with days."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.models import drift
from heph_dagster.models.days.data import Task
from heph_dagster.models.days.inputs import describe, inputs_of
from heph_dagster.models.days.prediction_table import Prediction, predictions_path, read_predictions, write_predictions
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import DRIFT, THRESHOLD, model_name
from heph_dagster.models.drift import Shift
from heph_dagster.models.errors import DataError
from heph_dagster.models.tracking import Loaded, Tracking

BATCH_DAYS = 32
"""Days that are in memory at once."""
RECENT_DAYS = 60
"""Days up to the last one that drift is told of."""
SEASON_DAYS = 15
"""Days of the year that training may be away from these: what changes with the seasons is no drift."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What became of days.

    Attributes:
        predictions: Of each day by task.
        failed: Why others have none.
        without_champion: Tasks that have none.
    """

    predictions: Mapping[date, Mapping[Task, Prediction]]
    failed: Mapping[date, Exception]
    without_champion: tuple[Task, ...]


@dataclass(frozen=True, eq=False)
class _Champion:
    task: Task
    model: Loaded
    threshold: float
    learner: str


def predict_days(
    tracking: Tracking,
    source: LayerDays,
    days: Sequence[date],
    on_days: Callable[[Sequence[date]], None] = lambda _: None,
) -> Predicted:
    """Ask the champion of each task about days on disk, and write what they tell.

    Args:
        tracking: Where champions are.
        source: The layer's days.
        days: Which.
        on_days: Called with the days of each batch as it is written.

    Raises:
        DataError: There is no champion of any task.
        TrackingError: A champion cannot be loaded.
    """
    asked = [task for task in Task if str(task) in source.layer.checks]
    champions = [each for task in asked if (each := _champion(tracking, source, task)) is not None]
    if not champions:
        names = " or ".join(model_name(source, task) for task in asked)
        raise DataError(f"there is no champion of {names}: train a learner of the layer first")
    found: dict[date, dict[Task, Prediction]] = {}
    failed: dict[date, Exception] = {}
    for start in range(0, len(days), BATCH_DAYS):
        batch = days[start : start + BATCH_DAYS]
        for champion in champions:
            inputs, wrong = inputs_of(source, batch, champion.model.shape)
            failed |= wrong
            for told in _predict(champion, {day: inputs[day] for day in batch if day in inputs}):
                found.setdefault(told.day, {})[told.task] = told
        done = [day for day in batch if day not in failed]
        rows = [each for day in done for each in found[day].values()]
        write_predictions(predictions_path(source.root, source.epsg, source.layer), rows)
        on_days(done)
    lacking = tuple(task for task in asked if task not in {each.task for each in champions})
    return Predicted({day: each for day, each in found.items() if day not in failed}, failed, lacking)


def find_drift(tracking: Tracking, source: LayerDays, task: Task) -> dict[str, Shift]:
    """How far what the champion of a task saw and told of recent days has moved from its training.

    Args:
        tracking: Where the champion is.
        source: The layer's days.
        task: Of which.

    Returns:
        By name the shift of `score` and of figures of the inputs, of the days within `RECENT_DAYS` of the last that
        this version told of, against the days of training in the same season; empty where either are too few, or there
        is no champion.
    """
    champion = tracking.champion(model_name(source, task))
    if champion is None:
        return {}
    rows = [
        each
        for each in read_predictions(predictions_path(source.root, source.epsg, source.layer))
        if (each.task, each.version) == (task, champion.number)
    ]
    if not rows:
        return {}
    recent = [each for each in rows if each.day > rows[-1].day - timedelta(days=RECENT_DAYS)]
    told = tracking.read(champion.run_id, DRIFT)
    if told is None:
        return {}
    same, held_out = (_of_season(told[name], [each.day for each in recent]) for name in ("days", "held_out"))
    compared = {
        name: (np.array(each)[same], [row.inputs[name] for row in recent]) for name, each in told["inputs"].items()
    }
    compared[drift.SCORE] = np.array(told[drift.SCORE])[held_out], [row.probability for row in recent]
    shifts = {
        name: drift.shift(drift.reference(known), np.array(values))
        for name, (known, values) in compared.items()
        if len(known) >= drift.FEWEST
    }
    return {name: each for name, each in shifts.items() if each is not None}


def _of_season(told: Sequence[str], recent: Sequence[date]) -> NDArray[np.bool_]:
    """Which days of training are within `SEASON_DAYS` of the season of recent ones, of whatever year."""
    days, now = (
        np.array([day.timetuple().tm_yday for day in each]) for each in (map(date.fromisoformat, told), recent)
    )
    apart = np.abs(days[:, None] - now[None])
    return np.asarray(np.minimum(apart, 365 - apart).min(axis=1, initial=365) <= SEASON_DAYS)


def _champion(tracking: Tracking, source: LayerDays, task: Task) -> _Champion | None:
    version = tracking.champion(model_name(source, task))
    if version is None:
        return None
    tags = tracking.tags(version)
    return _Champion(task, tracking.load(version), float(tags[THRESHOLD]), tags["learner"])


def _predict(champion: _Champion, inputs: Mapping[date, NDArray[Any]]) -> list[Prediction]:
    if not inputs:
        return []
    stacked = np.stack(list(inputs.values()))
    probabilities = champion.model.predict(stacked)[:, 1]
    figures = describe(stacked)
    version = champion.model.version
    return [
        Prediction(
            day,
            champion.task,
            float(probability),
            champion.threshold,
            version.name,
            version.number,
            champion.learner,
            {name: float(each[number]) for name, each in figures.items()},
        )
        for number, (day, probability) in enumerate(zip(inputs, probabilities, strict=True))
    ]
