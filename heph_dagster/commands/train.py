"""`heph train`: a learner, trained and recorded as its asset would, without Dagster."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from heph_dagster.models.days.source import LayerDays
    from heph_dagster.models.metrics import Metric
    from heph_dagster.models.tracking import Tracking
    from heph_dagster.settings import Settings


@click.command()
@click.argument("learner", required=False)
@click.option("--layer", "layer_name", help="Layer whose days are learned from.  [default: the first active one]")
@click.option(
    "--task",
    type=click.Choice(("missing_data", "miscoloration")),
    help="What to tell of days; learners of pixels and of interferograms need none.",
)
@click.option("--split", default="frames", show_default=True, help="Split of the crops of interferograms.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--floor", type=click.FloatRange(0, 1), help="Figure that a champion needs.  [default: the learner's]")
@click.option("--real", is_flag=True, help="Begin with the parameters for the real crops on a GPU.")
@click.option("--set", "told", multiple=True, metavar="NAME=VALUE", help="A parameter of the learner; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def train(  # noqa: PLR0913 - one for each option
    learner: str | None,
    layer_name: str | None,
    task: str | None,
    split: str,
    seed: int,
    floor: float | None,
    told: tuple[str, ...],
    *,
    real: bool,
    as_json: bool,
) -> None:
    """Train LEARNER on the data folder's days or crops, record it in MLflow, and print its figures.

    Several machines train together where each runs the same command, with NODE_RANK (0 on the first), MASTER_ADDR and
    MASTER_PORT in the environment, --set nodes=N, and a data folder that they share. Without LEARNER, all are listed.
    """
    from heph_dagster.models.loop import OtherNodeError, is_other_node
    from heph_dagster.settings import Settings

    if learner is None:
        click.echo(_list())
        return
    settings = Settings()
    parameters = _parameters(_default(learner, task, real=real), told)
    alone = getattr(parameters, "nodes", 1) == 1
    if "TORCHELASTIC_RUN_ID" in os.environ or (is_other_node() and alone):
        raise click.UsageError(
            "Start this once on each machine, not by torchrun, with NODE_RANK, MASTER_ADDR and MASTER_PORT, and --set "
            "nodes=N for N machines; on a single one unset NODE_RANK."
        )
    chosen: dict[str, Any] = {"parameters": parameters, "seed": seed, "tags": {"command": "heph train"}}
    if floor is not None:
        chosen["floor"] = floor
    with ExitStack() as stack:
        tracking = _tracking(settings, stack)
        try:
            found = _train(tracking, settings, learner, layer_name, task, split, chosen)
        except OtherNodeError as done:
            if not is_other_node():
                raise
            click.echo(str(done))
            return
    lines = "\n".join(f"{name}: {value}" for name, value in found.items())
    click.echo(json.dumps(found, indent=2) if as_json else lines)


def _tracking(settings: Settings, stack: ExitStack) -> Tracking:
    """The store; a passing one where another machine records."""
    from heph_dagster.models.loop import is_other_node
    from heph_dagster.models.tracking import Tracking

    if is_other_node():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heph-")))
        return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns")
    return Tracking(settings.mlflow_uri, settings.mlflow_artifacts)


def _train(
    tracking: Tracking,
    settings: Settings,
    learner: str,
    layer_name: str | None,
    task: str | None,
    split: str,
    chosen: dict[str, Any],
) -> dict[str, Any]:
    """Train a learner of days, of their pixels or of interferograms, and tell its figures."""
    from heph_dagster.anomalies.splits import Split
    from heph_dagster.hephaestus.splits import Part
    from heph_dagster.models.days.data import Task
    from heph_dagster.models.days.mask_training import MASK_LEARNERS, train_masks
    from heph_dagster.models.days.training import train_days
    from heph_dagster.models.insar.training import LEARNERS as INSAR_LEARNERS
    from heph_dagster.models.insar.training import train_interferograms

    if learner in INSAR_LEARNERS:
        made = train_interferograms(tracking, settings.insar_dir, learner, split=split, **chosen)
        return _figures(made, made.metrics[Part.TEST])
    source = _layer_days(settings, layer_name)
    if learner in MASK_LEARNERS:
        if "floor" in chosen:
            chosen["mask_floor"] = chosen.pop("floor")
        masks = train_masks(tracking, source, learner, **chosen)
        found = _figures(masks, masks.metrics[Split.TEST])
        for each, days in masks.days.items():
            figures = _figures(days, days.trained.metrics[Split.TEST])
            found |= {f"{each} {name}": value for name, value in figures.items()}
        return found
    days = train_days(tracking, source, Task(str(task)), learner, **chosen)
    return _figures(days, days.trained.metrics[Split.TEST])


def _default(learner: str, task: str | None, *, real: bool) -> Any:
    """The parameters that a learner has if nothing is told."""
    from heph_dagster.models.days.training import LEARNERS
    from heph_dagster.models.insar.parameters import REAL

    known = _known()
    if learner not in known:
        raise click.UsageError(f"There is no learner {learner}. There are:\n{_list()}")
    if learner in LEARNERS and task is None:
        raise click.UsageError(f"{learner} tells one thing of days: give --task missing_data or --task miscoloration.")
    if not real:
        return known[learner].parameters
    if learner not in REAL:
        raise click.UsageError(f"--real holds for {', '.join(REAL)}; give {learner} what it needs by --set.")
    return REAL[learner]


def _known() -> dict[str, Any]:
    """All learners by name."""
    from heph_dagster.models.days.mask_training import MASK_LEARNERS
    from heph_dagster.models.days.training import LEARNERS
    from heph_dagster.models.insar.training import LEARNERS as INSAR_LEARNERS

    return {**LEARNERS, **MASK_LEARNERS, **INSAR_LEARNERS}


def _list() -> str:
    return "\n".join(f"  {name:20} {each.title}" for name, each in _known().items())


def _parameters(default: Any, told: tuple[str, ...]) -> Any:
    """A learner's parameters with those that were told, whose values are read as their types are."""
    from pydantic import TypeAdapter, ValidationError

    names = [each.name for each in fields(default)]
    values: dict[str, Any] = {name: getattr(default, name) for name in names}
    for each in told:
        name, equals, value = each.partition("=")
        if not equals or name not in names:
            raise click.UsageError(f"--set {each}: give NAME=VALUE, of {', '.join(names)}.")
        values[name] = None if value == "none" else value
    try:
        return TypeAdapter(type(default)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def _layer_days(settings: Settings, name: str | None) -> LayerDays:
    from heph_dagster.models.days.source import LayerDays

    active = settings.active_layers()
    if name is None:
        return LayerDays(settings.root, *next(each for each in active if each.layer.checks))
    return LayerDays(settings.root, settings.catalogue()[name], 4326)


def _figures(made: Any, test: Mapping[str, Metric]) -> dict[str, Any]:
    """What came of a training in plain words: figures of what tests, the model and the champion."""
    figures = {f"test_{name}": str(test[name]) for name in test}
    champion = "none" if made.champion is None else made.champion.uri
    return {**figures, "model": made.version.uri, "champion": champion, "mlflow_run": made.version.run_id}
