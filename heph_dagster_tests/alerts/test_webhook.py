"""Webhooks: what is posted, what becomes of errors, and that none tells the address."""

from __future__ import annotations

import base64
import logging
import ssl
import traceback

import pytest

from heph_dagster.access import Access
from heph_dagster.alerts.alert import ChannelError, RefusedError
from heph_dagster.alerts.webhook import Webhook
from heph_dagster_tests.alerts.making import PICTURE, message
from heph_dagster_tests.gibs.test_access import encrypted, own_authority
from heph_dagster_tests.servers import posted

SECRET = "T0P-SECRET"


def test_json_has_all_of_a_message() -> None:
    with posted() as (url, bodies):
        Webhook(f"{url}/{SECRET}").send(message())
        Webhook(f"{url}/{SECRET}").send(message(picture=None))
    link = "http://127.0.0.1:3000/assets/gibs/layer/missing_data?view=partitions&partition=2024-03-01"
    alert = {
        "key": "missing_data/layer/2024-03-01", "kind": "missing_data", "subject": "layer",
        "title": "layer: missing_data 2024-03-01", "text": "5 km2", "severity": "warning", "link": link,
        "day": "2024-03-01",
    }  # fmt: skip
    whole = {"title": alert["title"], "text": "5 km2", "severity": "warning", "link": link, "alerts": [alert]}
    assert bodies == [
        {**whole, "picture_jpeg": base64.b64encode(PICTURE).decode()},
        {**whole, "picture_jpeg": None},
    ]


def test_slack_gets_text_that_it_reads() -> None:
    with posted() as (url, bodies):
        Webhook(url, form="slack").send(message(title="a < b", text="<!channel> & more"))
    link = "http://127.0.0.1:3000/assets/gibs/layer/missing_data?view=partitions&partition=2024-03-01"
    assert bodies == [{"text": f"*a &lt; b*\n&lt;!channel&gt; &amp; more\n<{link}|Open in Dagster>"}]


@pytest.mark.parametrize(
    ("host", "keys"), [("hooks.slack.com", {"text"}), ("hooks.slack.com.invalid", {"title", "picture_jpeg"})]
)
def test_slacks_address_is_known_and_a_proxy_is_used(host: str, keys: set[str]) -> None:
    with posted() as (url, bodies):
        Webhook(f"http://{host}/{SECRET}", Access(proxy=url)).send(message())
    assert keys <= bodies[0].keys()
    assert ("title" in bodies[0]) == ("title" in keys)


@pytest.mark.parametrize(
    ("status", "error"), [(500, ChannelError), (429, ChannelError), (302, ChannelError), (404, RefusedError)]
)
def test_answers_that_are_errors_are_told_and_redirects_not_followed(status: int, error: type[Exception]) -> None:
    with posted(lambda _: status) as (url, bodies), pytest.raises(ChannelError, match=f"^it answers {status}$") as told:
        Webhook(f"{url}/{SECRET}").send(message())
    assert type(told.value) is error
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://127.0.0.1:9/{SECRET}", "Connect call failed|Connection refused"),
        (f"http://127.0.0.1:99999/{SECRET}", "InvalidU"),
        (f"http://{SECRET}.invalid/", ""),
    ],
)
def test_no_error_or_log_tells_the_address(url: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    webhook = Webhook(url)
    with pytest.raises(ChannelError, match=f"^it cannot be reached: .*({reason})") as told:
        webhook.send(message())
    texts = [str(told.value), repr(webhook), caplog.text, *traceback.format_exception(told.value)]
    assert not [text for text in texts if SECRET.lower() in text.lower()]


def test_certificates_are_checked(tmp_path) -> None:
    pem = own_authority(tmp_path)
    with encrypted(pem) as url:
        with pytest.raises(ChannelError, match=r"its certificate cannot be trusted.*HEPH_CA_BUNDLE"):
            Webhook(url).send(message())
        with pytest.raises(RefusedError, match="405"):  # it is reached; it takes no posts
            Webhook(url, Access(ca_bundle=pem)).send(message())
    with pytest.raises(ChannelError, match=r"the CA bundle .*none\.pem cannot be used"):
        Webhook(url, Access(ca_bundle=tmp_path / "none.pem")).send(message())
    assert ssl.create_default_context().check_hostname
