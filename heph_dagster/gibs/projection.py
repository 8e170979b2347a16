"""Boxes of longitude and latitude in the projections of the poles."""

from __future__ import annotations

import numpy as np

from heph_dagster.gibs.grid import BBox, grid

_STEP_DEG = 0.25


def projected_box(epsg: int, bbox: BBox) -> BBox:
    """The box of a projection around one of longitude and latitude.

    At the poles a geographic box is a sector of a ring: the box around it holds all of it, and more.

    Args:
        epsg: Projection.
        bbox: West, south, east and north in degrees; west greater than east crosses the antimeridian.

    Returns:
        The same in EPSG:4326; else left, bottom, right and top in metres, within the projection's extent.

    Raises:
        ValueError: The box has no extent, or lies outside the projection's imagery.
    """
    if epsg == 4326:
        return bbox
    west, south, east, north = bbox
    if not (np.isfinite(bbox).all() and -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise ValueError(f"bounding box {bbox} should be west, south, east and north in degrees")
    east += 360 * (west >= east)
    longitude = np.linspace(west, east, max(2, round((east - west) / _STEP_DEG)))
    latitude = np.linspace(south, north, max(2, round((north - south) / _STEP_DEG)))
    edges = [(longitude, np.full_like(longitude, each)) for each in (south, north)]
    edges += [(np.full_like(latitude, each), latitude) for each in (west, east)]
    points = _transform(epsg, np.hstack([np.stack(edge) for edge in edges]))
    left, bottom, right, top = grid(epsg).extent
    low, high = np.maximum(points.min(axis=1), (left, bottom)), np.minimum(points.max(axis=1), (right, top))
    if not (low < high).all():
        raise ValueError(f"bounding box {bbox} lies outside the imagery of EPSG:{epsg}")
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _transform(epsg: int, points: np.ndarray) -> np.ndarray:
    """Projected coordinates (2 x N, metres) of longitudes and latitudes (2 x N); the far pole is left out."""
    from osgeo import osr

    osr.UseExceptions()
    source, target = osr.SpatialReference(), osr.SpatialReference()
    source.ImportFromEPSG(4326)
    target.ImportFromEPSG(epsg)
    for system in (source, target):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    far = points[1] < -80 if epsg == 3413 else points[1] > 80
    transformed = osr.CoordinateTransformation(source, target).TransformPoints(points[:, ~far].T.tolist())
    return np.array(transformed)[:, :2].T
