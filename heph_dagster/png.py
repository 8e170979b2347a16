"""PNG: whether one is whole, what it holds, and its pixels faster than by libpng.

Source: W3C, Portable Network Graphics (third edition), chapters 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isal import isal_zlib

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey+alpha", 6: "rgba"}
_CHANNELS = {"grey": 1, "rgb": 3, "palette": 1, "grey+alpha": 2, "rgba": 4}
_DEPTHS = {
    "grey": {1, 2, 4, 8, 16}, "rgb": {8, 16}, "palette": {1, 2, 4, 8}, "grey+alpha": {8, 16}, "rgba": {8, 16},
}  # fmt: skip
_PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
"""First column and distance of columns, first row and distance of rows, of each pass of an interlaced image."""
LARGEST = 1 << 28
"""Bytes of pixels that are decoded; interferograms have about a hundredth of it."""


class PngError(ValueError):
    """Bytes that are not the PNG they should be."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What a PNG says of itself.

    Attributes:
        width: Columns.
        height: Rows.
        depth: Bits a sample.
        colour: `grey`, `rgb`, `palette`, `grey+alpha` or `rgba`.
        grey: Whether it can hold grey levels only: it has no colours, or its palette has none.
        interlaced: Whether its pixels come in seven passes.
    """

    width: int
    height: int
    depth: int
    colour: str
    grey: bool
    interlaced: bool

    @property
    def channels(self) -> int:
        """Samples a pixel, as stored."""
        return _CHANNELS[self.colour]

    @property
    def inflated(self) -> int:
        """Bytes of its pixels once inflated: rows of each pass, with a byte for the filter before each."""
        total = 0
        for left, across, top, down in _PASSES if self.interlaced else ((0, 1, 0, 1),):
            columns, rows = -(-(self.width - left) // across), -(-(self.height - top) // down)
            total += rows * (1 + (columns * self.channels * self.depth + 7) // 8) if columns > 0 and rows > 0 else 0
        return total


def check_png(data: bytes) -> PngHeader:
    """What a PNG holds, having compared the checksums of all its chunks.

    Args:
        data: The whole file.

    Raises:
        PngError: It is no PNG, is cut short, a checksum is wrong, or it says that it has more than LARGEST bytes of
            pixels.
    """
    return _parsed(data)[0]


def _parsed(data: bytes) -> tuple[PngHeader, list[tuple[bytes, memoryview]]]:
    """What a PNG holds, as `check_png` tells it, and its chunks."""
    if not data.startswith(PNG_SIGNATURE):
        raise PngError(f"it is not a PNG: it begins with {data[:8]!r}" if data else "it is empty")
    listed = list(png_chunks(data))
    chunks, names = dict(listed), [name for name, _ in listed]
    if b"IEND" not in chunks:
        raise PngError(f"the PNG is cut short after {len(data)} bytes")
    header, palette = chunks.get(b"IHDR", b""), bytes(chunks.get(b"PLTE", b""))
    if len(header) != 13 or b"IDAT" not in chunks:
        raise PngError(f"the PNG has no {'pixels' if len(header) == 13 else 'header'}")
    if names[0] != b"IHDR" or names.count(b"IHDR") > 1 or names.count(b"PLTE") > 1:
        raise PngError("the PNG has several headers or palettes, or does not begin with its header")
    width, height, depth, code, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    colour = _COLOURS.get(code, "")
    if not width or not height or depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise PngError(f"the PNG's header is wrong: {width} x {height} px, {depth} bits, colour type {code}")
    if colour == "palette" and (not palette or len(palette) % 3 or len(palette) > 3 << depth):
        raise PngError(f"the PNG has a palette of {len(palette)} bytes: it should have 3 a colour, for {1 << depth}")
    grey = palette[::3] == palette[1::3] == palette[2::3] if colour == "palette" else colour.startswith("grey")
    found = PngHeader(width, height, depth, colour, grey, bool(interlace))
    if found.inflated > LARGEST:
        raise PngError(
            f"the PNG says that it has {width} x {height} px: more than {LARGEST} bytes of pixels are not decoded"
        )
    return found, listed


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Names and contents of a PNG's chunks, up to its end marker or the end of the data.

    Args:
        data: A PNG, or what it begins with.

    Raises:
        PngError: The data end within a chunk, or a checksum is wrong.
    """
    view, position, name = memoryview(data), len(PNG_SIGNATURE), b""
    while position < len(data) and name != b"IEND":
        body = position + 8
        size, name = struct.unpack_from(">I4s", data, position) if body <= len(data) else (0, b"")
        end = body + size
        if end + 4 > len(data):
            raise PngError(f"the PNG is cut short after {len(data)} bytes")
        if isal_zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise PngError(f"the PNG is damaged: chunk {name!r} at byte {position} has another checksum")
        yield name, view[body:end]
        position = end + 4


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels as a PNG keeps them.

    Attributes:
        pixels: RGB, H x W x 3, or grey levels or numbers of a palette, H x W; uint8.
        palette: RGB of each number, 256 x 3; None where pixels are no numbers.
    """

    pixels: NDArray[np.uint8]
    palette: NDArray[np.uint8] | None = None

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    def rgb(self) -> NDArray[np.uint8]:
        """The colours, H x W x 3."""
        import numpy as np

        if self.palette is not None:
            return np.take(self.palette, self.pixels, axis=0)
        return self.pixels if self.pixels.ndim == 3 else np.repeat(self.pixels[..., None], 3, axis=2)


def decode_picture(data: bytes) -> Picture:
    """The pixels of a PNG of any kind: alpha is dropped, and 16 bits become 8.

    Inflating is most of the time that a PNG takes; isal does it. OpenCV undoes filters and interlacing.

    Args:
        data: The whole file.

    Raises:
        PngError: It is no PNG, is cut short or damaged.
    """
    header, chunks = _parsed(data)
    return _picture(header, chunks, _inflated(chunks, header))


def _picture(header: PngHeader, chunks: list[tuple[bytes, memoryview]], rows: bytes) -> Picture:
    """The pixels of inflated rows."""
    import cv2
    import numpy as np

    plain = header.depth == 8 and header.colour in {"grey", "rgb", "palette"}
    if not plain:
        return Picture(_by_opencv(chunks, rows, cv2.IMREAD_COLOR_RGB))
    lines = None if header.interlaced else np.frombuffer(rows, np.uint8).reshape(header.height, -1)
    if lines is None or lines[:, 0].any():
        # Numbers of a palette are filtered as grey levels are: told to be these, they are not turned into colours.
        told = [(name, _as_grey(body) if name == b"IHDR" and header.channels == 1 else body) for name, body in chunks]
        pixels = _by_opencv(told, rows, cv2.IMREAD_GRAYSCALE if header.channels == 1 else cv2.IMREAD_COLOR_RGB)
    else:
        shape = (header.height, header.width, 3) if header.channels == 3 else (header.height, header.width)
        pixels = lines[:, 1:].reshape(shape)
    if header.colour != "palette":
        return Picture(pixels)
    palette = np.zeros((256, 3), np.uint8)
    colours = np.frombuffer(dict(chunks)[b"PLTE"], np.uint8).reshape(-1, 3)
    if len(colours) < 256 and (last := int(pixels.max())) >= len(colours):
        raise PngError(f"the PNG has pixels of colour {last}, and its palette has {len(colours)} colours")
    palette[: len(colours)] = colours
    return Picture(pixels, palette)


def decode_png(data: bytes, *, grey: bool = False) -> NDArray[np.uint8]:
    """The pixels of a PNG of any kind, as `decode_picture` reads them.

    Args:
        data: The whole file.
        grey: Whether to return grey levels (the luma of colours) instead of colours.

    Returns:
        RGB, H x W x 3, or grey levels, H x W.

    Raises:
        PngError: It is no PNG, is cut short or damaged.
    """
    import cv2

    header, chunks = _parsed(data)
    rows = _inflated(chunks, header)
    picture = _picture(header, chunks, rows)
    if not grey:
        return picture.rgb()
    if picture.palette is None and picture.pixels.ndim == 2:
        return picture.pixels
    return _by_opencv(chunks, rows, cv2.IMREAD_GRAYSCALE)


def encode_png(picture: Picture) -> bytes:
    """A PNG, without filters: interferograms compress as well without, and are read faster.

    Args:
        picture: The pixels.

    Returns:
        The file. On other kinds of processors, its bytes may differ, never its pixels.
    """
    import numpy as np

    pixels, palette = picture.pixels, picture.palette
    rows = np.zeros((picture.height, pixels.size // picture.height + 1), np.uint8)
    rows[:, 1:] = pixels.reshape(picture.height, -1)
    colour = 3 if palette is not None else 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, colour, 0, 0, 0)
    colours = [] if palette is None else [(b"PLTE", palette[: int(pixels.max()) + 1].tobytes())]
    return _png([(b"IHDR", header), *colours, (b"IDAT", isal_zlib.compress(rows, 1)), (b"IEND", b"")])


def _as_grey(header: bytes | memoryview) -> bytes:
    return bytes(header[:9]) + b"\0" + bytes(header[10:])


def _inflated(chunks: list[tuple[bytes, memoryview]], header: PngHeader) -> bytes:
    # A byte more than there should be shows that there are more, however many.
    inflating = isal_zlib.decompressobj()
    try:
        rows = inflating.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), header.inflated + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # isal's stub calls the class an instance
        raise PngError(f"the pixels of the PNG cannot be inflated: {error}") from error
    size = f"{header.width} x {header.height} px"
    if len(rows) > header.inflated:
        raise PngError(f"the PNG has more pixels than its {size}")
    if len(rows) < header.inflated or not inflating.eof:
        raise PngError(f"the pixels of the PNG end before all its {size} are there")
    return rows


def _by_opencv(chunks: Iterable[tuple[bytes, bytes | memoryview]], rows: bytes, mode: int) -> NDArray[np.uint8]:
    """The pixels of a PNG whose rows have been inflated."""
    import cv2
    import numpy as np

    kept = [(name, body) for name, body in chunks if name in {b"IHDR", b"PLTE", b"tRNS"}]
    grey = kept[0][1][9] == 0
    kept = [(name, body) for name, body in kept if name == b"IHDR" or not grey]
    buffer = np.frombuffer(_png([*kept, (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")]), np.uint8)
    try:
        image: Any = cv2.imdecode(buffer, mode)
    except cv2.error as error:  # a header that asks for too much memory
        raise PngError(f"the pixels of the PNG cannot be decoded: {error.err}") from error
    if image is None:
        raise PngError("the pixels of the PNG cannot be decoded")
    return np.asarray(image)


def _png(chunks: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    parts: list[bytes | memoryview] = [PNG_SIGNATURE]
    for name, body in chunks:
        checksum = isal_zlib.crc32(body, isal_zlib.crc32(name))
        parts += [struct.pack(">I", len(body)), name, body, struct.pack(">I", checksum)]
    return b"".join(parts)
