"""The JSON files of a folder, a zip or a tar, read where they are: nothing is unpacked."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from heph_dagster.errors import HephError

LARGEST = 16 << 20
"""Bytes of the largest file that is read; annotations have less than a thousandth of it."""

DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError,
    ValueError,
)  # fmt: skip
"""What zipfile and tarfile raise of archives that are damaged; RuntimeError of encryption and unknown compression,
ValueError of places before the file."""


class SourceError(HephError):
    """A folder or an archive of annotations that cannot be read as a whole."""


@dataclass(frozen=True)
class Member:
    """A file of a source.

    Attributes:
        name: Its path in the source, with `/`.
        content: What is in it; None where it was not read.
        refused: Why it was not read.
    """

    name: str
    content: bytes | None = None
    refused: str | None = None


def json_members(source: Path, ignored: list[str] | None = None) -> Iterator[Member]:
    """The JSON files of a folder (with its subfolders), a zip or a tar of any compression.

    A member whose path leaves the folder that the archive would be unpacked in, a link, a file that is damaged,
    encrypted or too large comes with a reason instead of a content.

    Args:
        source: The folder or archive.
        ignored: Is given the names of files that are left out, since they are hidden or do not end in `.json`.

    Yields:
        Each file: of a folder by name, of an archive as they stand there.

    Raises:
        SourceError: There is nothing, it is no archive, or is damaged as a whole.
    """
    left_out = [] if ignored is None else ignored
    if source.is_dir():
        members = _of_folder(source)
    elif not source.exists():
        raise SourceError(f"{source} is not there: name a folder, a zip or a tar of annotation files")
    elif zipfile.is_zipfile(source):
        members = _of_zip(source)
    elif is_tar(source):
        members = _of_tar(source)
    else:
        raise SourceError(f"{source} is no folder, zip or tar, or is cut off: download it again")
    for member in members:
        parts = PurePosixPath(member.name).parts
        hidden = any(part.startswith(".") for part in parts) or "__MACOSX" in parts
        if (hidden and member.refused is None) or not member.name.lower().endswith(".json"):
            left_out.append(member.name)
        else:
            yield member


def leaves_folder(name: str) -> bool:
    """Whether a member's path would be outside of the folder that its archive is unpacked in, on any system."""
    parts = (PurePosixPath(name), PureWindowsPath(name))
    return any(each.is_absolute() or each.drive or each.root or ".." in each.parts for each in parts)


def is_tar(path: Path) -> bool:
    """Whether a file is a tar of any compression; one whose beginning is damaged is none."""
    try:
        return tarfile.is_tarfile(path)
    except DAMAGED:
        return False


def tar_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar, of which none is missing: tarfile takes a damaged header for the end.

    Raises:
        One of DAMAGED: There is no end marker after the last member, or a checksum of the compression is wrong.
    """
    yield from archive
    file = archive.fileobj
    if file is None:
        raise ValueError("the tar is closed")
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end marker follows, so members may be missing")
    while file.read(1 << 20):  # checksums come at the end
        pass


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip, open while the block lasts.

    Raises:
        SourceError: Its list of members is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise SourceError(f"{path} is damaged ({error}): download it again") from error
    with archive:
        yield archive


def unreadable(error: OSError) -> None:
    """What `os.walk` is to do with a folder that it cannot read, which it would pass over.

    Raises:
        SourceError: Always.
    """
    raise SourceError(f"{error.filename} cannot be read: {error.strerror}; make it readable") from error


def readable(name: str) -> str:
    """A name as a table can hold it: bytes that are no UTF-8 are written as numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _of_folder(folder: Path) -> Iterator[Member]:
    root = os.path.realpath(folder)
    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        # Folders that are links are not gone into: they may be circles.
        links = [each for each in folders if os.path.islink(os.path.join(place, each))]  # noqa: PTH114, PTH118
        for file in sorted(names + links):
            path = os.path.join(place, file)  # noqa: PTH118 - a Path for each file takes as long as reading it
            name = readable(os.path.relpath(path, folder) if place != str(folder) else file)
            if file in links:
                yield Member(name, refused="it is a link to a folder")
            elif os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):  # noqa: PTH114
                yield Member(name, refused="it is a link that leaves the folder")
            elif not file.lower().endswith(".json"):
                yield Member(name)
            else:
                yield _of_file(name, path)


def _of_file(name: str, path: str) -> Member:
    try:
        # Opening a pipe would wait for one who writes into it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Member(name, refused="it is no plain file")
            return _sized(name, os.fstat(file.fileno()).st_size) or Member(name, file.read())
    except OSError as error:
        return Member(name, refused=f"it cannot be read: {error.strerror or error}")


def _of_zip(path: Path) -> Iterator[Member]:
    with open_zip(path) as archive:
        for entry in archive.infolist():
            name = readable(entry.filename)
            if entry.is_dir():
                continue
            if leaves_folder(name) or stat.S_ISLNK(entry.external_attr >> 16):
                yield _outside(name)
                continue
            if not name.lower().endswith(".json"):
                yield Member(name)
                continue
            try:
                yield _sized(name, entry.file_size) or Member(name, archive.read(entry))
            except DAMAGED as error:
                yield Member(name, refused=f"it cannot be read: {error}")


def _of_tar(path: Path) -> Iterator[Member]:
    read = 0
    try:
        with tarfile.open(path) as archive:
            for entry in tar_members(archive):
                read += 1
                if entry.isdir():
                    continue
                name = readable(entry.name)
                file = None if leaves_folder(entry.name) or not entry.isreg() else archive.extractfile(entry)
                if file is None:
                    yield _outside(name)
                elif not name.lower().endswith(".json"):
                    yield Member(name)
                else:
                    yield _sized(name, entry.size) or Member(name, file.read())
    except DAMAGED as error:
        raise SourceError(f"{path} is damaged after {read} members ({error}): download it again") from error


def _sized(name: str, size: int) -> Member | None:
    if size <= LARGEST:
        return None
    return Member(name, refused=f"it has {size} bytes, and no annotation has more than {LARGEST}")


def _outside(name: str) -> Member:
    return Member(name, refused="its path leaves the folder, or it is no plain file")
