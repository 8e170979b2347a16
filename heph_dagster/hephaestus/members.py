"""Files of a folder or a zip, read by name and in any order, without unpacking."""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from heph_dagster.hephaestus.sources import DAMAGED, LARGEST, SourceError, leaves_folder, open_zip, unreadable


class MemberError(ValueError):
    """A file of a folder or zip that is not read; the message says why."""


class Members(Protocol):
    """Files of a folder or zip."""

    def names(self) -> list[str]:
        """Their paths, with `/`, in order; one that stands in a zip twice is there once.

        Raises:
            SourceError: A subfolder cannot be read.
        """

    def read(self, name: str) -> bytes:
        """What is in a file.

        Raises:
            MemberError: Its path leaves the folder, it is no plain file, is too large, damaged or encrypted, or stands
                there twice.
        """


@contextmanager
def open_members(source: Path) -> Iterator[Members]:
    """The files of a folder, with its subfolders, or of a zip.

    Raises:
        SourceError: It is neither.
    """
    if source.is_dir():
        yield _Folder(source)
    elif zipfile.is_zipfile(source):
        with open_zip(source) as archive:
            yield _Zip(archive)
    else:
        raise SourceError(f"{source} is no folder and no zip, or is cut off: name one, or download it again")


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        found = (Path(place, name) for place, _, names in os.walk(self._folder, onerror=unreadable) for name in names)
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def read(self, name: str) -> bytes:
        path = self._folder / name
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._folder)):
            raise MemberError("it is a link that leaves the folder")
        try:
            if not path.is_file():
                raise MemberError("it is no plain file")
            _check_size(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise MemberError(f"it cannot be read: {error.strerror or error}") from error


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        self._entries = {entry.filename: entry for entry in entries}
        self._times = Counter(entry.filename for entry in entries)

    def names(self) -> list[str]:
        return sorted(self._entries)

    def read(self, name: str) -> bytes:
        entry = self._entries[name]
        if leaves_folder(name) or stat.S_ISLNK(entry.external_attr >> 16):
            raise MemberError("its path leaves the folder, or it is no plain file")
        if self._times[name] > 1:
            raise MemberError(f"it stands {self._times[name]} times in the archive")
        _check_size(entry.file_size)
        try:
            return self._archive.read(entry)
        except DAMAGED as error:
            raise MemberError(f"it cannot be read: {error}") from error


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise MemberError(f"it has {size} bytes, and no file has more than {LARGEST}")
