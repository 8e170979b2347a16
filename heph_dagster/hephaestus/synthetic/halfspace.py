"""Displacement of the ground above sources of deformation in an elastic half-space.

All functions take places in metres from the source, `x` to the east and `y` to the north, and return metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import acos, acosh, cos, isclose, pi, radians, sin, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

POISSON = 0.25
"""Poisson's ratio of the crust: both Lamé constants are then equal."""

Field: TypeAlias = NDArray[np.float64]


class Displacement(NamedTuple):
    """Displacement of the surface in metres, each of the shape of the places."""

    east: Field
    north: Field
    up: Field


@dataclass(frozen=True)
class Rectangle:
    """A rectangular plane in the ground, centred below the origin.

    Attributes:
        depth: Of its centre, in metres.
        length: Along strike, in metres.
        width: Down dip, in metres.
        strike: Direction of its upper edge, degrees clockwise from north; the plane dips to the right of it.
        dip: From the horizontal, -90 to 90 degrees.

    Raises:
        ValueError: It has no extent, or reaches above the ground.
    """

    depth: float
    length: float
    width: float
    strike: float
    dip: float

    def __post_init__(self) -> None:
        if self.length <= 0 or self.width <= 0:
            raise ValueError(f"a plane of {self.length} x {self.width} m has no extent")
        top = self.depth - abs(sin(radians(self.dip))) * self.width / 2
        if top < 0:
            raise ValueError(f"the plane's upper edge is {-top:g} m above the ground: give it a greater depth")


def mogi(x: Field, y: Field, depth: float, volume: float) -> Displacement:
    """Displacement above a small sphere that grows.

    Source: Mogi, "Relations between the eruptions of various volcanoes and the deformations of the ground surfaces
    around them", Bulletin of the Earthquake Research Institute 36, 1958; with the change of volume after Segall,
    "Earthquake and Volcano Deformation", 2010, equation 7.14.

    Args:
        x: Metres east of the source.
        y: Metres north of it.
        depth: Of the source, in metres, more than 0.
        volume: How much it grows, in cubic metres; negative for one that shrinks.

    Returns:
        The displacement.
    """
    _check_depth(depth)
    cubed = (x * x + y * y + depth * depth) ** 1.5
    radial = (1 - POISSON) / pi * volume / cubed
    return Displacement(x * radial, y * radial, depth * radial)


def okada(
    x: Field, y: Field, plane: Rectangle, *, strike_slip: float = 0.0, dip_slip: float = 0.0, opening: float = 0.0
) -> Displacement:
    """Displacement above a rectangular fault that slips, or a crack that opens.

    Source: Okada, "Surface deformation due to shear and tensile faults in a half-space", Bulletin of the Seismological
    Society of America 75, 1985, equations 25 to 30.

    Args:
        x: Metres east of the centre.
        y: Metres north of it.
        plane: The fault or crack.
        strike_slip: Left-lateral slip in metres.
        dip_slip: Slip of the upper side up dip, as of a thrust, in metres.
        opening: In metres.

    Returns:
        The displacement.
    """
    strike, dip = radians(plane.strike), radians(plane.dip)
    # Okada's axes: along strike, and to the left of it; his origin is above the lower edge's beginning.
    along = x * sin(strike) + y * cos(strike) + plane.length / 2
    across = -x * cos(strike) + y * sin(strike) + cos(dip) * plane.width / 2
    bottom = plane.depth + sin(dip) * plane.width / 2
    p = across * cos(dip) + bottom * sin(dip)
    q = across * sin(dip) - bottom * cos(dip)
    slip = (strike_slip, dip_slip, opening)
    u, v, up = (
        np.asarray(a - b - c + d)
        for a, b, c, d in zip(
            _corner(along, p, q, dip, slip),
            _corner(along, p - plane.width, q, dip, slip),
            _corner(along - plane.length, p, q, dip, slip),
            _corner(along - plane.length, p - plane.width, q, dip, slip),
            strict=True,
        )
    )
    return Displacement(u * sin(strike) - v * cos(strike), u * cos(strike) + v * sin(strike), up)


def _corner(xi: Field, eta: Field, q: Field, dip: float, slip: tuple[float, float, float]) -> tuple[Field, ...]:
    """Share of one corner of the rectangle in the displacement along strike, across it and up."""
    sind, cosd = sin(dip), cos(dip)
    R = np.sqrt(xi * xi + eta * eta + q * q)
    y = eta * cosd + q * sind
    d = eta * sind - q * cosd
    with np.errstate(divide="ignore", invalid="ignore"):
        # What is singular on the continuation of an edge is left out there, as Okada says below equation 30.
        by_eta = np.where(R + eta > 1e-12 * R, 1 / (R * (R + eta)), 0.0)
        by_xi = np.where(R + xi > 1e-12 * R, 1 / (R * (R + xi)), 0.0)
        angle = np.where(q == 0, 0.0, np.arctan(xi * eta / (q * R)))
        log = np.where(R + eta > 1e-12 * R, np.log(R + eta), -np.log(R - eta))
    I1, I3, I4, I5 = _integrals(xi, eta, q, dip, log)
    I2 = -(1 - 2 * POISSON) * log - I3
    along, across, up = np.zeros_like(R), np.zeros_like(R), np.zeros_like(R)
    U1, U2, U3 = (value / (2 * pi) for value in slip)
    if U1:
        along -= U1 * (xi * q * by_eta + angle + I1 * sind)
        across -= U1 * (y * q * by_eta + q * cosd * R * by_eta + I2 * sind)
        up -= U1 * (d * q * by_eta + q * sind * R * by_eta + I4 * sind)
    if U2:
        along -= U2 * (q / R - I3 * sind * cosd)
        across -= U2 * (y * q * by_xi + cosd * angle - I1 * sind * cosd)
        up -= U2 * (d * q * by_xi + sind * angle - I5 * sind * cosd)
    if U3:
        shear = xi * q * by_eta - angle
        along += U3 * (q * q * by_eta - I3 * sind * sind)
        across += U3 * (-d * q * by_xi - sind * shear - I1 * sind * sind)
        up += U3 * (y * q * by_xi + cosd * shear - I5 * sind * sind)
    return along, across, up


def _integrals(xi: Field, eta: Field, q: Field, dip: float, log: Field) -> tuple[Field, Field, Field, Field]:
    """Okada's I1, I3, I4 and I5, equations 28 and 29."""
    sind, cosd = sin(dip), cos(dip)
    medium = 1 - 2 * POISSON
    R = np.sqrt(xi * xi + eta * eta + q * q)
    deep = R + eta * sind - q * cosd
    y = eta * cosd + q * sind
    if isclose(cosd, 0, abs_tol=1e-9):
        I1 = -medium / 2 * xi * q / deep**2
        I3 = medium / 2 * (eta / deep + y * q / deep**2 - log)
        return I1, I3, -medium * q / deep, -medium * xi * sind / deep
    X = np.sqrt(xi * xi + q * q)
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.arctan((eta * (X + q * cosd) + X * (R + X) * sind) / (xi * (R + X) * cosd))
    I5 = np.where(xi == 0, 0.0, medium * 2 / cosd * turn)
    I4 = medium / cosd * (np.log(deep) - sind * log)
    I3 = medium * (y / (cosd * deep) - log) + sind / cosd * I4
    return medium * -xi / (cosd * deep) - sind / cosd * I5, I3, I4, I5


def spheroid(
    x: Field, y: Field, depth: float, semi_axes: tuple[float, float], trend: float, plunge: float, pressure: float
) -> Displacement:
    """Displacement above a small spheroidal cavity under pressure.

    The cavity acts as a centre of dilatation and a crack across its axis. It is a point: right where it is small beside
    its depth, as Yang's finite spheroid is there.

    Source: Davis, "Surface deformation due to inflation of an arbitrarily oriented triaxial ellipsoidal cavity in an
    elastic half-space, with reference to Kilauea volcano, Hawaii", Journal of Geophysical Research 91, 1986; Nikkhoo et
    al., "Compound dislocation models (CDMs) for volcano deformation analyses", Geophysical Journal International 208,
    2017.

    Args:
        x: Metres east of the source.
        y: Metres north of it.
        depth: Of its centre, in metres, more than 0.
        semi_axes: Half of its axis of symmetry and its largest radius across it, in metres: the first is greater for a
            cigar, smaller for a lens.
        trend: Direction that the axis points to where it goes down, degrees clockwise from north.
        plunge: Of the axis below the horizontal, 0 to 90 degrees.
        pressure: Above that of the rock, as a share of the shear modulus; negative for one that shrinks.

    Returns:
        The displacement.
    """
    axial, radial = spheroid_potencies(*semi_axes)
    dilatation = radial * (1 + POISSON) / (1 - POISSON)
    sphere = mogi(x, y, depth, pressure * dilatation)
    # The crack's plane is across the axis: it dips to the side that the axis points away from.
    crack = tensile_point(x, y, depth, trend + 90, 90 - plunge, pressure * (axial - radial))
    return Displacement(*(a + b for a, b in zip(sphere, crack, strict=True)))


def spheroid_potencies(axial: float, radial: float) -> tuple[float, float]:
    """Opening times area along and across the axis of a spheroidal cavity, under the shear modulus as pressure.

    Source: Eshelby, "The determination of the elastic field of an ellipsoidal inclusion, and related problems",
    Proceedings of the Royal Society A 241, 1957; Mura, "Micromechanics of Defects in Solids", 1987, section 11.

    Args:
        axial: Half of the axis of symmetry, in metres.
        radial: Largest radius across it, in metres.

    Returns:
        Potencies in cubic metres.

    Raises:
        ValueError: One is not more than 0.
    """
    if axial <= 0 or radial <= 0:
        raise ValueError(f"a spheroid with the semi-axes {axial:g} and {radial:g} m has no extent")
    volume = 4 / 3 * pi * axial * radial * radial
    bulk = 2 / 3 * (1 + POISSON) / (1 - 2 * POISSON)  # in shear moduli
    if isclose(axial, radial, rel_tol=1e-4):
        share = (1 + POISSON) / (3 * (1 - POISSON))
        potency = volume / (3 * bulk * (1 - share))
        return potency, potency
    ratio = axial / radial
    root = sqrt(abs(ratio * ratio - 1))
    curve = ratio * root - acosh(ratio) if ratio > 1 else acos(ratio) - ratio * root
    # Mura's I for the axes across (r) and along (a), with lengths in units of the radius.
    I_r = 2 * pi * ratio / root**3 * curve
    I_a = 4 * pi - 2 * I_r
    I_ra = (I_a - I_r) / (1 - ratio * ratio)
    I_rr = (4 * pi - I_ra) / 4
    I_aa = (4 * pi / ratio**2 - 2 * I_ra) / 3
    Q, T = 1 / (8 * pi * (1 - POISSON)), (1 - 2 * POISSON) / (8 * pi * (1 - POISSON))
    across = (3 * Q * I_rr + T * I_r) + (Q * I_rr - T * I_r)  # S1111 + S1122
    S = np.array(
        [[across, Q * ratio**2 * I_ra - T * I_r], [2 * (Q * I_ra - T * I_a), 3 * Q * ratio**2 * I_aa + T * I_a]]
    )
    strain = np.linalg.solve(np.eye(2) - S, np.full(2, 1 / (3 * bulk)))
    return float(strain[1] * volume), float(strain[0] * volume)


def tensile_point(x: Field, y: Field, depth: float, strike: float, dip: float, potency: float) -> Displacement:
    """Displacement above a crack, small beside its depth, that opens.

    Source: Okada 1985 (see `okada`), equations 10 and 11.

    Args:
        x: Metres east of the crack.
        y: Metres north of it.
        depth: In metres, more than 0.
        strike: Of its plane, degrees clockwise from north.
        dip: Of its plane to the right of the strike, in degrees.
        potency: Opening times area, in cubic metres.

    Returns:
        The displacement.
    """
    _check_depth(depth)
    towards, angle = radians(strike), radians(dip)
    u = x * sin(towards) + y * cos(towards)
    v = -x * cos(towards) + y * sin(towards)
    sind = sin(angle)
    q = v * sind - depth * cos(angle)
    R = np.sqrt(u * u + v * v + depth * depth)
    deep = R + depth
    common = (3 * R + depth) / (R**3 * deep**3)
    medium = 1 - 2 * POISSON
    I1 = medium * v * (1 / (R * deep**2) - u * u * common)
    I3 = medium * (u / R**3 - u * (1 / (R * deep**2) - v * v * common))
    I5 = medium * (1 / (R * deep) - u * u * (2 * R + depth) / (R**3 * deep**2))
    pull = 3 * q * q / R**5
    scale = potency / (2 * pi)
    along, across = scale * (pull * u - I3 * sind**2), scale * (pull * v - I1 * sind**2)
    east = along * sin(towards) - across * cos(towards)
    north = along * cos(towards) + across * sin(towards)
    return Displacement(east, north, scale * (pull * depth - I5 * sind**2))


def _check_depth(depth: float) -> None:
    if depth <= 0:
        raise ValueError(f"a source at a depth of {depth:g} m is not in the ground")
