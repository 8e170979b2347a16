"""What champions told of a layer's days: `{root}/{EPSG}/{Layer}.predictions/{YYYY-MM}.parquet`, a row per day and task.

The folder is one table to pandas and pyarrow. A day that is told of again replaces its rows; they stay where imagery is
pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from heph_dagster.files import locked
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.models.days.data import Task
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "1"
_FILES = "[0-9]*.parquet"


@dataclass(frozen=True)
class Prediction:
    """What a champion told of a day.

    Attributes:
        day: The day.
        task: What was asked.
        probability: That it is so.
        threshold: From which probability on it is called so.
        model: Name of the registered model.
        version: Number of its version.
        learner: What kind of learner that is.
        inputs: Figures of what it saw, by name, to tell drift by.
    """

    day: date
    task: Task
    probability: float
    threshold: float
    model: str
    version: int
    learner: str
    inputs: Mapping[str, float]

    @property
    def positive(self) -> bool:
        """Whether it is called so."""
        return self.probability >= self.threshold


def predictions_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's predictions stand below a data root: a folder of Parquet files."""
    return root / str(epsg) / f"{layer.identifier}.predictions"


def write_predictions(folder: Path, predictions: Iterable[Prediction]) -> None:
    """Add predictions to a table; days that are told of again lose the rows that they had."""
    by_month = groupby(
        sorted(predictions, key=lambda each: (each.day, each.task)), key=lambda each: each.day.replace(day=1)
    )
    for month, rows in by_month:
        new = list(rows)
        path = folder / f"{month:%Y-%m}.parquet"
        days = {each.day for each in new}
        with locked(folder):
            old = [each for each in _read(path) if each.day not in days] if path.exists() else []
            write_table(path, _table(sorted([*old, *new], key=lambda each: (each.day, each.task))))


def read_predictions(folder: Path) -> list[Prediction]:
    """The predictions of a table, by day and task; none where there is none."""
    return [each for path in sorted(folder.glob(_FILES)) for each in _read(path)]


def days_without_prediction(folder: Path, days: Iterable[date], tasks: Iterable[Task]) -> dict[date, list[Task]]:
    """Which tasks a table tells nothing of, by day; days that have all of them are left out."""
    wanted = list(tasks)
    told = {(each.day, each.task) for each in read_predictions(folder)}
    lacking = {day: [task for task in wanted if (day, task) not in told] for day in sorted(set(days))}
    return {day: each for day, each in lacking.items() if each}


def _table(rows: list[Prediction]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("task", pa.string()),
            ("positive", pa.bool_()),
            ("probability", pa.float64()),
            ("threshold", pa.float64()),
            ("model", pa.string()),
            ("version", pa.int32()),
            ("learner", pa.string()),
            ("inputs", pa.map_(pa.string(), pa.float64())),
        ],
        metadata={"version": SCHEMA_VERSION},
    )
    values = [
        {
            **{name: getattr(each, name) for name in schema.names},
            "task": str(each.task),
            "inputs": list(each.inputs.items()),
        }
        for each in rows
    ]
    return pa.Table.from_pylist(values, schema=schema)


def _read(path: Path) -> list[Prediction]:
    rows = read_table(path).drop_columns("positive").to_pylist()
    return [Prediction(**row | {"task": Task(row["task"]), "inputs": dict(row["inputs"])}) for row in rows]
