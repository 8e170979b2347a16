"""Crops on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heph_dagster.hephaestus.annotation import Activity, Phase
from heph_dagster.hephaestus.crops import crops_of
from heph_dagster.hephaestus.loader import CropDataset
from heph_dagster.hephaestus.records import check_record
from heph_dagster.hephaestus.shard_writer import GROUP_CROPS, write_shards
from heph_dagster.hephaestus.shards import MANIFEST, ShardsError, check_shards, crop_size, read_crops, read_manifest
from heph_dagster.hephaestus.stored_crop import StoredCrop, stored
from heph_dagster.png import Picture
from heph_dagster_tests.hephaestus.making_crops import SIZE, deformed_crop, make_crop, write_frame
from heph_dagster_tests.hephaestus.records import deformed


def assert_same(one: StoredCrop, other: StoredCrop) -> None:
    assert np.array_equal(one.image, other.image)
    assert (one.picture.palette is None) == (other.picture.palette is None)
    for field in fields(StoredCrop):
        if field.name == "picture":
            continue
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert (a is None) == (b is None)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_crops_come_back_as_they_were(tmp_path: Path) -> None:
    crops = [make_crop(f"7_{number}", coherence=number != 3) for number in range(GROUP_CROPS + 5)]
    crops += [deformed_crop("9", phase=None, fits=False, warning="too large", padded=True, coherence=False)]
    write_shards(tmp_path, crops, shard_crops=GROUP_CROPS + 2)
    for found, made in zip(read_crops(tmp_path), crops, strict=True):
        assert_same(found, made)
    chosen = list(read_crops(tmp_path, {"9", "7_33"}))
    assert [each.name for each in chosen] == ["7_33", "9"]
    assert_same(chosen[1], crops[-1])
    assert check_shards(tmp_path) == []


def test_crops_keep_their_palette(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers, colours = (rng.integers(0, 256, shape, np.uint8) for shape in ((SIZE, SIZE), (256, 3)))
    palette, other = Picture(numbers, colours), Picture(numbers.T, colours[::-1])
    crops = [make_crop(f"7_{number}", picture=each) for number, each in enumerate((palette, other, Picture(numbers)))]
    crops.append(make_crop("7_3"))
    write_shards(tmp_path, crops)
    for found, made, item in zip(read_crops(tmp_path), crops, CropDataset([tmp_path]), strict=True):
        assert_same(found, made)
        assert np.array_equal(item["image"].numpy(), made.image.transpose(2, 0, 1))


def test_a_crop_without_coherence_is_stored_as_one_without(tmp_path: Path) -> None:
    write_shards(tmp_path, [make_crop("7_0", coherence=False)])
    assert next(read_crops(tmp_path)).coherence is None


def test_crops_that_are_made_here_can_be_stored(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    annotation = check_record(json.dumps(deformed()).encode())[0]
    crops = list(crops_of(annotation, Picture(image), image[..., 0], seed=0))
    write_shards(tmp_path, map(stored, crops))
    for crop, found in zip(crops, read_crops(tmp_path), strict=True):
        assert found.name == crop.name
        assert np.array_equal(found.image, crop.image)
        assert np.array_equal(found.mask, crop.mask)
        assert np.array_equal(found.coherence, crop.coherence)
        assert (found.x, found.y, found.fits) == (crop.window.x, crop.window.y, crop.window.fits)
        assert (found.made_for, found.intensity, found.phase) == (crop.made_for, crop.intensity, annotation.phase)
    labels = [item["labels"].tolist() for item in CropDataset([tmp_path])]
    assert labels == [crop.labels().tolist() for crop in crops]


def test_the_manifest_says_all_but_the_pixels(tmp_path: Path) -> None:
    write_shards(tmp_path, [make_crop("7_0"), make_crop("7_1"), deformed_crop("8", x=3)], shard_crops=2)
    manifest = read_manifest(tmp_path)
    assert crop_size(manifest) == SIZE
    table = pd.read_parquet(tmp_path / MANIFEST).set_index("name")
    assert table["deformation"].to_dict() == {"7_0": False, "7_1": False, "8": True}
    flags = ["mogi", "dyke", "sill", "spheroid", "earthquake", "unidentified", "low", "medium", "high"]
    assert table.loc["8", flags].to_list() == [True, True, *([False] * 6), True]
    assert table.loc["8", ["x", "y", "phase", "made_for"]].to_list() == [3, SIZE, Phase.UNREST, Activity.DYKE]
    assert table["row"].to_dict() == {"7_0": 0, "7_1": 1, "8": 0}
    digests = json.loads(manifest.schema.metadata[b"heph_shards"])
    assert list(digests) == list(table["shard"].unique())
    assert digests == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in digests}


def test_pixels_are_planes_that_anyone_can_read(tmp_path: Path) -> None:
    crop = deformed_crop("8")
    write_shards(tmp_path, [crop])
    row = pq.read_table(next(tmp_path.glob("0*.parquet"))).to_pylist()[0]
    assert np.array_equal(np.frombuffer(row["image"], np.uint8).reshape(3, SIZE, SIZE).transpose(1, 2, 0), crop.image)
    assert np.array_equal(np.frombuffer(row["mask"], np.uint8).reshape(SIZE, SIZE), crop.mask)


def test_the_same_crops_give_the_same_bytes(tmp_path: Path) -> None:
    assert files(write_frame(tmp_path / "a", 150)) == files(write_frame(tmp_path / "b", 150))


def test_crops_made_anew_replace_all_of_before(tmp_path: Path) -> None:
    write_frame(tmp_path, 250)
    (tmp_path / ".00000.0123abcd.parquet").write_bytes(b"left by a writer that was killed")
    before = {path.name for path in tmp_path.iterdir()}
    write_frame(tmp_path, 120, unique_id=8)
    after = {path.name for path in tmp_path.iterdir()}
    assert (len(before), len(after)) == (6, 4)
    assert before & after == {MANIFEST, f".{MANIFEST}.lock"}
    assert {each.unique_id for each in read_crops(tmp_path)} == {8}


def test_a_writer_that_fails_leaves_the_crops_as_they_were(tmp_path: Path) -> None:
    write_frame(tmp_path, 3)
    with pytest.raises(ValueError, match="two crops have the name 7_0"):
        write_shards(tmp_path, [make_crop("9_0"), make_crop("7_0"), make_crop("7_0")], shard_crops=1)
    assert [each.name for each in read_crops(tmp_path)] == ["7_0", "7_1", "7_2"]
    assert check_shards(tmp_path) == []


def test_a_frame_without_crops_has_an_empty_manifest(tmp_path: Path) -> None:
    assert len(write_shards(tmp_path, [])) == 0
    assert (list(read_crops(tmp_path)), check_shards(tmp_path), crop_size(read_manifest(tmp_path))) == ([], [], 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (make_crop("8_0", size=SIZE + 1), r"the image of crop 8_0 is uint8 \(7, 7, 3\), not uint8 \(6, 6, 3\)"),
        (replace(make_crop("8_0"), mask=np.zeros((SIZE, SIZE))), r"the mask of crop 8_0 is float64 \(6, 6\)"),
        (replace(make_crop("8_0"), coherence=np.zeros(3, np.uint8)), r"the coherence of crop 8_0 is uint8 \(3,\)"),
    ],
)
def test_crops_of_another_shape_are_refused(tmp_path: Path, wrong: StoredCrop, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_shards(tmp_path, [make_crop("7_0"), wrong])


def test_a_name_without_a_crop_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="has no crop 7_3, 9"):
        list(read_crops(write_frame(tmp_path, 3), {"7_1", "7_3", "9"}))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match=r"manifest.parquet is not there: make the crops of 124D first"):
        read_manifest(tmp_path / "124D")
    write_frame(tmp_path, 3)
    shard = next(tmp_path.glob("0*.parquet"))
    whole = shard.read_bytes()
    page = pq.ParquetFile(shard).metadata.row_group(0).column(1)
    middle = page.data_page_offset + page.total_compressed_size // 2
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(ShardsError, match=r"cannot be read .*: make the crops of"):
        list(read_crops(tmp_path))
    assert [each.split(" (")[0] for each in check_shards(tmp_path)] == [f"{shard} cannot be read"]
    shard.unlink()
    with pytest.raises(ShardsError, match="is gone: the crops were made anew while they were read"):
        list(read_crops(tmp_path))
    table = pq.read_table(tmp_path / MANIFEST)
    pq.write_table(table.replace_schema_metadata({"heph_version": "0"}), tmp_path / MANIFEST)
    with pytest.raises(ShardsError, match="is of version 0, not 2"):
        read_manifest(tmp_path)


def test_shards_that_are_not_those_of_the_manifest_are_found(tmp_path: Path) -> None:
    write_frame(tmp_path, 3)
    shard = next(tmp_path.glob("0*.parquet"))
    table = pq.read_table(shard)
    pq.write_table(table, shard, compression="none")
    assert "has SHA-256" in check_shards(tmp_path)[0]
    pq.write_table(table.set_column(0, "name", pa.array(["7_1", "7_0", "7_2"])), shard)
    assert check_shards(tmp_path) == [f"{shard} has other crops than the manifest says"]


def test_masks_without_deformation_take_no_space(tmp_path: Path) -> None:
    tiles = [make_crop(f"7_{number}", size=64) for number in range(64)]
    write_shards(tmp_path / "tiles", tiles)
    path = next((tmp_path / "tiles").glob("0*.parquet"))
    groups = pq.ParquetFile(path).metadata
    sizes = [groups.row_group(number).column(2).total_compressed_size for number in range(groups.num_row_groups)]
    assert sum(sizes) < 64 * 64 * 64 // 100
