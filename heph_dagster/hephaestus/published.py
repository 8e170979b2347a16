"""The published classification set, read into shards: crops, masks and labels as the predecessor wrote them.

Its files are `cls_labels/{stem}.json`, `labeled/{class}/{stem}.png` and, for deformations, `masks/{class}/{stem}.png`,
be it in a folder of their own or not; the class is that of the deformation which the crop was made for, 0 for a tile.

Every file becomes part of a crop or is rejected with a reason. A crop is rejected with all its files: what is known of
it must fit together. In particular, the predecessor added the masks of overlapping deformations up, so that Mogi (1)
and Dyke (2) became Sill (3), and made labels of the sums. An annotation has one crop for each of its deformations, so
the classes of its crops tell what was annotated; a crop with any other class is rejected, as nobody can tell which
deformation such pixels belong to. A sum that happens to be a class of the same annotation is not found.

The set has no code for an intensity or phase that nobody told: the predecessor wrote Low and Rest for these.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heph_dagster.hephaestus.annotation import EARTHQUAKE_INTENSITY, Activity, Intensity, Phase
from heph_dagster.hephaestus.annotations import Reject
from heph_dagster.hephaestus.crops import CROP_SIZE
from heph_dagster.hephaestus.frames import FRAME_PATTERN, LONGEST_ID
from heph_dagster.hephaestus.members import MemberError, Members, open_members
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.sources import SourceError, readable
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.png import Picture, PngError, decode_picture
from heph_dagster.tables import write_table

REJECTS = "rejects.parquet"
_FILE = re.compile(
    r"(?:^|.*/)(?:(?P<kind>labeled|masks)/(?P<made_for>[0-6])/(?P<png>[^/]+)\.png|cls_labels/(?P<json>[^/]+)\.json)$"
)
_STEM = re.compile(r"([0-9]{1,9})(?:_([0-9]{1,6}))?")
_HIDDEN = re.compile(r"(?:^|.*/)(?:\.(?!\.?/)|__MACOSX/)")


@dataclass(frozen=True)
class ImportedCrops:
    """What became of the published set.

    Attributes:
        frames: Number of crops of each frame.
        rejects: Files that are part of no crop, by name.
        ignored: Files that have no place in the set.
    """

    frames: dict[str, int]
    rejects: tuple[Reject, ...]
    ignored: tuple[str, ...]

    @property
    def crops(self) -> int:
        """Number of crops."""
        return sum(self.frames.values())


class _Label(BaseModel):
    """A file of `cls_labels`."""

    model_config = ConfigDict(strict=True, frozen=True)

    deformation: Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(alias="Deformation", min_length=1)]
    intensity: Annotated[int, Field(alias="Intensity", ge=0, le=EARTHQUAKE_INTENSITY)]
    phase: Annotated[int | None, Field(alias="Phase", ge=0, le=2)]
    frame: Annotated[str, Field(alias="frameID", pattern=FRAME_PATTERN, max_length=LONGEST_ID)]
    primary: Annotated[str, Field(alias="primary_date", pattern=r"^[0-9]{8}$")]
    secondary: Annotated[str, Field(alias="secondary_date", pattern=r"^[0-9]{8}$")]


class _RejectedError(ValueError):
    """A crop that is not taken; the message says why."""


@dataclass
class _Files:
    """The files of a stem.

    Attributes:
        stem: The stem.
        labels: Names of its label files.
        images: Names of its crops, with the classes of their folders.
        masks: Likewise of its masks.
    """

    stem: str
    labels: list[str] = field(default_factory=list)
    images: list[tuple[str, int]] = field(default_factory=list)
    masks: list[tuple[str, int]] = field(default_factory=list)

    def all(self) -> list[str]:
        return self.labels + [name for name, _ in self.images + self.masks]


def import_crops(
    source: Path, folder: Path, *, size: int = CROP_SIZE, on_crop: Callable[[int, int], None] | None = None
) -> ImportedCrops:
    """Read the published set of a folder or zip into shards, `{folder}/{frame}/`, and `{folder}/rejects.parquet`.

    Frames that the set does not have stay as they are. The same files give the same bytes, from a folder or a zip.

    Args:
        source: The folder or zip.
        folder: Where to write; made when it does not exist.
        size: Columns and rows of the crops.
        on_crop: Is called after each stem with the number of those done and of all.

    Returns:
        What became of the files.

    Raises:
        SourceError: It is no folder or zip, or has no file of the set.
    """
    rejects: list[Reject] = []
    with open_members(source) as members:
        stems, ignored = _sort(members.names())
        if not stems:
            raise SourceError(f"{source} has no labeled/<class>/*.png and no cls_labels/*.json: name the unpacked set")
        annotated: dict[str, set[int]] = defaultdict(set)
        for files in stems:
            annotated[_unique_id(files.stem)] |= {made_for for _, made_for in files.images}
        reader = _Reader(members, size, annotated, rejects, on_crop, len(stems))
        frames = {
            frame: len(write_shards(folder / frame, reader.crops(found)))
            for frame, found in sorted(reader.by_frame(stems).items())
        }
    rejects.sort(key=lambda each: each.source)
    _write_rejects(folder, rejects)
    return ImportedCrops(frames, tuple(rejects), tuple(ignored))


@dataclass
class _Reader:
    """Makes crops of files, and rejects of the others."""

    members: Members
    size: int
    annotated: dict[str, set[int]]
    rejects: list[Reject]
    on_crop: Callable[[int, int], None] | None
    count: int
    done: int = 0

    def by_frame(self, stems: list[_Files]) -> dict[str, list[tuple[_Files, _Label]]]:
        found: dict[str, list[tuple[_Files, _Label]]] = defaultdict(list)
        for files in stems:
            try:
                label = self._label(files)
                found[label.frame].append((files, label))
            except _RejectedError as error:
                self._reject(files, error)
        return found

    def crops(self, found: list[tuple[_Files, _Label]]) -> Iterator[StoredCrop]:
        for files, label in found:
            try:
                crop = self._crop(files, label)
            except _RejectedError as error:
                self._reject(files, error)
            else:
                self._count()
                yield crop

    def _reject(self, files: _Files, error: _RejectedError) -> None:
        self.rejects += [Reject(readable(name), readable(str(error))) for name in files.all()]
        self._count()

    def _count(self) -> None:
        self.done += 1
        if self.on_crop is not None:
            self.on_crop(self.done, self.count)

    def _label(self, files: _Files) -> _Label:
        """The label of a stem whose files are complete."""
        match = _STEM.fullmatch(files.stem)
        if match is None:
            raise _RejectedError(f"{files.stem} is no name of a crop: <uniqueID> or <uniqueID>_<number>")
        for what, names in (
            ("labels", files.labels),
            ("crops", [name for name, _ in files.images]),
            ("masks", [name for name, _ in files.masks]),
        ):
            if len(names) > 1:
                raise _RejectedError(f"{files.stem} has several {what}: {', '.join(names)}")
            if not names and what != "masks":
                raise _RejectedError(f"{files.stem} has no {what[:-1]} among {', '.join(files.all())}")
        made_for = files.images[0][1]
        if any(folder != made_for for _, folder in files.masks):
            raise _RejectedError(f"crop and mask are of different classes: {', '.join(files.all()[1:])}")
        if made_for and not files.masks:
            raise _RejectedError(f"the mask masks/{made_for}/{files.stem}.png is missing")
        label = self._read_label(files.labels[0])
        if made_for not in label.deformation:
            raise _RejectedError(f"{files.labels[0]} does not have class {made_for} of the crop's folder")
        if 0 in label.deformation and len(label.deformation) > 1:
            raise _RejectedError(f"{files.labels[0]} has class 0, no deformation, beside others")
        if (made_for == Activity.EARTHQUAKE) != (label.intensity == EARTHQUAKE_INTENSITY):
            raise _RejectedError(f"{files.labels[0]} has intensity {label.intensity}; 3 is that of earthquakes only")
        self._check_classes(files, label.deformation, files.labels[0])
        return label

    def _read_label(self, name: str) -> _Label:
        content = self._read(name)
        try:
            label = _Label.model_validate_json(content)
            for day in (label.primary, label.secondary):
                _day(day)
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(map(str, wrong["loc"])) or "the file"
            raise _RejectedError(f"{name}: {place}: {wrong['msg']}") from error
        except ValueError as error:
            raise _RejectedError(f"{name}: {error}") from error
        return label

    def _check_classes(self, files: _Files, classes: list[int], name: str) -> None:
        annotated = self.annotated[_unique_id(files.stem)]
        if wrong := sorted(set(classes) - annotated - {0}):
            raise _RejectedError(
                f"{name} has class {', '.join(map(str, wrong))}, which annotation {_unique_id(files.stem)} does not "
                "have: a sum of overlapping deformations"
            )

    def _crop(self, files: _Files, label: _Label) -> StoredCrop:
        name, made_for = files.images[0]
        picture = self._picture(name)
        mask = np.zeros((self.size, self.size), np.uint8)
        if files.masks:
            mask = self._mask(files.masks[0][0])
            classes = [int(each) for each in np.unique(mask) if each]
            self._check_classes(files, classes, files.masks[0][0])
            if not set(classes) <= set(label.deformation) or bool(classes) != bool(made_for):
                raise _RejectedError(
                    f"{files.masks[0][0]} has classes {classes}, and {files.labels[0]} has {label.deformation}"
                )
        unique_id, _, number = files.stem.partition("_")
        return StoredCrop(
            name=files.stem,
            unique_id=int(unique_id),
            index=int(number or 0),
            frame=label.frame,
            primary=_day(label.primary).date(),
            secondary=_day(label.secondary).date(),
            x=None,
            y=None,
            picture=picture,
            mask=mask,
            made_for=Activity(made_for) if made_for else None,
            activities=tuple(Activity(each) for each in sorted(set(label.deformation) - {0})),
            intensity=Intensity(label.intensity) if made_for not in {0, Activity.EARTHQUAKE} else None,
            phase=None if label.phase is None else Phase(label.phase),
            fits=None,
        )

    def _mask(self, name: str) -> NDArray[np.uint8]:
        picture = self._picture(name)
        if picture.palette is not None or picture.pixels.ndim != 2:
            raise _RejectedError(f"{name} has colours, so nobody knows its classes")
        return picture.pixels

    def _picture(self, name: str) -> Picture:
        try:
            picture = decode_picture(self._read(name))
        except PngError as error:
            raise _RejectedError(f"{name}: {error}") from error
        if (picture.width, picture.height) != (self.size, self.size):
            raise _RejectedError(f"{name} has {picture.width} x {picture.height} px, not {self.size} x {self.size}")
        return picture

    def _read(self, name: str) -> bytes:
        try:
            return self.members.read(name)
        except MemberError as error:
            raise _RejectedError(f"{name}: {error}") from error


def _sort(names: list[str]) -> tuple[list[_Files], list[str]]:
    """The files of each stem, by ID and number, and those that have no place in the set."""
    stems: dict[str, _Files] = {}
    ignored = []
    for name in names:
        match = None if _HIDDEN.match(name) else _FILE.match(name)
        if match is None:
            ignored.append(readable(name))
            continue
        stem = match["png"] or match["json"]
        files = stems.setdefault(stem, _Files(stem))
        if match["kind"] is None:
            files.labels.append(name)
        else:
            (files.images if match["kind"] == "labeled" else files.masks).append((name, int(match["made_for"])))
    return sorted(stems.values(), key=lambda files: _order(files.stem)), ignored


def _order(stem: str) -> tuple[int, int, str]:
    match = _STEM.fullmatch(stem)
    return (int(match[1]), int(match[2] or 0), stem) if match else (0, 0, stem)


def _unique_id(stem: str) -> str:
    return stem.partition("_")[0]


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a day has no time zone


def _write_rejects(folder: Path, rejects: list[Reject]) -> None:
    import pyarrow as pa

    columns = {name: [getattr(each, name) for each in rejects] for name in ("source", "reason")}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    write_table(folder / REJECTS, table)
