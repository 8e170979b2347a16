"""`heph alert test`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from heph_dagster.cli import main
from heph_dagster_tests.servers import mail_server, posted


def test_a_test_goes_through_every_channel(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("HEPH_ALERT_EMAIL", "ops@example.org, me@example.org")
    with posted() as (url, bodies), mail_server() as mails:
        monkeypatch.setenv("HEPH_ALERT_WEBHOOK", f"{url}/secret")
        monkeypatch.setenv("HEPH_ALERT_SMTP", f"smtp://127.0.0.1:{mails.port}")
        result = CliRunner().invoke(main, ["alert", "test"])
    assert (result.exit_code, result.output) == (0, "log: sent\nwebhook: sent\nemail: sent\n")
    assert bodies[0]["title"] == "a test"
    assert mails.recipients == [["ops@example.org", "me@example.org"]]
    assert "Nothing is wrong" in caplog.text


def test_a_channel_that_fails_is_named_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with posted(lambda _: 410) as (url, _):
        monkeypatch.setenv("HEPH_ALERT_WEBHOOK", f"{url}/secret")
        result = CliRunner().invoke(main, ["alert", "test"])
    assert (result.exit_code, result.output) == (1, "log: sent\nwebhook: failed, it answers 410\n")
