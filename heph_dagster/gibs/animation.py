"""Animations of days: one frame a day, with its date."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np

from heph_dagster.files import replacing
from heph_dagster.gibs.box import Box
from heph_dagster.gibs.grid import BBox
from heph_dagster.gibs.raster import Image, RasterError, over_black, palette_of

DEFAULT_WIDTHS = (320, 1920)
"""Least and greatest width in px of an animation for which none is asked: dates are legible, browsers play it."""

_EDGES = (64, 8192)
_PALETTE_PIXELS = 250_000
# Quality 18 is called visually lossless in x264's documentation. A key frame every ten days lets players jump to a day;
# days look little alike, so that it costs little. Frames that x264 holds back to look ahead are memory.
_X264 = {"crf": "18", "g": "10", "rc-lookahead": "10"}


def export_animation(
    target: Path,
    days: Mapping[date, Path | None],
    bbox: BBox | None = None,
    *,
    fps: float = 4,
    width: int | None = None,
    on_day: Callable[[date], None] = lambda _: None,
) -> Path:
    """Write days as an animation; one frame at a time is in memory.

    A day without a mosaic becomes a frame that says so: time goes on evenly. What is transparent is black.

    Args:
        target: `.mp4` (H.264 with 4:2:0 colours, which browsers play) or `.gif` (256 colours a frame, endless).
        days: The mosaic of each day, in order; None where there is none.
        bbox: Box as for `Box.open`.
        fps: Frames, that is days, a second.
        width: Width of the frames in px, for which the box is shrunk by averaging or enlarged by repeating its pixels;
            by default the box's own within `DEFAULT_WIDTHS`.
        on_day: Called with each day as its frame is written.

    Returns:
        The file.

    Raises:
        RasterError: A mosaic cannot be read or does not meet the box, or mosaics show different parts of it.
        ValueError: There is no mosaic at all, or no such file or frame can be.
    """
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    if target.suffix.lower() not in writers:
        raise ValueError(f"{target}: an animation is an .mp4 or a .gif file")
    first = next((mosaic for mosaic in days.values() if mosaic is not None), None)
    if first is None:
        raise ValueError("none of the days is on disk: download them first, or name their folder with --output_dir")
    example = Box.open(first, bbox)
    size = _frame_size(example, width)

    def frames() -> Iterator[Image]:
        for day, mosaic in days.items():
            yield _frame(day, mosaic, example, bbox, size)
            on_day(day)

    with replacing(target) as part:
        writers[target.suffix.lower()](part, frames(), size, fps)
    return target


def _frame_size(box: Box, width: int | None) -> tuple[int, int]:
    own_width, own_height = box.window[2:]
    if width is None:
        width = min(max(own_width, DEFAULT_WIDTHS[0]), DEFAULT_WIDTHS[1])
    size = width, round(own_height * width / own_width)
    if min(size) < _EDGES[0] or max(size) > _EDGES[1]:
        raise ValueError(
            f"frames of {size[0]} x {size[1]} px cannot be, both edges need {_EDGES[0]} to {_EDGES[1]} px: "
            "choose another --width or --bbox"
        )
    return size


def _frame(day: date, mosaic: Path | None, example: Box, bbox: BBox | None, size: tuple[int, int]) -> Image:
    if mosaic is None:
        return _with_text(np.zeros((size[1], size[0], 3), np.uint8), day.isoformat(), "no data")
    box = Box.open(mosaic, bbox)
    coarser = max(box.georeference.across, example.georeference.across)
    if any(abs(a - b) > coarser for a, b in zip(box.bounds, example.bounds, strict=True)):
        raise RasterError(f"{mosaic} covers {box.bounds} of the box, but {example.mosaic} {example.bounds}")
    return _with_text(over_black(box.read(size=size), palette_of(box.dataset)), day.isoformat())


def _with_text(frame: Image, corner: str, centre: str = "") -> Image:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    letters = max(12, min(height // 20, width // 16))
    font = ImageFont.load_default(letters)
    for place, anchor, text in (
        ((letters // 2, height - letters // 2), "ls", corner),
        ((width // 2, height // 2), "mm", centre),
    ):
        draw.text(place, text, "white", font, anchor, stroke_width=max(1, letters // 12), stroke_fill="black")
    return np.asarray(picture)


def _write_mp4(path: Path, frames: Iterable[Image], size: tuple[int, int], fps: float) -> None:
    import av
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    odd_columns, odd_rows = size[0] % 2, size[1] % 2
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=_X264)
        stream.width, stream.height, stream.pix_fmt = size[0] + odd_columns, size[1] + odd_rows, "yuv420p"
        # Players guess what the file does not say, and show other colours.
        codec = stream.codec_context
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for frame in frames:
            # 4:2:0 needs even edges.
            even = np.pad(frame, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(even, format="rgb24")
            file.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
        file.mux(stream.encode())


def _write_gif(path: Path, frames: Iterable[Image], size: tuple[int, int], fps: float) -> None:
    """Frame by frame: `Image.save` would keep all of them until the end."""
    from PIL import GifImagePlugin
    from PIL import Image as Pillow

    milliseconds = 1000 / fps
    step = math.ceil(math.sqrt(size[0] * size[1] / _PALETTE_PIXELS))
    with path.open("wb") as file:
        header, _ = GifImagePlugin.getheader(Pillow.new("P", size), info={"loop": 0, "duration": milliseconds})
        file.writelines(header)
        for frame in frames:
            # A large frame gets the palette of a part of its pixels: ten times as fast, and nearly as good.
            picture = Pillow.fromarray(frame[::step, ::step]).quantize(256)
            if step > 1:
                picture = Pillow.fromarray(frame).quantize(palette=picture, dither=Pillow.Dither.NONE)
            file.writelines(GifImagePlugin.getdata(picture, duration=milliseconds, include_color_table=True))
        file.write(b";")
