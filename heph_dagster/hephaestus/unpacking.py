"""Unpacking an archive of raw interferograms: nothing leaves the folder, and what is there already is kept."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from heph_dagster.errors import HephError
from heph_dagster.files import replacing
from heph_dagster.hephaestus.downloads import Progress
from heph_dagster.hephaestus.frames import is_frame_id
from heph_dagster.hephaestus.sources import DAMAGED, is_tar, leaves_folder, open_zip, tar_members

LARGEST = 1 << 30
"""Bytes of the largest file that is unpacked; interferograms have about a thousandth of it."""
_BLOCK = 1 << 20


class UnpackError(HephError):
    """An archive that cannot be unpacked."""


@dataclass
class Unpacked:
    """What became of the files of an archive.

    Attributes:
        written: Files that were written.
        kept: Files that were there already, with the same content.
        left_out: Names of files that belong to no frame, or are hidden.
    """

    written: int = 0
    kept: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Member:
    """A file of an archive; `plain` unless it is a link or a device."""

    name: str
    size: int
    crc: int
    plain: bool
    read: Callable[[], bytes]


def unpack_raw(archive: Path, raw: Path, on_bytes: Progress = lambda _done, _total: None) -> Unpacked:
    """Unpack an archive of raw interferograms.

    It may have its frames in whatever folder. A call that was stopped is gone on with by the next.

    Args:
        archive: A zip, or a tar of any compression.
        raw: Root of the raw archive on disk, which gets `{frame}/...`.
        on_bytes: Is told the size of the files that are done, and of all, None where it is a tar.

    Raises:
        SourceError: It is a zip whose list of members is damaged.
        UnpackError: It is damaged elsewhere, has no frames, or a member that would leave the folder or is a link. Of
            such a zip nothing is unpacked, of other archives what came before.
        OSError: The disk is full or fails.
    """
    raw.mkdir(parents=True, exist_ok=True)
    if zipfile.is_zipfile(archive):
        with open_zip(archive) as zipped:
            members = list(_zip_members(archive, zipped))
            placed = [(place, each) for each in members if (place := _place(archive, each)) is not None]
            _check_room(archive, raw, placed)
            done = _unpack(archive, raw, members, on_bytes, sum(each.size for _, each in placed))
    elif archive.exists() and is_tar(archive):
        with tarfile.open(archive) as tarred:
            done = _unpack(archive, raw, _tar_members(archive, tarred), on_bytes, None)
    else:
        raise UnpackError(f"{archive} is no zip or tar, or is cut off: get it again")
    if not done.written + done.kept:
        raise UnpackError(f"{archive} has no folder named by a frame, as 124D_05291_081406: is it another archive?")
    return done


def _unpack(archive: Path, raw: Path, members: Iterable[_Member], on_bytes: Progress, total: int | None) -> Unpacked:
    done, size, names = Unpacked(), 0, dict[PurePosixPath, str]()
    for member in members:
        place = _place(archive, member)
        if place is None:
            done.left_out.append(member.name)
            continue
        if place in names:
            raise UnpackError(f"{archive}: {names[place]} and {member.name} would become the same file")
        names[place] = member.name
        path = raw / place
        if _size(path) == member.size and _crc(path) == member.crc:
            done.kept += 1
        else:
            content = member.read()
            with replacing(path) as part:
                part.write_bytes(content)
            done.written += 1
        size += member.size
        on_bytes(size, total)
    return done


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    def read(entry: zipfile.ZipInfo) -> bytes:
        try:
            return opened.read(entry)
        except DAMAGED as error:
            raise UnpackError(f"{archive} is damaged at {entry.filename} ({error}): get it again") from error

    for entry in opened.infolist():
        if not entry.is_dir():
            plain = not stat.S_ISLNK(entry.external_attr >> 16)
            yield _Member(entry.filename, entry.file_size, entry.CRC, plain, partial(read, entry))


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    name = "its beginning"
    try:
        for entry in tar_members(opened):
            name = entry.name
            file = opened.extractfile(entry) if entry.isreg() and entry.size <= LARGEST else None
            content = b"" if file is None else file.read()
            if not entry.isdir():
                yield _Member(name, entry.size, zlib.crc32(content), entry.isreg(), partial(bytes, content))
    except DAMAGED as error:
        raise UnpackError(f"{archive} is damaged after {name} ({error}): get it again") from error


def _place(archive: Path, member: _Member) -> PurePosixPath | None:
    """Where a member belongs in a raw archive, None where it does not."""
    if leaves_folder(member.name) or not member.plain:
        raise UnpackError(
            f"{archive} is not unpacked: its member {member.name!r} would leave the folder, or is no plain file. "
            "It is not the archive that it should be"
        )
    parts = PurePosixPath(member.name).parts
    first = next((index for index, part in enumerate(parts[:-1]) if is_frame_id(part)), None)
    if first is None or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    if member.size > LARGEST:
        raise UnpackError(
            f"{archive}: {member.name} has {member.size} bytes, more than the {LARGEST} that one can have"
        )
    return PurePosixPath(*parts[first:])


def _check_room(archive: Path, raw: Path, placed: Iterable[tuple[PurePosixPath, _Member]]) -> None:
    needed = sum(member.size for place, member in placed if _size(raw / place) != member.size)
    free = shutil.disk_usage(raw).free
    if needed > free:
        raise UnpackError(
            f"the files of {archive} need {needed / 1e6:.0f} MB in {raw}, and {free / 1e6:.0f} MB are free: make room"
        )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value
