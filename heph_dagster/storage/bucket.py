"""A bucket of an S3-compatible object store: objects by name, changed only as their reader knows them.

A name is written on the condition that nobody has written it since it was read (If-Match, If-None-Match): of two
writers one hears of the other, and neither's work is lost.

Source: RFC 9110, 13.1; Amazon S3 User Guide, "Conditional requests".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heph_dagster.errors import HephError

if TYPE_CHECKING:
    from obstore.store import S3Store

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^?#]*?))?/*")
_PAGE = 1000  # names of one answer to a listing
_CHUNK = 1 << 20
# Names of tile files tell their content: whoever writes one writes the same bytes. They are large, and sent in parts.
_BY_DIGEST = (".pjg", ".ppg")


class BucketError(HephError):
    """An object store that cannot be used."""


class ConflictError(BucketError):
    """Somebody else has written an object since it was read."""


class ChangedError(BucketError):
    """An object is no more what the listing told."""


def is_bucket(address: str) -> bool:
    """Whether a data root is in an object store."""
    return "://" in address


@dataclass(frozen=True)
class Bucket:
    """The objects below a prefix of a bucket.

    Attributes:
        address: `s3://<bucket>/<prefix>`. Who asks, and another endpoint than Amazon's, are found as by Amazon's own
            programs: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and so on.
    """

    address: str

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ValueError: It is none of an S3 bucket.
        """
        if not _ADDRESS.fullmatch(self.address):
            raise ValueError(f"{self.address} is no address of a bucket, which reads s3://<bucket>/<prefix>")

    @cached_property
    def _store(self) -> S3Store:
        try:
            from obstore.auth.boto3 import Boto3CredentialProvider
            from obstore.store import S3Store
        except ImportError as error:
            raise BucketError(f"{self.address} needs more packages: pip install 'heph-dagster[server]'") from error
        parts = _ADDRESS.fullmatch(self.address)
        assert parts is not None  # noqa: S101  # checked above
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        try:
            who = Boto3CredentialProvider()
        except ValueError as error:
            raise BucketError(
                f"{self.address}: nothing tells who asks; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
            ) from error
        return S3Store(
            parts["bucket"],
            prefix=parts["prefix"] or None,
            credential_provider=who,
            # Objects may be large, and lines slow.
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": "10s",
                "read_timeout": "5m",
                "timeout": "1h",
            },
        )

    def list(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Name and entity tag of each object whose name begins so.

        Raises:
            BucketError: The store does not answer, or refuses.
        """
        import obstore

        folder, _, rest = prefix.rpartition("/")
        # A store lists whole folders, in the order of names: those before the prefix are skipped, and the first one
        # after it ends the listing.
        with self._telling(prefix):
            for page in obstore.list(
                self._store, folder or None, offset=prefix[:-1] if rest else None, chunk_size=_PAGE
            ):
                for each in page:
                    if each["path"].startswith(prefix):
                        # Consoles make empty objects for folders.
                        if each["size"] or "." in each["path"].rpartition("/")[2]:
                            yield each["path"], str(each["e_tag"])
                    elif each["path"] > prefix:
                        return

    def get(self, name: str, tag: str, path: Path) -> None:
        """Copy an object into a file.

        Args:
            name: The object.
            tag: Entity tag that a listing told.
            path: The file, which is overwritten.

        Raises:
            ChangedError: The object has another entity tag, or is gone.
            BucketError: The store does not answer, or refuses.
        """
        import obstore

        with self._telling(name), path.open("wb") as file:
            for chunk in obstore.get(self._store, name, options={"if_match": tag}).stream(min_chunk_size=_CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())  # caches live through power cuts

    def put(self, name: str, path: Path, tag: str | None) -> str:
        """Write an object; readers see it whole, or the one before.

        Args:
            name: The object.
            path: The file that it becomes.
            tag: Entity tag of the object that is replaced; None where there was none.

        Returns:
            Its entity tag.

        Raises:
            ConflictError: Somebody else has written the object, and something else than this file.
            BucketError: The store does not answer, or refuses.
        """
        import obstore

        by_digest = name.endswith(_BY_DIGEST)
        mode: Any = "overwrite" if by_digest else "create" if tag is None else {"e_tag": tag}
        with self._telling(name):
            try:
                told = obstore.put(self._store, name, path, mode=mode, use_multipart=None if by_digest else False)
            except (obstore.exceptions.PreconditionError, obstore.exceptions.AlreadyExistsError) as error:
                return self._same(name, path, error)
        return str(told["e_tag"])

    def delete(self, name: str, tag: str) -> None:
        """Remove an object; one that is gone stays so.

        Args:
            name: The object.
            tag: Entity tag that it had when it was read. Stores do not remove on conditions: it is compared before.

        Raises:
            ConflictError: Somebody else has written the object since.
            BucketError: The store does not answer, or refuses.
        """
        import obstore

        with self._telling(name), suppress(FileNotFoundError):
            if obstore.head(self._store, name)["e_tag"] != tag:
                raise self._conflict(name)
            obstore.delete(self._store, name)

    def _same(self, name: str, path: Path, conflict: Exception) -> str:
        """Entity tag of an object that somebody else has written, if it is the same as a file."""
        import obstore

        try:
            there = obstore.get(self._store, name)
            if bytes(there.bytes()) == path.read_bytes():
                return str(there.meta["e_tag"])
        except FileNotFoundError:
            pass
        raise self._conflict(name) from conflict

    def _conflict(self, name: str) -> ConflictError:
        return ConflictError(
            f"{self.address}/{name} was changed by somebody else meanwhile, and is left so: do it again"
        )

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """Errors of the store, in words."""
        from botocore.exceptions import BotoCoreError
        from obstore import exceptions

        what = f"{self.address}/{name}".rstrip("/")
        try:
            yield
        except (exceptions.BaseError, BotoCoreError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise BucketError(f"{self.address}: there is no such bucket; make it first") from error
            if isinstance(error, exceptions.PreconditionError | FileNotFoundError):
                raise ChangedError(f"{what} is gone, or no more what it was: do it again") from error
            if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
                raise BucketError(f"{what}: the store refuses; check who asks and what they may do") from error
            raise BucketError(f"{what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
