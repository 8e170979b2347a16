"""Pictures of a data set over time: what has been annotated, and which deformations were found.

Interferograms are counted by the day of their first radar image.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heph_dagster.hephaestus.annotation import Activity, Annotation
from heph_dagster.hephaestus.drawing import CLASS_COLOURS, FAINT, Page, hex_colour
from heph_dagster.hephaestus.frames import Frame
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.inventory import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

_WIDTH, _MARGIN, _AXIS = 900, 16, 24
_ROW, _REGION, _LEFT, _RIGHT = 20, 130, 470, 110  # px of a row, and to the parts of it
_QUARTERS, _MONTHS = 4, 12
_LIGHT, _DARK = 0.94, 0.62  # greys of a quarter with few interferograms, and with the most
_PAIRS = {"annotated": "#57606a", "not annotated": "#c0c6cc", "not on disk": "#f3c99f"}
_NO_YEARS = (2014, 2022)  # of the data set, where there are no days


def draw_distribution(annotations: Sequence[Annotation], volcanoes: Mapping[str, Sequence[str]]) -> Image:
    """Draw the annotated interferograms of each frame by quarter, and the deformations in them by class.

    Args:
        annotations: All annotations.
        volcanoes: Names by frame; they are told of frames whose region is not known.

    Returns:
        RGB, H x 900 x 3; the same for the same arguments.
    """
    frames: dict[str, list[Annotation]] = defaultdict(list)
    for each in sorted(annotations, key=lambda each: each.frame):
        frames[each.frame].append(each)
    years = _years(each.primary for each in annotations)
    shown = [_count((each.primary for each in of_frame), years, _QUARTERS) for of_frame in frames.values()]
    deformed = [_count_classes(of_frame, years, _QUARTERS) for of_frame in frames.values()]
    most, highest = _most(shown), _most([each.sum(axis=0) for each in deformed])
    top, height = 92, _ROW * max(len(frames), 1)
    page = Page(_WIDTH, top + height + _AXIS + _MARGIN)
    total = sum(int(each.sum()) for each in deformed)
    heading = f"{len(annotations)} annotated interferograms of {len(frames)} frames, {total} deformations"
    page.text(_MARGIN, _MARGIN, heading, 12, bold=True)
    scales = f"Grey: interferograms in a quarter, {most} at most. Bars: deformations in it, {highest} at most; "
    page.text(_MARGIN, 40, scales + "their height is the square root of the number.", 8.5, colour=FAINT)
    page.legend(_MARGIN, 66, _class_colours())
    axes = page.axes(_LEFT, top, _WIDTH - _LEFT - _RIGHT, height)
    axes.set(ylim=(max(len(frames), 1), 0), yticks=())
    if frames:
        _draw_rows(axes, np.array(shown), np.array(deformed), years)
    for row, (frame, of_frame) in enumerate(frames.items()):
        y = top + row * _ROW + 4
        region = Frame(frame).region or ", ".join(volcanoes.get(frame, ()))
        page.text(_MARGIN, y, frame, 8, colour=FAINT)
        page.text(_MARGIN + _REGION, y, textwrap.shorten(region, 54, placeholder=" ..."), 7.5)
        for right, number in ((58, len(of_frame)), (10, int(deformed[row].sum()))):
            page.text(_WIDTH - right, y, f"{number}", 8).set_horizontalalignment("right")
    for right, name in ((58, "interf."), (10, "deform.")):
        page.text(_WIDTH - right, top - 18, name, 8, colour=FAINT).set_horizontalalignment("right")
    _draw_years(axes, years)
    return page.rgb()


def draw_frame(annotations: Sequence[Annotation], pairs: Sequence[Pair]) -> Image:
    """Draw the interferograms of a frame by month, annotated or not, and its deformations by class.

    Args:
        annotations: The annotations of the frame.
        pairs: Its inventory.

    Returns:
        RGB, 400 x 900 x 3; the same for the same arguments.
    """
    from matplotlib.patches import Patch

    kinds: dict[str, list[date]] = {kind: [] for kind in _PAIRS}
    for pair in pairs:
        if pair.primary is not None:
            kinds[_kind(pair)].append(pair.primary)
    years = _years([each.primary for each in annotations] + [day for days in kinds.values() for day in days])
    page = Page(_WIDTH, 400)
    width, left = _WIDTH - 4 * _MARGIN, 3 * _MARGIN
    undated = sum(pair.primary is None for pair in pairs)
    heading = f"{len(pairs)} interferograms" + (f", {undated} of unknown days" if undated else "")
    page.text(left, _MARGIN, heading, 10, bold=True)
    patches = [Patch(color=colour, label=f"{kind}, {len(kinds[kind])}") for kind, colour in _PAIRS.items()]
    page.legend(left + 240, _MARGIN + 2, patches)
    axes = page.axes(left, 40, width, 140)
    _draw_stack(axes, [_count(kinds[kind], years, _MONTHS) for kind in _PAIRS], list(_PAIRS.values()), years)
    classes = _count_classes(annotations, years, _MONTHS)
    page.text(left, 212, f"{int(classes.sum())} deformations", 10, bold=True)
    page.legend(left + 240, 214, _class_colours(classes.sum(axis=1)))
    axes = page.axes(left, 236, width, 140)
    _draw_stack(axes, list(classes), [hex_colour(each) for each in CLASS_COLOURS.values()], years)
    return page.rgb()


def _kind(pair: Pair) -> str:
    if pair.interferogram is None:
        return "not on disk"
    return "not annotated" if pair.unique_id is None else "annotated"


def _years(days: Iterable[date]) -> tuple[int, int]:
    """The first year, and the year after the last."""
    years = [day.year for day in days]
    return (min(years), max(years) + 1) if years else _NO_YEARS


def _count(days: Iterable[date], years: tuple[int, int], parts: int) -> NDArray[np.int64]:
    """Days in each of so many parts of each year."""
    numbers = [(day.year - years[0]) * parts + (day.month - 1) * parts // 12 for day in days]
    return np.bincount(np.array(numbers, np.int64), minlength=(years[1] - years[0]) * parts)


def _count_classes(annotations: Sequence[Annotation], years: tuple[int, int], parts: int) -> NDArray[np.int64]:
    """Deformations of each class in each part of each year, classes x parts."""
    found = [(deformation.activity, each.primary) for each in annotations for deformation in each.deformations]
    return np.array([_count((day for kind, day in found if kind is activity), years, parts) for activity in Activity])


def _most(counts: Sequence[NDArray[np.int64]]) -> int:
    return max((int(each.max()) for each in counts), default=0)


def _class_colours(counts: Sequence[int] | NDArray[np.int64] | None = None) -> list[Patch]:
    from matplotlib.patches import Patch

    return [
        Patch(color=hex_colour(colour), label=each.word if counts is None else f"{each.word}, {counts[each - 1]}")
        for each, colour in CLASS_COLOURS.items()
        if counts is None or counts[each - 1]
    ]


def _draw_rows(axes: Axes, shown: NDArray[np.int64], deformed: NDArray[np.int64], years: tuple[int, int]) -> None:
    """A row for each frame.

    Args:
        axes: Where.
        shown: Interferograms, frames x quarters.
        deformed: Deformations, frames x classes x quarters.
        years: The first, and that after the last.
    """
    grey = np.where(shown == 0, 1.0, _LIGHT - (_LIGHT - _DARK) * shown / shown.max())
    axes.imshow(
        grey, cmap="gray", vmin=0, vmax=1, extent=(*years, len(shown), 0), aspect="auto", interpolation="nearest"
    )
    rows, quarters = np.nonzero(deformed.sum(axis=1))
    counts = deformed[rows, :, quarters]
    total = counts.sum(axis=1)
    height = np.sqrt(total / total.max(initial=1))
    base = rows + 1.0
    for number, colour in zip(counts.T, CLASS_COLOURS.values(), strict=True):
        part = height * number / total
        axes.bar(years[0] + (quarters + 0.5) / _QUARTERS, -part, 0.8 / _QUARTERS, base, color=hex_colour(colour))
        base = base - part
    axes.hlines(np.arange(1, len(shown)), *years, colors="white", linewidth=1)


def _draw_stack(
    axes: Axes, counts: Sequence[NDArray[np.int64]], colours: Sequence[str], years: tuple[int, int]
) -> None:
    """Bars of months, one kind above the other."""
    from matplotlib.ticker import MaxNLocator

    base = np.zeros_like(counts[0])
    months = years[0] + (np.arange(len(base)) + 0.5) / _MONTHS
    for number, colour in zip(counts, colours, strict=True):
        axes.bar(months, number, 0.85 / _MONTHS, base, color=colour)
        base = base + number
    axes.set_ylim(0, max(1.05 * base.max(), 1))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    _draw_years(axes, years)


def _draw_years(axes: Axes, years: tuple[int, int]) -> None:
    axes.set_xlim(*years)
    axes.set_xticks(range(years[0], years[1] + 1), labels=())
    axes.set_xticks([year + 0.5 for year in range(*years)], labels=[f"{year}" for year in range(*years)], minor=True)
    axes.tick_params(axis="x", which="minor", length=0, labelsize=8)
