"""Days judged for warped edges as assets, on days that are on disk."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from heph_dagster.anomalies.label_table import label_rows
from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.anomalies.warped_days import label_warping
from heph_dagster.definitions import build_definitions
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic import Kind, render_day
from heph_dagster.settings import Settings
from heph_dagster_tests.anomalies.painting import cut_off
from heph_dagster_tests.conftest import EPSG, VIIRS

KEY = dg.AssetKey(["gibs", VIIRS, "edge_warping"])
NORMAL, WARPED, EMPTY, COARSE, BROKEN = (date(2020, 9, 25) + timedelta(days=number) for number in range(5))


@pytest.fixture
def root(tmp_path: Path, viirs: Layer) -> Path:
    root = tmp_path / "data"
    for day, kinds in ((NORMAL, []), (WARPED, [Kind.EDGE_WARP])):
        write_day(root, viirs, EPSG, day, render_day(VIIRS, day, seed=2, level=1, kinds=kinds).image)
    write_day(root, viirs, EPSG, EMPTY, np.zeros((640, 1280, 3), np.uint8))
    write_day(root, viirs, EPSG, COARSE, np.full((320, 640, 3), 100, np.uint8))
    write_day(root, viirs, EPSG, BROKEN, np.full((640, 1280, 3), 100, np.uint8)).write_text("no mosaic", "utf-8")
    return root


def metadata(instance: dg.DagsterInstance, day: date) -> dict[str, Any]:
    chosen = dg.AssetRecordsFilter(KEY, asset_partitions=[day.isoformat()])
    (record,) = instance.fetch_materializations(chosen, limit=1).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def figures(root: Path, layer: Layer, day: date) -> dict[str, Any]:
    path = mosaic_path(root, EPSG, day, layer).with_suffix(".edge_warping.json")
    return dict(json.loads(path.read_text("utf-8")))


def test_the_days_of_a_range_are_judged(root: Path, viirs: Layer, instance: dg.DagsterInstance) -> None:
    job = build_definitions(Settings(data_dir=root, layers=(VIIRS,))).resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": f"{NORMAL}", "dagster/asset_partition_range_end": f"{BROKEN}"}
    result = job.execute_in_process(instance=instance, asset_selection=[KEY], tags=tags, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert str(failure.user_failure_data.description).startswith(f"1 of 5 days failed; the others are done. {BROKEN}: ")

    normal = metadata(instance, NORMAL)
    assert (normal["verdict"], normal["labels"], normal["edges"]) == ("normal", [0], 0)
    assert 0 < normal["highest_score"] < 1
    assert "mask" not in normal

    warped = metadata(instance, WARPED)
    assert (warped["verdict"], warped["labels"]) == ("edge warped", [4])
    assert (warped["edges"], warped["at_antimeridian"]) == (1, 1)
    assert str(warped["preview"]).startswith("![preview](data:image/jpeg;base64,")
    assert set(np.unique(read_pixels(Path(warped["mask"])))) == {PixelClass.VALID, PixelClass.WARPED}
    (edge,) = figures(root, viirs, WARPED)["edges"]
    assert (edge["form"], edge["at_antimeridian"], edge["score"]) == ("stretched", True, warped["highest_score"])

    for day, verdict, reason in (
        (EMPTY, "unusable", "100.0% of the image are without data"),
        (COARSE, "too coarse", "the image is 640 x 320 px; edge warping is looked for from 640 rows on"),
    ):
        unusable = metadata(instance, day)
        assert (unusable["verdict"], unusable["labels"]) == (verdict, [])
        assert reason in unusable["reason"]
        assert (figures(root, viirs, day)["score"], figures(root, viirs, day)["edges"]) == (None, None)


def test_a_warped_day_is_labelled_so(root: Path, viirs: Layer) -> None:
    label_warping(root, viirs, EPSG, NORMAL)
    label_warping(root, viirs, EPSG, WARPED)
    label_warping(root, viirs, EPSG, EMPTY)
    normal, warped, empty = label_rows(root, viirs, EPSG)
    assert (normal.codes, normal.warped_edges) == ((0,), 0)
    assert (warped.codes, warped.source, warped.warped_edges) == ((4,), "automatic", 1)
    assert (warped.method, warped.version) == ("stretch-and-repetition", "2")
    assert warped.warping_score == pytest.approx(figures(root, viirs, WARPED)["score"])
    assert (empty.codes, empty.warped_edges, empty.missing) == ((), None, None)


def test_a_day_that_is_replaced_by_a_normal_one_loses_its_mask(root: Path, viirs: Layer) -> None:
    mask = label_warping(root, viirs, EPSG, WARPED).mask
    assert mask is not None
    write_day(root, viirs, EPSG, WARPED, read_pixels(mosaic_path(root, EPSG, NORMAL, viirs)))
    assert label_warping(root, viirs, EPSG, WARPED).mask is None
    assert not mask.exists()


def test_a_day_that_is_not_there_or_damaged_is_an_error(root: Path, viirs: Layer) -> None:
    with pytest.raises(FileNotFoundError, match=r"2025-01-01.*\.mrf is not there: download the day first$"):
        label_warping(root, viirs, EPSG, date(2025, 1, 1))
    cut_off(mosaic_path(root, EPSG, NORMAL, viirs))
    with pytest.raises(MosaicError, match="tiles are not what they were; heph verify --mend downloads again"):
        label_warping(root, viirs, EPSG, NORMAL)


def test_other_projections_are_refused(root: Path, viirs: Layer) -> None:
    with pytest.raises(ValueError, match="edge warping can be told in EPSG:4326, not in EPSG:3413"):
        label_warping(root, viirs, 3413, NORMAL)
