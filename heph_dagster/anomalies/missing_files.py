"""Missing data of days on disk: masks, polygons, figures and pictures."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies import gibs_ml
from heph_dagster.anomalies.brightness import Brightness, MosaicBrightness
from heph_dagster.anomalies.expectation import fit
from heph_dagster.anomalies.holes import ClassMask
from heph_dagster.anomalies.labels import PALETTE, Label, PixelClass, UnusableImageError
from heph_dagster.anomalies.missing import LEAST_ROWS, VERSION, Hole, MissingData, search
from heph_dagster.anomalies.polygons import write_polygons
from heph_dagster.anomalies.runs import Runs
from heph_dagster.anomalies.sphere import EARTH_AREA_KM2, label_regions, measure
from heph_dagster.anomalies.usable import check_variety, check_world
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.class_raster import class_raster
from heph_dagster.gibs.raster import Image, over_black, read_nearest, read_palette
from heph_dagster.gibs.verify import check_sound

Method = Literal["black-regions", "gibs-ml"]
METHOD: Method = "black-regions"


@dataclass(frozen=True)
class MissingDataFiles:
    """A labelled day on disk."""

    day: date
    result: MissingData
    mosaic: Path
    mask: Path
    polygons: Path
    report: Path


def label_missing_data(
    root: Path,
    layer: Layer,
    epsg: int,
    day: date,
    no_data_layer: Layer | None,
    pool: Executor | None = None,
    method: Method = METHOD,
) -> MissingDataFiles:
    """Label a day on disk, and write mask (`.missing_data.tif`), holes (`.parquet`) and figures (`.json`).

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection; only EPSG:4326 can be labelled so far.
        day: The day, whose mosaic is on disk.
        no_data_layer: The layer that says where data are expected, if there is one.
        pool: Who looks at the blocks of the image, which must see the data root; threads of this process by default.
        method: `black-regions`, see `heph_dagster.anomalies.missing.search`, or `gibs-ml`, see
            `heph_dagster.anomalies.gibs_ml.find_holes`: at 4096 x 2048 px, with holes that no orbit explains.

    Raises:
        ValueError: The layer's satellite is not known, or the projection is not geographic.
        FileNotFoundError: The no-data layer's day is not on disk.
        MosaicError: A mosaic is damaged.
        RasterError: GDAL cannot read it.
        UnusableImageError: An image is not one of the world, or too small, or all of it is of one colour.
    """
    if layer.satellite is None or epsg != 4326:
        raise ValueError(
            f"missing data can be told for layers of a known satellite in EPSG:4326, not {layer.identifier}"
        )
    mosaic = mosaic_path(root, epsg, day, layer)
    told: Brightness | None = None
    if no_data_layer is not None:
        path = mosaic_path(root, epsg, day, no_data_layer)
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is not there: run {no_data_layer.identifier} for {day} first, "
                "or take it out of the active layers"
            )
        check_sound(path, epsg)
        check_world(path, LEAST_ROWS, f"{no_data_layer.identifier} tells gaps on")
        told = MosaicBrightness(path, no_data_layer, epsg)
    check_sound(mosaic, epsg, decode=False)
    image: Brightness = MosaicBrightness(mosaic, layer, epsg)
    mask, polygons, report = (mosaic.with_suffix(f".missing_data.{kind}") for kind in ("tif", "parquet", "json"))
    try:
        check_world(mosaic, LEAST_ROWS, "missing data are told on")
        size = gibs_ml.SIZE if method == "gibs-ml" else image.size
        with replacing(mask) as part, class_raster(part, size, PALETTE, like=mosaic) as classes:
            if method == "gibs-ml":
                result = _search_as_gibs_ml(mosaic, classes)
            else:
                result = search(image, told, layer.satellite, day, classes, pool)
            if layer.format == "jpg":  # of a PNG, transparency says where data are
                check_variety(result.variety)
    except UnusableImageError:
        for old in (mask, polygons, report):  # of another image
            old.unlink(missing_ok=True)
        raise
    facts = {"method": method, "version": gibs_ml.VERSION if method == "gibs-ml" else VERSION}
    _write_holes(polygons, result, layer, day, facts)
    with replacing(report) as part:
        part.write_text(json.dumps(_figures(result, layer, day, facts), indent=2) + "\n", "utf-8")
    return MissingDataFiles(day, result, mosaic, mask, polygons, report)


def _search_as_gibs_ml(mosaic: Path, classes: ClassMask) -> MissingData:
    """What gibs-ml finds in a day, as the others are told; it knows no swaths, no night and no eclipses."""
    # As its images are made: pixels are dropped or repeated, and black stays black.
    image = read_nearest(mosaic, gibs_ml.SIZE)
    found = gibs_ml.find_holes(over_black(image, read_palette(mosaic)))
    width, height = gibs_ml.SIZE
    runs = Runs.of(label_regions(found.mask)[1])
    classes.put(slice(0, height), slice(0, width), (found.mask > 0).astype(np.uint8) * np.uint8(PixelClass.MISSING))
    holes = [Hole(measure(each, height, width), each, "lost") for each in runs.split()]
    return MissingData(
        size=gibs_ml.SIZE,
        holes=tuple(sorted(holes, key=lambda hole: -hole.region.area_km2)),
        missing_share=sum(hole.region.area_km2 for hole in holes) / EARTH_AREA_KM2,
        not_observed_share=0.0,
        labels=(Label.MISSING_UNEXPECTED if found.missing else Label.NORMAL,),
        expectation=None,
        method="edges",
        variety=float(image.std()),
        eclipse=None,
    )


def _write_holes(path: Path, result: MissingData, layer: Layer, day: date, method: dict[str, str]) -> None:
    columns = {"class": ["missing"] * len(result.holes), "cause": [str(hole.cause) for hole in result.holes]}
    facts = {"layer": layer.identifier, "day": day.isoformat(), "method": method["method"]}
    facts["method_version"] = method["version"]
    write_polygons(path, [(hole.region, hole.runs) for hole in result.holes], result.size, columns, facts)


def overlay(image: Image, classes: NDArray[np.uint8]) -> Image:
    """An RGB picture of a day with the classes of its mask drawn over it."""
    mask = fit(classes, (image.shape[1], image.shape[0]))
    colours = np.zeros((256, 3), np.uint8)
    for number, colour in PALETTE.items():
        colours[number] = colour[:3]
    return np.where(mask[..., None] > 0, colours[mask], image)


def _figures(result: MissingData, layer: Layer, day: date, method: dict[str, str]) -> dict[str, object]:
    expectation = result.expectation
    return {
        "layer": layer.identifier,
        "day": day.isoformat(),
        **method,
        "expectation": result.method,
        "cutoff_north_deg": expectation and expectation.cutoff_north_deg,
        "cutoff_south_deg": expectation and expectation.cutoff_south_deg,
        "orbit_shift_deg": expectation and expectation.shift_deg,
        "eclipse": result.eclipse,
        "labels": [int(label) for label in result.labels],
        "verdict": result.verdict,
        "missing_share": result.missing_share,
        "not_observed_share": result.not_observed_share,
        "holes": [{**asdict(hole.region), "cause": hole.cause} for hole in result.holes],
    }
