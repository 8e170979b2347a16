from __future__ import annotations

from math import cos, pi, radians, sin

import numpy as np
import pytest

from heph_dagster.hephaestus.synthetic.halfspace import (
    Displacement,
    Rectangle,
    mogi,
    okada,
    spheroid,
    spheroid_potencies,
    tensile_point,
)

# Okada 1985, table 2: x along strike, y across it, z up, for a unit slip or opening; 0 where it is below rounding.
CASE_2 = {
    "strike_slip": (-8.689e-3, -4.298e-3, -2.747e-3),
    "dip_slip": (-4.682e-3, -3.527e-2, -3.564e-2),
    "opening": (-2.660e-4, 1.056e-2, 3.214e-3),
}
CASE_3 = {"strike_slip": (0, 5.253e-3, 0), "dip_slip": (0, 0, 0), "opening": (1.223e-2, 0, -1.606e-2)}
CASE_4 = {"strike_slip": (0, -1.303e-3, 0), "dip_slip": (0, 0, 0), "opening": (3.507e-3, 0, -7.740e-3)}
# pCDM.m of Nikkhoo et al. 2017 for three potencies of 1e6 cubic metres, 3 km deep below (500, -250).
PLACES = np.array([[1000.0, 0, -2000, 1200, -800, 3000], [0.0, 1500, 500, -1800, -1200, 2500]]) - [[500], [-250]]
ISOTROPIC = {
    "east": [7.00052669e-3, -4.60480008e-3, -1.58197400e-2, 6.79123002e-3, -1.31050245e-2, 9.12937037e-3],
    "north": [3.50026335e-3, 1.61168003e-2, 4.74592200e-3, -1.50377236e-2, -9.57674864e-3, 1.00423074e-2],
    "up": [4.20031602e-2, 2.76288005e-2, 1.89836880e-2, 2.91052715e-2, 3.02423641e-2, 1.09552444e-2],
}
# The same for potencies of 1.4, 1.2 and 0.8e6 cubic metres of a source turned by 20, -10 and 30 degrees about x, y, z.
TURNED = {
    "east": [5.08553164e-3, -4.36980895e-3, -1.87869062e-2, 6.41955218e-3, -1.33355384e-2, 7.52364413e-3],
    "north": [2.45639671e-3, 1.44839428e-2, 5.79624805e-3, -1.37473359e-2, -9.58602072e-3, 8.19230431e-3],
    "up": [3.05915354e-2, 2.48363860e-2, 2.22934758e-2, 2.65394983e-2, 3.09638953e-2, 9.27823857e-3],
}
X, Y = np.meshgrid(np.linspace(-9e3, 9e3, 37), np.linspace(-9e3, 9e3, 37))


def one(x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(x)]), np.array([float(y)])


@pytest.mark.parametrize(
    ("place", "depth", "dip", "expected"),
    [((2, 3), 4, 70, CASE_2), ((0, 0), 4, 90, CASE_3), ((0, 0), 4, -90, CASE_4)],
    ids=["case 2", "case 3", "case 4"],
)
@pytest.mark.parametrize("how", ["strike_slip", "dip_slip", "opening"])
def test_okada_gives_the_published_check_values(place, depth, dip, expected, how) -> None:
    length, width = 3.0, 2.0
    # The table counts from the beginning of the lower edge; strike 90 makes its x east and its y north.
    plane = Rectangle(depth - sin(radians(dip)) * width / 2, length, width, 90, dip)
    x, y = one(place[0] - length / 2, place[1] - cos(radians(dip)) * width / 2)
    found = [float(part[0]) for part in okada(x, y, plane, **{how: 1.0})]
    assert found == pytest.approx(expected[how], rel=5e-4, abs=1e-12)  # half of the last digit


def test_a_small_crack_gives_the_published_check_values() -> None:
    found = [float(part[0]) for part in tensile_point(*one(2, 3), 4, 90, 70, 1.0)]
    assert found == pytest.approx((-3.572e-4, 3.531e-4, -2.007e-4), rel=2e-4)


def test_a_rectangle_far_away_is_a_point() -> None:
    plane = Rectangle(8e3, 200.0, 100.0, 30, 55)
    for part, point in zip(
        okada(X, Y, plane, opening=1.0), tensile_point(X, Y, 8e3, 30, 55, 200.0 * 100.0), strict=True
    ):
        assert np.abs(part - point).max() < 1e-3 * np.abs(point).max()


def test_three_cracks_are_a_mogi_source_and_both_as_published() -> None:
    sphere = mogi(*PLACES, 3000, 1e6 * 5 / 3)
    cracks = [tensile_point(*PLACES, 3000, strike, dip, 1e6) for strike, dip in ((0, 90), (90, 90), (0, 0))]
    for name, expected in ISOTROPIC.items():
        assert getattr(sphere, name) == pytest.approx(expected, rel=1e-6)
        assert sum(getattr(each, name) for each in cracks) == pytest.approx(expected, rel=1e-6)


def test_cracks_turned_anyhow_are_as_published() -> None:
    a, b, c = (radians(angle) for angle in (20, -10, 30))
    about_x = np.array([[1, 0, 0], [0, cos(a), sin(a)], [0, -sin(a), cos(a)]])
    about_y = np.array([[cos(b), 0, -sin(b)], [0, 1, 0], [sin(b), 0, cos(b)]])
    about_z = np.array([[cos(c), sin(c), 0], [-sin(c), cos(c), 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    total = np.zeros((3, PLACES.shape[1]))
    for normal, potency in zip((axis * np.sign(axis[2]) for axis in turned.T), (1.4e6, 1.2e6, 0.8e6), strict=True):
        # The plane dips to where its upward normal leans, to the right of the strike.
        strike = np.degrees(np.arctan2(normal[0], normal[1])) - 90
        total += tensile_point(*PLACES, 3000, strike, np.degrees(np.arccos(normal[2])), potency)
    for found, expected in zip(total, TURNED.values(), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_mogi_is_round_and_falls_off() -> None:
    found = mogi(*one(3000, 0), 2000, 1e6)
    assert found.up[0] == pytest.approx(0.75 / pi * 1e6 * 2000 / 13e6**1.5)
    assert found.east[0] == pytest.approx(1.5 * found.up[0])
    near, far = mogi(*one(0, 1e5), 2000, 1e6), mogi(*one(0, 2e5), 2000, 1e6)
    assert near.up[0] / far.up[0] == pytest.approx(8, rel=1e-3)
    east, north = mogi(*one(700, 0), 2000, 1e6), mogi(*one(0, 700), 2000, 1e6)
    assert (east.east[0], east.up[0]) == (north.north[0], north.up[0])


def test_a_turned_fault_moves_the_ground_as_a_turned_map() -> None:
    still = okada(X, Y, Rectangle(4e3, 5e3, 3e3, 0, 60), dip_slip=1.0)
    turned = okada(Y, -X, Rectangle(4e3, 5e3, 3e3, 90, 60), dip_slip=1.0)
    assert turned.up == pytest.approx(still.up, abs=1e-12)
    assert turned.east == pytest.approx(still.north, abs=1e-12)
    assert turned.north == pytest.approx(-still.east, abs=1e-12)


def test_a_dyke_lifts_both_sides_and_a_thrust_the_upper_one() -> None:
    x, y = np.array([-4e3, 0.0, 4e3]), np.zeros(3)
    dyke = okada(x, y, Rectangle(3e3, 8e3, 4e3, 0, 90), opening=1.0)
    assert dyke.up[0] == pytest.approx(dyke.up[2])
    assert dyke.up[1] < 0 < dyke.up[0]
    assert dyke.east[0] < 0 < dyke.east[2]
    thrust = okada(x, y, Rectangle(1e3, 8e3, 4e3, 0, 15), dip_slip=1.0)
    assert thrust.up[1] > 0
    assert thrust.east[1] < 0  # up dip, to the west
    left_lateral = okada(x, y, Rectangle(3e3, 8e3, 4e3, 0, 90), strike_slip=1.0)
    assert left_lateral.north[0] < 0 < left_lateral.north[2]  # who stands in the west sees the east go to the left


def test_a_round_spheroid_is_a_mogi_source() -> None:
    # Under the shear modulus, a sphere of radius a grows by pi a^3.
    expected = mogi(X, Y, 5e3, pi * 400.0**3)
    for turn in ((0.0, 90.0), (35.0, 20.0)):
        for part, other in zip(spheroid(X, Y, 5e3, (400.0, 400.0), *turn, 1.0), expected, strict=True):
            assert part == pytest.approx(other, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ratio", [0.999, 1.001])
def test_a_nearly_round_spheroid_is_nearly_a_sphere(ratio: float) -> None:
    axial, radial = spheroid_potencies(ratio, 1.0)
    sphere = spheroid_potencies(1.0, 1.0)[0]
    assert (axial + 2 * radial) / 3 == pytest.approx(sphere * ratio, rel=1e-5)
    assert (axial < radial) == (ratio > 1)


def test_flat_and_long_spheroids_have_the_known_limits() -> None:
    # A penny-shaped crack (Sneddon 1951): 8/3 (1 - nu) r^3 p / mu, all of it across its plane.
    assert spheroid_potencies(1e-5, 1.0) == pytest.approx((2.0, 0.0), abs=1e-4)
    # A long pipe, with Eshelby's tensor of a cylinder: p / 3K = 0.2 along, (0.2 + 0.2 / 6) / (1 - 2/3) = 0.7 across.
    volume = 4 / 3 * pi * 1e4
    assert spheroid_potencies(1e4, 1.0) == pytest.approx((0.2 * volume, 0.7 * volume), rel=1e-4)


def test_a_lens_lifts_most_where_its_face_looks() -> None:
    x, y = np.linspace(-9e3, 9e3, 361), np.zeros(361)
    # The axis goes down to the east, so the upper face looks to the west.
    lens = spheroid(x, y, 3e3, (50.0, 500.0), 90.0, 60.0, 1.0)
    assert x[lens.up.argmax()] < -200
    upright = spheroid(x, y, 3e3, (50.0, 500.0), 90.0, 90.0, 1.0)
    assert x[upright.up.argmax()] == 0


def test_opening_and_slip_add_up() -> None:
    plane = Rectangle(4e3, 5e3, 3e3, 20, 40)
    both = okada(X, Y, plane, strike_slip=0.5, dip_slip=-1.0, opening=2.0)
    parts = [okada(X, Y, plane, **{how: value}) for how, value in
             (("strike_slip", 0.5), ("dip_slip", -1.0), ("opening", 2.0))]  # fmt: skip
    for found, *pieces in zip(both, *parts, strict=True):
        assert found == pytest.approx(sum(pieces), abs=1e-12)
    assert isinstance(both, Displacement)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rectangle(1e3, 0, 1e3, 0, 0), "0 x 1000.0 m has no extent"),
        (lambda: Rectangle(1e3, 1e3, 4e3, 0, 90), "upper edge is 1000 m above the ground"),
        (lambda: mogi(*one(0, 0), 0, 1.0), "depth of 0 m is not in the ground"),
        (lambda: tensile_point(*one(0, 0), -5, 0, 0, 1.0), "depth of -5 m is not in the ground"),
        (lambda: spheroid_potencies(0, 3), "semi-axes 0 and 3 m has no extent"),
    ],
)
def test_what_is_not_in_the_ground_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
