"""The checks of images, evaluated by real runs."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from starlette.responses import Response

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import DAILY_ASSETS, run_range
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.server import running_server
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL, VIIRS
from heph_dagster_tests.servers import scripted

IMAGE = dg.AssetKey(["gibs", VIIRS, "image"])


@pytest.fixture
def settings(gibs_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", gibs_url=gibs_url, level=LEVEL, layers=(VIIRS,))


def evaluation(instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(IMAGE, name)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    data = record.event.dagster_event.event_specific_data
    assert isinstance(data, dg.AssetCheckEvaluation)
    return data


def values(check: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {key: value.value for key, value in check.metadata.items()}


def run(settings: Settings, instance: dg.DagsterInstance, first: date, last: date) -> None:
    report = run_range(build_definitions(settings), settings, instance, settings.active_layer(VIIRS), first, last)
    assert report.errors == []
    assert report.done == dict.fromkeys(DAILY_ASSETS, DAYS[:2])


def test_a_run_checks_its_days(settings: Settings, instance: dg.DagsterInstance) -> None:
    run(settings, instance, DAYS[0], DAYS[1])
    frozen = evaluation(instance, "frozen")
    assert frozen.passed
    assert values(frozen) == {
        "days": 2, "flagged": [], "repeated_days": [], "unreadable_days": [], "greatest_share": 0,
        "compared_with": 1,
        "report": "- 2020-09-25: no earlier day on disk to compare with\n- 2020-09-26 repeats none of 1 earlier days",
    }  # fmt: skip
    stale = evaluation(instance, "stale")
    assert (stale.passed, stale.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(stale.description).startswith(f"{VIIRS}: the newest day on the server is 2020-09-28, ")
    assert values(stale) == {
        "newest_day": "2020-09-28", "due": "2020-10-02", "usual_delay_days": 2, "delay_learned_from_days": 0,
    }  # fmt: skip


def test_a_server_that_repeats_a_day_is_found_out(
    archive: Path, catalogue: Catalogue, viirs: Layer, settings: Settings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for day in DAYS[:2]:
        folder = mosaic_path(tmp_path / "archive", EPSG, day, viirs).parent
        shutil.copytree(mosaic_path(archive, EPSG, DAYS[0], viirs).parent, folder)
    with running_server(tmp_path / "archive", catalogue) as url:
        run(settings.model_copy(update={"gibs_url": url}), instance, DAYS[0], DAYS[1])
    frozen = evaluation(instance, "frozen")
    assert (frozen.passed, frozen.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert frozen.description == "1 of 2 days repeat an earlier one"
    found = values(frozen)
    assert (found["flagged"], found["repeated_days"]) == (["2020-09-26"], ["2020-09-25"])
    assert found["greatest_share"] == pytest.approx(1)


def test_what_cannot_be_checked_is_said(settings: Settings, instance: dg.DagsterInstance) -> None:
    with scripted(lambda *_: Response(status_code=404)) as url:
        definitions = build_definitions(settings.model_copy(update={"gibs_url": url}))
        checks = dg.define_asset_job("checks", dg.AssetSelection.checks_for_assets(IMAGE))
        checks.resolve(asset_graph=definitions.resolve_asset_graph()).execute_in_process(instance=instance)
    for name, reason in (("frozen", "No day was compared"), ("stale", "The server does not tell which days it has: ")):
        result = evaluation(instance, name)
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert str(result.description).startswith(reason)
