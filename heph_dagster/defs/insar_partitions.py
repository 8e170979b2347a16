"""Partitions of interferograms: the frames, those that are known and those whose folders have come."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
import dagster as dg

from heph_dagster.defs.resources import Insar
from heph_dagster.hephaestus.frames import frames_on_disk, known_frames

FRAMES = dg.DynamicPartitionsDefinition(name="hephaestus_frames")


def add_frames(instance: dg.DagsterInstance, insar: Insar) -> list[str]:
    """Make partitions of the known frames and of those on disk that have none yet; returns these."""
    there = set(instance.get_dynamic_partitions(str(FRAMES.name)))
    new = [frame for frame in sorted({*known_frames(), *frames_on_disk(insar.raw)}) if frame not in there]
    instance.add_dynamic_partitions(str(FRAMES.name), new)
    return new


@dg.sensor(
    name="hephaestus_frames",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for each frame whose folder has come to the raw archive.",
)
def frame_sensor(context: dg.SensorEvaluationContext, insar: Insar) -> dg.SkipReason:
    """Add partitions of new frames; it starts no runs."""
    new = add_frames(context.instance, insar)
    if new:
        return dg.SkipReason(f"{len(new)} frames have partitions now: {', '.join(new)}")
    return dg.SkipReason(f"every frame in {insar.raw_dir} has a partition")
