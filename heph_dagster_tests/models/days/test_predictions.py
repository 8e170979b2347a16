"""Champions asked about days that are on disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from heph_dagster.anomalies.splits import Split
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.models import drift
from heph_dagster.models.days.classical import ForestParameters
from heph_dagster.models.days.data import Task
from heph_dagster.models.days.prediction_table import (
    Prediction,
    days_without_prediction,
    predictions_path,
    read_predictions,
    write_predictions,
)
from heph_dagster.models.days.predictions import _of_season, find_drift, predict_days
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import Training, train_days
from heph_dagster.models.errors import DataError
from heph_dagster.models.tracking import Tracking
from heph_dagster_tests.anomalies.painting import FIRST, MAGENTA, painted, store
from heph_dagster_tests.models.days.conftest import DAYS, make_days

TASK = Task.MISCOLORATION


def told(day: date, probability: float, version: int = 1) -> Prediction:
    return Prediction(day, TASK, probability, 0.5, "gibs.x.miscoloration", version, "softmax", {"texture": 0.25})


def test_a_table_has_the_last_word_on_each_day(tmp_path: Path) -> None:
    folder = tmp_path / "layer.predictions"
    days = [date(2024, 1, 30) + timedelta(days=number) for number in range(4)]
    assert read_predictions(folder) == []
    write_predictions(folder, [told(day, 0.2) for day in reversed(days)])
    write_predictions(folder, [told(days[1], 0.7, 2)])
    found = read_predictions(folder)
    assert found == [told(days[0], 0.2), told(days[1], 0.7, 2), told(days[2], 0.2), told(days[3], 0.2)]
    assert [each.positive for each in found] == [False, True, False, False]
    assert sorted(path.name for path in folder.glob("*")) == ["2024-01.parquet", "2024-02.parquet"]


def test_days_that_a_table_does_not_tell_all_of_are_found(tmp_path: Path) -> None:
    days = [date(2024, 1, 30) + timedelta(days=number) for number in range(3)]
    write_predictions(tmp_path, [told(day, 0.2) for day in days[:2]])
    assert days_without_prediction(tmp_path, days, [TASK]) == {days[2]: [TASK]}
    assert days_without_prediction(tmp_path, days[:1], Task) == {days[0]: [Task.MISSING_DATA]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tracking, LayerDays, Training]]:
    folder = tmp_path_factory.mktemp("predictions")
    source = make_days(folder / "data")
    tracking = Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns")
    made = train_days(tracking, source, TASK, "random_forest", parameters=ForestParameters(trees=25))
    yield tracking, source, made
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_champion_tells_of_days_what_it_told_when_it_was_trained(
    trained: tuple[Tracking, LayerDays, Training],
) -> None:
    tracking, source, made = trained
    new = DAYS[-1] + timedelta(days=1)
    store(source.root, source.layer, new, painted(new, MAGENTA))
    batches = []
    found = predict_days(tracking, source, [*DAYS, new], batches.extend)
    assert batches == [*DAYS, new]
    assert found.failed == {}
    assert found.without_champion == (Task.MISSING_DATA,)
    part = made.data.parts[Split.TEST]
    rows = [found.predictions[day][TASK] for day in part.days]
    assert [row.probability for row in rows] == pytest.approx(made.trained.scores[Split.TEST].tolist())
    assert {(row.model, row.version, row.learner, row.threshold) for row in rows} == {
        (made.version.name, 1, "random_forest", made.trained.threshold)
    }
    assert found.predictions[new][TASK].positive
    kept = read_predictions(predictions_path(source.root, source.epsg, source.layer))
    assert [each.day for each in kept] == [*DAYS, new]
    shifts = find_drift(tracking, source, TASK)
    assert shifts
    assert not any(each.drifted for each in shifts.values())


@pytest.mark.slow
def test_a_day_that_cannot_be_read_is_told_and_the_others_are_done(
    trained: tuple[Tracking, LayerDays, Training],
) -> None:
    tracking, source, _ = trained
    gone = FIRST - timedelta(days=1)
    found = predict_days(tracking, source, [gone, DAYS[0]])
    assert list(found.predictions) == [DAYS[0]]
    assert list(found.failed) == [gone]
    assert str(mosaic_path(source.root, source.epsg, gone, source.layer)) in str(found.failed[gone])


@pytest.mark.slow
def test_days_unlike_those_of_the_season_are_drift(
    trained: tuple[Tracking, LayerDays, Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking, source, _ = trained

    def predict(first: date) -> None:
        days = [first + timedelta(days=number) for number in range(45)]
        for day in days:
            store(source.root, source.layer, day, painted(day, MAGENTA)[:, ::-1] // 3)
        predict_days(tracking, source, days)

    predict(FIRST + timedelta(days=200))
    assert find_drift(tracking, source, TASK) == {}  # training has no such season
    predict(FIRST + timedelta(days=365))
    shifts = find_drift(tracking, source, TASK)
    assert {each.cases for each in shifts.values()} == {45}
    assert shifts["magenta"].drifted
    assert drift.SCORE not in shifts  # twelve days were held out
    monkeypatch.setattr(drift, "FEWEST", 12)
    assert find_drift(tracking, source, TASK)[drift.SCORE].index > 1


def test_seasons_go_around_the_year() -> None:
    told = ["2020-01-05", "2021-12-28", "2022-01-20", "2019-07-01"]
    assert _of_season(told, [date(2024, 1, 1), date(2024, 1, 2)]).tolist() == [True, True, False, False]


@pytest.mark.slow
def test_no_champion_is_told(tmp_path: Path, trained: tuple[Tracking, LayerDays, Training]) -> None:
    _, source, _ = trained
    empty = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    assert find_drift(empty, source, TASK) == {}
    with pytest.raises(DataError, match=r"there is no champion of gibs\..*missing_data or gibs\..*: train a learner"):
        predict_days(empty, source, DAYS[:1])
