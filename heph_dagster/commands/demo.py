"""`heph demo`: synthetic days from tile server to mask, and interferograms to crops, compared with their truth."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from heph_dagster.gibs.catalogue import Catalogue
    from heph_dagster.settings import Settings

ROOT = Path("data/demo")
ARCHIVE = "archive"
_FIRST_DAY = date(2024, 3, 30)  # its 30 days include the total eclipse of 2024-04-08
_LEVEL = 2
_PORT = 8765
_MADE_BY = "# Made by `heph demo`"


@click.command()
@click.option("--root", default=ROOT, show_default=True, type=click.Path(path_type=Path))
@click.option("--days", default=30, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, too.")
def demo(root: Path, days: int, seed: int, *, as_json: bool) -> None:
    """Synthesize days and interferograms, run all of them through Dagster, and compare with the truth."""
    from heph_dagster.commands.demo_figures import DemoSummary, LayerSummary, compare, compare_warping, show
    from heph_dagster.commands.demo_insar import run_interferograms
    from heph_dagster.commands.demo_models import train_learners
    from heph_dagster.commands.progress import counting
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import instance_at, run_range
    from heph_dagster.files import replacing
    from heph_dagster.gibs.archive import mosaic_path
    from heph_dagster.gibs.server import running_server
    from heph_dagster.gibs.server.run import free_port
    from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS, EPSG, Recipe, synthesize

    started = time.perf_counter()
    _clear(root)
    wanted = [_FIRST_DAY + timedelta(days=number) for number in range(days)]
    catalogue = _limit_days(root, wanted[0], wanted[-1])
    layers = [catalogue[name] for name in DEFAULT_LAYERS]
    archive = root / ARCHIVE
    with counting("Synthesizing days", days * len(layers)) as advance:
        made = synthesize(archive, layers, wanted, catalogue, Recipe(seed, _LEVEL), on_day=lambda _: advance())
    summary = DemoSummary(seed, wanted[0], wanted[-1], _LEVEL, time.perf_counter() - started)
    with running_server(archive, catalogue, port=free_port(_PORT)) as url:
        settings = _configure(root, url)
        active = settings.active_layers()
        definitions = build_definitions(settings)
        with counting("Running Dagster", len(active) + 2) as advance, instance_at(settings.dagster_home) as instance:
            for each in active:
                report = run_range(definitions, settings, instance, each, wanted[0], wanted[-1])
                if report.errors:
                    raise RuntimeError(f"{report.layer}: {'; '.join(report.errors)}")
                size = sum(file.stat().st_size for file in root.glob(f"{EPSG}/*/{report.layer}.*.p[jp]g"))
                summary.layers.append(LayerSummary(report.layer, len(report.done["image"]), size, report.seconds))
                advance()
            summary.insar = run_interferograms(definitions, settings, instance, seed)
            advance()
            judged = [each for each in active if "missing_data" in each.layer.checks]
            summary.learners = train_learners(definitions, instance, judged)
            advance()
    for layer in summary.layers:
        for files in (files for files in made if files.layer == layer.layer):
            mosaic = mosaic_path(root, EPSG, files.day, catalogue[files.layer])
            compare(layer, files, mosaic.with_suffix(".missing_data.tif"))
            compare_warping(layer, files, mosaic.with_suffix(".edge_warping.json"))
    summary.total_seconds = time.perf_counter() - started
    with replacing(root / "summary.json") as part:
        part.write_text(json.dumps(summary.as_json(), indent=2) + "\n", "utf-8")
    show(summary, root)
    if as_json:
        click.echo(json.dumps(summary.as_json(), indent=2))
    if summary.missed:
        raise click.ClickException("holes over 300 km were missed: " + ", ".join(summary.missed))


def _clear(root: Path) -> None:
    import shutil

    from heph_dagster.commands.demo_insar import FOLDER
    from heph_dagster.gibs.synthetic.archive import EPSG
    from heph_dagster.settings import CATALOGUE_FILE, MLFLOW_STORE

    if not root.exists() or not any(root.iterdir()):
        return
    layers = root / CATALOGUE_FILE
    if not layers.is_file() or not layers.read_text("utf-8").startswith(_MADE_BY):
        raise ValueError(f"{root} holds something that is no demonstration; choose another folder with --root")
    for name in (ARCHIVE, str(EPSG), FOLDER, "dagster", "mlruns"):
        if (root / name).exists():
            shutil.rmtree(root / name)
    (root / MLFLOW_STORE).unlink(missing_ok=True)


def _limit_days(root: Path, first: date, last: date) -> Catalogue:
    """A catalogue of the data folder in which the layers have the days of the archive, and so their assets, too."""
    from heph_dagster.files import replacing
    from heph_dagster.gibs.catalogue import load_catalogue
    from heph_dagster.settings import CATALOGUE_FILE

    rows = []
    for name in _layers():
        days = {"first_day": first, "last_day": last}
        row = load_catalogue()[name].model_copy(update=days).model_dump(mode="json", exclude_none=True)
        rows.append("[[layer]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items()))
    with replacing(root / CATALOGUE_FILE) as part:
        part.write_text(f"{_MADE_BY}: the layers of its archive, and their days.\n" + "\n".join(rows), "utf-8")
    return load_catalogue(root / CATALOGUE_FILE)


def _configure(root: Path, url: str) -> Settings:
    """Settings of the demonstration's data folder: the local server in place of GIBS."""
    from heph_dagster.files import replacing
    from heph_dagster.settings import SETTINGS_FILE, Settings

    text = f"gibs_url = {json.dumps(url)}\nlevel = {_LEVEL}\nlayers = {json.dumps(_layers())}\n"
    with replacing(root / SETTINGS_FILE) as part:
        part.write_text(f"{_MADE_BY}: synthetic days, from the local server.\n{text}", "utf-8")
    return Settings(data_dir=root)


def _layers() -> tuple[str, ...]:
    """In the order of their runs: the MODIS masks use the no-data layer."""
    from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS

    return ("MODIS_Terra_Data_No_Data", *DEFAULT_LAYERS)
