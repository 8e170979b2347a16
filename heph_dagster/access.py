"""How servers are reached, and who asks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from heph_dagster import __version__


@dataclass(frozen=True)
class Access:
    """How a server is reached, and who asks.

    Attributes:
        proxy: Address of a proxy; without it, HTTP_PROXY, HTTPS_PROXY and NO_PROXY hold.
        ca_bundle: PEM file of the certificate authorities to trust; the system's by default.
        contact: Mail address or page that goes into the User-Agent, so that GIBS can tell whom to ask.
    """

    proxy: str | None = None
    ca_bundle: Path | None = None
    contact: str | None = None

    @property
    def user_agent(self) -> str:
        """Name and version of this package, and the contact."""
        contact = f" (+{self.contact})" if self.contact else ""
        return f"heph-dagster/{__version__}{contact}"

    def trust(self) -> ssl.SSLContext | bool:
        """What certificates are checked against.

        Raises:
            ValueError: The bundle cannot be read.
        """
        if self.ca_bundle is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self.ca_bundle))
        except OSError as error:  # an SSLError is one
            raise ValueError(f"the CA bundle {self.ca_bundle} cannot be used: {error}") from error
