"""Days as animations, frame by frame."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from heph_dagster.gibs.animation import export_animation
from heph_dagster.gibs.grid import grid
from heph_dagster.gibs.raster import Image, RasterError
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic

DAYS = [date(2024, 4, 1) + timedelta(days=number) for number in range(4)]
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
TRANSPARENT = ((255, 255, 255, 0), (240, 120, 40, 255), (200, 100, 50, 128))


def plain(root: Path, colours: list[tuple[int, int, int]] = COLOURS) -> dict[date, Path | None]:
    """Days of one colour each, the last of them missing."""
    paths: dict[date, Path | None] = dict.fromkeys(DAYS[: len(colours) + 1])
    for day, colour in zip(DAYS, colours, strict=False):
        paths[day] = write_mosaic(root / f"{day}.mrf", np.full((320, 640, 3), colour, np.uint8))
    return paths


def gif_frames(path: Path) -> list[Image]:
    with Pillow.open(path) as picture:
        frames = []
        for number in range(picture.n_frames):
            picture.seek(number)
            frames.append(np.asarray(picture.convert("RGB")))
        return frames


def mp4_frames(path: Path) -> list[Image]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def written(frame: Image, colour: tuple[int, ...], tolerance: int = 0) -> Image:
    """Where a frame differs from a colour: height x width."""
    return (np.abs(frame.astype(int) - colour) > tolerance).any(axis=2)


def test_an_mp4_plays_in_browsers(tmp_path: Path) -> None:
    seen: list[date] = []
    path = export_animation(tmp_path / "days.mp4", plain(tmp_path), fps=2.5, on_day=seen.append)
    assert seen == DAYS
    with av.open(str(path)) as file:
        (stream,) = file.streams
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 640, 320)
        assert (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)  # BT.709
        times = [frame.pts * frame.time_base for frame in file.decode(video=0)]
    assert times == [Fraction(2, 5) * number for number in range(4)]
    # The table of contents comes first, so that a browser plays while it loads.
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    for frame, colour in zip(mp4_frames(path), COLOURS, strict=False):
        date_there = written(frame, colour, 12)
        assert date_there[-40:, :130].mean() > 0.05
        assert not date_there[:-40].any()
        assert not date_there[:, 130:].any()


def test_a_gif_has_the_days_own_pixels(tmp_path: Path) -> None:
    colours = np.array([*COLOURS, (255, 255, 255), (0, 0, 0)], np.uint8)
    pixels = colours[noise(bands=()) % 5]
    days = {DAYS[0]: write_mosaic(tmp_path / "a.mrf", pixels), DAYS[1]: write_mosaic(tmp_path / "b.mrf", pixels[::-1])}
    path = export_animation(tmp_path / "days.gif", days)
    frames = gif_frames(path)
    for frame, expected in zip(frames, (pixels, pixels[::-1]), strict=True):
        np.testing.assert_array_equal(frame[:-40], expected[:-40])
        np.testing.assert_array_equal(frame[:, 130:], expected[:, 130:])
        assert (frame[-40:, :130] != expected[-40:, :130]).any()
    assert (frames[0][-40:, :130] != frames[1][-40:, :130]).any()
    with Pillow.open(path) as picture:
        assert (picture.info["loop"], picture.info["duration"]) == (0, 250)


def test_a_large_gif_is_near_its_colours(tmp_path: Path) -> None:
    window = grid(4326).window(1)
    x, y = np.meshgrid(np.arange(1280), np.arange(640))
    pixels = np.dstack([x // 8 + 40, y // 4 + 40, np.full_like(x, 90)]).astype(np.uint8)
    pixels[200:400, 300:900] = 0
    days = {DAYS[0]: write_mosaic(tmp_path / "a.mrf", pixels, window)}
    (frame,) = gif_frames(export_animation(tmp_path / "a.gif", days))
    assert not frame[200:400, 300:900].any()
    assert np.abs(frame[:500].astype(int) - pixels[:500]).max() <= 16


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_day_without_a_mosaic_says_so(tmp_path: Path, suffix: str) -> None:
    path = export_animation(tmp_path / f"days{suffix}", plain(tmp_path))
    frames = gif_frames(path) if suffix == ".gif" else mp4_frames(path)
    assert len(frames) == 4
    letters = written(frames[3], (0, 0, 0), 60)
    assert letters[-40:, :130].any()
    letters[-40:, :130] = False
    rows, cols = np.nonzero(letters)
    assert 120 < rows.min() < 160 <= rows.max() < 200
    assert 260 < cols.min() < 320 <= cols.max() < 380


def test_a_box_across_the_antimeridian(tmp_path: Path) -> None:
    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[:, 480:] = (200, 30, 30)
    pixels[:, :160] = (30, 30, 200)
    days = {DAYS[0]: write_mosaic(tmp_path / "a.mrf", pixels)}
    (frame,) = gif_frames(export_animation(tmp_path / "a.gif", days, (90, 0, -90, 90)))
    assert frame.shape == (160, 320, 3)
    assert (frame[:100, :160] == (200, 30, 30)).all()
    assert (frame[:100, 160:] == (30, 30, 200)).all()


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    rgba = np.zeros((320, 640, 4), np.uint8)
    rgba[:, :200] = (240, 120, 40, 255)
    rgba[:, 200:400] = (200, 100, 50, 128)
    rgba[:, 400:] = (255, 255, 255, 0)
    indices = np.repeat(np.repeat([[1, 2, 0]], [200, 200, 240], axis=1), 320, axis=0).astype(np.uint8)
    days = {
        DAYS[0]: write_mosaic(tmp_path / "a.mrf", rgba),
        DAYS[1]: write_mosaic(tmp_path / "b.mrf", indices, palette=TRANSPARENT),
    }
    for frame in gif_frames(export_animation(tmp_path / "a.gif", days)):
        assert (frame[:-40, :200] == (240, 120, 40)).all()
        assert (frame[:-40, 200:400] == (100, 50, 25)).all()
        assert (frame[:-40, 400:] == 0).all()


def test_a_width_shrinks_by_averaging_and_enlarges_by_repeating(tmp_path: Path) -> None:
    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[::2, ::2] = 200
    days = {DAYS[0]: write_mosaic(tmp_path / "a.mrf", pixels)}
    (small,) = gif_frames(export_animation(tmp_path / "a.gif", days, width=320))
    assert (small.shape, small[:100].min(), small[:100].max()) == ((160, 320, 3), 50, 50)
    (large,) = gif_frames(export_animation(tmp_path / "a.gif", days, width=1280))
    np.testing.assert_array_equal(large[:-80], pixels.repeat(2, axis=0).repeat(2, axis=1)[:-80])
    (odd,) = gif_frames(export_animation(tmp_path / "a.gif", days, width=800))
    columns, rows = (np.arange(800) * 2 + 1) * 4 // 10, (np.arange(400) * 2 + 1) * 4 // 10
    np.testing.assert_array_equal(odd[:-60], pixels[rows][:, columns][:-60])
    # A box of few pixels is enlarged until its date can be read.
    (tiny,) = gif_frames(export_animation(tmp_path / "a.gif", days, (0, 0, 45, 45)))
    np.testing.assert_array_equal(tiny[:-40], pixels[80:160, 320:400].repeat(4, axis=0).repeat(4, axis=1)[:-40])


def test_odd_edges_become_even_in_an_mp4(tmp_path: Path) -> None:
    path = export_animation(tmp_path / "days.mp4", plain(tmp_path), width=321)
    assert {frame.shape for frame in mp4_frames(path)} == {(160, 322, 3)}
    path = export_animation(tmp_path / "days.gif", plain(tmp_path), width=321)
    assert {frame.shape for frame in gif_frames(path)} == {(160, 321, 3)}


def test_days_of_different_levels_go_together(tmp_path: Path) -> None:
    finer = grid(4326).window(1)
    days = plain(tmp_path, COLOURS[:1])
    days[DAYS[1]] = write_mosaic(tmp_path / "finer.mrf", np.full((640, 1280, 3), COLOURS[1], np.uint8), finer)
    frames = gif_frames(export_animation(tmp_path / "days.gif", days, (10, 10, 100, 60)))
    assert [tuple(frame[5, 5]) for frame in frames] == COLOURS[:2]


def test_days_of_different_places_do_not(tmp_path: Path) -> None:
    east = grid(4326).window(2, (0, 0, 100, 80))
    days = plain(tmp_path, COLOURS[:1])
    days[DAYS[1]] = write_mosaic(tmp_path / "east.mrf", noise(east), east)
    target = tmp_path / "days.gif"
    with pytest.raises(
        RasterError, match=r"east\.mrf covers \(-36\.0, .* of the box, but .*2024-04-01\.mrf \(-45\.0, "
    ):
        export_animation(target, days, (-45, 10, 45, 60))
    assert not target.exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a.avi", {}, r"a\.avi: an animation is an \.mp4 or a \.gif file"),
        ("a.gif", {"bbox": (0, 0, 170, 10)}, "frames of 320 x 19 px cannot be, both edges need 64 to 8192 px"),
        ("a.mp4", {"width": 9000}, "frames of 9000 x 4500 px cannot be"),
        ("a.mp4", {"bbox": (0, 95, 1, 96)}, r"2024-04-01\.mrf: bounding box .* lies outside"),
    ],
)
def test_animations_that_cannot_be_are_named(tmp_path: Path, name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_animation(tmp_path / name, plain(tmp_path, COLOURS[:1]), **arguments)
    assert not (tmp_path / name).exists()


def test_without_any_day_there_is_no_animation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of the days is on disk: download them first"):
        export_animation(tmp_path / "a.gif", dict.fromkeys(DAYS))


def test_the_pole(tmp_path: Path) -> None:
    window = grid(3031).window(0)
    pixels = np.zeros((1024, 1024, 3), np.uint8)
    pixels[256:512, 512:1024] = COLOURS[0]
    days = {DAYS[0]: write_mosaic(tmp_path / "a.mrf", pixels, window)}
    box = (0, 0, 512 * 8192, 256 * 8192)
    (frame,) = gif_frames(export_animation(tmp_path / "a.gif", days, box))
    assert frame.shape == (256, 512, 3)
    assert not written(frame[:-40], COLOURS[0]).any()
