"""How servers are reached: certificates, proxies, and who asks."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heph_dagster.access import Access
from heph_dagster.gibs import client as client_module
from heph_dagster.gibs.budget import recent_requests
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.client import Answer, GibsClient, GibsError, UnreachableError, _retry_after
from heph_dagster.gibs.download import DayRequest, FailedDay, FetchedDay, fetch_days
from heph_dagster.gibs.gdal_download import GdalSource, fetch_image
from heph_dagster.gibs.server.run import _listen, running_app
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, EPSG, LEVEL
from heph_dagster_tests.gibs.downloading import DAY, fetch, files_below, one, tile_answer
from heph_dagster_tests.servers import scripted


def own_authority(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = folder / "server.pem"
    pem.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return pem


@contextmanager
def encrypted(pem: Path) -> Iterator[str]:
    """A server over TLS that answers every request with a tile."""

    async def answer(_: Request) -> Response:
        return tile_answer()

    app = Starlette(routes=[Route("/{path:path}", answer)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ssl_certfile=pem, ssl_keyfile=pem))
    with _listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def test_a_certificate_that_nobody_vouches_for_ends_the_day_at_once(tmp_path: Path, viirs: Layer) -> None:
    with encrypted(own_authority(tmp_path)) as url:
        client = GibsClient(url, connections=1, backoff=0)
        (failed,) = fetch_days(client, DayRequest(viirs, EPSG, 0, tmp_path / "data"), [DAY])
    assert isinstance(failed, FailedDay)
    assert "cannot be trusted" in str(failed.error)
    assert "self-signed certificate" in str(failed.error)
    assert "HEPH_CA_BUNDLE" in str(failed.error)
    assert client.requests == 1
    assert not files_below(tmp_path / "data")


def test_a_bundle_of_ones_own_is_trusted(tmp_path: Path, viirs: Layer) -> None:
    pem = own_authority(tmp_path)
    with encrypted(pem) as url:
        client = Settings(gibs_url=url, ca_bundle=pem).client()
        assert one(fetch_days(client, DayRequest(viirs, EPSG, 0, tmp_path), [DAY])).tiles == 2


def test_gdal_trusts_it_for_a_call_only(tmp_path: Path, viirs: Layer) -> None:
    pem = own_authority(tmp_path)
    request = DayRequest(viirs, EPSG, 0, tmp_path, refresh=True)
    with encrypted(pem) as url:
        source = GdalSource(protocol="tms", url=url, access=Access(ca_bundle=pem))
        assert fetch_image(source, request, DAY, "jpg").path.exists()
        with pytest.raises(GibsError, match="certificate"):
            fetch_image(GdalSource(protocol="tms", url=url), request, DAY, "jpg")


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_bundle_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(ValueError, match=r"the CA bundle .*bundle\.pem cannot be used"):
        Access(ca_bundle=bundle).trust()


def test_without_a_bundle_certificates_are_checked() -> None:
    assert Access().trust() is True
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


def test_requests_say_who_asks_and_go_through_the_proxy(tmp_path: Path, viirs: Layer) -> None:
    asked: list[tuple[str, str]] = []

    async def proxy(request: Request) -> Response:
        asked.append((request.headers["host"], request.headers["user-agent"]))
        return tile_answer()

    with running_app(Starlette(routes=[Route("/{path:path}", proxy)])) as url:
        settings = Settings(gibs_url="http://gibs.invalid", proxy=url, contact="mailto:me@example.org")
        assert one(fetch_days(settings.client(), DayRequest(viirs, EPSG, 0, tmp_path), [DAY])).tiles == 2
    assert {host for host, _ in asked} == {"gibs.invalid"}
    assert all(agent.startswith("heph-dagster/") and agent.endswith("(+mailto:me@example.org)") for _, agent in asked)


def test_not_modified_is_no_answer_to_a_request_without_condition(tmp_path: Path, viirs: Layer) -> None:
    with scripted(lambda *_: Response(status_code=304)) as url:
        (failed,) = fetch(url, viirs, tmp_path, level=0)
    assert isinstance(failed, FailedDay)
    assert "answered 304" in str(failed.error)
    assert not files_below(tmp_path)


def test_requests_of_all_downloads_into_a_folder_count(
    tmp_path: Path, viirs: Layer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "TILES_OF_A_DAY", 5)
    with scripted(lambda _, path: tile_answer(next(day for day in DAYS if f"/{day}/" in path))) as url:
        for day, count in zip(DAYS, (2, 4, 6), strict=True):
            assert not caplog.records
            with caplog.at_level(logging.WARNING):
                assert one(fetch(url, viirs, tmp_path, day, level=0)).tiles == 2
            assert recent_requests(tmp_path) == count
    assert ["5 requests in 24 hours" in record.message for record in caplog.records] == [True]


def test_a_count_that_stands_above_already_warns_once(
    tmp_path: Path, viirs: Layer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "TILES_OF_A_DAY", 5)
    (tmp_path / "gibs_requests.json").write_text(f'{{"{datetime.now(UTC):%Y-%m-%dT%H}": 7}}', "utf-8")
    with scripted(lambda *_: tile_answer()) as url, caplog.at_level(logging.WARNING):
        assert one(fetch(url, viirs, tmp_path, level=0)).tiles == 2
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["8 requests in 24 hours"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3),
        ("600", 60),
        ("", 0),
        ("soon", 0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 60),
        ("Fri, 31 Dec 2999 23:59:59 -0000", 60),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
    ],
)
def test_a_server_may_name_a_time_to_ask_again(text: str, seconds: float) -> None:
    assert _retry_after(Answer("", 503, {"Retry-After": text}, b"")) == seconds


def test_a_server_that_is_gone_ends_the_range(tmp_path: Path, viirs: Layer, gibs_url: str) -> None:
    days = [DAYS[0] + timedelta(days=number) for number in range(6)]
    kept = one(fetch(gibs_url, viirs, tmp_path, days[3])).day
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = GibsClient(f"http://127.0.0.1:{closed.getsockname()[1]}", connections=1, backoff=0)
        results = fetch_days(client, DayRequest(viirs, EPSG, LEVEL, tmp_path), days)
    assert client.requests <= 3 * 5  # those of two days, and of one that had begun
    failed = [result for result in results if isinstance(result, FailedDay)]
    assert [result.day for result in failed] == [day for day in days if day != kept]
    assert all(type(result.error) is UnreachableError for result in failed)
    assert len({str(result.error) for result in failed}) == 1
    assert [result.outcome for result in results if isinstance(result, FetchedDay)] == ["kept"]


def test_days_that_fail_otherwise_do_not_end_the_range(tmp_path: Path, viirs: Layer) -> None:
    days = [DAYS[0] + timedelta(days=number) for number in range(4)]
    with scripted(lambda *_: Response("no", 403)) as url:
        failed = fetch(url, viirs, tmp_path, *days, level=0)
    assert all(f"/{day}/" in str(result.error) for day, result in zip(days, failed, strict=True))


def test_no_more_days_are_open_than_files_can_be(tmp_path: Path, viirs: Layer) -> None:
    days, most = [DAYS[0] + timedelta(days=number) for number in range(40)], 0

    def answer(_: int, path: str) -> Response:
        nonlocal most
        most = max(most, len(list(tmp_path.rglob(".*.part.jsonl"))))
        return tile_answer(next(day for day in days if f"/{day}/" in path))

    with scripted(answer) as url:
        fetch_days(GibsClient(url, connections=500), DayRequest(viirs, EPSG, 0, tmp_path), days)
    assert most == 16


def test_requests_of_yesterday_do_not_count(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    hours = {f"{now - timedelta(hours=age):%Y-%m-%dT%H}": 10**age for age in (0, 3, 26)}
    (tmp_path / "gibs_requests.json").write_text(str(hours).replace("'", '"'), "utf-8")
    assert recent_requests(tmp_path) == 1001


def test_a_count_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "gibs_requests.json").write_text("[]", "utf-8")
    with pytest.raises(ValueError, match=r"gibs_requests\.json is not a count of requests"):
        recent_requests(tmp_path)
