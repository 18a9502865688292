"""Connections to public addresses only, and the certificate of the name that was asked for."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bot.channels.twilio_fetch import PublicFetcher, is_public
from bot.errors import PermanentError, TransientError


@dataclass
class Heard:
    """What a server was shown, one entry a connection and one a request."""

    port: int
    names: list[str | None] = field(default_factory=list)  # by the TLS handshake
    requests: list[list[str]] = field(default_factory=list)


@asynccontextmanager
async def serving(certificate: Path | None = None) -> AsyncIterator[Heard]:
    """A server on 127.0.0.1 that answers "hello", with TLS when there is a certificate."""
    heard = Heard(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.requests.append(head.decode().split("\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _, name, __: heard.names.append(name)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    heard.port = server.sockets[0].getsockname()[1]
    async with server:
        yield heard


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate and its key in one file, for each of two names."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {}
    for name in ("localhost", "another.example"):
        made[name] = folder / f"{name}.pem"
        key, whole = folder / f"{name}.key", folder / f"{name}.crt"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        subprocess.run([*command, *names, "-keyout", str(key), "-out", str(whole)], check=True, capture_output=True)
        made[name].write_text(key.read_text() + whole.read_text())
    return made


async def body(fetcher: PublicFetcher, url: str, *, trusted: bool = False) -> bytes:
    try:
        async with fetcher.get(httpx.URL(url), {"X-Shown": "yes"}, trusted=trusted) as response:
            return await response.aread()
    finally:
        await fetcher.close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("52.84.1.1", True),
        ("2600:9000:2000::1", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("2002:7f00:1::", False),
        ("2002:3454:101::", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0", "2130706433", "127.1"])
async def test_a_name_at_a_private_address_is_not_connected_to(host: str) -> None:
    async with serving() as heard:
        with pytest.raises(PermanentError, match="private address"):
            await body(PublicFetcher(timeout=5), f"http://{host}:{heard.port}/")
    assert heard.requests == []


async def test_an_address_of_the_operators_may_be_private() -> None:
    async with serving() as heard:
        assert await body(PublicFetcher(timeout=5), f"http://127.0.0.1:{heard.port}/a?b=c", trusted=True) == b"hello"
    (request,) = heard.requests
    assert request[0] == "GET /a?b=c HTTP/1.1"
    assert "X-Shown: yes" in request


async def test_a_name_that_is_not_found_may_be_later() -> None:
    with pytest.raises(TransientError, match="is not found"):
        await body(PublicFetcher(timeout=5), "https://media.invalid/")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "..example"])
async def test_what_cannot_be_a_name_is_not_found(host: str) -> None:
    with pytest.raises(TransientError, match="is not found"):
        await body(PublicFetcher(timeout=5), f"https://{host}/")


async def test_the_address_looked_at_is_connected_to_by_the_name_asked_for(certificates: dict[str, Path]) -> None:
    looked_at: list[str] = []

    def permitted(address: str) -> bool:
        looked_at.append(address)
        return True

    trust = ssl.create_default_context(cafile=certificates["localhost"])
    async with serving(certificates["localhost"]) as heard:
        fetcher = PublicFetcher(timeout=5, permitted=permitted, verify=trust)
        assert await body(fetcher, f"https://localhost:{heard.port}/photo") == b"hello"
    assert "127.0.0.1" in looked_at
    assert heard.names == ["localhost"]
    (request,) = heard.requests
    assert f"Host: localhost:{heard.port}" in request


async def test_a_certificate_for_another_name_is_refused(certificates: dict[str, Path]) -> None:
    trust = ssl.create_default_context(cafile=certificates["another.example"])
    async with serving(certificates["another.example"]) as heard:
        fetcher = PublicFetcher(timeout=5, permitted=lambda address: True, verify=trust)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await body(fetcher, f"https://localhost:{heard.port}/photo")
    assert heard.requests == []
