"""How Sentinel-1 sees the ground of a frame."""

from __future__ import annotations

from math import cos, pi, radians, sin
from typing import NamedTuple

from heph_dagster.hephaestus.frames import Frame
from heph_dagster.hephaestus.synthetic.halfspace import Displacement, Field

WAVELENGTH = 0.055465763
"""Of Sentinel-1's C-band radar (5.405 GHz), in metres. One fringe is half of it in the line of sight."""

RADIANS_PER_METRE = -4 * pi / WAVELENGTH
"""Phase of a displacement towards the satellite. LiCSAR's phase grows with the range: ground that comes nearer loses
phase (LiCSBAS: displacement = -wavelength / 4 pi x phase)."""

PIXEL_METRES = 370.0
"""Side of a pixel: LiCSAR maps with 0.001 degrees and shows them at 30 % of that size."""

_INCIDENCE = 39.0
_HEADING = {"ascending": -12.0, "descending": -168.0}


class LineOfSight(NamedTuple):
    """Unit vector from the ground to the satellite, and where the satellite flies.

    Attributes:
        east: Part to the east.
        north: Part to the north.
        up: Part upwards.
        heading: Direction of the flight, degrees clockwise from north.
    """

    east: float
    north: float
    up: float
    heading: float

    def towards(self, displacement: Displacement) -> Field:
        """Displacement towards the satellite, in metres."""
        return displacement.east * self.east + displacement.north * self.north + displacement.up * self.up


def line_of_sight(frame: str) -> LineOfSight:
    """The line of sight of a frame's orbit: Sentinel-1 flies north-north-west or south-south-west and looks right.

    Args:
        frame: ID of the frame.

    Returns:
        The line of sight in the middle of the swath.

    Raises:
        ValueError: The ID is none.
    """
    heading = _HEADING[Frame(frame).direction]
    side, incidence = radians(heading), radians(_INCIDENCE)
    return LineOfSight(-sin(incidence) * cos(side), sin(incidence) * sin(side), cos(incidence), heading)
