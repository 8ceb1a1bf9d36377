"""A database that is away, slow or full, as callers of every wire see it; and that the server recovers by itself."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from antiphon.domain import limits
from antiphon.stores.contract.worlds import until
from antiphon.stores.postgres import database
from antiphon.stores.postgres.store import PostgresStore
from tests.tcp_proxy import TcpProxy

HONCHO = "/v3/workspaces/t1"
CONNECTIONS = 8
TRIES = 3
TABLES = "tenants, sessions, chats, messages, participants, deletions"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the store, a tenth as long, and fewer connections."""
    monkeypatch.setattr(limits, "STORE_BUSY_SECONDS", 0.5)
    monkeypatch.setattr(limits, "STORE_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(limits, "STORE_STATEMENT_SECONDS", 0.5)
    monkeypatch.setattr(limits, "STORE_END_SECONDS", 0.1)
    monkeypatch.setattr(limits, "STORE_CONNECTIONS", CONNECTIONS)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tries at once, so that their number ends them and not the time."""
    monkeypatch.setattr(database, "_pause_seconds", lambda *_: 0.0)


class Wires:
    """A tenant over every wire: one request that writes of each."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self.http, self.key = http, key

    async def recoup(self) -> httpx.Response:
        return await self.http.post("/api/sessions", json={}, headers={"x-api-key": self.key})

    async def lexicon(self) -> httpx.Response:
        return await self.http.post("/api/v1/chats/", json={"user_id": "ann"}, headers={"x-api-key": self.key})

    async def honcho(self, text: str = "hello", peer: str = "ann") -> httpx.Response:
        messages = [{"content": text, "peer_id": peer}]
        return await self.honcho_post("/sessions/s/messages", {"messages": messages})

    async def honcho_post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(HONCHO + path, json=body, headers={"authorization": f"Bearer {self.key}"})

    async def system(self) -> httpx.Response:
        return await self.http.get("/readyz")

    async def all(self) -> list[httpx.Response]:
        return list(await asyncio.gather(self.recoup(), self.lexicon(), self.honcho(), self.system()))


@pytest.fixture
async def wires(http: httpx.AsyncClient, make_key: Callable[..., Awaitable[str]]) -> Wires:
    made = Wires(http, await make_key("t1", "ann", "tenant"))
    assert (await made.honcho_post("/sessions", {"id": "s"})).status_code == 201
    assert (await made.honcho()).status_code == 201
    return made


def check_refusals(recoup: httpx.Response, lexicon: httpx.Response, honcho: httpx.Response, ready: Any) -> None:
    """Each is 503 in the shape of its wire, and says when to come again."""
    for answer in (recoup, lexicon, honcho, ready):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
    assert recoup.json() == {"status": "error", "error": "The server is busy, try again in a moment"}
    assert set(lexicon.json()) == {"success", "error_code", "error_message", "details", "detail"}
    assert (lexicon.json()["success"], lexicon.json()["error_code"]) == (False, "STORE_UNAVAILABLE")
    assert set(honcho.json()) == {"detail"}
    assert "try again" in honcho.json()["detail"]
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["store"] == {"kind": "postgres", "ok": False, "code": "store_unavailable"}


async def check_recovery(wires: Wires, aside: Any) -> None:
    """All works again within a few tries of each, on no more connections than there may be, and none is left open."""
    for ask in (wires.recoup, wires.lexicon, wires.honcho, wires.system):
        statuses = [(await ask()).status_code]
        while statuses[-1] == 503 and len(statuses) < TRIES:
            statuses.append((await ask()).status_code)
        assert statuses[-1] in (200, 201), statuses

    async def is_tidy() -> bool:
        open_now = await aside.fetch(
            "SELECT coalesce(state, '') FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(open_now) <= CONNECTIONS and not [state for (state,) in open_now if state.startswith("idle in")]

    # What works beside the requests is between two statements at times: what was left open stays so.
    await until(is_tidy, "no transaction is left open, and no connection too many")


async def test_a_database_that_refuses(wires: Wires, proxy: TcpProxy, aside: Any) -> None:
    proxy.refuse()
    check_refusals(*await wires.all())
    proxy.restore()
    await check_recovery(wires, aside)


async def test_a_database_that_takes_everything_and_says_nothing(
    wires: Wires, proxy: TcpProxy, aside: Any, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = len(asyncio.all_tasks())
    await asyncio.gather(*(wires.honcho() for _ in range(CONNECTIONS)))
    proxy.blackhole()
    assert (await wires.honcho()).status_code == 503  # and the connections that were idle are known to be dead
    check_refusals(*await wires.all())
    check_refusals(*await wires.all())
    proxy.restore()
    await check_recovery(wires, aside)

    async def is_tidy() -> bool:
        return proxy.connections <= CONNECTIONS and len(asyncio.all_tasks()) <= tasks

    await until(is_tidy, "the dead connections and what waited for them are gone")
    assert store._database._pool.get_size() <= CONNECTIONS
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []  # no loose end


async def test_when_one_connection_is_found_dead_the_others_are_replaced(
    wires: Wires, proxy: TcpProxy, store: PostgresStore
) -> None:
    await asyncio.gather(*(wires.system() for _ in range(CONNECTIONS)))
    assert store._database._pool.get_size() > CONNECTIONS / 2
    proxy.blackhole()
    assert (await wires.system()).status_code == 503
    proxy.restore()
    answers = await asyncio.gather(*(wires.system() for _ in range(CONNECTIONS)))
    assert [answer.status_code for answer in answers] == [200] * CONNECTIONS


async def test_what_was_stored_is_acknowledged_though_its_connection_breaks_after_it(
    wires: Wires, store: PostgresStore, aside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = type(store._database._pool)
    release = pool.release

    async def break_after(*given: Any, **more: Any) -> None:
        await release(*given, **more)
        raise TimeoutError

    monkeypatch.setattr(pool, "release", break_after)
    assert (await wires.honcho("kept")).status_code == 201
    assert (await wires.honcho("kept too", peer="bob")).status_code == 201
    assert await aside.fetchval("SELECT count(*) FROM messages WHERE text LIKE 'kept%'") == 2


async def test_a_slow_network_is_only_slow(wires: Wires, proxy: TcpProxy, aside: Any) -> None:
    proxy.delay_seconds = 0.02
    assert [answer.status_code for answer in await wires.all()] == [200, 201, 201, 200]
    proxy.restore()
    await check_recovery(wires, aside)


async def test_statements_that_take_too_long(wires: Wires, aside: Any) -> None:
    async with aside.transaction():
        await aside.execute(f"LOCK TABLE {TABLES}")
        check_refusals(*await wires.all())
    await check_recovery(wires, aside)


async def test_a_pool_that_is_used_up(wires: Wires, store: PostgresStore, aside: Any) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            await stack.enter_async_context(store._database._cursor())
        check_refusals(*await wires.all())
    await check_recovery(wires, aside)


REFUSING = """
CREATE SEQUENCE tries;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') <= {times} THEN
        {act};
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();
"""
END_ITSELF = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1)"


async def refuse(aside: Any, act: str, times: int, table: str) -> None:
    """Let the first inserts of that table fail in that way; a code of SQL says with which error."""
    if re.fullmatch(r"\w{5}", act):
        act = f"RAISE EXCEPTION 'no' USING ERRCODE = '{act}'"
    await aside.execute(REFUSING.format(act=act, times=times, table=table))


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize("act", ["40001", "40P01", "55P03", "57014"])
async def test_a_statement_that_was_undone_is_tried_again(wires: Wires, aside: Any, act: str) -> None:
    await refuse(aside, act, limits.STORE_ATTEMPTS - 1, "messages")
    assert (await wires.honcho("once")).status_code == 201
    assert await aside.fetchval("SELECT count(*) FROM messages WHERE text = 'once'") == 1
    assert await aside.fetchval("SELECT last_value FROM tries") == limits.STORE_ATTEMPTS


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize("act", ["40001", "53300", END_ITSELF], ids=["40001", "53300", "57P01"])
async def test_a_transaction_is_tried_again_and_not_for_ever(wires: Wires, aside: Any, act: str) -> None:
    await refuse(aside, act, limits.STORE_ATTEMPTS + 1, "members")
    answer = await wires.honcho("later", peer="bob")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await aside.fetchval("SELECT last_value FROM tries") == limits.STORE_ATTEMPTS
    assert await aside.fetchval("SELECT count(*) FROM messages WHERE text = 'later'") == 0
    assert (await wires.honcho("later", peer="bob")).status_code == 201
    assert await aside.fetchval("SELECT count(*) FROM messages WHERE text = 'later'") == 1
    await check_recovery(wires, aside)


async def test_a_process_that_is_ended_in_the_middle_of_a_statement_of_its_own(wires: Wires, aside: Any) -> None:
    await refuse(aside, END_ITSELF, 1, "messages")
    answer = await wires.honcho("doubtful")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert await aside.fetchval("SELECT count(*) FROM messages WHERE text = 'doubtful'") == 0
    assert (await wires.honcho("doubtful")).status_code == 201
    await check_recovery(wires, aside)


async def test_what_cannot_be_done_is_500_and_not_tried_again(wires: Wires, aside: Any) -> None:
    await refuse(aside, "XX000", 1, "messages")
    answer = await wires.honcho("never")
    assert (answer.status_code, "retry-after" in answer.headers) == (500, False)
    assert await aside.fetchval("SELECT last_value FROM tries") == 1
