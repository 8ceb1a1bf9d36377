"""Followers of a real process that vanish, that are stuck, and that are a thousand: the turn does not notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server_process import ServerProcess
from tests.wire.native.caller import PREFIX, read_events

PATIENCE_SECONDS = 40
LINGER_NOT = struct.pack("ii", 1, 0)
UPGRADE = (
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)
CROWD = 1_000
STUCK = 10
ANSWER = " ".join(f"{number}" + "\N{WATER WAVE}" * 320 for number in range(300))
"""In bytes longer than what fits on the way to a client that does not read, in characters as long as may be said."""

_TEXT_FRAME, _LONG_FRAME = 0x81, 126
GROWTH_MAX = 256 * 1024 * 1024
"""Bytes that the process may need for all of them: what they are behind, times their number, would be more."""


class Place:
    """A server process with a model behind it, and a client of the first tenant."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.host, port = process.url.removeprefix("http://").split(":")
        self.port = int(port)
        self.key = process.key("user")
        self.http = httpx.Client(
            base_url=process.url,
            headers={"authorization": f"Bearer {self.key}", "x-api-key": self.key},
            limits=httpx.Limits(max_keepalive_connections=1),
        )

    def new_chat(self) -> str:
        """The id of a chat."""
        answer = self.http.post("/api/v1/chats/", json={"user_id": "ann"})
        chat: str = answer.raise_for_status().json()["id"]
        return chat

    def start(self, chat: str, text: str) -> str:
        """The id of a turn that runs."""
        answer = self.http.post(f"{PREFIX}/chats/{chat}/turns", json={"message": {"text": text}})
        turn: str = answer.raise_for_status().json()["id"]
        return turn

    def state(self, turn: str) -> str:
        """How a turn stands."""
        state: str = self.http.get(f"{PREFIX}/turns/{turn}").raise_for_status().json()["state"]
        return state

    def contents(self, chat: str) -> list[str]:
        """The texts of a chat's messages."""
        answer = self.http.get(f"/api/v1/chats/{chat}/messages").raise_for_status()
        return [message["content"] for message in answer.json()["messages"]]

    def head(self, chat: str, *lines: str) -> bytes:
        """A request for the events as they come."""
        first = f"GET {PREFIX}/chats/{chat}/events?live=true HTTP/1.1"
        return "".join(
            f"{line}\r\n" for line in (first, "host: x", f"authorization: Bearer {self.key}", *lines, "")
        ).encode()

    def dial(self, chat: str, *lines: str) -> socket.socket:
        """A connection that asks for the events, with as small buffers on the way as there are."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        client.settimeout(PATIENCE_SECONDS)
        client.connect((self.host, self.port))
        client.sendall(self.head(chat, *lines))
        return client

    def sockets(self) -> int:
        """How many sockets the process has open."""
        folder = Path(f"/proc/{self.process.child.pid}/fd")
        return sum(_target(entry).startswith("socket:") for entry in folder.iterdir())

    def memory(self, name: str) -> int:
        """A figure of the process's memory, in bytes."""
        for line in Path(f"/proc/{self.process.child.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(name)


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except FileNotFoundError:
        return ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server over a model that is a process too: the crowd keeps this one busy."""
    command = [sys.executable, "-m", "tests.scripted_model", "--port", "0"]
    with ExitStack() as stack:
        model = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(model.send_signal, signal.SIGKILL)
        assert model.stdout is not None
        url = model.stdout.readline().strip()
        data_dir = tmp_path_factory.mktemp("followers") / "data"
        place = Place(stack.enter_context(ServerProcess(data_dir, ANTIPHON_MODEL_URL=url)))
        stack.callback(place.http.close)
        yield place


def until(is_met: Callable[[], bool], what: str) -> None:
    """Ask again and again until it holds."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not is_met():
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)  # between two looks at a process that tells nothing by itself


def test_clients_that_vanish_without_a_word(place: Place) -> None:
    """Some break the connection in the middle, some stop reading: the turn is said and stored whole, nobody is kept."""
    chat = place.new_chat()
    turn = place.start(chat, "[[tokens=1]]")
    until(lambda: place.state(turn) != "running", "the first turn is over")
    before = place.sockets()  # with the one to the model, which is kept
    turn = place.start(chat, "[[tokens=150 delay_ms=10]]")
    clients = [place.dial(chat, *lines) for lines in ((), UPGRADE) for _ in range(10)]
    for client in clients:
        assert client.recv(20).startswith(b"HTTP/1.1 ")
    assert place.sockets() >= before + len(clients)
    for client in clients[::2]:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        client.close()
    until(lambda: place.state(turn) != "running", "the turn is over")
    assert place.state(turn) == "completed"
    assert place.contents(chat)[3] == " ".join(f"t{number}" for number in range(150))
    for client in clients[1::2]:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        client.close()
    until(lambda: place.sockets() <= before, "no socket is left")
    for word in ("Traceback", "unforeseen", "a stream broke", "loose end"):
        assert word not in place.process.log


async def read_all(place: Place, chat: str, *lines: str) -> bytes:
    """All that a connection is told, up to the end of the turn."""
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(place.head(chat, *lines))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101" if lines else b"HTTP/1.1 200")
    got = bytearray()
    while b"turn-ended" not in got[-200:]:
        piece = await reader.read(1024 * 1024)
        assert piece, "it was cut off"
        got += piece
    writer.transport.abort()
    return bytes(got)


def events_of_stream(got: bytes) -> list[Any]:
    """The events of a body that came in chunks, the last of which may not be complete."""
    body, at = b"", 0
    while (end := got.find(b"\r\n", at)) >= 0 and (size := int(got[at:end], 16)):
        body += got[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return [told.data for told in read_events(body.decode())]


def events_of_socket(got: bytes) -> list[Any]:
    """The events of the text frames of a WebSocket, which stand in the order of their sequences."""
    told, at = [], 0
    while at < len(got):
        kind, size = got[at], got[at + 1]
        at += 2
        if size == _LONG_FRAME:
            (size,) = struct.unpack_from(">H", got, at)
            at += 2
        if kind == _TEXT_FRAME:
            told.append(json.loads(got[at : at + size]))
        at += size
    assert [one["sequence"] for one in told] == list(range(len(told)))
    return [one["data"] for one in told]


async def test_a_thousand_followers_ten_of_whom_are_stuck(place: Place) -> None:
    """Everybody else has every event, in order; the ten are cut off with a reason; memory stays within bounds."""
    chat, memory = place.new_chat(), place.memory("VmRSS")
    turn = place.start(chat, f"[[text={ANSWER}]]")
    stuck = [place.dial(chat, *lines) for lines in ((), UPGRADE) for _ in range(STUCK // 2)]
    kinds = [(events_of_stream, ()), (events_of_socket, UPGRADE)] * ((CROWD - STUCK) // 2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        got = await asyncio.gather(*(read_all(place, chat, *lines) for _, lines in kinds))
    told = [read(one) for (read, _), one in zip(kinds, got, strict=True)]
    assert "".join(event["text"] for event in told[0] if event["type"] == "text-added") == ANSWER
    assert told[0][-1] == {"type": "turn-ended", "state": "completed"}
    assert [number for number, events in enumerate(told) if events != told[0]] == []
    assert (place.state(turn), place.contents(chat)[1]) == ("completed", ANSWER)
    await asyncio.to_thread(until, lambda: place.process.log.count("was cut off") == STUCK, "all ten are cut off")
    assert place.process.log.count("FOLLOWER_TOO_SLOW") + place.process.log.count("follower_too_slow") == STUCK
    left = await asyncio.gather(*(asyncio.to_thread(drain, client) for client in stuck))
    assert not [rest for rest in left if b"turn-ended" in rest]
    assert place.memory("VmHWM") - memory < GROWTH_MAX


def drain(client: socket.socket) -> bytes:
    """What was on its way to a client that wakes up; the connection is broken behind it."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionError:
        pass
    finally:
        client.close()
    return got
