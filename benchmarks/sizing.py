"""What a day costs at each level, in seconds and bytes: synthetic days from a server on loopback, through Dagster."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.measure import Row
from heph_dagster.definitions import build_definitions
from heph_dagster.defs.runs import instance_at, run_range
from heph_dagster.gibs.catalogue import load_catalogue
from heph_dagster.gibs.server import running_server
from heph_dagster.gibs.synthetic.archive import Recipe, synthesize
from heph_dagster.settings import Settings

LAYER = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
LEVELS = range(5)
DAYS = 8
ROUNDS = 3
_FIRST = date(2024, 3, 30)
_EPSG = 4326


def run() -> list[Row]:
    """Seconds and bytes of a day of a layer, by asset and level."""
    rows = []
    catalogue = load_catalogue()
    days = [_FIRST + timedelta(days=number) for number in range(DAYS)]
    for level in LEVELS:
        with tempfile.TemporaryDirectory(prefix="heph-bench-") as folder:
            archive = Path(folder) / "archive"
            synthesize(archive, [catalogue[LAYER]], days, catalogue, Recipe(0, level))
            with running_server(archive, catalogue) as url:
                rounds = [_cost(Path(folder) / f"{number}", url, level, days) for number in range(ROUNDS)]
            sizes = _sizes(Path(folder) / "0" / f"{_EPSG}", days)
        for name in rounds[0]:
            least = min(each[name] for each in rounds) / DAYS
            note = f"least of {ROUNDS} runs of {DAYS} days; no latency" if name == "image" else ""
            rows.append(Row(f"a day at level {level}: {name}", least, "s", "", None, note))
        for name, size in sizes.items():
            rows.append(Row(f"a day at level {level}: {name}", size / DAYS / 1e6, "MB", "", None, "synthetic"))
    return rows


def _cost(root: Path, url: str, level: int, days: list[date]) -> dict[str, float]:
    """Seconds that each asset takes for all days."""
    settings = Settings(data_dir=root, gibs_url=url, level=level, layers=(LAYER,))
    found: Counter[str] = Counter()
    with instance_at(root / "dagster") as instance:
        active = settings.active_layer(LAYER)
        report = run_range(build_definitions(settings), settings, instance, active, days[0], days[-1])
        if report.errors:
            raise RuntimeError(report.errors)
        for run_id in report.run_ids:
            for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS).records:
                event = record.event_log_entry.get_dagster_event()
                found[str(event.step_key).rpartition("__")[2]] += event.step_success_data.duration_ms / 1000
    return {**found, "all": report.seconds}


def _sizes(root: Path, days: list[date]) -> dict[str, int]:
    """Bytes of the mosaics, and of what is made of them."""
    found = {"mosaic": 0, "masks and figures": 0}
    for day in days:
        for path in (root / day.isoformat()).iterdir():
            of_mosaic = path.name == f"{LAYER}.mrf" or path.suffix in {".pjg", ".idx"} or ".tiles." in path.name
            found["mosaic" if of_mosaic else "masks and figures"] += path.stat().st_size
    return found
