"""Sun-synchronous satellites behind GIBS: when and where they cross the equator, and how they see the sun.

A sun-synchronous orbit keeps its angle to the sun, so seen from the sun's mean direction the Earth turns
exactly once a day below a fixed plane. Every pass then has the same ground track, shifted in longitude, and
comes back after the 16-day repeat cycle. Circular orbit, spherical Earth: within 25 km of the true track.

A day of imagery is a local day, as GIBS composes it: from the passes just east of the antimeridian at about
22:30 UTC of the day before, westward to those of 22:30 UTC. The two ends are a day apart, so swaths do not
fit together across the antimeridian.

Sources: D. Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., section 11.4 (ground tracks,
repeat and sun-synchronous orbits); NASA's instrument pages of MODIS (terra.nasa.gov,
modis.gsfc.nasa.gov/about/specifications) and VIIRS
(ladsweb.modaps.eosdis.nasa.gov/missions-and-measurements/viirs); USGS, Worldwide Reference System 2.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.sun import DAY_S, subsolar_point

EARTH_RADIUS_KM = 6_371.0088
REPEAT_DAYS = 16


@dataclass(frozen=True)
class Satellite:
    """A sun-synchronous satellite and its imager.

    Attributes:
        name: Prefix of its GIBS layers, e.g. `MODIS_Terra`.
        altitude_km: Height above the ground.
        inclination_deg: Angle between orbit and equator; over 90 flies westward.
        local_time: Mean local solar time in hours at which the day side crosses the equator.
        ascending: Whether the day side flies northward.
        swath_km: Width of the swath on the ground.
        revolutions: Revolutions in the 16-day repeat cycle.
        granule_s: Length of a granule, the piece in which data are processed and lost.
        reference_day: A day on which the day side crosses the equator at `reference_longitude`.
        reference_longitude: Degrees east.
    """

    name: str
    altitude_km: float
    inclination_deg: float
    local_time: float
    ascending: bool
    swath_km: float
    revolutions: int
    granule_s: float
    reference_day: dt.date
    reference_longitude: float

    @property
    def period_s(self) -> float:
        """Seconds from one northward equator crossing to the next (98.88 min for Terra, 101.50 for VIIRS)."""
        return REPEAT_DAYS * DAY_S / self.revolutions

    @property
    def spacing_deg(self) -> float:
        """Longitude between one equator crossing and the next."""
        return REPEAT_DAYS * 360.0 / self.revolutions

    @property
    def half_swath_km(self) -> float:
        """Distance on the ground from nadir to the edge of the swath."""
        return self.swath_km / 2


def _modis(name: str, local_time: float, reference_longitude: float, *, ascending: bool) -> Satellite:
    day = dt.date(2020, 9, 27)
    return Satellite(name, 705.0, 98.2, local_time, ascending, 2330.0, 233, 300.0, day, reference_longitude)


def _viirs(name: str, reference_longitude: float) -> Satellite:
    day = dt.date(2020, 9, 27)
    return Satellite(
        name,
        824.0,
        98.7,
        13.5,
        ascending=True,
        swath_km=3060.0,
        revolutions=227,
        granule_s=360.0,
        reference_day=day,
        reference_longitude=reference_longitude,
    )


# Terra is tied to path 196 of the Worldwide Reference System 2, which it flew on that day; the others keep
# their repeat cycle, and their place in it is made up (the three VIIRS follow each other at a third of an
# orbit).
SATELLITES = {
    satellite.name: satellite
    for satellite in (
        _modis("MODIS_Terra", 10.5, -5.89, ascending=False),
        _modis("MODIS_Aqua", 13.5, 3.0, ascending=True),
        _viirs("VIIRS_SNPP", 0.0),
        _viirs("VIIRS_NOAA20", 8.46),
        _viirs("VIIRS_NOAA21", 16.92),
    )
}
"""The satellites by the prefix of their layers."""


def satellite_of(layer: str) -> Satellite:
    """The satellite that a GIBS layer comes from, by the prefix of its identifier.

    Raises:
        ValueError: No satellite of the table made this layer.
    """
    for name, satellite in SATELLITES.items():
        if layer == name or layer.startswith(f"{name}_"):
            return satellite
    raise ValueError(f"no orbit is known for layer {layer!r}: its name starts with none of {', '.join(SATELLITES)}")


@dataclass(frozen=True)
class Passes:
    """The passes that can image a local day, from east to west.

    Attributes:
        number: N revolution numbers, counted from the satellite's reference day.
        longitude: N longitudes of the day side's equator crossing in degrees, from above 180 down to below
            -180.
        time_s: N times of that crossing, seconds since 00:00 UTC of the day.
    """

    number: NDArray[np.int64]
    longitude: NDArray[np.float64]
    time_s: NDArray[np.float64]


def passes(satellite: Satellite, day: dt.date, *, shift_deg: float = 0.0) -> Passes:
    """Equator crossings on the day side that can image a local day.

    Near the poles a pass images longitudes up to 120 degrees from where it crosses the equator.

    Args:
        satellite: The satellite.
        day: Local day.
        shift_deg: Degrees to the east by which all passes are moved.
    """
    travelled = satellite.reference_longitude + shift_deg + 360.0 * (day - satellite.reference_day).days
    first = math.ceil((travelled - 300.0) / satellite.spacing_deg)
    last = math.floor((travelled + 300.0) / satellite.spacing_deg)
    number = np.arange(first, last + 1)
    longitude: NDArray[np.float64] = travelled - satellite.spacing_deg * number.astype(np.float64)
    time_s: NDArray[np.float64] = 3600.0 * satellite.local_time - DAY_S / 360.0 * longitude
    return Passes(number, longitude, time_s)


@dataclass(frozen=True)
class OrbitalSun:
    """Direction of the sun seen from the orbit, the same for all passes of a day.

    Attributes:
        node: Component towards the equator crossing on the day side.
        ahead: Component along the flight there.
        right: Component to the right of the flight.
    """

    node: float
    ahead: float
    right: float

    def cos_zenith(
        self, along_rad: NDArray[np.floating], cross_rad: NDArray[np.floating] | float
    ) -> NDArray[np.floating]:
        """Cosine of the solar zenith angle on the ground.

        Args:
            along_rad: Angle flown since the equator crossing.
            cross_rad: Angle from nadir at the Earth's centre, positive to the right of the flight.

        Returns:
            Cosines in the broadcast shape.
        """
        below = self.node * np.cos(along_rad) + self.ahead * np.sin(along_rad)
        return np.asarray(np.cos(cross_rad) * below + np.sin(cross_rad) * self.right)


def orbital_sun(satellite: Satellite, day: dt.date) -> OrbitalSun:
    """Where the sun stands relative to a satellite's orbit on a day."""
    sun = subsolar_point(day)
    delta = math.radians(sun.latitude)
    east = math.radians(15.0 * (12.0 - satellite.local_time) + sun.longitude)
    x, y, z = math.cos(delta) * math.cos(east), math.cos(delta) * math.sin(east), math.sin(delta)
    along_y, along_z = flight_direction(satellite)
    return OrbitalSun(x, y * along_y + z * along_z, y * along_z - z * along_y)


def flight_direction(satellite: Satellite) -> tuple[float, float]:
    """East and north component of the flight where the day side crosses the equator, in the orbital plane."""
    inclination = math.radians(satellite.inclination_deg)
    return math.cos(inclination), math.sin(inclination) * (1 if satellite.ascending else -1)
