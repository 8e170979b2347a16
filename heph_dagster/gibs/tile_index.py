"""The index of a set of tiles: what each file shows of its mosaic, and where on Earth that is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from heph_dagster.files import replacing
from heph_dagster.gibs.box import Box, PixelWindow
from heph_dagster.gibs.grid import BBox

INDEX = "index.csv"
COLUMNS = (
    "file", "col", "row", "width", "height", "min_x", "min_y", "max_x", "max_y", "west", "south", "east", "north",
)  # fmt: skip


def write_index(folder: Path, box: Box, tiles: Iterable[tuple[str, PixelWindow]]) -> Path:
    """Write the index of tiles that were cut from a box.

    A line has a tile's file; the window of the mosaic's pixels that it shows from its top left corner on (a tile that
    is larger is padded); what the window covers in the projection's units, a maximum beyond 180 degrees where it
    crosses the antimeridian; and the same in longitudes and latitudes, see `lonlat_bounds`.

    Args:
        folder: Where the tiles are; `index.csv` goes there.
        box: The box.
        tiles: File name and window of the mosaic of each tile.

    Returns:
        The index.
    """
    in_degrees = lonlat_bounds(box.dataset.GetSpatialRef())
    with replacing(folder / INDEX) as part, part.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name, window in tiles:
            bounds = box.georeference.bounds(window)
            writer.writerow((name, *window, *bounds, *in_degrees(bounds)))
    return folder / INDEX


def lonlat_bounds(reference: Any) -> Callable[[BBox], BBox]:
    """What tells the longitudes and latitudes of boxes of a projection.

    Args:
        reference: GDAL's spatial reference: geographic, or a stereographic one with the pole at (0, 0).

    Returns:
        A function from least x and y and greatest x and y, in degrees or metres, to west, south, east and north in
        degrees; west is greater than east where the box crosses the antimeridian, and they are -180 and 180 where it
        goes around the globe.
    """
    from osgeo import osr

    if reference.IsGeographic():
        return _wrapped
    source, target = reference.Clone(), osr.SpatialReference()
    target.ImportFromEPSG(4326)
    for each in (source, target):
        each.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return partial(_around_pole, osr.CoordinateTransformation(source, target))


def _wrapped(bounds: BBox) -> BBox:
    west, south, east, north = bounds
    return (west + 180) % 360 - 180, south, 180 - (180 - east) % 360, north


def _around_pole(transformation: Any, bounds: BBox) -> BBox:
    min_x, min_y, max_x, max_y = bounds
    # Latitude depends on the distance from the pole alone.
    nearest = min(max(0.0, min_x), max_x), min(max(0.0, min_y), max_y)
    farthest = max(min_x, max_x, key=abs), max(min_y, max_y, key=abs)
    south, north = sorted(transformation.TransformPoint(*point)[1] for point in (nearest, farthest))
    if min_x < 0 < max_x and min_y < 0 < max_y:
        return -180.0, south, 180.0, north
    corners = [(x, y) for x in (min_x, max_x) for y in (min_y, max_y) if (x, y) != (0, 0)]
    lons = sorted(transformation.TransformPoint(*corner)[0] for corner in corners)
    # From the pole the box is seen under an angle of at most 180 degrees: the rest of the circle is the widest gap.
    gaps = [(lons[0] + 360 - lons[-1], lons[0], lons[-1])]
    gaps += [(east - west, east, west) for west, east in pairwise(lons)]
    _, west, east = max(gaps)
    return _wrapped((west, south, east, north))
