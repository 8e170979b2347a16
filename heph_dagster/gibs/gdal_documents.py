"""Documents by which GDAL, and with it QGIS, opens a day of a layer at a server as if it were a file.

Source: GDAL's WMS driver, "Web Map Services", and its minidrivers TMS and TiledWMS; GIBS API documentation, "GDAL".
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from heph_dagster.gibs.grid import TILE_SIZE, Tile, grid

if TYPE_CHECKING:
    from heph_dagster.gibs.catalogue import Layer

Protocol = Literal["tms", "twms", "wmts"]
GIBS_URL = "https://gibs.earthdata.nasa.gov"


def gdal_document(
    layer: Layer,
    protocol: Protocol,
    epsg: int,
    level: int,
    day: date,
    *,
    url: str = GIBS_URL,
    endpoint: str = "best",
    group: str | None = None,
) -> str:
    """A document that GDAL opens in place of a file.

    In EPSG:4326 the raster of `tms` and `wmts` is that of the tiles of level 0, which reach to 396 degrees east and 198
    degrees south: the world is its first `grid(4326).size(level)` pixels. A tile that the server does not have is an
    error of GDAL's, not black, and nothing tells which day the tiles show.

    `wmts` asks for tiles by key-value pairs, through the TMS minidriver. GDAL's own WMTS driver cannot be given a day:
    it fills the Time dimension with the default that the capabilities name, the newest day, and its
    ExtraQueryParameters are appended to the addresses, capabilities and all (GDAL 3.6).

    Args:
        layer: The layer.
        protocol: `tms` (tiles by their paths), `twms` (Tiled WMS) or `wmts` (tiles by key-value pairs).
        epsg: Projection.
        level: Finest level of the raster. `twms` has all levels of the server: there it is an overview.
        day: The day.
        url: Address of the server, without a slash at its end.
        endpoint: `best`, `std` or `nrt`.
        group: Name of the tiled group for `twms`, see `heph_dagster.gibs.capabilities`; `<title> tileset` by default.

    Raises:
        ValueError: The layer has no such level, no such projection, or no tiles; or the protocol is another.
    """
    layer.check_level(epsg, level)
    if not layer.tiled:
        raise ValueError(f"{layer.identifier} has no tiles: GDAL can draw its maps by WMS, but not by {protocol}")
    root = ET.Element("GDAL_WMS")
    service, matrix_set = f"{url}/wmts/epsg{epsg}/{endpoint}", layer.matrix_set(epsg)
    match protocol:
        case "tms":
            path = f"{layer.identifier}/default/{day}/{matrix_set}/${{z}}/${{y}}/${{x}}.{layer.format}"
            _tiles(root, layer, epsg, level, f"{service}/{path}")
        case "wmts":
            query = (
                f"SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER={layer.identifier}&STYLE=default&TIME={day}"
                f"&TILEMATRIXSET={matrix_set}&TILEMATRIX=${{z}}&TILEROW=${{y}}&TILECOL=${{x}}"
                f"&FORMAT={quote(layer.media_type, safe='')}"
            )
            _tiles(root, layer, epsg, level, f"{service}/wmts.cgi?{query}")
        case "twms":
            tiled = ET.SubElement(root, "Service", name="TiledWMS")
            ET.SubElement(tiled, "ServerUrl").text = f"{url}/twms/epsg{epsg}/{endpoint}/twms.cgi?"
            ET.SubElement(tiled, "TiledGroupName").text = group or f"{layer.title} tileset"
            ET.SubElement(tiled, "Change", key="${time}").text = day.isoformat()
        case _:
            raise ValueError(f"{protocol!r} is no protocol of GDAL's documents: choose tms, twms or wmts")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _tiles(root: ET.Element, layer: Layer, epsg: int, level: int, address: str) -> None:
    """What the TMS minidriver is told: the address of a tile, and the extent of the tiles of level 0."""
    service = ET.SubElement(root, "Service", name="TMS")
    ET.SubElement(service, "ServerUrl").text = address
    cols, rows = grid(epsg).matrix(0)
    left, _, _, top = grid(epsg).tile_bbox(Tile(0, 0, 0))
    _, bottom, right, _ = grid(epsg).tile_bbox(Tile(0, rows - 1, cols - 1))
    values = {
        "UpperLeftX": f"{left:.0f}", "UpperLeftY": f"{top:.0f}", "LowerRightX": f"{right:.0f}",
        "LowerRightY": f"{bottom:.0f}", "TileLevel": level, "TileCountX": cols, "TileCountY": rows, "YOrigin": "top",
    }  # fmt: skip
    window = ET.SubElement(root, "DataWindow")
    for name, value in values.items():
        ET.SubElement(window, name).text = str(value)
    raster = {
        "Projection": f"EPSG:{epsg}",
        "BlockSizeX": TILE_SIZE,
        "BlockSizeY": TILE_SIZE,
        "BandsCount": layer.band_count,
    }
    for name, value in raster.items():
        ET.SubElement(root, name).text = str(value)
