"""Sending over HTTP: what counts as success, and where it never goes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from antiphon.domain import limits
from antiphon.domain.webhooks import Outcome
from antiphon.webhooks import sender as module
from antiphon.webhooks.sender import HttpSender
from tests.webhook_receiver import BROKEN, DRIP, FLOOD, GONE, HANG_UP, OK, REDIRECT, SILENT, Receiver

PUBLIC = "93.184.216.34"
HEADERS = {"webhook-id": "evt_1", "content-type": "application/json"}

Resolve = Callable[[str], list[str]]


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    """One that sends to this machine too, and is soon out of patience."""
    made = HttpSender(allow_private=True, whole_seconds=0.5, connect_seconds=0.3)
    yield made
    await made.close()


@pytest.fixture
async def strict() -> AsyncIterator[HttpSender]:
    """One as it is by default."""
    made = HttpSender()
    yield made
    await made.close()


def names(monkeypatch: pytest.MonkeyPatch, resolve: Resolve) -> list[str]:
    """Have names stand for what that says; the names that were asked for."""
    asked: list[str] = []

    def note(host: str) -> list[str]:
        asked.append(host)
        return resolve(host)

    monkeypatch.setattr(module, "resolve", note)
    return asked


def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let no connection leave this machine, and note where to it was tried."""
    tried: list[str] = []

    async def connect(_self: Any, _socket: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "sock_connect", connect)
    return tried


async def test_it_is_posted_as_it_is(sender: HttpSender) -> None:
    async with Receiver() as receiver:
        assert await sender.send(receiver.url("localhost"), HEADERS, b'{"a":1}') == Outcome(status=204)
        (request,) = receiver.received
    assert (request.target, request.body) == ("/hook?x=1", b'{"a":1}')
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("evt_1", "application/json")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (200, Outcome(status=200)),
        (299, Outcome(status=299)),
        (BROKEN, Outcome("bad_status", 500)),
        (404, Outcome("bad_status", 404)),
        (REDIRECT, Outcome("redirect", 302)),
        (GONE, Outcome("bad_status", 410, is_gone=True)),
        (SILENT, Outcome("timeout")),
        (DRIP, Outcome("timeout")),
        (HANG_UP, Outcome("broken_answer")),
    ],
)
async def test_what_an_answer_means(sender: HttpSender, answer: int, outcome: Outcome) -> None:
    async with Receiver(lambda _: answer) as receiver:
        assert await sender.send(receiver.url(), HEADERS, b"{}") == outcome
        assert len(receiver.received) == 1, "once, and a redirect is not followed"


async def test_a_flood_is_not_read() -> None:
    sender = HttpSender(allow_private=True)
    try:
        async with Receiver(lambda _: FLOOD) as receiver:
            assert await sender.send(receiver.url(), HEADERS, b"{}") == Outcome(status=200)
            assert receiver.flooded < 1_000 * limits.WEBHOOK_RESPONSE_BYTES
    finally:
        await sender.close()


async def test_a_receiver_that_is_down_is_unreachable(sender: HttpSender) -> None:
    async with Receiver() as receiver:
        url = receiver.url()
    assert await sender.send(url, HEADERS, b"{}") == Outcome("unreachable")
    assert await sender.send("http://no-such-name.invalid/", HEADERS, b"{}") == Outcome("unreachable")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_refused_under_every_name(strict: HttpSender, host: str) -> None:
    async with Receiver() as receiver:
        assert await strict.send(receiver.url(host), HEADERS, b"{}") == Outcome("private_address")
        assert receiver.received == []


@pytest.mark.parametrize("found", [["10.0.0.1"], [PUBLIC, "169.254.169.254"], ["fd00::1", PUBLIC], ["::ffff:10.0.0.1"]])
async def test_a_name_that_stands_for_anything_private_is_refused(
    strict: HttpSender, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    tried = connections(monkeypatch)
    names(monkeypatch, lambda _: found)
    assert await strict.send("http://inside.example/", HEADERS, b"{}") == Outcome("private_address")
    assert tried == []


async def test_a_name_that_changes_is_judged_at_each_delivery_and_asked_once(
    strict: HttpSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver:
        answers = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]
        tried = connections(monkeypatch)
        asked = names(monkeypatch, lambda _: answers.pop(0))
        assert await strict.send(receiver.url("rebind.example"), HEADERS, b"{}") == Outcome("unreachable")
        assert (tried, asked) == ([PUBLIC], ["rebind.example"]), "to the address that was judged"
        assert await strict.send(receiver.url("rebind.example"), HEADERS, b"{}") == Outcome("private_address")
        assert (tried, len(asked), receiver.received) == ([PUBLIC], 2, [])


async def test_the_next_address_is_tried_when_one_is_down(sender: HttpSender, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, lambda _: ["127.0.0.2", "127.0.0.1"])
    async with Receiver() as receiver:
        assert await sender.send(receiver.url("two.example"), HEADERS, b"{}") == Outcome(status=OK)
        assert receiver.received[0].headers["host"] == f"two.example:{receiver.port}"


async def test_a_certificate_is_checked_for_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate, trusting = certify(tmp_path, "hook.example")
    names(monkeypatch, lambda _: ["127.0.0.1"])
    asked: list[str | None] = []
    certificate.sni_callback = lambda _socket, name, _context: asked.append(name)
    sender = HttpSender(allow_private=True, verify=trusting)
    try:
        async with Receiver(tls=certificate) as receiver:
            assert await sender.send(receiver.url("hook.example"), HEADERS, b"{}") == Outcome(status=OK)
            assert await sender.send(receiver.url("other.example"), HEADERS, b"{}") == Outcome("unreachable")
            assert len(receiver.received) == 1
    finally:
        await sender.close()
    assert asked == ["hook.example", "other.example"]


def certify(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for that name: the context of who shows it, and of who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(path))
    server.load_cert_chain(path)
    return server, client
