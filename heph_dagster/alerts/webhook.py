"""Alerts to a webhook: as JSON, or as Slack and those that take Slack's messages want them."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

from heph_dagster.access import Access
from heph_dagster.alerts.alert import ChannelError, Message, RefusedError
from heph_dagster.gibs.coroutines import run_async

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_PASSING = frozenset({408, 425, 429})  # of the 4xx, those that say: later
_SLACK = "hooks.slack.com"

Form = Literal["json", "slack"]


@dataclass(frozen=True)
class Webhook:
    """Posts messages to an address, which is a secret: whoever has it can post.

    Attributes:
        url: The address. It stands in no error and no log.
        access: How it is reached.
        form: `json`, all of a message with its picture; or `slack`, text and link, because Slack's webhooks take no
            pictures. By default, `slack` at Slack's address.
    """

    url: str = field(repr=False)
    access: Access = Access()
    form: Form | None = None
    name: str = "webhook"

    def send(self, message: Message) -> None:
        """Post a message.

        Raises:
            RefusedError: The answer is an error of this message.
            ChannelError: The server cannot be reached, or answers with another error.
        """
        slack = self.form == "slack" if self.form else urlsplit(self.url).hostname == _SLACK
        try:
            trust = self.access.trust()
        except ValueError as error:
            raise ChannelError(str(error)) from error
        try:
            status = run_async(self._post(_slack(message) if slack else _json(message), trust=trust))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Neither the error nor its cause: they tell the address.
            raise ChannelError(f"it cannot be reached: {_reason(error)}") from None
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in _PASSING:
            raise RefusedError(f"it answers {status}")
        raise ChannelError(f"it answers {status}")

    async def _post(self, body: dict[str, Any], *, trust: ssl.SSLContext | bool) -> int:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust),
                timeout=_TIMEOUT,
                headers={"User-Agent": self.access.user_agent},
                proxy=self.access.proxy,
                trust_env=True,
            ) as session,
            session.post(self.url, json=body, allow_redirects=False) as answer,
        ):
            return answer.status


def _json(message: Message) -> dict[str, Any]:
    picture = message.picture and base64.b64encode(message.picture).decode("ascii")
    return {
        "title": message.title,
        "text": message.text,
        "severity": message.severity,
        "link": message.link,
        "alerts": [alert.as_json() for alert in message.alerts],
        "picture_jpeg": picture,
    }


def _slack(message: Message) -> dict[str, Any]:
    # Source: https://docs.slack.dev/messaging/formatting-message-text, escaping and links.
    title, text = (
        each.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for each in (message.title, message.text)
    )
    return {"text": f"*{title}*\n{text}\n<{message.link}|Open in Dagster>"}


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return "its certificate cannot be trusted, or it speaks no TLS (HEPH_CA_BUNDLE names authorities of one's own)"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return error.os_error.strerror
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
