"""The crops of a frame on disk, and whether they are what the annotations ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from heph_dagster.hephaestus.annotation import Activity
from heph_dagster.hephaestus.annotations import load_annotations
from heph_dagster.hephaestus.cropping import make_crops
from heph_dagster.hephaestus.crops import CROP_SIZE
from heph_dagster.hephaestus.frames import Frame, frames_on_disk
from heph_dagster.hephaestus.rejects import CropReject, write_rejects
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.shards import MANIFEST, read_crops, read_manifest, rejected
from heph_dagster.hephaestus.stored_crop import StoredCrop, stored
from heph_dagster.pools import stopping_pool

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "2"
_Item: TypeAlias = tuple[int, int | None, int | None]
"""ID of an annotation, number and class of a deformation; None for tiles."""


@dataclass(frozen=True, eq=False)
class FrameCrops:
    """The crops of a frame.

    Attributes:
        manifest: A row per crop, see `heph_dagster.hephaestus.shards`.
        rejects: What gave no crop, with the reason.
    """

    manifest: pa.Table
    rejects: tuple[CropReject, ...]

    def classes(self) -> dict[str, int]:
        """How many crops were made for each class."""
        counts = Counter(self.manifest["made_for"].to_pylist())
        return {"none": counts[None]} | {each.word: counts[int(each)] for each in Activity}

    @property
    def warnings(self) -> int:
        """How many crops have one."""
        return len(self.manifest) - self.manifest["warning"].null_count


def make_frame_crops(
    folder: Path,
    raw: Path,
    frame: str,
    *,
    seed: int = 0,
    size: int = CROP_SIZE,
    workers: int | None = None,
    on_annotation: Callable[[], None] | None = None,
) -> FrameCrops:
    """Write the crops of a frame, in place of those that are there.

    Args:
        folder: Folder of InSAR data, with the tables of annotations; the crops go to `crops/{frame}`, and what gave
            none into their manifest and to `crops/{frame}.rejects.parquet`.
        raw: Root of the raw archive.
        frame: ID of the frame.
        seed: Another seed places crops elsewhere.
        size: Columns and rows of a crop.
        workers: Threads; they change nothing in what is written.
        on_annotation: Is called after each.

    Returns:
        What was written.

    Raises:
        ValueError: It is no frame ID.
        AnnotationsError: There are no tables of annotations.
    """
    out = crops_folder(folder, frame)
    rejects: list[CropReject] = []

    def crops() -> Iterator[StoredCrop]:
        annotations = load_annotations(folder, [frame])
        for each in make_crops(raw, annotations, seed=seed, size=size, pool=pool, on_annotation=on_annotation):
            if isinstance(each, CropReject):
                rejects.append(each)
            else:
                yield stored(each)

    with stopping_pool(workers) as pool:
        manifest = write_shards(out, crops(), rejects=rejects)
    # For people to read; nothing here does, since it may be of another run than the crops.
    write_rejects(folder / "crops" / f"{frame}.rejects.parquet", rejects)
    return FrameCrops(manifest, tuple(rejects))


def crops_folder(folder: Path, frame: str) -> Path:
    """Where the crops of a frame are in the folder of InSAR data.

    Raises:
        ValueError: It is no frame ID.
    """
    return folder / "crops" / Frame(frame).id


def frames_with_crops(folder: Path) -> list[str]:
    """The frames whose crops have been made, in order."""
    return [frame for frame in frames_on_disk(folder / "crops") if (folder / "crops" / frame / MANIFEST).exists()]


def read_frame_crops(folder: Path, frame: str) -> FrameCrops:
    """What `make_frame_crops` has written.

    Raises:
        ShardsError: It has not.
    """
    manifest = read_manifest(crops_folder(folder, frame))
    return FrameCrops(manifest, rejected(manifest))


def deformed_crops(folder: Path, frame: str) -> Iterator[StoredCrop]:
    """The crops of a frame that were made for a deformation, in order.

    Raises:
        ShardsError: The crops have not been made, or are damaged.
    """
    place = crops_folder(folder, frame)
    manifest = read_manifest(place)
    names = manifest.filter(manifest["made_for"].is_valid())["name"].to_pylist()
    return read_crops(place, names) if names else iter(())


def check_counts(folder: Path, frame: str) -> list[str]:
    """Compare the crops of a frame with its annotations.

    Args:
        folder: Folder of InSAR data.
        frame: ID of the frame.

    Returns:
        A line for each difference: none where each deformation has a crop of its class or a reject, each other
        annotation has tiles or a reject, and there is no crop beyond.
    """
    made = read_frame_crops(folder, frame)
    rejected = {(each.unique_id, each.index) for each in made.rejects}
    expected: set[_Item] = set()
    for annotation in load_annotations(folder, [frame]):
        unique_id, deformations = annotation.unique_id, annotation.deformations
        if (unique_id, None) not in rejected:
            expected |= {(unique_id, i, int(each.activity)) for i, each in enumerate(deformations)}
            expected |= set() if deformations else {(unique_id, None, None)}
    expected = {item for item in expected if item[:2] not in rejected}
    columns = (made.manifest[name].to_pylist() for name in ("unique_id", "index", "made_for"))
    # All tiles of an interferogram are one item.
    rows = [(unique_id, None if kind is None else index, kind) for unique_id, index, kind in zip(*columns, strict=True)]
    found = set(rows)
    twice = {item for item, count in Counter(rows).items() if count > 1 and item[2] is not None}
    return [
        *(f"{_words(item)} is missing, and no reject tells why" for item in sorted(expected - found, key=str)),
        *(f"{_words(item)} is there, but the annotation has no such" for item in sorted(found - expected, key=str)),
        *(f"{_words(item)} is there several times" for item in sorted(twice, key=str)),
    ]


def _words(item: _Item) -> str:
    unique_id, index, kind = item
    what = "the tiling" if kind is None else f"the crop of deformation {index} ({Activity(kind).word})"
    return f"{what} of annotation {unique_id}"
