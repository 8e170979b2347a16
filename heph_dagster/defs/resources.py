"""What assets are given: the data root and the server that days come from."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from heph_dagster.settings import Settings


class Gibs(dg.ConfigurableResource[None]):
    """Where days come from and where they go; the fields are those of `heph_dagster.settings.Settings`."""

    data_dir: str
    url: str
    endpoint: str
    connections: int
    level: int

    @classmethod
    def of(cls, settings: Settings) -> Gibs:
        """The resource that settings describe."""
        return cls(
            data_dir=str(settings.data_dir.absolute()),
            url=settings.gibs_url,
            endpoint=settings.endpoint,
            connections=settings.connections,
            level=settings.level,
        )

    @property
    def root(self) -> Path:
        """Data root."""
        return Path(self.data_dir)
