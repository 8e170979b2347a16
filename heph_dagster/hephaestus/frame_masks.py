"""The masks of a frame: an image of classes for each interferogram with deformations, and a table of these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from heph_dagster.files import locked, replacing
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.annotations import load_annotations
from heph_dagster.hephaestus.cropping import read_annotated
from heph_dagster.hephaestus.frames import Frame, frames_on_disk
from heph_dagster.hephaestus.interferograms import InterferogramError
from heph_dagster.hephaestus.masks import class_mask, footprint
from heph_dagster.hephaestus.rejects import CropReject, read_rejects, write_rejects
from heph_dagster.png import Picture, encode_png
from heph_dagster.pools import in_order, stopping_pool
from heph_dagster.tables import read_table, write_table

_TABLE = "masks.parquet"


@dataclass(frozen=True)
class MaskRow:
    """A deformation in the mask of its interferogram.

    Attributes:
        unique_id: ID of the annotation.
        index: Number of the deformation.
        activity: Its class.
        file: Name of the mask beside the table.
        width: Columns of the interferogram.
        height: Rows.
        x: First column of the deformation; None where it is outside of the interferogram.
        y: First row.
        columns: Columns of the deformation.
        rows: Rows of it.
        area: Its pixels.
        shown: Those that no smaller deformation is painted over.
        inside: Whether the whole polygon is inside of its interferogram.
    """

    unique_id: int
    index: int
    activity: int
    file: str
    width: int
    height: int
    x: int | None
    y: int | None
    columns: int
    rows: int
    area: int
    shown: int
    inside: bool


@dataclass(frozen=True)
class FrameMasks:
    """The masks of a frame.

    Attributes:
        rows: The deformations that masks were made of, by annotation and number.
        rejects: Annotations with deformations that have no mask, with the reason.
    """

    rows: tuple[MaskRow, ...]
    rejects: tuple[CropReject, ...]


def make_frame_masks(folder: Path, raw: Path, frame: str) -> FrameMasks:
    """Write the masks of a frame, in place of those that are there.

    Args:
        folder: Folder of InSAR data, with the tables of annotations; the masks go to `masks/{frame}/{dates}.png`, their
            table beside them to `masks.parquet`, what has no mask to `rejects.parquet`.
        raw: Root of the raw archive.
        frame: ID of the frame.

    Returns:
        What was written.

    Raises:
        ValueError: It is no frame ID.
        AnnotationsError: There are no tables of annotations.
    """
    out = masks_folder(folder, frame)
    rows: list[MaskRow] = []
    rejects: list[CropReject] = []
    with locked(out / _TABLE), stopping_pool() as pool:
        annotations = [each for each in load_annotations(folder, [frame]) if each.deformations]
        for result in in_order(pool, partial(_write_mask, out, raw), annotations):
            if isinstance(result, CropReject):
                rejects.append(result)
            else:
                rows += result
        _write_tables(out, FrameMasks(tuple(rows), tuple(rejects)))
        kept = {row.file for row in rows}
        for path in out.glob("*.png"):
            if path.name not in kept:
                path.unlink()
    return FrameMasks(tuple(rows), tuple(rejects))


def masks_folder(folder: Path, frame: str) -> Path:
    """Where the masks of a frame are in the folder of InSAR data.

    Raises:
        ValueError: It is no frame ID.
    """
    return folder / "masks" / Frame(frame).id


def read_frame_masks(folder: Path, frame: str) -> FrameMasks:
    """The tables of the masks of a frame.

    Args:
        folder: Folder of InSAR data.
        frame: ID of the frame.

    Raises:
        FileNotFoundError: They were not made.
    """
    out = masks_folder(folder, frame)
    if not (out / _TABLE).exists():
        raise FileNotFoundError(f"{out / 'masks.parquet'} is not there: make the masks of {frame} first")
    return FrameMasks(
        tuple(MaskRow(**row) for row in read_table(out / _TABLE).to_pylist()),
        read_rejects(out / "rejects.parquet"),
    )


def frames_with_masks(folder: Path) -> list[str]:
    """The frames whose masks have been made, in order."""
    return [frame for frame in frames_on_disk(folder / "masks") if (folder / "masks" / frame / _TABLE).exists()]


def _write_mask(out: Path, raw: Path, annotation: Annotation) -> list[MaskRow] | CropReject:
    try:
        picture = read_annotated(raw, annotation)
    except InterferogramError as error:
        return CropReject(annotation.unique_id, None, str(error))
    width, height = picture.width, picture.height
    places = [footprint(each.polygon, width, height) for each in annotation.deformations]
    mask = class_mask(annotation.deformations, places, 0, 0, width, height)
    # Two annotations of an interferogram have a mask each.
    file = f"{annotation.dates}.{annotation.unique_id}.png"
    with replacing(out / file) as part:
        part.write_bytes(encode_png(Picture(mask)))
    return [
        MaskRow(
            unique_id=annotation.unique_id,
            index=index,
            activity=int(each.activity),
            file=file,
            width=width,
            height=height,
            x=place.x if place.area else None,
            y=place.y if place.area else None,
            columns=place.width,
            rows=place.height,
            area=place.area,
            shown=int((place.within(0, 0, width, height) & (mask == each.activity)).sum()),
            inside=not place.cut,
        )
        for index, (each, place) in enumerate(zip(annotation.deformations, places, strict=True))
    ]


def _write_tables(out: Path, masks: FrameMasks) -> None:
    import pyarrow as pa

    numbers = {name: pa.int32() for name in MaskRow.__dataclass_fields__}
    rows = pa.schema(numbers | {"activity": pa.int8(), "file": pa.string(), "inside": pa.bool_()})
    write_rejects(out / "rejects.parquet", masks.rejects)
    write_table(out / _TABLE, pa.Table.from_pylist([asdict(row) for row in masks.rows], rows))
