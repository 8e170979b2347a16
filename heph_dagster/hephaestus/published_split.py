"""The published split of crops: every name of it is found, or missing for a reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.splits import ITEM, Part, Split, SplitError, make_split

if TYPE_CHECKING:
    import pyarrow as pa

PUBLISHED_FILE = "train_test_split.json"
"""Name of the published split, below `hephaestus` in the data root."""
_NAME = re.compile(r"([0-9]{1,9})(?:_([0-9]{1,6}))?\.json")


def published_split(
    path: Path,
    crops: pa.Table | None = None,
    annotations: Iterable[Annotation] | None = None,
    rejects: Mapping[str, str] | None = None,
) -> Split:
    """The published split of crops, every name of which is found or missing.

    Args:
        path: `train_test_split.json`: `{train, val, test}` to `{"0", "1"}` (without and with deformation) to
            `{stem}.json`.
        crops: The crops that there are; by default, those that could be made of the annotations.
        annotations: The annotations, which tell why there is no crop.
        rejects: Why crops could not be made, by their names, or by the ID of the annotation where all are meant.

    Returns:
        The split, in the order of the file. A name is missing if it is no name of a crop, if it stands in the file
        twice, if its annotation is not there, if the annotation has no such deformation, if the crop was not made, or
        if published class and annotation differ.

    Raises:
        SplitError: The file is no such split.
    """
    published = _read_published(path)
    known = None if annotations is None else {each.unique_id: each for each in annotations}
    made = None if crops is None else {row["name"]: row for row in crops.to_pylist()}
    times = Counter(name for name, _, _ in published)
    rows, missing = [], []
    for name, part, deformation in published:
        reason = f"it stands {times[name]} times in the file" if times[name] > 1 else None
        item = reason or _find(name, deformation, made, known, rejects or {})
        labels = {"part": part, "deformation": deformation}
        if isinstance(item, str):
            missing.append({"name": name.removesuffix(".json"), **labels, "reason": item})
        else:
            rows.append(item | labels)
    return make_split(rows, missing)


def _read_published(path: Path) -> list[tuple[str, Part, bool]]:
    try:
        content = json.loads(path.read_bytes())
        return [
            (_text(name), Part(part), {"0": False, "1": True}[code])
            for part, classes in content.items()
            for code, names in classes.items()
            for name in names
        ]
    except FileNotFoundError as error:
        raise SplitError(f"{path} is not there: put the published {PUBLISHED_FILE} there, or name it") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise SplitError(
            f"{path} is no published split of train, val and test, each with names of classes 0 and 1: {error!r}"
        ) from error


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name")
    return name


def _find(  # noqa: PLR0911 - a reason each
    name: str,
    deformation: bool,  # noqa: FBT001
    made: Mapping[str, dict[str, Any]] | None,
    known: Mapping[int, Annotation] | None,
    rejects: Mapping[str, str],
) -> dict[str, Any] | str:
    """The item of a published name, or why it is missing."""
    match = _NAME.fullmatch(name)
    if match is None:
        return "it is no name of a crop: <uniqueID>.json or <uniqueID>_<number>.json"
    stem, unique_id = name.removesuffix(".json"), int(match[1])
    if made is not None and stem in made:
        return made[stem] if made[stem]["deformation"] == deformation else _differs(deformation)
    if why := rejects.get(stem, rejects.get(match[1])):
        return f"the crop could not be made: {why}"
    annotation = None if known is None else known.get(unique_id)
    if annotation is None:
        return "there is no crop of this name" if known is None else f"annotation {unique_id} is not in the table"
    if unlike := _unlike(annotation, match[2], deformation):
        return unlike
    if made is not None:
        return f"annotation {unique_id} is there, but this crop was not made"
    return {"name": stem} | {field: getattr(annotation, field) for field in ITEM[1:-1]}


def _unlike(annotation: Annotation, number: str | None, deformation: bool) -> str | None:  # noqa: FBT001
    """Why no crop of an annotation has a number and a class."""
    count = len(annotation.deformations)
    if bool(count) != deformation:
        return _differs(deformation)
    if (count == 1) != (number is None) or (count > 1 and int(number or 0) >= count):
        return f"annotation {annotation.unique_id} has {count} deformations, none of which gives this name"
    return None


def _differs(deformation: bool) -> str:  # noqa: FBT001
    words = ("no deformation", "deformation")
    return f"the published class is {words[deformation]}, the annotation says {words[not deformation]}"
