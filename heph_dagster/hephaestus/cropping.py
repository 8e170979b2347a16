"""Crops of annotations from a raw archive: images are read once each, and what cannot be cropped is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.crops import CROP_SIZE, Crop, crops_of
from heph_dagster.hephaestus.interferograms import (
    Image,
    InterferogramError,
    find_images,
    interferogram_folder,
    read_coherence,
    read_interferogram,
)
from heph_dagster.hephaestus.rejects import CropReject
from heph_dagster.png import Picture
from heph_dagster.pools import in_order


def make_crops(
    raw: Path,
    annotations: Iterable[Annotation],
    *,
    seed: int,
    size: int = CROP_SIZE,
    coherence: bool = True,
    pool: Executor | None = None,
    on_annotation: Callable[[], None] | None = None,
) -> Iterator[Crop | CropReject]:
    """The crops of annotated interferograms.

    Args:
        raw: Root of the raw archive.
        annotations: What was said of the interferograms; crops come in their order.
        seed: Another seed places crops elsewhere.
        size: Columns and rows of a crop.
        coherence: Whether to cut the coherence, too.
        pool: What reads images; the caller's thread by default.
        on_annotation: Is called after each.

    Yields:
        Each crop, or the reason why it cannot be made: the interferogram is missing or damaged, or as of `crops_of`. A
        coherence that cannot be used is left out, and the crop's warning tells why.
    """
    work = partial(_crops, raw, seed=seed, size=size, coherence=coherence)
    for results in map(work, annotations) if pool is None else in_order(pool, work, annotations):
        yield from results
        if on_annotation is not None:
            on_annotation()


def _crops(raw: Path, annotation: Annotation, *, seed: int, size: int, coherence: bool) -> list[Crop | CropReject]:
    try:
        picture = read_annotated(raw, annotation)
    except InterferogramError as error:
        return [CropReject(annotation.unique_id, None, str(error))]
    coherence_map, warning = annotated_coherence(raw, annotation, picture) if coherence else (None, None)
    return list(crops_of(annotation, picture, coherence_map, seed=seed, size=size, warning=warning))


def read_annotated(raw: Path, annotation: Annotation) -> Picture:
    """The interferogram of an annotation.

    Args:
        raw: Root of the raw archive.
        annotation: What was said of the interferogram.

    Raises:
        InterferogramError: It is not there, or damaged.
    """
    path = find_images(raw, annotation.frame, annotation.dates).interferogram
    if path is None:
        folder = interferogram_folder(raw, annotation.frame) / annotation.dates
        raise InterferogramError(
            f"there is no interferogram in {folder}: put {annotation.dates}.geo.diff.png or InSAR.png there "
            "(`heph insar download raw`)"
        )
    return read_interferogram(path)


def annotated_coherence(raw: Path, annotation: Annotation, picture: Picture) -> tuple[Image | None, str | None]:
    """The coherence of an annotation's interferogram.

    Args:
        raw: Root of the raw archive.
        annotation: What was said of the interferogram.
        picture: The interferogram.

    Returns:
        The coherence, from 0 to 255, H x W, and None; or None, and why it cannot be used.
    """
    path = find_images(raw, annotation.frame, annotation.dates).coherence
    if path is None:
        return None, "its coherence is not there"
    try:
        coherence = read_coherence(path)
    except InterferogramError as error:
        return None, str(error)
    if coherence.shape != (picture.height, picture.width):
        sizes = " and ".join(f"{e.shape[1]} x {e.shape[0]} px" for e in (picture.pixels, coherence))
        return None, f"the coherence is left out, because interferogram and coherence have {sizes}"
    return coherence, None
