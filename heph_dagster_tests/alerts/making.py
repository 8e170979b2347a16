"""Alerts and messages to send."""

from __future__ import annotations

from datetime import date, timedelta

from heph_dagster.alerts.alert import Alert, Message

FIRST = date(2024, 3, 1)
PICTURE = b"\xff\xd8 a picture"


def alert(number: int = 0, kind: str = "missing_data", subject: str = "layer", **values: object) -> Alert:
    day = FIRST + timedelta(days=number)
    link = f"http://127.0.0.1:3000/assets/gibs/{subject}/{kind}?view=partitions&partition={day}"
    fields = {"title": f"{subject}: {kind} {day}", "text": "5 km2", "severity": "warning", "link": link, "day": day}
    return Alert(f"{kind}/{subject}/{day}", kind, subject, **fields | values)


def message(picture: bytes | None = PICTURE, **values: object) -> Message:
    one = alert(**values)
    return Message(one.title, one.text, one.severity, one.link, (one,), picture)
