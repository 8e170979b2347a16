"""Interferograms on disk: where they are in a raw archive, and their pixels.

A raw archive has a folder for each pair of radar images, `{frame}/interferograms/{primary}_{secondary}/`, and in it an
interferogram and a coherence map. Two layouts are read:

- `InSAR.png` and `Coherence.png`, as the data set describes itself;
- `{dates}.geo.diff.png` and `{dates}.geo.cc.png`, as LiCSAR names its products and the archive has them.

Where a folder has a file in both, the second one is taken: it tells by its name which pair it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from heph_dagster.errors import HephError
from heph_dagster.hephaestus.frames import Frame
from heph_dagster.png import Picture, PngError, decode_picture, decode_png

Image: TypeAlias = NDArray[np.uint8]
Decoded = TypeVar("Decoded")
_DATES = re.compile(r"[0-9]{8}_[0-9]{8}")


class InterferogramError(HephError):
    """An image of a raw archive that cannot be read."""


class Layout(StrEnum):
    """How the files of a pair are named; the first that has a file gives it."""

    LICSAR = "licsar"
    PLAIN = "plain"

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """Where the interferogram and the coherence of a folder are in this layout."""
        if self is Layout.LICSAR:
            return folder / f"{folder.name}.geo.diff.png", folder / f"{folder.name}.geo.cc.png"
        return folder / "InSAR.png", folder / "Coherence.png"


class ImagePaths(NamedTuple):
    """The images of a pair, None for one that is not on disk."""

    interferogram: Path | None
    coherence: Path | None


def interferogram_folder(raw: Path, frame: str) -> Path:
    """The folder of a raw archive with a folder for each pair of a frame.

    Raises:
        ValueError: It is no frame ID.
    """
    return raw / Frame(frame).id / "interferograms"


def parse_dates(dates: str) -> tuple[date, date]:
    """The UTC days of a pair of radar images, by the name of its folder: `20181128_20181204`.

    Raises:
        ValueError: It names no two days; no such text leaves a folder.
    """
    try:
        if _DATES.fullmatch(dates):
            return date.fromisoformat(dates[:8]), date.fromisoformat(dates[9:])
    except ValueError:  # the 30th of February
        pass
    raise ValueError(f"{dates!r} is not a pair of days as folders are named: YYYYMMDD_YYYYMMDD")


def find_images(raw: Path, frame: str, dates: str) -> ImagePaths:
    """The images of a pair, in either layout.

    Args:
        raw: Root of the archive.
        frame: ID of the frame.
        dates: The days of the radar images, `20181128_20181204`.

    Raises:
        ValueError: It is no frame ID, or no pair of days.
    """
    parse_dates(dates)
    folder = interferogram_folder(raw, frame) / dates
    found = images_by_layout(folder).values()
    return ImagePaths(*(next(filter(None, paths), None) for paths in zip(*found, strict=True)))


def images_by_layout(folder: Path) -> dict[Layout, ImagePaths]:
    """What the folder of a pair has in each layout, in their order."""
    return {
        layout: ImagePaths(*(path if path.is_file() else None for path in layout.paths(folder))) for layout in Layout
    }


def read_interferogram(path: Path) -> Picture:
    """An interferogram as its file keeps it: quick looks of LiCSAR have a palette.

    Args:
        path: The PNG; transparency is dropped.

    Raises:
        InterferogramError: It is not there, or damaged.
    """
    return _read(path, decode_picture)


def read_coherence(path: Path) -> Image:
    """A coherence map.

    Args:
        path: The PNG; of colours the luma is taken.

    Returns:
        H x W, from 0 (no coherence) to 255.

    Raises:
        InterferogramError: It is not there, or damaged.
    """
    return _read(path, partial(decode_png, grey=True))


def _read(path: Path, decode: Callable[[bytes], Decoded]) -> Decoded:
    remedy = "put the file of the raw archive there again (`heph insar download raw` keeps what is sound)"
    try:
        return decode(path.read_bytes())
    except FileNotFoundError as error:
        raise InterferogramError(f"{path} is not there: {remedy}") from error
    except OSError as error:
        raise InterferogramError(f"{path} cannot be read: {error.strerror}") from error
    except PngError as error:
        raise InterferogramError(f"{path} cannot be read: {error}; {remedy}") from error
