"""The demonstration, end to end on a few days, and what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from heph_dagster.anomalies.labels import PixelClass
from heph_dagster.commands import demo, demo_insar
from heph_dagster.commands.demo_figures import LayerSummary, compare, compare_warping
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import instance_at
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.synthetic.anomalies import Anomaly, Kind
from heph_dagster.gibs.synthetic.archive import SyntheticFiles
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, NO_DATA, TERRA, VIIRS
from heph_dagster_tests.test_cli import heph


@pytest.mark.slow
def test_the_demonstration_fills_partitions_and_tells_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_LEVEL", 0)
    monkeypatch.setattr(demo_insar, "_COUNT", 40)
    root = tmp_path / "demo"
    output = heph("demo", "--root", root, "--days", 2, "--seed", 3, "--json").stdout
    summary = json.loads(output[output.index("{\n") :])
    assert [(layer["layer"], layer["days"]) for layer in summary["layers"]] == [(NO_DATA, 2), (VIIRS, 2), (TERRA, 2)]
    assert all(layer["bytes"] > 0 for layer in summary["layers"])
    assert json.loads((root / "summary.json").read_text("utf-8")) == summary
    assert (summary["data"], summary["seed"], summary["level"]) == ("synthetic", 3, 0)
    assert "make dev" in output
    insar = summary["insar"]
    assert {(each["task"], each["learner"]) for each in summary["learners"]} == {
        (task, learner) for task in ("missing_data", "miscoloration") for learner in ("softmax", "random_forest")
    }
    assert all("more days or smaller blocks" in each["skipped"] for each in summary["learners"])
    assert insar["deformations"] == insar["contained"] > 0
    assert (insar["interferograms"], insar["frames"], insar["not_passed"]) == (40, 4, [])
    assert "Synthetic days 2024-03-30 to 2024-03-31" in output
    settings = Settings(data_dir=root)
    with instance_at(settings.dagster_home) as instance:
        for name, asset in (
            (NO_DATA, "image"),
            (VIIRS, "image"),
            (VIIRS, "missing_data"),
            (TERRA, "missing_data"),
        ):
            key = dg.AssetKey(["gibs", name, asset])
            assert instance.get_materialized_partitions(key) == {"2024-03-30", "2024-03-31"}
            partitions = build_definitions(settings).get_assets_def(key).partitions_def
            assert partitions is not None
            assert partitions.get_partition_keys() == ["2024-03-30", "2024-03-31"]


def test_another_folder_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("\\documentclass", "utf-8")
    (tmp_path / "archive").mkdir()
    message = "holds something that is no demonstration; choose another folder with --root"
    assert message in heph("demo", "--root", tmp_path, code=1).output
    assert (tmp_path / "thesis.tex").exists()


def anomaly(number: int, kind: Kind, extent_km: float, code: int = 2) -> Anomaly:
    return Anomaly(number, kind, code, 1e5, extent_km, (0, 0, 1, 1), ())


@pytest.mark.parametrize(
    ("covered", "extra", "expected"),
    [
        (1.0, False, (2, 2, 1, 1, 0)),
        (0.4, False, (2, 0, 1, 0, 0)),
        (0.0, False, (2, 0, 1, 0, 0)),
        (1.0, True, (2, 2, 1, 1, 1)),
    ],
)
def test_holes_are_counted_against_the_truth(
    tmp_path: Path, covered: float, extra: bool, expected: tuple[int, int, int, int, int]
) -> None:
    truth = np.zeros((100, 200), np.uint8)
    truth[10:20, 10:20], truth[40:50, 40:50], truth[70:80, 70:80] = 1, 2, 3
    mask = np.zeros_like(truth)
    wide = round(10 * covered)
    mask[10:20, 10 : 10 + wide] = mask[40:50, 40 : 40 + wide] = PixelClass.MISSING
    if extra:
        mask[90:95, 150:160] = PixelClass.MISSING
    mosaic = tmp_path / "day.mrf"
    for path, image in ((mosaic.with_suffix(".truth.png"), truth), (tmp_path / "mask.png", mask)):
        with replacing(path) as part:
            part.write_bytes(encode(image, "png"))
    records = (
        anomaly(1, Kind.MISSING_GRANULE, 2000),
        anomaly(2, Kind.SMALL_HOLE, 200),
        anomaly(3, Kind.MAGENTA, 900, 3),
    )
    summary = LayerSummary(VIIRS)
    compare(summary, SyntheticFiles(VIIRS, DAYS[0], mosaic, records), tmp_path / "mask.png")
    counts = (
        summary.holes,
        summary.holes_found,
        summary.large_holes,
        summary.large_holes_found,
        summary.false_holes,
    )
    assert counts == expected
    assert summary.missed == ([] if covered == 1 else ["2020-09-25 missing_granule #1"])
    assert summary.anomalous_days == 1
    assert sum(summary.anomalies.values()) == 3


@pytest.mark.parametrize(
    ("code", "labels", "expected"), [(4, [4], (1, 1, 0)), (4, [0], (1, 0, 0)), (3, [4], (0, 0, 1)), (4, [], (1, 0, 0))]
)
def test_warped_days_are_counted_against_the_truth(
    tmp_path: Path, code: int, labels: list[int], expected: tuple[int, int, int]
) -> None:
    report = tmp_path / "day.edge_warping.json"
    report.write_text(json.dumps({"labels": labels}), "utf-8")
    summary = LayerSummary(VIIRS)
    files = SyntheticFiles(VIIRS, DAYS[0], tmp_path / "day.mrf", (anomaly(1, Kind.EDGE_WARP, 900, code),))
    compare_warping(summary, files, report)
    assert (summary.warped_days, summary.warped_days_found, summary.false_warped_days) == expected
