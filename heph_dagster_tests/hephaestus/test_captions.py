"""Captions are found by their words."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from heph_dagster.hephaestus.annotation import Label
from heph_dagster.hephaestus.annotations import AnnotationsError, read_annotations, write_annotations
from heph_dagster.hephaestus.captions import Caption, search_captions
from heph_dagster_tests.hephaestus.records import deformed, quiet, write_records
from heph_dagster_tests.test_cli import heph

REUNION = "144A_SM_REUN_S6"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables of four annotations, where `heph` looks for them."""
    records = [
        quiet(3),
        deformed(12),
        quiet(5, caption="Noise. The deformation, if any: of mogi type?", frameID=REUNION),
        quiet(6, caption=""),
    ]
    write_annotations(tmp_path / "data" / "hephaestus", read_annotations(write_records(tmp_path / "json", *records)))
    return tmp_path / "data" / "hephaestus"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [3, 5, 12]),
        (["deformation"], [3, 5, 12]),
        (["DEFORM"], [3, 5, 12]),
        (["form"], []),
        (["mogi"], [5, 12]),
        (["mogi", "noise"], [5]),
        (["noise", "turbulent"], []),
        (["mogi type"], [5, 12]),
        (["mogi-type deform"], [12]),
        (["mog type"], []),
        (["type", "mogi"], [5, 12]),
        (["type mogi"], []),
        (["mogi.*noise"], []),
        (["No deformation"], [3]),
    ],
)
def test_all_words_must_occur(folder: Path, words: list[str], expected: list[int]) -> None:
    assert [each.unique_id for each in search_captions(folder, words)] == expected


def test_frame_and_label_narrow_the_search(folder: Path) -> None:
    assert [each.unique_id for each in search_captions(folder, ["mogi"], frame=REUNION)] == [5]
    assert [each.unique_id for each in search_captions(folder, [], label=Label.EARTHQUAKE)] == [12]
    assert search_captions(folder, ["noise"]) == [
        Caption(
            5, REUNION, date(2018, 11, 28), date(2018, 12, 4), (Label.NON_DEFORMATION,),
            "Noise. The deformation, if any: of mogi type?",
        )
    ]  # fmt: skip


def test_what_cannot_be_searched_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'--' has no word to search for"):
        search_captions(folder, ["--"])
    with pytest.raises(AnnotationsError, match=r"annotations\.parquet is not there: import annotations first"):
        search_captions(tmp_path, ["mogi"])


def test_the_command_prints_lines_or_json(folder: Path) -> None:
    (line,) = heph("insar", "search", "mogi-type", "high").stdout.splitlines()
    assert line.split("  ")[-1].startswith("A mogi-type deformation pattern")
    assert line.split()[:4] == ["12", "124D_05291_081406", "20181128_20181204", "Deformation+Earthquake"]
    (row,) = json.loads(heph("insar", "search", "mogi", "--frame", REUNION, "--json").stdout)
    assert (row["unique_id"], row["primary"], row["label"]) == (5, "2018-11-28", ["Non_Deformation"])
    assert len(heph("insar", "search", "--label", "non_deformation").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["xyzzy"], "no caption matches"),
        (["mogi", "--label", "Eruption"], "no interferogram shows 'Eruption'; there are Non_Deformation, Deformation"),
        (["mogi", "--frame", "Etna"], "'Etna' is not a frame ID"),
    ],
)
def test_errors_of_the_command_are_one_line(folder: Path, arguments: list[str], message: str) -> None:
    assert message in heph("insar", "search", *arguments, code=1).stderr
