"""The demonstration: a synthetic archive from tile server to missing-data mask, compared with its truth."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import instance_at, run_range
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, load_catalogue
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.server.run import free_port
from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS, EPSG, SyntheticFiles, synthesize, truth_paths
from heph_dagster.settings import CATALOGUE_FILE, SETTINGS_FILE, Settings

FIRST_DAY = date(2024, 3, 30)  # its 30 days include the total eclipse of 2024-04-08
LEVEL = 2
PORT = 8765
ARCHIVE = "archive"
LAYERS = ("MODIS_Terra_Data_No_Data", *DEFAULT_LAYERS)
"""In the order of their runs: the MODIS masks use the no-data layer."""
LARGE_HOLE_KM = 300.0
_FOUND_SHARE = 0.5
_MADE_BY = "# Made by `heph demo`"


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

    @property
    def missed(self) -> list[str]:
        """Large holes that were not found."""
        return [f"{layer.layer} {hole}" for layer in self.layers for hole in layer.missed]

    def as_json(self) -> dict[str, object]:
        """The figures as plain values."""
        values: dict[str, object] = json.loads(json.dumps(asdict(self), default=str))
        return values


def run_demo(root: Path, *, days: int = 30, seed: int = 0) -> DemoSummary:
    """Make the demonstration in a folder, print its table and write `summary.json`.

    Args:
        root: Folder; an earlier demonstration in it is replaced.
        days: Number of days from 2024-03-30.
        seed: Seed of the archive.

    Raises:
        RuntimeError: A Dagster run failed.
        ValueError: The folder holds something else.
    """
    console = Console(file=sys.stderr, highlight=False)
    started = time.perf_counter()
    _clear(root)
    wanted = [FIRST_DAY + timedelta(days=number) for number in range(days)]
    catalogue = _limit_days(root, wanted[0], wanted[-1])
    layers = [catalogue[name] for name in DEFAULT_LAYERS]
    archive = root / ARCHIVE
    with _progress(console) as progress:
        task = progress.add_task("Synthesizing days", total=days * len(layers))
        made = synthesize(
            archive,
            layers,
            wanted,
            catalogue,
            seed=seed,
            level=LEVEL,
            on_day=lambda _: progress.advance(task),
        )
        summary = DemoSummary(seed, wanted[0], wanted[-1], LEVEL, time.perf_counter() - started)
        with running_server(archive, catalogue, port=free_port(PORT)) as url:
            settings = _configure(root, url)
            active = settings.active_layers()
            task = progress.add_task("Running Dagster", total=len(active))
            definitions = build_definitions(settings)
            with instance_at(settings.dagster_home) as instance:
                for each in active:
                    report = run_range(definitions, settings, instance, each, wanted[0], wanted[-1])
                    if report.errors:
                        raise RuntimeError(f"{report.layer}: {'; '.join(report.errors)}")
                    size = sum(file.stat().st_size for file in root.glob(f"{EPSG}/*/{report.layer}.*.p[jp]g"))
                    summary.layers.append(LayerSummary(report.layer, len(report.done["image"]), size, report.seconds))
                    progress.advance(task)
    for layer in summary.layers:
        for files in (files for files in made if files.layer == layer.layer):
            _compare(
                layer,
                files,
                mosaic_path(root, EPSG, files.day, catalogue[files.layer]).with_suffix(".missing_data.tif"),
            )
    summary.total_seconds = time.perf_counter() - started
    with replacing(root / "summary.json") as part:
        part.write_text(json.dumps(summary.as_json(), indent=2) + "\n", "utf-8")
    _print(summary, root)
    return summary


def _clear(root: Path) -> None:
    if not root.exists() or not any(root.iterdir()):
        return
    layers = root / CATALOGUE_FILE
    if not layers.is_file() or not layers.read_text("utf-8").startswith(_MADE_BY):
        raise ValueError(f"{root} holds something that is no demonstration; choose another folder with --root")
    for name in (ARCHIVE, str(EPSG), "dagster"):
        if (root / name).exists():
            shutil.rmtree(root / name)


def _limit_days(root: Path, first: date, last: date) -> Catalogue:
    """A catalogue of the data folder in which the layers have the days of the archive, and so their assets, too."""
    rows = []
    for name in LAYERS:
        days = {"first_day": first, "last_day": last}
        row = load_catalogue()[name].model_copy(update=days).model_dump(mode="json", exclude_none=True)
        rows.append("[[layer]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items()))
    with replacing(root / CATALOGUE_FILE) as part:
        part.write_text(f"{_MADE_BY}: the layers of its archive, and their days.\n" + "\n".join(rows), "utf-8")
    return load_catalogue(root / CATALOGUE_FILE)


def _configure(root: Path, url: str) -> Settings:
    """Settings of the demonstration's data folder: the local server in place of GIBS."""
    text = f"gibs_url = {json.dumps(url)}\nlevel = {LEVEL}\nlayers = {json.dumps(LAYERS)}\n"
    with replacing(root / SETTINGS_FILE) as part:
        part.write_text(f"{_MADE_BY}: synthetic days, from the local server.\n{text}", "utf-8")
    return Settings(data_dir=root)


def _compare(summary: LayerSummary, files: SyntheticFiles, mask: Path) -> None:
    """Count which injected holes a mask has, and which of its holes nobody injected."""
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


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _print(summary: DemoSummary, root: Path) -> None:
    title = f"Synthetic days {summary.first_day} to {summary.last_day}, level {summary.level}, seed {summary.seed}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("Layer", "Days", "MB", "s", "Bad days", "Anomalies", "Holes found", ">300 km", "False")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for layer in summary.layers:
        cells = (
            layer.layer, layer.days, f"{layer.bytes / 1e6:.1f}", f"{layer.seconds:.1f}", layer.anomalous_days,
            sum(layer.anomalies.values()), f"{layer.holes_found}/{layer.holes}",
            f"{layer.large_holes_found}/{layer.large_holes}", layer.false_holes,
        )  # fmt: skip
        table.add_row(*map(str, cells))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(
        f"{summary.total_seconds:.0f} s in all, {summary.synthesis_seconds:.0f} s of them to make the days.\n"
        f"Look next:  make dev               the days in the Dagster UI, http://127.0.0.1:3000\n"
        f"            {root}/{EPSG}/{summary.first_day}/    mosaics (.mrf) and masks (.tif), for QGIS or gdalinfo\n"
        f"            {root}/summary.json    these figures",
        soft_wrap=True,
    )
