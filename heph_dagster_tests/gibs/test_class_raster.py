"""Class masks: the same file in memory and beside it, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs import class_raster as module
from heph_dagster.gibs.class_raster import class_raster, write_class_raster
from heph_dagster.gibs.raster import gdal, read_pixels

PALETTE = {0: (0, 0, 0, 0), 1: (230, 25, 75, 255), 255: (70, 90, 140, 255)}
SIZE = (2560, 1280)


@pytest.fixture
def like(tmp_path: Path) -> Path:
    path = tmp_path / "like.tif"
    dataset = gdal().GetDriverByName("GTiff").Create(str(path), 640, 320, 1)
    dataset.SetGeoTransform((-180, 0.5625, 0, 90, 0, -0.5625))
    dataset.FlushCache()
    return path


@pytest.fixture
def classes() -> np.ndarray:
    values = np.zeros(SIZE[::-1], np.uint8)
    values[100:700, 300:2000] = 1
    values[900:, :] = 255
    return values


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_mask_is_put_together_from_windows(
    tmp_path: Path, like: Path, classes: np.ndarray, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.setattr(module, "_IN_MEMORY", 0)
    path = tmp_path / "mask.tif"
    with class_raster(path, SIZE, PALETTE, like) as raster:
        for row in range(0, SIZE[1], 500):
            for col in range(0, SIZE[0], 700):
                rows, cols = slice(row, min(row + 500, SIZE[1])), slice(col, min(col + 700, SIZE[0]))
                assert not raster.get(rows, cols).any()
                raster.put(rows, cols, classes[rows, cols])
        np.testing.assert_array_equal(raster.get(slice(90, 110), slice(290, 310)), classes[90:110, 290:310])
    np.testing.assert_array_equal(read_pixels(path), classes)
    dataset = gdal().Open(str(path))
    band = dataset.GetRasterBand(1)
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert dataset.GetGeoTransform() == (-180, 0.140625, 0, 90, 0, -0.140625)
    assert band.GetColorTable().GetColorEntry(255) == PALETTE[255]
    overviews = [band.GetOverview(number) for number in range(band.GetOverviewCount())]
    assert [(each.XSize, each.YSize) for each in overviews] == [(1280, 640), (640, 320), (320, 160)]
    assert set(np.unique(overviews[-1].ReadAsArray())) == {0, 1, 255}
    assert {each.name for each in tmp_path.iterdir()} == {"like.tif", "mask.tif"}


def test_a_mask_that_fails_leaves_nothing(tmp_path: Path, like: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    with pytest.raises(ValueError, match="stopped"), class_raster(tmp_path / "mask.tif", SIZE, PALETTE, like):
        raise ValueError("stopped")
    assert {each.name for each in tmp_path.iterdir()} == {"like.tif"}


def test_a_mask_in_memory_is_written_at_once(tmp_path: Path, like: Path, classes: np.ndarray) -> None:
    write_class_raster(tmp_path / "mask.tif", classes[::4, ::4], PALETTE, like)
    np.testing.assert_array_equal(read_pixels(tmp_path / "mask.tif"), classes[::4, ::4])
