"""`heph demo-models`: every learner, trained on synthetic days and interferograms with their truth, and compared."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import dagster as dg

    from heph_dagster.settings import Settings

ROOT = Path("data/demo-models")
LAYER = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
INSAR_LEARNERS = ("classifier", "unet")
_FIRST_DAY = date(2024, 3, 30)
_LEVEL = 1
_ANOMALOUS = 10
_SPLIT = {"seed": 2, "block_days": 10, "gap_days": 1}
_INTERFEROGRAMS, _DEFORMED, _TEST_FRAMES = 480, 0.8, 3
_CONFIG: dict[str, dict[str, Any]] = {
    "densenet121": {"epochs": 1},
    "pixel_cnn": {"epochs": 6},
}
"""Fewer epochs than by default: ten minutes are for all learners."""
_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@dataclass(frozen=True)
class Row:
    """A learner in the league.

    Attributes:
        task: What it tells.
        learner: Its name.
        figures: Of the test set by name, each with its interval.
        seconds: Wall time of training, evaluation and recording.
        champion: Whether it is the champion, or why not.
        failed: Why there is nothing to tell.
    """

    task: str
    learner: str
    figures: dict[str, str]
    seconds: float
    champion: str = ""
    failed: str | None = None


@dataclass
class League:
    """What came of a demonstration of models.

    Attributes:
        seed: Of days and interferograms.
        days: Synthetic days.
        making_seconds: Wall time to make days and interferograms.
        training_seconds: Wall time from their labels to the last prediction.
        rows: The learners.
        predicted_days: Days that the champions were asked about.
        predicting_seconds: Wall time of that.
    """

    seed: int
    days: int
    making_seconds: float = 0.0
    training_seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    predicted_days: int = 0
    predicting_seconds: float = 0.0


@click.command("demo-models")
@click.option("--root", default=ROOT, show_default=True, type=click.Path(path_type=Path))
@click.option("--days", default=400, show_default=True, type=click.IntRange(60))
@click.option("--seed", default=0, show_default=True, help="Of days, interferograms and learners.")
@click.option("--json", "as_json", is_flag=True, help="Print the league as JSON, too.")
def demo_models(root: Path, days: int, seed: int, *, as_json: bool) -> None:
    """Train every learner on synthetic days and interferograms, and print how good they are on those held out."""
    from heph_dagster.commands.demo_folder import clear, configure, limit_days
    from heph_dagster.commands.progress import counting
    from heph_dagster.definitions import build_definitions
    from heph_dagster.defs.runs import instance_at
    from heph_dagster.files import replacing

    clear(root)
    league = League(seed, days)
    wanted = [_FIRST_DAY + timedelta(days=number) for number in range(days)]
    limit_days(root, [LAYER], wanted[0], wanted[-1])
    settings = configure(root, [LAYER], _LEVEL)
    started = time.perf_counter()
    _make(settings, wanted, seed)
    league.making_seconds = time.perf_counter() - started
    definitions = build_definitions(settings)
    with instance_at(settings.dagster_home) as instance:
        started = time.perf_counter()
        keys = _learners(definitions)
        with counting("Training", len(keys) + 2) as advance:
            _prepare(definitions, instance)
            advance()
            for key in keys:
                league.rows.append(_train(definitions, instance, key, seed))
                advance()
            begun = time.perf_counter()
            league.predicted_days = _predict(definitions, instance, wanted)
            league.predicting_seconds = time.perf_counter() - begun
            advance()
        league.training_seconds = time.perf_counter() - started
    with replacing(root / "league.json") as part:
        part.write_text(json.dumps(asdict(league), indent=2) + "\n", "utf-8")
    _show(league, root)
    if as_json:
        click.echo(json.dumps(asdict(league), indent=2))
    if failed := [f"{each.task} {each.learner}" for each in league.rows if each.failed]:
        raise click.ClickException(f"some learners failed: {', '.join(failed)}")


def _make(settings: Settings, days: list[date], seed: int) -> None:
    """Days right where downloads would put them, interferograms with annotations, and their truth as hand labels."""
    from heph_dagster.anomalies.synthetic_truth import take_truth
    from heph_dagster.commands.demo_insar import make_interferograms
    from heph_dagster.commands.progress import counting
    from heph_dagster.gibs.synthetic.archive import EPSG, Recipe, synthesize
    from heph_dagster.hephaestus.synthetic.invention import MANY_FRAMES

    (layer,) = (each.layer for each in settings.active_layers())
    recipe = Recipe(seed, _LEVEL, _ANOMALOUS)
    with counting("Synthesizing days", len(days)) as advance:
        synthesize(settings.root, [layer], days, settings.catalogue(), recipe, on_day=lambda _: advance())
    take_truth(settings.root, layer, EPSG)
    make_interferograms(settings, _INTERFEROGRAMS, seed, frames=MANY_FRAMES, deformed=_DEFORMED)


def _learners(definitions: dg.Definitions) -> list[dg.AssetKey]:
    """Keys of the learners of days, and of those of interferograms that the demonstration trains."""
    keys = [key for key in definitions.resolve_asset_graph().get_all_asset_keys() if "models" in key.path]
    insar = [key for key in keys if key.path[0] == "hephaestus" and key.path[-1] in INSAR_LEARNERS]
    return sorted(key for key in keys if key.path[0] == "gibs") + sorted(insar)


def _execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, keys: list[dg.AssetKey], **options: Any
) -> dg.ExecuteInProcessResult:
    ops = options.pop("ops", {})
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=keys,
        raise_on_error=False,
        run_config={"loggers": _QUIET, "ops": ops},
        **options,
    )


def _prepare(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Labels, features and split of the days; annotations, crops and split of the interferograms.

    Raises:
        RuntimeError: One of them failed.
    """
    import dagster as dg

    from heph_dagster.commands.demo_insar import make_crops
    from heph_dagster.hephaestus.synthetic.invention import MANY_FRAMES

    labels, features, split = (dg.AssetKey(["gibs", LAYER, name]) for name in ("labels", "features", "split"))
    ops = {split.to_python_identifier(): {"config": _SPLIT}}
    if not _execute(definitions, instance, [labels, features, split], ops=ops).success:
        raise RuntimeError(f"labels, features or split of {LAYER} failed; the run is in the Dagster UI")
    make_crops(definitions, instance, sorted(MANY_FRAMES), _TEST_FRAMES)


def _train(definitions: dg.Definitions, instance: dg.DagsterInstance, key: dg.AssetKey, seed: int) -> Row:
    task, learner = key.path[-2] if key.path[0] == "gibs" else "interferograms", key.path[-1]
    ops = {key.to_python_identifier(): {"config": {"seed": seed, **_CONFIG.get(learner, {})}}}
    started = time.perf_counter()
    result = _execute(definitions, instance, [key], ops=ops)
    seconds = time.perf_counter() - started
    if not result.success:
        failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
        told = next((each.description for each in failures if each is not None), None)
        return Row(task, learner, {}, seconds, failed=told or "it failed; the run is in the Dagster UI")
    (event,) = result.asset_materializations_for_node(key.to_python_identifier())
    found = {name: entry.value for name, entry in event.metadata.items()}
    figures = {
        name.removeprefix("test_").removesuffix("_interval"): str(value)
        for name, value in found.items()
        if name.startswith("test_") and isinstance(value, str)
    }
    for positive, cases in (("positive", "days"), ("deformed", "crops")):
        if f"test_{positive}" in found:
            figures[positive] = f"{found[f'test_{positive}']} of {found[f'test_{cases}']} {cases}"
    return Row(task, learner, figures, seconds, str(found.get("champion", "")))


def _predict(definitions: dg.Definitions, instance: dg.DagsterInstance, days: list[date]) -> int:
    """Ask the champions about all days.

    Raises:
        RuntimeError: The run failed.
    """
    import dagster as dg

    key = dg.AssetKey(["gibs", LAYER, "predictions"])
    ends = {"start": days[0], "end": days[-1]}
    tags = {f"dagster/asset_partition_range_{end}": day.isoformat() for end, day in ends.items()}
    result = _execute(definitions, instance, [key], tags=tags)
    if not result.success:
        raise RuntimeError(f"predictions of {LAYER} failed; the run is in the Dagster UI: {result.run_id}")
    return len(result.asset_materializations_for_node(key.to_python_identifier()))


def _rank(row: Row) -> tuple[str, float]:
    """By task, the highest first figure first, and what failed last."""
    first = next(iter(row.figures.values()), "-1")
    return row.task, -float(first.split()[0])


def _show(league: League, root: Path) -> None:
    """Print the league, by task and the best first, and where to look next."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    table = Table(
        title=f"On synthetic days and interferograms held out, seed {league.seed}", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading in ("Task", "Learner", "Test figures, with intervals of 95 %", "s", "Champion"):
        table.add_column(heading, justify="right" if heading == "s" else "left")
    for each in sorted(league.rows, key=_rank):
        figures = "\n".join(f"{name} {value}" for name, value in each.figures.items())
        table.add_row(each.task, each.learner, each.failed or figures, f"{each.seconds:.0f}", each.champion)
    console.print(table)
    rate = league.predicted_days / max(league.predicting_seconds, 1e-9)
    console.print(
        f"{league.making_seconds:.0f} s to make {league.days} days and {_INTERFEROGRAMS} interferograms, "
        f"{league.training_seconds:.0f} s to label, train, evaluate and predict ({rate:.0f} days/s).\n"
        f"Look next:  HEPH_DATA_DIR={root} make dev    runs, curves and models in MLflow, http://127.0.0.1:5000\n"
        f"            {root}/league.json    these figures",
        soft_wrap=True,
    )
