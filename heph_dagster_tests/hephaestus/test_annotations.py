from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from heph_dagster.cli import main
from heph_dagster.hephaestus.annotations import AnnotationsError, load_annotations, read_annotations, write_annotations
from heph_dagster.hephaestus.sources import SourceError, leaves_folder
from heph_dagster_tests.conftest import REAL_DATA
from heph_dagster_tests.hephaestus.records import deformed, quiet, write_records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_records(tmp_path / "annotations", quiet(3), deformed(12), quiet(5, is_crowd=1), quiet(6, confidence=9))


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, f"annotations/{file.name}")
    return path


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "annotations")
    return path


def test_every_file_is_an_annotation_or_a_reject(folder: Path) -> None:
    (folder / "broken.json").write_bytes(b"{")
    (folder / "notes.txt").write_text("not one of them")
    (folder / "._3.json").write_bytes(b"\0")
    read = read_annotations(folder)
    assert [each.unique_id for each in read.annotations] == [3, 5, 12]
    assert read.sources == ("3.json", "5.json", "12.json")
    assert [(each.source, each.reason[:13]) for each in read.rejects] == [
        ("6.json", "confidence: I"),
        ("broken.json", "it is no JSON"),
    ]
    assert [(name, repair.field) for name, repair in read.repairs] == [("5.json", "is_crowd")]
    assert read.ignored == ("._3.json", "notes.txt")
    assert read.counts() == {"annotations": 3, "deformations": 2, "repairs": 1, "rejects": 2}


def test_a_zip_and_a_tar_read_as_the_folder(folder: Path, tmp_path: Path) -> None:
    expected = [each.record() for each in read_annotations(folder).annotations]
    for archive in (zipped(folder, tmp_path / "a.zip"), tarred(folder, tmp_path / "a.tar.gz")):
        read = read_annotations(archive)
        assert [each.record() for each in read.annotations] == expected
        assert [each.source for each in read.rejects] == ["annotations/6.json"]


def test_the_order_in_an_archive_does_not_matter(folder: Path, tmp_path: Path) -> None:
    digests = {read_annotations(make(folder, tmp_path / "a")).digest for make in (zipped, tarred)}
    assert len(digests) == 1


def test_paths_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    content = json.dumps(quiet(1)).encode()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("../1.json", "/var/1.json"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/../../1.json", content)
        archive.writestr("..\\1.json", content)
    for name, names in (
        ("a.tar", ["../1.json", "/var/1.json", "link.json"]),
        ("a.zip", ["..\\1.json", "a/../../1.json"]),
    ):
        read = read_annotations(tmp_path / name)
        assert not read.annotations
        assert [each.source for each in read.rejects] == names
        assert {each.reason for each in read.rejects} == {"its path leaves the folder, or it is no plain file"}
    assert {path.name for path in tmp_path.rglob("*.json")} == set()


@pytest.mark.parametrize(
    ("name", "outside"),
    [("a/b.json", False), ("a..b/c.json", False), ("a/../b.json", True), ("C:\\b.json", True), ("//host/b.json", True)],
)
def test_names_that_leave_a_folder_are_known(name: str, *, outside: bool) -> None:
    assert leaves_folder(name) is outside


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "elsewhere", quiet(99))
    (folder / "99.json").symlink_to(tmp_path / "elsewhere" / "99.json")
    assert "it is a link that leaves the folder" in [each.reason for each in read_annotations(folder).rejects]


def test_a_copy_is_rejected_and_the_file_named_by_its_id_is_kept(folder: Path) -> None:
    (folder / "0 copy.json").write_bytes((folder / "3.json").read_bytes())
    read = read_annotations(folder)
    assert next((each.source, each.reason) for each in read.rejects) == ("0 copy.json", "it is a copy of 3.json")
    assert read.sources[0] == "3.json"


def test_two_annotations_of_one_id_are_both_rejected(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps(quiet(3, phase="Unrest")), "utf-8")
    read = read_annotations(folder)
    assert [each.unique_id for each in read.annotations] == [5, 12]
    reasons = {each.source: each.reason for each in read.rejects}
    assert reasons["3.json"] == reasons["other.json"]
    assert reasons["3.json"] == "uniqueID 3 stands in 3.json, other.json, which differ: keep the right one"


def test_damaged_members_of_a_zip_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.json", json.dumps(quiet(1)))
        archive.writestr("2.json", json.dumps(quiet(2)))
    path.write_bytes(path.read_bytes().replace(b'"uniqueID": 1', b'"uniqueID": 4'))
    read = read_annotations(path)
    assert [each.unique_id for each in read.annotations] == [2]
    assert read.rejects[0].reason.startswith("it cannot be read: Bad CRC-32")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.zip", None, "is not there: name a folder, a zip or a tar"),
        ("page.zip", b"<html>", "is no folder, zip or tar, or is cut off: download it again"),
    ],
)
def test_what_is_no_archive_is_an_error(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_annotations(path)


def test_what_has_no_annotation_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match=r"has no files that end in \.json; it has 1 others"):
        read_annotations(tmp_path)


def test_a_tar_that_is_cut_off_is_an_error(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    content = gzip.decompress(tarred(folder, path).read_bytes())
    path.write_bytes(gzip.compress(content)[:-200])
    with pytest.raises(SourceError, match=r"a\.tar\.gz is damaged after .* members"):
        read_annotations(path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_no_damage_of_a_tar_loses_a_file_without_a_word(folder: Path, tmp_path: Path, mode: Any) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder, "annotations")
    content = path.read_bytes()
    for size in range(0, len(content), 303):
        path.write_bytes(content[:size])
        try:
            counts = read_annotations(path).counts()
        except SourceError:
            continue
        assert counts["annotations"] + counts["rejects"] == 4
    if mode == "w":
        last = content.rindex(b"ustar")
        path.write_bytes(content[:last] + b"x" + content[last + 1 :])
        with pytest.raises(SourceError, match="no end marker follows, so members may be missing"):
            read_annotations(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_damage_of_a_zip_is_an_error_or_a_reject(folder: Path, tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    content = path.read_bytes()
    for position in range(0, len(content), 13):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        with suppress(SourceError):
            read_annotations(path)


def test_names_that_are_no_text_can_be_kept(tmp_path: Path) -> None:
    folder = write_records(tmp_path / "annotations", quiet(1))
    (folder / "1.json").rename(os.fsdecode(os.fsencode(folder) + b"/\xff1.json"))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xfe.json")).write_bytes(b"{")
    for source in (folder, tarred(folder, tmp_path / "a.tar.gz")):
        read = read_annotations(source)
        write_annotations(tmp_path / "out", read)
        assert [each.unique_id for each in load_annotations(tmp_path / "out")] == [1]
        assert [Path(each).name for each in read.sources] == ["\\xff1.json"]
        assert [Path(each.source).name for each in read.rejects] == ["\\xfe.json"]


def test_links_in_circles_and_pipes_stop_nothing(folder: Path) -> None:
    (folder / "7.json").symlink_to("8.json")
    (folder / "8.json").symlink_to("7.json")
    os.mkfifo(folder / "9.json")
    (folder / "circle").symlink_to(".")
    read = read_annotations(folder)
    assert {each.source: each.reason for each in read.rejects if each.source != "6.json"} == {
        "7.json": "it cannot be read: Too many levels of symbolic links",
        "8.json": "it cannot be read: Too many levels of symbolic links",
        "9.json": "it is no plain file",
    }
    assert read.ignored == ("circle",)


def test_a_copy_in_other_words_is_a_copy(folder: Path) -> None:
    (folder / "0 copy.json").write_text(json.dumps(quiet(3), indent=2), "utf-8")
    read = read_annotations(folder)
    assert next((each.source, each.reason) for each in read.rejects) == ("0 copy.json", "it is a copy of 3.json")


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.tar"])
def test_what_has_no_files_replaces_no_tables(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if name == "folder":
        source.mkdir()
    elif name == "a.zip":
        zipfile.ZipFile(source, "w").close()
    else:
        tarfile.open(source, "w").close()
    done = CliRunner().invoke(main, ["insar", "import", str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "has no files that end in .json" in done.output
    assert not (tmp_path / "out").exists()


def test_an_annotation_may_have_many_deformations(tmp_path: Path) -> None:
    count = 33_000
    many = deformed(
        1, label=["Deformation"], activity_type=["Mogi"] * count, intensity_level=["Low"] * count,
        segmentation_mask=[[0, 0, 9, 0, 9, 9]] * count,
    )  # fmt: skip
    write_annotations(tmp_path, read_annotations(write_records(tmp_path / "annotations", many)))
    assert len(load_annotations(tmp_path)[0].deformations) == count


def test_tables_hold_all_that_was_read(folder: Path, tmp_path: Path) -> None:
    read = read_annotations(folder)
    write_annotations(tmp_path / "out", read)
    assert [each.record() for each in load_annotations(tmp_path / "out")] == [e.record() for e in read.annotations]
    rows = pq.read_table(tmp_path / "out" / "annotations.parquet").to_pylist()
    assert [row["source"] for row in rows] == ["3.json", "5.json", "12.json"]
    assert rows[2]["deformations"] == 2
    patterns = pq.read_table(tmp_path / "out" / "deformations.parquet").to_pylist()
    assert [(row["unique_id"], row["index"], row["class"], row["intensity"]) for row in patterns] == [
        (12, 0, 1, "High"),
        (12, 1, 5, None),
    ]
    (repair,) = pq.read_table(tmp_path / "out" / "annotation_repairs.parquet").to_pylist()
    assert repair == {"source": "5.json", "field": "is_crowd", "was": "1", "now": "0", "reason": "there are 0 polygons"}
    (reject,) = pq.read_table(tmp_path / "out" / "annotation_rejects.parquet").to_pylist()
    assert reject["source"] == "6.json"


def test_only_some_frames_are_loaded(tmp_path: Path) -> None:
    frame = "144A_SM_REUN_S6"
    source = write_records(tmp_path / "in", quiet(1), quiet(2, frameID=frame), deformed(3), deformed(4, frameID=frame))
    read = read_annotations(source)
    write_annotations(tmp_path, read)
    records = [each.record() for each in load_annotations(tmp_path, [frame])]
    assert records == [each.record() for each in read.annotations if each.unique_id in {2, 4}]


def test_tables_of_different_imports_are_an_error(folder: Path, tmp_path: Path) -> None:
    write_annotations(tmp_path / "a", read_annotations(folder))
    (folder / "3.json").unlink()
    write_annotations(tmp_path / "b", read_annotations(folder))
    (tmp_path / "a" / "annotations.parquet").replace(tmp_path / "b" / "annotations.parquet")
    with pytest.raises(AnnotationsError, match="are of different imports: import again"):
        load_annotations(tmp_path / "b")
    with pytest.raises(AnnotationsError, match=r"annotations\.parquet is not there: import annotations first"):
        load_annotations(tmp_path / "a")


def test_the_command_prints_the_four_counts(folder: Path, tmp_path: Path) -> None:
    arguments: list[Any] = ["insar", "import", str(folder), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.output) == {"annotations": 3, "deformations": 2, "repairs": 1, "rejects": 1}
    told = CliRunner().invoke(main, arguments).output.splitlines()
    assert told[1] == "repaired 5.json: is_crowd 1 -> 0: there are 0 polygons"
    assert told[2].startswith("rejected 6.json: confidence: ")


def test_the_command_reads_what_the_assets_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        return json.loads(CliRunner().invoke(main, ["insar", "import", "--json"]).stdout)["annotations"]

    insar = tmp_path / "data" / "hephaestus"
    (insar / "downloads").mkdir(parents=True)
    zipped(write_records(tmp_path / "1", quiet(1)), insar / "downloads" / "annotations_hephaestus.zip")
    assert count() == 1
    write_records(insar / "annotations", quiet(1), quiet(2))
    assert count() == 2
    monkeypatch.setenv("HEPH_INSAR_ANNOTATIONS", str(write_records(tmp_path / "3", quiet(1), quiet(2), quiet(3))))
    assert count() == 3
    assert load_annotations(insar)[2].unique_id == 3


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["insar", "import", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "name a folder, a zip or a tar of annotation files" in result.output


def test_all_real_annotations_are_read() -> None:
    archive = REAL_DATA / "hephaestus" / "annotations.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    assert read_annotations(archive).counts() == {
        "annotations": 15935,
        "deformations": 1800,
        "repairs": 0,
        "rejects": 0,
    }
