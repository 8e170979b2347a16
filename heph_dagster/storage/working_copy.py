"""Parts of a data root, to be read and written as files: in place, or copied from a bucket and back.

Everything that works on data works on files: GDAL, OpenCV, SQLite, renames that replace a file at once. Of a bucket, a
working copy has the parts that were asked for; what was changed in it goes back when the work is done, `.mrf` files
last, because they name the others. A working copy is of one piece of work alone, and gone after it. What was read is
kept in a cache beside it, by entity tag, so that it is fetched once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from heph_dagster.files import replacing
from heph_dagster.storage.bucket import Bucket, BucketError, ChangedError, ConflictError, is_bucket

logger = logging.getLogger(__name__)

OF_THIS_MACHINE = ("gibs_requests.json", "last_checks.json", "checkpoints", "hephaestus/checkpoints")
"""What a data root has of what a machine does, files and folders: no bucket has them."""
_FOLDERS = ("checkpoints",)
_MARKER = ".copy"
_AT_ONCE = 16  # requests; the store's latency is most of each
_TRIES = 5
_IN_PLACE = ".sqlite"  # what is not replaced as a whole when it changes
_UNSAFE = re.compile(r"[^\w-]")
_PIXELS = (".pjg", ".ppg", ".tif", ".jpg", ".png")


@dataclass(frozen=True)
class Part:
    """Files of a data root.

    Attributes:
        prefix: How their names begin, from the root on: a folder with its slash, or more.
        within: What their names have in them, one of these.
        pixels: Whether tiles and rasters belong to them.
        shallow: Whether those in deeper folders do not.
    """

    prefix: str
    within: tuple[str, ...] = ("",)
    pixels: bool = True
    shallow: bool = False

    def has(self, name: str) -> bool:
        """Whether a file belongs to it."""
        return (
            name.startswith(self.prefix)
            and any(each in name for each in self.within)
            and (self.pixels or not name.endswith(_PIXELS))
            and not (self.shallow and "/" in name.removeprefix(self.prefix))
        )


EVERYTHING = Part("")


@dataclass(frozen=True)
class WorkingCopy:
    """Parts of a data root as files.

    Attributes:
        folder: Where they are.
        address: The data root.
        keep: Has what was changed so far be changed in the data root.
    """

    folder: Path
    address: str
    keep: Callable[[], None]

    def words(self, error: object) -> str:
        """What an error tells, of the data root and not of a folder that is soon gone."""
        return str(error).replace(str(self.folder), self.address.rstrip("/"))


@contextmanager
def working_copy(address: str, work_dir: Path, parts: Iterable[Part]) -> Iterator[WorkingCopy]:
    """A folder with parts of a data root; what the block changes in it, or removes, is changed in the data root.

    A folder is worked on in place. Of a bucket, what was written goes back when the block ends, also where it raises:
    files are whole under their names or not there. Of a program that is killed, nothing does. Hidden files stay here.

    Args:
        address: The data root: a folder, or `s3://<bucket>/<prefix>`.
        work_dir: Folder of this machine for copies and their cache.
        parts: What the block may read, replace or remove.

    Raises:
        ConflictError: Somebody else has changed in the bucket what the block has changed. What was sent before stays.
        BucketError: The store does not answer, or refuses, or there is no room. An error of the block goes before.
    """
    if not is_bucket(address):
        yield WorkingCopy(Path(address), address, lambda: None)
        return
    cache = _cache_of(address, work_dir)
    with _folder(cache / "copies") as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        copy = _Copy(Bucket(address), cache / "objects", folder, pool)
        copy.fetch(list(parts))
        _link(folder, cache)
        with copy:
            yield WorkingCopy(folder, address, copy.send)


def _cache_of(address: str, work_dir: Path) -> Path:
    return work_dir.absolute() / "cache" / address.removeprefix("s3://").strip("/").replace("/", "_")


@contextmanager
def _folder(copies: Path) -> Iterator[Path]:
    """A new folder; those of programs that were killed are removed."""
    copies.mkdir(parents=True, exist_ok=True)
    with (copies / ".lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for abandoned in copies.glob("?*.lock"):
            with abandoned.open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(abandoned.with_suffix(""), ignore_errors=True)
                abandoned.unlink(missing_ok=True)  # its owner may be here as well
        folder = Path(tempfile.mkdtemp(dir=copies))
        own = folder.with_suffix(".lock").open("ab")
        fcntl.flock(own, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what is left is swept later
        folder.with_suffix(".lock").unlink(missing_ok=True)
        own.close()


def _link(folder: Path, cache: Path) -> None:
    """Let a copy have what is of this machine."""
    for name in OF_THIS_MACHINE:
        place = cache / name
        (place if place.name in _FOLDERS else place.parent).mkdir(parents=True, exist_ok=True)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(place)


@dataclass(frozen=True)
class _Known:
    """An object as it was read: its entity tag, and the state of the file that it was copied into."""

    tag: str
    state: tuple[int, int, int]


@dataclass
class _Copy:
    bucket: Bucket
    objects: Path
    folder: Path
    pool: ThreadPoolExecutor
    known: dict[str, _Known] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.send()
        except BucketError as lost:
            if not isinstance(error, Exception):  # an exit is an end like another
                raise
            logger.warning("what was done before the error is not kept: %s", lost)

    def fetch(self, parts: list[Part]) -> None:
        """Copy what belongs to the parts; if some of it changes meanwhile, what there is then."""
        for _ in range(_TRIES):
            tags = {name: tag for found in self.pool.map(self._listed, parts) for name, tag in found}
            placed = {name: self.pool.submit(self._place, name, tag) for name, tag in tags.items()}
            wait(placed.values())
            try:
                self.known = {name: each.result() for name, each in placed.items()}
            except ChangedError:
                # What has come of objects that are gone then would look like files of our own.
                shutil.rmtree(self.folder)
                self.folder.mkdir()
            except OSError as error:
                raise BucketError(f"{self.folder} cannot have a copy of {self.bucket.address}: {error}") from error
            else:
                (self.folder / _MARKER).touch()
                return
        raise BucketError(f"{self.bucket.address} is being changed all the time: do it again later")

    def _listed(self, part: Part) -> list[tuple[str, str]]:
        # No name leads out of the folder: the library refuses such names.
        return [each for each in self.bucket.list(part.prefix) if part.has(each[0]) and not _stays_here(each[0])]

    def _place(self, name: str, tag: str) -> _Known:
        path, kept = self.folder / name, self._kept(name, tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.hardlink_to(kept)
        except FileNotFoundError:
            with replacing(path) as part:
                self.bucket.get(name, tag, part)
                if path.suffix != ".mrf":
                    os.utime(part, (0, 0))  # nobody knows when it was written: exports are never newer than a mosaic
            self._keep(name, tag, path)
        if path.suffix == _IN_PLACE:
            with replacing(path) as part:
                shutil.copyfile(path, part)
        return _Known(tag, _state(path))

    def send(self) -> None:
        """Write what has changed to the bucket, and remove from it what is gone here."""
        if not (self.folder / _MARKER).exists():
            raise BucketError(f"{self.folder} was removed while it was worked on: nothing of it is kept, do it again")
        here = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if _is_own(path)}
        changed = [
            name
            for name, path in here.items()
            if not _stays_here(name) and (name not in self.known or self.known[name].state != _state(path))
        ]
        last = {name for name in changed if name.endswith(".mrf")}
        gone = self.known.keys() - here.keys()
        # One that names others is gone before them, and there after them.
        first = {name for name in gone if name.endswith(".mrf")}
        for names, work in (
            (set(changed) - last, self._put), (last, self._put), (first, self._delete), (gone - first, self._delete)
        ):  # fmt: skip
            list(self.pool.map(work, sorted(names)))

    def _put(self, name: str) -> None:
        path, known = self.folder / name, self.known.get(name)
        tag = self.bucket.put(name, path, known.tag if known else None)
        self.known[name] = _Known(tag, _state(path))
        self._keep(name, tag, path)

    def _delete(self, name: str) -> None:
        tag = self.known[name].tag
        if not self._kept(name, tag).exists():  # the cache was emptied, perhaps the copy as well
            raise ConflictError(f"{self.bucket.address}/{name} is gone from the cache {self.objects}: do it again")
        self.bucket.delete(name, tag)
        del self.known[name]
        self._forget(name)

    def _keep(self, name: str, tag: str, path: Path) -> None:
        """Give the cache a file that is an object's, in the place of what it had of it."""
        self._forget(name)
        kept = self._kept(name, tag)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another copy was faster
            kept.hardlink_to(path)

    def _kept(self, name: str, tag: str) -> Path:
        """Where the cache has an object of an entity tag."""
        return self.objects / name / _UNSAFE.sub("_", tag)

    def _forget(self, name: str) -> None:
        """Drop what the cache has of an object."""
        for kept in (self.objects / name).glob("*"):
            if kept.is_file():
                kept.unlink(missing_ok=True)


def _state(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _stays_here(name: str) -> bool:
    own = any(name == each or name.startswith(f"{each}/") for each in OF_THIS_MACHINE)
    return own or any(part.startswith(".") for part in name.split("/"))
