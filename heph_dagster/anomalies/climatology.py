"""Which hues are normal where: on how many normal days each occurred in each part of the world.

One SQLite file for each layer and projection: the days, what each contributed, and the sums. A day is added, replaced
or taken out in a transaction, exactly and without a look at the others. What a day contributed has a few kilobytes.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.hues import CELLS, COLOURLESS, Presence
from heph_dagster.anomalies.sphere import row_areas
from heph_dagster.errors import HephError
from heph_dagster.gibs.catalogue import Layer

SCHEMA_VERSION = 2
LEAST_DAYS = 4
"""Days that a climatology needs before it says anything."""

_SHAPE = (*CELLS, COLOURLESS + 1)
_HARDLY_EVER = 0.02  # of the days on which a neighbourhood has colours
_UNHEARD_OF = 0.001  # of all neighbourhoods and days
_PRIOR_DAYS = 5.0
_WAIT_SECONDS = 60.0
_SCHEMA = (
    "CREATE TABLE about (layer TEXT NOT NULL, epsg INTEGER NOT NULL)",
    "CREATE TABLE days (day TEXT PRIMARY KEY, mosaic TEXT NOT NULL, presence BLOB, left_out TEXT, guarded INT)",
    "CREATE TABLE sums (days INTEGER NOT NULL, presence BLOB NOT NULL)",
)
_REMEDY = "remove it, and the next update makes it anew from the days on disk"

Counts = NDArray[np.int32]


class ClimatologyError(HephError):
    """A file that is not the climatology it should be."""


def climatology_path(root: Path, epsg: int, layer: Layer) -> Path:
    """Where a layer's climatology stands below a data root."""
    return root / str(epsg) / f"{layer.identifier}.hue_climatology.sqlite"


class HueClimatology:
    """The climatology of a layer; use it with `with`. Processes may use the same file at once."""

    def __init__(self, path: Path, layer: Layer, epsg: int) -> None:
        """Open a climatology, or begin one where there is no file.

        Args:
            path: The file.
            layer: The layer it is of.
            epsg: The projection its days are in.

        Raises:
            ClimatologyError: The file is of another layer or version, or no climatology.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            self._check(layer.identifier, epsg)
        except sqlite3.DatabaseError as error:
            self._file.close()
            raise ClimatologyError(f"{path} cannot be read: {error}; {_REMEDY}") from error
        except ClimatologyError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def days(self) -> dict[date, str]:
        """The days that it knows, those left out included, and of which mosaic it knows each."""
        rows = self._file.execute("SELECT day, mosaic FROM days ORDER BY day")
        return {date.fromisoformat(day): mosaic for day, mosaic in rows}

    def left_out(self) -> dict[date, str]:
        """The days that it knows and does not count, and why."""
        rows = self._file.execute("SELECT day, left_out FROM days WHERE presence IS NULL ORDER BY day")
        return {date.fromisoformat(day): why for day, why in rows}

    def count(self) -> int:
        """Number of days that it counts."""
        return int(self._file.execute("SELECT days FROM sums").fetchone()[0])

    def unguarded(self) -> set[date]:
        """The days that were put in while there were too few others to tell whether they are normal."""
        rows = self._file.execute("SELECT day FROM days WHERE NOT guarded")
        return {date.fromisoformat(day) for (day,) in rows}

    def check(self) -> None:
        """Make sure that the sums can be those of the days.

        Raises:
            ClimatologyError: They cannot.
        """
        query = "SELECT days, presence, (SELECT COUNT(*) FROM days WHERE presence IS NOT NULL) FROM sums"
        try:
            days, packed, rows = self._file.execute(query).fetchone()
            counts = _unpacked(packed)
        except (sqlite3.DatabaseError, zlib.error, ValueError) as error:
            raise ClimatologyError(f"{self._path} cannot be read: {error}; {_REMEDY}") from error
        if days != rows:
            raise ClimatologyError(f"{self._path} counts {days} days and has {rows}; {_REMEDY}")
        if counts.min() < 0 or counts.max() > days:
            raise ClimatologyError(
                f"{self._path} has colours on {counts.min()} to {counts.max()} of {days} days; {_REMEDY}"
            )

    def put(self, day: date, mosaic: str, present: Presence, *, guarded: bool = True) -> None:
        """Add a day, or replace what it contributed before.

        Args:
            day: The day.
            mosaic: What tells its mosaic from a later one.
            present: 36 x 72 x 253, as `heph_dagster.anomalies.hues.presence` gives it.
            guarded: Whether there were enough other days to tell that it is normal.
        """
        self._replace(day, present, (mosaic, zlib.compress(np.packbits(present).tobytes()), None, guarded))

    def leave_out(self, day: date, mosaic: str, why: str) -> None:
        """Note that a day is not to be counted; what it contributed before is taken out."""
        self._replace(day, None, (mosaic, None, why, True))

    def remove(self, day: date) -> None:
        """Forget a day; nothing happens where it is not known."""
        self._replace(day, None, None)

    def unusual(self, day: date) -> tuple[int, Presence]:
        """Which colours hardly ever occur where, by the days other than one.

        The share of the days on which a neighbourhood has a colour is estimated from that neighbourhood's days, less
        one, because a single day proves nothing, and from the share of all neighbourhoods, which weighs as much as
        five days: where little has been seen, what is common elsewhere is normal.

        Args:
            day: The day to judge, which does not speak for itself.

        Returns:
            Number of days that this rests on, and 36 x 72 x 253 by cell and bin.
        """
        days, counts = self._without(day)
        observed = counts[..., COLOURLESS:]
        share = (np.maximum(counts - 1, 0) + _PRIOR_DAYS * _everywhere(counts)) / (observed + _PRIOR_DAYS)
        return days, _coloured(share < _HARDLY_EVER)

    def unheard_of(self, day: date) -> tuple[int, Presence]:
        """Which colours hardly ever occur anywhere, by the days other than one: the same in all cells."""
        days, counts = self._without(day)
        return days, _coloured(np.broadcast_to(_everywhere(counts) < _UNHEARD_OF, _SHAPE))

    def _check(self, layer: str, epsg: int) -> None:
        if self._version() == 0:
            with self._transaction():
                if self._version() == 0:
                    self._begin(layer, epsg)
        if self._version() != SCHEMA_VERSION:
            raise ClimatologyError(f"{self._path} has version {self._version()}, not {SCHEMA_VERSION}; {_REMEDY}")
        found = self._file.execute("SELECT layer, epsg FROM about").fetchone()
        if found != (layer, epsg):
            raise ClimatologyError(f"{self._path} is of {found[0]} in EPSG:{found[1]}, not of {layer}; {_REMEDY}")

    def _version(self) -> int:
        return int(self._file.execute("PRAGMA user_version").fetchone()[0])

    def _begin(self, layer: str, epsg: int) -> None:
        for statement in _SCHEMA:
            self._file.execute(statement)
        self._file.execute("INSERT INTO about VALUES (?, ?)", (layer, epsg))
        self._file.execute("INSERT INTO sums VALUES (0, ?)", (_packed(np.zeros(_SHAPE, np.int32)),))
        self._file.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def _replace(
        self, day: date, present: Presence | None, row: tuple[str, bytes | None, str | None, bool] | None
    ) -> None:
        """Take out what a day contributed, and put another row in its place."""
        with self._transaction():
            days, counts = self._without(day)
            if present is not None:
                days, counts = days + 1, counts + present
            self._file.execute("DELETE FROM days WHERE day = ?", (day.isoformat(),))
            if row is not None:
                self._file.execute("INSERT INTO days VALUES (?, ?, ?, ?, ?)", (day.isoformat(), *row))
            self._file.execute("UPDATE sums SET days = ?, presence = ?", (days, _packed(counts)))

    def _without(self, day: date) -> tuple[int, Counts]:
        """Number of days other than one, and on how many of them each colour occurred in each cell."""
        # One statement: the sums and the day are of the same moment.
        query = "SELECT days, presence, (SELECT presence FROM days WHERE day = ?) FROM sums"
        days, packed, own = self._file.execute(query, (day.isoformat(),)).fetchone()
        counts = _unpacked(packed)
        if own is None:
            return days, counts
        bits = np.unpackbits(np.frombuffer(zlib.decompress(own), np.uint8), count=counts.size)
        return days - 1, counts - bits.reshape(_SHAPE)


def _packed(counts: Counts) -> bytes:
    return zlib.compress(counts.astype("<i4").tobytes(), 1)


def _unpacked(packed: bytes) -> Counts:
    return np.frombuffer(zlib.decompress(packed), "<i4").astype(np.int32).reshape(_SHAPE)


def _everywhere(counts: Counts) -> NDArray[np.float64]:
    """Share of the days and of the ground with colours that have each colour."""
    ground = np.tensordot(row_areas(*CELLS), counts, axes=(0, 0)).sum(axis=0)
    return ground / max(ground[COLOURLESS], 1.0)


def _coloured(some: NDArray[np.bool_]) -> Presence:
    """Without the bin of what has no colour."""
    return np.asarray(some & (np.arange(COLOURLESS + 1) < COLOURLESS))
