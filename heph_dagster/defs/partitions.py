"""Partitions: the days of a layer."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg

from heph_dagster.gibs.catalogue import Layer


def days_of(layer: Layer) -> dg.PartitionsDefinition:
    """The partitions of a layer's assets.

    A daily layer has one for each day from its first, up to yesterday or its last. The days of a layer with longer
    steps follow no formula: its partitions are dynamic, and `heph run` adds the days that the server lists.
    """
    if not layer.daily:
        return dg.DynamicPartitionsDefinition(name=dynamic_name(layer))
    end = None if layer.last_day is None else (layer.last_day + timedelta(days=1)).isoformat()
    return dg.DailyPartitionsDefinition(start_date=layer.first_day.isoformat(), end_date=end, timezone="UTC")


def chunks(days: int) -> dg.BackfillPolicy:
    """How a backfill of days becomes runs: ranges without a gap, each of so many days at most."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=days)


def dynamic_name(layer: Layer) -> str:
    """Name of the dynamic partitions of a layer that is not daily."""
    return f"{layer.identifier}_days"


def has_day(instance: dg.DagsterInstance, layer: Layer, day: date) -> bool:
    """Whether a layer's assets have a partition for a day."""
    if not layer.daily:
        return instance.has_dynamic_partition(dynamic_name(layer), day.isoformat())
    return days_of(layer).has_partition_key(day.isoformat())


def asked_days(context: dg.AssetExecutionContext) -> list[date]:
    """The days that an asset makes."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def run_days(context: dg.AssetCheckExecutionContext) -> list[date] | None:
    """The days of the run that a check is part of, None where it runs without days."""
    if context.has_partition_key or context.has_partition_key_range:
        return [date.fromisoformat(key) for key in context.partition_keys]
    return None
