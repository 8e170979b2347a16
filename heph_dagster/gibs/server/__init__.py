"""A local GIBS server over a folder of mosaics: WMTS (REST and KVP), Tiled WMS, WMS, and their documents."""

from heph_dagster.gibs.server.app import create_app
from heph_dagster.gibs.server.run import running_server, serve

__all__ = ["create_app", "running_server", "serve"]
