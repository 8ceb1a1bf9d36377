"""Followers of a real process: one that is stuck, one that is killed, one that stops in good order."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.domain import limits
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess
from tests.wire.native.caller import PREFIX, Told, read_events, text_of

STOP_SECONDS = limits.STOP_GRACE_SECONDS + 4
LONG = "[[tokens=3000 delay_ms=5]]"
MUCH = 20_000


class Server:
    """A server process with a client of its first tenant and one chat."""

    def __init__(self, process: ServerProcess, http: httpx.AsyncClient, chat: str) -> None:
        self.process = process
        self.http = http
        self.chat = chat
        self.host, self.port = process.url.removeprefix("http://").split(":")

    @property
    def events(self) -> str:
        """The path of the chat's events."""
        return f"{PREFIX}/chats/{self.chat}/events"

    @property
    def key(self) -> str:
        """The key of the client."""
        return self.http.headers["authorization"].removeprefix("Bearer ")

    async def start(self, text: str) -> dict[str, Any]:
        """A turn that has begun."""
        answer = await self.http.post(f"{PREFIX}/chats/{self.chat}/turns", json={"message": {"text": text}})
        assert answer.status_code == 202, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def turn(self, turn_id: str) -> dict[str, Any]:
        """A turn as it stands."""
        body: dict[str, Any] = (await self.http.get(f"{PREFIX}/turns/{turn_id}")).json()
        return body

    async def contents(self) -> list[str]:
        """The texts of the chat's messages."""
        answer = await self.http.get(f"/api/v1/chats/{self.chat}/messages", headers={"x-api-key": self.key})
        return [message["content"] for message in answer.json()["messages"]]

    async def follow(self, after: str | None = None) -> AsyncIterator[Told]:
        """The events as they come, up to the end of the stream, whatever ends it."""
        headers = {} if after is None else {"last-event-id": after}
        block = ""
        try:
            async with self.http.stream("GET", self.events, headers=headers) as answer:
                assert answer.status_code == 200, answer.status_code
                async for line in answer.aiter_lines():
                    block += f"{line}\n"
                    if not line:
                        for told in read_events(block):
                            yield told
                        block = ""
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return

    def open_socket(self, query: str = "") -> Any:
        """A socket on the chat."""
        return connect(
            f"ws://{self.host}:{self.port}{self.events}{query}",
            additional_headers={"authorization": f"Bearer {self.key}"},
            max_queue=None,
        )


@asynccontextmanager
async def serving(data_dir: Path, model: ScriptedModel, known: Server | None = None) -> AsyncIterator[Server]:
    """A process that is ready; of a start after the first the key and the chat are known."""
    process = ServerProcess(data_dir, ANTIPHON_MODEL_URL=model.url).begin()
    try:
        await asyncio.to_thread(process.await_ready)
        key = known.key if known else process.key("user")
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=process.url, headers=headers, timeout=20) as http:
            chat = known.chat if known else await _make_chat(http, key)
            yield Server(process, http, chat)
    finally:
        process.__exit__()


async def _make_chat(http: httpx.AsyncClient, key: str) -> str:
    answer = await http.post("/api/v1/chats/", headers={"x-api-key": key}, json={"user_id": "user"})
    chat: str = answer.json()["id"]
    return chat


async def frame(websocket: ClientConnection) -> dict[str, Any]:
    """The next frame of a socket."""
    found: dict[str, Any] = json.loads(await asyncio.wait_for(websocket.recv(), STOP_SECONDS))
    return found


def stuck_client(server: Server, *lines: str) -> socket.socket:
    """A connection that sends its request and then reads nothing, with as small a buffer as there is."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.connect((server.host, int(server.port)))
    head = [f"GET {server.events}?live=true HTTP/1.1", "host: x", f"authorization: Bearer {server.key}", *lines]
    client.sendall("".join(f"{line}\r\n" for line in [*head, ""]).encode())
    return client


UPGRADE = (
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.mark.parametrize("lines", [(), UPGRADE], ids=["stream", "socket"])
async def test_a_stuck_follower_is_cut_off_and_nobody_notices(tmp_path: Path, lines: tuple[str, ...]) -> None:
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ScriptedModel().serving())
        server = await stack.enter_async_context(serving(tmp_path / "data", model))
        turn = await server.start(f"[[tokens={MUCH}]]")
        stuck = stuck_client(server, *lines)
        stack.callback(stuck.close)
        reading = [asyncio.create_task(_text(server)) for _ in range(3)]
        await asyncio.to_thread(server.process.await_log, "was cut off")
        assert await asyncio.gather(*reading) == [" ".join(f"t{number}" for number in range(MUCH))] * 3
        assert (await server.turn(turn["id"]))["state"] == "completed"
        left = await asyncio.to_thread(_drain, stuck)
        assert b"turn-ended" not in left


async def _text(server: Server) -> str:
    return text_of([told async for told in server.follow()])


def _drain(client: socket.socket) -> bytes:
    """What was on its way to a client that wakes up; the connection is broken behind it."""
    client.settimeout(STOP_SECONDS)
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionError:
        pass
    finally:
        client.close()
    return got


async def test_followers_go_on_after_a_crash(tmp_path: Path) -> None:
    """A stream has all that is kept, once, and then the end; a socket, which had more than that, hears the end."""
    async with ScriptedModel().serving() as model:
        async with serving(tmp_path / "data", model) as server:
            turn = await server.start("[[tokens=400 delay_ms=10]]")
            websocket = await server.open_socket()
            told: list[Told] = []
            async for one in server.follow():
                told.append(one)
                if one.event == "text-added" and len(told) > 40:
                    server.process.kill()
            seen = [json.loads(text)["sequence"] for text in await _rest_of(websocket)][-1]
        assert int(told[-1].id or "") <= seen
        async with serving(tmp_path / "data", model, server) as again:
            ends = [asyncio.create_task(_end_of(again, f"?after={after}")) for after in range(seen - 2, seen + 8)]
            rest = [one async for one in again.follow(told[-1].id)]
            assert [one.id for one in [*told, *rest]] == [str(n) for n in range(len(told) + len(rest))]
            assert (rest[-1].event, rest[-1].data["state"]) == ("turn-ended", "interrupted")
            assert [end["data"]["state"] for end in await asyncio.gather(*ends)] == ["interrupted"] * len(ends)
            assert (await again.turn(turn["id"]))["state"] == "interrupted"
            assert (await again.contents())[-1] == text_of([*told, *rest])


async def _rest_of(websocket: ClientConnection) -> list[str]:
    """What a socket was sent until its connection broke."""
    texts: list[str] = []
    with suppress(ConnectionClosed):
        while True:
            texts.append(str(await websocket.recv()))
    return texts


async def _end_of(server: Server, query: str) -> dict[str, Any]:
    async with server.open_socket(query) as websocket:
        while (told := json.loads(await asyncio.wait_for(websocket.recv(), 60)))["event"] != "turn-ended":
            pass
        found: dict[str, Any] = told
        return found


async def test_sigterm_during_a_turn_keeps_its_text_and_tells_everybody(tmp_path: Path) -> None:
    async with ScriptedModel().serving() as model:
        async with serving(tmp_path / "data", model) as server:
            turn = await server.start(LONG)
            websocket = await server.open_socket()
            frames = [await frame(websocket) for _ in range(20)]
            stream = asyncio.create_task(_all(server))
            stuck = stuck_client(server)
            server.process.ask_to_stop()
            began = time.monotonic()
            while frames[-1]["event"] != "turn-ended":
                frames.append(await frame(websocket))
            told = await stream
            assert await asyncio.to_thread(server.process.child.wait, STOP_SECONDS) == 0
            stuck.close()
            await websocket.wait_closed()
            assert websocket.close_code == 1001
            assert time.monotonic() - began < STOP_SECONDS
            assert [one.data for one in told] == [one["data"] for one in frames]
            assert told[-1].data["state"] == "interrupted"
        async with serving(tmp_path / "data", model, server) as again:
            assert (await again.turn(turn["id"]))["state"] == "interrupted"
            assert (await again.contents())[-1] == text_of(told)


async def _all(server: Server) -> list[Told]:
    return [told async for told in server.follow()]
