"""Learners: whether loaders keep up with training steps, how fast champions predict, and what recording costs."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.measure import RUNS, Row, pairs, ratio_row, seconds
from heph_dagster.anomalies.feature_table import update_features
from heph_dagster.anomalies.label_table import labels_path, read_labels, update_labels
from heph_dagster.anomalies.splits import Split
from heph_dagster.anomalies.splitting import block_split, split_path, write_split
from heph_dagster.anomalies.synthetic_truth import take_truth
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.synthetic.archive import EPSG, Recipe, synthesize
from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
from heph_dagster.hephaestus.frame_crops import make_frame_crops
from heph_dagster.hephaestus.splitting import make_splits
from heph_dagster.hephaestus.synthetic.archive import write_archive, write_records
from heph_dagster.hephaestus.synthetic.invention import MANY_FRAMES, invent
from heph_dagster.hephaestus.synthetic.scene import scenes
from heph_dagster.models.days.data import Task, load_days, load_masks
from heph_dagster.models.days.lessons import DayLesson, Lessons, MaskLesson
from heph_dagster.models.days.mask_training import train_masks
from heph_dagster.models.days.networks import PixelCnn, VanillaCnn
from heph_dagster.models.days.parameters import CnnParameters, PixelCnnParameters
from heph_dagster.models.days.predictions import predict_days
from heph_dagster.models.days.source import LayerDays
from heph_dagster.models.days.training import LEARNERS, train_days
from heph_dagster.models.insar.data import OUTPUTS, load_crops
from heph_dagster.models.insar.fitting import training_batches
from heph_dagster.models.insar.modules import ClassifierModule
from heph_dagster.models.insar.networks import CellClassifier, Encoder
from heph_dagster.models.insar.parameters import ClassifierParameters
from heph_dagster.models.tracking import Tracking

SEED = 4096
DAYS = 60
_LAYER = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
_FIRST = date(2025, 5, 1)
_LEVEL, _ANOMALOUS = 1, 10
_BATCHES = 12
_INTERFEROGRAMS = 120


def run() -> list[Row]:
    """All measures of learners."""
    with tempfile.TemporaryDirectory(prefix="heph-bench-") as name:
        root = Path(name)
        source, days = _days(root)
        tracking = Tracking(f"sqlite:///{root / 'mlflow.db'}", root / "mlruns")
        return [
            *_recording(tracking, source),
            *_inference(tracking, source, days),
            *_day_loader(source),
            *_crop_loader(root),
        ]


def _days(root: Path) -> tuple[LayerDays, list[date]]:
    """Synthetic days with labels by their truth, features and a split."""
    catalogue = load_catalogue()
    layer = catalogue[_LAYER]
    days = [_FIRST + timedelta(days=number) for number in range(DAYS)]
    synthesize(root, [layer], days, catalogue, Recipe(SEED, _LEVEL, _ANOMALOUS))
    take_truth(root, layer, EPSG)
    update_labels(root, layer, EPSG)
    update_features(root, layer, EPSG)
    codes = read_labels(labels_path(root, EPSG, layer))
    write_split(split_path(root, EPSG, layer), block_split(days, 0, block_days=4, gap_days=0), codes)
    return LayerDays(root, layer, EPSG), days


def _recording(tracking: Tracking, source: LayerDays) -> list[Row]:
    """What MLflow adds to a training: the whole of it, less loading and learning, after a first run."""
    learner = LEARNERS["softmax"]

    def train() -> object:
        return train_days(tracking, source, Task.MISCOLORATION, "softmax", floor=0)

    def learn() -> object:
        return learner.train(load_days(source, Task.MISCOLORATION), learner.parameters, 0)

    first = seconds(train)
    learning, whole = pairs(learn, train)
    overheads = [a - b for a, b in zip(whole, learning, strict=True)]
    value = statistics.median(overheads)
    spread = f"{min(overheads):.2f} to {max(overheads):.2f} s; the first run took {first:.1f} s"
    return [Row("MLflow: a run, five plots and a model, after the first", value, "s", "under 2 s", value < 2, spread)]


def _inference(tracking: Tracking, source: LayerDays, days: list[date]) -> list[Row]:
    """Predictions of all days, of a champion of features and of one of pixels; the model is loaded each time."""
    rows = []
    for learner in ("softmax", "pixel_cnn"):
        own = Tracking(tracking.uri.replace("mlflow", learner), source.root / learner)
        if learner == "softmax":
            train_days(own, source, Task.MISCOLORATION, learner, floor=0)
        else:
            train_masks(own, source, learner, parameters=PixelCnnParameters(epochs=1), floor=0)
        predict = partial(predict_days, own, source, days)
        predict()  # imports what MLflow needs
        rates = [len(days) / seconds(predict) for _ in range(RUNS)]
        what = "features" if learner == "softmax" else "pixels, both tasks"
        name = f"predictions of a range of days at level {_LEVEL}: {learner} ({what})"
        note = f"{min(rates):.1f} to {max(rates):.1f}; {len(days)} days in a run"
        rows.append(Row(name, statistics.median(rates), "days/s", "", None, note))
    return rows


def _day_loader(source: LayerDays) -> list[Row]:
    """Days as they are changed for training, against the training steps of the networks that they go to."""
    rows = []
    data = load_days(source, Task.MISCOLORATION, CnnParameters().size).parts[Split.TRAIN]
    cnn = DayLesson(
        VanillaCnn(CnnParameters().size, pad=False, grey=False, hidden=64), positives=0.5, learning_rate=1e-3
    )
    lessons = Lessons(data.days, data.inputs, data.truth, seed=SEED)
    rows.append(_keeps_up("days for cnn", DataLoader(lessons, CnnParameters().batch_size), cnn))
    masks = load_masks(source, PixelCnnParameters().size).parts[Split.TRAIN]
    told = PixelCnnParameters()
    pixels = MaskLesson(PixelCnn(told.channels), learning_rate=1e-3)
    pieces = Lessons(masks.days, masks.pixels, masks.masks, seed=SEED, crop=told.crop)
    rows.append(_keeps_up("pieces of days for pixel_cnn", DataLoader(pieces, told.batch_size), pixels))
    return rows


def _crop_loader(folder: Path) -> list[Row]:
    """Crops as their shards are read for training, against the training steps of the classifier."""
    annotations = invent(_INTERFEROGRAMS, SEED, MANY_FRAMES, deformed=0.8)
    write_archive(folder, annotations, scenes(annotations, SEED))
    write_records(folder, annotations)
    write_annotations(folder, read_annotations(folder / "annotations"))
    frames = sorted(MANY_FRAMES)
    for frame in frames:
        make_frame_crops(folder, folder / "raw", frame)
    make_splits(folder, 0, frames[-3:])
    data, told = load_crops(folder), ClassifierParameters()
    loader = training_batches(data, told, SEED)
    encoder = Encoder(told.backbone, told.stride)
    return [
        _keeps_up("crops for classifier", loader, ClassifierModule(CellClassifier(encoder, len(OUTPUTS)), told, 100))
    ]


def _keeps_up(name: str, loader: Iterable[Any], lesson: Any) -> Row:
    """The time of training steps alone over the time to load what they learn from."""
    batches = list(islice(loader, _BATCHES))
    optimizer = torch.optim.Adam(lesson.parameters())
    lesson.log = lambda *_, **__: None  # no trainer is there to take figures

    def steps() -> None:
        for batch in batches:
            optimizer.zero_grad()
            lesson.training_step(batch, 0).backward()
            optimizer.step()

    def load() -> None:
        for _ in islice(loader, _BATCHES):
            pass

    lesson.train()
    count = sum(len(batch[0]) if isinstance(batch, list) else len(batch["name"]) for batch in batches)
    training, loading = pairs(steps, load)
    note = (
        f"{count / statistics.median(training):.0f} images/s trained, {count / statistics.median(loading):.0f} loaded"
    )
    return ratio_row(f"{name}: training steps / loading, both in one process", training, loading, 1, note)
