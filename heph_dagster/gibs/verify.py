"""Whether days on disk are still what was downloaded, and mending those that are not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path

from heph_dagster.errors import HephError
from heph_dagster.files import is_temporary
from heph_dagster.gibs.budget import budget_of
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.coroutines import run_async
from heph_dagster.gibs.download import DayRequest, fetch_day
from heph_dagster.gibs.grid import GRIDS, Tile, Window
from heph_dagster.gibs.manifest import MANIFEST_VERSION, Published, read_facts
from heph_dagster.gibs.mrf import Mosaic, MosaicError, manifest_path
from heph_dagster.gibs.partial import held
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.tiles import TileError, check_tile


@dataclass(frozen=True)
class StoredDay:
    """A mosaic in a data root."""

    epsg: int
    day: date
    layer: str
    path: Path


@dataclass(frozen=True)
class CheckedDay:
    """What became of checking a day.

    Attributes:
        stored: The day.
        tiles: Tiles that were compared.
        bytes: Their bytes.
        damaged: Tiles that are not what was downloaded.
        unreadable: Why the mosaic or its manifest cannot be read at all, or None.
        compared_with: `manifest`, the SHA-256 of each tile; or `decoder`, for a day that was not downloaded.
        mended: Whether the day has been downloaded again and is sound now.
        error: Why it could not be mended, or None.
    """

    stored: StoredDay
    tiles: int = 0
    bytes: int = 0
    damaged: tuple[Tile, ...] = ()
    unreadable: str | None = None
    compared_with: str = "manifest"
    mended: bool = False
    error: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with it, or no longer."""
        return self.mended or not (self.damaged or self.unreadable)


def stored_days(root: Path) -> Iterator[StoredDay]:
    """The mosaics of a data root, `{EPSG}/{YYYY-MM-DD}/{Layer}.mrf`, by projection, day and layer."""
    for epsg in sorted(GRIDS):
        for path in sorted((root / str(epsg)).glob("*/*.mrf")):
            with suppress(ValueError):
                if not path.name.startswith("."):
                    yield StoredDay(epsg, parse_day(path.parent.name), path.stem, path)


def abandoned_files(root: Path, before: datetime) -> list[Path]:
    """What writers that were killed left beside the days of a data root.

    Args:
        root: The data root.
        before: Files that are younger may still be written.
    """
    found = []
    for epsg in sorted(GRIDS):
        for path in sorted((*root.glob(f"{epsg}/*/.*"), *root.glob(f"{epsg}/*/tiles/.*"))):
            with suppress(FileNotFoundError):  # its writer has just ended
                if is_temporary(path) and path.stat().st_mtime < before.timestamp():
                    found.append(path)
    return found


def check_day(stored: StoredDay, *, decode: bool = True) -> CheckedDay:
    """Compare the tiles of a day with what was downloaded.

    Args:
        stored: The day.
        decode: Whether the tiles of a day without a manifest (imported, adopted) are decoded instead.
    """
    try:
        while True:
            before = stored.path.read_bytes()
            checked = _check(stored, decode=decode)
            # A download that has replaced the day meanwhile took the files away from under the check.
            if checked.sound or stored.path.read_bytes() == before:
                return checked
    except FileNotFoundError:
        return CheckedDay(stored, unreadable=f"{stored.path} has been removed meanwhile")
    except OSError as error:
        return CheckedDay(stored, unreadable=str(error))


def check_sound(path: Path, epsg: int, *, decode: bool = True) -> None:
    """Make sure that a mosaic is what was downloaded, before something is told by it.

    It takes a tenth of the time of decoding the mosaic; the tiles of one that was not downloaded are decoded.

    Args:
        path: The `.mrf` file.
        epsg: Its projection.
        decode: Whether those are; whoever decodes all of them strictly need not do it twice.

    Raises:
        FileNotFoundError: There is none.
        MosaicError: It is damaged, or cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: download the day first")
    checked = check_day(StoredDay(epsg, parse_day(path.parent.name), path.stem, path), decode=decode)
    if checked.unreadable is not None:
        raise MosaicError(checked.unreadable)
    if checked.damaged:
        damaged = f"{len(checked.damaged)} of {checked.tiles} tiles are not what they were"
        raise MosaicError(f"{path}: {damaged}; heph verify --mend downloads again what is damaged")


def check_agreement(path: Path, epsg: int) -> None:
    """Make sure that mosaic, index and manifest of a day agree, without reading its tiles.

    Args:
        path: The `.mrf` file.
        epsg: Its projection.

    Raises:
        FileNotFoundError: There is none.
        MosaicError: They do not, or the day is of another layer, day, level or box than its manifest says.
    """
    stored = StoredDay(epsg, parse_day(path.parent.name), path.stem, path)
    published = Published.load(path, epsg=epsg)
    if published is None:
        with Mosaic(path, epsg) as mosaic:
            if manifest_path(path) is not None:
                raise MosaicError(_unusable_manifest(stored))
            mosaic.check_index()
        return
    with published:
        facts = published.facts
        found = {
            "layer": stored.layer, "epsg": str(epsg), "day": stored.day.isoformat(),
            "window": json.dumps(asdict(published.mosaic.layout.window)),
            "tiles": str(published.mosaic.check_index()),
        }  # fmt: skip
    for name, value in found.items():
        if facts.get(name, value) != value:
            raise MosaicError(f"{path} has the {name} {value}, but its manifest says {facts[name]}: download it again")


def check_days(days: Iterable[StoredDay], on_day: Callable[[CheckedDay], None] = lambda _: None) -> list[CheckedDay]:
    """Check days, several at once, in the order given."""
    checked = []
    with ThreadPoolExecutor() as pool:
        for each in pool.map(check_day, days):
            checked.append(each)
            on_day(each)
    return checked


def mend_days(
    client_of: Callable[[str], GibsClient],
    catalogue: Catalogue,
    root: Path,
    checked: Iterable[CheckedDay],
) -> list[CheckedDay]:
    """Download what is damaged of days again; tiles that are sound are not sent again.

    Where the server has other tiles by now, a day becomes what it has.

    Args:
        client_of: Makes a session with an endpoint, not open yet.
        catalogue: Knows the layers.
        root: The data root.
        checked: What is wrong with the days.

    Returns:
        The days, checked again.

    Raises:
        StorageError: The disk is full, read-only or fails.
    """
    return [_mend(client_of, catalogue, root, each) for each in checked]


def _mend(client_of: Callable[[str], GibsClient], catalogue: Catalogue, root: Path, checked: CheckedDay) -> CheckedDay:
    stored = checked.stored
    facts = read_facts(stored.path)
    if facts is None or not {"window", "server", "endpoint"} <= facts.keys():
        remedy = f"delete {stored.path}, then download, import or adopt the day again"
        return replace(checked, error=f"nothing tells where the day came from: {remedy}")
    try:
        layer, window = catalogue[stored.layer], Window(**json.loads(facts["window"]))
        request = DayRequest(layer, stored.epsg, window.level, root, window.request_bbox, refresh=True)
        client = client_of(facts["endpoint"])
        if client.url != facts["server"]:
            remedy = "set HEPH_GIBS_URL to the former, or replace the day by heph download --refresh"
            return replace(checked, error=f"it came from {facts['server']}, not from {client.url}: {remedy}")
        # A refresh that was stopped may have noted as unchanged what is damaged.
        with held(stored.path):
            pass

        async def fetch() -> None:
            async with client:
                await fetch_day(client, request, stored.day, damaged=frozenset(checked.damaged))

        with budget_of(root, client):
            run_async(fetch())
    except (HephError, ValueError) as error:
        return replace(checked, error=str(error))
    again = check_day(stored)
    return replace(checked, mended=again.sound, error=again.unreadable)


def _check(stored: StoredDay, *, decode: bool) -> CheckedDay:
    try:
        published = Published.load(stored.path, epsg=stored.epsg)
        if published is not None:
            with published:
                return _compare(stored, published)
        with Mosaic(stored.path, stored.epsg) as mosaic:
            if manifest_path(stored.path) is None:
                return _decode(stored, mosaic) if decode else CheckedDay(stored)
    except (MosaicError, OSError) as error:  # a disk that fails in one place has other days
        return CheckedDay(stored, unreadable=str(error))
    return CheckedDay(stored, unreadable=_unusable_manifest(stored))


def _unusable_manifest(stored: StoredDay) -> str:
    """Why a manifest that is there cannot be used."""
    version = (read_facts(stored.path) or {}).get("version", MANIFEST_VERSION)
    wrong = "is damaged or belongs to another mosaic"
    if version != MANIFEST_VERSION:
        wrong = f"has schema version {version}, and this program reads {MANIFEST_VERSION}"
    return f"the manifest of {stored.path} {wrong}"


def _compare(stored: StoredDay, published: Published) -> CheckedDay:
    damaged, tiles, size = [], 0, 0
    for record in published.records():
        data = _bytes(published.mosaic, record.tile) or b""
        digest = hashlib.sha256(data).hexdigest() if data else None
        if digest != record.stored_sha256:
            damaged.append(record.tile)
        tiles += bool(data)
        size += len(data)
    return CheckedDay(stored, tiles, size, tuple(damaged))


def _decode(stored: StoredDay, mosaic: Mosaic) -> CheckedDay:
    damaged, tiles, size = [], 0, 0
    for tile in mosaic.layout.window.tiles():
        data = _bytes(mosaic, tile)
        if data is None:
            continue
        try:
            check_tile(data)
        except TileError:
            damaged.append(tile)
        tiles += 1
        size += len(data)
    return CheckedDay(stored, tiles, size, tuple(damaged), compared_with="decoder")


def _bytes(mosaic: Mosaic, tile: Tile) -> bytes | None:
    """A tile as it is stored; no bytes where the data ends before it."""
    try:
        return mosaic.tile(tile)
    except MosaicError:
        return b""
