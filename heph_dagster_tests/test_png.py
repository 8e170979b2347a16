"""What a PNG says of itself, and damage found without decoding."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from heph_dagster.png import PNG_SIGNATURE, PngError, PngHeader, check_png

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


HEADER = struct.pack(">IIBBBBB", 7, 5, 8, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("picture", "depth", "colour", "channels", "grey"),
    [
        (Image.fromarray(RGB), 8, "rgb", 3, False),
        (Image.fromarray(RGB[..., 0]), 8, "grey", 1, True),
        (Image.fromarray(RGB[..., 0].astype(np.uint16)), 16, "grey", 1, True),
        (Image.fromarray(RGB).convert("RGBA"), 8, "rgba", 4, False),
        (Image.fromarray(RGB[..., 0]).convert("LA"), 8, "grey+alpha", 2, True),
        (Image.fromarray(RGB[..., 0]).convert("1"), 1, "grey", 1, True),
        (Image.fromarray(RGB).quantize(8), 4, "palette", 1, False),
        (Image.fromarray(np.repeat(RGB[..., :1], 3, 2)).quantize(4), 2, "palette", 1, True),
    ],
)
def test_headers(picture: Image.Image, depth: int, colour: str, channels: int, grey: bool) -> None:
    header = check_png(encoded(picture))
    assert header == PngHeader(7, 5, depth, colour, grey)
    assert header.channels == channels


def test_all_damage_is_found() -> None:
    data = cv2.imencode(".png", RGB)[1].tobytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(PngError):
            check_png(bytes(damaged))
        with pytest.raises(PngError):
            check_png(data[:position])
    assert check_png(data + b"more").width == 7


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^it is empty$"),
        (b"<html></html>", "it is not a PNG: it begins with b'<html></'"),
        (encoded(Image.fromarray(RGB))[:60], "the PNG is cut short after 60 bytes"),
        (PNG_SIGNATURE + chunk(b"IHDR", HEADER) + chunk(b"IEND", b""), "the PNG has no pixels"),
        (PNG_SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b""), "the PNG has no header"),
        (
            PNG_SIGNATURE
            + chunk(b"IHDR", HEADER[:9] + b"\5" + HEADER[10:])
            + chunk(b"IDAT", b"")
            + chunk(b"IEND", b""),
            "the PNG's header is wrong: 7 x 5 px, 8 bits, colour type 5",
        ),
        (
            encoded(Image.fromarray(RGB)).replace(b"IDAT", b"IDAX"),
            "the PNG is damaged: chunk b'IDAX' at byte 33 has another checksum",
        ),
    ],
)
def test_errors(data: bytes, message: str) -> None:
    with pytest.raises(PngError, match=message):
        check_png(data)
