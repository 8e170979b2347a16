from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.hephaestus.annotation import Activity, Annotation
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.cropping import make_crops
from heph_dagster.hephaestus.crops import LABELS, Crop, crop_window, crops_of, tile_windows
from heph_dagster.hephaestus.interferograms import Layout
from heph_dagster.hephaestus.masks import footprint
from heph_dagster.hephaestus.records import check_record
from heph_dagster.hephaestus.rejects import CropReject
from heph_dagster.png import Picture, encode_png
from heph_dagster_tests.conftest import REAL_DATA
from heph_dagster_tests.hephaestus.records import OTHER, SQUARE, deformed, quiet, write_pair

SIZE = 32


def annotation(record: dict) -> Annotation:
    return check_record(json.dumps(record).encode())[0]


def picture(width: int, height: int) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(
    st.integers(3, 90), st.integers(3, 90), st.integers(0, 200), st.integers(0, 200),
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 99),
)  # fmt: skip
def test_a_crop_contains_what_fits_and_lies_in_its_image(
    width: int, height: int, x: int, y: int, across: int, down: int, seed: int
) -> None:
    x, y = x % width, y % height
    right, bottom = min(x + across, width - 1), min(y + down, height - 1)
    # A triangle: its bounds have corners that it does not cover.
    place = footprint(np.array([[x, y], [right, y], [x, bottom]], float), width, height)
    window = crop_window(place, width, height, SIZE, np.random.default_rng(seed))
    assert window.padded == (min(width, height) < SIZE)
    for start, available, first, length in (
        (window.x, width, place.x, place.width),
        (window.y, height, place.y, place.height),
    ):
        assert start >= 0
        assert start + SIZE <= max(available, SIZE)
        if length <= SIZE:
            assert start <= first
            assert first + length <= start + SIZE
    assert place.within(window.x, window.y, SIZE, SIZE).any()
    assert window.fits == (max(place.width, place.height) <= SIZE <= min(width, height))
    assert (window.warning is None) == window.fits


def test_every_place_of_a_crop_occurs() -> None:
    place = footprint(np.array([[40.0, 2.0], [68.0, 2.0], [68.0, 9.0], [40.0, 9.0]]), 71, 40)
    windows = [crop_window(place, 71, 40, SIZE, np.random.default_rng(seed)) for seed in range(200)]
    assert {window.x for window in windows} == set(range(37, 40))
    assert {window.y for window in windows} == set(range(3))


def test_warnings_tell_what_does_not_fit() -> None:
    large = footprint(np.array([[0.0, 0.0], [50.0, 0.0], [50.0, 20.0]]), 100, 100)
    beyond = footprint(np.array([[90.0, 0.0], [110.0, 0.0], [95.0, 20.0]]), 100, 100)
    assert crop_window(large, 100, 100, SIZE, np.random.default_rng(0)).warning == (
        "the deformation of 51 x 21 px is larger than the crop, which shows a part of it"
    )
    assert (
        crop_window(beyond, 100, 100, SIZE, np.random.default_rng(0)).warning == "the polygon leaves the interferogram"
    )
    small = crop_window(footprint(np.array(OTHER).reshape(-1, 2), 140, 140), 140, 140, 224, np.random.default_rng(0))
    assert small.warning == "the interferogram of 140 x 140 px is smaller than the crop, the rest of which is 0"


def test_crops_of_a_crowd_have_pixels_masks_and_labels_of_their_places() -> None:
    image, coherence = picture(200, 150), picture(200, 150).pixels[..., 0]
    crops = list(crops_of(annotation(deformed()), image, coherence, seed=3, size=64))
    assert [crop.name for crop in crops] == ["8_0", "8_1"]
    assert [crop.made_for for crop in crops] == [Activity.MOGI, Activity.EARTHQUAKE]
    for crop in crops:
        window = crop.window
        rows, columns = slice(window.y, window.y + 64), slice(window.x, window.x + 64)
        np.testing.assert_array_equal(crop.image, image.pixels[rows, columns])
        np.testing.assert_array_equal(crop.coherence, coherence[rows, columns])
        assert set(np.unique(crop.mask)) == {0, *crop.activities}
        assert crop.made_for in crop.activities
    assert np.count_nonzero(crops[0].mask == Activity.MOGI) == 31 * 41


def labels_of(crop: Crop) -> dict[str, int]:
    return {name: int(value) for name, value in zip(LABELS, crop.labels(), strict=True) if value}


def test_labels_tell_what_is_in_the_crop() -> None:
    image = picture(300, 300)
    near = deformed(segmentation_mask=[SQUARE, [50.0, 50.0, 60.0, 50.0, 60.0, 60.0]])
    mogi, earthquake = crops_of(annotation(near), image, seed=0, size=224)
    assert labels_of(mogi) == {"deformation": 1, "mogi": 1, "earthquake": 1, "high": 1, "phase": 1}
    assert labels_of(earthquake) == {"deformation": 1, "mogi": 1, "earthquake": 1, "phase": 1}
    assert mogi.published_label() == {
        "Deformation": [1, 5],
        "Intensity": 2,
        "Phase": 1,
        "frameID": "124D_05291_081406",
        "primary_date": "20181128",
        "secondary_date": "20181204",
    }
    assert earthquake.published_label()["Intensity"] == 3
    tile = next(iter(crops_of(annotation(quiet()), image, seed=0, size=100)))
    assert tile.labels().tolist() == [0] * len(LABELS)
    assert tile.published_label()["Deformation"] == [0]


def test_a_phase_that_nobody_gave_is_no_rest() -> None:
    record = deformed(label=["Earthquake"], activity_type=["Earthquake"], intensity_level=["None"], is_crowd=0,
                      phase="None", segmentation_mask=[SQUARE])  # fmt: skip
    (crop,) = crops_of(annotation(record), picture(100, 100), seed=0, size=64)
    assert crop.name == "8"
    assert crop.labels()[-1] == -1
    assert crop.published_label()["Phase"] is None


def test_a_deformation_under_another_is_still_in_its_crop() -> None:
    record = deformed(segmentation_mask=[SQUARE, SQUARE])
    for crop in crops_of(annotation(record), picture(100, 100), seed=0, size=64):
        assert crop.activities == (Activity.MOGI, Activity.EARTHQUAKE)


def test_an_interferogram_without_deformation_is_tiled() -> None:
    image = picture(100, 70)
    crops = list(crops_of(annotation(quiet()), image, seed=0, size=SIZE))
    assert [crop.name for crop in crops] == [f"7_{index}" for index in range(6)]
    assert [(crop.window.x, crop.window.y) for crop in crops] == [(0, 0), (32, 0), (64, 0), (0, 32), (32, 32), (64, 32)]
    np.testing.assert_array_equal(crops[5].image, image.pixels[32:64, 64:96])
    assert not crops[5].mask.any()
    assert tile_windows(31, 100, SIZE) == []


def test_what_gives_no_crop_has_a_reason() -> None:
    (reject,) = crops_of(annotation(quiet()), picture(31, 100), seed=0, size=SIZE)
    assert reject == CropReject(7, None, "the interferogram of 31 x 100 px is smaller than a tile of 32 px")
    crop, reject = crops_of(annotation(deformed()), picture(90, 90), seed=0, size=SIZE)
    assert isinstance(crop, Crop)
    assert reject == CropReject(8, 1, "the polygon lies outside of the interferogram of 90 x 90 px")


def test_a_smaller_interferogram_is_filled_up() -> None:
    image = picture(50, 70)
    record = deformed(label=["Deformation"], activity_type=["Sill"], intensity_level=["Low"], is_crowd=0,
                      segmentation_mask=[SQUARE])  # fmt: skip
    (crop,) = crops_of(annotation(record), image, seed=0, size=64)
    assert (crop.window.x, crop.window.padded, crop.window.fits) == (0, True, False)
    np.testing.assert_array_equal(crop.image[:, :50], image.pixels[crop.window.y : crop.window.y + 64])
    assert not crop.image[:, 50:].any()
    assert np.count_nonzero(crop.mask) == 31 * 41


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Pairs of three records; that of the second has no coherence, of the third a smaller one."""
    raw = tmp_path / "raw"
    for index, layout in enumerate([Layout.LICSAR, Layout.PLAIN, Layout.LICSAR]):
        record = deformed(index, primary_date=f"2018112{index}")
        write_pair(raw, record, 180, 160, layout)
    folders = sorted((raw / "124D_05291_081406" / "interferograms").iterdir())
    (folders[1] / "Coherence.png").unlink()
    (folders[2] / f"{folders[2].name}.geo.cc.png").write_bytes(encode_png(Picture(np.zeros((8, 9), np.uint8))))
    return raw


def annotations() -> list[Annotation]:
    return [annotation(deformed(index, primary_date=f"2018112{index}")) for index in range(4)]


def test_crops_are_the_same_by_any_workers_in_any_order(raw: Path) -> None:
    alone = {crop.name: crop for crop in make_crops(raw, annotations()[:3], seed=5, size=64)}
    with ThreadPoolExecutor(3) as pool:
        together = list(make_crops(raw, annotations()[2::-1], seed=5, size=64, pool=pool))
    assert [crop.name for crop in together] == ["2_0", "2_1", "1_0", "1_1", "0_0", "0_1"]
    for crop in together:
        np.testing.assert_array_equal(crop.image, alone[crop.name].image)
        np.testing.assert_array_equal(crop.mask, alone[crop.name].mask)
    other = make_crops(raw, annotations()[:3], seed=6, size=64)
    assert [crop.window for crop in other] != [crop.window for crop in alone.values()]


def test_what_is_wrong_with_images_is_told(raw: Path) -> None:
    crops = list(make_crops(raw, annotations(), seed=5, size=64))
    assert [crop.warning for crop in crops[:6:2]] == [
        None,
        "its coherence is not there",
        "the coherence is left out, because interferogram and coherence have 180 x 160 px and 9 x 8 px",
    ]
    assert [crop.coherence is None for crop in crops[:6:2]] == [False, True, True]
    assert isinstance(crops[6], CropReject)
    assert "put 20181123_20181204.geo.diff.png or InSAR.png there" in crops[6].reason


def test_a_damaged_interferogram_is_a_reject(raw: Path) -> None:
    path = next(raw.rglob("20181120*.geo.diff.png"))
    path.write_bytes(path.read_bytes()[:-100])
    first = next(iter(make_crops(raw, annotations(), seed=5, size=64)))
    assert isinstance(first, CropReject)
    assert first.reason.startswith(f"{path} cannot be read: the PNG is cut short")


def real_deformed() -> Iterator[Annotation]:
    archive = REAL_DATA / "hephaestus" / "annotations.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    return (each for each in read_annotations(archive).annotations if each.deformations)


@pytest.mark.slow
def test_crops_of_all_real_deformations_contain_them() -> None:
    checked = 0
    for each in real_deformed():
        bounds = np.concatenate([d.polygon for d in each.deformations]).max(axis=0).astype(int) + 1
        for seed, roomy in enumerate((0, 60, 700)):  # from an image that ends with the polygons to a wide one
            width, height = (int(bound) + roomy for bound in bounds)
            image = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
            for crop in crops_of(each, image, seed=seed):
                assert isinstance(crop, Crop)
                polygon = each.deformations[crop.index].polygon
                start = np.array([crop.window.x, crop.window.y])
                assert crop.image.shape == (224, 224, 3)
                assert (polygon >= start).all()
                assert (polygon < start + 224).all()
                assert crop.window.fits == (min(width, height) >= 224)
                checked += 1
    assert checked == 3 * 1800
