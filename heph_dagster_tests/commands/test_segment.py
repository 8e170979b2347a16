"""`heph segment`, from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.archive import encode, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.raster import open_raster, read_palette, read_pixels, read_place
from heph_dagster_tests.anomalies.painting import cut_off, painted
from heph_dagster_tests.anomalies.test_segmentation import flags, parts
from heph_dagster_tests.conftest import DAYS, EPSG, VIIRS, earth
from heph_dagster_tests.test_cli import heph


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "flags.png"
    path.write_bytes(encode(flags(), "png"))
    return path


def test_an_image_is_segmented(image: Path) -> None:
    report = json.loads(heph("segment", image, "--num_clusters", 3, "--json").stdout)
    picture, labels = image.with_name("flags.kmeans.png"), image.with_name("flags.kmeans.tif")
    assert report == {
        "image": str(image), "method": "kmeans", "num_clusters": 3, "size": [48, 24], "fitted_size": [48, 24],
        "clusters": [
            {"share": 1 / 2, "colour": [200, 0, 0]},
            {"share": 1 / 3, "colour": [0, 160, 0]},
            {"share": 1 / 6, "colour": [0, 0, 120]},
        ],
        "picture": str(picture), "labels": str(labels),
    }  # fmt: skip
    assert np.array_equal(read_pixels(picture), flags())
    assert np.array_equal(read_pixels(labels), parts())
    assert read_palette(labels)[:3] == ((200, 0, 0, 255), (0, 160, 0, 255), (0, 0, 120, 255))
    written = [path.read_bytes() for path in (picture, labels)]
    heph("segment", image, "--num_clusters", 3, "--seed", 0)
    assert [path.read_bytes() for path in (picture, labels)] == written


def test_a_day_is_segmented_at_the_size_asked_for(tmp_path: Path, viirs: Layer) -> None:
    root = tmp_path / "data"
    mosaic = write_day(root, viirs, EPSG, DAYS[0], earth(DAYS[0]))
    out = tmp_path / "map.png"
    text = heph("segment", VIIRS, DAYS[0], "--method", "meanshift", "--bandwidth", 0.5, "--width", 640).stdout
    lines = text.splitlines()
    picture = mosaic.with_name(f"{VIIRS}.meanshift.png")
    assert lines[-1] == (
        f"{picture}: {len(lines) - 1} clusters of 640 x 320 px, found at 128 x 64 px; "
        f"numbers in {picture.with_suffix('.tif')}"
    )
    assert lines[0].startswith("  0 ")
    labels = read_pixels(picture.with_suffix(".tif"))
    assert (labels.shape, int(labels.max())) == ((320, 640), len(lines) - 2)
    assert read_place(picture.with_suffix(".tif")) == ((-180, -90, 180, 90), EPSG)
    heph("segment", VIIRS, DAYS[0], "--output_dir", root, "--out", out)
    assert open_raster(out).RasterXSize == 1280


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--bandwidth", 1], 2, "kmeans does not take --bandwidth"),
        (
            ["--method", "meanshift", "--seed", 1, "--num_clusters", 2],
            2,
            "meanshift does not take --num_clusters, --seed",
        ),
        (["--num_clusters", 257], 1, "can be cut into 1 to 256 clusters, not into 257"),
        (["--method", "meanshift", "--bandwidth", 0], 1, "the bandwidth of mean shift is positive and finite, not 0.0"),
        (["--out", "map.jpg"], 2, "map.jpg should end in .png"),
    ],
)
def test_options_that_cannot_be_are_refused(image: Path, options: list[object], code: int, message: str) -> None:
    assert message in heph("segment", image, *options, code=code).output
    assert sorted(path.name for path in image.parent.glob("flags*")) == ["flags.png"]


def test_the_image_itself_is_not_written_over(image: Path, tmp_path: Path) -> None:
    assert "is the image itself: give another --out" in heph("segment", image, "--out", image, code=2).output
    heph("segment", image)
    labels = tmp_path / "flags.kmeans.tif"
    text = heph("segment", labels, "--out", labels.with_suffix(".png"), code=2).output
    assert f"{labels} is the image itself: give another --out" in text


def test_what_is_not_there_is_named(tmp_path: Path, viirs: Layer) -> None:
    path = mosaic_path(tmp_path / "data", EPSG, DAYS[0], viirs)
    assert f"{path} is not there: download the day first" in heph("segment", VIIRS, DAYS[0], code=1).output
    assert f"{VIIRS} is not there: name an image, or a layer and the day of it" in heph("segment", VIIRS, code=1).output
    (tmp_path / "nothing.png").write_bytes(b"PNG")
    assert "nothing.png cannot be read as an image" in heph("segment", tmp_path / "nothing.png", code=1).output
    cut_off(write_day(tmp_path / "data", viirs, EPSG, DAYS[0], painted(DAYS[0])))
    assert f"{path}: 1 of 2 tiles are not what they were" in heph("segment", VIIRS, DAYS[0], code=1).output
    assert "unknown layer 'Nothing'" in heph("segment", "Nothing", DAYS[0], code=1).output
