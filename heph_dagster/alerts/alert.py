"""Alerts, and the messages that tell of one or of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal, Protocol

from heph_dagster.errors import HephError

MOST_SINGLE = 10
"""Alerts that are told one by one; of more at once, each kind and layer is one message."""
_MOST_LINES = 50

Severity = Literal["warning", "error"]


class ChannelError(HephError):
    """A channel that cannot be used now; its message names neither its address nor a password."""


class RefusedError(ChannelError):
    """A message that a channel does not take, though it may take others."""


@dataclass(frozen=True)
class Alert:
    """Something that somebody should know of.

    Attributes:
        key: What makes it one event, such as `missing_data/<layer>/<day>`: it is told once.
        kind: What it is of: a method, a check, `stale` or `run_failure`.
        subject: What it is about: a layer, an asset or a job. Alerts of one kind and subject are told together where
            there are many.
        title: A line.
        text: What is wrong, with figures.
        severity: `error` where work is held up, else `warning`.
        link: Where there is more.
        day: The day, where it is one of a day.
    """

    key: str
    kind: str
    subject: str
    title: str
    text: str
    severity: Severity
    link: str
    day: date | None = None

    def as_json(self) -> dict[str, Any]:
        """The alert in types of JSON."""
        return {**asdict(self), "day": self.day and self.day.isoformat()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Alert:
        """The alert that `as_json` has told.

        Raises:
            TypeError, ValueError: It is none.
        """
        day = values["day"]
        return cls(**values | {"day": day and date.fromisoformat(day)})


@dataclass(frozen=True)
class Message:
    """What a channel sends: an alert, or many of one kind and subject.

    Attributes:
        title: A line.
        text: What is wrong.
        severity: `error` or `warning`.
        link: Where there is more.
        alerts: What it tells of.
        picture: A JPEG file, where there is one to show.
    """

    title: str
    text: str
    severity: Severity
    link: str
    alerts: tuple[Alert, ...]
    picture: bytes | None


class Channel(Protocol):
    """A way by which messages reach people."""

    @property
    def name(self) -> str:
        """Its name, by which is remembered what went through it."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            RefusedError: The channel does not take this one.
            ChannelError: It cannot be used now.
        """


def messages_of(alerts: Sequence[Alert], draw: Callable[[Alert], bytes | None]) -> list[Message]:
    """The messages that tell of some alerts: one of each, or where there are more than 10 one of each kind and subject.

    Args:
        alerts: The alerts, in order.
        draw: Gives the picture of an alert, if there is one; a message of many shows that of the last.
    """
    if len(alerts) <= MOST_SINGLE:
        return [_single(alert, draw) for alert in alerts]
    groups: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        groups.setdefault((alert.kind, alert.subject), []).append(alert)
    return [_single(each[0], draw) if len(each) == 1 else _digest(each, draw) for each in groups.values()]


def _single(alert: Alert, draw: Callable[[Alert], bytes | None]) -> Message:
    return Message(alert.title, alert.text, alert.severity, alert.link, (alert,), draw(alert))


def _digest(alerts: list[Alert], draw: Callable[[Alert], bytes | None]) -> Message:
    last = alerts[-1]
    lines = [f"- {alert.title}" for alert in alerts[:_MOST_LINES]]
    if len(alerts) > _MOST_LINES:
        lines.append(f"- and {len(alerts) - _MOST_LINES} more")
    return Message(
        title=f"{last.subject}: {len(alerts)} alerts of {last.kind.replace('_', ' ')}",
        text="\n".join(lines),
        severity="error" if any(alert.severity == "error" for alert in alerts) else "warning",
        link=last.link.partition("?")[0],
        alerts=tuple(alerts),
        picture=draw(last),
    )
