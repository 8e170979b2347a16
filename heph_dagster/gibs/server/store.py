"""Which days of which layers a folder of mosaics holds, and their open files."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from contextlib import suppress
from datetime import date
from pathlib import Path

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer, UnknownLayerError
from heph_dagster.gibs.grid import GRIDS
from heph_dagster.gibs.mrf import Mosaic, MosaicError
from heph_dagster.gibs.periods import Period, compress, floor, parse_day

logger = logging.getLogger(__name__)

_OPEN_MOSAICS = 256
_SCAN_SECONDS = 1.0


class Store:
    """The mosaics below a folder, `{EPSG}/{YYYY-MM-DD}/{Layer}.mrf`.

    Days that are added, replaced or removed while the server runs are seen: a mosaic when it is next asked for, the
    list of days within a second.
    """

    def __init__(self, root: Path, catalogue: Catalogue) -> None:
        """Look at a folder.

        Raises:
            FileNotFoundError: It does not exist.
        """
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder; `heph archive synthesize {root}` makes an archive there")
        self.root = root
        self.catalogue = catalogue
        self._open: OrderedDict[Path, tuple[tuple[int, int], Mosaic]] = OrderedDict()
        self._scans: dict[int, tuple[float, dict[str, list[date]]]] = {}

    def layers(self, epsg: int) -> list[Layer]:
        """Layers with at least one day in a projection, in the order of the catalogue."""
        found = self._scan(epsg)
        return [layer for layer in self.catalogue.values() if layer.identifier in found]

    def layer(self, name: str, epsg: int) -> Layer | None:
        """The layer of exactly this identifier, None where there is none or it is not available in the projection."""
        try:
            layer = self.catalogue[name]
        except UnknownLayerError:
            return None
        return layer if layer.identifier == name and epsg in layer.projections else None

    def periods(self, layer: Layer, epsg: int) -> list[Period]:
        """The days of a layer, as periods."""
        return compress(self._scan(epsg).get(layer.identifier, []), layer.period)

    def actual_day(self, layer: Layer, epsg: int, requested: date | None) -> date | None:
        """The day that answers a request: floored within long periods, the newest for None, None in a gap."""
        if requested is None:
            periods = self.periods(layer, epsg)
            return periods[-1].end if periods else None
        return requested if layer.daily else floor(self.periods(layer, epsg), requested)

    def mosaic(self, layer: Layer, epsg: int, day: date) -> Mosaic | None:
        """The open mosaic of a day, or None where there is none."""
        path = mosaic_path(self.root, epsg, day, layer)
        version = _version(path)
        known = self._open.get(path)
        if known is not None and known[0] == version:
            self._open.move_to_end(path)
            return known[1]
        self._close_replaced()
        if version is None:
            return None
        try:
            mosaic = Mosaic(path, epsg)
        except (MosaicError, FileNotFoundError) as error:
            logger.warning("%s", error)
            return None
        self._open[path] = (version, mosaic)
        while len(self._open) > _OPEN_MOSAICS:
            self._open.popitem(last=False)[1][1].close()
        return mosaic

    def close(self) -> None:
        """Close all mosaics."""
        for _, mosaic in self._open.values():
            mosaic.close()
        self._open.clear()

    def _close_replaced(self) -> None:
        """Close mosaics that were removed or replaced: while they are open, the disk keeps their room."""
        for path in [path for path, (version, _) in self._open.items() if version != _version(path)]:
            self._open.pop(path)[1].close()

    def _scan(self, epsg: int) -> dict[str, list[date]]:
        scanned_at, found = self._scans.get(epsg, (float("-inf"), {}))
        if time.monotonic() - scanned_at < _SCAN_SECONDS:
            return found
        self._close_replaced()
        found = {}
        folder = self.root / str(epsg)
        for path in folder.glob("*/*.mrf") if epsg in GRIDS and folder.is_dir() else ():
            with suppress(ValueError):  # a folder that is no day
                found.setdefault(path.stem, []).append(parse_day(path.parent.name))
        self._scans[epsg] = (time.monotonic(), found)
        return found


def _version(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
