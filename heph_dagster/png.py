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
_DEPTHS = frozenset({1, 2, 4, 8, 16})


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
    """

    width: int
    height: int
    depth: int
    colour: str
    grey: bool

    @property
    def channels(self) -> int:
        """Samples a pixel, as stored."""
        return _CHANNELS[self.colour]


def check_png(data: bytes) -> PngHeader:
    """What a PNG holds, having compared the checksums of all its chunks.

    Args:
        data: The whole file.

    Raises:
        PngError: It is no PNG, is cut short, or a checksum is wrong.
    """
    if not data.startswith(PNG_SIGNATURE):
        raise PngError(f"it is not a PNG: it begins with {data[:8]!r}" if data else "it is empty")
    chunks = dict(png_chunks(data))
    if b"IEND" not in chunks:
        raise PngError(f"the PNG is cut short after {len(data)} bytes")
    header, palette = chunks.get(b"IHDR", b""), bytes(chunks.get(b"PLTE", b""))
    if len(header) != 13 or b"IDAT" not in chunks:
        raise PngError(f"the PNG has no {'pixels' if len(header) == 13 else 'header'}")
    width, height, depth, code = struct.unpack(">IIBB", header[:10])
    colour = _COLOURS.get(code)
    if not width or not height or colour is None or depth not in _DEPTHS:
        raise PngError(f"the PNG's header is wrong: {width} x {height} px, {depth} bits, colour type {code}")
    grey = palette[::3] == palette[1::3] == palette[2::3] if colour == "palette" else colour.startswith("grey")
    return PngHeader(width, height, depth, colour, grey)


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


def decode_png(data: bytes, *, grey: bool = False) -> NDArray[np.uint8]:
    """The pixels of a PNG, of any kind: alpha is dropped, and 16 bits become 8.

    Inflating is most of the time that a PNG takes. isal does it, and OpenCV the rest.

    Args:
        data: The whole file.
        grey: Whether to return grey levels (the luma of colours) instead of colours.

    Returns:
        RGB, H x W x 3, or grey levels, H x W.

    Raises:
        PngError: It is no PNG, is cut short or damaged.
    """
    import cv2
    import numpy as np

    header = check_png(data)
    chunks = list(png_chunks(data))
    try:
        rows = isal_zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    except isal_zlib.error as error:  # type: ignore[misc]  # isal's stub calls the class an instance
        raise PngError(f"the pixels of the PNG cannot be inflated: {error}") from error
    plain = dict(chunks)[b"IHDR"][8:] == bytes((8, 0 if grey else 2, 0, 0, 0))
    # Where nothing is filtered, the rows are the pixels.
    if plain and len(rows) == header.height * (header.width * header.channels + 1):
        filtered = np.frombuffer(rows, np.uint8).reshape(header.height, -1)
        if not filtered[:, 0].any():
            shape = (header.height, header.width) if grey else (header.height, header.width, 3)
            return filtered[:, 1:].reshape(shape)
    kept = [(name, body) for name, body in chunks if name in {b"IHDR", b"PLTE", b"tRNS"}]
    buffer = np.frombuffer(_png([*kept, (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")]), np.uint8)
    mode = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB
    try:
        image: Any = cv2.imdecode(buffer, mode)
    except cv2.error as error:  # a header that asks for too much memory
        raise PngError(f"the pixels of the PNG cannot be decoded: {error.err}") from error
    if image is None:
        raise PngError("the pixels of the PNG cannot be decoded")
    return image


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels, without filters: those of interferograms compress as well without, and read faster.

    Args:
        image: RGB, H x W x 3, or grey levels, H x W.

    Returns:
        The file. On other kinds of processors, its bytes may differ, never its pixels.
    """
    import numpy as np

    height, width = image.shape[:2]
    rows = np.zeros((height, image.size // height + 1), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    return _png([(b"IHDR", header), (b"IDAT", isal_zlib.compress(rows, 1)), (b"IEND", b"")])


def _png(chunks: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    parts: list[bytes | memoryview] = [PNG_SIGNATURE]
    for name, body in chunks:
        parts += [
            struct.pack(">I", len(body)),
            name,
            body,
            struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(name))),
        ]
    return b"".join(parts)
