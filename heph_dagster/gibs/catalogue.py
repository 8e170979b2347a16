"""The layer catalogue: which GIBS layers there are and what is known of each.

The rows stand in `layers.toml` beside this file, where every field is explained; a `layers.toml` in the data
folder adds rows or replaces them.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from heph_dagster.gibs.gdal_documents import GIBS_URL, Protocol, gdal_document
from heph_dagster.gibs.grid import RESOLUTIONS, Grid, Resolution, grid, resolution
from heph_dagster.gibs.periods import add_steps, parse_day

Kind = Literal["corrected_reflectance", "no_data_mask", "science_parameter", "fires"]
Check = Literal["missing_data", "miscoloration", "edge_warping"]
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png"}


class UnknownLayerError(ValueError):
    """A layer name that the catalogue does not have."""


class Layer(BaseModel):
    """One GIBS layer; the fields are those of `layers.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identifier: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str
    format: Literal["jpg", "png"]
    bands: Literal[1, 3, 4] | None = None
    tile_matrix_set: str
    first_day: date
    last_day: date | None = None
    projections: tuple[int, ...] = Field(min_length=1)
    kind: Kind
    checks: tuple[Check, ...] = ()
    period: str = "P1D"
    satellite: Literal["MODIS_Terra", "MODIS_Aqua", "VIIRS_SNPP", "VIIRS_NOAA20", "VIIRS_NOAA21"] | None = None
    no_data_layer: str | None = None
    aliases: tuple[str, ...] = ()
    successor: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Layer:
        for epsg in self.projections:
            self.finest_level(epsg)
        add_steps(self.first_day, self.period, 1)
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("last_day lies before first_day")
        if "missing_data" in self.checks and self.satellite is None:
            raise ValueError("the missing_data check needs the satellite, for the sun at its overpass")
        return self

    @property
    def media_type(self) -> str:
        """MIME type of the tiles."""
        return MEDIA_TYPES[self.format]

    @property
    def continuation(self) -> str:
        """What an error of a server about the layer should add: the name that continues it, where there is one."""
        return "" if self.successor is None else f"; GIBS continues {self.identifier} as {self.successor}"

    @property
    def daily(self) -> bool:
        """Whether there is imagery for every day."""
        return self.period == "P1D"

    @property
    def band_count(self) -> int:
        """Bands of the tiles once they are decoded."""
        return self.bands or (3 if self.format == "jpg" else 4)

    @property
    def tiled(self) -> bool:
        """Whether GIBS has raster tiles of the layer; else it draws maps of it."""
        return self.kind != "fires"

    def grid(self, epsg: int) -> Grid:
        """The grid of one of the layer's projections.

        Raises:
            ValueError: The layer is not available in that projection.
        """
        if epsg not in self.projections:
            known = ", ".join(f"EPSG:{code}" for code in self.projections)
            raise ValueError(f"{self.identifier} is not available in EPSG:{epsg}, only in {known}")
        return grid(epsg)

    def matrix_set(self, epsg: int) -> str:
        """The tile matrix set that serves the layer in a projection."""
        self.grid(epsg)
        return "1km" if epsg != 4326 and self.tile_matrix_set == "2km" else self.tile_matrix_set

    def finest_level(self, epsg: int) -> int:
        """The finest level of the layer in a projection."""
        return self.grid(epsg).finest_level(self.matrix_set(epsg))

    def check_level(self, epsg: int, level: int) -> None:
        """Make sure that the layer has a level in a projection.

        Raises:
            ValueError: It has not.
        """
        finest = self.finest_level(epsg)
        if not 0 <= level <= finest:
            raise ValueError(f"{self.identifier} has no level {level}: the finest in EPSG:{epsg} is {finest}")

    def generate_xml(
        self,
        protocol: Protocol,
        epsg: int,
        tile_resolution: str,
        day: date | str,
        *,
        url: str = GIBS_URL,
        endpoint: str = "best",
        group: str | None = None,
    ) -> str:
        """A document by which GDAL opens a day of the layer, see `heph_dagster.gibs.gdal_documents.gdal_document`.

        Args:
            protocol: `tms`, `twms` or `wmts`.
            epsg: Projection.
            tile_resolution: A row of gibs-ml's resolution table; it names the level.
            day: The day; text as YYYY-MM-DD.
            url: Address of the server.
            endpoint: `best`, `std` or `nrt`.
            group: Name of the tiled group for `twms`; `<title> tileset` by default.

        Raises:
            ValueError: The layer is not available so, or the text is no day.
        """
        level = self.resolution(tile_resolution, epsg).level
        when = parse_day(day) if isinstance(day, str) else day
        return gdal_document(self, protocol, epsg, level, when, url=url, endpoint=endpoint, group=group)

    def resolution(self, name: str, epsg: int) -> Resolution:
        """A row of gibs-ml's resolution table, see `heph_dagster.gibs.grid.resolution`.

        Raises:
            ValueError: The table has no such row, or it is finer than the layer.
        """
        row, finest = resolution(name, epsg), self.finest_level(epsg)
        if row.level > finest:
            allowed = [row.name for row in RESOLUTIONS[epsg].values() if row.level <= finest]
            raise ValueError(f"{name} is finer than {self.identifier}, whose finest resolution is {allowed[-1]}")
        return row


GIBSLayer = Layer
"""The name that gibs-ml has for it."""


class Catalogue(Mapping[str, Layer]):
    """Layers by identifier, in the order of the files they come from.

    Looking up accepts `_` for `-` (gibs-ml writes `BandsM11_I2_I1`), aliases, and any case.
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        """Make a catalogue of layers that are keyed by their identifiers."""
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> Layer:
        try:
            return self._layers[self._names[_fold(name)]]
        except KeyError:
            near = difflib.get_close_matches(_fold(name), self._names, n=3, cutoff=0.4)
            hint = ", ".join(dict.fromkeys(self._names[match] for match in near)) or "none is near"
            raise UnknownLayerError(
                f"unknown layer {name!r}; nearest matches: {hint}. "
                "A layer is added as a row of layers.toml in the data folder."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _fold(name) in self._names

    @cached_property
    def _names(self) -> dict[str, str]:
        names = {_fold(name): layer.identifier for layer in self._layers.values() for name in layer.aliases}
        return names | {_fold(identifier): identifier for identifier in self._layers}


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The shipped catalogue, and the rows of a file of the user's.

    Args:
        extra: A TOML file as `layers.toml`; one that does not exist adds nothing.

    Raises:
        ValueError: A row is wrong; the message names the file, the layer and the field.
    """
    shipped = resources.files("heph_dagster.gibs") / "layers.toml"
    layers = _read(shipped.read_text("utf-8"), "layers.toml")
    if extra is not None and extra.exists():
        layers |= _read(extra.read_text("utf-8"), str(extra))
    return Catalogue(layers)


def _read(text: str, source: str) -> dict[str, Layer]:
    try:
        rows = tomllib.loads(text).get("layer", [])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is not valid TOML: {error}") from error
    layers = {}
    for row in rows:
        try:
            layer = Layer.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "row"
            raise ValueError(f"{source}, layer {row.get('identifier', '?')!r}, {where}: {first['msg']}") from error
        layers[layer.identifier] = layer
    return layers


def _fold(name: str) -> str:
    return name.replace("-", "_").lower()
