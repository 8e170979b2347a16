"""What assets are given: the data root, the server that days come from, and where interferograms are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg

from heph_dagster.access import Access
from heph_dagster.gibs.client import GibsClient
from heph_dagster.hephaestus.downloads import annotations_source
from heph_dagster.models.tracking import Tracking
from heph_dagster.settings import INSAR, Settings
from heph_dagster.storage.bucket import BucketError, ConflictError, is_bucket
from heph_dagster.storage.working_copy import Part, working_copy

_TRIES = 3
_WAIT_SECONDS = 5


class DataRoot(dg.ConfigurableResource[None]):
    """Where data are kept.

    Attributes:
        data_dir: A folder, or `s3://<bucket>/<prefix>`.
        work_dir: Folder of this machine for copies of what is in a bucket.
        opened: What `data_dir` is a copy of.
    """

    data_dir: str
    work_dir: str
    opened: str | None = None

    @property
    def root(self) -> Path:
        """Data root; of a bucket, the copy of it in which `open` has the parts that it was given.

        Raises:
            ValueError: It is a bucket that is not open.
        """
        if is_bucket(self.data_dir):
            raise ValueError(f"{self.data_dir} is worked on in a copy: open its parts first")
        return Path(self.data_dir)

    @contextmanager
    def open(self, *parts: Part) -> Iterator[Self]:
        """The same with parts of the data as files; what is written there is kept when the block ends.

        Raises:
            RetryRequested: Somebody else has written meanwhile what this has.
            Failure: The store does not answer, or refuses.
        """
        try:
            with working_copy(self.data_dir, Path(self.work_dir), parts) as copy:
                yield self.model_copy(update={"data_dir": str(copy.folder), "opened": self.data_dir})
        except ConflictError as error:
            raise dg.RetryRequested(max_retries=_TRIES, seconds_to_wait=_WAIT_SECONDS) from error
        except BucketError as error:
            raise dg.Failure(str(error)) from error

    def place(self, path: Path) -> dg.PathMetadataValue:
        """Where a file or folder below the root is kept."""
        return dg.MetadataValue.path(self.words(path))

    def words(self, told: object) -> str:
        """What an error or a path tells, of the data root and not of a copy that is soon gone."""
        return str(told) if self.opened is None else str(told).replace(self.data_dir, self.opened.rstrip("/"))


class Gibs(DataRoot):
    """Where days come from and where they go; the fields are those of `heph_dagster.settings.Settings`."""

    url: str
    endpoint: str
    connections: int
    level: int
    proxy: str | None
    ca_bundle: str | None
    contact: str | None
    dask: str | None

    @classmethod
    def of(cls, settings: Settings) -> Gibs:
        """The resource that settings describe."""
        return cls(
            data_dir=settings.address,
            work_dir=str(settings.home.absolute()),
            url=settings.gibs_url,
            endpoint=settings.endpoint,
            connections=settings.connections,
            level=settings.level,
            proxy=settings.proxy,
            ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle.absolute()),
            contact=settings.contact,
            dask=settings.dask,
        )

    def client(self) -> GibsClient:
        """A session with the server, not open yet."""
        access = Access(self.proxy, Path(self.ca_bundle) if self.ca_bundle else None, self.contact)
        return GibsClient(self.url, self.endpoint, connections=self.connections, access=access)


class Mlflow(dg.ConfigurableResource[None]):
    """Where trainings and models are recorded."""

    uri: str
    artifacts: str | None
    address: str

    @classmethod
    def of(cls, settings: Settings) -> Mlflow:
        """The resource that settings describe."""
        folder = settings.mlflow_artifacts
        return cls(
            uri=settings.mlflow_uri, artifacts=None if folder is None else str(folder), address=settings.mlflow_address
        )

    def tracking(self) -> Tracking:
        """The store."""
        return Tracking(self.uri, None if self.artifacts is None else Path(self.artifacts))

    def run_link(self, run_id: str) -> dg.UrlMetadataValue:
        """Where the MLflow UI shows a run."""
        return dg.MetadataValue.url(f"{self.address}/#/runs/{run_id}")


class Insar(DataRoot):
    """Where annotations and interferograms are, and where what is made of them goes."""

    raw_dir: str
    archives: str
    source: str | None
    annotations_url: str

    @classmethod
    def of(cls, settings: Settings) -> Insar:
        """The resource that settings describe."""
        return cls(
            data_dir=settings.address,
            work_dir=str(settings.home.absolute()),
            raw_dir=str(settings.insar_raw_dir.absolute()),
            archives=str(settings.insar_archives.absolute()),
            source=None if settings.insar_annotations is None else str(settings.insar_annotations.absolute()),
            annotations_url=settings.insar_annotations_url,
        )

    @property
    def folder(self) -> Path:
        """Folder of what is made of InSAR data."""
        return self.root / INSAR

    @property
    def raw(self) -> Path:
        """Root of the raw archive."""
        return Path(self.raw_dir)

    @property
    def annotations(self) -> Path:
        """Folder or archive of annotation files, which may have come after the resource was made."""
        return Path(self.source) if self.source else annotations_source(Path(self.archives), self.annotations_url)
