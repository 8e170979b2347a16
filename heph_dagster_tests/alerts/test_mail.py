"""E-mail: what is sent, how it is encrypted, and that no error tells a password."""

from __future__ import annotations

import logging
import ssl
import traceback
from pathlib import Path

import pytest

from heph_dagster.access import Access
from heph_dagster.alerts.alert import ChannelError, RefusedError
from heph_dagster.alerts.mail import Mail
from heph_dagster_tests.alerts.making import PICTURE, message
from heph_dagster_tests.gibs.test_access import own_authority
from heph_dagster_tests.servers import mail_server

TO = ("a@example.org", "b@example.org")


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return own_authority(tmp_path)


def tls(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_a_mail_has_title_text_link_and_picture() -> None:
    with mail_server() as server:
        Mail(f"smtp://127.0.0.1:{server.port}", TO).send(message(title="a title\nBcc: x@y.z"))
        Mail(f"smtp://127.0.0.1:{server.port}", TO[:1]).send(message(picture=None, text="größer"))
    first, second = server.mails
    assert first["Subject"] == "[heph_dagster] a title Bcc: x@y.z"
    assert (first["From"], first["To"], first["Bcc"]) == ("a@example.org", "a@example.org, b@example.org", None)
    assert server.recipients == [list(TO), ["a@example.org"]]
    text, picture = first.iter_parts()
    assert text.get_content().splitlines()[:1] == ["5 km2"]
    assert "http://127.0.0.1:3000/assets/gibs/layer/missing_data?view=partitions" in text.get_content()
    assert (picture.get_content_type(), picture.get_filename()) == ("image/jpeg", "day.jpg")
    assert picture.get_content() == PICTURE
    assert second.get_content().startswith("größer")
    assert not list(second.iter_attachments())


def test_starttls_is_used_where_it_is_offered_and_the_user_sends(pem: Path) -> None:
    with mail_server(tls=tls(pem), login="me@example.org:p/w") as server:
        Mail(f"smtp://me%40example.org:p%2Fw@127.0.0.1:{server.port}", TO, Access(ca_bundle=pem)).send(message())
        with pytest.raises(ChannelError, match=r"its certificate cannot be trusted.*HEPH_CA_BUNDLE"):
            Mail(f"smtp://127.0.0.1:{server.port}", TO).send(message())
    assert server.encrypted == [True]
    assert server.mails[0]["From"] == "me@example.org"


def test_other_machines_must_offer_tls() -> None:
    with mail_server() as server, pytest.raises(ChannelError, match="it offers no TLS"):
        Mail(f"smtp://0.0.0.0:{server.port}", TO).send(message())
    assert server.mails == []


@pytest.mark.parametrize(("password", "reason"), [("wr0ng", "SMTPAuthenticationError, 535"), ("%C3%B6", "letters")])
def test_no_error_or_log_tells_a_password(password: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with mail_server(login="u:right") as server:
        mail = Mail(f"smtp://u:{password}@127.0.0.1:{server.port}", TO)
        with pytest.raises(ChannelError, match=reason) as told:
            mail.send(message())
    texts = [str(told.value), repr(mail), caplog.text, *traceback.format_exception(told.value)]
    assert not [text for text in texts if password in text or "ö" in text]


def test_refused_recipients_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with mail_server(refused=TO[:1]) as server:
        with pytest.raises(RefusedError, match="refuses the message: SMTPRecipientsRefused"):
            Mail(f"smtp://127.0.0.1:{server.port}", TO[:1]).send(message())
        Mail(f"smtp://127.0.0.1:{server.port}", TO).send(message())
    assert server.recipients == [["b@example.org"]]
    assert "refuses 1 of 2 recipients" in caplog.text


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(ChannelError, match="the mail server cannot be used: Connection refused"):
        Mail("smtp://127.0.0.1:9", TO).send(message())


def test_smtps_is_encrypted_from_the_start(pem: Path) -> None:
    with mail_server(tls=tls(pem), from_the_start=True) as server:
        Mail(f"smtps://127.0.0.1:{server.port}", TO, Access(ca_bundle=pem)).send(message())
        with pytest.raises(ChannelError, match="its certificate cannot be trusted"):
            Mail(f"smtps://127.0.0.1:{server.port}", TO).send(message())
    assert server.encrypted == [True]
    with mail_server() as server, pytest.raises(ChannelError, match="speaks no TLS"):
        Mail(f"smtps://127.0.0.1:{server.port}", TO, Access(ca_bundle=pem)).send(message())
