"""Parts of a bucket as files, and back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from heph_dagster.files import replacing
from heph_dagster.storage.bucket import Bucket, BucketError, ConflictError
from heph_dagster.storage.working_copy import EVERYTHING, Part
from heph_dagster.storage.working_copy import working_copy as opened


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@contextmanager
def working_copy(address: str, work: Path, parts: list[Part]) -> Iterator[Path]:
    with opened(address, work, parts) as copy:
        yield copy.folder


def write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)


def here(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("[!.]*") if path.is_file() and not path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def there(address: str) -> list[str]:
    return [name for name, _ in Bucket(address).list("")]


def test_a_folder_is_worked_on_in_place(tmp_path: Path, work: Path) -> None:
    with working_copy(str(tmp_path), work, [EVERYTHING]) as folder:
        assert folder == tmp_path
    assert not work.exists()


def test_what_is_written_is_there_for_the_next_on_another_machine(address: str, work: Path, tmp_path: Path) -> None:
    with working_copy(address, work, []) as folder:
        write(folder / "4326/2024-04-01/a.mrf", "an index")
        write(folder / "4326/2024-04-01/.a.part", "half")
    assert not folder.exists()
    assert there(address) == ["4326/2024-04-01/a.mrf"]
    for machine in (work, tmp_path / "other"):
        with working_copy(address, machine, [EVERYTHING]) as folder:
            assert here(folder) == ["4326/2024-04-01/a.mrf"]
            assert (folder / "4326/2024-04-01/a.mrf").read_text() == "an index"


def test_only_the_parts_are_there(address: str, work: Path) -> None:
    names = [
        "4326/2024-04-01/a.0.pjg", "4326/2024-04-01/a.missing.json", "4326/2024-04-01/tiles/a.1.jpg",
        "4326/2024-04-01/ab.mrf", "4326/2024-04-02/a.mrf", "4326/a.features/2024-04.parquet", "4326/a.labels.parquet",
        "4326/b.labels.parquet", "3413/2024-04-01/a.mrf",
    ]  # fmt: skip
    with working_copy(address, work, []) as folder:
        for name in names:
            write(folder / name, name)

    def found(*parts: Part) -> list[str]:
        with working_copy(address, work, list(parts)) as folder:
            return here(folder)

    assert found(Part("4326/2024-04-01/", ("/a.",))) == [
        "4326/2024-04-01/a.0.pjg",
        "4326/2024-04-01/a.missing.json",
        "4326/2024-04-01/tiles/a.1.jpg",
    ]
    assert found(Part("4326/2024-04-01/", ("/a.", "/b."), pixels=False)) == ["4326/2024-04-01/a.missing.json"]
    assert found(Part("4326/a.")) == ["4326/a.features/2024-04.parquet", "4326/a.labels.parquet"]
    assert found(Part("4326/", ("/a.",), pixels=False)) == [
        "4326/2024-04-01/a.missing.json",
        "4326/2024-04-02/a.mrf",
        "4326/a.features/2024-04.parquet",
        "4326/a.labels.parquet",
    ]
    assert found(Part("4326/", shallow=True)) == ["4326/a.labels.parquet", "4326/b.labels.parquet"]
    assert found(EVERYTHING) == sorted(names)
    assert found() == []


def test_what_is_removed_or_changed_is_so_in_the_bucket(address: str, work: Path) -> None:
    with working_copy(address, work, []) as folder:
        for name in ("left", "changed", "removed"):
            write(folder / name, name)
    before = dict(Bucket(address).list(""))
    with working_copy(address, work, [EVERYTHING]) as folder:
        write(folder / "changed", "anew")
        (folder / "removed").unlink()
    after = dict(Bucket(address).list(""))
    assert after.keys() == {"left", "changed"}
    assert after["left"] == before["left"]
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert (folder / "changed").read_text() == "anew"


def test_a_database_is_changed_in_place(address: str, work: Path) -> None:
    with working_copy(address, work, []) as folder, closing(sqlite3.connect(folder / "a.sqlite")) as file:
        file.execute("create table days (day text)")
        file.commit()
    for number in range(3):
        with working_copy(address, work, [EVERYTHING]) as folder, closing(sqlite3.connect(folder / "a.sqlite")) as file:
            assert file.execute("select count(*) from days").fetchone() == (number,)
            file.execute("insert into days values (?)", [number])
            file.commit()
            with (
                working_copy(address, work, [EVERYTHING]) as other,
                closing(sqlite3.connect(other / "a.sqlite")) as before,
            ):
                assert before.execute("select count(*) from days").fetchone() == (number,)


def test_of_two_writers_the_later_hears_of_the_earlier(address: str, work: Path) -> None:
    with working_copy(address, work, []) as folder:
        write(folder / "table", "0")

    def overtaken() -> None:
        with working_copy(address, work, [EVERYTHING]) as late:
            with working_copy(address, work, [EVERYTHING]) as early:
                write(early / "table", "0, early")
            write(late / "table", "0, late")

    with pytest.raises(ConflictError, match="/table was changed by somebody else meanwhile"):
        overtaken()
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert (folder / "table").read_text() == "0, early"


def test_a_day_of_two_writers_is_of_one_of_them(address: str, work: Path) -> None:
    """Its tiles may be of both; the `.mrf` names those of one."""

    def overtaken() -> None:
        with working_copy(address, work, []) as late:
            with working_copy(address, work, []) as early:
                write(early / "a.111111111111.pjg", "early tiles")
                write(early / "a.mrf", "a.111111111111.pjg")
            write(late / "a.222222222222.pjg", "late tiles")
            write(late / "a.mrf", "a.222222222222.pjg")

    with pytest.raises(ConflictError, match=r"a.mrf was changed"):
        overtaken()
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert (folder / (folder / "a.mrf").read_text()).read_text() == "early tiles"


def test_what_was_written_before_an_error_goes_back(address: str, work: Path) -> None:

    def fail() -> None:
        with working_copy(address, work, []) as folder:
            write(folder / "a", "a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert there(address) == ["a"]


def test_requests_are_counted_by_machine(address: str, work: Path) -> None:
    from heph_dagster.store import Store

    for number in range(2):
        with working_copy(address, work, []) as folder:
            store = Store(folder / "gibs_requests.json", "a count", int)
            assert store.read() == ({"hour": number} if number else {})
            with store.changing() as hours:
                hours["hour"] = number + 1
    assert there(address) == []


def test_what_has_been_read_is_not_fetched_again(address: str, work: Path) -> None:
    with working_copy(address, work, []) as folder:
        write(folder / "a", "a")
    with working_copy(address, work, [EVERYTHING]) as folder:
        first = (folder / "a").stat().st_ino
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert (folder / "a").stat().st_ino == first
        write(folder / "a", "b")
    kept = [path.read_text() for path in (work / "cache").rglob("a/*") if path.is_file()]
    assert kept == ["b"]


def test_copies_of_killed_programs_are_swept(address: str, work: Path) -> None:
    with working_copy(address, work, []) as alive:
        abandoned = alive.with_name("abandoned")
        write(abandoned / "a", "a")
        abandoned.with_suffix(".lock").touch()
        with working_copy(address, work, []):
            assert not abandoned.exists()
            assert alive.exists()
    assert here(alive.parent) == []


def test_a_name_does_not_lead_out_of_the_folder(address: str, work: Path) -> None:
    import boto3

    _, _, bucket, prefix = address.split("/", 3)
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/../../out", Body=b"")
    with (
        pytest.raises(BucketError, match=r"illegal character sequence \"\.\.\""),
        working_copy(address, work, [EVERYTHING]),
    ):
        pass


def test_what_is_of_another_machine_does_not_come(address: str, work: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("{}")
    Bucket(address).put("gibs_requests.json", count, None)
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert here(folder) == []
    assert there(address) == ["gibs_requests.json"]


def test_what_changes_while_it_is_copied_is_copied_as_it_is_then(
    address: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working_copy(address, work, []) as folder:
        for name in ("a", "b", "c"):
            write(folder / name, "first")
    listed = Bucket.list

    def change(bucket: Bucket, prefix: str) -> list[tuple[str, str]]:
        """What is told is of before a change."""
        told = list(listed(bucket, prefix))
        monkeypatch.setattr(Bucket, "list", listed)
        with working_copy(address, work, [EVERYTHING]) as folder:
            write(folder / "a", "second")
            (folder / "c").unlink()
        return told

    monkeypatch.setattr(Bucket, "list", change)
    shutil.rmtree(work / "cache")
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert {name: (folder / name).read_text() for name in here(folder)} == {"a": "second", "b": "first"}
    assert there(address) == ["a", "b"]


def test_a_copy_that_was_removed_removes_nothing(address: str, work: Path) -> None:
    with working_copy(address, work, []) as folder:
        write(folder / "a", "a")

    def swept(what: str) -> None:
        with working_copy(address, work, [EVERYTHING]) as folder:
            shutil.rmtree(folder if what == "copy" else folder.parents[1] / "objects")
            if what == "cache":
                (folder / "a").unlink()

    with pytest.raises(BucketError, match="was removed while it was worked on: nothing of it is kept, do it again"):
        swept("copy")
    with pytest.raises(ConflictError, match=r"is gone from the cache .*: do it again"):
        swept("cache")
    assert there(address) == ["a"]


def test_what_is_kept_midway_is_there_and_kept_once(address: str, work: Path) -> None:
    with opened(address, work, []) as copy:
        write(copy.folder / "a", "first")
        write(copy.folder / "b", "b")
        copy.keep()
        assert there(address) == ["a", "b"]
        write(copy.folder / "a", "second")
        (copy.folder / "b").unlink()
    with working_copy(address, work, [EVERYTHING]) as folder:
        assert {name: (folder / name).read_text() for name in here(folder)} == {"a": "second"}


def test_the_error_of_the_work_goes_before_that_of_keeping_it(
    address: str, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def overtaken() -> None:
        with working_copy(address, work, []) as late:
            with working_copy(address, work, []) as early:
                write(early / "a", "early")
            write(late / "a", "late")
            raise KeyError

    with pytest.raises(KeyError):
        overtaken()
    assert "what was done before the error is not kept: " in caplog.text


def test_a_program_that_exits_hears_of_what_is_not_kept(address: str, work: Path) -> None:
    def overtaken() -> None:
        with working_copy(address, work, []) as late:
            with working_copy(address, work, []) as early:
                write(early / "a", "early")
            write(late / "a", "late")
            raise SystemExit(1)

    with pytest.raises(ConflictError):
        overtaken()


def test_folders_that_a_console_made_are_no_files(address: str, work: Path, tmp_path: Path) -> None:
    import boto3

    _, _, bucket, prefix = address.split("/", 3)
    for name in ("4326/", "4326/2024-04-01/", "4326/2024-04-02/"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"")
    with working_copy(address, work, []) as folder:
        write(folder / "4326/2024-04-01/a.mrf", "a")
    for part in (EVERYTHING, Part("4326/"), Part("4326/2024-04-01/")):
        with working_copy(address, work, [part]) as folder:
            assert here(folder) == ["4326/2024-04-01/a.mrf"]


def test_exports_of_other_machines_are_never_newer_than_their_mosaic(address: str, work: Path, tmp_path: Path) -> None:
    with working_copy(address, work, []) as folder:
        write(folder / "a.mrf", "mosaic")
        write(folder / "a.jpg", "export")
    with working_copy(address, tmp_path / "other", [EVERYTHING]) as folder:
        assert (folder / "a.jpg").stat().st_mtime < (folder / "a.mrf").stat().st_mtime


def test_checkpoints_stay_on_the_machine(address: str, work: Path) -> None:
    for expected in ([], ["state"]):
        with working_copy(address, work, []) as folder:
            assert [path.name for path in (folder / "hephaestus" / "checkpoints").iterdir()] == expected
            (folder / "hephaestus" / "checkpoints" / "state").write_text("half-way")
    assert there(address) == []


def test_what_names_others_is_there_after_them_and_gone_before(
    address: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    put, delete = Bucket.put, Bucket.delete

    def noted_put(bucket: Bucket, name: str, path: Path, tag: str | None) -> str:
        done.append(name)
        return put(bucket, name, path, tag)

    def noted_delete(bucket: Bucket, name: str, tag: str) -> None:
        done.append(f"- {name}")
        delete(bucket, name, tag)

    monkeypatch.setattr(Bucket, "put", noted_put)
    monkeypatch.setattr(Bucket, "delete", noted_delete)
    names = ["0.mrf", "a.1.idx", "a.1.pjg", "a.1.tiles.parquet"]
    with working_copy(address, work, []) as folder:
        for name in names:
            write(folder / name, name)
    with working_copy(address, work, [EVERYTHING]) as folder:
        for name in names:
            (folder / name).unlink()
    assert done[3] == "0.mrf"
    assert done[4] == "- 0.mrf"
    assert len(done) == 8
