"""Regions of a day as polygons in a GeoParquet file, which QGIS and geopandas open.

Source: GeoParquet specification 1.1.0 (geometries as WKB, longitude and latitude of OGC:CRS84).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from heph_dagster.anomalies.sphere import Region
from heph_dagster.files import replacing
from heph_dagster.gibs.raster import gdal

POLYGONS_VERSION = "1"


def write_polygons(
    path: Path,
    labels: NDArray[np.int32],
    regions: Sequence[Region],
    columns: Mapping[str, Sequence[Any]],
    facts: Mapping[str, str],
) -> None:
    """Write numbered regions of a world image, a row each, with their measures.

    The geometry is the outline of the region's pixels, in two parts where it crosses the antimeridian. `oriented_box`
    is the smallest rectangle around it at any angle, as pieces of an orbit lie; it goes on beyond 180 degrees there.

    Args:
        path: The `.parquet` file.
        labels: Height x width (EPSG:4326), numbers of the regions from 1, 0 outside.
        regions: Their measures, by number.
        columns: Further columns by name, in the same order.
        facts: What holds for the whole file, for its metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    outlines = outline(labels, len(regions))
    boxes = [_oriented_box(each) for each in outlines]
    names = ("west", "south", "east", "north")
    table = {
        "geometry": pa.array(shapely.to_wkb(outlines).tolist(), pa.binary()),
        "oriented_box": pa.array(shapely.to_wkb(boxes).tolist(), pa.binary()),
        **{name: pa.array([region.bbox[k] for region in regions], pa.float64()) for k, name in enumerate(names)},
        **{
            name: pa.array([getattr(region, name) for region in regions], pa.float64())
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


def outline(labels: NDArray[np.int32], count: int) -> list[BaseGeometry]:
    """The outlines of numbered regions of a world image, in degrees.

    Args:
        labels: Height x width (EPSG:4326), numbers of the regions from 1, 0 outside.
        count: Number of regions.

    Returns:
        A Polygon for each, or a MultiPolygon where it falls into parts; outer rings run counterclockwise.
    """
    from osgeo import ogr

    ogr.UseExceptions()
    library = gdal()
    height, width = labels.shape
    raster = library.GetDriverByName("MEM").Create("", width, height, 1, library.GDT_Int32)
    raster.SetGeoTransform((-180, 360 / width, 0, 90, 0, -180 / height))
    raster.GetRasterBand(1).WriteArray(labels)
    source = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = source.CreateLayer("", geom_type=ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("number", ogr.OFTInteger))
    library.Polygonize(raster.GetRasterBand(1), raster.GetRasterBand(1), layer, 0)
    parts: dict[int, list[Polygon]] = {}
    for feature in layer:
        polygon = shapely.from_wkb(bytes(feature.GetGeometryRef().ExportToWkb()))
        parts.setdefault(feature.GetField(0), []).append(shapely.geometry.polygon.orient(polygon))
    return [each[0] if len(each) == 1 else MultiPolygon(each) for each in (parts[k] for k in range(1, count + 1))]


def _oriented_box(region: BaseGeometry) -> BaseGeometry:
    """The smallest rectangle around a region; one at both edges of the map is put together first."""
    west, _, east, _ = region.bounds
    if (west, east) == (-180, 180) and region.geom_type == "MultiPolygon":
        moved = [translate(part, 360) if part.bounds[2] < 0 else part for part in region.geoms]
        joined = MultiPolygon(moved)
        if joined.bounds[2] - joined.bounds[0] < 360:
            region = joined
    return shapely.minimum_rotated_rectangle(region)
