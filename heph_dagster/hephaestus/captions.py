"""Searching the captions of annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from heph_dagster.hephaestus.annotation import Label
from heph_dagster.hephaestus.annotations import load_table

_WORD = re.compile(r"\w+")
_COLUMNS = ("unique_id", "frame", "primary", "secondary", "label", "caption")


@dataclass(frozen=True)
class Caption:
    """A caption, and what it is about.

    Attributes:
        unique_id: ID of the annotation.
        frame: ID of the frame.
        primary: UTC day of the first radar image.
        secondary: UTC day of the second.
        label: What the interferogram shows.
        caption: The annotator's description.
    """

    unique_id: int
    frame: str
    primary: date
    secondary: date
    label: tuple[Label, ...]
    caption: str


def search_captions(
    folder: Path, phrases: Sequence[str], frame: str | None = None, label: Label | None = None
) -> list[Caption]:
    """Captions in which all of some words and phrases occur.

    Case does not matter, nor what stands between the words of a phrase: `mogi type` finds "Mogi-type". The last word of
    each may be the beginning of one in the caption: `deform` finds "deformation", and `form` does not.

    Args:
        folder: Where the tables of annotations stand.
        phrases: Words and phrases; without any, all captions are found.
        frame: Only of this frame.
        label: Only of interferograms that show this, too.

    Returns:
        The captions, by ID. Annotations without a caption are never found.

    Raises:
        ValueError: A phrase has no word.
        AnnotationsError: There is no table.
    """
    patterns = [_pattern(phrase) for phrase in phrases]
    return [
        Caption(**row | {"label": tuple(map(Label, row["label"]))})
        for row in load_table(folder, "annotations", _COLUMNS).to_pylist()
        if row["caption"]
        and frame in {None, row["frame"]}
        and (label is None or label in row["label"])
        and all(pattern.search(row["caption"]) for pattern in patterns)
    ]


def _pattern(phrase: str) -> re.Pattern[str]:
    words = _WORD.findall(phrase)
    if not words:
        raise ValueError(f"{phrase!r} has no word to search for")
    return re.compile(r"\b" + r"\W+".join(map(re.escape, words)), re.IGNORECASE)
