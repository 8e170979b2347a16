"""Networks as folders, and as versions of MLflow's registry."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any, ClassVar, Self

import mlflow
import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer

from heph_dagster.models import serving
from heph_dagster.models.saved import PIPELINE_FILE, read_version
from heph_dagster.models.serving import Predictor, ServingError, load_predictor, save_predictor
from heph_dagster.models.tracking import Tracking, TrackingError, Version


class Brightness(Predictor):
    """How bright an image is, as a probability."""

    kind: ClassVar[str] = "brightness"

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def save(self, folder: Path) -> None:
        (folder / "scale.json").write_text(json.dumps(self.scale))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(json.loads((folder / "scale.json").read_text()))

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        bright = inputs.mean(axis=(1, 2, 3)) * self.scale
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(serving.KINDS, "brightness", f"{__name__}:Brightness")


def test_a_predictor_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_predictor(Brightness(1 / 255), tmp_path / "folder")
    again = load_predictor(tmp_path / "folder")
    np.testing.assert_array_equal(again.predict(IMAGES), Brightness(1 / 255).predict(IMAGES))


def test_a_folder_without_a_predictor_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"holds no predictor .*: train it again"):
        load_predictor(tmp_path)


def test_an_unknown_kind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_predictor(Brightness(1), tmp_path)
    monkeypatch.delitem(serving.KINDS, "brightness")
    with pytest.raises(ServingError, match="of kind brightness, which this version does not know"):
        load_predictor(tmp_path)


def test_a_predictor_is_registered_and_loaded_by_name(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    model = Brightness(1 / 255)
    with tracking.run("lights", "bright", {"scale": 1}, {"asset_key": "a/b"}) as run:
        version = tracking.register(run, "lights", model, IMAGES[:2], {"learner": "brightness"})
    np.testing.assert_allclose(tracking.predict(version, IMAGES), model.predict(IMAGES)[:, 1])
    assert tracking.tags(version) == {"learner": "brightness"}
    with tracking._fluent():
        plain = mlflow.pyfunc.load_model("models:/lights/1")
    np.testing.assert_array_equal(plain.predict(IMAGES), model.predict(IMAGES))
    assert plain.metadata.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 4, 6, 3)}
    with pytest.raises(
        TrackingError,
        match=r"version 1 of lights cannot be used \(Shape of input \(3, 2, 6, 3\) does not match .*: train it again",
    ):
        tracking.predict(version, IMAGES[:, :2])
    for path in (tmp_path / "mlruns").rglob("*"):
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth"}, path


def test_no_code_of_a_version_is_run(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    with tracking.run("lights", "bright", {}, {}) as run:
        version = tracking.register(run, "lights", Brightness(1 / 255), IMAGES[:2], {})
    (code,) = (tmp_path / "mlruns").rglob("served.py")
    about = code.with_name("MLmodel")
    code.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    text, count = re.subn(r"loader_module: \S+", "loader_module: this", about.read_text())
    assert count == 1
    about.write_text(text)
    np.testing.assert_allclose(tracking.predict(version, IMAGES), Brightness(1 / 255).predict(IMAGES)[:, 1])
    assert not (tmp_path / "ran").exists()
    assert "this" not in sys.modules


def test_a_pipeline_that_could_run_code_is_refused(tmp_path: Path) -> None:
    about = "is not read, since it could run code. Untrusted types found in the file: .*run_path"
    skops.io.dump(FunctionTransformer(runpy.run_path), tmp_path / PIPELINE_FILE)
    with pytest.raises(ServingError, match=about):
        read_version(tmp_path)


def test_a_folder_of_a_version_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="holds neither a pipeline nor one network: train it again"):
        read_version(tmp_path)
    (tmp_path / PIPELINE_FILE).write_bytes(b"PK")
    with pytest.raises(ServingError, match=r"model.skops cannot be read \(.*\): train it again"):
        read_version(tmp_path)


def test_a_large_example_is_left_out_without_a_word(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")
    large = np.zeros((1, 300, 300, 3), np.uint8)
    with tracking.run("lights", "bright", {}, {}) as run, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        version = tracking.register(run, "lights", Brightness(1 / 255), large, {})
    assert [str(each.message) for each in told if "example" in str(each.message)] == []
    assert tracking.load(version).shape == (-1, 300, 300, 3)


@pytest.mark.slow
def test_a_champion_that_cannot_be_used_is_beaten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")

    def add() -> Version:
        with tracking.run("lights", "bright", {}, {}) as run:
            return tracking.register(run, "lights", Brightness(1 / 255), IMAGES[:2], {})

    first, second, third = add(), add(), add()
    assert tracking.challenge(first, lambda _: (1, 0))
    assert not tracking.challenge(second, lambda _: (0.5, 0.5))
    assert tracking.champion("lights") == first
    shutil.rmtree(tmp_path / "mlruns")
    assert tracking.challenge(third, lambda present: (float(tracking.predict(present, IMAGES)[0]), 0))
    assert tracking.champion("lights") == third
    assert "models:/lights/1 is no champion any more: version 1 of lights cannot be used" in caplog.text


@pytest.mark.slow
def test_a_training_that_goes_on_is_recorded_in_the_same_run(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")

    def train(stop: bool = False) -> str:
        with tracking.run("group", "name", {"seed": 1}, {"dagster_run_id": "x"}, tmp_path) as run:
            run.epoch(1, {"train_loss": 0.5})
            if stop:
                raise KeyboardInterrupt
        return run.id

    with pytest.raises(KeyboardInterrupt):
        train(stop=True)
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    run_id = (tmp_path / "run.txt").read_text()
    assert client.get_run(run_id).info.status == "KILLED"
    assert train() == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    client.delete_run(run_id)
    other = Tracking(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "other")
    with other.run("group", "name", {}, {}, tmp_path) as run:
        assert run.id != run_id
