"""What champions told of a frame's interferograms, annotated or not: `predictions/{frame}.parquet`, a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from heph_dagster.hephaestus.frames import Frame, is_frame_id
from heph_dagster.tables import read_table, write_table


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What champions told of an interferogram.

    Attributes:
        frame: ID of the frame.
        dates: Name of the folder, `20181128_20181204`.
        primary: UTC day of the first radar image; None where the folder is named otherwise.
        secondary: UTC day of the second.
        unique_id: ID of the annotation; None where there is none.
        coherence: Whether there was a coherence map of its size; without, the models were given 0.
        bytes: Size of the interferogram's file, as the inventory has it.
        coherence_bytes: Size of the coherence map's; None if there is none.
        deformed: Whether the ground is called deformed.
        probabilities: By output of the classifier, the highest of all squares.
        threshold: From which probability of deformation on it is called deformed.
        x: Left column, in px, of the square with the highest probability of deformation.
        y: Its upper row.
        model: Name of the registered classifier.
        version: Number of its version.
        run_id: MLflow's ID of the run that made it: each store has a version 1.
        learner: What kind of learner that is.
        deformed_px: Pixels that the segmenter calls deformed; None without one.
        segmenter_version: Number of its version; None without one.
        segmenter_run_id: The run that made that; None without one.
        sample: Figures of one tile, drawn by chance, by name, to tell drift by: of its pixels, and as `score` its
            probability of deformation.
    """

    frame: str
    dates: str
    primary: date | None
    secondary: date | None
    unique_id: int | None
    coherence: bool
    bytes: int
    coherence_bytes: int | None
    deformed: bool
    probabilities: Mapping[str, float]
    threshold: float
    x: int
    y: int
    model: str
    version: int
    run_id: str
    learner: str
    deformed_px: int | None
    segmenter_version: int | None
    segmenter_run_id: str | None
    sample: Mapping[str, float]


def predictions_path(folder: Path, frame: str) -> Path:
    """Where the predictions of a frame stand in the folder of InSAR data.

    Raises:
        ValueError: It is no frame ID.
    """
    return folder / "predictions" / f"{Frame(frame).id}.parquet"


def frames_with_predictions(folder: Path) -> list[str]:
    """The frames that have predictions, in order."""
    return sorted(path.stem for path in (folder / "predictions").glob("*.parquet") if is_frame_id(path.stem))


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write the predictions of a frame in place of those that are there."""
    import pyarrow as pa

    figures = pa.map_(pa.string(), pa.float64())
    schema = pa.schema(
        {
            "frame": pa.string(), "dates": pa.string(), "primary": pa.date32(), "secondary": pa.date32(),
            "unique_id": pa.int32(), "coherence": pa.bool_(), "bytes": pa.int64(),
            "coherence_bytes": pa.int64(), "deformed": pa.bool_(), "probabilities": figures, "threshold": pa.float64(),
            "x": pa.int32(), "y": pa.int32(), "model": pa.string(), "version": pa.int32(), "run_id": pa.string(),
            "learner": pa.string(), "deformed_px": pa.int64(), "segmenter_version": pa.int32(),
            "segmenter_run_id": pa.string(), "sample": figures,
        }
    )  # fmt: skip
    write_table(path, pa.Table.from_pylist([asdict(each) for each in predictions], schema))


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a frame, by dates; none where there are none."""
    if not path.exists():
        return []
    rows = read_table(path).to_pylist()
    return [Prediction(**row | {name: dict(row[name]) for name in ("probabilities", "sample")}) for row in rows]
