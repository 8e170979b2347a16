"""The checks of judged days and of what is made of them, evaluated by real runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.climatology import climatology_path
from heph_dagster.anomalies.feature_table import features_path
from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import DAYS, MAGENTA, cut_off, painted, store
from heph_dagster_tests.conftest import EPSG, NDVI, VIIRS

Run = Callable[..., dg.ExecuteInProcessResult]
COLOURED, LOST = DAYS[:2]


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["gibs", VIIRS, name])


@pytest.fixture
def root(tmp_path: Path, viirs: Layer) -> Path:
    root = tmp_path / "data"
    for day in DAYS[:6]:
        image = painted(day, MAGENTA if day == COLOURED else None)
        if day == LOST:
            image[80:240, 100:200] = 0
        store(root, viirs, day, image)
    return root


@pytest.fixture
def run(root: Path, instance: dg.DagsterInstance) -> Run:
    definitions = build_definitions(Settings(data_dir=root, layers=(VIIRS,)))

    def start(*names: str, last: date | None = None, **config: dict[str, Any]) -> dg.ExecuteInProcessResult:
        ops = {f"gibs__{VIIRS}__{name}": {"config": values} for name, values in config.items()}
        tags = {"dagster/asset_partition_range_start": f"{DAYS[0]}", "dagster/asset_partition_range_end": f"{last}"}
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[key(name) for name in names],
            tags=tags if last else {},
            run_config={"ops": ops},
            raise_on_error=False,
        )

    return start


def checks(definitions: dg.Definitions, instance: dg.DagsterInstance, *names: tuple[str, str]) -> dict[str, Any]:
    """Evaluate checks without the assets that they are of."""
    chosen = dg.AssetSelection.checks(*(dg.AssetCheckKey(key(asset), name) for asset, name in names))
    job = dg.define_asset_job("checks", chosen).resolve(asset_graph=definitions.resolve_asset_graph())
    return evaluations(job.execute_in_process(instance=instance, raise_on_error=False))


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def values(check: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: value.value for name, value in check.metadata.items()}


@pytest.mark.slow
def test_days_of_a_run_that_lack_data_or_have_false_colours_are_named(run: Run) -> None:
    result = run("missing_data", "hue_climatology", "miscoloration", last=LOST)
    assert result.success
    found = evaluations(result)
    assert found.keys() == {"nothing_lost", "consistent", "no_false_colours"}
    lost = found["nothing_lost"]
    assert (lost.passed, lost.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(lost.description).startswith("1 of 2 days lack data over more than the area that is set")
    told = values(lost)
    assert (told["days"], told["flagged"], told["places"]) == (2, [f"{LOST}"], [1])
    assert told["area_km2"] == [pytest.approx(50e6, rel=0.2)]
    assert str(told["report"]).startswith(f"- {LOST}: ")
    colours = found["no_false_colours"]
    assert (colours.passed, colours.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert values(colours)["flagged"] == [f"{COLOURED}"]
    assert (found["consistent"].passed, found["consistent"].description) == (True, "5 days are counted")


def test_the_area_is_a_setting_and_without_days_all_are_looked_at(
    root: Path, viirs: Layer, instance: dg.DagsterInstance
) -> None:
    hole = {"area_km2": 5000.0, "latitude": 1.0, "longitude": 2.0, "cause": "lost"}
    figures = mosaic_path(root, EPSG, LOST, viirs).with_suffix(".missing_data.json")
    figures.write_text(json.dumps({"labels": [2], "holes": [hole]}), "utf-8")
    for area, flagged in ((5001.0, []), (5000.0, [f"{LOST}"])):
        settings = Settings(data_dir=root, layers=(VIIRS,), alert_area_km2=area)
        (found,) = checks(build_definitions(settings), instance, ("missing_data", "nothing_lost")).values()
        assert (found.passed, values(found)["days"], values(found)["flagged"]) == (not flagged, 6, flagged)


def test_days_that_are_damaged_hold_up_what_follows(root: Path, instance: dg.DagsterInstance, viirs: Layer) -> None:
    definitions = build_definitions(Settings(data_dir=root, layers=(VIIRS,)))
    cut_off(mosaic_path(root, EPSG, DAYS[2], viirs))
    found = checks(definitions, instance, ("image", "whole"))["whole"]
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert found.description == "1 of 6 days are damaged"
    assert values(found)["flagged"] == [f"{DAYS[2]}"]
    assert "ends before its last tile" in str(values(found)["report"])


@pytest.mark.slow
def test_a_climatology_that_does_not_add_up_judges_no_day(root: Path, run: Run, viirs: Layer) -> None:
    assert run("hue_climatology").success
    path = climatology_path(root, EPSG, viirs)
    with sqlite3.connect(path) as file:
        file.execute("UPDATE sums SET days = 99")
    file.close()
    result = run("hue_climatology", "miscoloration", last=LOST)
    assert not result.success
    (found,) = evaluations(result).values()
    assert (found.check_name, found.passed, found.blocking) == ("consistent", False, True)
    assert f"{path.name} counts 99 days and has 5" in str(found.description)
    assert not list(root.glob("*/*/*.miscoloration.json"))


def test_split_labels_and_features_are_checked_as_they_were_written(run: Run) -> None:
    result = run("labels", "split", "features", split={"block_days": 2, "gap_days": 1})
    assert result.success
    found = evaluations(result)
    assert {name: each.passed for name, each in found.items()} == {
        "complete": True, "no_leakage": True, "learnable": False, "finite": True,
    }  # fmt: skip
    assert found["learnable"].severity is dg.AssetCheckSeverity.WARN
    assert "only normal days: more days or smaller blocks make some" in str(found["learnable"].description)
    assert (found["no_leakage"].blocking, found["finite"].blocking) == (True, True)


def test_a_split_at_random_leaks_by_design_and_says_so(run: Run) -> None:
    result = run("labels", "split", split={"at_random": True})
    found = evaluations(result)["no_leakage"]
    assert found.passed
    assert "pairs of neighbours are in different parts: days at random are for comparison only" in str(
        found.description
    )


def test_days_without_label_are_told(root: Path, viirs: Layer, run: Run) -> None:
    mosaic_path(root, EPSG, DAYS[3], viirs).with_suffix(".missing_data.json").unlink()
    found = evaluations(run("labels"))["complete"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert values(found)["days"] == f"- {DAYS[3]}"


@pytest.mark.slow
def test_features_that_are_no_numbers_hold_learners_up_and_unusable_days_do_not(
    root: Path, viirs: Layer, run: Run
) -> None:
    store(root, viirs, DAYS[0], np.zeros((320, 640, 3), np.uint8))
    store(root, viirs, DAYS[1], painted(DAYS[1])).write_text("no mosaic", "utf-8")
    result = run("features")
    assert result.success
    found = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert (found["complete"].passed, found["complete"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(values(found["complete"])["days"]).startswith(f"- {DAYS[1]}: ")
    (path,) = features_path(root, EPSG, viirs).glob("*.parquet")
    table = pq.read_table(path)
    vector = np.array(table["vector"].to_pylist(), np.float32)
    vector[2, 0] = np.nan
    damaged = pa.FixedSizeListArray.from_arrays(pa.array(vector.ravel()), vector.shape[1])
    pq.write_table(table.set_column(2, table.schema.field("vector"), damaged), path)
    result = run("features")
    assert not result.success
    found = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert (found["finite"].passed, found["finite"].blocking) == (False, True)
    assert values(found["finite"])["days"] == f"- {table['day'][2]}"


def test_layers_that_go_on_are_to_be_fresh() -> None:
    definitions = build_definitions(Settings(layers=(VIIRS, NDVI)))
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    daily = specs[key("image")].freshness_policy
    assert daily == dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3), warn_window=timedelta(hours=30))
    composite = specs[dg.AssetKey(["gibs", NDVI, "image"])].freshness_policy
    assert composite == dg.FreshnessPolicy.time_window(fail_window=timedelta(days=38))


def test_a_layer_that_ended_need_not_be_fresh(tmp_path: Path) -> None:
    row = 'identifier = "Ended"\ntitle = "E"\nformat = "png"\ntile_matrix_set = "1km"\nkind = "science_parameter"\n'
    days = "first_day = 2020-01-01\nlast_day = 2020-01-31\nprojections = [4326]\n"
    (tmp_path / "layers.toml").write_text(f"[[layer]]\n{row}{days}", "utf-8")
    definitions = build_definitions(Settings(data_dir=tmp_path, layers=("Ended",)))
    image = dg.AssetKey(["gibs", "Ended", "image"])
    assert next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == image).freshness_policy is None
