"""Crops to learn from: where they are, what they show, and which of them train, validate and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.crops import LABELS
from heph_dagster.hephaestus.frame_crops import crops_folder, frames_with_crops
from heph_dagster.hephaestus.shards import DIGESTS, crop_size, read_manifest
from heph_dagster.hephaestus.splits import Part, read_split
from heph_dagster.models.errors import DataError

OUTPUTS = LABELS[:-1]
"""What a classifier tells of a crop: whether the ground deforms, six types, three intensities."""
CLASSES = ("", *LABELS[1:7])
"""Classes of the pixels of masks; nothing deforms in the first."""
FEWEST_POSITIVES = 8


@dataclass(frozen=True, eq=False)
class PartCrops:
    """Crops of a part of a split.

    Attributes:
        names: Their names, in the order in which they are stored.
        truth: Whether each shows each of `OUTPUTS`, N x 10.
    """

    names: tuple[str, ...]
    truth: NDArray[np.bool_]

    @property
    def deformed(self) -> int:
        """How many show a deformation."""
        return int(self.truth[:, 0].sum())


@dataclass(frozen=True, eq=False)
class CropData:
    """Labelled crops on disk.

    Attributes:
        folders: Folders of shards, a frame each.
        split: Name of the split.
        parts: The crops of each part.
        size: Side of the crops in px.
        without_coherence: How many have no coherence; networks are given 0 instead.
        fingerprint: SHA-256 of shards, names, labels and parts: of all that is learned from.
    """

    folders: tuple[Path, ...]
    split: str
    parts: Mapping[Part, PartCrops]
    size: int
    without_coherence: int
    fingerprint: str


def load_crops(root: Path, split: str = "frames") -> CropData:
    """The crops of a split.

    Args:
        root: Folder of InSAR data, with `crops` and `splits`.
        split: Name of the split: `frames`, `temporal` or `published`.

    Raises:
        SplitError, ShardsError: Split or crops are not there.
        DataError: The split names crops that are gone, crops are of several sizes, a part has no crops or such of one
            kind only, or too few to train show a deformation.
    """
    table = read_split(root / "splits", split)
    part_of = dict(zip(table.rows["name"].to_pylist(), table.rows["part"].to_pylist(), strict=True))
    folders = tuple(crops_folder(root, frame) for frame in frames_with_crops(root))
    manifests = [read_manifest(folder) for folder in folders]
    sizes = {size for each in manifests if (size := crop_size(each))}
    if len(sizes) > 1:
        raise DataError(f"crops are of {', '.join(map(str, sorted(sizes)))} px: make those of all frames of one size")
    names: dict[Part, list[str]] = {part: [] for part in Part}
    truth: dict[Part, list[NDArray[np.bool_]]] = {part: [] for part in Part}
    digest = hashlib.sha256()
    lacking = 0
    for folder, manifest in zip(folders, manifests, strict=True):
        digest.update(f"{folder.name} ".encode() + manifest.schema.metadata[DIGESTS] + b"\n")
        labels = np.stack([manifest[name].to_numpy().astype(bool) for name in OUTPUTS], axis=1)
        there = manifest["coherence"].to_pylist()
        for name, row, coherent in zip(manifest["name"].to_pylist(), labels, there, strict=True):
            part = part_of.pop(name, None)
            if part is not None:
                names[Part(part)].append(name)
                truth[Part(part)].append(row)
                lacking += not coherent
                digest.update(f"{name} {part} {row.astype(int)}\n".encode())
    if part_of:
        raise DataError(
            f"{len(part_of)} crops of the split {split} are not there, first {next(iter(part_of))}: make the split anew"
        )
    parts = {
        part: PartCrops(tuple(names[part]), np.array(truth[part], bool).reshape(-1, len(OUTPUTS))) for part in Part
    }
    _check(parts, split)
    return CropData(folders, split, parts, max(sizes, default=0), lacking, digest.hexdigest())


def _check(parts: Mapping[Part, PartCrops], split: str) -> None:
    remedy = "crops of more frames make some, and so does another split"
    for part, crops in parts.items():
        if not crops.names:
            raise DataError(f"the split {split} has no crops to {part}: {remedy}")
        if crops.deformed in {0, len(crops.names)}:
            kind = "all" if crops.deformed else "none"
            raise DataError(
                f"of the {len(crops.names)} crops of the split {split} that {part}, {kind} deform: {remedy}"
            )
    deformed = parts[Part.TRAIN].deformed
    if deformed < FEWEST_POSITIVES:
        raise DataError(f"{deformed} of the crops that train deform, too few to learn from: {remedy}")


def copies(crops: PartCrops, *, calm: float | None, repeat_below: float) -> dict[str, float]:
    """How often each crop comes per epoch, so that rare kinds count for something.

    A crop of a kind that a share f of the deformed crops has comes sqrt(t / f) times where f is below t, as its rarest
    kind asks for; crops where nothing deforms come so often that there is a given number of them for each deformed one.

    Args:
        crops: The crops.
        calm: Crops without deformation for each with one; None takes each once.
        repeat_below: The share t; 0 repeats none.

    Returns:
        Number by name; see `CropDataset`.

    Source: A. Gupta et al., LVIS: A Dataset for Large Vocabulary Instance Segmentation, CVPR 2019 (repeat factors).
    """
    deformed = crops.truth[:, 0]
    shares = crops.truth.sum(axis=0) / max(crops.deformed, 1)
    factors = np.maximum(1, np.sqrt(repeat_below / np.maximum(shares, 1e-9)))
    times = np.where(crops.truth, factors, 1).max(axis=1)
    if calm is not None:
        times[~deformed] = calm * times[deformed].sum() / np.count_nonzero(~deformed)
    return dict(zip(crops.names, times.tolist(), strict=True))
