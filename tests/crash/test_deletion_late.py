"""Who writes late: held at any call to the store while the chat is deleted, a writer brings nothing back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.deletion.engine import Target
from antiphon.core.deletion.worker import Worker
from antiphon.core.embeddings import Embeddings
from antiphon.core.idempotency import Idempotency
from antiphon.core.indexing import Indexing
from antiphon.core.instance import Instance
from antiphon.core.ports.embeddings import Vector
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL, CHAT, DONE, PURGING, Deletion, Order
from antiphon.domain.errors import AntiphonError, ChatNotFound
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.turns import TurnStart
from antiphon.stores.contract.vectors import heading
from antiphon.stores.contract.worlds import (
    ALL,
    add_chat,
    new_multi,
    new_single,
    new_tenant,
    reload_deletion,
    say_many,
    texts_of,
)
from antiphon.stores.sqlite.store import SqliteStore
from antiphon.streams.live import LiveStreams
from tests.receipts import receipts_of
from tests.scripted_agent import ScriptedAgent
from tests.unit.core.watched_store import WatchedStore

Write = Callable[[Instance, Uid, Chat], Awaitable[Any]]
PATIENCE_SECONDS = 30


async def say(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """An append."""
    return await instance.messages.append(tenant_id, chat.key, [Draft("ann", USER, "late")])


async def open_socket(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """A socket."""
    return await instance.connections.open(tenant_id, chat.key, "ann", lambda _: None)


async def start_turn(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """A turn, to its end."""
    start = TurnStart(chat.key, new_uid7(), "assistant", Draft("ann", USER, "late"))
    turn = (await instance.turns.start(tenant_id, start)).turn
    while instance.turns._tasks:
        await asyncio.wait(instance.turns._tasks)
    return turn


async def reply(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """A question at a socket, and the agent's answer."""
    connection = await instance.connections.open(tenant_id, chat.key, "ann", lambda _: None)
    await instance.replies.ask(connection, "late", "{}")
    return [piece async for piece in instance.replies.answer(connection)]


async def mark_read(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """A read mark."""
    who, _ = await instance.store.participants.ensure(tenant_id, PEER, "ann")
    return await instance.store.chats.mark_read(tenant_id, chat.key, who.id)


class Embedder:
    """Finds that all texts mean the same."""

    batch = 10

    async def name(self) -> str:
        """See the port."""
        return "model"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See the port."""
        return [heading(0) for _ in texts]

    async def close(self) -> None:
        """See the port."""


async def index(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """The background's work on what was said: the index of words, and vectors."""
    await say(instance, tenant_id, chat)
    store = instance.store
    await Indexing(store, [store.search, Embeddings(store, Embedder())]).catch_up()


async def say_once(instance: Instance, tenant_id: Uid, chat: Chat) -> Any:
    """An append whose answer is kept."""

    async def work() -> tuple[bytes, Subject]:
        await say(instance, tenant_id, chat)
        return b"late", Subject(chat.key)

    return await Idempotency(instance.store).once(tenant_id, chat.key, b"asked", work)


WRITERS: list[Write] = [say, open_socket, start_turn, reply, mark_read, index, say_once]
"""Each begins with a call that is refused once the chat is gone."""


class EveryCall(dict[str, Any]):
    """What goes before every call to a store: at one of them it waits until it is released."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.calls = 0
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self._at = at

    def get(self, _: object, default: object = None) -> Any:
        """The same for all."""
        return self._pass

    async def _pass(self, *_: object) -> None:
        self.calls += 1
        if self.calls == self._at:
            self.reached.set()
            await self.released.wait()


class Room:
    """A chat that is written to and deleted, in a session that goes on."""

    def __init__(self, store: SqliteStore, folder: Path) -> None:
        self.store = store
        self.watched: Any = WatchedStore(store)
        receipts = receipts_of(self.watched, folder)
        self.instance = Instance(self.watched, ScriptedAgent(), len, "scripted", LiveStreams(self.watched), receipts)

    async def make(self) -> None:
        """A tenant with the chat `c` in it."""
        self.tenant = await new_tenant(self.store)
        self.session, _ = await new_multi(self.store, self.tenant, "ben")
        self.chat, _ = await add_chat(self.store, self.tenant, self.session, "c")

    async def delete(self) -> Deletion:
        """From here on nothing shows it."""
        return await self.instance.deletions.delete(self.tenant, Target(CHAT, "c"), Order(CANCEL))

    async def purge(self, job: Deletion) -> None:
        """To the end."""
        while (await reload_deletion(self.store, self.tenant, job.id)).state != DONE:
            await self.instance.worker.run_once()

    async def check_gone(self) -> None:
        """Nothing of the old chat is there, and nothing of it is in a new one of its id."""
        with pytest.raises(ChatNotFound):
            await self.store.messages.page(self.tenant, self.chat.key, ALL)
        assert await self.store.turns.find_last(self.tenant, self.chat.key) is None
        again, _ = await add_chat(self.store, self.tenant, self.session, "c")
        assert again.key != self.chat.key
        assert await texts_of(self.store, self.tenant, again.key) == []
        assert (again.message_count, again.active_turn) == (0, None)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for more to scrub."""
    monkeypatch.setattr(limits, "SCRUB_GATHER_SECONDS", 0)


async def calls_of(store: SqliteStore, folder: Path, write: Write) -> int:
    """How many calls a writer makes when nobody is in its way."""
    room = Room(store, folder)
    await room.make()
    room.watched.before = every = EveryCall(0)
    await write(room.instance, room.tenant, room.chat)
    return every.calls


@pytest.mark.parametrize("is_purged", [False, True])
@pytest.mark.parametrize("write", WRITERS)
async def test_a_writer_held_anywhere_brings_nothing_back(
    write: Write, is_purged: bool, store: SqliteStore, tmp_path: Path
) -> None:
    calls = await calls_of(store, tmp_path, write)
    assert calls
    for number in range(1, calls + 1):
        room = Room(store, tmp_path)
        await room.make()
        room.watched.before = every = EveryCall(number)
        writing = asyncio.ensure_future(write(room.instance, room.tenant, room.chat))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await every.reached.wait()
            job = await room.delete()
            if is_purged:
                await room.purge(job)
            every.released.set()
            outcome = (await asyncio.gather(writing, return_exceptions=True))[0]
            assert not isinstance(outcome, BaseException) or isinstance(outcome, AntiphonError), outcome
            assert number > 1 or isinstance(outcome, ChatNotFound), "what comes after the deletion is refused"
            await room.check_gone()
            await room.purge(job)
    assert set((await store.orphans()).values()) == {0}


async def test_an_id_that_is_used_again_while_the_purge_runs_shows_no_old_row(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGE_ROWS", 10)
    monkeypatch.setattr(limits, "PURGE_ROUNDS", 1)
    monkeypatch.setattr(limits, "PURGE_ROWS_MIN", 10)
    tenant = await new_tenant(store)
    worker = Worker(store, receipts_of(store, tmp_path))
    session, chat = await new_single(store, tenant, "s")
    await say_many(store, tenant, chat, 95)
    job = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL))).deletion
    await worker.run_once()
    half = await reload_deletion(store, tenant, job.id)
    assert (half.state, half.counts) == (PURGING, {"messages": 10})
    _, again = await new_single(store, tenant, "s")
    states: list[str] = []
    while not states or states[-1] != DONE:
        assert await texts_of(store, tenant, again.key) == []
        await worker.run_once()
        states.append((await reload_deletion(store, tenant, job.id)).state)
    assert states.count(PURGING) > 5
    assert await texts_of(store, tenant, again.key) == []
    assert (await store.chats.find_of_single(tenant, "s")) == again
