"""The climatology and the judged days as assets, on days that are on disk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import DAYS, FIRST, MAGENTA, painted, store
from heph_dagster_tests.conftest import EPSG, VIIRS

CLIMATOLOGY, JUDGED = (dg.AssetKey(["gibs", VIIRS, name]) for name in ("hue_climatology", "miscoloration"))
BAD, EMPTY, BROKEN = (FIRST + timedelta(days=number) for number in (8, 9, 10))


@pytest.fixture
def run(tmp_path: Path, viirs: Layer, instance: dg.DagsterInstance):
    root = tmp_path / "data"
    for day in DAYS:
        store(root, viirs, day, painted(day))
    store(root, viirs, BAD, painted(BAD, MAGENTA))
    store(root, viirs, EMPTY, np.zeros((320, 640, 3), np.uint8))
    store(root, viirs, BROKEN, painted(BROKEN)).write_text("no mosaic", "utf-8")
    job = build_definitions(Settings(data_dir=root, layers=(VIIRS,))).resolve_implicit_global_asset_job_def()

    def start(*keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": f"{FIRST}", "dagster/asset_partition_range_end": f"{BROKEN}"}
        return job.execute_in_process(instance=instance, asset_selection=keys, tags=tags, raise_on_error=False)

    return start


def metadata(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None) -> dict[str, Any]:
    chosen = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    (record,) = instance.fetch_materializations(chosen, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_a_range_is_judged_by_the_climatology_of_the_same_run(
    run, instance: dg.DagsterInstance, tmp_path: Path, viirs: Layer
) -> None:
    result = run(CLIMATOLOGY, JUDGED)
    climatology = metadata(instance, CLIMATOLOGY)
    assert (climatology["days"], climatology["added"]) == (8, [f"{day}" for day in DAYS])
    assert climatology["left_out"] == {
        f"{BAD}": "it has patches of colours that no other day has",
        f"{EMPTY}": "100.0% of the image are without data",
    }
    assert list(climatology["failed"]) == [f"{BROKEN}"]
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert str(failure.user_failure_data.description).startswith(
        f"1 of 11 days failed; the others are done. {BROKEN}: "
    )
    assert instance.get_materialized_partitions(JUDGED) == {f"{day}" for day in (*DAYS, BAD, EMPTY)}
    normal = metadata(instance, JUDGED, f"{DAYS[0]}")
    assert (normal["verdict"], normal["labels"], normal["climatology_days"], normal["patches"]) == ("normal", [0], 7, 0)
    bad = metadata(instance, JUDGED, f"{BAD}")
    assert (bad["verdict"], bad["labels"], bad["climatology_days"], bad["patches"]) == ("miscoloured", [3], 8, 1)
    assert bad["largest_patch_km2"] == pytest.approx(5.7e6, rel=0.05)
    assert str(bad["preview"]).startswith("![preview](data:image/jpeg;base64,")
    mask = mosaic_path(tmp_path / "data", EPSG, BAD, viirs).with_suffix(".miscoloration.tif")
    assert Path(bad["mask"]) == mask
    assert mask.exists()
    assert Path(bad["polygons"]) == mask.with_suffix(".parquet")
    assert pq.read_table(bad["polygons"]).num_rows == 1
    empty = metadata(instance, JUDGED, f"{EMPTY}")
    assert (empty["verdict"], empty["labels"]) == ("unusable", [])
    assert empty["reason"] == "100.0% of the image are without data"


def test_days_without_a_climatology_say_so(run, instance: dg.DagsterInstance) -> None:
    run(JUDGED)
    judged = metadata(instance, JUDGED, f"{BAD}")
    assert (judged["verdict"], judged["reason"]) == ("no climatology yet", "it has 0 normal days and needs 4")
    assert instance.get_latest_materialization_event(CLIMATOLOGY) is None
