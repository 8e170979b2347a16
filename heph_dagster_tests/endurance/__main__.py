"""Sixty days of operation in minutes: `make endurance`.

A scripted server publishes a synthetic day every few seconds, some of them late; it replaces some, and is down now and
then; the daemon is killed and started again. In the end every day that the server has must be on disk as the server has
it, be judged as a fresh judgement does, be predicted once, and each anomaly must have been told of.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from heph_dagster.commands.demo_folder import limit_days
from heph_dagster.defs.runs import instance_at
from heph_dagster.settings import Settings
from heph_dagster_tests.endurance.judgement import judge
from heph_dagster_tests.endurance.operation import Operation
from heph_dagster_tests.endurance.webhook import Webhook
from heph_dagster_tests.endurance.world import LEVEL, World, days_from, plan

LAYER = "VIIRS_SNPP_CorrectedReflectance_TrueColor"
FIRST = date(2023, 3, 1)
HISTORY = 50
_FEWEST = 30
_SETTLE_SECONDS = 900


def main() -> int:
    """Run it; 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(prog="make endurance", description=__doc__)
    parser.add_argument("--days", type=int, default=60, help="days of operation")
    parser.add_argument("--seconds", type=float, default=6.0, help="that a day takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that is left to be looked at")
    told = parser.parse_args()
    if told.days < _FEWEST:
        parser.error(f"--days must be {_FEWEST} or more, for all that happens")
    root = (told.keep or Path(tempfile.mkdtemp(prefix="endurance-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    try:
        return _run(root, told.days, told.seconds, told.seed)
    finally:
        if told.keep is None:
            shutil.rmtree(root)


def _run(root: Path, count: int, seconds: float, seed: int) -> int:
    history, days = days_from(FIRST, HISTORY), days_from(FIRST, HISTORY + count)[HISTORY:]
    events = plan(days, seed)
    data = root / "data"
    data.mkdir()
    catalogue = limit_days(data, [LAYER], history[0], days[-1])
    world = World(root, catalogue, catalogue[LAYER])
    started = time.monotonic()
    world.make([*history, *days], [event.day for event in events if event.what == "replace" and event.day], seed)
    _say(started, f"made {len(history) + len(days)} days")
    for day in history:
        world.publish(day)
    webhook = Webhook()
    with world.serving() as url, webhook.listening() as hook:
        variables = {
            "HEPH_DATA_DIR": str(data), "HEPH_GIBS_URL": url, "HEPH_LEVEL": f"{LEVEL}", "HEPH_LAYERS": LAYER,
            "HEPH_AUTOMATION": "true", "HEPH_WATCH_FROM": f"{days[0]}", "HEPH_LOOK_SECONDS": "5",
            "HEPH_RECHECK_HOURS": f"{3 * seconds / 3600}", "HEPH_RECHECK_DAYS": "12", "HEPH_ALERT_WEBHOOK": hook,
            "HEPH_ALERT_AREA_KM2": "0",
        }  # fmt: skip
        os.environ.update(variables)
        settings = Settings()
        operation = Operation(settings, variables, settings.active_layer(LAYER), root / "daemon.log")
        operation.begin(history)
        _say(started, f"fetched, judged and learned from {len(history)} days of history")
        try:
            operation.start()
            _live(world, operation, events, count, seconds, started)
            settled = _settle(operation, days, started)
        finally:
            operation.stop()
        return judge(world, operation, webhook, days, settled=settled)


def _live(world: World, operation: Operation, events: list, count: int, seconds: float, started: float) -> None:
    """Let the days pass."""
    for now in range(max(count, events[-1].at + 1)):
        for event in (each for each in events if each.at == now):
            match event.what:
                case "publish":
                    world.publish(event.day)
                case "replace":
                    world.publish(event.day, 1)
                case "down" | "up":
                    world.down = event.what == "down"
                case _:
                    operation.kill(everything=event.what == "kill all")
            if event.what != "publish":
                _say(started, f"day {now}: {event.what}{f' {event.day}' if event.day else ''}")
        time.sleep(seconds)
        if operation.daemon is not None and operation.daemon.poll() is not None:
            operation.start()
            _say(started, f"day {now}: the daemon is started again")


def _settle(operation: Operation, days: list[date], started: float) -> bool:
    """Wait until all is done; whether it was in time."""
    until, quiet, told = time.monotonic() + _SETTLE_SECONDS, 0, ""
    with instance_at(operation.settings.dagster_home) as instance:
        while time.monotonic() < until:
            lacks = operation.lacking(instance, days)
            if f"{lacks}" != told:
                told = f"{lacks}"
                _say(started, f"left to do: {lacks or 'nothing'}")
            quiet = 0 if lacks else quiet + 1
            # The newest days are still asked for again, and alerts sent.
            if quiet >= 12:
                return True
            time.sleep(5)
    return False


def _say(started: float, text: str) -> None:
    sys.stdout.write(f"{time.monotonic() - started:6.0f} s  {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
