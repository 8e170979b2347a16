"""Images of a gibs-ml folder: each adopted, or rejected with a reason."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from heph_dagster.gibs.adopt import Adopted, Rejected, adopt_images, find_images
from heph_dagster.gibs.archive import encode, mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster.gibs.raster import JPEG_BLACK, black, gdal, read_pixels
from heph_dagster_tests.conftest import EPSG, NDVI, NO_DATA, TERRA, VIIRS, earth

DAY = date(2020, 9, 25)
PNG_LAYER = "VIIRS_SNPP_Brightness_Temp_BandI5_Day"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty gibs-ml folder."""
    (tmp_path / "gibs-ml").mkdir()
    return tmp_path / "gibs-ml"


def put(tree: Path, name: str, data: bytes) -> Path:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def picture(kind: str = "jpg", day: date = DAY) -> bytes:
    return encode(earth(day, 0), kind)


def adopt(tree: Path, catalogue: Catalogue, root: Path, **options) -> tuple[dict[str, str], dict[str, str]]:
    """Outcomes and reasons by path below the tree."""
    images, rejected = find_images(tree, catalogue)
    results = [*adopt_images(root, images, **options), *rejected]
    outcomes = {str(each.source.relative_to(tree)): each.outcome for each in results if isinstance(each, Adopted)}
    reasons = {str(each.source.relative_to(tree)): each.reason for each in results if isinstance(each, Rejected)}
    return outcomes, reasons


def test_every_kind_of_image_becomes_a_day(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    jpeg = put(tree, f"4326/2020-09-25/{VIIRS}.jpg", picture())
    put(tree, f"4326/2020-09-25/{PNG_LAYER}.png", picture("png"))
    put(tree, f"4326/2020-09-26/{VIIRS}.jpeg", picture())
    put(tree, f"4326/2020-09-27/{VIIRS}.PNG", picture("png"))
    put(tree, f"3031/2020-09-25/{TERRA}.jpg", encode(np.full((512, 512, 3), 99, np.uint8), "jpg"))
    put(tree, "4326/2020-09-25/VIIRS_SNPP_CorrectedReflectance_BandsM11_I2_I1.jpg", picture())
    outcomes, reasons = adopt(tree, catalogue, tmp_path / "data")
    assert reasons == {}
    assert list(outcomes.values()) == ["adopted"] * 6
    mosaics = {str(path.relative_to(tmp_path / "data")) for path in tmp_path.glob("data/*/*/*.mrf")}
    assert mosaics == {
        f"3031/2020-09-25/{TERRA}.mrf", f"4326/2020-09-25/{VIIRS}.mrf", f"4326/2020-09-26/{VIIRS}.mrf",
        "4326/2020-09-25/VIIRS_SNPP_CorrectedReflectance_BandsM11-I2-I1.mrf", f"4326/2020-09-27/{VIIRS}.mrf",
        f"4326/2020-09-25/{PNG_LAYER}.mrf",
    }  # fmt: skip
    path = mosaic_path(tmp_path / "data", EPSG, DAY, catalogue[PNG_LAYER])
    np.testing.assert_array_equal(read_pixels(path), earth(DAY, 0))
    with Mosaic(mosaic_path(tmp_path / "data", EPSG, DAY, catalogue[VIIRS]), EPSG) as mosaic:
        assert mosaic.origin is not None
        assert mosaic.origin["source"] == jpeg.as_uri()


def test_a_geotiff_by_the_name_of_a_jpeg_is_adopted(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    """gibs-ml's gdal_translate wrote such files."""
    image = earth(DAY, 0)
    image[100:200, 100:200] = 0
    source = put(tmp_path, "day.jpg", encode(image, "jpg"))
    (tree / "4326" / "2020-09-25").mkdir(parents=True)
    name = str(tree / "4326" / "2020-09-25" / f"{VIIRS}.jpg")
    box = [-180, 90, 180, -90]
    gdal().Translate(name, str(source), format="GTiff", outputSRS="EPSG:4326", outputBounds=box).FlushCache()
    assert Path(name).read_bytes().startswith(b"II*\0")
    assert adopt(tree, catalogue, tmp_path / "data") == ({f"4326/2020-09-25/{VIIRS}.jpg": "adopted"}, {})
    pixels = read_pixels(mosaic_path(tmp_path / "data", EPSG, DAY, catalogue[VIIRS]))
    assert black(pixels, JPEG_BLACK)[108:192, 108:192].all()
    assert not black(pixels, JPEG_BLACK)[:92].any()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("4326/2020-09-25/Nope.jpg", picture(), "unknown layer 'Nope'; nearest matches"),
        (f"4326/2020-13-25/{VIIRS}.jpg", picture(), "'2020-13-25' is not a day: write it as YYYY-MM-DD"),
        (f"4326/{VIIRS}.jpg", picture(), "does not stand in a folder {EPSG}/{YYYY-MM-DD}"),
        (f"4326/2020-09-25/old/{VIIRS}.jpg", picture(), "does not stand in a folder {EPSG}/{YYYY-MM-DD}"),
        (f"3857/2020-09-25/{VIIRS}.jpg", picture(), f"{VIIRS} is not available in EPSG:3857, only in"),
        (f"3413/2020-09-25/{NDVI}.png", picture(), f"{NDVI} is not available in EPSG:3413"),
        (f"3413/2020-09-25/{VIIRS}.jpg", picture(), "is 640 x 320 px, but an image of all of EPSG:3413 is 1 times"),
        (f"4326/2020-09-25/{VIIRS}.jpg", b"<html>", "is neither JPEG, PNG nor TIFF: it begins with b'<html>'"),
        (f"4326/2020-09-25/{VIIRS}.jpg", b"", "is neither JPEG, PNG nor TIFF: it begins with b''"),
        (f"4326/2020-09-25/{VIIRS}.jpg", picture()[:5000], "cannot be read as an image: libjpeg: Premature end"),
        (f"4326/2020-09-25/{VIIRS}.png", picture("png")[:5000], "cannot be read as an image: "),
    ],
)  # fmt: skip
def test_what_is_not_adopted_has_a_reason(
    tree: Path, tmp_path: Path, catalogue: Catalogue, name: str, data: bytes, reason: str
) -> None:
    put(tree, name, data)
    good = f"4326/2020-09-24/{VIIRS}.jpg"
    put(tree, good, picture())
    outcomes, reasons = adopt(tree, catalogue, tmp_path / "data")
    assert outcomes == {good: "adopted"}
    assert list(reasons) == [name]
    assert reasons[name].startswith(reason)
    assert len(list(tmp_path.glob("data/*/*"))) == 1


def test_a_geotiff_that_was_not_finished_is_rejected(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    """A gdal_translate that was killed leaves such a file, which reads as black."""
    path = put(tree, f"4326/2020-09-25/{VIIRS}.jpg", b"")
    options = ["SPARSE_OK=YES", "INTERLEAVE=PIXEL"]
    dataset = gdal().GetDriverByName("GTiff").Create(str(path), 640, 320, 3, options=options)
    for band in (1, 2, 3):
        dataset.GetRasterBand(band).WriteArray(earth(DAY, 0)[:160, :, band - 1])
    dataset.FlushCache()
    del dataset
    _, reasons = adopt(tree, catalogue, tmp_path / "data")
    assert reasons == {f"4326/2020-09-25/{VIIRS}.jpg": "was not written to its end: blocks of the TIFF are missing"}


def test_tiles_are_no_day(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    tile = encode(np.full((512, 512, 3), 99, np.uint8), "jpg")
    for col in range(8):
        for row in range(4):
            put(tree, f"4326/2020-09-25/tiles/{VIIRS}_Tile_{col}-{row}.jpg", tile)
            put(tree, f"4326/2020-09-26/tiles/{VIIRS}_Tile_{col}-{row}.jpg", tile)
    put(tree, f"4326/2020-09-26/{VIIRS}.jpg", picture())  # the same day as one image
    put(tree, "4326/2020-09-25/tiles/notes.png", tile)
    for _ in range(2):
        outcomes, reasons = adopt(tree, catalogue, tmp_path / "data")
        assert list(outcomes) == [f"4326/2020-09-26/{VIIRS}.jpg"]
        assert set(reasons) == {f"4326/2020-09-25/tiles/{VIIRS}_Tile_*", "4326/2020-09-25/tiles/notes.png"}
        reason = reasons[f"4326/2020-09-25/tiles/{VIIRS}_Tile_*"]
        assert reason.startswith("32 tiles: gibs-ml's tiled download covers only a quarter of the globe, because")


def test_of_two_images_of_a_day_the_first_is_taken(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    put(tree, f"4326/2020-09-25/{VIIRS}.jpg", picture(day=date(2020, 1, 1)))
    put(tree, f"4326/2020-09-25/{VIIRS}.png", picture("png"))
    expected = (
        {f"4326/2020-09-25/{VIIRS}.jpg": "adopted"},
        {f"4326/2020-09-25/{VIIRS}.png": f"{VIIRS}.jpg is taken for this day: remove one of the two"},
    )
    assert adopt(tree, catalogue, tmp_path / "data") == expected


def test_what_is_hidden_or_derived_is_passed_over(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    for name in (
        f"4326/2020-09-25/._{VIIRS}.jpg", f"4326/.cache/{VIIRS}.jpg", f"4326/2020-09-25/{VIIRS}.missing_data.tif",
        f"4326/2020-09-25/{VIIRS}.truth.png", f"4326/2020-09-25/{VIIRS}.jgw", f"notebooks/2020-09-25/{VIIRS}.jpg",
    ):  # fmt: skip
        put(tree, name, picture())
    assert adopt(tree, catalogue, tmp_path / "data") == ({}, {})


def test_days_that_are_there_are_kept_unless_replaced(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    root, viirs = tmp_path / "data", catalogue[VIIRS]
    path = write_day(root, viirs, EPSG, DAY, earth(date(2020, 1, 1), 0))
    name = f"4326/2020-09-25/{VIIRS}.jpg"
    put(tree, name, picture())
    old = read_pixels(path)
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    assert adopt(tree, catalogue, root) == ({name: "kept"}, {})
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before
    assert adopt(tree, catalogue, root, replace=True) == ({name: "replaced"}, {})
    assert not np.array_equal(read_pixels(path), old)
    put(tree, name, b"broken")
    new = read_pixels(path)
    assert list(adopt(tree, catalogue, root, replace=True)[1]) == [name]
    np.testing.assert_array_equal(read_pixels(path), new)


def test_the_level_is_that_of_the_image_or_the_one_asked_for(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    image = encode(np.full((400, 800, 3), 99, np.uint8), "png")
    for layer in (VIIRS, NO_DATA):
        put(tree, f"4326/2020-09-25/{layer}.png", image)
    for level, made in ((None, 1), (0, 0), (2, 2)):
        root = tmp_path / f"level {level}"
        adopt(tree, catalogue, root, level=level)
        with Mosaic(mosaic_path(root, EPSG, DAY, catalogue[VIIRS]), EPSG) as mosaic:
            assert mosaic.level == made
    outcomes, reasons = adopt(tree, catalogue, tmp_path / "none", level=9)
    assert outcomes == {}
    assert reasons[f"4326/2020-09-25/{VIIRS}.png"] == f"{VIIRS} has no level 9: the finest in EPSG:4326 is 8"


def test_a_disk_that_cannot_be_written_stops_everything(tree: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    put(tree, f"4326/2020-09-25/{VIIRS}.jpg", picture())
    (tmp_path / "data").write_bytes(b"a file in place of the root")
    images, _ = find_images(tree, catalogue)
    with pytest.raises(NotADirectoryError):
        adopt_images(tmp_path / "data", images)


def test_progress_is_told_of_each_image(tree: Path, tmp_path: Path, catalogue: Catalogue, viirs: Layer) -> None:
    for number in range(1, 6):
        put(tree, f"4326/2020-09-{number:02}/{VIIRS}.jpg", picture())
    images, _ = find_images(tree, catalogue)
    told: list[int] = []
    results = adopt_images(tmp_path / "data", images, on_image=lambda: told.append(1))
    assert len(told) == 5
    assert [result.day for result in results if isinstance(result, Adopted)] == [image.day for image in images]
