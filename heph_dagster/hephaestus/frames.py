"""Frames: fixed places on Earth, each seen from one orbit of Sentinel-1, whose interferograms are kept together."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

FRAME_PATTERN = r"^[0-9]{3}[AD](_[0-9A-Za-z]+)+$"
LONGEST_ID = 64
_REGIONS = Path(__file__).with_name("frames.toml")
NAMES_FILE = "frame_names.json"


@dataclass(frozen=True)
class Frame:
    """A frame.

    Attributes:
        id: Relative orbit, Ascending or Descending, colatitude identifier, bursts of the swaths
            (`124D_05291_081406`); or of a stripmap frame its site and beam (`144A_SM_REUN_S6`).
    """

    id: str

    def __post_init__(self) -> None:
        """Refuse what is no frame ID; it names folders, files and partitions.

        Raises:
            ValueError: It is none.
        """
        if not is_frame_id(self.id):
            raise ValueError(
                f"{self.id!r} is not a frame ID: three digits, A or D, and parts of letters and digits, as "
                "124D_05291_081406 has them"
            )

    @property
    def direction(self) -> Literal["ascending", "descending"]:
        """Which way the satellite flies: northward (ascending) or southward."""
        return "ascending" if self.id[3] == "A" else "descending"

    @property
    def relative_orbit(self) -> int:
        """Number of the orbit within the 12 days after which they repeat: 1 to 175."""
        return int(self.id[:3])

    @property
    def region(self) -> str | None:
        """Where it is and which volcanoes it is known for; None for a frame that is not one of the known 38."""
        return known_frames().get(self.id)


def is_frame_id(text: str) -> bool:
    """Whether a text is a frame ID; no such text leaves a folder."""
    return len(text) <= LONGEST_ID and re.fullmatch(FRAME_PATTERN, text) is not None


@cache
def known_frames() -> dict[str, str]:
    """The 38 frames with annotations, by ID in order, and the region of each."""
    return dict(sorted(tomllib.loads(_REGIONS.read_text("utf-8")).items()))


def frames_on_disk(raw: Path) -> list[str]:
    """The frames of a raw archive, in order: its folders that a frame ID names.

    Args:
        raw: Root of the archive, `{frame}/interferograms/{dates}/`; no frames where it does not exist.
    """
    if not raw.is_dir():
        return []
    return sorted(path.name for path in raw.iterdir() if is_frame_id(path.name) and path.is_dir())


def read_volcanoes(path: Path) -> dict[str, tuple[str, ...]]:
    """All volcanoes of each frame, as `frame_names.json` of Hephaestus Minicubes lists them.

    Args:
        path: The file, an object of JSON: frame ID to names with commas between.

    Returns:
        Names by frame, each once, in the order of the file; none where there is no file.

    Raises:
        ValueError: The file is something else.
    """
    try:
        names = json.loads(path.read_text("utf-8"))
        return {
            Frame(frame).id: tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
            for frame, text in names.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} does not list volcanoes by frame ({error}): put the right file there") from error
