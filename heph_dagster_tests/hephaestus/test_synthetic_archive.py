from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import shapely
from click.testing import CliRunner

from heph_dagster.cli import main
from heph_dagster.hephaestus.annotation import Activity, Annotation, Intensity, Label, Phase
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.interferograms import Layout, find_images, read_coherence, read_interferogram
from heph_dagster.hephaestus.synthetic.archive import is_synthetic, write_archive, write_records
from heph_dagster.hephaestus.synthetic.deformation import phase
from heph_dagster.hephaestus.synthetic.interferogram import synthesize
from heph_dagster.hephaestus.synthetic.invention import FRAMES, MANY_FRAMES, MOST_PER_FRAME, invent
from heph_dagster.hephaestus.synthetic.orbit import line_of_sight
from heph_dagster.hephaestus.synthetic.scene import scenes
from heph_dagster.png import Picture, check_png, encode_png
from heph_dagster_tests.conftest import REAL_DATA
from heph_dagster_tests.hephaestus.records import deformed, quiet
from heph_dagster_tests.hephaestus.records import write_records as write_json
from heph_dagster_tests.hephaestus.synthetic import ASCENDING, DESCENDING, annotation, deformation, small_scene

FRAMES_HERE = {DESCENDING: small_scene(), ASCENDING: small_scene(ASCENDING)}


def several() -> list[Annotation]:
    return [
        annotation(*marked, unique_id=number + 1, frame=(DESCENDING, ASCENDING)[number % 2],
                   secondary=date(2019, 6, 1 + number), atmospheric_fringes=number % 4)
        for number, marked in enumerate([(), (deformation(Activity.DYKE),), (deformation(Activity.MOGI),), (), ()] * 4)
    ]  # fmt: skip


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_workers_and_order_change_no_byte(tmp_path: Path) -> None:
    done: list[int] = []
    write_archive(tmp_path / "one", several(), FRAMES_HERE, on_done=done.append)
    assert sorted(done) == list(range(1, 21))
    done.clear()
    write_archive(tmp_path / "two", several()[::-1], FRAMES_HERE, workers=2, on_done=done.append)
    assert sorted(done) == list(range(1, 21))
    one = contents(tmp_path / "one")
    assert len(one) == 40
    assert contents(tmp_path / "two") == one
    write_archive(tmp_path / "some", several()[3:5], FRAMES_HERE)
    assert contents(tmp_path / "some").items() < one.items()
    other = {frame: replace(scene, seed=4) for frame, scene in FRAMES_HERE.items()}
    write_archive(tmp_path / "other", several(), other)
    assert not set(contents(tmp_path / "other").values()) & set(one.values())


@pytest.mark.parametrize("layout", list(Layout))
def test_the_archive_reads_as_what_was_made(layout: Layout, tmp_path: Path) -> None:
    wanted = several()[1]
    write_archive(tmp_path, [wanted], FRAMES_HERE, layout=layout)
    images = find_images(tmp_path / "raw", wanted.frame, wanted.dates)
    assert (images.interferogram, images.coherence) == layout.paths(
        tmp_path / "raw" / ASCENDING / "interferograms" / "20190501_20190602"
    )
    made = synthesize(wanted, FRAMES_HERE[ASCENDING])
    assert np.array_equal(read_interferogram(images.interferogram).rgb(), made.image)
    assert np.array_equal(read_coherence(images.coherence), made.coherence)
    header = check_png(images.interferogram.read_bytes())
    assert (header.colour, header.depth, header.grey) == ("palette", 8, False)
    assert check_png(images.coherence.read_bytes()).colour == "grey"


def test_two_annotations_of_one_interferogram_are_an_error(tmp_path: Path) -> None:
    twins = [annotation(unique_id=4), annotation(unique_id=6)]
    with pytest.raises(ValueError, match=f"annotations 4 and 6 are both of {DESCENDING} 20190501_20190513: leave one"):
        write_archive(tmp_path, twins, FRAMES_HERE)
    with pytest.raises(ValueError, match=f"the frame {FRAMES[1]} of annotation 4 has no scene"):
        write_archive(tmp_path, [annotation(unique_id=4, frame=FRAMES[1])], FRAMES_HERE)
    assert not list(tmp_path.iterdir())


def test_an_outline_that_does_not_fit_stops_the_workers(tmp_path: Path) -> None:
    outside = annotation(deformation(Activity.SILL, x=295.0), unique_id=90, secondary=date(2020, 1, 1))
    with pytest.raises(ValueError, match="annotation 90 has an outline outside of its image"):
        write_archive(tmp_path, [*several(), outside], FRAMES_HERE, workers=2)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_invented_annotations_are_sound_and_round_trip(tmp_path: Path) -> None:
    made = invent(400, 7)
    write_records(tmp_path, made)
    read = read_annotations(tmp_path / "annotations")
    assert read.counts() == {"annotations": 400, "deformations": sum(len(a.deformations) for a in made),
                             "repairs": 0, "rejects": 0}  # fmt: skip
    assert [each.record() for each in read.annotations] == [each.record() for each in made]
    assert len({(each.frame, each.dates) for each in made}) == 400
    for each in (each for one in made for each in one.deformations):
        assert 8 <= len(each.polygon) <= 40
        assert shapely.is_valid(shapely.Polygon(each.polygon))
        assert (each.polygon % 1).any()


@pytest.mark.slow
def test_invented_annotations_are_in_the_proportions_of_real_ones() -> None:
    made = invent(1500, 1)
    shown = [each for each in made if each.deformations]
    assert 0.07 < len(shown) / 1500 < 0.115
    kinds = Counter(each.activity for annotation in shown for each in annotation.deformations)
    assert len(kinds) >= 5
    assert kinds.most_common(1)[0][0] is Activity.SILL
    assert {each.intensity for annotation in shown for each in annotation.deformations} == {*Intensity, None}
    assert {each.phase for each in made} >= {Phase.REST, Phase.UNREST, Phase.REBOUND}
    assert 0.14 < np.mean([each.low_coherence for each in made]) < 0.2
    assert Counter(each.atmospheric_fringes for each in made).most_common(1)[0][0] == 2
    assert {each.primary.year for each in made} >= set(range(2014, 2022))
    for each in made:
        assert (each.label == (Label.NON_DEFORMATION,)) == (not each.deformations)
        assert (Label.EARTHQUAKE in each.label) == any(d.activity is Activity.EARTHQUAKE for d in each.deformations)
        assert all((d.intensity is None) == (d.activity is Activity.EARTHQUAKE) for d in each.deformations)
        assert each.caption


@pytest.mark.slow
def test_invented_outlines_match_the_fringes_of_their_images() -> None:
    made = invent(600, 5, (DESCENDING,))
    frames = scenes(made, 5)
    overlaps = []
    for each in [each for each in made if each.deformations][:25]:
        found = synthesize(each, frames[DESCENDING])
        shape = found.numbers.shape
        x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
        for marked, source in zip(each.deformations, found.sources, strict=True):
            seen = np.abs(phase((source,), shape, line_of_sight(DESCENDING))) >= np.pi
            outline = shapely.contains_xy(shapely.Polygon(marked.polygon), x, y)
            overlaps.append(np.sum(seen & outline) / np.sum(seen | outline))
            assert found.numbers[outline].all()
    assert np.median(overlaps) > 0.85
    assert min(overlaps) > 0.55


def test_as_many_deform_as_are_asked_for_and_the_others_stay_what_they_are() -> None:
    few, many = invent(60, 2), invent(60, 2, deformed=0.8)
    assert 40 <= sum(bool(each.deformations) for each in many) <= 56  # 48, give or take 2.5 standard deviations
    calm = [number for number, each in enumerate(many) if not each.deformations]
    assert [few[number].record() for number in calm] == [many[number].record() for number in calm]
    assert {each.frame for each in invent(24, 2, MANY_FRAMES)} == set(MANY_FRAMES)


def test_what_is_invented_follows_from_seed_frame_and_number() -> None:
    few, many = invent(6, 2, (DESCENDING, ASCENDING)), invent(90, 2, (DESCENDING, ASCENDING))
    assert [each.record() for each in few] == [each.record() for each in many[:6]]
    assert [each.record() for each in invent(6, 3, (DESCENDING, ASCENDING))] != [each.record() for each in few]


@pytest.mark.parametrize(
    ("count", "frames", "message"),
    [
        (3, (DESCENDING, DESCENDING), "frames should be named once each"),
        (3, (), "there is none"),
        (MOST_PER_FRAME + 1, (DESCENDING,), "2593 annotations are too many: 1 frames have 2592 pairs of days"),
        (3, ("somewhere",), "'somewhere' is not a frame ID"),
    ],
)
def test_what_cannot_be_invented_is_an_error(count: int, frames: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invent(count, 1, frames)


def run(*arguments: object):
    return CliRunner().invoke(main, ["insar", "synthesize", *map(str, arguments)])


def test_the_command_invents_and_makes_the_same_of_what_it_wrote(tmp_path: Path) -> None:
    result = run("--count", 3, "--frames", ASCENDING, "--out", tmp_path / "a", "--seed", 9, "--workers", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "out": str(tmp_path / "a"), "seed": 9, "layout": "licsar", "interferograms": 3, "rejects": 0,
        "frames": {ASCENDING: 3},
    }  # fmt: skip
    again = run(tmp_path / "a" / "annotations", "--out", tmp_path / "b", "--seed", 9, "--workers", 1, "--ids", "1,3")
    assert again.exit_code == 0, again.output
    assert f"{tmp_path / 'b' / 'raw'}: 2 interferograms of 1 frames, seed 9" in again.stdout
    first = contents(tmp_path / "a" / "raw")
    assert len(first) == 6
    assert contents(tmp_path / "b" / "raw").items() < first.items()
    assert not (tmp_path / "b" / "annotations").exists()
    assert f"next: heph insar import {tmp_path / 'a' / 'annotations'}" in again.stdout


def test_the_command_makes_them_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_DATA_DIR", str(tmp_path / "data"))
    result = run("--count", 1, "--frames", ASCENDING, "--workers", 1)
    assert f"next: heph insar import {tmp_path / 'data' / 'hephaestus' / 'annotations'}" in result.stdout
    assert len(list((tmp_path / "data" / "hephaestus" / "raw" / ASCENDING).rglob("*.png"))) == 2


def test_what_is_not_synthetic_is_not_replaced(tmp_path: Path) -> None:
    arguments = "--count", 2, "--frames", ASCENDING, "--workers", 1, "--out", tmp_path
    assert run(*arguments).exit_code == 0
    images = [*tmp_path.rglob("*.png")]
    assert [is_synthetic(path) for path in images] == [True] * 4
    before = contents(tmp_path)
    assert run(*arguments).exit_code == 0
    assert contents(tmp_path) == before
    assert f"{tmp_path / 'annotations' / '1.json'} is another annotation" in run(*arguments, "--seed", 1).stderr
    real = images[0].with_name("InSAR.png")  # of the other layout
    real.write_bytes(encode_png(Picture(np.zeros((9, 9), np.uint8))))
    before = contents(tmp_path)
    assert f"{real} is no synthetic image, and would give way to one: name another folder" in run(*arguments).stderr
    assert contents(tmp_path) == before


def test_the_command_tells_of_rejects_and_takes_frames(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "json", quiet(1), deformed(2, frameID=ASCENDING), quiet(3, confidence=9))
    result = run(folder, "--out", tmp_path, "--frame", ASCENDING, "--layout", "plain", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "1 annotation files were rejected: heph insar import tells why" in result.stdout
    assert sorted(path.name for path in (tmp_path / "raw" / ASCENDING).rglob("*.png")) == ["Coherence.png", "InSAR.png"]
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [ASCENDING]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either ANNOTATIONS, or --count"),
        (["{json}", "--count", "3"], "give either ANNOTATIONS, or --count"),
        (["{json}", "--frames", DESCENDING], "--frames is for --count; --frame picks"),
        (["{json}", "--frame", ASCENDING], f"no annotation is of {ASCENDING}"),
        (["{json}", "--ids", "1,70"], "there is no annotation 70 among the 1"),
        (["{json}", "--ids", "one"], "'one' should read 3,14,15"),
        (["{bad}"], "has no annotation that can be read; 1 files were rejected"),
        (["{nothing}"], "is not there"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    places = {"json": write_json(tmp_path / "json", quiet(1)), "nothing": tmp_path / "nothing",
              "bad": write_json(tmp_path / "bad", quiet(1, confidence=9))}  # fmt: skip
    result = run(*(each.format(**places) for each in arguments), "--out", tmp_path / "out")
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_real_annotations_get_interferograms_that_show_them(tmp_path: Path) -> None:
    archive = REAL_DATA / "hephaestus" / "annotations.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    known = read_annotations(archive).annotations
    frames = scenes(known, 0)
    marked = [each for each in known if each.deformations]
    for each in marked[:: len(marked) // 12]:
        found = synthesize(each, frames[each.frame])
        for one, source in zip(each.deformations, found.sources, strict=True):
            x, y = np.meshgrid(*(np.arange(size) for size in found.numbers.shape[::-1]))
            outline = shapely.contains_xy(shapely.Polygon(one.polygon), x, y)
            assert found.numbers[outline].all()
            seen = np.abs(phase((source,), found.numbers.shape, frames[each.frame].sight)) >= np.pi
            assert np.mean(seen[outline]) > 0.5
