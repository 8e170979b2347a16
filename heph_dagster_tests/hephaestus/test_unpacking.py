"""Archives of raw interferograms: unpacked inside of their folder, and only once."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from heph_dagster.hephaestus.unpacking import Unpacked, UnpackError, unpack_raw
from heph_dagster_tests.hephaestus.raw_archive import FRAME, png

PAIR = f"{FRAME}/interferograms/20181128_20181204"
FILES = {
    f"Hephaestus_Raw/{PAIR}/InSAR.png": png(),
    f"Hephaestus_Raw/{PAIR}/Coherence.png": png(channels=1),
    "Hephaestus_Raw/144A_SM_REUN_S6/README": b"",
    "Hephaestus_Raw/notes.txt": b"no frame",
    FRAME: b"no folder",
    f"__MACOSX/{PAIR}/InSAR.png": b"junk",
    f"Hephaestus_Raw/{PAIR}/.DS_Store": b"junk",
}
UNPACKED = {
    f"{PAIR}/InSAR.png": png(),
    f"{PAIR}/Coherence.png": png(channels=1),
    "144A_SM_REUN_S6/README": b"",
}


def zipped(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.mkdir(f"{FRAME}/empty")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        folder = tarfile.TarInfo(f"{FRAME}/empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_frames_are_unpacked_from_whatever_folder(tmp_path: Path, pack: Callable[..., Path]) -> None:
    told = []
    archive = pack(tmp_path / "a", FILES)
    done = unpack_raw(archive, tmp_path / "raw", lambda *bytes_: told.append(bytes_))
    assert contents(tmp_path / "raw") == UNPACKED
    left_out = ["Hephaestus_Raw/notes.txt", FRAME, f"__MACOSX/{PAIR}/InSAR.png", f"Hephaestus_Raw/{PAIR}/.DS_Store"]
    assert done == Unpacked(written=3, kept=0, left_out=left_out)
    size = sum(map(len, UNPACKED.values()))
    assert told[-1] == (size, size if pack is zipped else None)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_is_there_is_kept_and_what_differs_is_replaced(tmp_path: Path, pack: Callable[..., Path]) -> None:
    archive, raw = pack(tmp_path / "a", FILES), tmp_path / "raw"
    unpack_raw(archive, raw)
    (raw / PAIR / "InSAR.png").write_bytes(bytes(len(png())))
    (raw / PAIR / "Coherence.png").write_bytes(b"")
    (raw / PAIR / "mine.txt").write_bytes(b"mine")
    kept = (raw / "144A_SM_REUN_S6" / "README").stat().st_ino
    done = unpack_raw(archive, raw)
    assert (done.written, done.kept) == (2, 1)
    assert (raw / "144A_SM_REUN_S6" / "README").stat().st_ino == kept
    assert contents(raw) == UNPACKED | {f"{PAIR}/mine.txt": b"mine"}


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name", [f"../{PAIR}/InSAR.png", f"/{PAIR}/InSAR.png", f"{PAIR}/../../../../x", f"C:\\{FRAME}\\x", "..\\x"]
)
def test_what_would_leave_the_folder_is_refused(tmp_path: Path, pack: Callable[..., Path], name: str) -> None:
    archive = pack(tmp_path / "a", {name: b"x"} | FILES)
    with pytest.raises(UnpackError, match=r"a is not unpacked: its member '.*' would leave the folder"):
        unpack_raw(archive, tmp_path / "here" / "raw")
    assert contents(tmp_path / "here") == {}


def test_of_a_zip_that_would_leave_the_folder_nothing_is_unpacked(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a", FILES | {"../x": b"x"})
    with pytest.raises(UnpackError, match="would leave the folder"):
        unpack_raw(archive, tmp_path / "raw")
    assert contents(tmp_path / "raw") == {}


def test_links_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo(f"{PAIR}/InSAR.png")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        link = tarfile.TarInfo(f"{PAIR}/InSAR.png")
        link.type, link.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / f"{kind!r}.tar", "w") as packed:
            packed.addfile(link)
    for path in tmp_path.iterdir():
        with pytest.raises(UnpackError, match="or is no plain file"):
            unpack_raw(path, tmp_path / "raw")
    assert contents(tmp_path / "raw") == {}


def test_a_damaged_archive_is_named_with_its_member(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    data = bytearray(archive.read_bytes())
    data[data.index(png()) + 60] ^= 1
    archive.write_bytes(data)
    with pytest.raises(UnpackError, match=r"a\.zip is damaged at .*InSAR\.png \(Bad CRC-32.*\): get it again"):
        unpack_raw(archive, tmp_path / "raw")
    assert contents(tmp_path / "raw") == {}


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2", "w"])
def test_a_tar_that_is_cut_off_is_named_with_its_member(tmp_path: Path, mode: str) -> None:
    noise = {f"{PAIR}/{index}.png": png(400, 300, seed=index) for index in range(6)}
    archive = tarred(tmp_path / "a.tar", noise, mode)
    archive.write_bytes(archive.read_bytes()[: sum(map(len, noise.values())) * 2 // 3])
    with pytest.raises(UnpackError, match=r"a\.tar is damaged after .*\): get it again"):
        unpack_raw(archive, tmp_path / "raw")
    assert contents(tmp_path / "raw").items() <= noise.items()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x/InSAR.png": b""}, "has no folder named by a frame, as 124D_05291_081406: is it another archive"),
        ({f"a/{PAIR}/x": b"1", f"b/{PAIR}/x": b"2"}, f"a/{PAIR}/x and b/{PAIR}/x would become the same file"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_other_archives_are_refused(
    tmp_path: Path, pack: Callable[..., Path], files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(UnpackError, match=message):
        unpack_raw(pack(tmp_path / "a", files), tmp_path / "raw")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"<html>")
    for name in ("a.zip", "none.zip"):
        with pytest.raises(UnpackError, match=f"{name} is no zip or tar, or is cut off"):
            unpack_raw(tmp_path / name, tmp_path / "raw")
