"""Alerts by e-mail, with the picture attached."""

from __future__ import annotations

import ipaddress
import logging
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import localtime, make_msgid
from urllib.parse import SplitResult, unquote, urlsplit

from heph_dagster.access import Access
from heph_dagster.alerts.alert import ChannelError, Message, RefusedError

_SECONDS = 10.0
_PORTS = {"smtp": smtplib.SMTP_PORT, "smtps": smtplib.SMTP_SSL_PORT}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mail:
    """Sends messages by a mail server.

    Attributes:
        url: The server, `smtp://user:password@host:port` or `smtps://...`. `smtp` goes over to TLS by STARTTLS, which
            the server must offer unless it runs on this machine. It stands in no error and no log.
        recipients: Addresses. The sender is the user where that is an address, else the first recipient.
        access: Whose certificate authorities are trusted.
    """

    url: str = field(repr=False)
    recipients: tuple[str, ...]
    access: Access = Access()
    name: str = "email"

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            RefusedError: The server takes no such message.
            ChannelError: The server cannot be reached, or does not let one in, or offers no TLS.
        """
        server, mail = urlsplit(self.url), self._mail(message)
        try:
            trust = self.access.trust()
        except ValueError as error:
            raise ChannelError(str(error)) from error
        context = ssl.create_default_context() if isinstance(trust, bool) else trust
        try:
            with _connection(server, context) as connection:
                if server.username:
                    connection.login(unquote(server.username), unquote(server.password or ""))
                refused = connection.send_message(mail)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            raise RefusedError(f"the mail server refuses the message: {_reason(error)}") from None
        except UnicodeError:
            raise ChannelError("user or password have letters that mail servers do not take") from None
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelError(f"the mail server cannot be used: {_reason(error)}") from None
        if refused:
            logger.warning("the mail server refuses %s of %s recipients", len(refused), len(self.recipients))

    def _mail(self, message: Message) -> EmailMessage:
        user = unquote(urlsplit(self.url).username or "")
        mail = EmailMessage()
        mail["Subject"] = " ".join(f"[heph_dagster] {message.title}".split())
        mail["From"] = user if "@" in user else self.recipients[0]
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = localtime()
        mail["Message-ID"] = make_msgid(domain="heph-dagster.invalid")
        mail.set_content(f"{message.text}\n\n{message.link}\n")
        if message.picture is not None:
            mail.add_attachment(message.picture, maintype="image", subtype="jpeg", filename="day.jpg")
        return mail


def _connection(server: SplitResult, context: ssl.SSLContext) -> smtplib.SMTP:
    host, port = str(server.hostname), server.port or _PORTS[server.scheme]
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=context)
    connection = smtplib.SMTP(host, port, timeout=_SECONDS)
    try:
        _encrypt(connection, host, context)
    except BaseException:
        connection.close()
        raise
    return connection


def _encrypt(connection: smtplib.SMTP, host: str, context: ssl.SSLContext) -> None:
    connection.ehlo()
    if connection.has_extn("starttls"):
        connection.starttls(context=context)
    elif not _is_loopback(host):
        raise smtplib.SMTPNotSupportedError


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):  # what it says may repeat what was sent
        return f"{type(error).__name__}, {error.smtp_code}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no TLS, or no way to log in"
    if isinstance(error, ssl.SSLError):
        return "its certificate cannot be trusted, or it speaks no TLS (HEPH_CA_BUNDLE names authorities of one's own)"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
