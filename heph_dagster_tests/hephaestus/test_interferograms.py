"""Finding and reading the images of a raw archive."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from heph_dagster.hephaestus.interferograms import (
    ImagePaths,
    InterferogramError,
    find_images,
    read_coherence,
    read_interferogram,
)
from heph_dagster.png import PNG_SIGNATURE

FRAME, DATES = "124D_05291_081406", "20181128_20181204"
RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def png(width: int, height: int, packed: bytes) -> bytes:
    """A PNG of grey levels with right checksums, whatever its pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / FRAME / "interferograms" / DATES
    folder.mkdir(parents=True)
    return folder


def test_both_layouts_are_found(tmp_path: Path, folder: Path) -> None:
    assert find_images(tmp_path, FRAME, DATES) == ImagePaths(None, None)
    (folder / "Coherence.png").touch()
    assert find_images(tmp_path, FRAME, DATES) == ImagePaths(None, folder / "Coherence.png")
    (folder / "InSAR.png").touch()
    assert find_images(tmp_path, FRAME, DATES) == ImagePaths(folder / "InSAR.png", folder / "Coherence.png")
    (folder / f"{DATES}.geo.diff.png").touch()
    assert find_images(tmp_path, FRAME, DATES).interferogram == folder / f"{DATES}.geo.diff.png"
    (folder / f"{DATES}.geo.cc.png").touch()
    assert find_images(tmp_path, FRAME, DATES).coherence == folder / f"{DATES}.geo.cc.png"


@pytest.mark.parametrize(
    "dates", ["..", "20181128", "20181128_20181204\n", "20181128_2018/204", "20181128_20180230", "../20181128_20181204"]
)
def test_what_is_no_pair_of_days_is_refused(tmp_path: Path, dates: str) -> None:
    with pytest.raises(ValueError, match="is not a pair of days"):
        find_images(tmp_path, FRAME, dates)


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.\./x' is not a frame ID"):
        find_images(tmp_path, "../x", DATES)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_read_in_their_order(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "InSAR.png"
    Picture.fromarray(RGB).convert(mode).save(path)
    found = read_interferogram(path).rgb()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, RGB)


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    picture = Picture.fromarray(RGB).quantize(16)
    picture.save(tmp_path / "InSAR.png")
    np.testing.assert_array_equal(read_interferogram(tmp_path / "InSAR.png").rgb(), np.asarray(picture.convert("RGB")))


def test_grey_levels_are_read_as_equal_colours_and_back(tmp_path: Path) -> None:
    path = tmp_path / "Coherence.png"
    Picture.fromarray(RGB[..., 0]).save(path)
    np.testing.assert_array_equal(read_coherence(path), RGB[..., 0])
    np.testing.assert_array_equal(read_interferogram(path).rgb(), np.repeat(RGB[..., :1], 3, 2))
    Picture.fromarray(np.repeat(RGB[..., :1], 3, 2)).save(path)
    np.testing.assert_array_equal(read_coherence(path), RGB[..., 0])


def test_a_tag_of_orientation_turns_no_picture(tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6
    Picture.fromarray(RGB).save(tmp_path / "InSAR.png", exif=exif)
    np.testing.assert_array_equal(read_interferogram(tmp_path / "InSAR.png").rgb(), RGB)


@pytest.mark.parametrize("read", [read_interferogram, read_coherence])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there: put the file of the raw archive there again"),
        (b"", "cannot be read: it is empty; put"),
        (b"GIF89a..", "cannot be read: it is not a PNG: it begins with b'GIF89a..'; put"),
        (png(7, 5, b"no deflated data"), "cannot be read: the pixels of the PNG cannot be inflated: .*; put"),
        (png(1 << 20, 1 << 20, b""), "cannot be read: .*pixels.*; put"),
        (cv2.imencode(".png", RGB)[1].tobytes()[:-20], "cannot be read: the PNG is cut short after [0-9]+ bytes; put"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, read, content: bytes | None, message: str) -> None:
    path = tmp_path / "InSAR.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InterferogramError, match=f"{path} {message}"):
        read(path)


def test_a_folder_in_place_of_an_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterferogramError, match="cannot be read: Is a directory"):
        read_interferogram(tmp_path)
