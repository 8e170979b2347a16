"""The asset checks of Hephaestus: nothing is lost, nothing is damaged, nothing leaks."""

# No `from __future__ import annotations`: Dagster reads the types of a check function as they are.
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from heph_dagster.defs import parts
from heph_dagster.defs.insar_assets import insar_key, table
from heph_dagster.defs.reports import FLAGGED
from heph_dagster.defs.resources import Insar
from heph_dagster.errors import HephError
from heph_dagster.hephaestus import frame_crops, frame_masks, shards, splits
from heph_dagster.hephaestus.annotations import load_table
from heph_dagster.settings import INSAR
from heph_dagster.storage.working_copy import Part


@dg.asset_check(asset=insar_key("annotations"), name="no_rejects", description="Whether every file gave an annotation.")
def no_rejects(insar: Insar) -> dg.AssetCheckResult:
    """Look at the table of rejects."""
    with insar.open(*parts.of_frames([])) as data:
        rows = load_table(data.folder, "annotation_rejects").to_pylist()
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} files gave no annotation",
        metadata={"rejects": table(("file", "reason"), [(row["source"], row["reason"]) for row in rows])},
    )


def _of_frames(
    context: dg.AssetCheckExecutionContext,
    insar: Insar,
    there: Callable[[Path], list[str]],
    look: Callable[[Path, str], list[str]],
    what: str,
) -> dg.AssetCheckResult:
    """What is wrong with the frames of a run, or with all that are there."""
    ran = context.has_partition_key or context.has_partition_key_range
    read = parts.of_frames(context.partition_keys) if ran else parts.of_insar()
    lines: list[tuple[object, ...]] = []
    with insar.open(*read) as data:
        frames = list(context.partition_keys) if ran else there(data.folder)
        for frame in frames:
            try:
                lines += [(frame, line) for line in look(data.folder, frame)]
            except (HephError, OSError) as error:
                lines.append((frame, data.words(error)))
    return dg.AssetCheckResult(
        passed=not lines,
        description=f"{len(lines)} {what} in {len(frames)} frames",
        metadata={
            "frames": len(frames),
            FLAGGED: sorted({str(frame) for frame, _ in lines}),
            "wrong": table(("frame", "what"), lines),
        },
    )


@dg.asset_check(
    asset=insar_key("masks"),
    name="polygons_inside",
    description="Whether each polygon lies inside of its interferogram.",
)
def polygons_inside(context: dg.AssetCheckExecutionContext, insar: Insar) -> dg.AssetCheckResult:
    """Look at the tables of masks."""

    def look(folder: Path, frame: str) -> list[str]:
        rows = frame_masks.read_frame_masks(folder, frame).rows
        return [
            f"polygon {row.index} of annotation {row.unique_id} leaves its image of {row.width} x {row.height} px"
            for row in rows
            if not row.inside
        ]

    return _of_frames(context, insar, frame_masks.frames_with_masks, look, "polygons leave their interferogram")


@dg.asset_check(
    asset=insar_key("crops"),
    name="counts",
    description="Whether each deformation has a crop of its class, each other annotation tiles, or a reason why not.",
)
def counts(context: dg.AssetCheckExecutionContext, insar: Insar) -> dg.AssetCheckResult:
    """Compare crops with annotations."""
    return _of_frames(context, insar, frame_crops.frames_with_crops, frame_crops.check_counts, "differences")


@dg.asset_check(
    asset=insar_key("crops"), name="readable", description="Whether every crop can be read and is as it was written."
)
def readable(context: dg.AssetCheckExecutionContext, insar: Insar) -> dg.AssetCheckResult:
    """Read all crops."""

    def look(folder: Path, frame: str) -> list[str]:
        return shards.check_shards(frame_crops.crops_folder(folder, frame))

    return _of_frames(context, insar, frame_crops.frames_with_crops, look, "damaged shards")


@dg.asset_check(
    asset=insar_key("split"),
    name="no_leakage",
    description="Whether no interferogram is in two parts, and no frame in two parts of the split by frames.",
)
def no_leakage(insar: Insar) -> dg.AssetCheckResult:
    """Look for what parts share."""
    with insar.open(Part(f"{INSAR}/splits/")) as data:
        folder = data.folder / "splits"
        shared = {name: splits.read_split(folder, name) for name in splits.split_names(data.folder)}
        frames = splits.shared_frames(splits.read_split(folder, "frames"))
    pairs = {name: splits.shared_interferograms(each) for name, each in shared.items()}
    # The published split is as it is: what leaks there is told, and no fault of this archive.
    ours = [name for name in pairs if name != "published" and pairs[name]]
    rows: list[tuple[object, ...]] = [(name, len(each)) for name, each in pairs.items()]
    leaking = ", ".join([*ours, *(["frames"] if frames else [])])
    told = f"; published: {len(pairs['published'])} interferograms in two parts" if "published" in pairs else ""
    return dg.AssetCheckResult(
        passed=not ours and not frames,
        description=(f"parts share interferograms or frames: {leaking}" if leaking else "nothing leaks") + told,
        metadata={"shared_interferograms": table(("split", "interferograms"), rows), "shared_frames": frames},
    )


INSAR_CHECKS = [no_rejects, polygons_inside, counts, readable, no_leakage]
