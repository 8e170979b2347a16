"""`heph insar download`: archives from a server, or put there by hand."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heph_dagster.settings import Settings
from heph_dagster_tests.hephaestus.range_server import Served, serving
from heph_dagster_tests.hephaestus.raw_archive import FRAME, png
from heph_dagster_tests.test_cli import heph

INSAR = f"{FRAME}/interferograms/20181128_20181204/InSAR.png"


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


CONTENT = zipped(INSAR, png())


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the three archives."""
    with serving(Served(CONTENT)) as url:
        for name in ("annotations", "raw", "crops"):
            monkeypatch.setenv(f"HEPH_INSAR_{name.upper()}_URL", f"{url}/s/{name}.zip?dl=1")
        yield url


def test_the_default_addresses_end_in_names_of_archives_and_begin_a_download() -> None:
    settings = Settings()
    for name in ("annotations", "raw", "crops"):
        assert getattr(settings, f"insar_{name}_url").endswith(".zip?dl=1")
    assert settings.insar_raw_dir == settings.data_dir / "hephaestus" / "raw"


def test_all_archives_are_fetched_and_the_raw_one_unpacked(url: str, tmp_path: Path) -> None:
    done = json.loads(heph("insar", "download", "all", "--json").stdout)
    folder = tmp_path / "data" / "hephaestus"
    assert list(done) == ["annotations", "raw", "crops"]
    assert done["crops"] == {
        "path": f"{folder}/downloads/crops.zip", "url": f"{url}/s/crops.zip?dl=1", "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }  # fmt: skip
    assert (done["raw"]["written"], done["raw"]["kept"], done["raw"]["left_out"]) == (1, 0, [])
    assert (folder / "raw" / INSAR).read_bytes() == png()
    assert json.loads(heph("insar", "download", "raw", "--json").stdout)["raw"]["kept"] == 1


def test_what_comes_next_is_told(url: str, tmp_path: Path) -> None:
    lines = heph("insar", "download", "annotations").stdout.splitlines()
    path = tmp_path / "data" / "hephaestus" / "downloads" / "annotations.zip"
    assert lines[0].startswith(f"annotations: {path}, 0.0 MB, SHA-256 ")
    assert lines[0].endswith(f"from {url}/s/annotations.zip?dl=1")
    assert lines[1] == f"next: heph insar import {path}"


def test_a_file_put_there_by_hand_goes_to_the_folder_of_the_settings(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPH_INSAR_RAW", str(tmp_path / "elsewhere"))
    downloads = tmp_path / "data" / "hephaestus" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "raw.zip").write_bytes(zipped(INSAR, b"by hand"))
    lines = heph("insar", "download", "raw").stdout.splitlines()
    assert lines[0].endswith(", put there by hand")
    assert lines[1] == f"raw: 1 files written to {tmp_path / 'elsewhere'}, 0 were there"
    assert (tmp_path / "elsewhere" / INSAR).read_bytes() == b"by hand"


def test_a_wrong_digest_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_INSAR_ANNOTATIONS_SHA256", "0" * 64)
    line = heph("insar", "download", "annotations", code=1).stderr.splitlines()[-1]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert f"annotations.zip.part has the SHA-256 {digest}, and should have {'0' * 64}" in line
