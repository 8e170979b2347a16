"""What assets are given: the data root, the server that days come from, and where interferograms are."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from heph_dagster.access import Access
from heph_dagster.gibs.client import GibsClient
from heph_dagster.hephaestus.downloads import annotations_source
from heph_dagster.models.tracking import Tracking
from heph_dagster.settings import Settings


class Gibs(dg.ConfigurableResource[None]):
    """Where days come from and where they go; the fields are those of `heph_dagster.settings.Settings`."""

    data_dir: str
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
            data_dir=str(settings.data_dir.absolute()),
            url=settings.gibs_url,
            endpoint=settings.endpoint,
            connections=settings.connections,
            level=settings.level,
            proxy=settings.proxy,
            ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle.absolute()),
            contact=settings.contact,
            dask=settings.dask,
        )

    @property
    def root(self) -> Path:
        """Data root."""
        return Path(self.data_dir)

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


class Insar(dg.ConfigurableResource[None]):
    """Where annotations and interferograms are, and where what is made of them goes."""

    folder: str
    raw_dir: str
    source: str | None
    annotations_url: str

    @classmethod
    def of(cls, settings: Settings) -> Insar:
        """The resource that settings describe."""
        return cls(
            folder=str(settings.insar_dir.absolute()),
            raw_dir=str(settings.insar_raw_dir.absolute()),
            source=None if settings.insar_annotations is None else str(settings.insar_annotations.absolute()),
            annotations_url=settings.insar_annotations_url,
        )

    @property
    def root(self) -> Path:
        """Folder of InSAR data."""
        return Path(self.folder)

    @property
    def raw(self) -> Path:
        """Root of the raw archive."""
        return Path(self.raw_dir)

    @property
    def annotations(self) -> Path:
        """Folder or archive of annotation files, which may have come after the resource was made."""
        return Path(self.source) if self.source else annotations_source(self.root, self.annotations_url)
