"""`heph demo`: synthetic days from tile server to mask, and interferograms to crops, compared with their truth."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path

import click

ROOT = Path("data/demo")
_FIRST_DAY = date(2024, 3, 30)  # its 30 days include the total eclipse of 2024-04-08
_LEVEL = 2
_PORT = 8765


@click.command()
@click.option("--root", default=ROOT, show_default=True, type=click.Path(path_type=Path))
@click.option("--days", default=30, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, too.")
def demo(root: Path, days: int, seed: int, *, as_json: bool) -> None:
    """Synthesize days and interferograms, run all of them through Dagster, and compare with the truth."""
    from heph_dagster.commands.demo_figures import DemoSummary, LayerSummary, compare, compare_warping, show
    from heph_dagster.commands.demo_folder import ARCHIVE, clear, configure, limit_days
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
    clear(root)
    wanted = [_FIRST_DAY + timedelta(days=number) for number in range(days)]
    catalogue = limit_days(root, _layers(), wanted[0], wanted[-1])
    layers = [catalogue[name] for name in DEFAULT_LAYERS]
    archive = root / ARCHIVE
    with counting("Synthesizing days", days * len(layers)) as advance:
        made = synthesize(archive, layers, wanted, catalogue, Recipe(seed, _LEVEL), on_day=lambda _: advance())
    summary = DemoSummary(seed, wanted[0], wanted[-1], _LEVEL, time.perf_counter() - started)
    with running_server(archive, catalogue, port=free_port(_PORT)) as url:
        settings = configure(root, _layers(), _LEVEL, url)
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


def _layers() -> tuple[str, ...]:
    """In the order of their runs: the MODIS masks use the no-data layer."""
    from heph_dagster.gibs.synthetic.archive import DEFAULT_LAYERS

    return ("MODIS_Terra_Data_No_Data", *DEFAULT_LAYERS)
