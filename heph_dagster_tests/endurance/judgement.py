"""Whether all is as it should be in the end: compared with the server's own days and with fresh judgements."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np

from heph_dagster.anomalies.feature_table import features_path, read_features
from heph_dagster.anomalies.label_table import label_rows, labels_path, read_labels
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.anomalies.warped_days import label_warping
from heph_dagster.defs.runs import instance_at
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.mrf import Mosaic
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic.archive import EPSG
from heph_dagster_tests.endurance.operation import DAILY, Operation
from heph_dagster_tests.endurance.webhook import Webhook
from heph_dagster_tests.endurance.world import World

_CODES = {"missing_data": 2, "miscoloration": 3, "edge_warping": 4}


def judge(world: World, operation: Operation, webhook: Webhook, days: Sequence[date], *, settled: bool) -> int:
    """Compare, print, and return 1 where something is wrong.

    Args:
        world: What the server has.
        operation: What was made of it.
        webhook: What was told.
        days: The days of operation.
        settled: Whether all was done in time.
    """
    problems = [] if settled else ["it did not come to rest"]
    problems += _images(world, operation, days)
    problems += _verdicts(world, operation, days)
    problems += _tables(world, operation, days)
    problems += _predictions(world, operation, days)
    problems += _alerts(world, webhook, days)
    with instance_at(operation.settings.dagster_home) as instance:
        problems += _events(world, operation, instance, days)
        runs = Counter(run.status.value for run in instance.get_runs())
    sys.stdout.write(f"{len(days)} days, {sum(world.versions[day] for day in days)} replaced, daemon started "
                     f"{operation.starts} times, runs: {dict(runs)}\n")  # fmt: skip
    sys.stdout.write(f"alerts: {dict(Counter(each['kind'] for each in webhook.alerts))}\n")
    for problem in problems:
        sys.stdout.write(f"WRONG: {problem}\n")
    sys.stdout.write("all is as it should be\n" if not problems else f"{len(problems)} problems\n")
    return int(bool(problems))


def _images(world: World, operation: Operation, days: Sequence[date]) -> list[str]:
    """Every tile is the server's."""
    wrong = []
    for day in days:
        ours = mosaic_path(operation.settings.data_dir, EPSG, day, world.layer)
        if not ours.exists():
            wrong.append(f"{day} is not on disk")
            continue
        with Mosaic(ours, EPSG) as mine, Mosaic(mosaic_path(world.served, EPSG, day, world.layer), EPSG) as theirs:
            tiles = [(mine.tile(tile), theirs.tile(tile)) for tile in mine.layout.window.tiles()]
        if any(one != other for one, other in tiles):
            wrong.append(f"{day} is not what the server has")
    return wrong


def _verdicts(world: World, operation: Operation, days: Sequence[date]) -> list[str]:
    """Masks and figures are those of a fresh judgement of the present image."""
    wrong = []
    fresh = world.root / "fresh"
    for day in days:
        ours = mosaic_path(operation.settings.data_dir, EPSG, day, world.layer)
        copy = mosaic_path(fresh, EPSG, day, world.layer)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Mosaic(ours, EPSG) as mosaic:
            parts = [ours, mosaic.data_path, *ours.parent.glob(f"{mosaic.data_path.stem}.*")]
        for path in {*parts}:
            shutil.copyfile(path, copy.with_name(path.name))
        label_missing_data(fresh, world.layer, EPSG, day, None)
        label_warping(fresh, world.layer, EPSG, day)
        wrong += [
            f"{day}: {name} is not that of its image"
            for name in ("missing_data.json", "missing_data.tif", "edge_warping.json")
            if not _equal(ours.with_suffix(f".{name}"), copy.with_suffix(f".{name}"))
        ]
        verdict = ours.with_suffix(".miscoloration.json")
        if not verdict.exists() or verdict.stat().st_mtime < ours.stat().st_mtime:
            wrong.append(f"{day}: its colours were not judged since it came")
    return wrong


def _equal(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() == other.exists()
    if one.suffix == ".tif":
        return np.array_equal(read_pixels(one), read_pixels(other))
    return one.read_bytes() == other.read_bytes()


def _tables(world: World, operation: Operation, days: Sequence[date]) -> list[str]:
    """Each day has the label that its verdicts make, and features."""
    root = operation.settings.data_dir
    labels = read_labels(labels_path(root, EPSG, world.layer))
    fresh = {row.day: row.codes for row in label_rows(root, world.layer, EPSG)}
    described, _ = read_features(features_path(root, EPSG, world.layer))
    wrong = [f"{day}: its label is not what its verdicts say" for day in days if labels.get(day) != fresh[day]]
    return wrong + [f"{day} has no features" for day in set(days) - set(described)]


def _predictions(world: World, operation: Operation, days: Sequence[date]) -> list[str]:
    """Each day has one row for each task, which tells what the champion tells of the present image."""
    from heph_dagster.models.days.prediction_table import predictions_path, read_predictions
    from heph_dagster.models.days.predictions import predict_days
    from heph_dagster.models.days.source import LayerDays
    from heph_dagster.models.tracking import Tracking

    settings = operation.settings
    rows = read_predictions(predictions_path(settings.data_dir, EPSG, world.layer))
    found = {(row.day, row.task): row.probability for row in rows if row.day in set(days)}
    counts = Counter((row.day, row.task) for row in rows)
    wrong = [f"{day}: {task} is predicted {count} times" for (day, task), count in counts.items() if count != 1]
    tracking = Tracking(settings.mlflow_uri, settings.mlflow_artifacts)
    told = predict_days(tracking, LayerDays(world.root / "fresh", world.layer, EPSG), days)
    for day, tasks in told.predictions.items():
        for task, prediction in tasks.items():
            if not np.isclose(found.get((day, task), np.nan), prediction.probability, atol=1e-6):
                wrong.append(f"{day}: the prediction of {task} is not that of its image")
    return wrong + [f"{day} cannot be predicted: {error}" for day, error in told.failed.items()]


def _alerts(world: World, webhook: Webhook, days: Sequence[date]) -> list[str]:
    """Each anomaly that was injected was told of once, and nothing else."""
    wrong = []
    counts = Counter(each["key"] for each in webhook.alerts)
    wrong += [f"{key} was told {count} times" for key, count in counts.items() if count > 1]
    told = {(each["kind"], each["day"]) for each in webhook.alerts if each["kind"] in _CODES}
    for kind, code in _CODES.items():
        for day in days:
            present = code in world.codes(day, world.versions[day])
            ever = any(code in world.codes(day, version) for version in range(world.versions[day] + 1))
            if present and (kind, f"{day}") not in told:
                wrong.append(f"{day}: nothing was told of its {kind}")
            if not ever and (kind, f"{day}") in told:
                wrong.append(f"{day}: {kind} was told of, and there is none")
    return wrong


def _events(world: World, operation: Operation, instance: dg.DagsterInstance, days: Sequence[date]) -> list[str]:
    """What is told of a day was made as often as its image came, not more."""
    wrong = []
    for name in DAILY:
        made = Counter(
            record.partition_key
            for record in instance.fetch_materializations(operation.key(name), limit=10_000).records
        )
        for day in days:
            versions = 1 + world.versions[day]
            if not 1 <= made[f"{day}"] <= versions:
                wrong.append(f"{day}: {name} was made {made[f'{day}']} times, of {versions} versions")
    return wrong
