"""The XML documents of a GIBS server.

Sources: OGC 07-057r7 (WMTS 1.0.0); OGC 06-121r3 (OWS common, exceptions); OGC 01-068r3 (WMS 1.1.1); OGC 06-042 (WMS
1.3.0); WMTS Multidimensional Domain Discovery; OnEarth's Tiled WMS configuration.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.grid import TILE_SIZE, Grid, Tile, grid
from heph_dagster.gibs.periods import Period

WMTS = "http://www.opengis.net/wmts/1.0"
OWS = "http://www.opengis.net/ows/1.1"
XLINK = "http://www.w3.org/1999/xlink"
DOMAINS = "http://demo.geo-solutions.it/share/wmts-multidim/wmts_multi_dimensional.xsd"
WMS = "http://www.opengis.net/wms"
LONGEST_EDGE = 4096
"""Width and height in px of the largest map."""
_LATEST_PERIODS = 100
_PIXEL_METRES = 0.00028
# West, south, east and north; at the poles as far as the corners of the square.
_DEGREES = {4326: (-180, -90, 180, 90), 3413: (-180, 38.807, 180, 90), 3031: (-180, -90, 180, -38.941)}
_METRES_PER_DEGREE = 6378137.0 * 3.141592653589793 / 180

for prefix, uri in (("", WMTS), ("ows", OWS), ("xlink", XLINK)):
    ET.register_namespace(prefix, uri)


def capabilities(base: str, endpoint: str, epsg: int, layers: Iterable[tuple[Layer, Sequence[Period]]]) -> str:
    """The WMTS capabilities of a projection.

    Args:
        base: The server's own address, without a slash at its end.
        endpoint: `best`, `std`, `nrt` or `all`.
        epsg: Projection.
        layers: Layers with their periods; the newest 100 periods are listed.
    """
    service = f"{base}/wmts/epsg{epsg}/{endpoint}"
    root = ET.Element(f"{{{WMTS}}}Capabilities", version="1.0.0")
    _text(root, OWS, "ServiceIdentification/Title", "Local GIBS server")
    identification = root[0]
    _text(identification, OWS, "ServiceType", "OGC WMTS")
    _text(identification, OWS, "ServiceTypeVersion", "1.0.0")
    operations = ET.SubElement(root, f"{{{OWS}}}OperationsMetadata")
    for name in ("GetCapabilities", "GetTile"):
        operation = ET.SubElement(operations, f"{{{OWS}}}Operation", name=name)
        http = ET.SubElement(ET.SubElement(operation, f"{{{OWS}}}DCP"), f"{{{OWS}}}HTTP")
        get = ET.SubElement(http, f"{{{OWS}}}Get", {f"{{{XLINK}}}href": f"{service}/wmts.cgi?"})
        constraint = ET.SubElement(get, f"{{{OWS}}}Constraint", name="GetEncoding")
        _text(constraint, OWS, "AllowedValues/Value", "KVP")
    contents = ET.SubElement(root, f"{{{WMTS}}}Contents")
    sets: dict[str, int] = {}
    for layer, periods in layers:
        contents.append(_layer(layer, epsg, periods, service))
        sets[layer.matrix_set(epsg)] = layer.finest_level(epsg)
    for name, finest in sorted(sets.items()):
        contents.append(_matrix_set(grid(epsg), name, finest))
    ET.SubElement(root, f"{{{WMTS}}}ServiceMetadataURL", {f"{{{XLINK}}}href": f"{service}/1.0.0/WMTSCapabilities.xml"})
    return _document(root)


def _layer(layer: Layer, epsg: int, periods: Sequence[Period], service: str) -> ET.Element:
    element = ET.Element(f"{{{WMTS}}}Layer")
    _text(element, OWS, "Title", layer.title)
    if epsg == 4326:
        box = ET.SubElement(element, f"{{{OWS}}}WGS84BoundingBox", crs="urn:ogc:def:crs:OGC:2:84")
        _text(box, OWS, "LowerCorner", "-180 -90")
        _text(box, OWS, "UpperCorner", "180 90")
    else:
        left, bottom, right, top = grid(epsg).extent
        box = ET.SubElement(element, f"{{{OWS}}}BoundingBox", crs=_crs(epsg))
        _text(box, OWS, "LowerCorner", f"{left:.0f} {bottom:.0f}")
        _text(box, OWS, "UpperCorner", f"{right:.0f} {top:.0f}")
    _text(element, OWS, "Identifier", layer.identifier)
    style = ET.SubElement(element, f"{{{WMTS}}}Style", isDefault="true")
    _text(style, OWS, "Title", "default")
    _text(style, OWS, "Identifier", "default")
    _text(element, WMTS, "Format", layer.media_type)
    dimension = ET.SubElement(element, f"{{{WMTS}}}Dimension")
    _text(dimension, OWS, "Identifier", "Time")
    _text(dimension, OWS, "UOM", "ISO8601")
    _text(dimension, WMTS, "Default", str(periods[-1].end))
    _text(dimension, WMTS, "Current", "false")
    for period in periods[-_LATEST_PERIODS:]:
        _text(dimension, WMTS, "Value", str(period))
    _text(element, WMTS, "TileMatrixSetLink/TileMatrixSet", layer.matrix_set(epsg))
    tile = f"{{TileMatrixSet}}/{{TileMatrix}}/{{TileRow}}/{{TileCol}}.{layer.format}"
    for time in ("{Time}/", ""):
        attributes = {"resourceType": "tile", "format": layer.media_type}
        attributes["template"] = f"{service}/{layer.identifier}/default/{time}{tile}"
        ET.SubElement(element, f"{{{WMTS}}}ResourceURL", attributes)
    return element


def _matrix_set(tiles: Grid, name: str, finest: int) -> ET.Element:
    element = ET.Element(f"{{{WMTS}}}TileMatrixSet")
    _text(element, OWS, "Identifier", name)
    _text(element, OWS, "SupportedCRS", _crs(tiles.epsg))
    metres_per_unit = _METRES_PER_DEGREE if tiles.epsg == 4326 else 1.0
    for level in range(finest + 1):
        matrix = ET.SubElement(element, f"{{{WMTS}}}TileMatrix")
        cols, rows = tiles.matrix(level)
        _text(matrix, OWS, "Identifier", str(level))
        _text(matrix, WMTS, "ScaleDenominator", repr(tiles.resolution(level) * metres_per_unit / _PIXEL_METRES))
        _text(matrix, WMTS, "TopLeftCorner", f"{tiles.extent[0]:.0f} {tiles.extent[3]:.0f}")
        _text(matrix, WMTS, "TileWidth", str(TILE_SIZE))
        _text(matrix, WMTS, "TileHeight", str(TILE_SIZE))
        _text(matrix, WMTS, "MatrixWidth", str(cols))
        _text(matrix, WMTS, "MatrixHeight", str(rows))
    return element


def domains(epsg: int, periods: Sequence[Period]) -> str:
    """The answer to DescribeDomains: the bounding box, and all periods of a layer in one list."""
    root = ET.Element("Domains", {"xmlns": DOMAINS, "xmlns:ows": OWS})
    left, bottom, right, top = grid(epsg).extent
    edges = {"minx": f"{left:.0f}", "miny": f"{bottom:.0f}", "maxx": f"{right:.0f}", "maxy": f"{top:.0f}"}
    ET.SubElement(ET.SubElement(root, "SpaceDomain"), "BoundingBox", {"crs": _crs(epsg), **edges})
    dimension = ET.SubElement(root, "DimensionDomain")
    ET.SubElement(dimension, "ows:Identifier").text = "time"
    ET.SubElement(dimension, "Domain").text = ",".join(map(str, periods))
    ET.SubElement(dimension, "Size").text = str(len(periods))
    return _document(root)


def tile_service(base: str, endpoint: str, epsg: int, layers: Iterable[Layer]) -> str:
    """The answer to GetTileService: one group of request patterns per layer, coarsest level last."""
    service = f"{base}/twms/epsg{epsg}/{endpoint}/twms.cgi?"
    tiles = grid(epsg)
    edges = dict(zip(("minx", "miny", "maxx", "maxy"), (f"{edge:.0f}" for edge in tiles.extent), strict=True))
    root = ET.Element("WMS_Tile_Service", {"version": "0.1.0", "xmlns:xlink": XLINK})
    about = ET.SubElement(root, "Service")
    ET.SubElement(about, "Name").text = "WMS"
    ET.SubElement(about, "Title").text = "Local GIBS server"
    ET.SubElement(about, "OnlineResource", {"xlink:href": service})
    patterns = ET.SubElement(root, "TiledPatterns")
    ET.SubElement(patterns, "OnlineResource", {"xlink:href": service})
    ET.SubElement(patterns, "LatLonBoundingBox", edges)
    for layer in layers:
        group = ET.SubElement(patterns, "TiledGroup")
        ET.SubElement(group, "Name").text = f"{layer.title} tileset"
        ET.SubElement(group, "Title").text = f"{layer.title} tileset"
        ET.SubElement(group, "Pad").text = "0"
        ET.SubElement(group, "Bands").text = str(layer.band_count)
        ET.SubElement(group, "LatLonBoundingBox", edges)
        ET.SubElement(group, "Key").text = "${time}"
        for level in range(layer.finest_level(epsg), -1, -1):
            box = ",".join(f"{edge:f}" for edge in tiles.tile_bbox(Tile(level, 0, 0)))
            query = (
                f"request=GetMap&layers={layer.identifier}&srs=EPSG:{epsg}&format={quote(layer.media_type, safe='')}"
                f"&styles=&time=${{time}}&width={TILE_SIZE}&height={TILE_SIZE}&bbox={box}"
            )
            ET.SubElement(group, "TilePattern").text = query
    # GDAL's client looks for the elements below the first node, and so cannot stand an XML declaration.
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def map_capabilities(
    version: str, base: str, endpoint: str, epsg: int, layers: Iterable[tuple[Layer, Sequence[Period]]]
) -> str:
    """The WMS capabilities of a projection.

    Args:
        version: `1.1.1` or `1.3.0`.
        base: The server's own address, without a slash at its end.
        endpoint: `best`, `std`, `nrt` or `all`.
        epsg: Projection.
        layers: Layers with their periods, all of which are listed.
    """
    old = version == "1.1.1"
    service = f"{base}/wms/epsg{epsg}/{endpoint}/wms.cgi?"
    name, namespace = ("WMT_MS_Capabilities", {}) if old else ("WMS_Capabilities", {"xmlns": WMS})
    root = ET.Element(name, {"version": version, "xmlns:xlink": XLINK, **namespace})
    about = ET.SubElement(root, "Service")
    ET.SubElement(about, "Name").text = "OGC:WMS" if old else "WMS"
    ET.SubElement(about, "Title").text = "Local GIBS server"
    ET.SubElement(about, "OnlineResource", {"xlink:href": service})
    if not old:
        for limit in ("MaxWidth", "MaxHeight"):
            ET.SubElement(about, limit).text = str(LONGEST_EDGE)
    capability = ET.SubElement(root, "Capability")
    operations = ET.SubElement(capability, "Request")
    document = "application/vnd.ogc.wms_xml" if old else "text/xml"
    for operation, formats in (("GetCapabilities", [document]), ("GetMap", ["image/png", "image/jpeg"])):
        element = ET.SubElement(operations, operation)
        for each in formats:
            ET.SubElement(element, "Format").text = each
        get = ET.SubElement(ET.SubElement(ET.SubElement(element, "DCPType"), "HTTP"), "Get")
        ET.SubElement(get, "OnlineResource", {"xlink:href": service})
    ET.SubElement(ET.SubElement(capability, "Exception"), "Format").text = (
        "application/vnd.ogc.se_xml" if old else "XML"
    )
    world = ET.SubElement(capability, "Layer")
    ET.SubElement(world, "Title").text = f"Layers in EPSG:{epsg}"
    ET.SubElement(world, "SRS" if old else "CRS").text = f"EPSG:{epsg}"
    _extent(world, epsg, old=old)
    for layer, periods in layers:
        element = ET.SubElement(world, "Layer", queryable="0")
        ET.SubElement(element, "Name").text = layer.identifier
        ET.SubElement(element, "Title").text = layer.title
        dimension = ET.SubElement(element, "Dimension", name="time", units="ISO8601")
        extent = ET.SubElement(element, "Extent", name="time") if old else dimension
        extent.set("default", str(periods[-1].end))
        extent.text = ",".join(map(str, periods))
        style = ET.SubElement(element, "Style")
        ET.SubElement(style, "Name").text = "default"
        ET.SubElement(style, "Title").text = "default"
    return _document(root)


def _extent(parent: ET.Element, epsg: int, *, old: bool) -> None:
    """The extent of the imagery: in degrees, and in the axes of its projection, which WMS 1.3.0 follows."""
    left, bottom, right, top = grid(epsg).extent
    west, south, east, north = _DEGREES[epsg]
    if old:
        edges = {"minx": west, "miny": south, "maxx": east, "maxy": north}
        ET.SubElement(parent, "LatLonBoundingBox", {name: f"{edge:g}" for name, edge in edges.items()})
    else:
        box = ET.SubElement(parent, "EX_GeographicBoundingBox")
        bounds = {"west": west, "east": east, "south": south, "north": north}
        for name, edge in bounds.items():
            side = "Longitude" if name in {"west", "east"} else "Latitude"
            ET.SubElement(box, f"{name}Bound{side}").text = f"{edge:g}"
        if epsg == 4326:
            left, bottom, right, top = bottom, left, top, right
    edges = {"minx": left, "miny": bottom, "maxx": right, "maxy": top}
    key = "SRS" if old else "CRS"
    ET.SubElement(parent, "BoundingBox", {key: f"EPSG:{epsg}", **{name: f"{edge:.0f}" for name, edge in edges.items()}})


def ows_exception(code: str, locator: str, text: str) -> str:
    """An OWS exception report, as WMTS answers errors with."""
    root = ET.Element("ExceptionReport", {"xmlns": OWS, "version": "1.1.0", "xml:lang": "en"})
    exception = ET.SubElement(root, "Exception", exceptionCode=code, locator=locator)
    ET.SubElement(exception, "ExceptionText").text = text
    return _document(root)


def service_exception(text: str, code: str | None = None, version: str = "1.1.0") -> str:
    """A WMS service exception report, as WMS and Tiled WMS answer errors with."""
    root = ET.Element("ServiceExceptionReport", {"xmlns": "http://www.opengis.net/ogc", "version": version})
    ET.SubElement(root, "ServiceException", {} if code is None else {"code": code}).text = text
    return _document(root)


def _crs(epsg: int) -> str:
    return "urn:ogc:def:crs:OGC:1.3:CRS84" if epsg == 4326 else f"urn:ogc:def:crs:EPSG::{epsg}"


def _text(parent: ET.Element, namespace: str, path: str, text: str) -> None:
    """Append nested elements of one namespace (`A/B`), the last with a text."""
    for name in path.split("/"):
        parent = ET.SubElement(parent, f"{{{namespace}}}{name}")
    parent.text = text


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
