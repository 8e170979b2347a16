"""Which alerts were sent, and which wait: `alerts.json` in the data root.

An alert is written down before it is sent, and told once by each channel, also across restarts. What a channel could
not send waits for the next time; the other channels do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from heph_dagster.alerts.alert import Alert, Channel, ChannelError, RefusedError, messages_of
from heph_dagster.files import locked
from heph_dagster.store import Store

FILE = "alerts.json"

_Entry = dict[str, Any]  # found_at; sent, the time by channel; alert, while some channel has not sent it


@dataclass
class Delivery:
    """What became of the alerts that waited.

    Attributes:
        messages: Number of messages that were sent, by channel.
        failures: What went wrong, in words that name the channel.
    """

    messages: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Outbox:
    """The alerts of a data root; processes may use it at once."""

    def __init__(self, root: Path) -> None:
        """Open the outbox of a data root."""
        self._store: Store[_Entry] = Store(root / FILE, "a list of alerts", _entry)

    def add(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Write down alerts to be sent.

        Returns:
            Those that were not known.

        Raises:
            ValueError: The file is damaged.
        """
        known = self._store.read()
        new = {alert.key: alert for alert in alerts if alert.key not in known}
        if not new:
            return []
        with self._store.changing() as entries:
            found_at = _now()
            for key, alert in new.items():
                entries.setdefault(key, {"found_at": found_at, "sent": {}, "alert": alert.as_json()})
        return list(new.values())

    def send(self, channels: Sequence[Channel], draw: Callable[[Alert], bytes | None]) -> Delivery:
        """Send what waits, through each channel what it has not sent yet.

        Args:
            channels: The channels, of different names.
            draw: Gives the picture of an alert, if there is one.

        Raises:
            ValueError: The file is damaged.
        """
        delivery = Delivery()
        drawn = cache(draw)
        # Another sender waits: else both send the same.
        with locked(self._store.path):
            for channel in channels:
                self._send(channel, drawn, delivery)
            self._forget({channel.name for channel in channels})
        return delivery

    def _send(self, channel: Channel, draw: Callable[[Alert], bytes | None], delivery: Delivery) -> None:
        waiting = [
            Alert.from_json(entry["alert"])
            for entry in sorted(self._store.read().values(), key=lambda entry: str(entry["found_at"]))
            if "alert" in entry and channel.name not in entry["sent"]
        ]
        for message in messages_of(waiting, draw):
            try:
                channel.send(message)
            except RefusedError as error:
                delivery.failures.append(f"{channel.name}: {error}")
                continue
            except ChannelError as error:
                delivery.failures.append(f"{channel.name}: {error}")
                return
            delivery.messages[channel.name] = delivery.messages.get(channel.name, 0) + 1
            with self._store.changing() as entries:
                for alert in message.alerts:
                    entries[alert.key]["sent"][channel.name] = _now()

    def _forget(self, channels: set[str]) -> None:
        """Keep of what all channels have sent no more than that."""

        def done(entry: _Entry) -> bool:
            return "alert" in entry and channels <= entry["sent"].keys()

        if any(map(done, self._store.read().values())):
            with self._store.changing() as entries:
                for entry in filter(done, entries.values()):
                    del entry["alert"]


def _entry(value: Any) -> _Entry:
    if not isinstance(value, dict) or not {"found_at", "sent"} <= value.keys():
        raise ValueError(f"{value!r} is no alert")
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
