"""The assets, checks and partitions of Hephaestus, on files that are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.insar_checks import no_leakage
from heph_dagster.defs.insar_partitions import frame_sensor
from heph_dagster.defs.resources import Insar
from heph_dagster.hephaestus.frame_crops import crops_folder, make_frame_crops
from heph_dagster.hephaestus.frames import known_frames
from heph_dagster.hephaestus.splits import make_split, write_split
from heph_dagster.hephaestus.splitting import make_splits
from heph_dagster.settings import Settings
from heph_dagster_tests.defs.test_colour_assets import metadata
from heph_dagster_tests.hephaestus.archives import ETNA, REUNION, make_archive
from heph_dagster_tests.hephaestus.records import quiet, write_pair

FRAMES = "hephaestus_frames"
PARTITIONED = [dg.AssetKey(["hephaestus", name]) for name in ("interferograms", "masks", "crops")]
ANNOTATIONS, SPLIT = (dg.AssetKey(["hephaestus", name]) for name in ("annotations", "split"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "data" / "hephaestus")


@pytest.fixture
def run(folder: Path, instance: dg.DagsterInstance):
    job = build_definitions(Settings(data_dir=folder.parent, layers=())).resolve_implicit_global_asset_job_def()

    def start(*keys: dg.AssetKey, partition: str | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        ops = {f"hephaestus__{name}": {"config": values} for name, values in config.items()}
        return job.execute_in_process(
            instance=instance,
            asset_selection=keys,
            partition_key=partition,
            run_config={"ops": ops},
            raise_on_error=False,
        )

    return start


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def test_annotations_become_tables_and_their_frames_partitions(run, instance: dg.DagsterInstance) -> None:
    result = run(ANNOTATIONS)
    assert result.success
    found = metadata(instance, ANNOTATIONS)
    assert [found[name] for name in ("annotations", "deformations", "repairs", "rejects", "frames", "mogi")] == [
        6, 6, 0, 0, 2, 2,
    ]  # fmt: skip
    assert found["first_repairs"] == found["first_rejects"] == "none"
    assert checks(result)["no_rejects"].passed
    assert set(instance.get_dynamic_partitions(FRAMES)) == set(known_frames())
    assert len(known_frames()) == 38


def test_files_that_are_no_annotation_are_a_warning(run, instance: dg.DagsterInstance, folder: Path) -> None:
    (folder / "annotations" / "7.json").write_text("{}")
    check = checks(run(ANNOTATIONS))["no_rejects"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == "1 files gave no annotation"
    assert "| 7.json | uniqueID is missing; " in metadata(instance, ANNOTATIONS)["first_rejects"]


def test_a_frame_is_made_and_checked(run, instance: dg.DagsterInstance) -> None:
    run(ANNOTATIONS)
    result = run(*PARTITIONED, partition=ETNA, crops={"size": 64})
    assert result.success
    interferograms, masks, crops = (metadata(instance, key) for key in PARTITIONED)
    assert (interferograms["on_disk"], interferograms["annotated_not_on_disk"]) == (4, 1)
    assert "| missing coherence | 1 |" in interferograms["problems"]
    assert (masks["masks"], masks["deformations"], masks["rejects"]) == (2, 4, 1)
    assert (crops["crops"], crops["none"], crops["mogi"], crops["rejects"], crops["size"]) == (15, 12, 2, 2, 64)
    assert interferograms["over_time"].startswith("![plot](data:image/webp;base64,")
    assert crops["first_deformed"].startswith("![preview](data:image/jpeg;base64,")
    assert crops["region"] == known_frames()[ETNA]
    found = checks(result)
    assert {name: each.passed for name, each in found.items()} == {
        "polygons_inside": False, "counts": True, "readable": True,
    }  # fmt: skip
    assert (
        "polygon 1 of annotation 4 leaves its image of 99 x 98 px" in found["polygons_inside"].metadata["wrong"].value
    )


def check_crops(folder: Path, instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """What the checks of crops say without a run that makes them."""
    definitions = build_definitions(Settings(data_dir=folder.parent, layers=()))
    keys = [
        key for checked in definitions.asset_checks or () for key in checked.check_keys
        if key.name in {"readable", "counts"}
    ]  # fmt: skip
    job = dg.define_asset_job("check", selection=dg.AssetSelection.checks(*keys))
    merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    return checks(merged.resolve_job_def("check").execute_in_process(instance=instance))


@pytest.mark.slow
def test_crops_that_lack_an_annotation_are_found(run, instance: dg.DagsterInstance, folder: Path) -> None:
    one = folder / "annotations" / "5.json"
    content = one.read_bytes()
    one.unlink()
    run(ANNOTATIONS)
    run(*PARTITIONED, partition=REUNION)
    one.write_bytes(content)
    run(ANNOTATIONS)
    found = check_crops(folder, instance)
    assert found["readable"].passed
    assert not found["counts"].passed
    told = "the crop of deformation 0 (Sill) of annotation 5 is missing, and no reject tells why"
    assert f"| {REUNION} | {told} |" in found["counts"].metadata["wrong"].value


@pytest.mark.slow
def test_damaged_crops_are_found(run, instance: dg.DagsterInstance, folder: Path) -> None:
    run(ANNOTATIONS)
    run(*PARTITIONED, partition=REUNION)
    shard = next(path for path in crops_folder(folder, REUNION).glob("0*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    found = check_crops(folder, instance)
    assert found["counts"].passed
    assert not found["readable"].passed
    assert str(shard) in found["readable"].metadata["wrong"].value


def test_splits_are_checked_for_leaks(run, instance: dg.DagsterInstance, folder: Path) -> None:
    run(ANNOTATIONS)
    for frame in (ETNA, REUNION):
        run(*PARTITIONED, partition=frame, crops={"size": 64})
    names = '{"train": {"0": ["1_0.json"], "1": ["99.json"]}, "test": {"0": ["1_1.json"]}}'
    (folder / "train_test_split.json").write_text(names)
    result = run(SPLIT, split={"test_frames": [REUNION]})
    assert result.success
    found = metadata(instance, SPLIT)
    assert "| frames | test | 0 | 1 |" in found["crops"]
    assert "| temporal | train | 12 | 4 |" in found["crops"]
    assert (found["missing_frames"], found["missing_temporal"], found["missing_published"]) == (0, 0, 1)
    check = checks(result)["no_leakage"]
    assert check.passed
    assert check.description == "nothing leaks; published: 1 interferograms in two parts"


@pytest.mark.parametrize("name", ["frames", "temporal"])
def test_a_split_that_leaks_fails_its_check(folder: Path, name: str) -> None:
    for frame in (ETNA, REUNION):
        make_frame_crops(folder, folder / "raw", frame, size=64)
    split = make_splits(folder, test_frames=[REUNION])[name]
    rows = split.rows.to_pylist()
    assert (rows[0]["part"], rows[0]["unique_id"]) == ("train", rows[1]["unique_id"])
    rows[0]["part"] = "val"
    write_split(folder / "splits", name, make_split(rows, []))
    insar = Insar.of(Settings(data_dir=folder.parent))
    check = no_leakage(insar)
    assert isinstance(check, dg.AssetCheckResult)
    assert not check.passed
    assert check.description.startswith(f"parts share interferograms or frames: {name}")


def test_without_annotations_the_error_tells_what_to_do(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    job = build_definitions(Settings(data_dir=tmp_path, layers=())).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, asset_selection=[ANNOTATIONS], raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "annotations_hephaestus.zip is not there" in str(failure.user_failure_data.description)


def test_a_new_folder_adds_a_partition(folder: Path, instance: dg.DagsterInstance) -> None:
    insar = Insar.of(Settings(data_dir=folder.parent))
    with dg.build_sensor_context(instance=instance, resources={"insar": insar}) as context:
        assert "38 frames have partitions now" in str(frame_sensor(context))
        assert "every frame in" in str(frame_sensor(context))
        write_pair(folder / "raw", quiet(9, frameID="001A_00000_010101"), 9, 9)
        assert "1 frames have partitions now: 001A_00000_010101" in str(frame_sensor(context))
    assert len(instance.get_dynamic_partitions(FRAMES)) == 39
