"""Small values by name in a JSON file that several processes change."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from heph_dagster.files import replacing

_SCHEMA = "schema"
_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Store(Generic[T]):
    """Values in a file.

    Attributes:
        path: The file, an object of JSON: `schema`, the version of its layout, and the values by name.
        meaning: What the file tells, for messages.
        parse: Makes a value of what the file holds; a value is written as its text where JSON does not have it.
    """

    path: Path
    meaning: str
    parse: Callable[[Any], T]

    def read(self) -> dict[str, T]:
        """The values; none where there is no file.

        Raises:
            ValueError: The file is damaged, or of another version.
        """
        try:
            values = json.loads(self.path.read_text("utf-8"))
            # The first files told no version.
            if (version := values.pop(_SCHEMA, _VERSION)) == _VERSION:
                return {name: self.parse(value) for name, value in values.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path} is not {self.meaning} ({error}): delete it") from error
        raise ValueError(f"{self.path} has the layout of version {version}, not {_VERSION}: take a newer heph_dagster")

    @contextmanager
    def changing(self) -> Iterator[dict[str, T]]:
        """The values, to be changed in the block; other processes that want to wait meanwhile.

        Raises:
            ValueError: The file is damaged, or of another version.
        """
        path = self.path.resolve()  # a link stays one
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            values = self.read()
            yield values
            with replacing(path) as part:
                text = json.dumps({_SCHEMA: _VERSION, **values}, default=str, indent=2, sort_keys=True)
                part.write_text(text + "\n", "utf-8")
        finally:
            os.close(folder)
