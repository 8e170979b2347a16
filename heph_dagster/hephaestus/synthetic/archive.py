"""An archive of synthetic interferograms, as the real one lies on disk."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

import cv2

from heph_dagster.files import replacing
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.synthetic.colours import write_coherence, write_interferogram
from heph_dagster.hephaestus.synthetic.interferogram import synthesize
from heph_dagster.hephaestus.synthetic.scene import Scene

Layout: TypeAlias = Literal["licsar", "hephaestus"]
"""How files of the raw archive are called: as LiCSAR has them, or as Hephaestus's README tells."""

LAYOUTS: dict[Layout, tuple[str, str]] = {
    "licsar": ("{dates}.geo.diff.png", "{dates}.geo.cc.png"),
    "hephaestus": ("InSAR.png", "Coherence.png"),
}
"""Names of the interferogram and of its coherence."""

_PER_JOB = 16  # annotations of a frame, whose terrain is made once for them


def image_paths(root: Path, annotation: Annotation, layout: Layout) -> tuple[Path, Path]:
    """Where the interferogram and the coherence of an annotation are.

    Args:
        root: Folder that `raw` is in.
        annotation: The annotation.
        layout: Layout of the archive.

    Returns:
        Two paths.
    """
    folder = root / "raw" / annotation.frame / "interferograms" / annotation.dates
    interferogram, coherence = (folder / name.format(dates=annotation.dates) for name in LAYOUTS[layout])
    return interferogram, coherence


def write_archive(
    root: Path,
    annotations: Sequence[Annotation],
    frames: Mapping[str, Scene],
    *,
    layout: Layout = "licsar",
    workers: int = 1,
    on_done: Callable[[int], None] = lambda _: None,
) -> None:
    """Make the interferograms of annotations; the same bytes with any number of workers and in any order.

    Args:
        root: Where `raw/{frame}/interferograms/{dates}` is made. Files that are there are replaced.
        annotations: The annotations.
        frames: Their frames, of `scenes`: of all annotations, also where only some are made.
        layout: Names of the files.
        workers: Processes.
        on_done: Called with the ID of each annotation as its files are written.

    Raises:
        ValueError: Two annotations are of the same interferogram, or a frame has no scene.
    """
    _check(annotations, frames)
    jobs = list(_jobs(annotations))
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            _write(root, frames[job[0].frame], job, layout, on_done)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, cv2.setNumThreads, (1,)) as pool:
        started = {pool.submit(_write, root, frames[job[0].frame], job, layout): job for job in jobs}
        for future in as_completed(started):
            future.result()
            for annotation in started[future]:
                on_done(annotation.unique_id)


def write_records(root: Path, annotations: Iterable[Annotation]) -> None:
    """Write annotations as `annotations/{uniqueID}.json`, beside `raw`.

    Args:
        root: Folder of both.
        annotations: The annotations.
    """
    for annotation in annotations:
        with replacing(root / "annotations" / f"{annotation.unique_id}.json") as part:
            part.write_text(json.dumps(annotation.record(), indent=2) + "\n", "utf-8")


def _check(annotations: Sequence[Annotation], frames: Mapping[str, Scene]) -> None:
    found: dict[tuple[str, str], int] = {}
    for each in annotations:
        if each.frame not in frames:
            raise ValueError(f"the frame {each.frame} of annotation {each.unique_id} has no scene")
        first = found.setdefault((each.frame, each.dates), each.unique_id)
        if first != each.unique_id:
            raise ValueError(
                f"annotations {first} and {each.unique_id} are both of {each.frame} {each.dates}: leave one of them out"
            )


def _jobs(annotations: Sequence[Annotation]) -> Iterator[list[Annotation]]:
    ordered = sorted(annotations, key=lambda each: (each.frame, each.unique_id))
    for _, group in groupby(ordered, key=lambda each: each.frame):
        of_frame = list(group)
        for start in range(0, len(of_frame), _PER_JOB):
            yield of_frame[start : start + _PER_JOB]


def _write(
    root: Path,
    scene: Scene,
    annotations: Iterable[Annotation],
    layout: Layout,
    on_done: Callable[[int], None] = lambda _: None,
) -> None:
    for annotation in annotations:
        made = synthesize(annotation, scene)
        interferogram, coherence = image_paths(root, annotation, layout)
        write_interferogram(interferogram, made.numbers)
        write_coherence(coherence, made.coherence)
        on_done(annotation.unique_id)
