"""Regions as polygons that other programs read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from heph_dagster.anomalies.polygons import outline, write_polygons
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import Region, label_regions, measure
from heph_dagster_tests.anomalies.test_sphere import box

SIZE = (640, 320)


def regions_of(mask: np.ndarray) -> list[tuple[Region, Runs]]:
    runs = Runs.of(label_regions(mask)[1]).split()
    return [(measure(each, *mask.shape), each) for each in runs]


def test_an_outline_is_that_of_the_pixels() -> None:
    regions = regions_of(box(320, 9, 0, 18, 9) | box(320, -90, -45, -81, -36))
    outlines = [outline(runs, SIZE) for _, runs in regions]
    assert [each.bounds for each in outlines] == [region.bbox for region, _ in regions]
    assert [each.area for each in outlines] == [81, 81]
    assert all(each.exterior.is_ccw for each in outlines)


def test_a_hole_in_a_region_stays_open() -> None:
    mask = box(320, 0, 0, 45, 45)
    mask[100:120, 350:370] = 0
    regions = regions_of(mask)
    ((_, runs),) = regions
    shape = outline(runs, SIZE)
    assert len(shape.interiors) == 1
    assert shape.area == pytest.approx(mask.sum() * 0.5625**2)


def test_a_region_across_the_antimeridian_is_one_row_in_two_parts(tmp_path: Path) -> None:
    regions = regions_of(box(320, 171, -9, -171, 9))
    path = tmp_path / "a.parquet"
    write_polygons(path, regions, SIZE, {"cause": ["lost"]}, {"layer": "X"})
    table = pq.read_table(path)
    (row,) = table.to_pylist()
    shape, rectangle = shapely.from_wkb(row["geometry"]), shapely.from_wkb(row["oriented_box"])
    assert (shape.geom_type, len(shape.geoms), shape.area) == ("MultiPolygon", 2, 18 * 18)
    assert rectangle.bounds == (171, -9, 189, 9)
    assert (row["west"], row["east"], row["cause"]) == (171, -171, "lost")
    assert row["area_km2"] == regions[0][0].area_km2
    geo = json.loads(table.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"], geo["columns"]["geometry"]["encoding"]) == (
        "1.1.0",
        "geometry",
        "WKB",
    )
    assert table.schema.metadata[b"layer"] == b"X"


def test_the_oriented_box_of_a_slanted_strip_lies_along_it(tmp_path: Path) -> None:
    mask = np.zeros((320, 640), np.uint8)
    for row in range(60):
        mask[100 + row, 200 + row : 210 + row] = 1
    regions = regions_of(mask)
    write_polygons(tmp_path / "a.parquet", regions, SIZE, {}, {})
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    shape, rectangle = shapely.from_wkb(row["geometry"]), shapely.from_wkb(row["oriented_box"])
    assert rectangle.buffer(1e-6).contains(shape)
    assert rectangle.area < 0.5 * shapely.box(*shape.bounds).area


def test_a_day_without_regions_has_an_empty_table(tmp_path: Path) -> None:
    write_polygons(tmp_path / "a.parquet", [], SIZE, {"cause": []}, {})
    table = pq.read_table(tmp_path / "a.parquet")
    assert (table.num_rows, table.column_names[0]) == (0, "geometry")
