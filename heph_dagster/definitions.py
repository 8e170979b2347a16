"""The Dagster code location: active layers and Hephaestus, configured by `heph_dagster.settings`."""

from __future__ import annotations

import dagster as dg

from heph_dagster.defs.alert_sensors import alert_sensors
from heph_dagster.defs.automation import follow_sensor
from heph_dagster.defs.checks import layer_checks
from heph_dagster.defs.colour_assets import colour_assets, colour_checks
from heph_dagster.defs.dataset_assets import dataset_assets, dataset_checks
from heph_dagster.defs.day_checks import day_checks
from heph_dagster.defs.gibs_assets import layer_assets
from heph_dagster.defs.insar_assets import INSAR_ASSETS
from heph_dagster.defs.insar_checks import INSAR_CHECKS
from heph_dagster.defs.insar_model_assets import INSAR_MODEL_ASSETS
from heph_dagster.defs.insar_partitions import frame_sensor
from heph_dagster.defs.insar_prediction_assets import insar_drift, insar_predictions
from heph_dagster.defs.insar_sensors import insar_sensors
from heph_dagster.defs.lost_runs import lost_run_sensor
from heph_dagster.defs.mask_model_assets import mask_model_assets
from heph_dagster.defs.model_assets import model_assets
from heph_dagster.defs.new_days import new_day_sensor, recheck_job, replaced_day_sensor
from heph_dagster.defs.partitions import chunks
from heph_dagster.defs.prediction_assets import prediction_assets, prediction_checks
from heph_dagster.defs.resources import Gibs, Insar, Mlflow
from heph_dagster.defs.schedules import daily_job, layer_schedules
from heph_dagster.defs.warping_assets import warping_assets
from heph_dagster.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything that Dagster runs, for some settings."""
    active = settings.active_layers()
    models = {each: [*model_assets(each), *mask_model_assets(each)] for each in active}
    assets = {
        each: [
            asset
            if asset.partitions_def is None
            else asset.with_attributes(backfill_policy=chunks(settings.chunk_days))
            for asset in (
                *layer_assets(each, active),
                *colour_assets(each),
                *warping_assets(each),
                *dataset_assets(each),
                *models[each],
                *prediction_assets(each, models[each]),
            )
        ]
        for each in active
    }
    daily = {each: daily_job(each, assets[each]) for each in active}
    recheck = {each: recheck_job(each) for each in active}
    return dg.Definitions(
        assets=[
            *INSAR_ASSETS,
            *INSAR_MODEL_ASSETS,
            insar_predictions([each.key for each in INSAR_MODEL_ASSETS]),
            *(asset for each in active for asset in assets[each]),
        ],
        asset_checks=[
            *INSAR_CHECKS,
            insar_drift,
            *(
                check
                for each in active
                for check in (
                    *layer_checks(each),
                    *day_checks(each, settings.alert_area_km2),
                    *colour_checks(each),
                    *dataset_checks(each),
                    *prediction_checks(each, models[each]),
                )
            ),
        ],
        jobs=[*daily.values(), *recheck.values()],
        sensors=[
            frame_sensor,
            *insar_sensors(settings),
            follow_sensor(settings),
            lost_run_sensor,
            *alert_sensors(settings),
            *(new_day_sensor(each, settings, daily[each]) for each in active),
            *(replaced_day_sensor(each, settings, recheck[each]) for each in active if settings.recheck_days),
        ],
        schedules=[one for each in active for one in layer_schedules(each, settings, assets[each], daily[each])],
        resources={"gibs": Gibs.of(settings), "insar": Insar.of(settings), "mlflow": Mlflow.of(settings)},
        # A run's steps share one process: starting one per step costs more than most of them.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Settings())
