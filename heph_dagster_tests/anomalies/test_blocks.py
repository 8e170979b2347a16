"""Images in blocks: nothing depends on where the seams are, or on who looks at the blocks."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.blocks import Edges, blocks_of, join
from heph_dagster.anomalies.brightness import ImageBrightness
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.anomalies.missing import ImageClasses, MissingData, search
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import label_regions
from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic import Kind, render_day
from heph_dagster.gibs.synthetic.archive import NO_DATA_PALETTE
from heph_dagster_tests.conftest import EPSG, NO_DATA, TERRA, swath_gaps

DAY = date(2021, 5, 3)


def specks(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Regions of many sizes and shapes, some of them long, all over an image."""
    noise = np.random.default_rng(seed).random(shape, np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 1.5) > 0.52).astype(np.uint8)


def in_blocks(mask: np.ndarray, side: int) -> Runs:
    """The regions of a mask, found block by block and put together."""
    parts, edges = [], []
    for line in blocks_of((mask.shape[1], mask.shape[0]), side):
        edges.append([])
        for block in line:
            count, labels = cv2.connectedComponents(mask[block.rows, block.cols], connectivity=4)
            edges[-1].append(Edges.of(labels, count - 1))
            parts.append(Runs.of(labels, block.rows.start, block.cols.start))
    _, numbers = join(edges)
    return Runs.joined(part._replace(region=number[part.region]) for part, number in zip(parts, numbers, strict=True))


@pytest.mark.parametrize("side", [7, 32, 50, 199, 400])
def test_regions_are_the_same_in_blocks_of_any_size(side: int) -> None:
    mask = specks((200, 400), seed=side)
    whole = Runs.joined([Runs.of(label_regions(mask)[1])])
    for found, expected in zip(in_blocks(mask, side), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_spiral_through_many_blocks_is_one_region() -> None:
    mask = np.zeros((60, 120), np.uint8)
    mask[::4], mask[:, 40] = 1, 1
    mask[:, :20] = 0
    count, _ = join([[Edges.of(mask[:30].astype(np.int32), 1)], [Edges.of(mask[30:].astype(np.int32), 1)]])
    assert count == 1
    assert in_blocks(mask, 9).region.max() == 1


def test_runs_and_masks_are_the_same() -> None:
    mask = specks((90, 180), seed=3)
    runs = Runs.of(label_regions(mask)[1])
    np.testing.assert_array_equal(runs.mask(slice(0, 90), slice(0, 180)), mask > 0)
    np.testing.assert_array_equal(runs.mask(slice(11, 50), slice(30, 99)), mask[11:50, 30:99] > 0)
    assert sum(len(each.row) for each in runs.split()) == len(runs.row)


@pytest.fixture(scope="module")
def lossy() -> tuple[np.ndarray, np.ndarray]:
    """Brightness of a day with gaps, night, holes at seams and at the antimeridian, and its no-data layer."""
    image = render_day(TERRA, DAY, seed=11, level=1, kinds=(Kind.MISSING_ORBIT, Kind.SMALL_HOLE)).image
    values = image.max(axis=2)
    values[300:330, :25] = values[300:330, -25:] = 0
    return values, swath_gaps(DAY, 1)


def searched(
    lossy: tuple[np.ndarray, np.ndarray], side: int, *, told: bool, pool: Executor | None = None
) -> tuple[MissingData, np.ndarray]:
    values, no_data = lossy
    classes = np.zeros_like(values)
    layer = ImageBrightness(no_data) if told else None
    return search(ImageBrightness(values), layer, "MODIS_Terra", DAY, ImageClasses(classes), pool, side), classes


def assert_same(one: tuple[MissingData, np.ndarray], other: tuple[MissingData, np.ndarray]) -> None:
    np.testing.assert_array_equal(one[1], other[1])
    for name in ("size", "missing_share", "not_observed_share", "labels", "method", "eclipse"):
        assert getattr(one[0], name) == getattr(other[0], name), name
    assert [hole.region for hole in one[0].holes] == [hole.region for hole in other[0].holes]


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("side", [97, 256, 640])
def test_holes_are_the_same_in_blocks_of_any_size(lossy: tuple[np.ndarray, np.ndarray], side: int, told: bool) -> None:
    whole = searched(lossy, 2048, told=told)
    assert Label.MISSING_UNEXPECTED in whole[0].labels
    assert len(whole[0].holes) >= 2
    assert any(hole.region.bbox[0] > hole.region.bbox[2] for hole in whole[0].holes)
    assert_same(whole, searched(lossy, side, told=told))


def test_processes_find_what_threads_find(lossy: tuple[np.ndarray, np.ndarray]) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert_same(searched(lossy, 2048, told=True), searched(lossy, 200, told=True, pool=pool))


@pytest.mark.slow
def test_a_day_on_disk_is_the_same_with_any_workers(tmp_path: Path, terra: Layer, catalogue: Catalogue) -> None:
    """Masks, polygons and figures, by threads, by processes, and by the workers of a cluster."""
    distributed = pytest.importorskip("distributed")
    scene = render_day(TERRA, DAY, seed=12, level=2, kinds=(Kind.MISSING_GRANULE,))
    files = {}
    for name in ("threads", "processes", "cluster"):
        root = tmp_path / name
        write_day(root, terra, EPSG, DAY, scene.image)
        write_day(root, catalogue[NO_DATA], EPSG, DAY, swath_gaps(DAY, 2), NO_DATA_PALETTE)
        arguments = root, terra, EPSG, DAY, catalogue[NO_DATA]
        if name == "threads":
            files[name] = label_missing_data(*arguments)
        elif name == "processes":
            with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
                files[name] = label_missing_data(*arguments, pool)
        else:
            with (
                distributed.LocalCluster(
                    n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", processes=True
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                files[name] = label_missing_data(*arguments, client.get_executor())
    reports = [json.loads(each.report.read_text("utf-8")) for each in files.values()]
    assert reports[0]["holes"]
    assert reports[0] == reports[1] == reports[2]
    masks = [read_pixels(each.mask) for each in files.values()]
    assert (masks[0] == PixelClass.MISSING).any()
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
    tables = [pq.read_table(each.polygons) for each in files.values()]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
