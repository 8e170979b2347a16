"""Archives fetched from the network, or put beside them by hand: resumed, verified, recorded.

An archive comes into `.{name}.part` and becomes `{name}` when all of it is there. `downloads.json` in the same folder
tells of each archive where it came from, its size and its SHA-256.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (range requests).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from heph_dagster.access import Access
from heph_dagster.errors import HephError
from heph_dagster.files import locked
from heph_dagster.hephaestus.sources import is_tar, leaves_folder
from heph_dagster.store import Store

RECORDS = "downloads.json"
_BLOCK = 1 << 20
_SECONDS = 60
_ATTEMPTS = 5
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+)")

Progress: TypeAlias = Callable[[int, int | None], object]
"""Is told the bytes that are there, and how many there will be, None where the server does not say."""


class DownloadError(HephError):
    """An archive that cannot be had."""


class _PassingError(Exception):
    """A fault after which to ask again."""


@dataclass(frozen=True)
class Archive:
    """An archive on the network.

    Attributes:
        url: Its address; the last part of the path is its name on disk.
        sha256: Its digest in small letters, None where nobody knows it.
    """

    url: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Name on disk.

        Raises:
            DownloadError: The address has none.
        """
        name = PurePosixPath(unquote(urlsplit(self.url).path)).name
        if not name or name.startswith(".") or "\0" in name or leaves_folder(name):
            raise DownloadError(f"the address {self.url} does not end in the name of an archive: give another")
        return name


@dataclass(frozen=True)
class Download:
    """An archive on disk.

    Attributes:
        path: The file.
        url: Where it came from; None where it was put there by hand.
        bytes: Its size.
        sha256: Its digest.
    """

    path: Path
    url: str | None
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Record:
    """What is kept of an archive; of one that is coming, `sha256` is None.

    Attributes:
        url: Where it comes from, None for by hand.
        validator: Its strong entity tag or day of change, by which a server knows whether it is still the same.
        bytes: Its size, None where the server does not say.
        sha256: Its digest.
        modified_ns: When the file was last written; the digest of one written later is taken again.
    """

    url: str | None = None
    validator: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    modified_ns: int | None = None


def annotations_source(folder: Path, url: str) -> Path:
    """Where annotations are read from: the folder `annotations`, or without one, the archive that is downloaded.

    Args:
        folder: Folder of InSAR data.
        url: Address of the archive.
    """
    files = folder / "annotations"
    return files if files.is_dir() else folder / "downloads" / Archive(url).name


def fetch(
    archive: Archive,
    folder: Path,
    access: Access = Access(),
    on_bytes: Progress = lambda _done, _total: None,
    backoff: float = 1.0,
) -> Download:
    """Have an archive on disk: as it is there, or else from the network, where a former call stopped.

    Args:
        archive: The archive.
        folder: Where it is, or is to be.
        access: How the server is reached.
        on_bytes: Is told how far it is.
        backoff: Seconds before the first repetition of a failed request; each further one waits twice as long.

    Raises:
        DownloadError: It cannot be had, or is something else.
        OSError: The disk is full or fails. What has come is kept.
    """
    path = folder / archive.name
    part = path.with_name(f".{path.name}.part")
    with locked(path):
        if not path.exists():
            _receive(archive.url, part, _opener(access), on_bytes, backoff)
            if not _is_archive(part):
                part.unlink()
                raise _no_archive(path, archive)
            digest = _digest(part, archive)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
            _note(path, archive.url, digest)
        part.unlink(missing_ok=True)
        download = _on_disk(path, archive)
        on_bytes(download.bytes, download.bytes)
        return download


def _on_disk(path: Path, archive: Archive) -> Download:
    """An archive that is there; its digest is taken unless it was before."""
    record, stat = _record(path), path.stat()
    url, digest = record.url, record.sha256
    if digest is None or (record.bytes, record.modified_ns) != (stat.st_size, stat.st_mtime_ns):
        if not _is_archive(path):
            raise _no_archive(path, archive)
        digest = _digest(path, archive)
        url = url if digest == record.sha256 else None
        _note(path, url, digest)
    _compare(path, digest, archive)
    return Download(path, url, stat.st_size, digest)


def _is_archive(file: Path) -> bool:
    return zipfile.is_zipfile(file) or is_tar(file)


def _no_archive(path: Path, archive: Archive) -> DownloadError:
    return DownloadError(
        f"{path} is no zip or tar, or is cut off: get it from {archive.url} with a browser, and put it there"
    )


def _digest(file: Path, archive: Archive) -> str:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    _compare(file, digest, archive)
    return digest


def _compare(file: Path, digest: str, archive: Archive) -> None:
    if archive.sha256 not in {None, digest}:
        raise DownloadError(
            f"{file} has the SHA-256 {digest}, and should have {archive.sha256}: "
            "delete it and get it again, or mend the setting of the digest"
        )


def _record(path: Path) -> _Record:
    return _Record(**_records(path).read().get(path.name, {}))


def _note(path: Path, url: str | None, digest: str) -> None:
    stat = path.stat()
    with _records(path).changing() as records:
        records[path.name] = asdict(_Record(url, None, stat.st_size, digest, stat.st_mtime_ns))


def _records(path: Path) -> Store[dict[str, Any]]:
    return Store(path.with_name(RECORDS), "a record of downloads", dict)


def _opener(access: Access) -> urllib.request.OpenerDirector:
    """What asks for http and https only, wherever it is sent."""
    trust = access.trust()
    context = trust if isinstance(trust, ssl.SSLContext) else ssl.create_default_context()
    proxies = {"http": access.proxy, "https": access.proxy} if access.proxy else None
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", access.user_agent)]
    return opener


def _receive(url: str, part: Path, opener: urllib.request.OpenerDirector, on_bytes: Progress, backoff: float) -> None:
    """Have all of an archive in its part."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _ask(url, part, opener, on_bytes)
        except _PassingError as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == _ATTEMPTS:
                raise DownloadError(
                    f"{url} failed {_ATTEMPTS} times, at last with: {error}. What has come is kept: "
                    f"try again later, or put the file at {_target(part)} by hand"
                ) from error
        time.sleep(backoff * 2 ** (failures - 1))


def _ask(url: str, part: Path, opener: urllib.request.OpenerDirector, on_bytes: Progress) -> None:
    """Ask once for what is missing, and add it to the part.

    Raises:
        _PassingError: It did not come as a whole.
        DownloadError: It will not come.
    """
    record, done = _record(_target(part)), _size(part)
    headers = {"Accept-Encoding": "identity"}
    if done and record.url == url and record.sha256 is None:
        if done == record.bytes:
            return
        if record.validator is not None:
            headers |= {"Range": f"bytes={done}-", "If-Range": record.validator}
    with _open(url, part, opener, headers) as response:
        if response.headers.get_content_type() in _PAGES:
            raise DownloadError(
                f"{url} answered with a web page instead of an archive: the link may have ended or want a login. "
                f"Get the file with a browser, and put it at {_target(part)}; or set another address"
            )
        if response.status == 206:
            total: int | None = _total(response.headers, part, record)
        else:
            total, done = response.length, 0
        _check_room(part, total, url)
        with part.open("ab" if done else "wb") as file:
            if not done:
                with _records(part).changing() as records:
                    records[_target(part).name] = asdict(_Record(url, _validator(response.headers), total))
            while block := _read(response):
                file.write(block)
                done += len(block)
                on_bytes(done, total)
    if total not in {None, done}:
        raise _PassingError(f"the connection ended after {done} of {total} bytes")


def _open(
    url: str, part: Path, opener: urllib.request.OpenerDirector, headers: dict[str, str]
) -> http.client.HTTPResponse:
    by_hand = f"get the file with a browser and put it at {_target(part)}, or set another address"
    try:
        # The opener knows no other schemes than http and https.
        return opener.open(urllib.request.Request(url, headers=headers), timeout=_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # there is less than is here: it is another file
                part.unlink(missing_ok=True)
            if error.code in _TRY_AGAIN or error.code == 416:
                raise _PassingError(f"status {error.code}") from error
            raise DownloadError(f"{url} answered {error.code} {error.reason}: {by_hand}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                f"{url} cannot be trusted: {error.reason.verify_message}. If your network has a certificate authority "
                "of its own, name its PEM file in HEPH_CA_BUNDLE"
            ) from error
        if not isinstance(error.reason, OSError):  # no scheme, or one that is not asked
            raise DownloadError(f"{url} cannot be asked: {error.reason}; {by_hand}") from error
        raise _PassingError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(str(error) or type(error).__name__) from error


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(str(error) or type(error).__name__) from error


def _total(headers: Message, part: Path, record: _Record) -> int:
    """Size of the archive, of which the answer has the rest.

    Raises:
        _PassingError: It has another range, or one of another archive; what has come is given up.
    """
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    same = _validator(headers) in {None, record.validator}
    if found is None or int(found[1]) != _size(part) or not same or record.bytes not in {None, int(found[2])}:
        part.unlink()
        raise _PassingError("the server has another file by now")
    return int(found[2])


def _validator(headers: Message) -> str | None:
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _check_room(part: Path, total: int | None, url: str) -> None:
    free = shutil.disk_usage(part.parent).free + _size(part)
    if total is not None and total > free:
        raise DownloadError(
            f"{url} has {total / 1e6:.0f} MB, and {part.parent} has room for {free / 1e6:.0f} MB: make room"
        )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _target(part: Path) -> Path:
    return part.with_name(part.name.removeprefix(".").removesuffix(".part"))
