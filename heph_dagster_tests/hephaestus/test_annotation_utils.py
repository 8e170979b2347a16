from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from heph_dagster.hephaestus import annotation_utils
from heph_dagster.hephaestus.annotation_utils import (
    crop_around_object,
    extract_label,
    get_insar_path,
    get_segmentation,
    image_tiling,
    mask_boundaries,
    read_annotation,
    save_crops,
)
from heph_dagster.hephaestus.interferograms import InterferogramError, Layout
from heph_dagster.hephaestus.records import RejectedError
from heph_dagster_tests.hephaestus.records import SQUARE, deformed, quiet, write_pair, write_records

SINGLE = {"label": ["Deformation"], "activity_type": ["Sill"], "intensity_level": ["Medium"], "is_crowd": 0,
          "segmentation_mask": [SQUARE], "primary_date": "20181101"}  # fmt: skip
EARTHQUAKE = {"label": ["Earthquake"], "activity_type": ["Earthquake"], "intensity_level": ["None"], "is_crowd": 0,
              "segmentation_mask": [SQUARE], "primary_date": "20181102", "phase": "None"}  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the predecessor's users have it: annotations and raw archive, and the shell is in it."""
    records = [quiet(1), deformed(10478, primary_date="20181110"), deformed(3, **SINGLE), deformed(4, **EARTHQUAKE)]
    write_records(tmp_path / "annotations", *records)
    for record in records:
        write_pair(tmp_path / "Hephaestus_Raw", record, 500, 450)
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    return tmp_path


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What is plotted."""
    images: list[np.ndarray] = []

    def show() -> None:
        images.append(np.asarray(plt.gca().get_images()[0].get_array()))
        plt.close()

    monkeypatch.setattr(plt, "show", show)
    return images


def test_the_segmentation_example_runs(work: Path, shown: list[np.ndarray]) -> None:
    namespace: dict = {}
    code = """
from heph_dagster.hephaestus.annotation_utils import *

annotation = 'annotations/10478.json'
masks = get_segmentation(annotation,verbose=True)
"""
    exec(code, namespace)  # noqa: S102
    assert [np.unique(mask).tolist() for mask in namespace["masks"]] == [[0, 1], [0, 5]]
    assert [image.shape for image in shown] == [(450, 500, 3), (450, 500), (450, 500)]


def test_the_crops_example_runs(work: Path) -> None:
    write_records(work / "YOUR_ANNOTATION_FOLDER", deformed(3, **SINGLE))
    namespace: dict = {}
    code = """
from heph_dagster.hephaestus.annotation_utils import *
save_crops(annotation_folder='YOUR_ANNOTATION_FOLDER/',save_path = 'OUTPUT_PATH',mask_path='PATH_TO_SAVE_MASKS')
"""
    exec(code, namespace)  # noqa: S102
    assert (work / "OUTPUT_PATH" / "3" / "3.png").exists()
    assert (work / "PATH_TO_SAVE_MASKS" / "3" / "3.png").exists()
    assert (work / "cls_labels" / "3.json").exists()


def test_an_annotation_is_read_as_it_stands(work: Path) -> None:
    assert read_annotation("annotations/1.json") == quiet(1)


@pytest.mark.parametrize(("unique_id", "label"), [(1, 0), (3, 1), (4, 2), (10478, 1)])
def test_labels_are_lists(work: Path, unique_id: int, label: int) -> None:
    assert extract_label(f"annotations/{unique_id}.json") == label


def test_an_interferogram_is_found_in_either_layout(work: Path) -> None:
    record = quiet(7, primary_date="20181103")
    write_records(work / "annotations", record)
    folder = "Hephaestus_Raw/124D_05291_081406/interferograms/20181103_20181204"
    assert get_insar_path("annotations/7.json") == f"{folder}/20181103_20181204.geo.diff.png"
    write_pair(work / "Hephaestus_Raw", record, 9, 9, Layout.PLAIN)
    assert get_insar_path("annotations/7.json") == f"{folder}/InSAR.png"


def test_masks_have_the_size_of_the_interferogram(work: Path) -> None:
    (mask,) = get_segmentation("annotations/3.json", raw_insar_path="Hephaestus_Raw/", verbose=False)
    assert (mask.shape, mask.dtype) == ((450, 500), np.uint8)
    assert (mask[20:61, 10:41] == 3).all()
    assert np.count_nonzero(mask) == 31 * 41
    assert get_segmentation("annotations/1.json", verbose=False) == []


def test_boundaries_are_rows_and_columns(work: Path, shown: list[np.ndarray]) -> None:
    assert mask_boundaries("annotations/3.json", verbose=True) == ((20, 10), (60, 40))
    assert shown[0].max() == 255
    assert mask_boundaries("annotations/10478.json", verbose=False, index=1) == ((100, 100), (130, 130))


def test_a_crop_contains_the_object(work: Path, shown: list[np.ndarray]) -> None:
    image, mask = crop_around_object("annotations/3.json", verbose=True, output_size=64, index=0)
    assert (image.shape, mask.shape) == ((64, 64, 3), (64, 64))
    assert np.count_nonzero(mask == 3) == 31 * 41
    whole = cv2.imread(get_insar_path("annotations/3.json"))
    row, column = (int(each[0]) for each in np.nonzero(mask))
    np.testing.assert_array_equal(image, whole[20 - row : 84 - row, 10 - column : 74 - column])
    assert [each.shape for each in shown] == [(64, 64, 3), (64, 64)]
    again = crop_around_object("annotations/3.json", verbose=False, output_size=64)
    np.testing.assert_array_equal(again[0], image)


def test_crops_are_of_224_px(work: Path) -> None:
    image, mask = crop_around_object("annotations/10478.json", verbose=False, index=1)
    assert image.shape == (224, 224, 3)
    assert set(np.unique(mask)) >= {0, 5}


def test_a_crop_smaller_than_its_object_warns(work: Path) -> None:
    with pytest.warns(UserWarning, match="polygon 0: the deformation of 31 x 41 px is larger than the crop"):
        image, mask = crop_around_object("annotations/3.json", verbose=False, output_size=16)
    assert image.shape == (16, 16, 3)
    assert mask.any()


def test_what_cannot_be_done_is_an_error(work: Path) -> None:
    with pytest.raises(IndexError, match="annotation 3 has 1 deformations, none of number 1"):
        crop_around_object("annotations/3.json", verbose=False, index=1)
    write_records(work / "annotations", deformed(5, primary_date="20181105"))
    with pytest.raises(InterferogramError, match="there is no interferogram in Hephaestus_Raw"):
        get_segmentation("annotations/5.json", verbose=False)
    write_pair(work / "Hephaestus_Raw", deformed(5, primary_date="20181105"), 60, 80)
    with pytest.raises(ValueError, match=r"annotations/5\.json: the polygon lies outside of the interferogram"):
        crop_around_object("annotations/5.json", verbose=False, index=1)
    with pytest.raises(ValueError, match="polygon 1 lies outside of its interferogram"):
        mask_boundaries("annotations/5.json", verbose=False, index=1)
    (work / "annotations" / "6.json").write_text("{}")
    with pytest.raises(RejectedError, match=r"annotations/6\.json: uniqueID is missing"):
        extract_label("annotations/6.json")


def test_tiles_do_not_overlap() -> None:
    image = np.arange(500 * 450, dtype=np.uint32).reshape(450, 500).astype(np.uint8)
    tiles = image_tiling(image)
    assert [tile.shape for tile in tiles] == [(224, 224)] * 4
    np.testing.assert_array_equal(tiles[3], image[224:448, 224:448])
    assert image_tiling(None) == []


def test_crops_are_saved_as_the_published_set_has_them(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(work / "annotations", deformed(5, primary_date="20181105"), {**quiet(6), "confidence": 9})
    rejects = save_crops("annotations/", "out/labeled/", "out/masks/", verbose=True)
    names = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.*"))
    assert names == [
        "cls_labels/10478_0.json", "cls_labels/10478_1.json",
        "cls_labels/1_0.json", "cls_labels/1_1.json", "cls_labels/1_2.json", "cls_labels/1_3.json",
        "cls_labels/3.json", "cls_labels/4.json",
        "labeled/0/1_0.png", "labeled/0/1_1.png", "labeled/0/1_2.png", "labeled/0/1_3.png",
        "labeled/1/10478_0.png", "labeled/3/3.png", "labeled/5/10478_1.png", "labeled/5/4.png",
        "masks/1/10478_0.png", "masks/3/3.png", "masks/5/10478_1.png", "masks/5/4.png",
        "rejects.csv",
    ]  # fmt: skip
    whole = cv2.imread(get_insar_path("annotations/1.json"))
    np.testing.assert_array_equal(cv2.imread("out/labeled/0/1_2.png"), whole[224:448, :224])
    mask = cv2.imread("out/masks/3/3.png", cv2.IMREAD_UNCHANGED)
    assert (mask.shape, np.count_nonzero(mask == 3)) == ((224, 224), 31 * 41)
    assert json.loads(Path("out/cls_labels/3.json").read_text())["Intensity"] == 1
    assert json.loads(Path("out/cls_labels/4.json").read_text()) == {
        "Deformation": [5],
        "Intensity": 3,
        "Phase": None,
        "frameID": "124D_05291_081406",
        "primary_date": "20181102",
        "secondary_date": "20181204",
    }
    assert [each["annotation"] for each in rejects] == ["6.json", "5.json"]
    with Path("out/rejects.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rejects
    assert "10478_0 {'Deformation': [1" in capsys.readouterr().out


def test_crops_are_saved_alike_each_time(work: Path) -> None:
    for out in ("a", "b"):
        save_crops("annotations/", f"{out}/labeled", f"{out}/masks", out_size=64, seed=1)
    files = sorted(path.relative_to("a") for path in Path("a").rglob("*.*"))
    assert files
    assert all(("a" / path).read_bytes() == ("b" / path).read_bytes() for path in files)


def test_the_module_exports_the_predecessors_functions() -> None:
    assert set(annotation_utils.__all__) == {
        "read_annotation", "extract_label", "get_insar_path", "get_segmentation", "mask_boundaries",
        "crop_around_object", "image_tiling", "save_crops",
    }  # fmt: skip
