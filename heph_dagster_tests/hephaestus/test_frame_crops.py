from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from heph_dagster.hephaestus.annotation import Activity
from heph_dagster.hephaestus.annotations import read_annotations, write_annotations
from heph_dagster.hephaestus.frame_crops import (
    check_counts,
    crops_folder,
    frames_with_crops,
    make_frame_crops,
    read_frame_crops,
)
from heph_dagster.hephaestus.frame_masks import make_frame_masks
from heph_dagster.hephaestus.shards import read_crops
from heph_dagster.hephaestus.splits import Part, SplitError, read_split, split_names
from heph_dagster.hephaestus.splitting import make_splits
from heph_dagster.tables import read_table, write_table
from heph_dagster_tests.hephaestus.archives import ETNA, RECORDS, REUNION, make_archive
from heph_dagster_tests.hephaestus.records import deformed, quiet, write_records

SIZE = 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_archive(tmp_path)
    for frame in (ETNA, REUNION):
        make_frame_crops(folder, folder / "raw", frame, seed=1, size=SIZE)
    return folder


def test_every_annotation_gives_crops_or_a_reason(folder: Path) -> None:
    etna, reunion = (read_frame_crops(folder, frame) for frame in (ETNA, REUNION))
    assert etna.classes() == {
        "none": 12, "Mogi": 2, "Dyke": 0, "Sill": 0, "Spheroid": 0, "Earthquake": 1, "Unidentified": 0,
    }  # fmt: skip
    assert [(each.unique_id, each.index) for each in etna.rejects] == [(3, None), (4, 1)]
    assert reunion.classes()["Sill"] == len(reunion.manifest) == 1
    assert "cut short" in reunion.rejects[0].reason
    assert etna.warnings == 0
    assert frames_with_crops(folder) == [ETNA, REUNION]
    assert [check_counts(folder, frame) for frame in (ETNA, REUNION)] == [[], []]


def test_the_same_seed_gives_the_same_bytes_with_any_workers(folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in crops_folder(folder, ETNA).glob("*.parquet")}
    make_frame_crops(folder, folder / "raw", ETNA, seed=1, size=SIZE, workers=1)
    assert {path.name: path.read_bytes() for path in crops_folder(folder, ETNA).glob("*.parquet")} == before
    make_frame_crops(folder, folder / "raw", ETNA, seed=2, size=SIZE, workers=3)
    assert {path.name: path.read_bytes() for path in crops_folder(folder, ETNA).glob("*.parquet")} != before


def test_stored_crops_have_their_pixels(folder: Path) -> None:
    (crop,) = read_crops(crops_folder(folder, ETNA), ["2_0"])
    assert crop.made_for is Activity.MOGI
    assert (crop.mask == Activity.MOGI).sum() == 31 * 41
    assert crop.coherence is not None
    assert (crop.coherence == crop.picture.pixels[..., 0]).all()  # as the pair was written


def test_differences_from_the_annotations_are_told(folder: Path) -> None:
    changed = [
        {**RECORDS[1], "activity_type": ["Dyke", "Earthquake"]},
        deformed(2000, primary_date="20181110"),
        quiet(2001, primary_date="20181111"),
    ]
    records = [record for record in RECORDS if record["uniqueID"] not in {1, 2}]
    write_annotations(folder, read_annotations(write_records(folder / "new", *records, *changed)))
    assert check_counts(folder, ETNA) == [
        "the crop of deformation 0 (Dyke) of annotation 2 is missing, and no reject tells why",
        "the crop of deformation 0 (Mogi) of annotation 2000 is missing, and no reject tells why",
        "the crop of deformation 1 (Earthquake) of annotation 2000 is missing, and no reject tells why",
        "the tiling of annotation 2001 is missing, and no reject tells why",
        "the tiling of annotation 1 is there, but the annotation has no such",
        "the crop of deformation 0 (Mogi) of annotation 2 is there, but the annotation has no such",
    ]


def test_crops_that_are_there_twice_are_told(folder: Path) -> None:
    path = crops_folder(folder, REUNION) / "manifest.parquet"
    table = read_table(path)
    write_table(path, pa.concat_tables([table, table]))
    assert check_counts(folder, REUNION) == ["the crop of deformation 0 (Sill) of annotation 5 is there several times"]


def test_splits_are_made_of_all_frames(folder: Path) -> None:
    made = make_splits(folder, test_frames=[REUNION])
    assert split_names(folder) == sorted(made) == ["frames", "temporal"]
    assert made["frames"].names(Part.TEST) == ["5"]
    assert made["temporal"].empty_parts() == ["val", "test"]
    assert read_split(folder / "splits", "frames").rows.equals(made["frames"].rows)
    (folder / "train_test_split.json").write_text('{"train": {"0": ["1_0.json"], "1": ["3.json", "4_1.json"]}}')
    published = make_splits(folder)["published"]
    assert published.names(Part.TRAIN) == ["1_0"]
    reasons = {each.unique_id: each.reason for each in read_frame_crops(folder, ETNA).rejects}
    assert published.missing["reason"].to_pylist() == [f"the crop could not be made: {reasons[id_]}" for id_ in (3, 4)]


def test_crops_of_what_is_no_frame_are_not_written(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.\./\.\./elsewhere' is not a frame ID"):
        make_frame_crops(folder, folder / "raw", "../../elsewhere")
    assert not (folder.parent / "elsewhere").exists()


def test_without_crops_there_is_no_split(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="has no crops: make those of some frames first"):
        make_splits(tmp_path)


@pytest.mark.parametrize("frame", ["..", "../raw", "124D_05291_081406/../..", ""])
def test_nothing_outside_of_the_crops_is_touched(folder: Path, frame: str) -> None:
    before = sorted(folder.rglob("*"))
    for make in (make_frame_crops, make_frame_masks):
        with pytest.raises(ValueError, match="is not a frame ID"):
            make(folder, folder / "raw", frame)
    assert sorted(folder.rglob("*")) == before


def test_rejects_are_of_the_run_that_made_the_crops(folder: Path) -> None:
    before = read_frame_crops(folder, ETNA)
    (found,) = (folder / "raw" / ETNA).rglob("20181102_20181204.geo.diff.png")
    found.unlink()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_frame_crops(folder, folder / "raw", ETNA, size=SIZE, on_annotation=stop)
    assert read_frame_crops(folder, ETNA).rejects == before.rejects
    made = make_frame_crops(folder, folder / "raw", ETNA, size=SIZE)
    assert [each.unique_id for each in made.rejects] == [2, 3, 4]
    assert read_frame_crops(folder, ETNA).rejects == made.rejects
