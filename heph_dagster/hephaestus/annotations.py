"""Annotations: read from a folder or archive of JSON files, and kept as tables.

Four Parquet files say what became of the files that were read:

- `annotations.parquet`: one row per annotation, with the fields of `heph_dagster.hephaestus.annotation.Annotation`,
  `baseline_days`, `is_crowd`, the number of `deformations`, and `source`, the file it came from;
- `deformations.parquet`: one row per deformation: `unique_id`, `index` in its annotation, `activity` and its `class`,
  `intensity`, and the `polygon` as WKB in px, x to the right and y down from the top left corner;
- `annotation_repairs.parquet`: one row per change to a record, with the JSON of the field before and after;
- `annotation_rejects.parquet`: one row per file that gave no annotation.

Each row of the last two has its reason.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import shapely

from heph_dagster.errors import HephError
from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation, Intensity, Label, Phase
from heph_dagster.hephaestus.records import RejectedError, check_record
from heph_dagster.hephaestus.repairs import Repair
from heph_dagster.hephaestus.sources import SourceError, json_members
from heph_dagster.tables import read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "1"
_DIGEST = b"heph_digest"
_TABLES = ("deformations", "annotation_repairs", "annotation_rejects", "annotations")
_FLAGS = (
    "corrupted", "processing_error", "glacier_fringes", "orbital_fringes", "atmospheric_fringes", "low_coherence",
    "no_info", "image_artifacts",
)  # fmt: skip


class AnnotationsError(HephError):
    """Tables of annotations that are not there or do not belong together."""


@dataclass(frozen=True)
class Reject:
    """A file that gave no annotation.

    Attributes:
        source: The file.
        reason: Why.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class Import:
    """What was read from a folder or archive.

    Attributes:
        annotations: The annotations, by ID.
        sources: The file of each annotation.
        repairs: What was changed in records, by file.
        rejects: Files that gave no annotation, by name. Annotations and rejects together are all files that were read.
        ignored: Names of files that are no JSON or hidden.
        digest: SHA-256 of the names and contents of all files that were read.
    """

    annotations: tuple[Annotation, ...]
    sources: tuple[str, ...]
    repairs: tuple[tuple[str, Repair], ...]
    rejects: tuple[Reject, ...]
    ignored: tuple[str, ...]
    digest: str

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "annotations": len(self.annotations),
            "deformations": sum(len(each.deformations) for each in self.annotations),
            "repairs": len(self.repairs),
            "rejects": len(self.rejects),
        }


def read_annotations(source: Path) -> Import:
    """Read all annotation files of a folder, a zip or a tar.

    Args:
        source: The folder or archive.

    Returns:
        What was read; the same for the same files, in whatever order they stand.

    Raises:
        SourceError: There is nothing, it is no archive, cut off or damaged, or no file of it ends in `.json`.
    """
    found: dict[int, list[tuple[str, bytes, Annotation, list[Repair]]]] = defaultdict(list)
    rejects: list[Reject] = []
    ignored: list[str] = []
    digests = []
    for member in json_members(source, ignored):
        content = hashlib.sha256(member.content or b"").digest()
        digests.append((member.name, content))
        if member.content is None:
            rejects.append(Reject(member.name, str(member.refused)))
            continue
        try:
            annotation, repairs = check_record(member.content)
        except RejectedError as error:
            rejects.append(Reject(member.name, str(error)))
        else:
            found[annotation.unique_id].append((member.name, content, annotation, repairs))
    if not digests:
        raise SourceError(f"{source} has no files that end in .json; it has {len(ignored)} others")
    kept = []
    for unique_id in sorted(found):
        first, *others = sorted(
            found[unique_id], key=lambda each: (PurePosixPath(each[0]).stem != f"{unique_id}", each[0])
        )
        if all(other[1] == first[1] or other[2].record() == first[2].record() for other in others):
            kept.append(first)
            rejects += [Reject(other[0], f"it is a copy of {first[0]}") for other in others]
        else:
            names = ", ".join(each[0] for each in (first, *others))
            reason = f"uniqueID {unique_id} stands in {names}, which differ: keep the right one"
            rejects += [Reject(each[0], reason) for each in (first, *others)]
    digest = hashlib.sha256(SCHEMA_VERSION.encode())
    for name, content in sorted(digests):
        digest.update(name.encode() + b"\0" + content)
    return Import(
        annotations=tuple(each[2] for each in kept),
        sources=tuple(each[0] for each in kept),
        repairs=tuple((name, repair) for name, _, _, repairs in kept for repair in repairs),
        rejects=tuple(sorted(rejects, key=lambda each: each.source)),
        ignored=tuple(sorted(ignored)),
        digest=digest.hexdigest(),
    )


def write_annotations(folder: Path, read: Import) -> None:
    """Write the four tables; each is replaced as a whole, and they carry the digest of what was read.

    Args:
        folder: Where; made when it does not exist.
        read: What was read.
    """
    tables = zip(_TABLES, (_deformations(read), _repairs(read), _rejects(read), _annotations(read)), strict=True)
    for name, table in tables:
        write_table(folder / f"{name}.parquet", table.replace_schema_metadata({_DIGEST: read.digest.encode()}))


def load_annotations(folder: Path, frames: Iterable[str] | None = None) -> list[Annotation]:
    """The annotations of tables on disk.

    Args:
        folder: Where `write_annotations` wrote.
        frames: Only these frames; all by default.

    Returns:
        The annotations, by ID.

    Raises:
        AnnotationsError: The tables are not there, or are of different imports.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, patterns = (load_table(folder, name) for name in ("annotations", "deformations"))
    if rows.schema.metadata[_DIGEST] != patterns.schema.metadata[_DIGEST]:
        raise AnnotationsError(f"the tables of annotations in {folder} are of different imports: import again")
    if frames is not None:
        wanted = pa.array(sorted(set(frames)), pa.string())
        rows, patterns = (each.filter(pc.is_in(each["frame"], wanted)) for each in (rows, patterns))
    deformations: dict[int, list[Deformation]] = defaultdict(list)
    polygons = [shapely.get_coordinates(each)[:-1] for each in shapely.from_wkb(patterns["polygon"].to_pylist())]
    columns = [patterns[name].to_pylist() for name in ("unique_id", "class", "intensity")]
    for unique_id, code, intensity, polygon in zip(*columns, polygons, strict=True):
        level = None if intensity is None else Intensity[intensity.upper()]
        deformations[unique_id].append(Deformation(Activity(code), level, polygon))
    return [
        Annotation(
            **{name: row[name] for name in ("unique_id", "frame", "primary", "secondary", *_FLAGS)},
            label=tuple(map(Label, row["label"])),
            deformations=tuple(deformations[row["unique_id"]]),
            phase=None if row["phase"] is None else Phase[row["phase"].upper()],
            confidence=row["confidence"],
            caption=row["caption"],
        )
        for row in rows.to_pylist()
    ]


def load_table(folder: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of annotations.

    Args:
        folder: Where `write_annotations` wrote.
        name: `annotations`, `deformations`, `annotation_repairs` or `annotation_rejects`.
        columns: Names of the columns to read; all by default.

    Raises:
        AnnotationsError: It is not there.
    """
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise AnnotationsError(f"{path} is not there: import annotations first (heph insar import)")
    return read_table(path, columns)


def _annotations(read: Import) -> pa.Table:
    import pyarrow as pa

    each = read.annotations
    columns: dict[str, tuple[Sequence[object], pa.DataType]] = {
        "unique_id": ([a.unique_id for a in each], pa.int32()),
        "frame": ([a.frame for a in each], pa.string()),
        "primary": ([a.primary for a in each], pa.date32()),
        "secondary": ([a.secondary for a in each], pa.date32()),
        "baseline_days": ([a.baseline_days for a in each], pa.int32()),
        **{flag: ([getattr(a, flag) for a in each], pa.int8()) for flag in _FLAGS},
        "label": ([list(map(str, a.label)) for a in each], pa.list_(pa.string())),
        "phase": ([None if a.phase is None else a.phase.word for a in each], pa.string()),
        "confidence": ([a.confidence for a in each], pa.float64()),
        "is_crowd": ([a.is_crowd for a in each], pa.bool_()),
        "deformations": ([len(a.deformations) for a in each], pa.int32()),
        "caption": ([a.caption for a in each], pa.string()),
        "source": (read.sources, pa.string()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def _deformations(read: Import) -> pa.Table:
    import pyarrow as pa

    rows = [(a, index, d) for a in read.annotations for index, d in enumerate(a.deformations)]
    polygons = np.array([shapely.Polygon(d.polygon) for _, _, d in rows], dtype=object)
    columns: dict[str, tuple[Sequence[object], pa.DataType]] = {
        "unique_id": ([a.unique_id for a, _, _ in rows], pa.int32()),
        "index": ([index for _, index, _ in rows], pa.int32()),
        "frame": ([a.frame for a, _, _ in rows], pa.string()),
        "activity": ([d.activity.word for _, _, d in rows], pa.string()),
        "class": ([int(d.activity) for _, _, d in rows], pa.int8()),
        "intensity": ([None if d.intensity is None else d.intensity.word for _, _, d in rows], pa.string()),
        "polygon": (list(shapely.to_wkb(polygons)) if rows else [], pa.binary()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def _repairs(read: Import) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, list[str | None]] = {
        "source": [source for source, _ in read.repairs],
        **{name: [getattr(each, name) for _, each in read.repairs] for name in ("field", "was", "now", "reason")},
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _rejects(read: Import) -> pa.Table:
    import pyarrow as pa

    columns = {name: [getattr(each, name) for each in read.rejects] for name in ("source", "reason")}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
