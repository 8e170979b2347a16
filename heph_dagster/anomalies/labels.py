"""The label codes of a day, as gibs-ml has them; a day can carry several."""

from __future__ import annotations

from enum import IntEnum


class Label(IntEnum):
    """What a day's image shows."""

    NORMAL = 0
    MISSING_EXPECTED = 1
    MISSING_UNEXPECTED = 2
    MISCOLOURED = 3
    EDGE_WARPED = 4
    ECLIPSE_MISSING = 5
    ECLIPSE_MISCOLOURED = 6

    @property
    def words(self) -> str:
        """The name as people read it."""
        return self.name.lower().replace("_", " ")


class PixelClass(IntEnum):
    """What a pixel of a mask says."""

    VALID = 0
    MISSING = 1
    MISCOLOURED = 2
    WARPED = 3
    NOT_OBSERVED = 255
    """No data where none was expected: polar night, and gaps between swaths."""


PALETTE: dict[int, tuple[int, int, int, int]] = {
    PixelClass.VALID: (0, 0, 0, 0),
    PixelClass.MISSING: (230, 25, 75, 255),
    PixelClass.MISCOLOURED: (240, 50, 230, 255),
    PixelClass.WARPED: (245, 130, 48, 255),
    PixelClass.NOT_OBSERVED: (70, 90, 140, 255),
}
"""RGBA of each pixel class."""


class UnusableImageError(ValueError):
    """An image of which nothing can be told."""
