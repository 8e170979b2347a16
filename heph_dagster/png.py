"""Whether a PNG is whole, and what it holds, without decoding its pixels.

Source: W3C, Portable Network Graphics (third edition), chapters 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

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
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise PngError(f"the PNG is damaged: chunk {name!r} at byte {position} has another checksum")
        yield name, view[body:end]
        position = end + 4
