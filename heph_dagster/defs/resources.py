"""What assets are given: the data root and the server that days come from."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from heph_dagster.access import Access
from heph_dagster.gibs.client import GibsClient
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
