"""The crops of a frame on disk, and whether they are what the annotations ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heph_dagster.hephaestus.annotation import Activity
from heph_dagster.hephaestus.annotations import load_annotations
from heph_dagster.hephaestus.cropping import make_crops
from heph_dagster.hephaestus.crops import CROP_SIZE, CropReject
from heph_dagster.hephaestus.shards import read_manifest, write_shards
from heph_dagster.hephaestus.stored_crop import StoredCrop, stored
from heph_dagster.pools import stopping_pool
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "1"


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
        folder: Folder of InSAR data, with the tables of annotations; the crops go to `crops/{frame}`, what gave none to
            `crops/{frame}.rejects.parquet`.
        raw: Root of the raw archive.
        frame: ID of the frame.
        seed: Another seed places crops elsewhere.
        size: Columns and rows of a crop.
        workers: Threads; they change nothing in what is written.
        on_annotation: Is called after each.

    Returns:
        What was written.

    Raises:
        AnnotationsError: There are no tables of annotations.
    """
    rejects: list[CropReject] = []

    def crops() -> Iterator[StoredCrop]:
        annotations = load_annotations(folder, [frame])
        for each in make_crops(raw, annotations, seed=seed, size=size, pool=pool, on_annotation=on_annotation):
            if isinstance(each, CropReject):
                rejects.append(each)
            else:
                yield stored(each)

    with stopping_pool(workers) as pool:
        manifest = write_shards(crops_folder(folder, frame), crops())
    write_table(_rejects_path(folder, frame), rejects_table(rejects))
    return FrameCrops(manifest, tuple(rejects))


def crops_folder(folder: Path, frame: str) -> Path:
    """Where the crops of a frame are in the folder of InSAR data."""
    return folder / "crops" / frame


def frames_with_crops(folder: Path) -> list[str]:
    """The frames whose crops have been made, in order."""
    return sorted(path.parent.name for path in (folder / "crops").glob("*/manifest.parquet"))


def read_frame_crops(folder: Path, frame: str) -> FrameCrops:
    """What `make_frame_crops` has written.

    Raises:
        ShardsError: It has not.
    """
    manifest = read_manifest(crops_folder(folder, frame))
    path = _rejects_path(folder, frame)
    rejects = read_table(path).to_pylist() if path.exists() else []
    return FrameCrops(manifest, tuple(CropReject(**row) for row in rejects))


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
    whole = {each.unique_id for each in made.rejects if each.index is None}
    single = {(each.unique_id, each.index) for each in made.rejects}
    expected: Counter[tuple[int, int | None, int | None]] = Counter()
    for annotation in load_annotations(folder, [frame]):
        if annotation.unique_id in whole:
            continue
        if not annotation.deformations:
            expected[annotation.unique_id, None, None] = 1
        for index, each in enumerate(annotation.deformations):
            if (annotation.unique_id, index) not in single:
                expected[annotation.unique_id, index, int(each.activity)] = 1
    columns = (made.manifest[name].to_pylist() for name in ("unique_id", "index", "made_for"))
    found = Counter(
        (unique_id, None if made_for is None else index, made_for)
        for unique_id, index, made_for in zip(*columns, strict=True)
    )
    lines = []
    for key in sorted(expected.keys() | found.keys(), key=str):
        unique_id, index, made_for = key
        what = "tiles" if made_for is None else f"a crop of deformation {index} ({Activity(made_for).word})"
        if key not in found:
            lines.append(f"annotation {unique_id} has no {what.removeprefix('a ')}, and no reject tells why")
        elif key not in expected:
            lines.append(f"there is {what} of annotation {unique_id}, which has no such")
        elif made_for is not None and found[key] > 1:
            lines.append(f"there is {what} of annotation {unique_id} {found[key]} times")
    return lines


def rejects_table(rejects: list[CropReject] | tuple[CropReject, ...]) -> pa.Table:
    """Rejects as a table of `unique_id`, `index` and `reason`."""
    import pyarrow as pa

    schema = pa.schema({"unique_id": pa.int32(), "index": pa.int32(), "reason": pa.string()})
    return pa.Table.from_pylist([asdict(each) for each in rejects], schema)


def _rejects_path(folder: Path, frame: str) -> Path:
    return folder / "crops" / f"{frame}.rejects.parquet"
