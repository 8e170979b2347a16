from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.feature_table import features_path, read_features
from heph_dagster.anomalies.hand_labels import label_day
from heph_dagster.anomalies.label_table import labels_path, read_labels, update_labels
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.splits import Split
from heph_dagster.anomalies.splitting import block_split, split_path, write_split
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.models.days.classical import LinearParameters, train_linear_svm
from heph_dagster.models.days.data import Task, load_days
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.errors import DataError
from heph_dagster_tests.conftest import EPSG
from heph_dagster_tests.models.days.conftest import BLOCKS, DAYS


@pytest.fixture
def changed(source: LayerDays, tmp_path: Path) -> LayerDays:
    """The same days, to be changed."""
    shutil.copytree(source.root / str(EPSG), tmp_path / "days" / str(EPSG))
    return source._replace(root=tmp_path / "days")


def test_days_have_features_truth_and_a_part(source: LayerDays) -> None:
    data = load_days(source, Task.MISCOLORATION)
    parts = block_split(DAYS, 0, **BLOCKS)
    days, vectors = read_features(features_path(*source[::2], source.layer))
    for split, part in data.parts.items():
        assert part.days == tuple(day for day in DAYS if parts[day] is split)
        assert part.truth.tolist() == [DAYS.index(day) % 3 == 0 for day in part.days]
        np.testing.assert_array_equal(part.inputs, vectors[[days.index(day) for day in part.days]])
    assert data.sources == {"hand": 30}
    assert data.left_out == {"not_judged": 0, "without_features": 0, "in_no_part": 0}


def test_the_fingerprint_is_that_of_the_data(source: LayerDays, changed: LayerDays) -> None:
    before = load_days(source, Task.MISCOLORATION).fingerprint
    assert load_days(changed, Task.MISCOLORATION).fingerprint == before
    label_day(changed.root, changed.layer, EPSG, DAYS[1], [Label.MISCOLOURED])
    update_labels(changed.root, changed.layer, EPSG)
    assert load_days(changed, Task.MISCOLORATION).fingerprint != before


def test_days_that_lack_something_are_counted(changed: LayerDays) -> None:
    path = split_path(changed.root, EPSG, changed.layer)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), "utf-8")
    for day in (DAYS[-1], DAYS[-2]):
        label_day(changed.root, changed.layer, EPSG, day.replace(year=2023), [Label.NORMAL])
    update_labels(changed.root, changed.layer, EPSG)
    data = load_days(changed, Task.MISCOLORATION)
    assert data.left_out == {"not_judged": 0, "without_features": 2, "in_no_part": 1}


def test_days_of_one_kind_are_an_error(source: LayerDays) -> None:
    with pytest.raises(DataError, match=r"of the 18 days of VIIRS_.* that train, none have missing_data: more days or"):
        load_days(source, Task.MISSING_DATA)


def test_an_empty_part_is_an_error(changed: LayerDays) -> None:
    codes = read_labels(labels_path(changed.root, EPSG, changed.layer))
    write_split(split_path(changed.root, EPSG, changed.layer), dict.fromkeys(DAYS, Split.TRAIN), codes)
    with pytest.raises(DataError, match="has no days to val: more days or smaller blocks"):
        load_days(changed, Task.MISCOLORATION)


def test_days_whose_colours_no_method_judged_are_neither_good_nor_bad(changed: LayerDays) -> None:
    judged, unsure, other = (day.replace(year=2023) for day in DAYS[:3])
    for day, name, report in (
        (judged, "missing_data", {"labels": [0]}),
        (judged, "miscoloration", {"labels": [0], "miscoloured_share": 0.0}),
        (unsure, "missing_data", {"labels": [0]}),
        (unsure, "miscoloration", {"labels": [], "reason": "no climatology yet", "miscoloured_share": None}),
        (other, "missing_data", {"labels": [0]}),
    ):
        path = mosaic_path(changed.root, EPSG, day, changed.layer).with_suffix(f".{name}.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(report), "utf-8")
    update_labels(changed.root, changed.layer, EPSG)
    left_out = load_days(changed, Task.MISCOLORATION).left_out
    assert left_out == {"not_judged": 2, "without_features": 1, "in_no_part": 0}


def leave(source: LayerDays, count: int, *, positive: bool) -> None:
    """Let a few of the days that train be positive or not, and the others be of the other kind."""
    train = load_days(source, Task.MISCOLORATION).parts[Split.TRAIN]
    for day in [day for day, each in zip(train.days, train.truth, strict=True) if each == positive][count:]:
        label_day(source.root, source.layer, EPSG, day, [Label.NORMAL if positive else Label.MISCOLOURED])
    update_labels(source.root, source.layer, EPSG)


@pytest.mark.parametrize("positive", [True, False])
def test_too_few_days_of_a_kind_are_an_error(changed: LayerDays, *, positive: bool) -> None:
    leave(changed, 1, positive=positive)
    verb = "has" if positive else "lacks"
    with pytest.raises(DataError, match=f"1 of the days of .* that train {verb} miscoloration, too few to learn from"):
        load_days(changed, Task.MISCOLORATION)


def test_two_days_of_a_kind_are_enough_for_the_linear_machine(changed: LayerDays) -> None:
    leave(changed, 2, positive=False)
    data = load_days(changed, Task.MISCOLORATION)
    assert (~data.parts[Split.TRAIN].truth).sum() == 2
    assert np.isfinite(train_linear_svm(data, LinearParameters(), 0).scores[Split.TEST]).all()


def test_without_a_split_the_error_tells_what_to_do(changed: LayerDays) -> None:
    split_path(changed.root, EPSG, changed.layer).unlink()
    with pytest.raises(FileNotFoundError, match="materialize the layer's split first"):
        load_days(changed, Task.MISCOLORATION)
