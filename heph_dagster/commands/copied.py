"""Commands on a data root in a bucket: each gets a copy of what it works on, as a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.errors import HephError
from heph_dagster.storage.bucket import is_bucket

if TYPE_CHECKING:
    from pathlib import Path

    from heph_dagster.settings import Settings
    from heph_dagster.storage.working_copy import Part, WorkingCopy

_COPY = f"{__name__}.copy"


def on_data(command: click.Command) -> click.Command:
    """The command, or all commands of a group, on a copy where HEPH_DATA_DIR is a bucket.

    `--output_dir` names a folder, and the command works there.
    """
    if isinstance(command, click.Group):
        for each in command.commands.values():
            on_data(each)
        return command
    work = command.callback
    if work is None:
        raise ValueError(f"{command.name} does nothing")

    @wraps(work)
    def copied(*args: Any, **given: Any) -> Any:
        if not is_bucket(os.environ.get("HEPH_DATA_DIR", "")) or given.get("output_dir"):
            return work(*args, **given)
        with _copy(given):
            return work(*args, **given)

    command.callback = copied
    return command


@contextmanager
def _copy(given: Mapping[str, Any]) -> Iterator[None]:
    from heph_dagster.settings import Settings
    from heph_dagster.storage.working_copy import working_copy

    settings = Settings()
    home = settings.home.absolute()
    with working_copy(settings.address, home, _parts(settings, given)) as copy, _told(copy, home):
        click.get_current_context().meta[_COPY] = copy
        try:
            yield
        except (HephError, ValueError, OSError) as error:
            raise click.ClickException(copy.words(error)) from error


@contextmanager
def _told(copy: WorkingCopy, home: Path) -> Iterator[None]:
    """The environment names a copy as the data root, and what is printed names the data root."""
    before = {name: os.environ.get(name) for name in ("HEPH_DATA_DIR", "HEPH_WORK_DIR")}
    os.environ.update({"HEPH_DATA_DIR": str(copy.folder), "HEPH_WORK_DIR": str(home)})
    try:
        with redirect_stdout(_Told(sys.stdout, copy)), redirect_stderr(_Told(sys.stderr, copy)):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Told:
    """A stream whose text tells of the data root, not of a copy that is soon gone."""

    def __init__(self, stream: Any, copy: WorkingCopy) -> None:
        self._stream, self._copy = stream, copy

    def write(self, text: object) -> int:
        if not isinstance(text, str):  # click tries whether this takes bytes
            raise TypeError(f"text is written here, not {type(text).__name__}")
        written: int = self._stream.write(self._copy.words(text))
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep() -> None:
    """Have what was changed so far be kept, before others are told of it."""
    copy = click.get_current_context().meta.get(_COPY)
    if copy is not None:
        copy.keep()


def place(path: Path) -> str:
    """Where a file of the data root is kept: its path, or its address in the bucket."""
    copy = click.get_current_context().meta.get(_COPY)
    return str(path) if copy is None else copy.words(path)


def _parts(settings: Settings, given: Mapping[str, Any]) -> list[Part]:
    """What a command works on, by its options."""
    from heph_dagster.settings import INSAR
    from heph_dagster.storage.working_copy import EVERYTHING, Part

    context = click.get_current_context()
    name = context.info_name
    if context.parent is not None and context.parent.command.name == "insar":
        return [] if name in {"download", "synthesize"} else [Part(f"{INSAR}/")]  # archives are of the machine
    if "source" in given and "day" in given:  # an image, or a layer and its day
        return [Part(f"{given['epsg']}/{day}/") for day in (given["day"],) if day]
    if not given.get("layer_name"):
        return [EVERYTHING]
    layer, epsg = settings.catalogue()[given["layer_name"]], given.get("epsg", 4326)
    if not given.get("start_date"):
        return [Part(f"{epsg}/", (f"/{layer.identifier}.",), pixels=name not in {"label", "labels"})]
    if given.get("since_last_check"):
        return [Part(f"{epsg}/")]
    days = (given["end_date"] - given["start_date"]).days
    dates = (given["start_date"] + timedelta(days=number) for number in range(days))
    return [Part(f"{epsg}/{day}/") for day in dates]  # with exported tiles, whose names are many
