"""Headers of encoded tiles."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from heph_dagster.gibs.archive import encode
from heph_dagster.gibs.tiles import TileError, TileType, check_tile, read_header

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
