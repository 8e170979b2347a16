"""An archive of synthetic interferograms, as the real one lies on disk."""

from __future__ import annotations

import json
import multiprocessing
import signal
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import chain, groupby
from pathlib import Path

import cv2

from heph_dagster.files import replacing
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.interferograms import Layout, interferogram_folder
from heph_dagster.hephaestus.synthetic.interferogram import synthesize
from heph_dagster.hephaestus.synthetic.scene import Scene
from heph_dagster.png import Picture, encode_png

_MARK = b"tEXtSoftware\0heph_dagster, synthetic interferogram"
_HEADER = 33  # bytes of a PNG's signature and its first chunk
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
        root: Where `raw/{frame}/interferograms/{dates}` is made. Files that are there are replaced, see `check_folder`.
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
    # Ctrl-C in a shell reaches the workers, too: they finish the job that they have begun, and say nothing.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        started = {pool.submit(_write_alone, root, frames[job[0].frame], job, layout): job for job in jobs}
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
        path, text = _record(root, annotation)
        with replacing(path) as part:
            part.write_text(text, "utf-8")


def check_folder(root: Path, annotations: Iterable[Annotation], *, records: bool) -> None:
    """Refuse a folder in which images would be replaced or hidden that are not synthetic, or other annotations.

    Args:
        root: Where `write_archive` is to write.
        annotations: Of what.
        records: Whether `write_records` is to write, too.

    Raises:
        ValueError: There are such.
    """
    for annotation in annotations:
        for image in chain(*(layout.paths(_folder(root, annotation)) for layout in Layout)):
            if image.exists() and not is_synthetic(image):
                raise ValueError(f"{image} is no synthetic image, and would give way to one: name another folder")
        path, text = _record(root, annotation)
        if records and path.exists() and path.read_bytes() != text.encode():
            raise ValueError(f"{path} is another annotation, and would be replaced: name another folder")


def is_synthetic(path: Path) -> bool:
    """Whether a PNG was made by `write_archive`, by what stands in it."""
    with path.open("rb") as file:
        return _MARK in file.read(_HEADER + 4 + len(_MARK))


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


def _folder(root: Path, annotation: Annotation) -> Path:
    return interferogram_folder(root / "raw", annotation.frame) / annotation.dates


def _record(root: Path, annotation: Annotation) -> tuple[Path, str]:
    """File and content of an annotation."""
    return root / "annotations" / f"{annotation.unique_id}.json", json.dumps(annotation.record(), indent=2) + "\n"


def _marked(png: bytes) -> bytes:
    """An image that says where it comes from."""
    size, checksum = len(_MARK) - 4, zlib.crc32(_MARK)
    return png[:_HEADER] + size.to_bytes(4, "big") + _MARK + checksum.to_bytes(4, "big") + png[_HEADER:]


def _jobs(annotations: Sequence[Annotation]) -> Iterator[list[Annotation]]:
    ordered = sorted(annotations, key=lambda each: (each.frame, each.unique_id))
    for _, group in groupby(ordered, key=lambda each: each.frame):
        of_frame = list(group)
        for start in range(0, len(of_frame), _PER_JOB):
            yield of_frame[start : start + _PER_JOB]


def _write_alone(root: Path, scene: Scene, annotations: Iterable[Annotation], layout: Layout) -> None:
    """`_write` in a process beside others."""
    cv2.setNumThreads(1)
    _write(root, scene, annotations, layout)


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
        for path, image in zip(layout.paths(_folder(root, annotation)), images, strict=True):
            with replacing(path) as part:
                part.write_bytes(_marked(image))
        on_done(annotation.unique_id)
