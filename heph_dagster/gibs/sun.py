"""Where the sun and the moon are: polar night and solar eclipses, without a network.

Directions come from astropy's built-in ephemeris (ERFA's `epv00` and `moon98`, good to some 10 arc seconds),
in the Celestial Intermediate Reference System, and are turned to the Earth with the Earth rotation angle. UT1
is taken as UTC, which moves the sun by less than 0.01 degree; refraction is left out.

Longitudes and latitudes are geodetic degrees, times are seconds since 00:00 UTC of a day (negative and beyond
86400 are fine: a day's imagery reaches into its neighbours).
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

DAY_S = 86_400.0
SUN_RADIUS_KM = 695_700.0  # IAU 2015 Resolution B3
MOON_RADIUS_KM = 1_738.1  # k = 0.2725076 equatorial radii, the IAU's value for eclipses
DAYLIGHT_CUTOFF_DEG = 88.0
"""Solar zenith angle beyond which day imagery is left black."""

_JD_2000 = 2_451_545.0
_ORDINAL_2000 = dt.date(2000, 1, 1).toordinal()
# The moon moves 0.2 degree in a step: interpolating linearly is then good to 0.3 arc seconds.
_EPHEMERIS_STEP_S = 1_200.0
_COARSE_DEG = 1.0


class SubsolarPoint(NamedTuple):
    """Where the sun stands in the zenith.

    Attributes:
        latitude: Degrees; the sun's declination.
        longitude: Degrees east, -180 to 180.
    """

    latitude: float
    longitude: float


@lru_cache(maxsize=4096)
def subsolar_point(day: dt.date, seconds: float = DAY_S / 2) -> SubsolarPoint:
    """Where the sun stands in the zenith at an instant.

    Args:
        day: Day, UTC.
        seconds: Seconds since 00:00 UTC; noon by default.

    Returns:
        The point, good to about 0.01 degree.
    """
    (x, y, z), _ = _positions_km(day, np.array([seconds]))
    right_ascension = math.degrees(math.atan2(y[0], x[0]))
    longitude = right_ascension - float(_earth_rotation_deg(day, np.array(seconds)))
    return SubsolarPoint(math.degrees(math.atan2(z[0], math.hypot(x[0], y[0]))), (longitude + 180) % 360 - 180)


def declination(day: dt.date) -> float:
    """The sun's declination at 12:00 UTC in degrees: the latitude it stands above."""
    return subsolar_point(day).latitude


def equation_of_time(day: dt.date) -> float:
    """Apparent minus mean solar time at 12:00 UTC in minutes; positive: the sun is ahead of the clock."""
    return -4.0 * subsolar_point(day).longitude


def solar_zenith(latitude: ArrayLike, local_time: ArrayLike, day: dt.date) -> NDArray[np.float64]:
    """Zenith angle of the sun's centre at a mean local solar time.

    Args:
        latitude: Degrees, any shape.
        local_time: Mean local solar time in hours, a shape that broadcasts with `latitude`.
        day: Day whose declination and equation of time hold.

    Returns:
        Degrees, 0 (zenith) to 180, in the broadcast shape.
    """
    sun = subsolar_point(day)
    hour_angle = np.radians(15.0 * (np.asarray(local_time) - 12.0) - sun.longitude)
    phi, delta = np.radians(np.asarray(latitude, dtype=float)), math.radians(sun.latitude)
    cosine = np.sin(phi) * math.sin(delta) + np.cos(phi) * math.cos(delta) * np.cos(hour_angle)
    zenith: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return zenith


def may_eclipse(day: dt.date, start_s: float = 0.0, stop_s: float = DAY_S) -> bool:
    """Whether the sun could be eclipsed somewhere on Earth: the quick test, without an ephemeris.

    It answers True for every eclipse, and for some new moons without one. A new moon differs from the mean
    one by at most 0.6 day, and an eclipse lasts 3 hours either side of it.

    Args:
        day: Day that the seconds count from, UTC.
        start_s: Begin of the window, seconds since 00:00 UTC.
        stop_s: End of the window.

    Returns:
        False if no eclipse is possible.

    Source: J. Meeus, Astronomical Algorithms, 2nd ed., chapters 49 (mean new moon) and 54 (distance from the
    node).
    """
    days = day.toordinal() - _ORDINAL_2000
    margin = 0.8
    lunation = math.ceil((days + start_s / DAY_S - margin - 5.597) / 29.530588861)
    if 5.597 + 29.530588861 * lunation > days + stop_s / DAY_S + margin:
        return False
    from_node = math.radians(160.7108 + 390.67050284 * lunation)
    return abs(math.sin(from_node)) < 0.40


def eclipse_obscuration(
    day: dt.date, seconds: ArrayLike, longitude: ArrayLike, latitude: ArrayLike
) -> NDArray[np.float32]:
    """Fraction of the sun's disc that the moon covers, seen from points at sea level.

    Both discs are placed as seen from the point itself (parallax included) on the WGS 84 ellipsoid.

    Args:
        day: Day that `seconds` counts from, UTC.
        seconds: Seconds since 00:00 UTC; NaN where nothing is seen.
        longitude: Degrees east, a shape that broadcasts with `seconds`.
        latitude: Geodetic degrees, a shape that broadcasts with `seconds`.

    Returns:
        0 (no eclipse, or the sun is down, or NaN) to 1 (total), in the broadcast shape.
    """
    time, lon, lat = np.broadcast_arrays(np.asarray(seconds, dtype=float), longitude, latitude)
    fraction = np.zeros(time.shape, dtype=np.float32)
    seen = np.isfinite(time)
    if not seen.any():
        return fraction
    start, stop = float(time[seen].min()), float(time[seen].max())
    if may_eclipse(day, start, stop):
        ephemeris = _Ephemeris.over(day, start, stop)
        fraction[seen] = ephemeris.obscuration(time[seen], lon[seen].astype(float), lat[seen].astype(float))
    return fraction


def eclipse_obscuration_grid(
    day: dt.date,
    seconds: NDArray[np.floating],
    longitude: NDArray[np.floating],
    latitude: NDArray[np.floating],
) -> NDArray[np.float32]:
    """`eclipse_obscuration` on a regular grid, worked out only around where a search every degree finds it.

    Args:
        day: Day that `seconds` counts from, UTC.
        seconds: H x W seconds since 00:00 UTC; NaN where nothing is seen.
        longitude: W degrees east.
        latitude: H geodetic degrees.

    Returns:
        H x W fractions, 0 to 1.
    """
    fraction = np.zeros(seconds.shape, dtype=np.float32)
    seen = np.isfinite(seconds)
    if not seen.any() or not may_eclipse(day, float(np.nanmin(seconds)), float(np.nanmax(seconds))):
        return fraction
    rows = _every(latitude)
    cols = _every(longitude)
    coarse = eclipse_obscuration(day, seconds[np.ix_(rows, cols)], longitude[cols], latitude[rows, None]) > 0
    if not coarse.any():
        return fraction
    near = cv2.dilate(coarse.astype(np.uint8), np.ones((5, 5), np.uint8))
    height, width = seconds.shape
    near = cv2.resize(near, (width, height), interpolation=cv2.INTER_NEAREST)
    row, col = np.nonzero((near > 0) & seen)
    fraction[row, col] = eclipse_obscuration(day, seconds[row, col], longitude[col], latitude[row])
    return fraction


def _every(degrees: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices that are about a degree apart."""
    if len(degrees) == 1:
        return np.zeros(1, dtype=np.intp)
    step = max(1, int(_COARSE_DEG / abs(float(degrees[1] - degrees[0]))))
    return np.arange(step // 2, len(degrees), step)


class _Ephemeris(NamedTuple):
    """Sun and moon over a few hours, in an Earth-centred frame that does not turn.

    Attributes:
        day: Day that `seconds` counts from.
        seconds: N instants.
        sun_km: 3 x N positions.
        moon_km: 3 x N positions.
    """

    day: dt.date
    seconds: NDArray[np.float64]
    sun_km: NDArray[np.float64]
    moon_km: NDArray[np.float64]

    @classmethod
    def over(cls, day: dt.date, start_s: float, stop_s: float) -> _Ephemeris:
        """Positions that cover a window.

        The steps are whole multiples counted from midnight, so that a time gets the same position whatever
        window it is asked in.
        """
        first = math.floor(start_s / _EPHEMERIS_STEP_S)
        last = max(first + 1, math.ceil(stop_s / _EPHEMERIS_STEP_S))
        return _ephemeris(day, first, last)

    def obscuration(
        self, time: NDArray[np.float64], lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Covered fraction of the sun's disc at N instants and places."""
        sun = np.stack([np.interp(time, self.seconds, axis) for axis in self.sun_km])
        moon = np.stack([np.interp(time, self.seconds, axis) for axis in self.moon_km])
        observer = _observer_km(lon + _earth_rotation_deg(self.day, time), lat)
        sun -= observer
        moon -= observer
        sun_km, moon_km = np.linalg.norm(sun, axis=0), np.linalg.norm(moon, axis=0)
        # Half the chord between unit vectors: the arc cosine loses everything below 1e-8 rad.
        chord = np.linalg.norm(sun / sun_km - moon / moon_km, axis=0)
        separation = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
        up = np.sum(sun * observer, axis=0) > 0
        covered = _disc_overlap(np.arcsin(SUN_RADIUS_KM / sun_km), np.arcsin(MOON_RADIUS_KM / moon_km), separation)
        return np.where(up, covered, 0.0).astype(np.float32)


@lru_cache(maxsize=8)
def _ephemeris(day: dt.date, first: int, last: int) -> _Ephemeris:
    seconds = np.arange(first, last + 1, dtype=np.float64) * _EPHEMERIS_STEP_S
    sun, moon = _positions_km(day, seconds)
    return _Ephemeris(day, seconds, sun, moon)


def _disc_overlap(
    sun: NDArray[np.float64], moon: NDArray[np.float64], separation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covered fraction of a disc of radius `sun` by one of radius `moon`: two circular segments."""
    fraction = np.zeros_like(separation)
    inside = separation <= np.abs(moon - sun)
    fraction[inside] = np.minimum(1.0, (moon[inside] / sun[inside]) ** 2)
    partial = (separation < sun + moon) & ~inside
    r, R, d = sun[partial], moon[partial], separation[partial]
    half_r = np.arccos(np.clip((d**2 + r**2 - R**2) / (2 * d * r), -1, 1))
    half_R = np.arccos(np.clip((d**2 + R**2 - r**2) / (2 * d * R), -1, 1))
    kite = np.sqrt(np.maximum(0.0, (r + R - d) * (d + r - R) * (d - r + R) * (d + r + R)))
    fraction[partial] = (r**2 * half_r + R**2 * half_R - kite / 2) / (math.pi * r**2)
    return fraction


def _observer_km(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth-centred position (3 x N) of a point on the WGS 84 ellipsoid."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    eccentricity_2 = 0.00669437999014
    normal = 6_378.137 / np.sqrt(1 - eccentricity_2 * np.sin(lat) ** 2)
    across = normal * np.cos(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), normal * (1 - eccentricity_2) * np.sin(lat)])


def _earth_rotation_deg(day: dt.date, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth rotation angle: IERS Conventions 2010, equation 5.15, with the whole turns left out."""
    days = day.toordinal() - _ORDINAL_2000 - 0.5
    turns = 0.7790572732640 + 0.00273781191135448 * days + 1.00273781191135448 * (seconds / DAY_S) + days % 1
    return np.asarray(360.0 * turns)


def _positions_km(day: dt.date, seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apparent geocentric positions (3 x N each) of the sun and the moon in the CIRS."""
    coordinates, time_class, beyond_tables = _astropy()
    days = day.toordinal() - _ORDINAL_2000 - 0.5
    with warnings.catch_warnings():
        # In years without known leap seconds and polar motion, a second and a few metres do not matter.
        for category in beyond_tables:
            warnings.simplefilter("ignore", category)
        time = time_class(_JD_2000 + days, seconds / DAY_S, format="jd", scale="utc")
        sun, moon = (
            coordinates.get_body(body, time, ephemeris="builtin")
            .transform_to(coordinates.CIRS(obstime=time))
            .cartesian.xyz.to_value("km")
            for body in ("sun", "moon")
        )
    return sun, moon


@lru_cache(maxsize=1)
def _astropy() -> tuple[Any, Any, tuple[type[Warning], type[Warning]]]:
    """What is needed of astropy, told once to use only the Earth orientation tables that came with it."""
    import astropy.coordinates
    import astropy.time
    import astropy.utils.exceptions
    import astropy.utils.iers
    import erfa

    astropy.utils.iers.conf.auto_download = False
    astropy.utils.iers.conf.auto_max_age = None
    astropy.utils.iers.conf.iers_degraded_accuracy = "ignore"
    beyond_tables = (erfa.ErfaWarning, astropy.utils.exceptions.AstropyWarning)
    return astropy.coordinates, astropy.time.Time, beyond_tables
