"""Regions of a day as polygons in a GeoParquet file, which QGIS and geopandas open.

Source: GeoParquet specification 1.1.0 (geometries as WKB, longitude and latitude of OGC:CRS84).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import Region, unwrap
from heph_dagster.files import replacing
from heph_dagster.gibs.raster import gdal

POLYGONS_VERSION = "1"

_BAND = 512  # rows


def write_polygons(
    path: Path,
    regions: Sequence[tuple[Region, Runs]],
    size: tuple[int, int],
    columns: Mapping[str, Sequence[Any]],
    facts: Mapping[str, str],
) -> None:
    """Write regions of a world image, a row each, with their measures.

    The geometry is the outline of the region's pixels, in two parts where it crosses the antimeridian. `oriented_box`
    is the smallest rectangle around it at any angle, as pieces of an orbit lie; it goes on beyond 180 degrees there.

    Args:
        path: The `.parquet` file.
        regions: Measures and runs of each.
        size: Width and height in px of the image (EPSG:4326).
        columns: Further columns by name, in the same order.
        facts: What holds for the whole file, for its metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    outlines = [outline(runs, size) for _, runs in regions]
    measures = [region for region, _ in regions]
    boxes = [_oriented_box(each) for each in outlines]
    names = ("west", "south", "east", "north")
    table = {
        "geometry": pa.array(shapely.to_wkb(outlines).tolist(), pa.binary()),
        "oriented_box": pa.array(shapely.to_wkb(boxes).tolist(), pa.binary()),
        **{name: pa.array([region.bbox[k] for region in measures], pa.float64()) for k, name in enumerate(names)},
        **{
            name: pa.array([getattr(region, name) for region in measures], pa.float64())
            for name in ("area_km2", "extent_km", "longitude", "latitude")
        },
        **{name: pa.array(values) if values else pa.array([], pa.string()) for name, values in columns.items()},
    }
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            name: {"encoding": "WKB", "geometry_types": kinds, "orientation": "counterclockwise"}
            for name, kinds in (("geometry", ["Polygon", "MultiPolygon"]), ("oriented_box", ["Polygon"]))
        },
    }
    metadata = {"geo": json.dumps(geo), "version": POLYGONS_VERSION, **facts}
    with replacing(path) as part:
        pq.write_table(pa.table(table).replace_schema_metadata(metadata), part, compression="zstd")


def outline(runs: Runs, size: tuple[int, int]) -> BaseGeometry:
    """The outline of a region of a world image, in degrees.

    Args:
        runs: The region's runs.
        size: Width and height in px of the image (EPSG:4326).

    Returns:
        A Polygon, or a MultiPolygon where it falls into parts; outer rings run counterclockwise.
    """
    west = unwrap(runs, size[0])[0] < 0
    sides = [west, ~west] if west.any() else [~west]
    parts = [part for side in sides for part in _parts(runs.take(side))]
    step = np.array([360 / size[0], -180 / size[1]])
    degrees = shapely.transform(parts, lambda points: points * step + (-180, 90))
    shapes = [shapely.geometry.polygon.orient(part) for part in degrees]
    return shapes[0] if len(shapes) == 1 else MultiPolygon(shapes)


def _parts(runs: Runs) -> list[Polygon]:
    """The outlines of the parts of some runs, in columns and rows.

    GDAL traces bands of rows: a piece of an orbit lies aslant, and the box around all of it would hardly fit into
    memory at 250m. Whole numbers make the bands meet exactly.
    """
    ends = np.searchsorted(runs.row, range(int(runs.row[0]), int(runs.row[-1]) + _BAND, _BAND))
    bands = [runs.take(np.arange(*each)) for each in pairwise(np.append(ends, len(runs.row)))]
    traced = shapely.union_all([part for band in bands if len(band.row) for part in _traced(band)])
    # Union leaves vertices where bands met.
    return list(shapely.get_parts(shapely.simplify(traced, 0)))


def _traced(runs: Runs) -> list[Polygon]:
    from osgeo import ogr

    ogr.UseExceptions()
    library = gdal()
    rows = slice(int(runs.row[0]), int(runs.row[-1]) + 1)
    cols = slice(int(runs.start.min()), int(runs.stop.max()))
    mask = runs.mask(rows, cols).view(np.uint8)
    raster = library.GetDriverByName("MEM").Create("", mask.shape[1], mask.shape[0], 1, library.GDT_Byte)
    raster.SetGeoTransform((cols.start, 1, 0, rows.start, 0, 1))
    raster.GetRasterBand(1).WriteArray(mask)
    source = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = source.CreateLayer("", geom_type=ogr.wkbPolygon)
    library.Polygonize(raster.GetRasterBand(1), raster.GetRasterBand(1), layer, -1)
    return [shapely.from_wkb(bytes(feature.GetGeometryRef().ExportToWkb())) for feature in layer]


def _oriented_box(region: BaseGeometry) -> BaseGeometry:
    """The smallest rectangle around a region; one at both edges of the map is put together first."""
    west, _, east, _ = region.bounds
    if (west, east) == (-180, 180) and region.geom_type == "MultiPolygon":
        moved = [translate(part, 360) if part.bounds[2] < 0 else part for part in region.geoms]
        joined = MultiPolygon(moved)
        if joined.bounds[2] - joined.bounds[0] < 360:
            region = joined
    return shapely.minimum_rotated_rectangle(region)
