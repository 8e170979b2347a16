"""What a PNG says of itself, damage found without decoding, and its pixels."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from heph_dagster.png import (
    PNG_SIGNATURE,
    Picture,
    PngError,
    PngHeader,
    check_png,
    decode_picture,
    decode_png,
    encode_png,
    png_chunks,
)

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, kind: tuple[int, int, int], rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of a depth, a colour type and a way of interlacing, with more chunks before its pixels."""
    depth, colour, interlace = kind
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(chunk(*each) for each in chunks)


HEADER = struct.pack(">IIBBBBB", 7, 5, 8, 0, 0, 0, 0)
GREY, PALETTE = (8, 0, 0), (8, 3, 0)


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
    assert header == PngHeader(7, 5, depth, colour, grey, interlaced=False)
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


@pytest.mark.parametrize("filters", [cv2.IMWRITE_PNG_FILTER_NONE, cv2.IMWRITE_PNG_ALL_FILTERS])
@pytest.mark.parametrize("shape", [(5, 7, 3), (64, 33, 3), (5, 7), (64, 33)])
def test_pixels_of_any_filters_are_decoded(shape: tuple[int, ...], filters: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_FILTER, filters])[1].tobytes()
    if len(shape) == 2:
        data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_FILTER, filters])[1].tobytes()
        assert (decode_png(data, grey=True) == image).all()
        assert (decode_png(data) == image[..., None]).all()
    else:
        assert (decode_png(data) == image).all()
        assert (decode_png(data, grey=True) == cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)).all()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "I;16"])
def test_pixels_of_any_kind_are_decoded_as_opencv_does(mode: str) -> None:
    levels = np.arange(48, dtype=np.uint16).reshape(6, 8)
    if mode == "I;16":
        picture = Image.fromarray(levels * 1000)
    else:
        picture = Image.fromarray((levels * 5).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    picture.save(file, "png")
    expected = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert (decode_png(file.getvalue()) == expected[..., ::-1]).all()


@pytest.mark.parametrize("shape", [(5, 7, 3), (64, 33), (1, 1)])
def test_pixels_survive_encoding(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    data = encode_png(Picture(image))
    assert (decode_png(data, grey=len(shape) == 2) == image).all()
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (by_opencv == (image[..., ::-1] if len(shape) == 3 else image)).all()


def test_pixels_that_cannot_be_inflated_are_an_error() -> None:
    data = encode_png(Picture(np.zeros((4, 4), np.uint8)))
    (body,) = [bytes(body) for name, body in png_chunks(data) if name == b"IDAT"]
    wrong = b"\0" * len(body)
    damaged = data.replace(body, wrong).replace(
        struct.pack(">I", zlib.crc32(b"IDAT" + body)), struct.pack(">I", zlib.crc32(b"IDAT" + wrong))
    )
    with pytest.raises(PngError, match="the pixels of the PNG cannot be inflated"):
        decode_png(damaged)


def test_fewer_pixels_than_the_header_says_are_an_error() -> None:
    data = encode_png(Picture(np.zeros((4, 4, 3), np.uint8)))
    header = data[12:29]
    wrong = header.replace(struct.pack(">I", 4), struct.pack(">I", 5), 1)
    short = data.replace(header, wrong).replace(
        struct.pack(">I", zlib.crc32(header)), struct.pack(">I", zlib.crc32(wrong))
    )
    with pytest.raises(PngError, match="the pixels of the PNG"):
        decode_png(short)


@pytest.mark.parametrize("filters", [False, True])
def test_numbers_of_a_palette_stay_numbers(filters: bool) -> None:
    rng = np.random.default_rng(2)
    numbers, palette = rng.integers(0, 200, (30, 41), dtype=np.uint8), rng.integers(0, 256, (256, 3), dtype=np.uint8)
    palette[numbers.max() + 1 :] = 0
    if filters:  # of grey levels, as OpenCV chooses them
        grey = cv2.imencode(".png", numbers, [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS])[1].tobytes()
        chunks = [(name, bytes(body)) for name, body in png_chunks(grey)]
        header = dict(chunks)[b"IHDR"]
        data = (
            PNG_SIGNATURE + chunk(b"IHDR", header[:9] + b"\3" + header[10:]) + chunk(b"PLTE", palette[:200].tobytes())
        )
        data += b"".join(chunk(name, body) for name, body in chunks if name in {b"IDAT", b"IEND"})
    else:
        data = encode_png(Picture(numbers, palette))
    picture = decode_picture(data)
    assert (picture.pixels == numbers).all()
    assert (picture.palette == palette).all()
    assert (picture.rgb() == palette[numbers]).all()
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) == palette[numbers]).all()


@pytest.mark.parametrize("kind", [(8, 0, 1), (8, 2, 1), (4, 0, 1)])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (13, 9)])
def test_interlaced_pixels_are_decoded(kind: tuple[int, int, int], width: int, height: int) -> None:
    depth, channels = kind[0], {0: 1, 2: 3}[kind[1]]
    image = np.random.default_rng(3).integers(0, 1 << depth, (height, width, channels), dtype=np.uint8)
    rows = b""
    passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
    for left, across, top, down in passes:
        for row in image[top::down, left::across]:
            bits = np.unpackbits(row.reshape(-1, 1), axis=1)[:, -depth:]
            rows += b"\0" + np.packbits(bits).tobytes() if row.size else b""
    data = png(width, height, kind, rows)
    assert (decode_png(data) == image * (255 // ((1 << depth) - 1))).all()
    with pytest.raises(PngError, match="end before all its"):
        decode_png(png(width, height, kind, rows[:-1]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(4, 2, PALETTE, bytes(10)), "a palette of 0 bytes"),
        (png(4, 2, PALETTE, bytes(10), (b"PLTE", b"abcd")), "a palette of 4 bytes: it should have 3 a colour, for 256"),
        (png(4, 2, PALETTE, bytes(10), (b"PLTE", bytes(771))), "a palette of 771 bytes"),
        (png(4, 2, PALETTE, b"\0\0\1\2\1" * 2, (b"PLTE", b"abcdef")), "pixels of colour 2, and its palette has 2"),
        (png(4, 2, GREY, bytes(10), (b"IHDR", HEADER)), "several headers or palettes"),
        (png(4, 2, (16, 3, 0), bytes(10)), "header is wrong: 4 x 2 px, 16 bits"),
        (png(4, 2, (8, 0, 2), bytes(10)), "header is wrong"),
        (png(4, 2, GREY, bytes(9)), "the pixels of the PNG end before all its 4 x 2 px are there"),
        (png(4, 2, GREY, bytes(11)), "the PNG has more pixels than its 4 x 2 px"),
        (png(60_000, 60_000, GREY, bytes(9)), "60000 x 60000 px: more than 268435456 bytes of pixels are not decoded"),
    ],
)
def test_pixels_that_do_not_fit_the_header_are_an_error(data: bytes, message: str) -> None:
    with pytest.raises(PngError, match=message):
        decode_picture(data)


def test_no_more_is_inflated_than_the_header_says() -> None:
    code = (
        "import resource, sys; from heph_dagster.png import PngError, decode_picture; import cv2, numpy\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: decode_picture(sys.stdin.buffer.read())\n"
        "except PngError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)"
    )
    bomb = png(4, 2, GREY, bytes(200 << 20))
    done = subprocess.run([sys.executable, "-c", code], input=bomb, capture_output=True, check=True)
    message, megabytes = done.stdout.decode().splitlines()
    assert message == "the PNG has more pixels than its 4 x 2 px"
    assert int(megabytes) < 50
