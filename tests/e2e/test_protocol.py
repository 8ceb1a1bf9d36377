"""What comes over the wire before any dialect sees it: raw requests to a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from antiphon.domain import limits
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("protocol") / "data") as started:
        yield started


def talk(server: ServerProcess, *pieces: bytes) -> bytes:
    """All that a server answers to some bytes, until it closes the connection."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while more := connection.recv(65536):
                answer += more
        except ConnectionError:  # it had enough
            pass
        return answer


def test_a_head_within_the_limit_is_taken(server: ServerProcess) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: " + b"a" * (limits.HEAD_BYTES - 200)
    assert talk(server, head + b"\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"GET /", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: "])
def test_an_endless_head_is_refused(server: ServerProcess, start: bytes) -> None:
    answer = talk(server, start, *[b"a" * limits.HEAD_BYTES] * 40)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")  # a reset may overtake the answer
    assert talk(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_trailer_is_no_header(server: ServerProcess) -> None:
    key = server.key("user").encode()
    body = b'{"user_id":"u"}'
    request = (
        b"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: bad\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        b"%x\r\n%s\r\n0\r\nx-api-key: %s\r\n\r\n" % (len(body), body, key)
    )
    assert talk(server, request).startswith(b"HTTP/1.1 401")
    assert talk(server, request.replace(b"bad", key)).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("protocol", [b"h2c", b"foo", b"websocket"])
def test_an_upgrade_with_a_body_is_refused_and_its_body_is_no_request(server: ServerProcess, protocol: bytes) -> None:
    hidden = b"GET /v3/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    head = (
        b"POST /api/sessions HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %s\r\ncontent-length: %d\r\n\r\n"
        % (protocol, len(hidden))
    )
    answer = talk(server, head, hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_an_upgrade_that_is_not_ours_is_answered_and_the_connection_closed(server: ServerProcess) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    answer = talk(server, head)
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "extra", [b"?ticket=" + b"a" * 9000 + b" HTTP/1.1\r\n", b" HTTP/1.1\r\n" + b"x-more: 1\r\n" * 130]
)
def test_an_upgrade_with_a_head_too_large_for_a_socket_is_answered(server: ServerProcess, extra: bytes) -> None:
    rest = b"host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    key = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    answer = talk(server, b"GET /ws/chat" + extra + rest + key)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"content-length: %d\r\n" % len(body) in head
