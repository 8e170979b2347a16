"""Splitting the crops of all frames in all ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heph_dagster.hephaestus.annotations import load_annotations
from heph_dagster.hephaestus.frame_crops import frames_with_crops, read_frame_crops
from heph_dagster.hephaestus.published_split import PUBLISHED_FILE, published_split
from heph_dagster.hephaestus.splits import (
    TEST_FRAMES,
    Split,
    SplitError,
    crop_items,
    frame_split,
    temporal_split,
    write_split,
)


def make_splits(
    folder: Path, seed: int = 0, test_frames: Sequence[str] = TEST_FRAMES, published: Path | None = None
) -> dict[str, Split]:
    """Split the crops of all frames, and write the splits to `splits`.

    Args:
        folder: Folder of InSAR data, with crops.
        seed: Of the split by frames.
        test_frames: Those that test in it.
        published: File of the published split, which is made where it is there; by default `train_test_split.json` in
            the folder.

    Returns:
        `frames`, `temporal`, and `published` where its file is.

    Raises:
        SplitError: There are no crops, or the published file is none.
    """
    frames = frames_with_crops(folder)
    if not frames:
        raise SplitError(f"{folder / 'crops'} has no crops: make those of some frames first (heph insar crops)")
    crops = [read_frame_crops(folder, frame) for frame in frames]
    items = crop_items([each.manifest for each in crops])
    made = {"frames": frame_split(items, seed, test_frames), "temporal": temporal_split(items)}
    published = published or folder / PUBLISHED_FILE
    if published.exists():
        annotations = load_annotations(folder)
        alone = {each.unique_id for each in annotations if len(each.deformations) == 1}
        rejects = {
            f"{it.unique_id}" if it.index is None or it.unique_id in alone else f"{it.unique_id}_{it.index}": it.reason
            for each in crops
            for it in each.rejects
        }
        made["published"] = published_split(published, items, annotations, rejects)
    for name, split in made.items():
        write_split(folder / "splits", name, split)
    return made
