"""What the demonstration counts: its masks compared with the truth of its days."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.commands.demo_insar import FOLDER, InsarSummary
from heph_dagster.commands.demo_models import LearnerSummary
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic.archive import EPSG, SyntheticFiles, truth_paths

LARGE_HOLE_KM = 300.0
_FOUND_SHARE = 0.5


@dataclass
class LayerSummary:
    """Figures of one layer.

    Attributes:
        layer: Identifier.
        days: Days that Dagster materialized.
        bytes: Bytes of their tiles.
        seconds: Wall time of the run.
        anomalous_days: Days with at least one injected anomaly.
        anomalies: Injected anomalies by kind.
        holes: Injected holes of any size.
        holes_found: Those of which the mask has at least half.
        large_holes: Injected holes over 300 km.
        large_holes_found: Those of them that were found.
        false_holes: Regions of the masks that no injected anomaly explains.
        warped_days: Days with an injected warped edge.
        warped_days_found: Those that are labelled so.
        false_warped_days: Days that are labelled so without one.
        missed: Day, kind and number of each large hole that was not found.
    """

    layer: str
    days: int = 0
    bytes: int = 0
    seconds: float = 0.0
    anomalous_days: int = 0
    anomalies: dict[str, int] = field(default_factory=dict)
    holes: int = 0
    holes_found: int = 0
    large_holes: int = 0
    large_holes_found: int = 0
    false_holes: int = 0
    warped_days: int = 0
    warped_days_found: int = 0
    false_warped_days: int = 0
    missed: list[str] = field(default_factory=list)


@dataclass
class DemoSummary:
    """Figures of the whole demonstration; `data` says that they are of synthetic days."""

    seed: int
    first_day: date
    last_day: date
    level: int
    synthesis_seconds: float
    total_seconds: float = 0.0
    data: str = "synthetic"
    layers: list[LayerSummary] = field(default_factory=list)
    insar: InsarSummary | None = None
    learners: list[LearnerSummary] = field(default_factory=list)

    @property
    def missed(self) -> list[str]:
        """Large holes that were not found."""
        return [f"{layer.layer} {hole}" for layer in self.layers for hole in layer.missed]

    def as_json(self) -> dict[str, object]:
        """The figures as plain values."""
        values: dict[str, object] = json.loads(json.dumps(asdict(self), default=str))
        return values


def compare(summary: LayerSummary, files: SyntheticFiles, mask: Path) -> None:
    """Count which injected holes a mask has, and which of its holes nobody injected.

    Args:
        summary: Figures of the layer, which the day is added to.
        files: A synthetic day and its anomalies.
        mask: The class mask that was made of it.
    """
    summary.anomalous_days += bool(files.anomalies)
    missing = (read_pixels(mask) == PixelClass.MISSING).astype(np.uint8)
    truth = read_pixels(truth_paths(files.mosaic)[0])
    injected = np.zeros(256, np.uint8)
    for number, anomaly in enumerate(files.anomalies, 1):
        summary.anomalies[anomaly.kind] = summary.anomalies.get(anomaly.kind, 0) + 1
        injected[number] = anomaly.code in {Label.MISSING_UNEXPECTED, Label.ECLIPSE_MISSING}
        if anomaly.code != Label.MISSING_UNEXPECTED:
            continue
        found = bool(missing[truth == number].mean() >= _FOUND_SHARE)
        large = anomaly.extent_km > LARGE_HOLE_KM
        summary.holes += 1
        summary.holes_found += found
        summary.large_holes += large
        summary.large_holes_found += large and found
        if large and not found:
            summary.missed.append(f"{files.day} {anomaly.kind} #{number}")
    count, labels = cv2.connectedComponents(missing, connectivity=4)
    explained = np.unique(labels[injected[truth] == 1])
    summary.false_holes += count - 1 - int(np.count_nonzero(explained))


def compare_warping(summary: LayerSummary, files: SyntheticFiles, report: Path) -> None:
    """Count whether a day is rightly labelled as warped or not.

    Args:
        summary: Figures of the layer, which the day is added to.
        files: A synthetic day and its anomalies.
        report: The figures that were made of it.
    """
    warped = any(anomaly.code == Label.EDGE_WARPED for anomaly in files.anomalies)
    labelled = Label.EDGE_WARPED in json.loads(report.read_text("utf-8"))["labels"]
    summary.warped_days += warped
    summary.warped_days_found += warped and labelled
    summary.false_warped_days += labelled and not warped


def show(summary: DemoSummary, root: Path) -> None:
    """Print the figures as a table, and where to look next."""
    title = f"Synthetic days {summary.first_day} to {summary.last_day}, level {summary.level}, seed {summary.seed}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    headings = (
        "Layer",
        "Days",
        "MB",
        "s",
        "Bad days",
        "Anomalies",
        "Holes found",
        ">300 km",
        "False",
        "Warped",
        "False",
    )
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for layer in summary.layers:
        cells = (
            layer.layer, layer.days, f"{layer.bytes / 1e6:.1f}", f"{layer.seconds:.1f}", layer.anomalous_days,
            sum(layer.anomalies.values()), f"{layer.holes_found}/{layer.holes}",
            f"{layer.large_holes_found}/{layer.large_holes}", layer.false_holes,
            f"{layer.warped_days_found}/{layer.warped_days}", layer.false_warped_days,
        )  # fmt: skip
        table.add_row(*map(str, cells))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table)
    if insar := summary.insar:
        checks = f"checks that did not pass: {', '.join(insar.not_passed)}" if insar.not_passed else "all checks passed"
        console.print(
            f"{insar.interferograms} synthetic interferograms of {insar.frames} frames: {insar.crops} crops in "
            f"{insar.seconds:.0f} s; {insar.contained} of {insar.deformations} deformations are whole in their crop; "
            f"{checks}.\n",
            soft_wrap=True,
        )
    for each in summary.learners:
        told = f"area under the ROC curve {each.test_roc_auc}" if each.test_roc_auc else f"not trained: {each.skipped}"
        console.print(f"{each.layer} {each.task}, {each.learner}: {told}", soft_wrap=True)
    if summary.learners:
        console.print("So few days show that learners run and are recorded, not how good they are.\n")
    console.print(
        f"{summary.total_seconds:.0f} s in all, {summary.synthesis_seconds:.0f} s of them to make the days.\n"
        f"Look next:  make dev               days in the Dagster UI, http://127.0.0.1:3000, learners in MLflow\n"
        f"            {root}/{EPSG}/{summary.first_day}/    mosaics (.mrf) and masks (.tif), for QGIS or gdalinfo\n"
        f"            {root}/{FOLDER}/    interferograms, masks and crops\n"
        f"            {root}/summary.json    these figures",
        soft_wrap=True,
    )
