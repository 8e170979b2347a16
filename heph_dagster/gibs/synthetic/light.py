"""What the sun and the view do to a picture: glint on the sea, haze at the edge of the swath, low light.

All three depend only on where in the orbit and how far from nadir a pixel is seen, the same for every pass of
a day: they are worked out once on a small table and looked up.
"""

from __future__ import annotations

import datetime as dt
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.gibs.orbit import EARTH_RADIUS_KM, Satellite, orbital_sun
from heph_dagster.gibs.swath import Coverage
from heph_dagster.gibs.synthetic.canvas import Field, blend, smoothstep
from heph_dagster.gibs.synthetic.earth import Palette

_TABLE_SHAPE = (257, 129)
_HALF_ARC = math.radians(150.0)
_SLOPE_VARIANCE = 0.024  # of the waves, at a wind of 4 m/s
_FAINT = 1e-3


def light_table(satellite: Satellite, day: dt.date) -> Field:
    """Glint, haze and shade over the place in the orbit.

    The glint is the probability of a wave facet that mirrors the sun into the view; haze grows with the way
    through the air.

    Args:
        satellite: Satellite and its imager.
        day: Day, for the sun.

    Returns:
        3 x 257 x 129: share of glint, share of haze, and factor on the brightness; rows along the orbit from
        -150 to 150 degrees, columns from the left to the right edge of the swath.

    Source: C. Cox and W. Munk, Measurement of the roughness of the sea surface from photographs of the sun's
    glitter, J. Opt. Soc. Am. 44 (1954).
    """
    along = np.linspace(-_HALF_ARC, _HALF_ARC, _TABLE_SHAPE[0])[:, None]
    half = satellite.half_swath_km / EARTH_RADIUS_KM
    cross = np.linspace(-half, half, _TABLE_SHAPE[1])[None, :]
    sun = orbital_sun(satellite, day)
    below = np.stack(np.broadcast_arrays(np.cos(along), np.sin(along), 0 * cross), axis=-1)
    right = np.array([0.0, 0.0, 1.0])
    up = np.cos(cross)[..., None] * below + np.sin(cross)[..., None] * right
    view = (1 + satellite.altitude_km / EARTH_RADIUS_KM) * below - up
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    towards_sun = np.array([sun.node, sun.ahead, sun.right])
    facet = view + towards_sun
    facet /= np.linalg.norm(facet, axis=-1, keepdims=True)
    tilt_2 = 1 / np.maximum(np.sum(facet * up, axis=-1), 0.05) ** 2 - 1
    cos_view = np.sum(view * up, axis=-1)
    cos_sun = up @ towards_sun
    glint = 0.5 * np.exp(-tilt_2 / _SLOPE_VARIANCE) * (cos_sun > 0)
    haze = 0.07 * (1 / cos_view - 1)
    shade = 0.90 + 0.10 * smoothstep(cos_sun, 0.0, 0.3)
    return np.stack([glint, haze, shade]).astype(np.float32)


def illuminate(
    colour: Field,
    seen: Coverage,
    table: Field,
    palette: Palette,
    *,
    half_swath_km: float,
    sea: NDArray[np.floating],
) -> None:
    """Light a picture, in place.

    Args:
        colour: 3 x H x W, 0 to 255.
        seen: Which pass sees each pixel.
        table: Of `light_table`.
        palette: Colours of glint and haze.
        half_swath_km: Distance from nadir to the edge of the table.
        sea: H x W, how much open water is seen, 0 to 1.
    """
    _, rows, columns = table.shape
    along = seen.along_rad * np.float32((rows - 1) / (2 * _HALF_ARC)) + np.float32((rows - 1) / 2)
    cross = seen.cross_km * np.float32((columns - 1) / (2 * half_swath_km)) + np.float32((columns - 1) / 2)
    unseen = ~seen.imaged
    along[unseen] = cross[unseen] = 0
    glint, haze, shade = (
        cv2.remap(layer, cross, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for layer in table
    )
    if glint.max() > _FAINT:
        blend(colour, palette.glint, glint * sea)
    blend(colour, palette.haze, haze)
    colour *= shade
