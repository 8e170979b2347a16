"""The asset of missing data: the method is chosen when it is materialized."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import FIRST, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS

KEY = dg.AssetKey(["gibs", VIIRS, "missing_data"])


def materialize(root: Path, viirs: Layer, instance: dg.DagsterInstance, method: str | None) -> dict[str, object]:
    store(root, viirs, FIRST, painted(FIRST))
    job = build_definitions(Settings(data_dir=root, layers=(VIIRS,))).resolve_implicit_global_asset_job_def()
    chosen = {} if method is None else {"ops": {"__".join(KEY.path): {"config": {"method": method}}}}
    job.execute_in_process(instance=instance, asset_selection=[KEY], partition_key=FIRST.isoformat(), run_config=chosen)
    return json.loads(mosaic_path(root, EPSG, FIRST, viirs).with_suffix(".missing_data.json").read_text("utf-8"))


@pytest.mark.parametrize(("method", "expected"), [(None, "black-regions"), ("gibs-ml", "gibs-ml")])
def test_the_method_is_a_choice(
    tmp_path: Path, viirs: Layer, instance: dg.DagsterInstance, method: str | None, expected: str
) -> None:
    figures = materialize(tmp_path, viirs, instance, method)
    assert (figures["method"], figures["labels"], figures["verdict"]) == (expected, [0], "normal")


def test_another_method_is_refused(tmp_path: Path, viirs: Layer, instance: dg.DagsterInstance) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="guess"):
        materialize(tmp_path, viirs, instance, "guess")
