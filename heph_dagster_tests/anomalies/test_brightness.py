"""Brightness of days on disk: by tiles, by windows, and by the masks that tiles carry."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.anomalies.brightness import MosaicBrightness
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import JPEG_BLACK, RasterError, gdal, read_pixels
from heph_dagster_tests.anomalies.painting import painted, whole
from heph_dagster_tests.conftest import DAYS, EPSG

DAY = DAYS[0]


def test_windows_are_parts_of_the_whole(tmp_path: Path, viirs: Layer) -> None:
    path = write_day(tmp_path, viirs, EPSG, DAY, painted(DAY, level=2))
    source = MosaicBrightness(path, viirs, EPSG)
    values = whole(source)
    # GDAL may have another libjpeg.
    assert np.abs(values.astype(int) - read_pixels(path).max(axis=2)).max() <= 2
    for rows, cols in (
        (slice(0, 1), slice(0, 1)),
        (slice(500, 530), slice(1000, 1030)),
        (slice(1279, 1280), slice(2000, 2560)),
    ):
        np.testing.assert_array_equal(source.read(rows, cols), values[rows, cols])
    other = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own
    np.testing.assert_array_equal(other.read(slice(3, 9), slice(0, 99)), values[3:9, :99])


def test_the_mask_of_a_tile_is_exact(tmp_path: Path, viirs: Layer) -> None:
    image = np.full((320, 640, 3), 6, np.uint8)  # as dark as no data, but the mask says that they are data
    image[50:90, 100:300] = 0
    image[:, 512:] = 90
    source = gdal().GetDriverByName("MEM").Create("", 640, 320, 3)
    source.SetGeoTransform((-180, 0.5625, 0, 90, 0, -0.5625))
    for band in range(3):
        source.GetRasterBand(band + 1).WriteArray(image[..., band])
    path = mosaic_path(tmp_path, EPSG, DAY, viirs)
    path.parent.mkdir(parents=True)
    options = ["COMPRESS=JPEG", "BLOCKSIZE=512", "INTERLEAVE=PIXEL"]
    gdal().GetDriverByName("MRF").CreateCopy(str(path), source, options=options).FlushCache()
    assert b"Zen" in path.with_suffix(".pjg").read_bytes()
    values = whole(MosaicBrightness(path, viirs, EPSG))
    np.testing.assert_array_equal(values <= JPEG_BLACK, image.max(axis=2) == 0)
    assert not values[image.max(axis=2) == 0].any()


def test_tiles_that_cannot_be_decoded_are_named(tmp_path: Path, viirs: Layer) -> None:
    path = write_day(tmp_path, viirs, EPSG, DAY, painted(DAY))
    data = next(path.parent.glob("*.pjg"))
    damaged = bytearray(data.read_bytes())
    damaged[700:1500] = bytes(800)
    data.write_bytes(damaged)
    with pytest.raises(RasterError, match=r"Tile\(level=0, row=0, col=0\) cannot be decoded: .*; heph verify --mend"):
        whole(MosaicBrightness(path, viirs, EPSG))


def test_a_day_that_is_not_there(tmp_path: Path, viirs: Layer) -> None:
    with pytest.raises(RasterError, match="cannot be read as an image"):
        MosaicBrightness(tmp_path / "none.mrf", viirs, EPSG).read(slice(0, 1), slice(0, 1))
