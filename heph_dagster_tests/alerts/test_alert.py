"""Messages of one alert, and of many."""

from __future__ import annotations

import json

import pytest

from heph_dagster.alerts.alert import Alert, messages_of
from heph_dagster_tests.alerts.making import alert


def drawn(told: Alert) -> bytes:
    return told.key.encode()


@pytest.mark.parametrize("day", [alert().day, None])
def test_an_alert_is_the_same_after_json(day: object) -> None:
    told = alert(day=day)
    assert Alert.from_json(json.loads(json.dumps(told.as_json()))) == told


def test_ten_alerts_are_ten_messages() -> None:
    alerts = [alert(number) for number in range(10)]
    messages = messages_of(alerts, drawn)
    assert [each.alerts for each in messages] == [(each,) for each in alerts]
    assert (messages[3].title, messages[3].text, messages[3].link) == (alerts[3].title, "5 km2", alerts[3].link)
    assert messages[3].picture == b"missing_data/layer/2024-03-04"


def test_more_are_one_message_of_each_kind_and_layer() -> None:
    lost = [alert(number) for number in range(60)]
    other = [alert(number, subject="other", severity="error") for number in (1, 2)]
    stale = alert(0, "stale")
    messages = messages_of([*lost[:30], other[0], stale, *lost[30:], other[1]], drawn)
    assert [each.title for each in messages] == [
        "layer: 60 alerts of missing data", "other: 2 alerts of missing data", stale.title,
    ]  # fmt: skip
    assert [each.severity for each in messages] == ["warning", "error", "warning"]
    many = messages[0]
    assert many.alerts == tuple(lost)
    assert many.text.splitlines() == [*(f"- {each.title}" for each in lost[:50]), "- and 10 more"]
    assert many.link == "http://127.0.0.1:3000/assets/gibs/layer/missing_data"
    assert many.picture == lost[-1].key.encode()
