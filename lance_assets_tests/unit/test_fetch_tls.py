"""The connection goes to a checked address, yet TLS still verifies the name in the URL."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets_tests.fault_server import FaultServer

NAME = "images.example.org"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for NAME and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A TLS server that every name leads to; its certificate is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FaultServer(context) as server:

        def lookup(*_: object, **__: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        yield server


def limits() -> Limits:
    return Limits(attempts=1, read_s=3, total_s=3, allow_hosts=frozenset({NAME, "other.example.org"}))


def test_the_certificate_is_checked_against_the_name_of_the_url(server: FaultServer) -> None:
    with Fetcher(limits()) as fetcher:
        assert fetcher.fetch(f"https://{NAME}/ok/1").status == 200
        assert server.images == [("/ok/1", NAME)]
        with pytest.raises(FetchError, match=r"other\.example\.org") as caught:
            fetcher.fetch("https://other.example.org/ok/2")
    assert caught.value.reason == "robots_unavailable"  # the first thing that is asked for
    assert len(server.images) == 1


def test_an_unknown_certificate_is_refused(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with Fetcher(limits()) as fetcher, pytest.raises(FetchError, match="certificate"):
        fetcher.fetch(f"https://{NAME}/ok/1")
    assert server.requests == []


@pytest.mark.parametrize("kind", ["drip", "dripheader", "hang"])
def test_slow_answers_time_out_over_tls_too(server: FaultServer, kind: str) -> None:
    with Fetcher(limits()) as fetcher:
        with pytest.raises(FetchError) as caught:
            fetcher.fetch(f"https://{NAME}/{kind}/1")
        assert caught.value.reason == "timeout"
        assert fetcher.fetch(f"https://{NAME}/ok/after").status == 200
