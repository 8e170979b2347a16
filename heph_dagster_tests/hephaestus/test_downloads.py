"""Archives from a server that goes wrong, and archives put there by hand."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heph_dagster.access import Access
from heph_dagster.hephaestus.downloads import RECORDS, Archive, Download, DownloadError, fetch
from heph_dagster_tests.gibs.test_access import encrypted, own_authority
from heph_dagster_tests.hephaestus.range_server import Served, serving

NAME = "a.zip"


def zipped(size: int = 5000, seed: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("noise", np.random.default_rng(seed).bytes(size))
    return file.getvalue()


CONTENT = zipped()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(url: str, folder: Path, sha256: str | None = None) -> Download:
    return fetch(Archive(f"{url}/files/{NAME}?dl=1", sha256), folder, backoff=0)


def names(folder: Path) -> set[str]:
    """Files in a folder, without those that are for locking."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / RECORDS).read_text("utf-8"))[NAME]


def test_an_archive_is_fetched_once_and_recorded(tmp_path: Path) -> None:
    told = []
    with serving(served := Served(CONTENT)) as url:
        archive = Archive(f"{url}/{NAME}", SHA256)
        first = fetch(archive, tmp_path / "downloads", on_bytes=lambda *bytes_: told.append(bytes_))
        assert fetch(archive, tmp_path / "downloads") == first
    assert first == Download(tmp_path / "downloads" / NAME, f"{url}/{NAME}", len(CONTENT), SHA256)
    assert first.path.read_bytes() == CONTENT
    assert served.requests == [None]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert names(tmp_path / "downloads") == {NAME, RECORDS}
    stat = first.path.stat()
    assert record(first.path.parent) == {
        "url": f"{url}/{NAME}", "validator": None, "bytes": len(CONTENT), "sha256": SHA256,
        "modified_ns": stat.st_mtime_ns,
    }  # fmt: skip


@pytest.mark.parametrize(("etag", "modified"), [('"1"', None), ('W/"1"', "Wed, 01 Jan 2025 00:00:00 GMT")])
def test_what_was_cut_goes_on_where_it_stopped(tmp_path: Path, etag: str, modified: str | None) -> None:
    with serving(served := Served(CONTENT, etag, modified, cuts=[1000, 700])) as url:
        assert get(url, tmp_path, SHA256).path.read_bytes() == CONTENT
    assert served.requests == [None, "bytes=1000-", "bytes=1700-"]
    assert served.validators == [None, modified or etag, modified or etag]
    assert served.sent == [1000, 700, len(CONTENT) - 1700]


def test_cuts_do_not_count_as_long_as_something_comes(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, cuts=[500] * 9)) as url:
        assert get(url, tmp_path).sha256 == SHA256
    assert served.sent[:9] == [500] * 9


def test_a_server_that_sends_another_range_is_asked_for_all(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, cuts=[1000], shift=1)) as url:
        assert get(url, tmp_path).sha256 == SHA256
    assert served.requests == [None, "bytes=1000-", None]


def test_a_later_call_goes_on_too(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, cuts=[1000], statuses=[0, 503, 503, 503, 503])) as url:
        with pytest.raises(DownloadError, match=r"failed 5 times, at last with: status 503\. What has come is kept"):
            get(url, tmp_path)
        assert names(tmp_path) == {f".{NAME}.part", RECORDS}
        served.requests.clear()
        assert get(url, tmp_path).sha256 == SHA256
    assert served.requests == ["bytes=1000-"]
    assert names(tmp_path) == {NAME, RECORDS}


def test_a_part_that_is_whole_is_not_asked_for(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT)) as url:
        get(url, tmp_path)
        (tmp_path / NAME).rename(tmp_path / f".{NAME}.part")
        records = json.loads((tmp_path / RECORDS).read_text("utf-8"))
        records[NAME]["sha256"] = None
        (tmp_path / RECORDS).write_text(json.dumps(records), "utf-8")
        assert get(url, tmp_path).sha256 == SHA256
    assert served.requests == [None]


@pytest.mark.parametrize(
    ("other", "etag"),
    [(zipped(6000, seed=1), '"2"'), (zipped(seed=1), '"2"'), (zipped(100, seed=1), '"2"'), (zipped(6000, 1), '"1"')],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path, other: bytes, etag: str, check: bool) -> None:
    served = Served(CONTENT, cuts=[3000], check=check)

    def change(*_: object) -> None:
        served.content, served.etag = other, etag

    with serving(served) as url:
        download = fetch(Archive(f"{url}/{NAME}"), tmp_path, on_bytes=change, backoff=0)
    assert download.path.read_bytes() == other
    assert served.requests[:2] == [None, "bytes=3000-"]


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, cuts=[1000], ranges=False)) as url:
        assert get(url, tmp_path).sha256 == SHA256
    assert served.sent == [1000, len(CONTENT)]


def test_without_a_validator_nothing_is_put_together(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, etag=None, cuts=[1000])) as url:
        assert get(url, tmp_path).sha256 == SHA256
    assert served.requests == [None, None]


def test_another_address_begins_anew(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT, cuts=[1000], statuses=[0, 404])) as url:
        with pytest.raises(DownloadError, match="answered 404"):
            get(url, tmp_path)
        served.requests.clear()
        assert fetch(Archive(f"{url}/other/{NAME}"), tmp_path).sha256 == SHA256
    assert served.requests == [None]


def test_passing_faults_are_tried_again(tmp_path: Path) -> None:
    with serving(Served(CONTENT, statuses=[500, 429, 503, 502])) as url:
        assert get(url, tmp_path).sha256 == SHA256


def test_without_a_size_the_archive_ends_where_the_connection_does(tmp_path: Path) -> None:
    with serving(Served(CONTENT, length=0)) as url:
        assert get(url, tmp_path).sha256 == SHA256
    cut = Served(CONTENT, length=0, cuts=[4000])
    with (
        serving(cut) as url,
        pytest.raises(DownloadError, match=r"a\.zip is no zip or tar, or is cut off: get it from"),
    ):
        get(url, tmp_path / "other")
    assert names(tmp_path / "other") == {RECORDS}


@pytest.mark.parametrize(
    ("served", "path", "message"),
    [
        (Served(CONTENT, statuses=[404]), NAME, "answered 404 Not Found: get the file with a browser and put it at"),
        (Served(CONTENT, statuses=[403]), NAME, "answered 403 Forbidden: get the file with a browser"),
        (Served(CONTENT, statuses=[500] * 5), NAME, "failed 5 times, at last with: status 500. What has come is kept"),
        (Served(b"<html>", media_type="text/html; charset=utf-8"), NAME, "answered with a web page instead of an arch"),
        (Served(b"<html>"), NAME, "a.zip is no zip or tar, or is cut off: get it from .* with a browser, and put it"),
        (Served(CONTENT), "", "does not end in the name of an archive: give another"),
        (Served(CONTENT), "x/..%5c..%5cetc", "does not end in the name of an archive: give another"),
        (Served(CONTENT), ".zip", "does not end in the name of an archive: give another"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_told(tmp_path: Path, served: Served, path: str, message: str) -> None:
    with serving(served) as url, pytest.raises(DownloadError, match=message):
        fetch(Archive(f"{url}/{path}"), tmp_path, backoff=0)
    assert not (tmp_path / NAME).exists()


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(DownloadError, match=r"failed 5 times, at last with: .*refused"):
            get(url, tmp_path)


def test_another_digest_is_an_error_that_names_both(tmp_path: Path) -> None:
    message = (
        f"a\\.zip(\\.part)? has the SHA-256 {SHA256}, and should have {'0' * 64}: delete it and get it again, or mend"
    )
    with serving(served := Served(CONTENT)) as url:
        with pytest.raises(DownloadError, match=message):
            get(url, tmp_path, "0" * 64)
        assert names(tmp_path) == {f".{NAME}.part", RECORDS}
        get(url, tmp_path, SHA256)
        with pytest.raises(DownloadError, match=message):
            get(url, tmp_path, "0" * 64)
    assert names(tmp_path) == {NAME, RECORDS}
    assert served.requests == [None]


def test_a_file_put_there_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    (tmp_path / f".{NAME}.part").write_bytes(b"of a download that was given up")
    with serving(served := Served(zipped(seed=1))) as url:
        assert get(url, tmp_path, SHA256) == Download(tmp_path / NAME, None, len(CONTENT), SHA256)
        (tmp_path / NAME).write_bytes(b"x" * len(CONTENT))
        os.utime(tmp_path / NAME, ns=(0, 0))
        with pytest.raises(DownloadError, match=r"a\.zip is no zip or tar, or is cut off"):
            get(url, tmp_path)
        with tarfile.open(tmp_path / NAME, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("x"))
        assert get(url, tmp_path).sha256 == hashlib.sha256((tmp_path / NAME).read_bytes()).hexdigest()
    assert served.requests == []
    assert names(tmp_path) == {NAME, RECORDS}
    assert record(tmp_path)["url"] is None


def test_a_file_that_was_copied_keeps_its_address(tmp_path: Path) -> None:
    with serving(Served(CONTENT)) as url:
        first = get(url, tmp_path)
        os.utime(tmp_path / NAME, ns=(0, 0))
        assert get(url, tmp_path) == first


def test_room_is_looked_for_before(tmp_path: Path) -> None:
    message = r"a\.zip\?dl=1 has 1000000000000 MB, and .* has room for [0-9]+ MB: make room"
    with serving(Served(CONTENT, length=10**18)) as url, pytest.raises(DownloadError, match=message):
        get(url, tmp_path)
    assert names(tmp_path) == set()


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    pem = own_authority(tmp_path)
    with encrypted(pem) as url:
        with pytest.raises(DownloadError, match=r"cannot be trusted: .*self-signed.* HEPH_CA_BUNDLE"):
            get(url, tmp_path)
        # It is a tile that comes, and no archive.
        with pytest.raises(DownloadError, match="is no zip or tar"):
            fetch(Archive(f"{url}/{NAME}"), tmp_path, Access(ca_bundle=pem))


def test_the_proxy_of_the_settings_is_asked(tmp_path: Path) -> None:
    with serving(served := Served(CONTENT)) as url:
        archive = Archive(f"http://nowhere.invalid/{NAME}")
        assert fetch(archive, tmp_path, Access(proxy=url)).sha256 == SHA256
    assert served.requests == [None]
