"""What can be wrong with a day, and when: kinds of anomalies, the deck they are dealt from, their records."""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

BLOCK_DAYS = 10
ANOMALOUS_DAYS = 4
"""How many days of a block carry anomalies, unless somebody asks for another number."""


class Kind(StrEnum):
    """A kind of anomaly."""

    MISSING_GRANULE = "missing_granule"
    MISSING_AT_POLAR_NIGHT = "missing_granule_at_polar_night"
    MISSING_AT_ANTIMERIDIAN = "missing_granule_at_antimeridian"
    MISSING_ORBIT = "missing_orbit"
    SMALL_HOLE = "small_hole"
    MAGENTA = "miscoloured_magenta"
    YELLOW = "miscoloured_yellow"
    GREEN = "miscoloured_green"
    RED = "miscoloured_red"
    EDGE_WARP = "edge_warp"
    ECLIPSE = "eclipse"
    EDGE_COPY = "edge_copy"
    SWATH_WARP = "swath_warp"
    SWATH_COPY = "swath_copy"

    @property
    def is_missing(self) -> bool:
        """Whether its pixels are black (an eclipse's are only where it is nearly total)."""
        return self in _MISSING

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """RGB of a miscoloured patch, None for the other kinds."""
        return _COLOURS.get(self)

    @property
    def code(self) -> int:
        """Label code: 2 missing data, 3 miscolouring, 4 edge warping, 6 eclipse (5 where it goes black)."""
        if self.is_missing:
            return 2
        if self in WARPED:
            return 4
        return 6 if self is Kind.ECLIPSE else 3


_MISSING = frozenset(
    {
        Kind.MISSING_GRANULE,
        Kind.MISSING_AT_POLAR_NIGHT,
        Kind.MISSING_AT_ANTIMERIDIAN,
        Kind.MISSING_ORBIT,
        Kind.SMALL_HOLE,
    }
)
_COLOURS = {
    Kind.MAGENTA: (255, 0, 255),
    Kind.YELLOW: (255, 255, 0),
    Kind.GREEN: (0, 255, 0),
    Kind.RED: (255, 0, 0),
}
WARPED = (Kind.EDGE_WARP, Kind.EDGE_COPY, Kind.SWATH_WARP, Kind.SWATH_COPY)
"""Borders that are bent, or show a strip twice: those of the image at the antimeridian, and those of a swath."""
DEALT = tuple(kind for kind in Kind if kind not in {Kind.ECLIPSE, *WARPED[1:]})
"""The kinds that `schedule` deals; eclipses come when the moon brings them, the others when they are asked for."""
ECLIPSE_BLACK_CODE = 5


@dataclass(frozen=True)
class Anomaly:
    """One anomaly of a day, as measured on its truth mask.

    Attributes:
        id: Value of its pixels in the truth mask, 1 and up.
        kind: What it is.
        code: Label code, see `Kind.code`.
        area_km2: Area on the sphere.
        extent_km: Great-circle distance between its farthest two points.
        bbox: West, south, east and north in degrees; west is greater than east across the antimeridian (RFC
            7946).
        touches: Which of `polar_night`, `swath_gap` and `antimeridian` it borders on.
    """

    id: int
    kind: Kind
    code: int
    area_km2: float
    extent_km: float
    bbox: tuple[float, float, float, float]
    touches: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record in types of JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Kind) else value
            for key, value in asdict(self).items()
        }


def random_of(seed: int, day: dt.date, layer: str) -> np.random.Generator:
    """The generator of one layer's day: the same whatever was drawn before, and in whatever process.

    Raises:
        ValueError: The seed is negative.
    """
    _check(seed)
    return np.random.default_rng(np.random.SeedSequence([seed, day.toordinal(), zlib.crc32(layer.encode())]))


def schedule(layer: str, day: dt.date, *, seed: int, anomalous: int = ANOMALOUS_DAYS) -> tuple[Kind, ...]:
    """Kinds of anomalies that a day is dealt.

    Of each block of ten days (by proleptic ordinal) some carry anomalies, every second of them two. The kinds are
    dealt in turn from a list shuffled by seed and layer: with four such days, six anomalies per block, any 30 days in
    a row hold two whole blocks, hence at least 8 such days and every kind.

    Args:
        layer: GIBS identifier.
        day: Day.
        seed: Non-negative.
        anomalous: How many days of a block carry anomalies, 1 to 10.

    Returns:
        None, one or two kinds.

    Raises:
        ValueError: The seed is negative, or no block has so many days.
    """
    _check(seed)
    if not 1 <= anomalous <= BLOCK_DAYS:
        raise ValueError(f"{anomalous} anomalous days are not within 1 to {BLOCK_DAYS}")
    dealt = sorted(1 + turn % 2 for turn in range(anomalous))
    block, place = divmod(day.toordinal(), BLOCK_DAYS)
    key = zlib.crc32(layer.encode())
    deck = np.random.default_rng(np.random.SeedSequence([seed, key])).permutation(len(DEALT))
    rng = np.random.default_rng(np.random.SeedSequence([seed, block, key, BLOCK_DAYS]))
    places = np.sort(rng.choice(BLOCK_DAYS, anomalous, replace=False)).tolist()
    counts = rng.permutation(dealt).tolist()
    if place not in places:
        return ()
    turn = places.index(place)
    first = block * sum(dealt) + sum(counts[:turn])
    return tuple(DEALT[deck[(first + i) % len(DEALT)]] for i in range(counts[turn]))


def _check(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"seed {seed} is negative: take 0 or more")
