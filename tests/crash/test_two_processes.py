"""Two servers on one PostgreSQL database: what one does the other knows, and what one leaves behind the other ends."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from antiphon.domain import times
from antiphon.stores.postgres.migrations import known_migrations
from tests.postgres_server import EMPTY, PostgresServer, postgres_server
from tests.server_process import ServerProcess, command

__all__ = ["postgres_server"]

WORKSPACE = "/v3/workspaces/default"
PATIENCE_SECONDS = 20


class Two:
    """Two processes, a client of both, and a connection to their database."""

    def __init__(self, one: ServerProcess, two: ServerProcess, database_url: str, aside: Any) -> None:
        self.one, self.two, self.database_url, self.aside = one, two, database_url, aside
        printing = [server for server in (one, two) if "ant_" in server.printed]
        assert len(printing) == 1, "one process makes the first tenant"
        self.key = printing[0].key("user")
        self._http = httpx.Client()

    def close(self) -> None:
        self._http.close()

    def ask(self, server: ServerProcess, method: str, path: str, body: Any = None, key: str = "") -> httpx.Response:
        key = key or self.key
        headers = {"authorization": f"Bearer {key}"} if path.startswith("/v3") else {"x-api-key": key}
        return self._http.request(method, server.url + path, json=body, headers=headers)

    def command(self, *words: str) -> dict[str, Any]:
        return command(self.one.data_dir, *words, ANTIPHON_DATABASE_URL=self.database_url)

    def new_chat(self) -> str:
        """The id of a chat of ann's, made through the first process."""
        made = self.ask(self.one, "POST", "/api/v1/chats/", {"user_id": "ann"})
        assert made.status_code == 201, made.text
        chat_id: str = made.json()["id"]
        return chat_id

    def dial(self, server: ServerProcess, chat_id: str) -> ClientConnection:
        return connect(f"{server.socket_url}?api_key={self.key}&user_id=ann&chat_id={chat_id}")


@pytest.fixture
async def two(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Two]:
    """Two processes that were started together on an empty database."""
    name = await postgres_server.create_database(EMPTY)
    url = postgres_server.url(name)
    aside = await asyncpg.connect(url)
    servers = [ServerProcess(tmp_path / name, ANTIPHON_DATABASE_URL=url).begin() for name in ("one", "two")]
    try:
        one, other = (server.await_ready() for server in servers)
        both = Two(one, other, url, aside)
        yield both
        both.close()
    finally:
        for server in servers:
            server.__exit__()
        await aside.close()
        await postgres_server.drop_database(name)


async def until(is_met: Callable[[], Any], what: str) -> None:
    """Ask again and again until it holds."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not await is_met():
        assert time.monotonic() < ends, f"not within {PATIENCE_SECONDS} s: {what}"
        await asyncio.sleep(0.02)


async def test_they_migrate_once_and_share_what_is_written(two: Two) -> None:
    versions = [row[0] for row in await two.aside.fetch("SELECT version FROM schema_migrations ORDER BY version")]
    assert versions == [number for number, _, _ in known_migrations()]
    assert await two.aside.fetchval("SELECT count(*) FROM tenants") == 1
    for number in range(20):
        writer, reader = (two.one, two.two) if number % 2 else (two.two, two.one)
        assert two.ask(writer, "POST", f"{WORKSPACE}/sessions", {"id": f"s{number}"}).status_code == 201
        messages = [{"content": "hello", "peer_id": "ann"}]
        said = two.ask(writer, "POST", f"{WORKSPACE}/sessions/s{number}/messages", {"messages": messages})
        assert said.status_code == 201
        read = two.ask(reader, "POST", f"{WORKSPACE}/sessions/s{number}/messages/list", {})
        assert [item["id"] for item in read.json()["items"]] == [said.json()[0]["id"]]


async def test_a_key_revoked_on_one_stops_on_the_other_within_a_second(two: Two) -> None:
    made = two.command("keys", "create", "--tenant", "default", "--participant", "eve")

    def statuses() -> list[int]:
        servers = (two.one, two.two)
        return [two.ask(server, "GET", "/api/sessions/none", key=made["key"]).status_code for server in servers]

    assert statuses() == [404, 404]
    two.command("keys", "revoke", made["id"])
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        statuses()  # a key in constant use must end too
    assert statuses() == [401, 401]


async def test_a_deletion_of_a_killed_process_is_finished_by_the_other(two: Two) -> None:
    assert two.ask(two.one, "POST", f"{WORKSPACE}/sessions", {"id": "s"}).status_code == 201
    messages = [{"content": "hello", "peer_id": "ann"}]
    assert two.ask(two.one, "POST", f"{WORKSPACE}/sessions/s/messages", {"messages": messages}).status_code == 201
    two.two.child.send_signal(signal.SIGSTOP)  # so that the first process takes the job
    async with two.aside.transaction():
        await two.aside.execute("SELECT FROM messages FOR UPDATE")  # and does not get to its end
        assert two.ask(two.one, "DELETE", f"{WORKSPACE}/sessions/s").status_code == 202

        async def is_stuck() -> bool:
            held = await two.aside.fetchval("SELECT count(*) FROM deletions WHERE lease_until > now()")
            return bool(held and await two.aside.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(is_stuck, "the first process holds the job")
        two.one.kill()
    assert await two.aside.fetchval("SELECT count(*) FROM messages") == 1
    two.two.child.send_signal(signal.SIGCONT)
    assert await two.aside.fetchval("SELECT count(*) FROM deletions WHERE lease_until > now()") == 1
    await two.aside.execute("UPDATE deletions SET lease_until = now()")  # as if ten seconds had gone by

    async def is_done() -> bool:
        return bool(await two.aside.fetchval("SELECT state = 'done' FROM deletions"))

    await until(is_done, "the second process has finished it")
    assert await two.aside.fetchval("SELECT count(*) FROM messages") == 0
    assert two.ask(two.two, "POST", f"{WORKSPACE}/sessions", {"id": "s"}).status_code == 201


async def test_a_refusal_says_how_many_sockets_are_open_on_both_and_until_when(two: Two) -> None:
    async def last_lease() -> int:
        found = await two.aside.fetchval("SELECT extract(epoch FROM max(expires_at)) * 1000000 FROM connections")
        return int(found)

    chat_id = two.new_chat()
    with two.dial(two.one, chat_id) as here:
        assert json.loads(here.recv())["event_type"] == "connection_established"
        with two.dial(two.two, chat_id) as there:
            assert json.loads(there.recv())["event_type"] == "connection_established"
            for server in (two.one, two.two):
                before = await last_lease()
                refusal = two.ask(server, "DELETE", f"/api/v1/chats/{chat_id}")
                check_refusal(refusal, 2)
                assert before <= times.from_text(refusal.json()["details"]["until"]) <= await last_lease()  # or renewed
        two.one.kill()

    async def is_one_left() -> bool:
        return two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}").json()["details"]["active_connections"] == 1

    await until(is_one_left, "the socket that was closed counts no more")
    refusals = [two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}") for _ in range(2)]
    ends = {times.from_text(refusal.json()["details"]["until"]) for refusal in refusals}
    assert ends == {await last_lease()}, "nobody renews what a dead process held"
    await two.aside.execute("UPDATE connections SET expires_at = now()")  # as if thirty seconds had gone by
    assert two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}").status_code == 200


async def test_a_ticket_made_on_one_is_good_once_on_either(two: Two) -> None:
    chat_id = two.new_chat()
    for maker, taker in ((two.one, two.two), (two.two, two.one)):
        ticket = two.ask(maker, "POST", "/antiphon/v1/tickets", {"chat": chat_id}).json()["ticket"]
        said = []
        for server in (taker, maker, taker):
            with connect(f"{server.socket_url}?ticket={ticket}&user_id=ann&chat_id={chat_id}") as socket:
                event = json.loads(socket.recv())
                said.append(event.get("error_code", event["event_type"]))
        assert said == ["connection_established", "AUTH_ERROR", "AUTH_ERROR"]


async def test_the_sockets_of_a_killed_process_stop_counting_when_their_lease_ends(two: Two) -> None:
    chat_id = two.new_chat()
    with two.dial(two.one, chat_id) as socket:
        assert json.loads(socket.recv())["event_type"] == "connection_established"
        check_refusal(two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}"))
        two.one.kill()
    check_refusal(two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}"))
    left = await two.aside.fetchval("SELECT extract(epoch FROM max(expires_at) - now()) FROM connections")
    assert 0 < left <= 30
    await two.aside.execute("UPDATE connections SET expires_at = now()")  # as if thirty seconds had gone by
    assert two.ask(two.two, "DELETE", f"/api/v1/chats/{chat_id}").status_code == 200
    assert await two.aside.fetchval("SELECT count(*) FROM connections") == 0


def check_refusal(answer: httpx.Response, sockets: int = 1) -> None:
    assert (answer.status_code, answer.json()["error_code"]) == (409, "CHAT_HAS_ACTIVE_CONNECTIONS")
    assert answer.json()["details"]["active_connections"] == sockets
