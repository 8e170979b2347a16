"""What frame IDs tell, and which folders are frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heph_dagster.hephaestus.frames import Frame, frames_on_disk, is_frame_id, known_frames, read_volcanoes
from heph_dagster_tests.conftest import REAL_DATA

ETNA = "124D_05291_081406"


def test_what_an_id_tells() -> None:
    etna, reunion = Frame(ETNA), Frame("144A_SM_REUN_S6")
    assert (etna.direction, etna.relative_orbit, etna.region) == ("descending", 124, "Sicily: Etna")
    assert (reunion.direction, reunion.relative_orbit) == ("ascending", 144)
    assert Frame("001A_00001_010101").region is None


def test_all_known_frames_are_frames() -> None:
    frames = known_frames()
    assert len(frames) == 38
    assert list(frames) == sorted(frames)
    assert all(map(is_frame_id, frames))


@pytest.mark.parametrize(
    "text",
    ["", "..", "124D", "124D_05291_08/406", "124D_05291_../x", f"{ETNA}\n", f" {ETNA}", "124B_05291_081406",
     "124d_05291_081406", "124D_05291_" + "1" * 54, "1२4D_05291_081406", "124D__"],
)  # fmt: skip
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a frame ID: three digits, A or D"):
        Frame(text)


def test_frames_on_disk_are_folders_with_an_id(tmp_path: Path) -> None:
    assert frames_on_disk(tmp_path / "none") == []
    for name in ("144A_SM_REUN_S6", ETNA, "lost+found", f".{ETNA}"):
        (tmp_path / name).mkdir()
    (tmp_path / "103A_07010_121313").touch()
    assert frames_on_disk(tmp_path) == [ETNA, "144A_SM_REUN_S6"]


def test_volcanoes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "frame_names.json"
    assert read_volcanoes(path) == {}
    path.write_text(json.dumps({ETNA: "Etna", "144A_SM_REUN_S6": "b,  a, b, "}), "utf-8")
    assert read_volcanoes(path) == {ETNA: ("Etna",), "144A_SM_REUN_S6": ("b", "a")}


@pytest.mark.parametrize("text", ["{", "[]", '{"x": "Etna"}', f'{{"{ETNA}": 3}}'])
def test_another_file_in_place_of_the_volcanoes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "frame_names.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"frame_names.json does not list volcanoes by frame \(.+put the right file"):
        read_volcanoes(path)


def test_the_published_list_has_the_known_frames() -> None:
    path = REAL_DATA / "hephaestus" / "frame_names.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    assert read_volcanoes(path).keys() == known_frames().keys()
