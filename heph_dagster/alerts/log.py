"""Alerts as lines of the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from heph_dagster.alerts.alert import Message

logger = logging.getLogger("heph_dagster.alerts")


@dataclass(frozen=True)
class Log:
    """Writes messages to the log `heph_dagster.alerts`, as warnings or errors."""

    name: str = "log"

    def send(self, message: Message) -> None:
        """Write a message."""
        level = logging.ERROR if message.severity == "error" else logging.WARNING
        logger.log(level, "%s\n%s\n%s", message.title, message.text, message.link)
