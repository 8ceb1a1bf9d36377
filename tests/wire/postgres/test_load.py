"""Writers on every wire while the database goes away again and again: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import itertools
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from antiphon.domain import limits
from antiphon.stores.contract.worlds import until
from antiphon.stores.postgres.store import PostgresStore
from tests.postgres_server import RUN, PostgresServer, shared_server
from tests.tcp_proxy import Fault, TcpProxy, Way

HONCHO = "/v3/workspaces/t1"
WRITERS = 6
BATCH = 2
ENOUGH = 20
LONG = 1_000
MANY = 200
KILL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that these tests may restart."""
    with shared_server(f"{RUN}-load") as server:
        yield server


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose claim was lost with its answer is found again soon."""
    monkeypatch.setattr(limits, "JOB_LEASE_SECONDS", 1)


class Client:
    """Who asks until there is an answer other than 503, and notes what became of every write."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http, self._key = http, key
        self.stored: list[str] = []
        self.doubtful: list[str] = []
        self.chats: list[str] = []
        self.session = ""
        self.is_over = False

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._key}"} if path.startswith("/v3") else {"x-api-key": self._key}
        answer = await self._http.request(method, path, json=body, headers=headers)
        assert answer.status_code in (200, 201, 202, 404, 409, 503), answer.text
        assert (answer.status_code == 503) == ("retry-after" in answer.headers)
        return answer

    async def insist(self, method: str, path: str, body: Any = None) -> int:
        for _ in range(MANY):
            answer = await self.ask(method, path, body)
            if answer.status_code != 503:
                return answer.status_code
            await asyncio.sleep(0.01)
        raise AssertionError(f"{MANY} times 503")

    async def prepare(self) -> None:
        """Sessions to write to, and a long one to delete."""
        self.session = (await self.ask("POST", "/api/sessions", {})).json()["session"]["id"]
        for name in ("s", "long"):
            await self.insist("POST", f"{HONCHO}/sessions", {"id": name})
        for _ in range(LONG // 100):
            await self.insist("POST", f"{HONCHO}/sessions/long/messages", batch("filler", 100))

    async def say(self, writer: int) -> None:
        """Batch after batch, none of them twice."""
        for number in itertools.count():
            if self.is_over:
                return
            text = f"{writer}.{number}"
            answer = await self.ask("POST", f"{HONCHO}/sessions/s/messages", batch(text, BATCH, f"peer-{number % 7}"))
            (self.stored if answer.status_code == 201 else self.doubtful).append(text)
            await asyncio.sleep(0.001)

    async def make_chats(self) -> None:
        """Chats by their ids, each asked for until it is there."""
        while not self.is_over:
            chat_id = str(uuid.uuid4())
            status = await self.insist("POST", f"/api/sessions/{self.session}/chats", {"id": chat_id})
            assert status in (200, 409)
            self.chats.append(chat_id)
            await asyncio.sleep(0.005)

    async def has_written_more(self) -> None:
        """Return when so much more has been acknowledged that the fault is over."""
        stored, chats = len(self.stored), len(self.chats)

        async def is_enough() -> bool:
            return len(self.stored) >= stored + ENOUGH and len(self.chats) > chats

        await until(is_enough, "the server writes again")


def batch(text: str, count: int, peer: str = "ann") -> dict[str, Any]:
    return {"messages": [{"content": text, "peer_id": peer} for _ in range(count)]}


@pytest.fixture
async def client(http: httpx.AsyncClient, make_key: Callable[..., Awaitable[str]]) -> Client:
    made = Client(http, await make_key("t1", "ann", "tenant"))
    await made.prepare()
    return made


@asynccontextmanager
async def writing(client: Client) -> AsyncIterator[None]:
    """Keep all writers busy."""
    tasks = [asyncio.ensure_future(client.say(number)) for number in range(WRITERS)]
    tasks += [asyncio.ensure_future(client.make_chats()) for _ in range(2)]
    try:
        yield
        client.is_over = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def kill_all(url: str) -> None:
    """End every other session of that database, as a failover does (57P01)."""
    connection = await asyncpg.connect(url)
    await connection.fetch(KILL_OTHERS)
    await connection.close()


async def check_books(client: Client, url: str) -> None:
    """What was acknowledged is there once and whole, what was doubtful at most once, and nothing else."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT text, count(*) FROM messages WHERE text <> 'filler' GROUP BY text")
    found = dict(tuple(row) for row in rows)
    assert set(found.values()) == {BATCH}
    assert set(client.stored) <= set(found)
    assert set(found) <= {*client.stored, *client.doubtful}
    chats = await connection.fetch("SELECT id, count(*) FROM chats WHERE is_uuid GROUP BY id")
    assert {*client.chats} <= {chat for chat, _ in chats}
    assert {count for _, count in chats} == {1}
    places = await connection.fetch("SELECT array_agg(seq ORDER BY seq) FROM messages GROUP BY chat_key")
    assert all(seqs == list(range(1, len(seqs) + 1)) for (seqs,) in places)
    await connection.close()


async def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    client: Client, proxy: TcpProxy, postgres_server: PostgresServer, postgres_url: str, store: PostgresStore
) -> None:
    tasks = len(asyncio.all_tasks())
    async with writing(client):
        assert await client.insist("DELETE", f"{HONCHO}/sessions/long") in (202, 404)
        for fault in Fault.RST, Fault.FIN:
            proxy.cut(fault)
            await client.has_written_more()
        for octets, way in itertools.product((1, 700, 5_000), Way):
            proxy.break_after(octets, way)
            await client.has_written_more()
        for request in 1, 2, 5, 9:
            proxy.break_at(request, is_answered=True)
            await client.has_written_more()
        await kill_all(postgres_url)
        await client.has_written_more()
        proxy.refuse()
        proxy.restore()
        await client.has_written_more()
        for how in signal.SIGINT, signal.SIGQUIT:
            await asyncio.to_thread(postgres_server.restart, how)
            await client.has_written_more()
    assert client.doubtful, "no write was ever in doubt: nothing was shown"
    await check_books(client, postgres_url)
    await check_rest(store, postgres_url, tasks)


async def check_rest(store: PostgresStore, url: str, tasks: int) -> None:
    """The deletion ends, and nothing is left over."""

    async def is_deleted() -> bool:
        return (await store.deletions.pending())[0] == 0

    await until(is_deleted, "the deletion is done")
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE text = 'filler'") == 0
    open_now = await connection.fetch(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
    assert len(open_now) <= limits.STORE_CONNECTIONS

    async def is_quiet() -> bool:
        return len(asyncio.all_tasks()) <= tasks and not store._appender._tasks

    await until(is_quiet, "no task is left over")
    pool = store._database._pool
    assert pool.get_idle_size() == pool.get_size() <= limits.STORE_CONNECTIONS


async def test_of_two_that_wait_for_each_other_the_server_gives_in_and_comes_again(
    client: Client, postgres_url: str, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    aside = await asyncpg.connect(postgres_url)
    name = await aside.fetchval("SELECT current_database()")
    await aside.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '500ms'")
    await store._database._pool.expire_connections()
    chat_id = str(uuid.uuid4())
    await client.insist("POST", f"/api/sessions/{client.session}/chats", {"id": chat_id})
    async with aside.transaction():
        await aside.execute("SET LOCAL deadlock_timeout = '1min'")
        await aside.execute("SELECT FROM participants ORDER BY id FOR UPDATE")
        asking = asyncio.ensure_future(client.ask("DELETE", f"/api/sessions/{client.session}/chats/{chat_id}"))

        async def is_waiting() -> bool:
            return bool(await aside.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(is_waiting, "the deletion holds the chat and waits for its owner")
        await aside.execute("UPDATE chats SET title = 'aside' WHERE id = $1", chat_id)
    assert (await asking).status_code == 200
    assert "40P01" in [vars(record).get("result") for record in caplog.records]
    assert await aside.fetchval("SELECT count(*) FROM chats WHERE id = $1", chat_id) == 0
    await aside.close()
