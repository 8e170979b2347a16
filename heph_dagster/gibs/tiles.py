"""What a JPEG or PNG tile is, and whether all of it is there."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import simplejpeg

from heph_dagster.gibs.grid import TILE_SIZE
from heph_dagster.png import PNG_SIGNATURE, PngError, png_chunks

_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_KEYS = {0: ">H", 2: ">HHH"}
# First column and row of each pass of an interlaced PNG, and the steps to the next ones.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
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
        depth: Bits a sample.
        key: The one grey or RGB colour of a PNG that is transparent, in its own samples, else None.
    """

    format: Literal["jpg", "png"]
    bands: int
    palette: Palette | None = None
    depth: int = 8
    key: tuple[int, ...] | None = None

    def __str__(self) -> str:
        kind = f"palette of {len(self.palette)}" if self.palette is not None else f"{self.bands} band(s)"
        key = "" if self.key is None else f", {self.key} transparent"
        return f"{self.format}, {kind} of {self.depth} bits{key}"

    @property
    def storable(self) -> bool:
        """Whether GDAL's MRF driver reads such tiles.

        It unpacks no small samples, and hands out garbage instead; a transparent colour it shows as any other.
        """
        return self.depth == 8 and self.bands != 2 and self.key is None


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
    except TileError:
        raise
    except PngError as error:
        raise TileError(str(error)) from None
    except (struct.error, IndexError, ValueError):
        raise TileError(f"the image is cut short after {len(data)} bytes") from None
    raise TileError(f"{len(data)} bytes that are neither JPEG nor PNG, beginning with {data[:24]!r}")


def check_tile(data: bytes) -> TileHeader:
    """Header of a tile, having made sure that the whole of it can be decoded.

    Raises:
        TileError: It is no JPEG or PNG, of another size than 512 x 512 px, or damaged.
    """
    header = read_header(data)
    if (header.width, header.height) != (TILE_SIZE, TILE_SIZE):
        raise TileError(f"the tile is {header.width} x {header.height} px instead of {TILE_SIZE} x {TILE_SIZE}")
    if header.type.format == "png":
        _check_png(data)
    else:
        # Decoding the entropy finds the damage, of which libjpeg only warns; an eighth of the size saves other work.
        eighth = TILE_SIZE // 8
        try:
            simplejpeg.decode_jpeg(data, "GRAY", min_height=eighth, min_width=eighth, fastdct=True, strict=True)
        except ValueError as error:
            raise TileError(f"the JPEG cannot be decoded: {error}") from None
    return header


def to_rgba(data: bytes) -> bytes:
    """A PNG tile of any kind as one of RGBA with 8 bits, without loss."""
    from PIL import Image

    target, kind = io.BytesIO(), read_header(data).type
    picture = Image.open(io.BytesIO(data))
    if kind.key is not None and picture.mode == "L":  # Pillow makes small samples 0 to 255, but not the colour
        picture.info["transparency"] = kind.key[0] * 255 // ((1 << kind.depth) - 1)
    picture.convert("RGBA").save(target, "PNG")
    return target.getvalue()


def _check_png(data: bytes) -> None:
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    bits = depth * _PNG_BANDS[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - left) // right), -(-(height - top) // down)) for left, top, right, down in passes]
    expected = sum(rows * (1 + -(-cols * bits // 8)) for cols, rows in sizes)
    inflating = zlib.decompressobj()
    try:
        packed = b"".join(body for name, body in png_chunks(data) if name == b"IDAT")
        # One byte more tells that there is more; all of it might fill the memory.
        pixels = len(inflating.decompress(packed, expected + 1))
    except (PngError, zlib.error) as error:
        raise TileError(f"the PNG cannot be decoded: {error}") from None
    if pixels != expected or not inflating.eof:
        found = "more" if pixels > expected else "fewer" if pixels < expected else "no end"
        raise TileError(f"the PNG cannot be decoded: {width} x {height} px are {expected} bytes, and it has {found}")


def _png_header(data: bytes) -> TileHeader:
    if data[-8:-4] != b"IEND":
        raise TileError(f"the PNG is cut short: no end marker after {len(data)} bytes")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if colour not in _PNG_BANDS or depth > 8:
        raise TileError(f"a PNG of colour type {colour} with {depth} bits a sample cannot be a tile")
    before = data[: data.index(b"IDAT") - 4]
    if colour == 3:
        return TileHeader(TileType("png", 1, _png_palette(before), depth), width, height)
    key = None
    if colour in _PNG_KEYS and b"tRNS" in before:  # most tiles have no such chunk, and their others need no look
        key = _png_key(before, colour, depth)
    return TileHeader(TileType("png", _PNG_BANDS[colour], None, depth, key), width, height)


def _png_key(before: bytes, colour: int, depth: int) -> tuple[int, ...] | None:
    transparent = dict(png_chunks(before)).get(b"tRNS")
    if transparent is None:
        return None
    return tuple(sample & ((1 << depth) - 1) for sample in struct.unpack(_PNG_KEYS[colour], transparent))


def _png_palette(before: bytes) -> Palette:
    chunks = dict(png_chunks(before))
    colours, alphas = chunks.get(b"PLTE", b""), chunks.get(b"tRNS", b"")
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
