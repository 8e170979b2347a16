"""Each alert is sent once by each channel, whatever breaks."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heph_dagster.alerts.alert import Alert, ChannelError, Message, RefusedError
from heph_dagster.alerts.outbox import FILE, Outbox
from heph_dagster_tests.alerts.making import alert


@dataclass
class Notes:
    """A channel that keeps what it sends, or fails with an error of its own."""

    name: str = "notes"
    error: ChannelError | None = None
    poison: str = ""
    titles: list[str] = field(default_factory=list)
    tried: int = 0

    def send(self, message: Message) -> None:
        self.tried += 1
        if self.error is not None:
            raise self.error
        if message.title == self.poison:
            raise RefusedError("it answers 413")
        self.titles.append(message.title)


def undrawn(_: Alert) -> None:
    return None


def test_an_alert_is_sent_once_also_after_a_restart(tmp_path: Path) -> None:
    notes = Notes()
    assert Outbox(tmp_path).add([alert(0), alert(1), alert(0, text="again")]) == [alert(0, text="again"), alert(1)]
    assert Outbox(tmp_path).send([notes], undrawn).messages == {"notes": 2}
    assert Outbox(tmp_path).add([alert(1, text="judged anew"), alert(2)]) == [alert(2)]
    assert Outbox(tmp_path).send([notes], undrawn).messages == {"notes": 1}
    assert Outbox(tmp_path).send([notes], undrawn).messages == {}
    assert notes.titles == [alert(number).title for number in range(3)]


def test_what_a_channel_could_not_send_waits_and_the_others_go_on(tmp_path: Path) -> None:
    down, notes = Notes("webhook", ChannelError("it answers 503")), Notes()
    outbox = Outbox(tmp_path)
    outbox.add([alert(0), alert(1)])
    delivery = outbox.send([down, notes], undrawn)
    assert (delivery.messages, delivery.failures, down.tried) == ({"notes": 2}, ["webhook: it answers 503"], 1)
    outbox.add([alert(2)])
    outbox.send([down, notes], undrawn)
    down.error = None
    assert outbox.send([down, notes], undrawn).messages == {"webhook": 3}
    assert down.titles == notes.titles == [alert(number).title for number in range(3)]


def test_a_message_that_is_refused_does_not_keep_the_others(tmp_path: Path) -> None:
    notes = Notes(poison=alert(0).title)
    outbox = Outbox(tmp_path)
    outbox.add([alert(0), alert(1)])
    delivery = outbox.send([notes], undrawn)
    assert (delivery.messages, delivery.failures) == ({"notes": 1}, ["notes: it answers 413"])
    notes.poison = ""
    outbox.send([notes], undrawn)
    assert notes.titles == [alert(1).title, alert(0).title]


def test_a_thousand_alerts_are_one_message(tmp_path: Path) -> None:
    notes = Notes()
    outbox = Outbox(tmp_path)
    outbox.add(alert(number) for number in range(1000))
    assert outbox.send([notes], undrawn).messages == {"notes": 1}
    assert notes.titles == ["layer: 1000 alerts of missing data"]
    assert outbox.send([notes], undrawn).messages == {}


def test_what_was_sent_is_kept_in_short_and_a_new_channel_does_not_get_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([alert(0)])
    assert "alert" in json.loads((tmp_path / FILE).read_text("utf-8"))[alert(0).key]
    outbox.send([Notes()], undrawn)
    entry = json.loads((tmp_path / FILE).read_text("utf-8"))[alert(0).key]
    assert entry.keys() == {"found_at", "sent"}
    assert list(entry["sent"]) == ["notes"]
    new = Notes("new")
    outbox.send([new], undrawn)
    assert new.titles == []


def test_two_senders_send_once(tmp_path: Path) -> None:
    notes = Notes()
    Outbox(tmp_path).add(alert(number) for number in range(8))
    threads = [threading.Thread(target=Outbox(tmp_path).send, args=([notes], undrawn)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(notes.titles) == [alert(number).title for number in range(8)]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"schema": 1, "key": 3}', "utf-8")
    with pytest.raises(ValueError, match=rf"{FILE} is not a list of alerts \(3 is no alert\): delete it"):
        Outbox(tmp_path).add([alert()])
