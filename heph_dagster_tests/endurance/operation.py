"""The installation that is put to the test: a data folder with a history, models, and the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.new_days import UNFINISHED
from heph_dagster.defs.runs import instance_at, run_range
from heph_dagster.settings import ActiveLayer, Settings

DAILY = ("image", "missing_data", "edge_warping", "miscoloration", "predictions")
_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
_SPLIT = {"block_days": 5, "gap_days": 0}


@dataclass
class Operation:
    """An installation.

    Attributes:
        settings: Its settings; the daemon gets them as variables.
        variables: Those variables.
        active: The layer.
        log: Where the daemon writes.
    """

    settings: Settings
    variables: Mapping[str, str]
    active: ActiveLayer
    log: Path
    daemon: subprocess.Popen[bytes] | None = None
    starts: int = 0
    _lost: list[int] = field(default_factory=list)

    def key(self, name: str) -> dg.AssetKey:
        """Key of an asset of the layer."""
        return dg.AssetKey(["gibs", self.active.layer.identifier, *name.split("/")])

    def begin(self, days: Sequence[date]) -> None:
        """Fetch and judge a history, and train on it."""
        definitions = build_definitions(self.settings)
        with instance_at(self.settings.dagster_home) as instance:
            report = run_range(definitions, self.settings, instance, self.active, days[0], days[-1])
            if report.errors:
                raise RuntimeError(f"the history cannot be made: {report.errors}")
            models = [self.key(f"models/{task}/softmax") for task in ("missing_data", "miscoloration")]
            config = {key.to_python_identifier(): {"config": {"floor": 0.0}} for key in models}
            config[self.key("split").to_python_identifier()] = {"config": _SPLIT}
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=[*(self.key(name) for name in ("features", "labels", "split")), *models],
                run_config={"ops": config, "loggers": _QUIET},
                raise_on_error=False,
            )
            if not result.success:
                reasons = [event.step_failure_data for event in result.all_events if event.is_step_failure]
                raise RuntimeError(f"nothing could be learned: {reasons}")

    def start(self) -> None:
        """Start the daemon."""
        command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "heph_dagster.definitions"]
        home = {"DAGSTER_HOME": str(self.settings.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                command, env=os.environ | self.variables | home, stdout=log, stderr=log, start_new_session=True
            )
        self.starts += 1

    def kill(self, *, everything: bool) -> None:
        """Kill the daemon without warning, and with it the code server and all runs if so told."""
        if self.daemon is None:
            return
        if everything:
            os.killpg(self.daemon.pid, signal.SIGKILL)
        else:
            self.daemon.kill()
        self._lost.append(self.daemon.pid)
        self.daemon.wait()

    def stop(self) -> None:
        """End the daemon, and what earlier ones left behind."""
        if self.daemon is not None:
            self.daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.daemon.wait(30)
            self._lost.append(self.daemon.pid)
        for group in self._lost:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def lacking(self, instance: dg.DagsterInstance, days: Sequence[date]) -> dict[str, int]:
        """How many of some days each daily asset lacks, and how many runs go on, but for those that ask again."""
        lacks = {}
        for name in DAILY:
            there = instance.get_materialized_partitions(self.key(name))
            if count := sum(f"{day}" not in there for day in days):
                lacks[name] = count
        runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if others := sum(not run.job_name.startswith("recheck_") for run in runs):
            lacks["runs"] = others
        return lacks
