"""How a server ends when it is asked to: nobody new, answers finished, sockets told, in bounded time."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.domain import limits
from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess

STOP_SECONDS = limits.STOP_GRACE_SECONDS + 4


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@asynccontextmanager
async def started(data_dir: Path, **more: str) -> AsyncIterator[ServerProcess]:
    """A server that is ready; started beside the loop, which may have a model to serve."""
    server = ServerProcess(data_dir, **more).begin()
    try:
        yield await asyncio.to_thread(server.await_ready)
    finally:
        server.__exit__()


async def enter(server: ServerProcess) -> ClientConnection:
    """An open socket on a new chat of the first user, past its greeting."""
    key = server.key("user")
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{server.url}/api/v1/chats/", headers={"X-API-Key": key}, json={"user_id": "user"})
    chat_id = answer.json()["id"]
    socket = await connect(f"{server.socket_url}?api_key={key}&user_id=user&chat_id={chat_id}")
    assert (await event(socket))["event_type"] == "connection_established"
    return socket


async def event(socket: ClientConnection) -> dict[str, Any]:
    """The next event."""
    found = json.loads(await asyncio.wait_for(socket.recv(), STOP_SECONDS))
    assert isinstance(found, dict)
    return found


async def events_to_the_end(socket: ClientConnection) -> tuple[list[str], int | None]:
    """The types of all events up to the close, and its code."""
    kinds = []
    try:
        while True:
            kinds.append((await event(socket))["event_type"])
    except ConnectionClosed as end:
        return kinds, end.rcvd.code if end.rcvd else None


async def ended(server: ServerProcess) -> tuple[int, float]:
    """The exit status of a server that was asked to stop, and how long it took."""
    began = time.monotonic()
    status = await asyncio.to_thread(server.child.wait, STOP_SECONDS)
    return status, time.monotonic() - began


async def test_sigterm_closes_an_idle_socket_with_1001_and_exits_0(data_dir: Path) -> None:
    async with started(data_dir) as server:
        socket = await enter(server)
        server.ask_to_stop()
        assert await events_to_the_end(socket) == ([], 1001)
        status, seconds = await ended(server)
    assert status == 0, server.log
    assert seconds < limits.STOP_GRACE_SECONDS / 2


async def test_an_answer_under_way_is_finished_before_the_socket_is_closed(data_dir: Path) -> None:
    async with ScriptedModel().serving() as model, started(data_dir, ANTIPHON_MODEL_URL=model.url) as server:
        socket = await enter(server)
        await socket.send(json.dumps({"content": "[[tokens=10 delay_ms=50]]"}))
        while (await event(socket))["event_type"] != "message_stream_token":
            pass
        server.ask_to_stop()
        kinds, code = await events_to_the_end(socket)
        status, _ = await ended(server)
    assert kinds[-1] == "message_stream_ended"
    assert (code, status) == (1001, 0)


async def test_an_answer_without_end_is_cut_off_after_the_grace(data_dir: Path) -> None:
    async with ScriptedModel().serving() as model, started(data_dir, ANTIPHON_MODEL_URL=model.url) as server:
        socket = await enter(server)
        await socket.send(json.dumps({"content": "[[hang]]"}))
        while (await event(socket))["event_type"] != "message_stream_started":
            pass
        server.ask_to_stop()
        kinds, code = await events_to_the_end(socket)
        status, seconds = await ended(server)
    assert "message_stream_ended" not in kinds
    assert (code, status) == (1001, 0)
    assert seconds < STOP_SECONDS


async def test_a_second_signal_ends_it_at_once(data_dir: Path) -> None:
    async with ScriptedModel().serving() as model, started(data_dir, ANTIPHON_MODEL_URL=model.url) as server:
        socket = await enter(server)
        await socket.send(json.dumps({"content": "[[hang]]"}))
        while (await event(socket))["event_type"] != "message_stream_started":
            pass
        server.ask_to_stop()
        await asyncio.to_thread(server.await_log, '"stopping"')
        server.ask_to_stop()
        status, seconds = await ended(server)
        await socket.close()
    assert status == 128 + signal.SIGTERM
    assert seconds < limits.STOP_GRACE_SECONDS / 2


async def test_nobody_new_is_let_in_while_it_stops(data_dir: Path) -> None:
    async with ScriptedModel().serving() as model, started(data_dir, ANTIPHON_MODEL_URL=model.url) as server:
        socket = await enter(server)
        await socket.send(json.dumps({"content": "[[tokens=20 delay_ms=50]]"}))
        while (await event(socket))["event_type"] != "message_stream_token":
            pass
        server.ask_to_stop()
        await asyncio.to_thread(server.await_log, '"stopping"')
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"{server.url}/healthz")
        kinds, _ = await events_to_the_end(socket)
        await ended(server)
    assert kinds[-1] == "message_stream_ended"
