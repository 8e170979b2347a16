"""Champions asked about interferograms of a raw archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heph_dagster.hephaestus.crops import Window
from heph_dagster.hephaestus.inventory import annotated_pairs, inventory_path, take_inventory, write_inventory
from heph_dagster.hephaestus.splits import Part
from heph_dagster.models.errors import DataError
from heph_dagster.models.insar.data import OUTPUTS
from heph_dagster.models.insar.parameters import ClassifierParameters, SegmenterParameters
from heph_dagster.models.insar.prediction_table import frames_with_predictions, predictions_path, read_predictions
from heph_dagster.models.insar.predictions import Champions, find_drift, load_champions, predict_frame, squares
from heph_dagster.models.insar.training import train_interferograms
from heph_dagster.models.tracking import Tracking
from heph_dagster.png import Picture, encode_png
from heph_dagster_tests.models.insar.conftest import FRAMES, SIZE, simple_crop

FRAME = FRAMES[0]
QUICK = {"epochs": 1, "input_size": 48, "batch_size": 8, "accelerator": "cpu"}


@pytest.mark.parametrize(
    ("width", "expected"), [(48, [0]), (49, [0, 1]), (96, [0, 48]), (100, [0, 26, 52]), (144, [0, 48, 96])]
)
def test_squares_cover_an_image(width: int, expected: list[int]) -> None:
    assert squares(width, 48, 48) == [Window(x, 0, 48) for x in expected]
    assert [window.y for window in squares(48, width, 48)] == expected


def test_an_image_that_is_smaller_is_padded() -> None:
    assert squares(30, 60, 48) == [Window(0, 0, 48, padded=True), Window(0, 12, 48, padded=True)]


def store_pair(raw: Path, dates: str, numbers: tuple[int, ...], *, coherence: bool = True) -> None:
    """An interferogram of simple crops beside each other."""
    folder = raw / FRAME / "interferograms" / dates
    folder.mkdir(parents=True)
    crops = [simple_crop(number, FRAME, 2020) for number in numbers]
    image = Picture(np.hstack([crop.picture.pixels for crop in crops]), crops[0].picture.palette)
    (folder / "InSAR.png").write_bytes(encode_png(image))
    if coherence:
        (folder / "Coherence.png").write_bytes(encode_png(Picture(np.hstack([crop.coherence for crop in crops]), None)))


def take(folder: Path) -> None:
    pairs = take_inventory(folder / "raw", FRAME, annotated_pairs(folder, FRAME))
    write_inventory(inventory_path(folder, FRAME), pairs)


@pytest.fixture(scope="module")
def tracking(insar: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder = tmp_path_factory.mktemp("mlflow")
    made = Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns")
    told = ClassifierParameters(**QUICK | {"epochs": 12})
    classifier = train_interferograms(made, insar, "classifier", parameters=told, split="temporal")
    assert classifier.metrics[Part.TEST]["deformation_roc_auc"].value > 0.9
    segmenter = SegmenterParameters(depth=3, encoder="tu-test_resnet", **QUICK)
    train_interferograms(made, insar, "unet", parameters=segmenter, split="temporal", floor=0)
    return made


@pytest.mark.slow
def test_champions_tell_which_interferograms_deform_and_where(tmp_path: Path, tracking: Tracking) -> None:
    raw = tmp_path / "raw"
    store_pair(raw, "20200101_20200113", (2, 4, 6))
    store_pair(raw, "20200113_20200125", (2, 5, 4))
    store_pair(raw, "20200125_20200206", (8, 10), coherence=False)
    store_pair(raw, "20200206_20200218", (2,))
    (raw / FRAME / "interferograms" / "20200206_20200218" / "InSAR.png").write_bytes(b"no image")
    (raw / FRAME / "interferograms" / "20200218_20200301").mkdir()
    take(tmp_path)
    champions = load_champions(tracking)
    asked = []
    made = predict_frame(champions, tmp_path, raw, FRAME, lambda: asked.append(1))
    calm, deformed, bare = made.rows
    assert [each.dates for each in made.rows] == ["20200101_20200113", "20200113_20200125", "20200125_20200206"]
    assert set(made.left_out) == {"20200206_20200218", "20200218_20200301"}
    assert "missing interferogram" in made.left_out["20200218_20200301"]
    assert deformed.deformed
    assert (deformed.x, deformed.y) == (SIZE, 0)
    assert deformed.probabilities["deformation"] > calm.probabilities["deformation"]
    assert list(deformed.probabilities) == list(OUTPUTS)
    assert (calm.coherence, bare.coherence) == (True, False)
    assert (calm.inputs["coherence"], bare.inputs["coherence"]) == (pytest.approx(200 / 255), 0)
    assert (deformed.version, deformed.segmenter_version, deformed.learner) == (1, 1, "classifier")
    assert 0 <= (deformed.deformed_px or 0) <= 3 * SIZE * SIZE
    assert frames_with_predictions(tmp_path) == [FRAME]
    assert tuple(read_predictions(predictions_path(tmp_path, FRAME))) == made.rows
    assert len(asked) == made.anew == 4

    store_pair(raw, "20200301_20200313", (7, 9))
    take(tmp_path)
    again = predict_frame(champions, tmp_path, raw, FRAME)
    assert again.anew == 2  # the new one, and the one that cannot be read
    assert again.rows[:3] == made.rows
    alone = predict_frame(Champions(champions.classifier, None), tmp_path, raw, FRAME)
    assert [each.segmenter_version for each in alone.rows] == [None] * 4
    assert find_drift(tracking, tmp_path, [FRAME]) == {}  # too few


@pytest.mark.slow
def test_interferograms_unlike_those_of_training_are_drift(tmp_path: Path, tracking: Tracking) -> None:
    for number in range(24):
        store_pair(tmp_path / "raw", f"202001{number + 1:02}_20200213", (2 * number + 2,), coherence=False)
    take(tmp_path)
    predict_frame(Champions(load_champions(tracking).classifier, None), tmp_path, tmp_path / "raw", FRAME)
    shifts = find_drift(tracking, tmp_path, [FRAME])
    assert shifts["coherence"].drifted
    assert not shifts["no_data"].drifted
    assert shifts["score"].cases == 24


def test_no_champion_is_told(tmp_path: Path) -> None:
    empty = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    assert find_drift(empty, tmp_path, []) == {}
    with pytest.raises(DataError, match=r"there is no champion of hephaestus\.classifier: train a classifier"):
        load_champions(empty)
