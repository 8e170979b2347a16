"""A server with a plan: days that come in time or late, and are replaced; outages; when the daemon is killed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.server import create_app
from heph_dagster.gibs.server.run import running_app
from heph_dagster.gibs.synthetic.archive import EPSG, Recipe, synthesize, truth_paths

LEVEL = 1
_LATE, _REPLACED, _OUTAGES, _KILLS = 6, 6, 3, 4

What = Literal["publish", "replace", "down", "up", "kill daemon", "kill all"]


@dataclass(frozen=True, order=True)
class Event:
    """Something that happens.

    Attributes:
        at: On which simulated day, from 0.
        what: What it is.
        day: The day of imagery that it concerns.
    """

    at: int
    what: What
    day: date | None = None


def plan(days: Sequence[date], seed: int) -> list[Event]:
    """What happens while days pass: each is published, some late, some are replaced within three days.

    Args:
        days: Days of imagery, one published each simulated day.
        seed: Of all chance.
    """
    rng = random.Random(seed)
    at = {day: number for number, day in enumerate(days)}
    late = rng.sample(days[2:-12], _LATE)
    for day in late:
        at[day] += rng.randint(2, 9)
    events = [Event(number, "publish", day) for day, number in at.items()]
    replaced = rng.sample([day for day in days[2:-6] if day not in late], _REPLACED)
    events += [Event(at[day] + rng.randint(1, 3), "replace", day) for day in replaced]
    for start in rng.sample(range(4, len(days) - 6, 8), _OUTAGES):
        events += [Event(start, "down"), Event(start + rng.randint(2, 4), "up")]
    kinds: list[What] = ["kill daemon", "kill all"]
    events += [
        Event(when, kinds[number % 2]) for number, when in enumerate(rng.sample(range(3, len(days) - 3), _KILLS))
    ]
    return sorted(events, key=lambda event: (event.at, event.what, event.day or date.min))


@dataclass
class World:
    """A GIBS server and what it has.

    Attributes:
        root: Folder of everything.
        catalogue: Layers.
        layer: The layer.
        versions: Which version of each day is published: 0, or 1 where it was replaced.
        down: Whether it answers nothing but errors.
    """

    root: Path
    catalogue: Catalogue
    layer: Layer
    versions: dict[date, int] = field(default_factory=dict)
    down: bool = False

    @property
    def served(self) -> Path:
        """The archive of the server."""
        return self.root / "served"

    def make(self, days: Sequence[date], replaced: Sequence[date], seed: int) -> None:
        """Make the days, and other versions of those that are replaced later."""
        synthesize(self.root / "0", [self.layer], days, self.catalogue, Recipe(seed, LEVEL))
        synthesize(self.root / "1", [self.layer], replaced, self.catalogue, Recipe(seed + 1, LEVEL))
        self.served.mkdir()

    def publish(self, day: date, version: int = 0) -> None:
        """Have a day, or another version of it: its mosaic comes last, as one."""
        source = mosaic_path(self.root / f"{version}", EPSG, day, self.layer)
        target = mosaic_path(self.served, EPSG, day, self.layer)
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.parent.glob(f"{self.layer.identifier}.*")):
            if path != source:
                shutil.copyfile(path, target.with_name(path.name))
        part = target.with_suffix(".part")
        shutil.copyfile(source, part)
        part.replace(target)
        self.versions[day] = version

    def codes(self, day: date, version: int) -> set[int]:
        """Label codes of what is wrong with a version of a day."""
        _, records = truth_paths(mosaic_path(self.root / f"{version}", EPSG, day, self.layer))
        return {each["code"] for each in json.loads(records.read_text("utf-8"))}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port of the loopback address."""
        app = create_app(self.served, self.catalogue)
        refusal = PlainTextResponse("down for maintenance", 503)

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            await (refusal if self.down and scope["type"] == "http" else app)(scope, receive, send)

        with running_app(outer) as url:
            yield url


def days_from(first: date, count: int) -> list[date]:
    """So many days in a row."""
    return [first + timedelta(days=number) for number in range(count)]
