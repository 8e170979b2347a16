"""What pictures of InSAR data have in common: the colours of classes, and figures measured in px."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from heph_dagster.hephaestus.annotation import Activity

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from heph_dagster.hephaestus.interferograms import Image

CLASS_COLOURS = {
    Activity.MOGI: (213, 94, 0),
    Activity.DYKE: (0, 114, 178),
    Activity.SILL: (0, 158, 115),
    Activity.SPHEROID: (204, 121, 167),
    Activity.EARTHQUAKE: (86, 180, 233),
    Activity.UNIDENTIFIED: (230, 159, 0),
}
"""RGB of each class, told apart by colour-blind people, too.

Source: Okabe and Ito, "Color Universal Design", 2008.
"""
INK, FAINT = "#1b1f24", "#6a737d"
_DPI = 100


def hex_colour(rgb: Iterable[int]) -> str:
    """RGB from 0 to 255 as matplotlib takes it: `#d55e00`."""
    return "#" + bytes(rgb).hex()


def webp(picture: Image) -> bytes:
    """An RGB picture as a WebP file without loss: plots are a third as large as by PNG, and less than by JPEG."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "webp", lossless=True)
    return buffer.getvalue()


class Page:
    """A white figure, in px from its top left corner.

    Attributes:
        figure: The figure.
        width: Columns.
        height: Rows.
    """

    def __init__(self, width: int, height: int) -> None:
        """Begin a figure of so many columns and rows."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
        self._canvas: Any = FigureCanvasAgg(self.figure)

    @property
    def renderer(self) -> RendererAgg:
        """What measures texts."""
        renderer: RendererAgg = self._canvas.get_renderer()
        return renderer

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose top left corner is at x, y."""
        return self.figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        )

    def text(self, x: float, y: float, text: str, size: float = 10, *, colour: str = INK, bold: bool = False) -> Text:
        """Text that begins at the top left corner x, y; `$` is a dollar sign."""
        return self.figure.text(
            x / self.width, 1 - y / self.height, text, size=size, color=colour, va="top",
            weight="bold" if bold else "normal", parse_math=False, linespacing=1.35,
        )  # fmt: skip

    def legend(self, x: float, y: float, handles: Sequence[Artist], columns: int = 6) -> None:
        """What colours mean, in rows from the top left corner x, y."""
        self.figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(x / self.width, 1 - y / self.height), ncols=columns,
            fontsize=9, frameon=False, borderpad=0, borderaxespad=0, handlelength=1.0, handleheight=1.0,
            handletextpad=0.5, columnspacing=1.2,
        )  # fmt: skip

    def rgb(self) -> Image:
        """Its pixels, H x W x 3."""
        self._canvas.draw()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
