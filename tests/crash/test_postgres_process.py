"""A real server whose database goes away under it, in the middle of its life and in the middle of its first start."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from antiphon.stores.postgres.database import open_database
from antiphon.stores.postgres.migrations import known_migrations, migrate
from tests.postgres_server import EMPTY, PostgresServer, postgres_server, postgres_url
from tests.server_process import ServerProcess
from tests.tcp_proxy import Fault, TcpProxy, proxy

__all__ = ["postgres_server", "postgres_url", "proxy"]

PATIENCE_SECONDS = 30


@pytest.fixture
async def empty_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database in which there is nothing."""
    name = await postgres_server.create_database(EMPTY)
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


def behind(proxy: TcpProxy, url: str) -> str:
    return proxy.url(urlsplit(url).path[1:])


def until(is_met: Callable[[], bool], what: str) -> None:
    """Ask again and again until it holds."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not is_met():
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)  # between two looks at a process that tells nothing by itself


async def look(url: str, query: str) -> Any:
    """The one value that a query gives."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def event_of(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next event of one of these types."""
    while (event := json.loads(socket.recv(PATIENCE_SECONDS)))["event_type"] not in kinds:
        pass
    assert isinstance(event, dict)
    return event


def exchange(socket: ClientConnection, content: str) -> tuple[str, str]:
    """Say something; how it was taken: the type of the event and the code of an error."""
    socket.send(json.dumps({"content": content}))
    taken = event_of(socket, "message_received", "error")
    if taken["event_type"] == "message_received":
        assert event_of(socket, "error")["error_code"] == "AI_ERROR"  # there is no model
    return taken["event_type"], taken.get("error_code", "")


def test_a_socket_and_its_server_outlive_a_database_that_was_away(
    proxy: TcpProxy, postgres_url: str, tmp_path: Path
) -> None:
    with ServerProcess(tmp_path / "data", ANTIPHON_DATABASE_URL=behind(proxy, postgres_url)) as server:
        with httpx.Client(base_url=server.url, headers={"x-api-key": server.key("user")}) as http:
            chat_id = http.post("/api/v1/chats/", json={"user_id": "ann"}).json()["id"]
            address = f"{server.socket_url}?api_key={server.key('user')}&user_id=ann&chat_id={chat_id}"
            with connect(address) as socket:
                assert event_of(socket, "connection_established")["chat_id"] == chat_id
                assert exchange(socket, "before") == ("message_received", "")
                proxy.refuse()
                assert exchange(socket, "meanwhile") == ("error", "INTERNAL_ERROR")
                ready = http.get("/readyz")
                assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
                assert http.get("/healthz").status_code == 200
                refused_socket(address)
                proxy.restore()
                until(lambda: http.get("/readyz").status_code == 200, "the server is ready again")
                assert exchange(socket, "after") == ("message_received", "")
            texts = http.get(f"/api/v1/chats/{chat_id}/messages").json()["messages"]
            assert [message["content"] for message in texts] == ["before", "after"]
            until(lambda: http.delete(f"/api/v1/chats/{chat_id}").status_code == 200, "the socket is forgotten")
        for word in ("meanwhile", "before", server.key("user"), "Traceback", "loose end", "unforeseen"):
            assert word not in server.log


def readiness(server: ServerProcess) -> str:
    return httpx.get(f"{server.url}/readyz").text


def refused_socket(address: str) -> None:
    """A socket that comes while the database is away is told so and closed."""
    with connect(address) as socket:
        assert event_of(socket, "error")["error_code"] == "INTERNAL_ERROR"
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_SECONDS)
        assert socket.close_code == 1011


def test_a_server_stops_although_its_database_says_nothing(proxy: TcpProxy, postgres_url: str, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", ANTIPHON_DATABASE_URL=behind(proxy, postgres_url)) as server:
        proxy.blackhole()
        server.ask_to_stop()
        assert server.child.wait(PATIENCE_SECONDS) == 0
        assert "not closed in the store" in server.log


async def test_a_first_start_that_is_killed_leaves_a_server_that_starts(
    proxy: TcpProxy, empty_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    measured = await postgres_server.create_database(EMPTY)
    database = await open_database(proxy.url(measured))
    await migrate(database)
    await database.close()
    await postgres_server.drop_database(measured)
    last = proxy.requests  # the commit; its answer is one later, since a connection begins with one
    assert last > 20
    for request, is_answered in ((2, False), (last // 2, False), (last, False), (last + 1, True)):
        reached = proxy.break_at(request, Fault.HOLD, is_answered=is_answered)
        server = ServerProcess(tmp_path / "data", ANTIPHON_DATABASE_URL=behind(proxy, empty_url)).begin()
        is_reached = await asyncio.to_thread(reached.wait, PATIENCE_SECONDS)
        server.__exit__()
        assert is_reached, server.log
        is_there = await look(empty_url, "SELECT to_regclass('tenants') IS NOT NULL")
        assert is_there == is_answered, (request, last)
    with ServerProcess(tmp_path / "data", ANTIPHON_DATABASE_URL=behind(proxy, empty_url)) as server:
        assert "ready" in readiness(server)
    versions = await look(empty_url, "SELECT array_agg(version ORDER BY version) FROM schema_migrations")
    assert versions == [number for number, _, _ in known_migrations()]
    assert await look(empty_url, "SELECT count(*) FROM tenants") == 1
