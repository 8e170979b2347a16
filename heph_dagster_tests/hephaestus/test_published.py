"""The published classification set as shards."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from heph_dagster.cli import main
from heph_dagster.hephaestus.annotation import Activity, Intensity, Phase
from heph_dagster.hephaestus.annotation_utils import save_crops
from heph_dagster.hephaestus.published import ImportedCrops, import_crops
from heph_dagster.hephaestus.shards import check_shards, read_crops
from heph_dagster.hephaestus.sources import SourceError
from heph_dagster.png import Picture, encode_png
from heph_dagster_tests.hephaestus.making_crops import FRAME
from heph_dagster_tests.hephaestus.records import deformed, quiet, write_records

SIZE = 8
OTHER = "012D_07075_080504"


def label(**fields: Any) -> dict[str, Any]:
    plain = {"Deformation": [0], "Intensity": 0, "Phase": 0, "frameID": FRAME}
    return plain | {"primary_date": "20181128", "secondary_date": "20181204"} | fields


def pixels(stem: str, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(list(stem.encode())).integers(0, 256, (size, size, 3), np.uint8)


def write(path: Path, content: bytes | np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else encode_png(Picture(content)))
    return path


def mask(*classes: int) -> np.ndarray:
    painted = np.zeros((SIZE, SIZE), np.uint8)
    painted[2, : len(classes)] = classes
    return painted


def add(root: Path, stem: str, made_for: int = 0, **fields: Any) -> None:
    """The files of a crop; the mask of a deformation shows the classes of its label."""
    content = label(**({"Deformation": [made_for]} | fields))
    write(root / "cls_labels" / f"{stem}.json", json.dumps(content).encode())
    write(root / "labeled" / str(made_for) / f"{stem}.png", pixels(stem))
    if made_for:
        write(root / "masks" / str(made_for) / f"{stem}.png", mask(*content["Deformation"]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Tiles of two frames, a single deformation and an annotation with two of which one is an earthquake."""
    root = tmp_path / "Hephaestus_Classification"
    for stem in ("7_0", "7_1", "7_10"):
        add(root, stem)
    add(root, "5_0", frameID=OTHER, Phase=2)
    add(root, "8", 1, Intensity=2, Phase=1)
    add(root, "9_0", 5, Deformation=[3, 5], Intensity=3)
    add(root, "9_1", 3, Deformation=[3, 5], Intensity=1)
    return root


def zipped(root: Path, path: Path) -> Path:
    files = sorted((each for each in root.rglob("*") if each.is_file()), reverse=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(root.parent))
    return path


def imported(source: Path) -> tuple[ImportedCrops, dict[str, str]]:
    result = import_crops(source, source.parent / "out", size=SIZE)
    return result, {each.source: each.reason for each in result.rejects}


def count(root: Path) -> int:
    return sum(each.is_file() for each in root.rglob("*"))


def test_crops_masks_and_labels_are_those_of_the_files(root: Path) -> None:
    result, rejects = imported(root)
    assert (result.frames, rejects, result.ignored) == ({OTHER: 1, FRAME: 6}, {}, ())
    folder = root.parent / "out" / FRAME
    assert check_shards(folder) == []
    crops = {each.name: each for each in read_crops(folder)}
    assert list(crops) == ["7_0", "7_1", "7_10", "8", "9_0", "9_1"]
    for stem, crop in crops.items():
        assert np.array_equal(crop.image, pixels(stem))
    tile, mogi, quake, sill = (crops[stem] for stem in ("7_10", "8", "9_0", "9_1"))
    assert (tile.unique_id, tile.index, tile.made_for, tile.activities, tile.intensity) == (7, 10, None, (), None)
    assert (mogi.made_for, mogi.activities) == (Activity.MOGI, (Activity.MOGI,))
    assert (mogi.intensity, mogi.phase, f"{mogi.primary}", mogi.x) == (Intensity.HIGH, Phase.UNREST, "2018-11-28", None)
    assert (quake.made_for, quake.intensity) == (Activity.EARTHQUAKE, None)
    assert (sill.made_for, sill.intensity) == (Activity.SILL, Intensity.MEDIUM)
    assert quake.activities == sill.activities == (Activity.SILL, Activity.EARTHQUAKE)
    assert np.array_equal(sill.mask, mask(3, 5))
    assert not tile.mask.any()


def test_a_zip_gives_the_same_bytes_as_its_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    archive = zipped(root, tmp_path / "zip" / "set.zip")
    imported(root)
    imported(archive)
    outs = [
        {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
        for out in (tmp_path / "out", archive.parent / "out")
    ]
    assert outs[0] == outs[1]
    assert len(outs[0]) == 7


def test_files_that_do_not_fit_together_are_rejected_with_the_reason(root: Path) -> None:
    add(root, "20")
    (root / "labeled/0/20.png").unlink()
    write(root / "labeled/0/21_0.png", pixels("21_0"))
    add(root, "22", 2)
    (root / "masks/2/22.png").unlink()
    add(root, "23_0")
    write(root / "labeled/1/23_0.png", pixels("23_0"))
    add(root, "24", 2)
    (root / "masks/2/24.png").rename(root / "masks/1/24.png")
    add(root, "25", 2, Deformation=[1])
    add(root, "26_0", Deformation=[0, 1])
    add(root, "27", 2, Intensity=3)
    add(root, "x_0")
    write(root / "masks/4/28.png", mask(4))
    before = count(root)
    result, rejects = imported(root)
    assert rejects == {
        "cls_labels/20.json": "20 has no crop among cls_labels/20.json",
        "labeled/0/21_0.png": "21_0 has no label among labeled/0/21_0.png",
        **dict.fromkeys(("cls_labels/22.json", "labeled/2/22.png"), "the mask masks/2/22.png is missing"),
        **dict.fromkeys(
            ("cls_labels/23_0.json", "labeled/0/23_0.png", "labeled/1/23_0.png"),
            "23_0 has several crops: labeled/0/23_0.png, labeled/1/23_0.png",
        ),
        **dict.fromkeys(
            ("cls_labels/24.json", "labeled/2/24.png", "masks/1/24.png"),
            "crop and mask are of different classes: labeled/2/24.png, masks/1/24.png",
        ),
        **dict.fromkeys(
            ("cls_labels/25.json", "labeled/2/25.png", "masks/2/25.png"),
            "cls_labels/25.json does not have class 2 of the crop's folder",
        ),
        **dict.fromkeys(
            ("cls_labels/26_0.json", "labeled/0/26_0.png"),
            "cls_labels/26_0.json has class 0, no deformation, beside others",
        ),
        **dict.fromkeys(
            ("cls_labels/27.json", "labeled/2/27.png", "masks/2/27.png"),
            "cls_labels/27.json has intensity 3; 3 is that of earthquakes only",
        ),
        **dict.fromkeys(
            ("cls_labels/x_0.json", "labeled/0/x_0.png"), "x_0 is no name of a crop: <uniqueID> or <uniqueID>_<number>"
        ),
        "masks/4/28.png": "28 has no label among masks/4/28.png",
    }
    # Seven crops as before, three of them with a mask.
    assert len(rejects) + 2 * 7 + 3 == before
    table = pd.read_parquet(root.parent / "out" / "rejects.parquet")
    assert dict(zip(table["source"], table["reason"], strict=True)) == rejects
    assert result.crops == 7


def test_names_that_are_no_text_and_pipes_stop_nothing(root: Path) -> None:
    place = os.fsencode(root / "labeled" / "0")
    for name in (b"\xff_0.png", b"\xfe.txt"):
        Path(os.fsdecode(place + b"/" + name)).write_bytes(b"")
    add(root, "30_0")
    (root / "labeled/0/30_0.png").unlink()
    os.mkfifo(root / "labeled/0/30_0.png")
    result, rejects = imported(root)
    assert result.ignored == ("labeled/0/\\xfe.txt",)
    assert rejects == {
        "labeled/0/\\xff_0.png": "\\xff_0 is no name of a crop: <uniqueID> or <uniqueID>_<number>",
        **dict.fromkeys(("cls_labels/30_0.json", "labeled/0/30_0.png"), "labeled/0/30_0.png: it is no plain file"),
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", r"the file: Invalid JSON"),
        (json.dumps(label(Deformation=[7])).encode(), r"Deformation.0: Input should be less than or equal to 6"),
        (json.dumps(label(Deformation=[])).encode(), r"Deformation: List should have at least 1 item"),
        (json.dumps(label(Phase="Rest")).encode(), r"Phase: Input should be a valid integer"),
        (json.dumps(label(frameID="../x")).encode(), r"frameID: String should match pattern"),
        (json.dumps(label(primary_date="20180231")).encode(), r"day is out of range|unconverted data"),
    ],
)
def test_a_label_that_is_none_rejects_its_crop(root: Path, content: bytes, reason: str) -> None:
    write(root / "cls_labels/7_1.json", content)
    result, rejects = imported(root)
    assert (result.crops, sorted(rejects)) == (6, ["cls_labels/7_1.json", "labeled/0/7_1.png"])
    assert pd.Series(rejects.values()).str.match(r"cls_labels/7_1.json: .*(" + reason + ")").all()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("labeled/1/8.png", b"", "labeled/1/8.png: "),
        ("labeled/1/8.png", encode_png(Picture(pixels("8")))[:-30], "labeled/1/8.png: "),
        ("labeled/1/8.png", pixels("8")[:5], "labeled/1/8.png has 8 x 5 px, not 8 x 8"),
        ("masks/1/8.png", mask(1)[:, :7], "masks/1/8.png has 7 x 8 px, not 8 x 8"),
        ("masks/1/8.png", pixels("8"), "masks/1/8.png has colours, so nobody knows its classes"),
        ("masks/1/8.png", mask(), r"masks/1/8.png has classes [], and cls_labels/8.json has [1]"),
        ("masks/1/8.png", mask(1, 2), "masks/1/8.png has class 2, which annotation 8 does not have: a sum"),
    ],
)
def test_pixels_that_are_not_those_of_a_crop_reject_it(
    root: Path, name: str, content: bytes | np.ndarray, reason: str
) -> None:
    write(root / name, content)
    result, rejects = imported(root)
    assert (result.crops, sorted(rejects)) == (6, ["cls_labels/8.json", "labeled/1/8.png", "masks/1/8.png"])
    assert all(each.startswith(reason) for each in rejects.values()), rejects


def test_classes_that_come_from_sums_of_masks_are_rejected(root: Path) -> None:
    # Mogi and dyke overlap: the predecessor's mask and label say that there is a sill as well.
    add(root, "30_0", 1, Deformation=[1, 2, 3])
    add(root, "30_1", 2, Deformation=[1, 2])
    result, rejects = imported(root)
    assert result.crops == 8
    reason = "cls_labels/30_0.json has class 3, which annotation 30 does not have: a sum of overlapping deformations"
    assert rejects == dict.fromkeys(("cls_labels/30_0.json", "labeled/1/30_0.png", "masks/1/30_0.png"), reason)


def test_members_that_leave_the_folder_or_are_damaged_are_rejected(root: Path, tmp_path: Path) -> None:
    path = zipped(root, tmp_path / "set.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../cls_labels/40_0.json", json.dumps(label()))
        archive.writestr("../labeled/0/40_0.png", encode_png(Picture(pixels("40_0"))))
        archive.writestr("__MACOSX/labeled/0/._7_0.png", b"")
        archive.writestr("Hephaestus_Classification/readme.txt", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("Hephaestus_Classification/labeled/0/7_1.png", b"")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("Hephaestus_Classification/labeled/1/8.png")
    data[entry.header_offset + 30 + len(entry.filename) + 60] ^= 1
    path.write_bytes(data)
    result, rejects = imported(path)
    outside = "../cls_labels/40_0.json: its path leaves the folder, or it is no plain file"
    assert rejects.pop("../cls_labels/40_0.json") == rejects.pop("../labeled/0/40_0.png") == outside
    top = "Hephaestus_Classification"
    assert "labeled/0/7_1.png: it stands 2 times in the archive" in rejects[f"{top}/cls_labels/7_1.json"]
    assert "labeled/1/8.png: it cannot be read: Bad CRC-32" in rejects[f"{top}/masks/1/8.png"]
    assert (result.crops, len(rejects)) == (5, 5)
    assert result.ignored == (f"{top}/readme.txt", "__MACOSX/labeled/0/._7_0.png")
    assert not (tmp_path / "cls_labels").exists()


def test_links_that_leave_the_folder_are_rejected(root: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside.png", pixels("7_1"))
    (root / "labeled/0/7_1.png").unlink()
    (root / "labeled/0/7_1.png").symlink_to(outside)
    assert imported(root)[1]["labeled/0/7_1.png"] == "labeled/0/7_1.png: it is a link that leaves the folder"


def test_a_deformation_may_lie_under_another(root: Path) -> None:
    write(root / "masks/3/9_1.png", mask(5))
    write(root / "masks/0/7_0.png", mask())
    result, rejects = imported(root)
    assert (result.crops, rejects) == (7, {})
    write(root / "masks/0/7_0.png", mask(5))
    assert set(imported(root)[1]) == {"cls_labels/7_0.json", "labeled/0/7_0.png", "masks/0/7_0.png"}


def test_crops_that_are_saved_here_are_read_again(tmp_path: Path) -> None:
    records = [quiet(3), deformed(12)]
    write_records(tmp_path / "annotations", *records)
    for record in records:
        dates = f"{record['primary_date']}_{record['secondary_date']}"
        write(tmp_path / "raw" / FRAME / "interferograms" / dates / "InSAR.png", pixels("3", 224))
    folders = [f"{tmp_path / 'set' / name}/" for name in ("labeled", "masks")]
    save_crops(f"{tmp_path / 'annotations'}/", *folders, f"{tmp_path / 'raw'}/")
    result = import_crops(tmp_path / "set", tmp_path / "out")
    assert (result.frames, result.rejects) == ({FRAME: 3}, ())
    for crop in read_crops(tmp_path / "out" / FRAME):
        assert np.array_equal(crop.image, pixels("3", 224))
        assert crop.activities == (() if crop.name == "3_0" else (Activity.MOGI, Activity.EARTHQUAKE))


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no labeled/<class>/\*\.png and no cls_labels/\*\.json"):
        import_crops(tmp_path, tmp_path / "out")
    with pytest.raises(SourceError, match="is no folder and no zip, or is cut off"):
        import_crops(write(tmp_path / "set.zip", b"PK"), tmp_path / "out")


def heph(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["insar", "import-crops", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_counts_crops_rejects_and_frames(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPH_DATA_DIR", str(tmp_path / "data"))
    (root / "labeled/0/7_1.png").unlink()
    assert json.loads(heph(root, "--size", SIZE, "--json")) == {"crops": 6, "rejects": 1, "frames": 2}
    split = tmp_path / "train_test_split.json"
    split.write_text(json.dumps({"train": {"0": ["7_0.json", "7_1.json"], "1": ["8.json"]}}), "utf-8")
    out = tmp_path / "out"
    report = json.loads(heph(root, "--size", SIZE, "--json", "--out", out, "--split", split))
    assert report == {"crops": 6, "rejects": 1, "frames": 2, "found": 2, "missing": 1}
    assert pd.read_parquet(out / "splits" / "published.parquet")["name"].to_list() == ["7_0", "8"]
    missing = pd.read_parquet(out / "splits" / "published.missing.parquet")
    reason = "the crop could not be made: 7_1 has no crop among cls_labels/7_1.json"
    assert missing.to_dict("records") == [{"name": "7_1", "part": "train", "deformation": False, "reason": reason}]
    assert (out / FRAME / "manifest.parquet").read_bytes() == (
        tmp_path / "data" / "hephaestus" / "published" / FRAME / "manifest.parquet"
    ).read_bytes()
    assert heph(root, "--size", SIZE, "--split", split).splitlines()[:3] == [
        f"6 crops of 2 frames, 1 rejects; in {tmp_path / 'data' / 'hephaestus' / 'published'}",
        "of the published names, 2 were found, 1 are missing",
        "rejected cls_labels/7_1.json: 7_1 has no crop among cls_labels/7_1.json",
    ]
