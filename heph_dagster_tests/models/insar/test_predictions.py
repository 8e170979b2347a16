"""Champions asked about interferograms of a raw archive."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import date, timedelta
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
from heph_dagster.models.insar.training import CLASSIFIER, train_interferograms
from heph_dagster.models.tracking import Tracking, Version
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
    assert (calm.sample["coherence"], bare.sample["coherence"]) == (pytest.approx(200 / 255), 0)
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
    assert [(each.segmenter_version, each.segmenter_run_id) for each in alone.rows] == [(None, None)] * 4
    assert find_drift(tracking, tmp_path, [FRAME]) == {}  # too few


@pytest.mark.slow
def test_what_is_kept_is_of_the_same_files_and_models(tmp_path: Path, tracking: Tracking) -> None:
    raw, dates = tmp_path / "raw", "20200101_20200113"
    store_pair(raw, dates, (2, 4))
    take(tmp_path)
    champions = Champions(load_champions(tracking).classifier, None)

    def ask(champions: Champions = champions):
        made = predict_frame(champions, tmp_path, raw, FRAME)
        assert read_predictions(predictions_path(tmp_path, FRAME)) == list(made.rows)
        return made.rows[0], made.anew

    first, _ = ask()
    assert first.run_id == champions.classifier.version.run_id
    write_inventory(inventory_path(tmp_path, FRAME), take_inventory(raw, FRAME, {dates: [7]}))
    assert ask() == (replace(first, unique_id=7), 0)  # annotated since
    coherence = raw / FRAME / "interferograms" / dates / "Coherence.png"
    coherence.write_bytes(encode_png(Picture(np.zeros((SIZE, 2 * SIZE), np.uint8), None)))
    take(tmp_path)
    other, anew = ask()
    assert (anew, other.bytes, other.sample["coherence"]) == (1, first.bytes, 0)
    coherence.unlink()
    take(tmp_path)
    bare, anew = ask()
    assert (anew, bare.coherence, bare.coherence_bytes) == (1, False, None)
    # Each store has a version 1.
    elsewhere = copy(champions.classifier.model)
    elsewhere.version = Version(CLASSIFIER, 1, "another run")
    found, anew = ask(Champions(replace(champions.classifier, model=elsewhere), None))
    assert (anew, found.version, found.run_id) == (1, 1, "another run")


def store_many(raw: Path, first: int, *, odd: int = 0, coherence: bool = True) -> None:
    """60 interferograms of five simple crops each, of which some are deformed."""
    for number in range(60):
        dates = f"20200101_{date(2020, 1, 2) + timedelta(days=number):%Y%m%d}"
        crops = tuple(first + 10 * number + 2 * place + (place < odd) for place in range(5))
        store_pair(raw, dates, crops, coherence=coherence)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "drifted"),
    [({}, set()), ({"coherence": False}, {"coherence"}), ({"odd": 4}, {"score"})],
    ids=["same", "without_coherence", "mostly_deformed"],
)
def test_drift_is_told_of_another_world_only(
    tmp_path: Path, tracking: Tracking, world: dict[str, int], drifted: set[str]
) -> None:
    store_many(tmp_path / "raw", 5000, **world)
    take(tmp_path)
    predict_frame(Champions(load_champions(tracking).classifier, None), tmp_path, tmp_path / "raw", FRAME)
    shifts = find_drift(tracking, tmp_path, [FRAME])
    assert {name: each.cases for name, each in shifts.items()} == {"coherence": 60, "no_data": 60, "score": 60}
    assert {name for name, each in shifts.items() if each.drifted} == drifted


def test_no_champion_is_told(tmp_path: Path) -> None:
    empty = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    assert find_drift(empty, tmp_path, []) == {}
    with pytest.raises(DataError, match=r"there is no champion of hephaestus\.classifier: train a classifier"):
        load_champions(empty)
