"""Annotations and interferograms that come: sensors that look at their folders."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
import json
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from heph_dagster.defs.automation import sensor_status
from heph_dagster.defs.insar_assets import annotations, interferograms
from heph_dagster.defs.insar_partitions import add_frames
from heph_dagster.defs.resources import Insar
from heph_dagster.hephaestus.frames import frames_on_disk
from heph_dagster.hephaestus.interferograms import interferogram_folder
from heph_dagster.settings import Settings


def insar_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of annotations and of raw frames; what follows from both follows by its conditions."""
    status = sensor_status(settings)

    @dg.sensor(
        name="hephaestus_annotations",
        target=[annotations],
        minimum_interval_seconds=60,
        default_status=status,
        description="Imports the annotations when their folder or archive is new or has changed.",
    )
    def new_annotations(context: dg.SensorEvaluationContext, insar: Insar) -> dg.SensorResult:
        found = _stamps({"annotations": insar.annotations})
        changed, cursor = _settled(context.cursor, found)
        requests = [dg.RunRequest()] if changed else []
        told = f"{insar.annotations} " + ("has not changed, or does still" if found else "is not there")
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else told, cursor=cursor)

    @dg.sensor(
        name="hephaestus_raw",
        target=[interferograms],
        minimum_interval_seconds=60,
        default_status=status,
        description="Lists a frame's interferograms when new ones have come to the raw archive.",
    )
    def new_interferograms(context: dg.SensorEvaluationContext, insar: Insar) -> dg.SensorResult:
        add_frames(context.instance, insar)
        frames = frames_on_disk(insar.raw)
        changed, cursor = _settled(
            context.cursor, _stamps({frame: interferogram_folder(insar.raw, frame) for frame in frames})
        )
        requests = [dg.RunRequest(partition_key=frame) for frame in changed]
        told = f"none of the {len(frames)} frames in {insar.raw_dir} has changed, or some do still"
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else told, cursor=cursor)

    return [new_annotations, new_interferograms]


def _stamps(paths: Mapping[str, Path]) -> dict[str, str]:
    """What changes when a file does, or any file of a folder: how many there are, of how many bytes, and the newest."""
    found = {}
    for name, path in paths.items():
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        if path.exists():
            status = [each.stat() for each in files]
            newest = max((each.st_mtime_ns for each in status), default=0)
            found[name] = f"{len(files)} {sum(each.st_size for each in status)} {newest}"
    return found


def _settled(cursor: str | None, found: Mapping[str, str]) -> tuple[list[str], str]:
    """What has changed since it was last taken, and not since the last look: nothing is taken while it is being copied.

    Args:
        cursor: Of the last look.
        found: The present stamps.

    Returns:
        The names, in order, and the cursor of this look.
    """
    known = json.loads(cursor) if cursor else {"taken": {}, "seen": {}}
    changed = [
        name for name, stamp in sorted(found.items()) if known["seen"].get(name) == stamp != known["taken"].get(name)
    ]
    taken = {name: stamp for name, stamp in known["taken"].items() if name in found}
    return changed, json.dumps({"taken": taken | {name: found[name] for name in changed}, "seen": dict(found)})
