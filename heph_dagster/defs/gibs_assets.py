"""The assets of a GIBS layer, made from its row in the catalogue."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import dagster as dg

from heph_dagster.anomalies import missing, missing_files
from heph_dagster.anomalies.stale import freshness_windows
from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_days
from heph_dagster.defs.partitions import asked_days, days_of
from heph_dagster.defs.reports import conclude, in_own_words, picture, work_through
from heph_dagster.defs.resources import Gibs
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.mrf import Mosaic, MosaicError
from heph_dagster.gibs.partial import StorageError
from heph_dagster.gibs.preview import SIZE, thumbnail
from heph_dagster.gibs.raster import RasterError, read_pixels
from heph_dagster.settings import ActiveLayer
from heph_dagster.workers import workers

TILES = "data_file"
"""Metadata of an image: the file of its tiles, whose name has their digest."""
POOL = "gibs"
"""Pool that limits how many runs ask GIBS at once."""


class MissingDataConfig(dg.Config):
    """How missing data are looked for.

    Attributes:
        method: `black-regions`, or `gibs-ml` for gibs-ml's own way.
    """

    method: missing_files.Method = missing_files.METHOD


def asset_key(active: ActiveLayer, name: str) -> dg.AssetKey:
    """Key of a layer's asset: `gibs/<layer>/<name>`, with the projection in it where it is not EPSG:4326."""
    projection = [] if active.epsg == 4326 else [f"epsg{active.epsg}"]
    return dg.AssetKey(["gibs", *projection, active.layer.identifier, name])


def group_name(active: ActiveLayer) -> str:
    """The group of a layer's assets: its name as far as Dagster's names go."""
    name = active.layer.identifier.replace("-", "_").replace(".", "_")
    return name if active.epsg == 4326 else f"{name}_epsg{active.epsg}"


def layer_assets(active: ActiveLayer, others: list[ActiveLayer]) -> list[dg.AssetsDefinition]:
    """All assets of a layer.

    Args:
        active: The layer and its projection.
        others: All active layers: the mask of missing data uses the no-data layer if it is among them.
    """
    assets = [_image(active)]
    if "missing_data" in active.layer.checks and active.epsg == 4326:
        assets.append(_missing_data(active, others))
    return assets


def _image(active: ActiveLayer) -> dg.AssetsDefinition:
    layer, epsg = active

    @dg.asset(
        key=asset_key(active, "image"),
        partitions_def=days_of(layer),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group_name(active),
        kinds={"gdal"},
        pool=POOL,
        freshness_policy=_freshness(active),
        code_version="1",
        metadata={
            "layer": layer.identifier,
            "format": layer.format,
            "tile_matrix_set": layer.matrix_set(epsg),
        },
        description=f"The day's mosaic of {layer.title}: tile bytes as NASA sent them, in an MRF."
        + ("" if epsg == 4326 else f" Its days are not judged: there are no masks in EPSG:{epsg} yet."),
    )
    def image(context: dg.AssetExecutionContext, gibs: Gibs) -> None:
        conclude(context, *fetch_images(gibs, active, asked_days(context), context.log))

    return image


def fetch_images(
    gibs: Gibs, active: ActiveLayer, days: list[date], log: dg.DagsterLogManager
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Download days; those that are on disk are asked for again, since NASA may have replaced them.

    Args:
        gibs: Where from and where to.
        active: The layer and its projection.
        days: The days.
        log: Is told of each.

    Returns:
        By day in ISO form, the metadata of those that are on disk now, and what went wrong with each of the others.
    """
    layer, epsg = active
    level = min(gibs.level, layer.finest_level(epsg))
    results: list[FetchedDay | FailedDay] = []

    def note(result: FetchedDay | FailedDay) -> None:
        results.append(result)
        log.info("%s of %s: %s", len(results), len(days), result)

    done: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}

    def describe(result: FetchedDay | FailedDay) -> None:
        try:
            if isinstance(result, FetchedDay):
                done[f"{result.day}"] = _image_metadata(data, result, epsg)
            else:
                failed[f"{result.day}"] = data.words(result.error)
        except (RasterError, MosaicError) as error:
            failed[f"{result.day}"] = data.words(error)

    with gibs.open(*parts.of_days(active, days)) as data, ThreadPoolExecutor() as pool:
        request = DayRequest(layer, epsg, level, data.root, refresh=True, coarsen=False)
        try:
            fetch_days(data.client(), request, days, note)
        except StorageError as error:
            results += [FailedDay(day, error) for day in set(days) - {result.day for result in results}]
        list(pool.map(describe, results))
    return done, failed


def _freshness(active: ActiveLayer) -> dg.FreshnessPolicy | None:
    """When the lack of new days is told; never of a layer that has ended."""
    if active.layer.last_day is not None:
        return None
    warn, fail = freshness_windows(active.layer)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)


def _image_metadata(data: Gibs, fetched: FetchedDay, epsg: int) -> dict[str, Any]:
    with Mosaic(fetched.path, epsg) as mosaic:
        data_file = mosaic.data_path.name
    return {
        "preview": picture(thumbnail(fetched.path)),
        TILES: data_file,
        "path": data.place(fetched.path),
        "outcome": fetched.outcome,
        "level": fetched.level,
        "tiles": fetched.tiles,
        "absent_tiles": fetched.absent,
        "changed_tiles": fetched.changed,
        "bytes": fetched.bytes,
        "seconds": round(fetched.seconds, 3),
        "verified_by": fetched.verified_by,
    }


def _missing_data(active: ActiveLayer, others: list[ActiveLayer]) -> dg.AssetsDefinition:
    layer, epsg = active
    no_data = next((each for each in others if (each.layer.identifier, each.epsg) == (layer.no_data_layer, epsg)), None)
    deps = [dg.AssetDep(asset_key(active, "image"))]
    if no_data is not None:
        # The two layers may have begun on different days.
        mapping = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
        deps.append(dg.AssetDep(asset_key(no_data, "image"), partition_mapping=mapping))

    @dg.asset(
        key=asset_key(active, "missing_data"),
        deps=deps,
        partitions_def=days_of(layer),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=group_name(active),
        kinds={"opencv"},
        code_version=missing.VERSION,
        automation_condition=follow_days(
            asset_key(active, "image"), late=None if no_data is None else asset_key(no_data, "image")
        ),
        description=f"Where {layer.title} lacks data that day: a class mask, the holes and a verdict.",
    )
    def missing_data(context: dg.AssetExecutionContext, gibs: Gibs, config: MissingDataConfig) -> None:
        told = no_data and no_data.layer
        read = [part for each in (active, no_data) if each for part in parts.of_days(each, asked_days(context))]
        with in_own_words(), workers(gibs.dask) as pool:

            def label(data: Gibs, key: str) -> dict[str, Any]:
                day = date.fromisoformat(key)
                return _missing_metadata(
                    data, missing_files.label_missing_data(data.root, layer, epsg, day, told, pool, config.method)
                )

            work_through(context, gibs.open(*read), label)

    return missing_data


def _missing_metadata(data: Gibs, files: missing_files.MissingDataFiles) -> dict[str, Any]:
    result = files.result
    return {
        "preview": picture(missing_files.overlay(thumbnail(files.mosaic), read_pixels(files.mask, SIZE))),
        "verdict": result.verdict,
        "labels": [int(label) for label in result.labels],
        "missing_share": result.missing_share,
        "not_observed_share": result.not_observed_share,
        "holes": len(result.holes),
        "largest_hole_km2": round(result.holes[0].region.area_km2) if result.holes else 0,
        "expectation": result.method,
        "mask": data.place(files.mask),
    }
