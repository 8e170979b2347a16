"""Days as images through GDAL's own clients, as gibs-ml gets them: for comparison, nothing that comes is verified."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from heph_dagster.access import Access
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.client import GibsError
from heph_dagster.gibs.download import DayRequest, FailedDay, Outcome
from heph_dagster.gibs.export import image_files, write_image
from heph_dagster.gibs.gdal_documents import Protocol, gdal_document
from heph_dagster.gibs.raster import RasterError, gdal, raster_size
from heph_dagster.pools import stopping_pool

_CONNECTIONS = 2  # that GDAL opens for one image
_LONGEST_ERROR = 300


@dataclass(frozen=True)
class GdalImage:
    """A day's image that is on disk.

    Attributes:
        day: The day that was asked for.
        path: The image.
        level: Level of the tiles that it is made of.
        outcome: `new`, `replaced`, or `kept`: it was not asked for.
        tiles: Tiles of the level that cover the world.
        bytes: Size of the image.
        seconds: From the first request to the image.
        verified_by: `nothing` says that this is the day.
    """

    day: date
    path: Path
    level: int
    outcome: Outcome
    tiles: int
    bytes: int
    seconds: float
    verified_by: str = "nothing"


@dataclass(frozen=True, kw_only=True)
class GdalSource:
    """Where GDAL gets days from.

    Attributes:
        protocol: `tms`, `twms` or `wmts`.
        url: Address of the server.
        endpoint: `best`, `std` or `nrt`.
        group: Name of the layer's tiled group, for `twms`.
        access: How the server is reached and who asks.
    """

    protocol: Protocol
    url: str
    endpoint: str = "best"
    group: str | None = None
    access: Access = field(default_factory=Access)


def fetch_images(
    source: GdalSource,
    request: DayRequest,
    days: Iterable[date],
    kind: str,
    size: tuple[int, int] | None = None,
    *,
    connections: int = 10,
    on_day: Callable[[GdalImage | FailedDay], None] = lambda _: None,
) -> None:
    """Get images of the world through GDAL, several days at once; a day that fails does not keep the others.

    Args:
        source: Where from.
        request: What is asked for, of the whole world.
        days: The days.
        kind: `jpg`, `png` or `tif`.
        size: Width and height in px; the level's own by default.
        connections: Requests in flight.
        on_day: Called with each day as it is done.
    """
    with stopping_pool(max(1, connections // _CONNECTIONS)) as pool:
        jobs = {pool.submit(fetch_image, source, request, day, kind, size): day for day in days}
        for job in as_completed(jobs):
            try:
                on_day(job.result())
            except (GibsError, RasterError) as error:
                on_day(FailedDay(jobs[job], error))


def fetch_image(
    source: GdalSource, request: DayRequest, day: date, kind: str, size: tuple[int, int] | None = None
) -> GdalImage:
    """Get one image, `{root}/{EPSG}/{day}/{Layer}.{kind}`, with a world file.

    Raises:
        GibsError: GDAL cannot get it, or a verified mosaic of the day is in its place.
        RasterError: The format cannot hold the image.
    """
    started = time.perf_counter()
    mosaic = mosaic_path(request.root, request.epsg, day, request.layer)
    if mosaic.exists():
        raise GibsError(f"{mosaic} is a verified day, whose images GDAL's would replace: choose another folder")
    path = mosaic.with_suffix(f".{kind}")
    world = request.layer.grid(request.epsg).size(request.level)
    outcome: Outcome = "replaced" if all(file.exists() for file in image_files(path)) else "new"
    if outcome == "replaced" and not request.refresh:
        outcome = "kept"
        if raster_size(path) != (size or world):
            raise GibsError(f"{path} has another size: give --refresh to replace it, or another folder")
    else:
        document = gdal_document(
            request.layer, source.protocol, request.epsg, request.level, day,
            url=source.url, endpoint=source.endpoint, group=source.group,
        )  # fmt: skip
        try:
            with _accessing(source.access):
                write_image(_open(document, request), path, kind, (0, 0, *world), size or world)
        except RuntimeError as error:
            text = " ".join(str(error).split())[:_LONGEST_ERROR]
            raise GibsError(f"GDAL cannot get {request.layer.identifier} on {day}: {text}") from error
    tiles, seconds = request.layout.tiles, time.perf_counter() - started
    return GdalImage(day, path, request.level, outcome, tiles, path.stat().st_size, seconds)


@contextmanager
def _accessing(access: Access) -> Iterator[None]:
    """GDAL's options for reaching a server, in this thread and as long as the block runs."""
    library = gdal()
    options = {
        "GDAL_HTTP_USERAGENT": access.user_agent,
        "GDAL_HTTP_PROXY": access.proxy,
        "GDAL_CURL_CA_BUNDLE": access.ca_bundle and str(access.ca_bundle),
    }
    before = {name: library.GetThreadLocalConfigOption(name) for name in options}
    for name, value in options.items():
        if value is not None:
            library.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            library.SetThreadLocalConfigOption(name, value)


def _open(document: str, request: DayRequest) -> Any:
    """The raster of a document at the level that is asked for: Tiled WMS begins with the server's finest."""
    library = gdal()
    dataset = library.Open(document)
    wanted = request.layer.grid(request.epsg).resolution(request.level)
    finer = round(math.log2(wanted / dataset.GetGeoTransform()[1]))
    if finer > 0:
        dataset = library.OpenEx(document, open_options=[f"OVERVIEW_LEVEL={finer - 1}"])
    if not math.isclose(dataset.GetGeoTransform()[1], wanted):
        raise GibsError(f"GDAL finds no level {request.level} of {request.layer.identifier} at the server")
    return dataset
