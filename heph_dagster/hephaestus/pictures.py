"""Pictures of annotated interferograms: all that is known of one on a page."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heph_dagster.hephaestus.annotation import Annotation, Deformation, Polygon
from heph_dagster.hephaestus.crops import Crop
from heph_dagster.hephaestus.drawing import CLASS_COLOURS, FAINT, INK, Page, hex_colour
from heph_dagster.hephaestus.facts import crop_notes, details, headline, in_words
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.masks import class_mask, footprint
from heph_dagster.hephaestus.rejects import CropReject
from heph_dagster.png import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _MARGIN, _HEADING = 1448, 24, 24
_MAIN = (880, 720)  # at most, of the interferogram
_LEAST = 120  # rows that the images take, however flat they are
_CROP, _GAP, _COLUMNS = 224, 4, 3
_COLUMN = 2 * _CROP + _GAP
_LINE = 2.0  # px from line to line, per point of the text's size
_CHARACTER = 0.74  # px of a character of English text, at most, per point
_LABEL: dict[str, Any] = {"ha": "center", "va": "center", "color": "white", "size": 9, "weight": "bold"}
_PADDING = 6  # px around a label's text
_COLOURS = np.array([(32, 36, 40), *CLASS_COLOURS.values()], np.uint8)


class _Box(NamedTuple):
    """Where something is on the page, in px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def within(self, other: _Box) -> bool:
        return other.x <= self.x <= self.x + self.width <= other.x + other.width and (
            other.y <= self.y <= self.y + self.height <= other.y + other.height
        )

    def overlaps(self, other: _Box) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and (self.y < other.y + other.height and other.y < self.y + self.height)
        )


def draw_annotation(
    annotation: Annotation,
    picture: Picture,
    coherence: Image | None,
    crops: Sequence[Crop | CropReject],
    volcanoes: Sequence[str] = (),
) -> Image:
    """Draw an interferogram with what was said of it.

    The page shows the interferogram with the outlines of its deformations and the places of its crops, the coherence,
    the mask, the crops with their masks, and the caption.

    Args:
        annotation: What was said.
        picture: The interferogram.
        coherence: From 0 to 255, H x W; None if there is none.
        crops: Its crops, or the reasons why there are none, as `heph_dagster.hephaestus.crops.crops_of` gives them.
        volcanoes: Volcanoes of its frame.

    Returns:
        RGB, H x W x 3; the same for the same arguments.
    """
    available = _WIDTH - 2 * _MARGIN
    made = [each for each in crops if isinstance(each, Crop)]
    around = made if annotation.deformations else []
    about = [line for text in details(annotation, volcanoes) for line in _wrapped(text, 10, available)]
    main, coherence_box, mask_box = _panels(picture, round(_MARGIN + 40 + len(about) * _LINE * 10 + 12))
    below = main.y + max(main.height, _LEAST) + _MARGIN
    # The caption stands beside the crops of the last row, if there is room, and below them if not.
    rows, beside = divmod(len(around), _COLUMNS)
    row_height = _HEADING + _CROP + _MARGIN
    text_x, text_y = _MARGIN + beside * (_COLUMN + _MARGIN), below + rows * row_height
    notes = [annotation.caption or "There is no caption.", *crop_notes(crops)]
    lines = [line for note in notes for line in _wrapped(note, 11, _WIDTH - _MARGIN - text_x)]
    text_height = _HEADING + len(lines) * _LINE * 11 + _MARGIN
    page = Page(_WIDTH, math.ceil(text_y + max(text_height, row_height if beside else 0)))
    page.text(_MARGIN, _MARGIN, headline(annotation), 16, bold=True)
    page.text(_MARGIN, _MARGIN + 40, "\n".join(about), 10, colour=FAINT)
    _draw_interferogram(page, main, annotation, picture, made)
    _draw_coherence(page, coherence_box, coherence)
    _draw_mask(page, mask_box, annotation, picture)
    for number, crop in enumerate(around):
        row, column = divmod(number, _COLUMNS)
        _draw_crop(page, _MARGIN + column * (_COLUMN + _MARGIN), below + row * row_height + _HEADING, crop)
    page.text(text_x, text_y + 4, "Caption", 10, bold=True)
    page.text(text_x, text_y + _HEADING, "\n".join(lines), 11)
    return page.rgb()


def _wrapped(text: str, size: int, width: float) -> list[str]:
    return textwrap.wrap(text, int(width / (_CHARACTER * size)), break_on_hyphens=False)


def _panels(picture: Picture, y: float) -> tuple[_Box, _Box, _Box]:
    """Where the interferogram, its coherence and its mask are: the latter abreast or stacked, as they are larger."""
    width, height = picture.width, picture.height
    scale = min(_MAIN[0] / width, _MAIN[1] / height)
    main = _Box(_MARGIN, y + _HEADING, round(width * scale), round(height * scale))
    x = main.x + main.width + _MARGIN
    room = _WIDTH - _MARGIN - x
    tall, legend = max(main.height, _LEAST), _HEADING
    abreast = min((room - _MARGIN) / 2 / width, (tall - legend) / height)
    stacked = min(room / width, (tall - _HEADING - legend) / 2 / height)
    scale = max(abreast, stacked)
    first = _Box(x, main.y, round(width * scale), round(height * scale))
    if abreast > stacked:
        return main, first, first._replace(x=x + first.width + _MARGIN)
    return main, first, first._replace(y=first.y + first.height + _HEADING)


def _heading(page: Page, box: _Box, text: str) -> None:
    page.text(box.x, box.y - _HEADING + 4, text, 10, bold=True)


def _image(page: Page, box: _Box, pixels: Image, interpolation: str | None = None) -> Axes:
    """An image that fills a box; data coordinates are its px, whole at the corners of pixels."""
    height, width = pixels.shape[:2]
    axes = page.axes(*box)
    axes.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), aspect="auto", interpolation=interpolation
    )
    axes.set(xticks=(), yticks=())
    return axes


def _draw_interferogram(page: Page, box: _Box, annotation: Annotation, picture: Picture, crops: Sequence[Crop]) -> None:
    _heading(page, box, f"Interferogram, {picture.width} x {picture.height} px")
    axes = _image(page, box, picture.rgb())
    outlines = [axes.transData.transform(each.polygon) for each in annotation.deformations]
    taken = [_Box(*each.min(axis=0), *np.ptp(each, axis=0)) for each in outlines]
    _draw_windows(page, axes, crops, taken)
    _draw_outlines(axes, annotation.deformations, 2)
    _draw_labels(page, axes, annotation.deformations, outlines, taken)


def _draw_windows(page: Page, axes: Axes, crops: Sequence[Crop], taken: list[_Box]) -> None:
    """Mark the places of crops, each with its number in a corner."""
    from matplotlib.patches import Rectangle

    for crop in crops:
        x, y, size = crop.window.x, crop.window.y, crop.window.size
        for colour, width in ((INK, 2.6), ("white", 1.3)):
            axes.add_patch(Rectangle((x, y), size, size, fill=False, color=colour, linewidth=width))
        label = axes.annotate(f"{crop.index}", (0, 0), xycoords="figure pixels", backgroundcolor=INK, **_LABEL)
        width, height = label.get_window_extent(page.renderer).padded(_PADDING).size
        (left, top), (right, bottom) = axes.transData.transform([(x, y), (x + size, y + size)])
        corners = product((bottom, top - height), (left, right - width))
        place = _chosen([_Box(at, low, width, height) for low, at in corners], axes, taken)
        taken.append(place)
        label.set_position(place.middle)


def _draw_outlines(
    axes: Axes, deformations: Sequence[Deformation], width: float, origin: Sequence[int] = (0, 0)
) -> None:
    from matplotlib.patches import Polygon as Outline

    for deformation in deformations:
        for colour, wide in ((INK, 2 * width), (_colour(deformation), width)):
            outline = Outline(deformation.polygon - origin, fill=False, edgecolor=colour, linewidth=wide)
            axes.add_patch(outline)


def _draw_labels(
    page: Page, axes: Axes, deformations: Sequence[Deformation], outlines: Sequence[Polygon], taken: list[_Box]
) -> None:
    """Write class and intensity beside each outline."""
    for index, (deformation, outline) in enumerate(zip(deformations, outlines, strict=True)):
        text, colour = in_words(deformation), _colour(deformation)
        label = axes.annotate(
            f"{index} {text}" if len(deformations) > 1 else text, (0, 0), (0, 0), xycoords="figure pixels",
            backgroundcolor=colour, arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 2}, **_LABEL,
        )  # fmt: skip
        size = label.get_window_extent(page.renderer).padded(_PADDING).size
        place = _chosen(list(_around(taken[index], *size)), axes, taken)
        taken.append(place)
        label.set_position(place.middle)
        label.xy = tuple(outline[np.argmin(np.hypot(*(outline - place.middle).T))])


def _chosen(places: Sequence[_Box], axes: Axes, taken: Sequence[_Box]) -> _Box:
    """The first place that is in the image and not taken, if there is one."""
    inside = [each for each in places if each.within(_Box(*axes.bbox.bounds))]
    free = [each for each in inside if not any(each.overlaps(other) for other in taken)]
    return (free or inside or places)[0]


def _around(box: _Box, width: float, height: float) -> Iterator[_Box]:
    """Places of a label beside a box, the nearest first."""
    for distance in (12, 40, 80, 160):
        left, right = box.x - distance - width, box.x + box.width + distance
        low, high = box.y - distance - height, box.y + box.height + distance
        middle, centre = box.x + (box.width - width) / 2, box.y + (box.height - height) / 2
        for x, y in (
            (middle, high),
            (middle, low),
            (right, centre),
            (left, centre),
            *product((right, left), (high, low)),
        ):
            yield _Box(x, y, width, height)


def _draw_coherence(page: Page, box: _Box, coherence: Image | None) -> None:
    if coherence is not None:
        _heading(page, box, "Coherence")
        _image(page, box, coherence)
        return
    _heading(page, box, "No coherence")
    axes = page.axes(*box)
    axes.set(xticks=(), yticks=(), facecolor="#eeeeee")


def _draw_mask(page: Page, box: _Box, annotation: Annotation, picture: Picture) -> None:
    from matplotlib.patches import Patch

    width, height = picture.width, picture.height
    places = [footprint(each.polygon, width, height) for each in annotation.deformations]
    mask = class_mask(annotation.deformations, places, 0, 0, width, height)
    _heading(page, box, "Mask" if mask.any() else "Mask: nothing is deformed")
    _image(page, box, _COLOURS[mask], "nearest")
    counts = np.bincount(mask.ravel(), minlength=len(_COLOURS))
    patches = [
        Patch(color=hex_colour(colour), label=f"{each.word}, {counts[each]} px")
        for each, colour in CLASS_COLOURS.items()
        if counts[each]
    ]
    if patches:
        page.legend(box.x, box.y + box.height + _GAP, patches)


def _draw_crop(page: Page, x: float, y: float, crop: Crop) -> None:
    own = crop.annotation.deformations[crop.index]
    window = crop.window
    box = _Box(x, y, _CROP, _CROP)
    _heading(page, box, f"Crop {crop.index}: {in_words(own)}, {window.size} px from {window.x}, {window.y}")
    _draw_outlines(_image(page, box, crop.image), crop.annotation.deformations, 1.5, (window.x, window.y))
    _image(page, box._replace(x=x + _CROP + _GAP), _COLOURS[crop.mask], "nearest")


def _colour(deformation: Deformation) -> str:
    return hex_colour(CLASS_COLOURS[deformation.activity])
