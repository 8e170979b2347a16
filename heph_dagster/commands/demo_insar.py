"""The demonstration's interferograms: invented, made into crops through Dagster, compared with the truth."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg

    from heph_dagster.hephaestus.annotation import Annotation
    from heph_dagster.settings import Settings

FOLDER = "hephaestus"
_COUNT = 200


@dataclass
class InsarSummary:
    """Figures of the interferograms.

    Attributes:
        interferograms: How many were made.
        deformations: Outlines in them.
        frames: Their frames.
        crops: Crops that were made.
        contained: Deformations of which a crop contains the whole outline.
        not_passed: Names of the checks that did not pass.
        seconds: Wall time.
    """

    interferograms: int
    deformations: int
    frames: int
    crops: int = 0
    contained: int = 0
    not_passed: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_interferograms(
    definitions: dg.Definitions, settings: Settings, instance: dg.DagsterInstance, seed: int
) -> InsarSummary:
    """Invent annotations, make their interferograms, and run all assets of Hephaestus.

    Args:
        definitions: The code location.
        settings: Where files go.
        instance: Where runs are recorded.
        seed: Of everything that is made.

    Raises:
        RuntimeError: A run failed.
    """
    started = time.perf_counter()
    annotations = make_interferograms(settings, _COUNT, seed)
    frames = sorted({each.frame for each in annotations})
    summary = InsarSummary(len(annotations), sum(len(each.deformations) for each in annotations), len(frames))
    results = [_execute(definitions, instance, "annotations")]
    results += [_execute(definitions, instance, "interferograms", "masks", "crops", frame=frame) for frame in frames]
    results += [_execute(definitions, instance, "split", test_frames=frames[-1:])]
    for frame, result in zip((None, *frames, None), results, strict=True):
        evaluations = result.get_asset_check_evaluations()
        summary.not_passed += [f"{each.check_name} {frame or ''}".strip() for each in evaluations if not each.passed]
    for frame in frames:
        crops, contained = _compare(settings.insar_dir, frame, annotations)
        summary.crops += crops
        summary.contained += contained
    summary.seconds = time.perf_counter() - started
    return summary


def make_interferograms(settings: Settings, count: int, seed: int, **options: Any) -> list[Annotation]:
    """Invent annotations, and make their interferograms where real ones would be.

    Args:
        settings: Where files go.
        count: How many.
        seed: Of everything that is made.
        options: Of `heph_dagster.hephaestus.synthetic.invention.invent`.
    """
    from heph_dagster.hephaestus.synthetic.archive import write_archive, write_records
    from heph_dagster.hephaestus.synthetic.invention import invent
    from heph_dagster.hephaestus.synthetic.scene import scenes

    annotations = invent(count, seed, **options)
    write_archive(settings.insar_dir, annotations, scenes(annotations, seed))
    write_records(settings.insar_dir, annotations)
    return annotations


def make_crops(definitions: dg.Definitions, instance: dg.DagsterInstance, frames: Sequence[str], test: int) -> None:
    """Run what learners of interferograms need.

    Args:
        definitions: The code location.
        instance: Where runs are recorded.
        frames: Of the interferograms.
        test: How many of the last frames test.

    Raises:
        RuntimeError: A run failed.
    """
    _execute(definitions, instance, "annotations")
    for frame in frames:
        _execute(definitions, instance, "interferograms", "crops", frame=frame)
    _execute(definitions, instance, "split", test_frames=frames[-test:])


def _execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    *names: str,
    frame: str | None = None,
    test_frames: Sequence[str] = (),
) -> dg.ExecuteInProcessResult:
    import dagster as dg

    config = {"hephaestus__split": {"config": {"test_frames": list(test_frames)}}} if test_frames else {}
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([FOLDER, name]) for name in names],
        partition_key=frame,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": config},
    )
    if not result.success:
        raise RuntimeError(f"a run of {', '.join(names)} failed; it is in the Dagster UI: {result.run_id}")
    return result


def _compare(folder: Path, frame: str, annotations: Sequence[Annotation]) -> tuple[int, int]:
    """Crops of a frame, and deformations whose outline is whole in one that was made for them."""
    import numpy as np

    from heph_dagster.hephaestus.frame_crops import crops_folder
    from heph_dagster.hephaestus.shards import crop_size, read_manifest

    manifest = read_manifest(crops_folder(folder, frame))
    places = {(row["unique_id"], row["index"]): (row["x"], row["y"]) for row in manifest.to_pylist()}
    contained = 0
    for annotation in annotations:
        for index, each in enumerate(annotation.deformations):
            corner = places.get((annotation.unique_id, index)) if annotation.frame == frame else None
            if corner is not None:
                inside = (each.polygon >= corner) & (each.polygon < np.add(corner, crop_size(manifest)))
                contained += bool(inside.all())
    return len(manifest), contained
