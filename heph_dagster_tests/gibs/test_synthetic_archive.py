"""Archives of synthetic days."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.raster import read_palette, read_pixels
from heph_dagster.gibs.synthetic import render_day
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE, Recipe, synthesize, truth_paths
from heph_dagster.gibs.synthetic.canvas import land
from heph_dagster.gibs.synthetic.fires import render_fires
from heph_dagster_tests.conftest import EPSG, FIRES, NO_DATA, TERRA

DAYS = [date(2024, 4, 7), date(2024, 4, 8)]
FALSE_COLOUR = "MODIS_Terra_CorrectedReflectance_Bands721"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path, catalogue: Catalogue) -> None:
    layers = [catalogue[TERRA], catalogue[FALSE_COLOUR]]
    for workers in (1, 2):
        made = synthesize(tmp_path / f"{workers}", layers, DAYS, catalogue, Recipe(5, 0), workers=workers)
        assert [(files.layer, files.day) for files in made] == [
            (layer.identifier, day) for layer in layers for day in DAYS
        ]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    # Another seed into the same folder replaces all of it, the no-data layer included.
    synthesize(tmp_path / "1", layers[:1], DAYS[:1], catalogue, Recipe(6, 1), workers=1)
    assert read_pixels(mosaic_path(tmp_path / "1", EPSG, DAYS[0], catalogue[NO_DATA])).shape == (640, 1280)


def test_the_truth_and_the_no_data_layer_stand_beside_each_day(tmp_path: Path, catalogue: Catalogue) -> None:
    (files,) = synthesize(tmp_path, [catalogue[TERRA]], DAYS[1:], catalogue, Recipe(5, 1), workers=1)
    scene = render_day(TERRA, DAYS[1], seed=5, level=1)
    raster, records = truth_paths(files.mosaic)
    np.testing.assert_array_equal(read_pixels(raster), scene.truth)
    assert json.loads(records.read_text("utf-8")) == [anomaly.to_dict() for anomaly in scene.anomalies]
    assert "eclipse" in {record["kind"] for record in json.loads(records.read_text("utf-8"))}
    no_data = mosaic_path(tmp_path, EPSG, DAYS[1], catalogue[NO_DATA])
    # GIBS's no-data layers have value 1, brown and opaque, where there are no data.
    np.testing.assert_array_equal(read_pixels(no_data), ~scene.expected_data)
    assert (read_palette(no_data) or ())[:2] == NO_DATA_PALETTE


def test_fires_burn_on_land_and_differ_from_day_to_day(tmp_path: Path, catalogue: Catalogue) -> None:
    made = synthesize(tmp_path, [catalogue[FIRES]], DAYS, catalogue, Recipe(5, 1), workers=1)
    first, second = (read_pixels(files.mosaic) for files in made)
    assert first.shape == (640, 1280, 4)
    burning = first[..., 3] == 255
    assert 500 < burning.sum() < 10_000
    assert land(1)[burning].all()
    assert (first[burning][:, 0] == 255).all()
    assert not first[~burning].any()
    assert (first != second).any()
    np.testing.assert_array_equal(first, render_fires(FIRES, DAYS[0], seed=5, level=1))
    halves = [render_fires(FIRES.replace("All", half), DAYS[0], seed=5, level=1)[..., 3] for half in ("Day", "Night")]
    np.testing.assert_array_equal(halves[0] | halves[1], first[..., 3])
    assert (halves[0] != halves[1]).any()
    assert not truth_paths(made[0].mosaic)[0].exists()


def test_other_kinds_of_layers_are_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(
        ValueError, match="MODIS_Terra_Data_No_Data cannot be synthesized; layers of corrected reflectance"
    ):
        synthesize(tmp_path, [catalogue[NO_DATA]], DAYS, catalogue, Recipe(0, 0))
