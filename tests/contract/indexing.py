"""The contract of the work on messages that no append waits for: each message once, and none in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.core.ports import Store
from antiphon.core.ports.indexing import KINDS, TEXT, VECTORS, Backlog, Behind
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, InvalidInput, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.turns import COMPLETED, TurnEnding, TurnStart
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    detach,
    draft,
    new_single,
    new_tenant,
    race,
    say,
    say_many,
)
from tests.contract.search import found, index

TURNS = 100


class Reading:
    """A kind of work that notes what it has read, and breaks at some messages."""

    kind = VECTORS
    batch = 4
    claim_seconds = 60.0

    def __init__(self, store: Store, poison: Sequence[int] = (), fault: type[Exception] = ValueError) -> None:
        self._store = store
        self.poison = set(poison)
        self.fault = fault
        self.done: list[int] = []

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """See the port."""
        span = range(cursor + 1, upto + 1)
        if self.poison.intersection(span):
            raise self.fault
        if not await self._store.indexing.settle(self.kind, tenant_id, chat_key, cursor, upto):
            return cursor
        self.done += span
        return upto


class IndexingContract:
    """The work on messages: what is due, how far it has come, and who may say so."""

    async def test_an_append_makes_a_chat_due_for_every_kind(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        for kind in KINDS:
            assert await store.indexing.chats_behind(kind, tenant, 10) == []
        await say(store, tenant, chat, "a", "b")
        for kind in KINDS:
            assert tenant in await store.indexing.tenants_behind(kind, 1_000)
            assert await store.indexing.chats_behind(kind, tenant, 10) == [Behind(chat.key, 0, 2)]
        assert await store.indexing.settle(TEXT, tenant, chat.key, 0, 2)
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == []
        assert await store.indexing.chats_behind(VECTORS, tenant, 10) == [Behind(chat.key, 0, 2)]
        await say(store, tenant, chat, "c")
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == [Behind(chat.key, 2, 3)]

    async def test_the_cursor_is_the_fence(self, store: Store) -> None:
        tenant, stranger = await new_tenant(store), await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "a", "b")
        settle = store.indexing.settle
        assert not await settle(TEXT, tenant, chat.key, 1, 2), "it is elsewhere"
        assert not await settle(TEXT, stranger, chat.key, 0, 2), "it is another's"
        assert await settle(TEXT, tenant, chat.key, 0, 1)
        assert not await settle(TEXT, tenant, chat.key, 0, 1), "it has moved"
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == [Behind(chat.key, 1, 2)]
        assert await store.search.advance(tenant, chat.key, 0, 2) == 0
        await detach(store, tenant, chat)
        assert not await settle(TEXT, tenant, chat.key, 1, 2), "it is gone"
        assert await store.search.advance(tenant, chat.key, 1, 2) == 1
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == []
        assert tenant not in await store.indexing.tenants_behind(TEXT, 1_000)
        assert (await store.orphans())["texts.seq"] == 0

    async def test_one_of_several_that_try_at_once_gets_through(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "some words", "more words")
        outcomes = await race(*(store.search.advance(tenant, chat.key, 0, 2) for _ in range(5)))
        assert sorted(outcomes) == [0, 0, 0, 0, 2]
        assert await found(store, tenant, "words") == ["more words", "some words"]

    async def test_a_change_refuses_those_who_read_the_old_text(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        stored = await say(store, tenant, chat, "a", "b", "c")
        for cursor in (0, 1):
            assert await store.indexing.chats_behind(TEXT, tenant, 10) == [Behind(chat.key, cursor, 3)]
            start = TurnStart(chat.key, new_uid7(), "assistant", draft("other"), rewind_to=stored[2].id)
            turn = new_uid7()
            node = new_uid7()
            await store.turns.claim(tenant, turn, start, node, TURNS, LONG_LEASE_SECONDS)
            assert not await store.indexing.settle(TEXT, tenant, chat.key, cursor, 3)
            await store.turns.finish(tenant, turn, node, TurnEnding(COMPLETED, None, None))
            (behind,) = await store.indexing.chats_behind(TEXT, tenant, 10)
            assert await store.indexing.settle(TEXT, tenant, chat.key, behind.cursor, 1)

    async def test_what_is_put_off_waits(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await store.indexing.put_off(TEXT, tenant, chat.key, 60)
        await say(store, tenant, chat, "these words")
        assert len(await store.indexing.chats_behind(TEXT, tenant, 10)) == 1, "one that is not due stays so"
        await store.indexing.put_off(TEXT, tenant, chat.key, 60)
        await say(store, tenant, chat, "more of these words")
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == []
        assert tenant not in await store.indexing.tenants_behind(TEXT, 1_000)
        assert (await store.indexing.backlog(TEXT)).chats == 1
        assert await found(store, tenant, "these words") == ["more of these words", "these words"]
        await store.indexing.put_off(TEXT, tenant, chat.key, 0)
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == [Behind(chat.key, 0, 2)]

    async def test_one_of_those_who_try_claims_a_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "a", "b")
        due = Behind(chat.key, 0, 2)
        assert not await store.indexing.claim(TEXT, tenant, Behind(chat.key, 1, 2), 60), "its cursor is elsewhere"
        outcomes = await race(*(store.indexing.claim(TEXT, tenant, due, 60) for _ in range(5)))
        assert sorted(outcomes) == [False] * 4 + [True]
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == []
        assert await store.indexing.settle(TEXT, tenant, chat.key, 0, 1), "a claim is no fence"
        assert await store.indexing.chats_behind(TEXT, tenant, 10) == [Behind(chat.key, 1, 2)]
        assert await store.indexing.chats_behind(VECTORS, tenant, 10) == [due]

    async def test_what_costs_much_is_done_by_one_alone(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say_many(store, tenant, chat, 3)
        first, second = Reading(store), Reading(store)
        gate, is_there = asyncio.Event(), asyncio.Event()
        advance = first.advance

        async def slowly(*place: Any) -> int:
            is_there.set()
            await gate.wait()
            return await advance(*place)

        first.advance = slowly  # type: ignore[method-assign, assignment]
        slow = asyncio.create_task(index(store, first))
        await is_there.wait()
        await index(store, second)
        gate.set()
        await slow
        assert (first.done, second.done) == ([1, 2, 3], [])

    async def test_a_step_that_was_refused_gives_its_claim_back(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        stored = await say(store, tenant, chat, "a", "b", "c")
        work = Reading(store)
        advance = work.advance
        is_first = True

        async def late(*place: Any) -> int:
            nonlocal is_first
            if is_first:
                is_first = False
                start = TurnStart(chat.key, new_uid7(), "assistant", draft("other"), rewind_to=stored[1].id)
                await store.turns.claim(tenant, new_uid7(), start, new_uid7(), TURNS, LONG_LEASE_SECONDS)
            return await advance(*place)

        work.advance = late  # type: ignore[method-assign, assignment]
        await index(store, work)
        assert {1, 2} <= set(work.done)
        assert (await store.indexing.backlog(VECTORS)).chats == 0

    async def test_a_backlog_counts_what_waits(self, store: Store) -> None:
        assert await store.indexing.backlog(TEXT) == Backlog(0, 0, 0.0)
        for _ in range(2):
            tenant = await new_tenant(store)
            _, chat = await new_single(store, tenant, "s")
            await say(store, tenant, chat, "a", "b", "c")
        await store.indexing.settle(TEXT, tenant, chat.key, 0, 1)
        backlog = await store.indexing.backlog(TEXT)
        assert (backlog.chats, backlog.messages) == (2, 5)
        assert 0 <= backlog.oldest_seconds < 60

    async def test_a_poisonous_message_stops_no_other(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "INDEX_RETRY_SECONDS", 0)
        tenant = await new_tenant(store)
        for name in ("s", "r"):
            _, chat = await new_single(store, tenant, name)
            await say_many(store, tenant, chat, 10)
        work = Reading(store, poison=(6,))
        indexing = await index(store, work)
        assert sorted(work.done) == sorted([seq for seq in range(1, 11) if seq != 6] * 2)
        assert indexing.passed_over == {VECTORS: 2}
        assert (await store.indexing.backlog(VECTORS)).chats == 0

    async def test_what_is_refused_is_passed_over_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say_many(store, tenant, chat, 3)
        work = Reading(store, poison=(2,), fault=InvalidInput)
        indexing = await index(store, work)
        assert (work.done, indexing.passed_over) == ([1, 3], {VECTORS: 1})

    async def test_all_wait_for_who_helps_and_is_away(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        tenant = await new_tenant(store)
        for name in ("s", "r", "q"):
            _, chat = await new_single(store, tenant, name)
            await say_many(store, tenant, chat, 10)
        work = Reading(store, poison=range(1, 11), fault=AgentFailed)
        for left in (2, 1, 0):
            with pytest.raises(AgentFailed):
                await index(store, work)
            assert len(await store.indexing.chats_behind(VECTORS, tenant, 10)) == left, (
                "the next time it is another's turn"
            )
        assert (caplog.messages, work.done) == ([], [])

    async def test_what_passes_by_itself_is_tried_again_later(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant, "s")
        await say_many(store, tenant, chat, 3)
        work = Reading(store, poison=(2,), fault=StoreUnavailable)
        indexing = await index(store, work)
        assert (work.done, indexing.passed_over) == ([], {VECTORS: 0})
        assert (await store.indexing.backlog(VECTORS)).messages == 3
        work.poison.clear()
        await store.indexing.put_off(VECTORS, tenant, chat.key, 0)
        await indexing.catch_up()
        assert work.done == [1, 2, 3]
