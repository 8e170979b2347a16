"""An archive of synthetic interferograms, as the real one lies on disk."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path

import cv2

from heph_dagster.files import replacing
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.interferograms import Layout, interferogram_folder
from heph_dagster.hephaestus.synthetic.interferogram import synthesize
from heph_dagster.hephaestus.synthetic.scene import Scene
from heph_dagster.png import Picture, encode_png

_PER_JOB = 16  # annotations of a frame, whose terrain is made once for them


def write_archive(
    root: Path,
    annotations: Sequence[Annotation],
    frames: Mapping[str, Scene],
    *,
    layout: Layout = Layout.LICSAR,
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
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, cv2.setNumThreads, (1,))
    try:
        started = {pool.submit(_write, root, frames[job[0].frame], job, layout): job for job in jobs}
        for future in as_completed(started):
            future.result()
            for annotation in started[future]:
                on_done(annotation.unique_id)
    finally:
        pool.shutdown(cancel_futures=True)


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
        images = (encode_png(made.picture), encode_png(Picture(made.coherence)))
        folder = interferogram_folder(root / "raw", annotation.frame) / annotation.dates
        for path, image in zip(layout.paths(folder), images, strict=True):
            with replacing(path) as part:
                part.write_bytes(image)
        on_done(annotation.unique_id)
