"""Commands on a data root in a bucket: each gets a copy of what it works on, as a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.errors import HephError

if TYPE_CHECKING:
    from pathlib import Path

    from heph_dagster.settings import Settings
    from heph_dagster.storage.working_copy import Part

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
        if "://" not in os.environ.get("HEPH_DATA_DIR", "") or given.get("output_dir"):
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
    with working_copy(settings.address, home, _parts(settings, given)) as root, _told(root, home):
        copy = (str(root), settings.address.rstrip("/"))
        click.get_current_context().meta[_COPY] = copy
        try:
            yield
        except (HephError, ValueError, OSError) as error:
            raise click.ClickException(str(error).replace(*copy)) from error


def place(path: Path) -> str:
    """Where a file is kept: its path, or its address in the bucket if it is of a copy."""
    context = click.get_current_context(silent=True)
    copy = None if context is None else context.meta.get(_COPY)
    return str(path) if copy is None else str(path).replace(*copy)


@contextmanager
def _told(root: Path, home: Path) -> Iterator[None]:
    """The environment names a copy as the data root."""
    before = {name: os.environ.get(name) for name in ("HEPH_DATA_DIR", "HEPH_WORK_DIR")}
    os.environ.update({"HEPH_DATA_DIR": str(root), "HEPH_WORK_DIR": str(home)})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _parts(settings: Settings, given: Mapping[str, Any]) -> list[Part]:
    """What a command works on, by its options."""
    from heph_dagster.settings import INSAR
    from heph_dagster.storage.working_copy import EVERYTHING, Part

    if click.get_current_context().command_path.split()[1] == "insar":
        return [Part(f"{INSAR}/")]
    if "source" in given and "day" in given:  # an image, or a layer and its day
        return [Part(f"{given['epsg']}/{day}/") for day in (given["day"],) if day]
    if not given.get("layer_name"):
        return [EVERYTHING]
    layer, epsg = settings.catalogue()[given["layer_name"]], given["epsg"]
    dated, checks = bool(given.get("start_date")) and not given.get("since_last_check"), Part("last_checks.json")
    if not dated:
        return [Part(f"{epsg}/", f"/{layer.identifier}."), checks]
    days = (given["end_date"] - given["start_date"]).days
    dates = (given["start_date"] + timedelta(days=number) for number in range(days))
    return [checks, *(Part(f"{epsg}/{day}/", f"/{layer.identifier}.") for day in dates)]
