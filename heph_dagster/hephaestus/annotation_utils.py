"""The functions of Hephaestus's `annotation_utils`, with their names and arguments, working as they are documented.

Existing code changes its import and goes on. Images are BGR as OpenCV's `imread` returns them, masks are uint8 with the
classes of `Activity` (1 Mogi, 2 Dyke, 3 Sill, 4 Spheroid, 5 Earthquake, 6 Unidentified). Differences: labels are read
as the lists that they are, overlapping classes are not added up, crops depend on `seed` and not on the order of calls,
and what cannot be read is an error that names it.
"""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heph_dagster.files import replacing, temporary
from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Label
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.cropping import make_crops, read_annotated
from heph_dagster.hephaestus.crops import CROP_SIZE, Crop, crops_of, cut, tile_windows
from heph_dagster.hephaestus.interferograms import Layout, find_images, interferogram_folder
from heph_dagster.hephaestus.masks import footprint
from heph_dagster.hephaestus.records import RejectedError, check_record
from heph_dagster.hephaestus.rejects import CropReject
from heph_dagster.png import Picture, encode_png
from heph_dagster.pools import stopping_pool

__all__ = [
    "crop_around_object", "extract_label", "get_insar_path", "get_segmentation", "image_tiling", "mask_boundaries",
    "read_annotation", "save_crops",
]  # fmt: skip

RAW = "Hephaestus_Raw/"


def read_annotation(annotation_path: str | Path) -> dict[str, Any]:
    """The JSON object of an annotation file, as it stands there.

    Args:
        annotation_path: The file.
    """
    content: dict[str, Any] = json.loads(Path(annotation_path).read_bytes())
    return content


def extract_label(annotation_path: str | Path) -> int:
    """What an interferogram shows: 0 no deformation, 1 volcanic deformation, 2 an earthquake only.

    Args:
        annotation_path: Annotation file.

    Raises:
        RejectedError: It is no annotation, or could be meant in several ways.
    """
    label = _checked(annotation_path).label
    if Label.NON_DEFORMATION in label:
        return 0
    return 1 if Label.DEFORMATION in label else 2


def get_insar_path(annotation_path: str | Path, root_path: str | Path = RAW) -> str:
    """Where the interferogram of an annotation is: `{dates}.geo.diff.png` or `InSAR.png`, whichever is on disk.

    Args:
        annotation_path: Annotation file.
        root_path: Root of the raw archive.
    """
    annotation = _checked(annotation_path)
    found = find_images(Path(root_path), annotation.frame, annotation.dates).interferogram
    folder = interferogram_folder(Path(root_path), annotation.frame) / annotation.dates
    return str(found or Layout.LICSAR.paths(folder)[0])


def get_segmentation(
    annotation_path: str | Path = "1.json",
    raw_insar_path: str | Path = RAW,
    verbose: bool = True,  # noqa: FBT001, FBT002 - the predecessor's signature
) -> list[NDArray[np.uint8]]:
    """The mask of each deformation of an interferogram.

    Args:
        annotation_path: Annotation file.
        raw_insar_path: Root of the raw archive.
        verbose: Whether to plot the interferogram and the masks.

    Returns:
        Masks of the interferogram's size, 0 and the deformation's class; none where nothing is deformed.

    Raises:
        RejectedError: The file is no annotation, or could be meant in several ways.
        InterferogramError: The interferogram cannot be read.
    """
    annotation = _checked(annotation_path)
    if not annotation.deformations and not verbose:
        return []
    picture = read_annotated(Path(raw_insar_path), annotation)
    masks = [_mask(annotation, index, picture) for index in range(len(annotation.deformations))]
    if verbose:
        _show(picture.rgb(), *masks)
    return masks


def mask_boundaries(
    annotation_path: str | Path,
    raw_insar_path: str | Path = RAW,
    verbose: bool = True,  # noqa: FBT001, FBT002
    index: int = 0,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and last row and column of a deformation.

    Args:
        annotation_path: Annotation file.
        raw_insar_path: Root of the raw archive.
        verbose: Whether to plot the mask with its bounds.
        index: Number of the deformation.

    Returns:
        (first row, first column), (last row, last column).

    Raises:
        IndexError: There are not so many deformations.
        ValueError: The deformation is outside of the interferogram.
        RejectedError, InterferogramError: As of `get_segmentation`.
    """
    annotation = _checked(annotation_path)
    picture = read_annotated(Path(raw_insar_path), annotation)
    place = footprint(_deformation(annotation, index).polygon, picture.width, picture.height)
    if not place.area:
        raise ValueError(f"{annotation_path}: polygon {index} lies outside of its interferogram")
    first, last = (place.y, place.x), (place.y + place.height - 1, place.x + place.width - 1)
    if verbose:
        import cv2

        marked = cv2.rectangle(_mask(annotation, index, picture), first[::-1], last[::-1], 255, 2)
        _show(np.asarray(marked))
    return first, last


def crop_around_object(
    annotation_path: str | Path,
    verbose: bool = True,  # noqa: FBT001, FBT002
    output_size: int = CROP_SIZE,
    raw_insar_path: str | Path = RAW,
    index: int = 0,
    *,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A random crop that contains a deformation.

    Where the deformation is larger than the crop, the crop shows a part of it, and where the interferogram is smaller,
    the rest is 0; a warning tells.

    Args:
        annotation_path: Annotation file.
        verbose: Whether to plot crop and mask.
        output_size: Columns and rows of the crop.
        raw_insar_path: Root of the raw archive.
        index: Number of the deformation.
        seed: Another seed places the crop elsewhere.

    Returns:
        The crop, BGR, and its mask with all deformations that are in it.

    Raises:
        IndexError: There are not so many deformations.
        ValueError: The deformation is outside of the interferogram.
        RejectedError, InterferogramError: As of `get_segmentation`.
    """
    annotation = _checked(annotation_path)
    _deformation(annotation, index)
    picture = read_annotated(Path(raw_insar_path), annotation)
    crop = list(crops_of(annotation, picture, seed=seed, size=output_size))[index]
    if isinstance(crop, CropReject):
        raise ValueError(f"{annotation_path}: {crop.reason}")  # noqa: TRY004 - it has the right type
    if warning := crop.warning:
        warnings.warn(f"{annotation_path}: polygon {index}: {warning}", stacklevel=2)
    if verbose:
        _show(crop.image, crop.mask)
    return np.ascontiguousarray(crop.image[..., ::-1]), crop.mask


def image_tiling(image: NDArray[np.uint8] | None, tile_size: int = CROP_SIZE) -> list[NDArray[np.uint8]]:
    """The tiles of an image that do not overlap, row by row; what is left over at the right and below is lost.

    Args:
        image: H x W or H x W x channels; none has no tiles.
        tile_size: Columns and rows of a tile.
    """
    if image is None:
        return []
    return [cut(image, window) for window in tile_windows(image.shape[1], image.shape[0], tile_size)]


def save_crops(
    annotation_folder: str | Path = "annotations/",
    save_path: str | Path = "Hephaestus/labeled/",
    mask_path: str | Path = "Hephaestus/masks/",
    raw_insar_path: str | Path = RAW,
    out_size: int = CROP_SIZE,
    verbose: bool = False,  # noqa: FBT001, FBT002
    *,
    seed: int = 0,
) -> list[dict[str, str]]:
    """Write crops, masks and labels of all annotations, as the published classification set has them.

    A deformation gives `{save_path}/{class}/{name}.png` and `{mask_path}/{class}/{name}.png`, another interferogram its
    tiles as `{save_path}/0/{name}.png`, and each crop `cls_labels/{name}.json` beside `mask_path`. The name is the
    annotation's ID, followed by the number of the deformation where there are several, or by that of the tile. A label
    file has `Deformation` (classes in the crop, or 0), `Intensity` (0 Low, 1 Medium, 2 High, 3 of an earthquake),
    `Phase` (0 Rest, 1 Unrest, 2 Rebound, null where nobody said), `frameID`, `primary_date` and `secondary_date`.

    Args:
        annotation_folder: Folder, zip or tar of annotation files.
        save_path: Folder of the crops.
        mask_path: Folder of the masks.
        raw_insar_path: Root of the raw archive.
        out_size: Columns and rows of a crop.
        verbose: Whether to print each crop.
        seed: Another seed places crops elsewhere.

    Returns:
        What gave no crop, and why (`annotation`, `reason`); `rejects.csv` beside `mask_path` lists the same.

    Raises:
        SourceError: There are no annotations.
    """
    crops, masks = Path(save_path), Path(mask_path)
    labels = masks.parent / "cls_labels"
    read = read_annotations(Path(annotation_folder))
    rejects = [{"annotation": each.source, "reason": each.reason} for each in read.rejects]
    sources = dict(zip((each.unique_id for each in read.annotations), read.sources, strict=True))
    kinds = [str(int(each)) for each in Activity]
    for folder in (crops / "0", *(crops / kind for kind in kinds), *(masks / kind for kind in kinds), labels):
        folder.mkdir(parents=True, exist_ok=True)
    with stopping_pool() as pool:
        made = make_crops(Path(raw_insar_path), read.annotations, seed=seed, size=out_size, coherence=False, pool=pool)
        for crop in made:
            if isinstance(crop, CropReject):
                which = "" if crop.index is None else f"polygon {crop.index}: "
                rejects.append({"annotation": sources[crop.unique_id], "reason": which + crop.reason})
                continue
            _save(crop, crops, masks, labels)
            if verbose:
                print(crop.name, crop.published_label())  # noqa: T201 - as the predecessor does
    with replacing(masks.parent / "rejects.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["annotation", "reason"])
        writer.writeheader()
        writer.writerows(rejects)
    return rejects


def _save(crop: Crop, crops: Path, masks: Path, labels: Path) -> None:
    folder = str(int(crop.made_for or 0))
    _write(crops / folder / f"{crop.name}.png", encode_png(crop.picture))
    if crop.made_for is not None:
        _write(masks / folder / f"{crop.name}.png", encode_png(Picture(crop.mask)))
    _write(labels / f"{crop.name}.json", json.dumps(crop.published_label()).encode())


def _write(path: Path, content: bytes) -> None:
    # Without waiting for the disk each time: that would take longer than all else.
    part = temporary(path, path.suffix)
    part.write_bytes(content)
    part.replace(path)


def _checked(annotation_path: str | Path) -> Annotation:
    try:
        return check_record(Path(annotation_path).read_bytes())[0]
    except RejectedError as error:
        raise RejectedError(f"{annotation_path}: {error}") from error


def _deformation(annotation: Annotation, index: int) -> Deformation:
    count = len(annotation.deformations)
    if not 0 <= index < count:
        raise IndexError(f"annotation {annotation.unique_id} has {count} deformations, none of number {index}")
    return annotation.deformations[index]


def _mask(annotation: Annotation, index: int, picture: Picture) -> NDArray[np.uint8]:
    width, height = picture.width, picture.height
    deformation = annotation.deformations[index]
    covered = footprint(deformation.polygon, width, height).within(0, 0, width, height)
    return np.where(covered, np.uint8(deformation.activity), np.uint8(0))


def _show(*images: NDArray[np.uint8]) -> None:
    """Plot images, one after the other."""
    from matplotlib import pyplot as plt

    for image in images:
        plt.figure()
        if image.ndim == 3 or image.max() > max(Activity):
            plt.imshow(image)
        else:
            plt.imshow(image, cmap="tab10", vmin=0, vmax=9)
        plt.show()
