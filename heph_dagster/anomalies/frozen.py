"""Frozen days: days whose image is that of an earlier day, because a layer stopped or a server kept an old answer.

Users of Worldview noticed both only after weeks (nasa-gibs/worldview issues 2614 and 6564). No two days of the Earth
have a tile in common, so it is enough to compare the digests of the stored tiles; tiles are only decoded to
leave out those of one colour: black, white or transparent ones repeat rightly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.sphere import EARTH_RADIUS_KM
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import TILE_SIZE, Window, grid
from heph_dagster.gibs.manifest import Published
from heph_dagster.gibs.mrf import Mosaic, MosaicError
from heph_dagster.gibs.orbit import REPEAT_DAYS
from heph_dagster.png import PNG_SIGNATURE

METHOD = "tile-digests"
VERSION = "1"
LOOK_BACK_DAYS = 30
"""How far back a day is compared by default."""

# A tile of clouds and sea never repeats; where most of a layer is of few colours, some of its tiles may.
_LARGE_PART = {"corrected_reflectance": 0.2}
_NEARLY_ALL = 0.9
_CONSTANT_BYTES = 16_384  # no JPEG of one colour takes more; a transparent PNG may hide colours
_TRUE_SCALE_DEG = {3413: 70.0, 3031: 71.0}  # latitude, of either sign, at which a metre of the map is one


@dataclass(frozen=True)
class DayTiles:
    """The tiles of a day's finest level.

    Attributes:
        day: The day.
        window: What they cover.
        digests: SHA-256 of the stored bytes of N tiles, in hexadecimal; empty where there is none.
    """

    day: date
    window: Window
    digests: NDArray[np.bytes_]


@dataclass(frozen=True)
class Frozen:
    """Whether a day repeats an earlier one.

    Attributes:
        day: The day.
        flagged: Whether it repeats so much that it is called frozen.
        repeats: The earlier day that it has most in common with, the latest of several; None where it is nothing.
        share: How much of its data, by area on the ground, equals that day's byte by byte.
        least: The share from which on a day is flagged.
        compared: Earlier days that it was compared with.
        not_comparable: Earlier days on disk that it could not be compared with, and why.
        unreadable: Why the day itself could not be compared, or None.
    """

    day: date
    flagged: bool
    repeats: date | None
    share: float
    least: float
    compared: tuple[date, ...]
    not_comparable: dict[date, str]
    unreadable: str | None = None

    @property
    def message(self) -> str:
        """The result in words."""
        if self.unreadable is not None:
            return f"{self.day} cannot be compared: {self.unreadable}"
        if self.repeats is not None:
            what = f"{self.share:.0%} of its data equals {self.repeats}, byte by byte"
            return f"{self.day} is frozen: {what}" if self.flagged else f"{self.day}: {what}"
        if not self.compared:
            return f"{self.day}: no earlier day on disk to compare with"
        return f"{self.day} repeats none of {len(self.compared)} earlier days"

    def as_json(self) -> dict[str, Any]:
        """The result in types of JSON."""
        return {
            "day": self.day.isoformat(),
            "method": METHOD,
            "version": VERSION,
            "flagged": self.flagged,
            "unreadable": self.unreadable,
            "repeats": self.repeats and self.repeats.isoformat(),
            "share": self.share,
            "least_share": self.least,
            "compared": [day.isoformat() for day in self.compared],
            "not_comparable": {day.isoformat(): reason for day, reason in self.not_comparable.items()},
        }


def find_frozen(tiles: DayTiles, has_data: NDArray[np.bool_], earlier: Iterable[DayTiles], layer: Layer) -> Frozen:
    """Compare a day with earlier ones.

    Days of another level or box are not comparable. The orbits repeat after 16 days, and the layers that say where
    data are rightly repeat with them: of those, days that lie a multiple of 16 back are not compared.

    Args:
        tiles: The day.
        has_data: N, which of its tiles are there and of more than one colour.
        earlier: Days before it, in any order.
        layer: Their layer, whose kind says how much may repeat.
    """
    weights = tile_areas(tiles.window) * has_data
    least = _LARGE_PART.get(layer.kind, _NEARLY_ALL)
    shares: dict[date, float] = {}
    reasons: dict[date, str] = {}
    for other in earlier:
        back = (tiles.day - other.day).days
        if other.window != tiles.window:
            reasons[other.day] = _difference(tiles.window, other.window)
        elif layer.kind == "no_data_mask" and back % REPEAT_DAYS == 0:
            reasons[other.day] = "the orbits repeat"
        else:
            equal = weights[tiles.digests == other.digests].sum()
            shares[other.day] = float(equal / weights.sum()) if equal else 0.0
    share, repeats = max(((share, day) for day, share in shares.items()), default=(0.0, None))
    days, reasons = tuple(sorted(shares)), dict(sorted(reasons.items()))
    return Frozen(tiles.day, share >= least, repeats if share else None, share, least, days, reasons)


def check_frozen(
    root: Path,
    layer: Layer,
    epsg: int,
    days: Iterable[date],
    look_back: int = LOOK_BACK_DAYS,
    on_day: Callable[[Frozen], None] = lambda _: None,
) -> list[Frozen]:
    """Compare downloaded or imported days with those before them, and write `{Layer}.frozen.json` beside each.

    A day that cannot be read does not keep the others.

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection.
        days: Days whose mosaics are on disk.
        look_back: How many days back to compare.
        on_day: Called with each result.

    Returns:
        A result for each day, in order of time.
    """
    known: dict[date, DayTiles | str] = {}
    results = []
    for day in sorted(set(days)):
        path = mosaic_path(root, epsg, day, layer)
        known[day] = _read_or_reason(path, epsg, day)
        before = list(_before(root, layer, epsg, day, look_back))
        for each in before:
            if each not in known:
                known[each] = _read_or_reason(mosaic_path(root, epsg, each, layer), epsg, each)
        known = {each: known[each] for each in (*before, day)}
        result = _compare(path, day, known, layer, epsg)
        if path.exists():
            with replacing(path.with_suffix(".frozen.json")) as part:
                part.write_text(json.dumps({"layer": layer.identifier, **result.as_json()}, indent=2) + "\n", "utf-8")
        results.append(result)
        on_day(result)
    return results


def _compare(path: Path, day: date, known: dict[date, DayTiles | str], layer: Layer, epsg: int) -> Frozen:
    """Compare a day with those before it; each is known by its tiles, or by why it cannot be read."""
    tiles = known[day]
    if isinstance(tiles, DayTiles):
        try:
            has_data = find_data(path, epsg)
        except (MosaicError, OSError) as error:
            tiles = known[day] = str(error)
    if isinstance(tiles, str):
        return Frozen(
            day, flagged=False, repeats=None, share=0.0, least=1.0, compared=(), not_comparable={}, unreadable=tiles
        )
    earlier = {each: known[each] for each in known if each != day}
    result = find_frozen(tiles, has_data, [each for each in earlier.values() if isinstance(each, DayTiles)], layer)
    result.not_comparable.update((each, reason) for each, reason in earlier.items() if isinstance(reason, str))
    return result


def read_tiles(path: Path, epsg: int, day: date) -> DayTiles:
    """The tiles of a day on disk: their digests from its manifest, or of its bytes where it has none.

    Raises:
        FileNotFoundError: There is no such mosaic.
        MosaicError: It cannot be read.
    """
    published = Published.load(path, epsg=epsg)
    if published is not None:
        with published:
            window, digests = published.mosaic.layout.window, published.column("stored_sha256")
    else:
        with Mosaic(path, epsg) as mosaic:
            window = mosaic.layout.window
            stored = (mosaic.tile(tile) for tile in window.tiles())
            digests = [hashlib.sha256(data).hexdigest() if data else None for data in stored]
    # The finest level stands first in the index.
    return DayTiles(day, window, np.array([digest or "" for digest in digests[: window.cols * window.rows]], "S64"))


def find_data(path: Path, epsg: int) -> NDArray[np.bool_]:
    """Which tiles of a mosaic's finest level are there and of more than one colour, in the order of `Window.tiles`.

    Raises:
        FileNotFoundError: There is no such mosaic.
        MosaicError: It cannot be read.
    """
    with Mosaic(path, epsg) as mosaic:
        stored = (mosaic.tile(tile) for tile in mosaic.layout.window.tiles())
        return np.array([data is not None and not _is_constant(data) for data in stored])


def tile_areas(window: Window) -> NDArray[np.float64]:
    """Area on the ground in km2 of the tiles of a window, row by row, without what reaches past the world.

    In the polar projections it is that of the tile's middle, times its size.

    Source: J. Snyder, Map Projections: A Working Manual, USGS Professional Paper 1395, chapter 21 (sphere).
    """
    tiles = grid(window.epsg)
    boxes = np.array([tiles.tile_bbox(tile) for tile in window.tiles()])
    west, south, east, north = np.clip(boxes, np.tile(tiles.extent[:2], 2), np.tile(tiles.extent[2:], 2)).T
    if window.epsg == 4326:
        return np.asarray(
            EARTH_RADIUS_KM**2 * np.radians(east - west) * np.diff(np.sin(np.radians([south, north])), axis=0)[0]
        )
    true_scale = 1 + np.sin(np.radians(_TRUE_SCALE_DEG[window.epsg]))
    distance = np.hypot(west + east, south + north) / 2000
    latitude = np.pi / 2 - 2 * np.arctan(distance / (EARTH_RADIUS_KM * true_scale))
    scale = true_scale / (1 + np.sin(latitude))
    return np.asarray((east - west) * (north - south) / 1e6 / scale**2)


def _is_constant(data: bytes) -> bool:
    if len(data) > _CONSTANT_BYTES and not data.startswith(PNG_SIGNATURE):
        return False
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[:2] != (TILE_SIZE, TILE_SIZE):
        return False
    transparent = pixels.ndim == 3 and pixels.shape[2] == 4 and not pixels[..., 3].any()
    return transparent or bool((pixels == pixels[0, 0]).all())


def compared_days(days: Iterable[date], look_back: int = LOOK_BACK_DAYS) -> set[date]:
    """Days and those before them that `check_frozen` looks at."""
    return {day - timedelta(days=back) for day in days for back in range(look_back + 1)}


def _before(root: Path, layer: Layer, epsg: int, day: date, look_back: int) -> Iterator[date]:
    """Days on disk among those before a day."""
    for back in range(look_back, 0, -1):
        earlier = day - timedelta(days=back)
        if mosaic_path(root, epsg, earlier, layer).exists():
            yield earlier


def _read_or_reason(path: Path, epsg: int, day: date) -> DayTiles | str:
    try:
        return read_tiles(path, epsg, day)
    except (MosaicError, OSError) as error:
        return str(error)


def _difference(window: Window, other: Window) -> str:
    if window.level != other.level:
        return f"level {other.level} instead of {window.level}"
    return "another box"
