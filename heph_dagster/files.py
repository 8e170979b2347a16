"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\..*)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that is renamed onto it when the block ends well.

    The suffix of `path` is kept, because GDAL and others choose a format by it. A block that raises
    leaves `path` as it was and no temporary file behind.

    Args:
        path: The file to make or replace; its folder is made when it does not exist.

    Yields:
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path, path.suffix)
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process or thread after the other into the block, so that none replaces what another has just written.

    Args:
        path: The file that is read and replaced; its folder is made when it does not exist. The lock is a hidden empty
            file beside it, which stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def temporary(path: Path, suffix: str) -> Path:
    """A new hidden name beside `path`, for a file that becomes it; `is_temporary` knows such names again."""
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{suffix}")


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that `temporary` made, or one made of such a name, as GDAL does while it writes.

    Nobody reads such a file, and a writer that was killed leaves it.
    """
    return _TEMPORARY.fullmatch(path.name) is not None
