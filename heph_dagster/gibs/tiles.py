"""What a JPEG or PNG tile is, read from its header without decoding it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Start-of-frame markers; C4, C8 and CC in that range are tables, not frames.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

Palette = tuple[tuple[int, int, int, int], ...]


class TileError(ValueError):
    """Bytes that are not the tile they should be."""


@dataclass(frozen=True)
class TileType:
    """What all tiles of one mosaic have in common.

    Attributes:
        format: `jpg` or `png`.
        bands: Bands as stored: 1 for grey or palette, 2 grey + alpha, 3 RGB, 4 RGBA.
        palette: RGBA entries of a palette image, else None.
    """

    format: Literal["jpg", "png"]
    bands: int
    palette: Palette | None = None

    def __str__(self) -> str:
        kind = f"palette of {len(self.palette)}" if self.palette is not None else f"{self.bands} band(s)"
        return f"{self.format}, {kind}"


@dataclass(frozen=True)
class TileHeader:
    """Type and size in px of an encoded image."""

    type: TileType
    width: int
    height: int


def read_header(data: bytes) -> TileHeader:
    """Type and size of an encoded image, having checked that it begins and ends as one.

    Sources: ITU-T T.81 (JPEG), annex B; W3C PNG (third edition), chapters 5 and 11.

    Raises:
        TileError: The bytes are neither JPEG nor PNG, or they are cut short.
    """
    try:
        if data.startswith(PNG_SIGNATURE):
            return _png_header(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_header(data)
    except (struct.error, IndexError):
        raise TileError(f"the image is cut short after {len(data)} bytes") from None
    raise TileError(f"{len(data)} bytes that are neither JPEG nor PNG, beginning with {data[:24]!r}")


def _png_header(data: bytes) -> TileHeader:
    if data[-8:-4] != b"IEND":
        raise TileError(f"the PNG is cut short: no end marker after {len(data)} bytes")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if colour not in _PNG_BANDS or depth != 8:
        # GDAL's MRF driver does not unpack smaller samples, and hands out garbage without an error.
        raise TileError(
            f"a PNG of colour type {colour} with {depth} bits a sample cannot be stored in a mosaic: 8 are needed"
        )
    entries = _png_palette(data) if colour == 3 else None
    return TileHeader(TileType("png", _PNG_BANDS[colour], entries), width, height)


def _png_palette(data: bytes) -> Palette:
    colours, alphas, position = b"", b"", 8
    while position < len(data):
        size, name = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + size]
        if name == b"PLTE":
            colours = body
        elif name == b"tRNS":
            alphas = body
        elif name == b"IDAT":
            break
        position += size + 12
    return tuple((*colours[3 * i : 3 * i + 3], alphas[i] if i < len(alphas) else 255) for i in range(len(colours) // 3))


def _jpeg_header(data: bytes) -> TileHeader:
    if not data.rstrip(b"\x00").endswith(b"\xff\xd9"):
        raise TileError(f"the JPEG is cut short: no end marker after {len(data)} bytes")
    position = 2
    while data[position] == 0xFF:
        marker, size = struct.unpack(">BH", data[position + 1 : position + 4])
        if marker in _JPEG_FRAMES:
            height, width, bands = struct.unpack(">HHB", data[position + 5 : position + 10])
            return TileHeader(TileType("jpg", bands), width, height)
        position += 2 + size
    raise TileError("the JPEG has no frame")
