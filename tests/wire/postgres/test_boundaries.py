"""One request of each kind, cut off at every boundary: before PostgreSQL gets a statement, and after it has answered.

What was refused before anything reached the database has changed nothing; what was acknowledged is there, once; and
who asks again gets what was wanted.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.connections import Connection
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.postgres import database
from antiphon.stores.postgres.store import PostgresStore
from antiphon.streams.live import LiveStreams
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent
from tests.tcp_proxy import TcpProxy

MANY = 60
DONE = (200, 201, 202)
HONCHO = "/v3/workspaces/t1"


class Wires:
    """One account over every wire, and what the requests are about."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http, self._key = http, key
        self.session = ""

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._key}"} if path.startswith("/v3") else {"x-api-key": self._key}
        return await self._http.request(method, path, json=body, headers=headers)

    async def prepare(self) -> None:
        """A session on two wires, with a message by ann, and chats to delete."""
        self.session = (await self.ask("POST", "/api/sessions", {"title": "T"})).json()["session"]["id"]
        assert (await self.make("s")).status_code == 201
        assert (await self.say("hello", "ann")).status_code == 201

    async def make(self, session_id: str) -> httpx.Response:
        return await self.ask("POST", f"{HONCHO}/sessions", {"id": session_id})

    async def say(self, text: str, peer: str) -> httpx.Response:
        body = {"messages": [{"content": text, "peer_id": peer}]}
        return await self.ask("POST", f"{HONCHO}/sessions/s/messages", body)

    async def add_chat(self, number: int) -> httpx.Response:
        return await self.ask("POST", f"/api/sessions/{self.session}/chats", {"id": chat_id(number)})


def chat_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


class Act(msgspec.Struct, frozen=True):
    """A request; how many rows say that it was done, and how many there are when it was; where nobody may know.

    `doubts` is how many of the boundaries end in 503: those at which a commit is under way. What has an id on the wire
    may be asked for again and is done once.
    """

    name: str
    do: Callable[[Wires, int], Awaitable[httpx.Response]]
    count: str
    done: int = 1
    doubts: int = 0
    has_id: bool = False
    setup: Callable[[Wires, int], Awaitable[Any]] | None = None


READ = "SELECT count(*) FROM messages WHERE text = 'hello' AND $1 > 0"
SAID = "SELECT count(*) FROM messages WHERE text = 'n' || $1::int"
NAMED = "SELECT count(*) FROM sessions WHERE id = 's' || $1::int"
CHAT = "SELECT count(*) FROM chats WHERE id = lpad(to_hex($1::int), 8, '0') || '-0000-4000-8000-000000000000'"
OWNED = "SELECT count(*) FROM chats c JOIN participants p ON p.id = c.owner_id WHERE p.name = 'u' || $1::int"

ACTS = [
    Act("page of messages", lambda w, _: w.ask("POST", f"{HONCHO}/sessions/s/messages/list", {}), READ),
    Act("list of chats", lambda w, _: w.ask("GET", f"/api/sessions/{w.session}/chats"), READ),
    Act("message of a member", lambda w, n: w.say(f"n{n}", "ann"), SAID, doubts=1),
    Act("message of a new peer", lambda w, n: w.say(f"n{n}", f"peer-{n}"), SAID, doubts=2),
    Act("session by its id", lambda w, n: w.make(f"s{n}"), NAMED, doubts=1, has_id=True),
    Act("chat by its id", lambda w, n: w.add_chat(n), CHAT, doubts=1, has_id=True),
    Act("chat of a new user", lambda w, n: w.ask("POST", "/api/v1/chats/", {"user_id": f"u{n}"}), OWNED, doubts=2),
    Act(
        "deletion",
        lambda w, n: w.ask("DELETE", f"/api/sessions/{w.session}/chats/{chat_id(n)}"),
        CHAT,
        done=0,
        doubts=1,
        has_id=True,
        setup=lambda w, n: w.add_chat(n),
    ),
]


@pytest.fixture
async def instance(store: PostgresStore, agent: ScriptedAgent, tmp_path: Path) -> Instance:
    """An instance without background work, whose statements would be counted too."""
    return Instance(
        store,
        agent,
        lambda text: len(text.split()),
        default_model="scripted",
        streams=LiveStreams(store),
        receipts=receipts_of(store, tmp_path),
    )


@pytest.fixture
async def wires(http: httpx.AsyncClient, make_key: Callable[..., Awaitable[str]]) -> Wires:
    made = Wires(http, await make_key("t1", "ann", "tenant"))
    await made.prepare()
    return made


@pytest.mark.parametrize("is_answered", [False, True], ids=["unasked", "unanswered"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name.replace(" ", "-"))
async def test_cut_at_every_boundary(
    act: Act,
    is_answered: bool,
    wires: Wires,
    proxy: TcpProxy,
    store: PostgresStore,
    aside: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "_pause_seconds", lambda *_: 0.0)
    monkeypatch.setattr(limits, "KEY_CACHE_SECONDS", -1)  # the key is looked up every time,
    monkeypatch.setattr(limits, "TENANT_SETTINGS_SECONDS", -1)  # and so are the settings
    statuses: Counter[int] = Counter()
    for number in itertools.count(1):
        assert number < MANY, "it never gets to its end"
        if act.setup is not None:
            await act.setup(wires, number)
        before = await aside.fetchval(act.count, number)
        await store._database._pool.expire_connections()  # so that each try needs the same requests
        is_cut = proxy.break_at(number, is_answered=is_answered)
        answer = await act.do(wires, number)
        after = await aside.fetchval(act.count, number)
        statuses[answer.status_code] += 1
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            assert after == before or (is_answered and after == act.done)
            again = await act.do(wires, number)
            assert again.status_code in ((*DONE, 404, 409) if act.has_id else DONE)
            assert not act.has_id or await aside.fetchval(act.count, number) == act.done
        else:
            assert answer.status_code in DONE, answer.text
            assert after == act.done
        if not is_cut.is_set():
            break
    assert number > 2, "too few boundaries to have shown anything"
    assert statuses[503] == act.doubts
    pool = store._database._pool
    assert pool.get_idle_size() == pool.get_size() <= 2


async def test_a_socket_whose_opening_is_in_doubt_is_not_kept_alive(
    instance: Instance, proxy: TcpProxy, aside: Any
) -> None:
    tenant_id = (await instance.tenants.create("t1")).id
    chat, _ = await instance.chats.create_single(tenant_id, "ann", None, "{}")

    async def open_socket() -> Connection:
        return await instance.connections.open(tenant_id, chat.key, "ann", lambda _: None)

    await open_socket()
    for request in range(1, MANY):
        proxy.break_at(request, is_answered=True)
        try:
            opened = await open_socket()
        except StoreUnavailable:
            break
        proxy.restore()
        await instance.connections.close(opened)
    assert await aside.fetchval("SELECT count(*) FROM connections") == 2
    await instance.connections.renew()
    assert await aside.fetchval("SELECT count(*) FROM connections") == instance.connections.count == 1
