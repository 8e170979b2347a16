"""Headers of encoded tiles."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.tiles import TileError, TileType, check_tile, read_header, to_rgba
from heph_dagster.png import PNG_SIGNATURE

RGB = np.full((40, 60, 3), 90, np.uint8)


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive: bool) -> None:
    header = read_header(saved(Pillow.fromarray(RGB), "JPEG", progressive=progressive, exif=b"Exif\0\0"))
    assert (header.type, header.width, header.height) == (TileType("jpg", 3), 60, 40)
    assert read_header(saved(Pillow.fromarray(RGB[..., 0]), "JPEG")).type == TileType("jpg", 1)


def test_png_kinds() -> None:
    alpha = np.dstack([RGB, RGB[..., 0]])
    assert read_header(encode(RGB, "png")).type == TileType("png", 3)
    assert read_header(encode(alpha, "png")).type == TileType("png", 4)
    assert read_header(encode(RGB[..., 0], "png")).type == TileType("png", 1)


def test_png_palette_with_transparency() -> None:
    palette = ((0, 0, 0, 0), (255, 255, 255, 255), (10, 20, 30, 40))
    header = read_header(encode(np.zeros((40, 60), np.uint8), "png", palette))
    assert header.type == TileType("png", 1, palette + ((0, 0, 0, 0),) * 14)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>busy</html>", "17 bytes that are neither JPEG nor PNG, beginning with b'<html>busy</html>'"),
        (b"", "0 bytes that are neither"),
        (encode(RGB, "jpg")[:-2], "the JPEG is cut short: no end marker"),
        (encode(RGB, "png")[:-12], "the PNG is cut short: no end marker"),
        (b"\xff\xd8\xff\xd9", "the image is cut short after 4 bytes"),
        (
            saved(Pillow.fromarray(RGB[..., 0].astype(np.uint16)), "PNG"),
            "16 bits a sample cannot be a tile",
        ),
    ],
)
def test_what_is_no_whole_tile_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(TileError, match=message):
        read_header(data)


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_a_jpeg_that_is_damaged_in_its_middle_is_refused(damage: str) -> None:
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(cv2.resize(small, (512, 512)), "jpg")
    check_tile(data)
    half = len(data) // 2
    parts = {
        "cut": data[: half // 2] + data[half:],
        "zeros": data[:half] + bytes(2000) + data[half + 2000 :],
        "noise": data[:half] + rng.bytes(3000) + data[half + 3000 :],
    }
    with pytest.raises(TileError, match="the JPEG cannot be decoded: "):
        check_tile(parts[damage])


def png(
    depth: int, colour: int, pixels: bytes, key: bytes = b"", size: int = 512, *, interlaced: bool = False
) -> bytes:
    """A PNG of filtered rows, with a transparent colour if given."""
    header = struct.pack(">IIBBBBB", size, size, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *([(b"tRNS", key)] if key else []), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_stays_transparent(depth: int) -> None:
    grey = np.random.default_rng(1).integers(0, 1 << depth, (512, 512), dtype=np.uint8)
    bits = np.unpackbits(grey[..., None], axis=2)[..., 8 - depth :].reshape(512, -1)
    rows = np.hstack([np.zeros((512, 1), np.uint8), np.packbits(bits, axis=1)]).tobytes()
    key = (1 << depth) - 1
    tile = png(depth, 0, rows, struct.pack(">H", key))
    kind = check_tile(tile).type
    assert (kind, kind.storable) == (TileType("png", 1, None, depth, (key,)), False)
    assert str(kind) == f"png, 1 band(s) of {depth} bits, ({key},) transparent"
    rgba = np.array(Pillow.open(io.BytesIO(to_rgba(tile))))
    np.testing.assert_array_equal(rgba[..., 0], grey.astype(int) * 255 // key)
    np.testing.assert_array_equal(rgba[..., 3], np.where(grey == key, 0, 255))


def test_a_transparent_colour_stays_transparent() -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (512, 512, 3), dtype=np.uint8)
    rows = np.hstack([np.zeros((512, 1), np.uint8), pixels.reshape(512, -1)]).tobytes()
    tile = png(8, 2, rows, struct.pack(">HHH", 0, 1, 0))
    kind = check_tile(tile).type
    assert (kind, kind.storable) == (TileType("png", 3, key=(0, 1, 0)), False)
    rgba = np.array(Pillow.open(io.BytesIO(to_rgba(tile))))
    np.testing.assert_array_equal(rgba[..., :3], pixels)
    np.testing.assert_array_equal(rgba[..., 3], np.where((pixels == (0, 1, 0)).all(axis=2), 0, 255))


# The sizes of the seven passes of 512 x 512 px: 64 x 64, 64 x 64, 128 x 64, 128 x 128, 256 x 128, 256 x 256, 512 x 256.
_INTERLACED = 512 * 512 + 64 + 64 + 64 + 128 + 128 + 256 + 256


@pytest.mark.parametrize(("interlaced", "size"), [(False, 512 * 513), (True, _INTERLACED)])
def test_a_png_has_exactly_the_pixels_that_its_header_says(interlaced: bool, size: int) -> None:
    assert check_tile(png(8, 0, bytes(size), interlaced=interlaced)).type == TileType("png", 1)
    for wrong, found in ((size - 1, "fewer"), (size + 1, "more")):
        with pytest.raises(TileError, match=f"512 x 512 px are {size} bytes, and it has {found}"):
            check_tile(png(8, 0, bytes(wrong), interlaced=interlaced))
    cut = zlib.compress(bytes(size))[:-4]
    tile = png(8, 0, bytes(size), interlaced=interlaced)
    body = struct.pack(">I", len(cut)) + b"IDAT" + cut + struct.pack(">I", zlib.crc32(b"IDAT" + cut))
    with pytest.raises(TileError, match="and it has no end"):
        check_tile(tile[:33] + body + tile[-12:])


def test_a_png_that_inflates_without_end_is_refused_early() -> None:
    tile = png(8, 0, bytes(64 << 20))
    assert len(tile) < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(TileError, match="and it has more"):
            check_tile(tile)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
