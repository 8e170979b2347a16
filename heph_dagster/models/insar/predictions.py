"""Asking champions whether interferograms show a deformation, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.crops import Window, cut, tile_windows
from heph_dagster.hephaestus.interferograms import Image, InterferogramError, read_coherence, read_interferogram
from heph_dagster.hephaestus.inventory import Pair, inventory_path, read_inventory
from heph_dagster.models import drift
from heph_dagster.models.drift import Shift
from heph_dagster.models.errors import DataError
from heph_dagster.models.insar.data import OUTPUTS
from heph_dagster.models.insar.prediction_table import (
    Prediction,
    predictions_path,
    read_predictions,
    write_predictions,
)
from heph_dagster.models.insar.scoring import describe_crops
from heph_dagster.models.insar.training import CLASSIFIER, DRIFT, SEGMENTER, THRESHOLD
from heph_dagster.models.tracking import Loaded, Tracking, Version


@dataclass(frozen=True, eq=False)
class Predicted:
    """What became of the interferograms of a frame.

    Attributes:
        rows: Of each that could be read.
        left_out: Why others have none, by dates.
        anew: How many were asked about in this run; what the same versions told of the same files is kept.
    """

    rows: tuple[Prediction, ...]
    left_out: Mapping[str, str]
    anew: int


@dataclass(frozen=True, eq=False)
class Champion:
    """A champion in memory.

    Attributes:
        model: The version.
        threshold: From which probability of deformation on it calls something deformed.
        learner: What kind of learner it is.
    """

    model: Loaded
    threshold: float
    learner: str

    @property
    def version(self) -> Version:
        """Its version."""
        return self.model.version


@dataclass(frozen=True, eq=False)
class Champions:
    """The champions that are asked.

    Attributes:
        classifier: Tells of squares.
        segmenter: Tells of pixels; None if there is none.
    """

    classifier: Champion
    segmenter: Champion | None


def load_champions(tracking: Tracking) -> Champions:
    """The champions of Hephaestus.

    Args:
        tracking: Where they are.

    Raises:
        DataError: There is no classifier.
        TrackingError: One cannot be loaded.
    """
    classifier = _champion(tracking, CLASSIFIER)
    if classifier is None:
        raise DataError(f"there is no champion of {CLASSIFIER}: train a classifier of crops first")
    return Champions(classifier, _champion(tracking, SEGMENTER))


def predict_frame(
    champions: Champions, folder: Path, raw: Path, frame: str, on_pair: Callable[[], None] = lambda: None
) -> Predicted:
    """Ask champions about the interferograms of a frame, and write what they tell.

    An interferogram is looked at in squares of the size that the models take, which cover all of it and overlap where
    they have to. One that the same versions told of stays as it was told, unless a file of it has another size; only
    whether it is annotated by now is told anew.

    Args:
        champions: Who is asked.
        folder: Folder of InSAR data, with the frame's inventory.
        raw: Root of the raw archive.
        frame: ID of the frame.
        on_pair: Is called after each interferogram.

    Raises:
        ValueError: It is no frame ID.
        FileNotFoundError: The frame has no inventory.
    """
    path = predictions_path(folder, frame)
    asked = _versions(champions)
    known = {
        (each.dates, each.bytes, each.coherence_bytes): each
        for each in read_predictions(path)
        if (each.version, each.run_id, each.segmenter_version, each.segmenter_run_id) == asked
    }
    rows: list[Prediction] = []
    left_out: dict[str, str] = {}
    anew = 0
    for pair in read_inventory(inventory_path(folder, frame)):
        if pair.interferogram is None:
            left_out[pair.dates] = "; ".join(pair.problems)
            continue
        kept = known.get((pair.dates, *_sizes(pair)))
        if kept is not None:
            rows.append(replace(kept, unique_id=pair.unique_id))
            continue
        try:
            rows.append(_ask(champions, raw, pair, pair.interferogram.path))
        except (InterferogramError, OSError) as error:
            left_out[pair.dates] = str(error)
        anew += 1
        on_pair()
    write_predictions(path, rows)
    return Predicted(tuple(rows), left_out, anew)


def find_drift(tracking: Tracking, folder: Path, frames: list[str]) -> dict[str, Shift]:
    """How far what the champion saw and told of interferograms has moved from its training.

    One tile of each interferogram, drawn by chance, is compared with the tiles that it was trained and judged on: those
    of interferograms without deformation. Crops around deformations are left out there, since hardly any tile that is
    drawn shows one; where many do, `score` drifts.

    Args:
        tracking: Where the champion is.
        folder: Folder of InSAR data.
        frames: IDs of the frames whose predictions are compared.

    Returns:
        By name the shift of `score`, of deformation, and of figures of the inputs; empty where there are too few, or
        there is no champion.
    """
    champion = tracking.champion(CLASSIFIER)
    if champion is None:
        return {}
    known = drift.from_json(tracking.read(champion.run_id, DRIFT) or {})
    rows = [each for frame in frames for each in read_predictions(predictions_path(folder, frame))]
    rows = [each for each in rows if (each.version, each.run_id) == (champion.number, champion.run_id)]
    shifts = {}
    for name, reference in known.items():
        shift = drift.shift(reference, np.array([each.sample[name] for each in rows]))
        if shift is not None:
            shifts[name] = shift
    return shifts


def squares(width: int, height: int, size: int) -> list[Window]:
    """Squares that cover an image, row by row, with no more overlap than they need.

    Args:
        width: Columns of the image.
        height: Rows.
        size: Columns and rows of a square; an image that is smaller is padded.
    """

    def starts(length: int) -> list[int]:
        if length <= size:
            return [0]
        return [int(start) for start in np.linspace(0, length - size, -(-length // size)).round()]

    padded = width < size or height < size
    return [Window(x, y, size, padded=padded) for y in starts(height) for x in starts(width)]


def _champion(tracking: Tracking, name: str) -> Champion | None:
    version = tracking.champion(name)
    if version is None:
        return None
    tags = tracking.tags(version)
    return Champion(tracking.load(version), float(tags[THRESHOLD]), tags["learner"])


def _versions(champions: Champions) -> tuple[int, str, int | None, str | None]:
    """Numbers and runs of the classifier and of the segmenter."""
    classifier, segmenter = champions.classifier.version, champions.segmenter
    number, run_id = (None, None) if segmenter is None else (segmenter.version.number, segmenter.version.run_id)
    return classifier.number, classifier.run_id, number, run_id


def _sizes(pair: Pair) -> tuple[int, int | None]:
    """Bytes of the interferogram, and of the coherence map; None if there is none."""
    first, second = (each.bytes if each is not None else None for each in (pair.interferogram, pair.coherence))
    return first or 0, second


def _ask(champions: Champions, raw: Path, pair: Pair, name: str) -> Prediction:
    """What champions tell of an interferogram.

    Raises:
        InterferogramError: It cannot be read.
    """
    image = read_interferogram(raw / name).rgb()
    coherence = _coherence(raw, pair, image.shape[:2])
    pixels = np.dstack([image, np.zeros(image.shape[:2], np.uint8) if coherence is None else coherence])
    classifier, segmenter = champions.classifier, champions.segmenter
    height, width, size = *image.shape[:2], classifier.model.shape[1]
    windows = squares(width, height, size)
    drawn = _drawn(tile_windows(width, height, size) or windows, f"{pair.frame} {pair.dates}")
    crops = np.stack([cut(pixels, window) for window in (*windows, drawn)])
    told = np.asarray(classifier.model.predict(crops), np.float64)
    place = windows[int(told[:-1, 0].argmax())]
    highest = told[:-1].max(axis=0)
    version, run_id, segmenter_version, segmenter_run_id = _versions(champions)
    interferogram_bytes, coherence_bytes = _sizes(pair)
    return Prediction(
        frame=pair.frame,
        dates=pair.dates,
        primary=pair.primary,
        secondary=pair.secondary,
        unique_id=pair.unique_id,
        coherence=coherence is not None,
        bytes=interferogram_bytes,
        coherence_bytes=coherence_bytes,
        deformed=bool(highest[0] >= classifier.threshold),
        probabilities=dict(zip(OUTPUTS, highest.tolist(), strict=True)),
        threshold=classifier.threshold,
        x=place.x,
        y=place.y,
        model=classifier.version.name,
        version=version,
        run_id=run_id,
        learner=classifier.learner,
        deformed_px=None if segmenter is None else _deformed(segmenter, pixels),
        segmenter_version=segmenter_version,
        segmenter_run_id=segmenter_run_id,
        sample={drift.SCORE: float(told[-1, 0])}
        | {each: float(values[0]) for each, values in describe_crops(crops[-1:]).items()},
    )


def _drawn(windows: list[Window], name: str) -> Window:
    """One of some windows; the same name draws the same."""
    return windows[int.from_bytes(sha256(name.encode()).digest()) % len(windows)]


def _deformed(segmenter: Champion, pixels: NDArray[np.uint8]) -> int:
    """How many pixels of an image a segmenter calls deformed."""
    height, width = pixels.shape[:2]
    size = segmenter.model.shape[1]
    called = np.zeros((height, width), bool)
    windows = squares(width, height, size)
    told = segmenter.model.predict(np.stack([cut(pixels, window) for window in windows]))
    for window, each in zip(windows, told, strict=True):
        part = called[window.y : window.y + size, window.x : window.x + size]
        part |= (1 - each[0] >= segmenter.threshold)[: part.shape[0], : part.shape[1]]
    return int(np.count_nonzero(called))


def _coherence(raw: Path, pair: Pair, shape: tuple[int, ...]) -> Image | None:
    """The coherence of an interferogram; None where there is none that can be read and is of its size."""
    if pair.coherence is None or pair.coherence.size != shape[::-1]:
        return None
    try:
        return read_coherence(raw / pair.coherence.path)
    except InterferogramError:
        return None
