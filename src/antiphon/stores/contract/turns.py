"""Turns: one at a time in a chat, its events in order and at hand, and an end that happens once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import CANCEL
from antiphon.domain.errors import (
    ChatFull,
    ChatHasActiveTurn,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    StoreFailed,
    TurnNotFound,
    TurnOver,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, Draft, Message
from antiphon.domain.turns import COMPLETED, FAILED, INTERRUPTED, RUNNING, EventChunk, Turn, TurnEnding, TurnStart
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    ODD_JSON,
    SHORT_LEASE_SECONDS,
    check_parts,
    detach,
    draft,
    list_of_names,
    new_chats,
    new_multi,
    new_tenant,
    race,
    reload_chat,
    say,
    texts_of,
    until,
)

MANY = 1_000


async def claim(
    store: Store,
    tenant_id: Uid,
    chat: Chat,
    node: Uid,
    *,
    lease_seconds: float = LONG_LEASE_SECONDS,
    turns_max: int = MANY,
    **start: object,
) -> Turn:
    """Take a chat's slot; what is not said of the start is made up."""
    asked = TurnStart(**{"chat_key": chat.key, "reply_id": new_uid7(), "agent_name": "assistant", **start})  # type: ignore[arg-type]
    return (await store.turns.claim(tenant_id, new_uid7(), asked, node, turns_max, lease_seconds)).turn


def chunk(first: int, count: int = 1) -> EventChunk:
    """Some events in a row."""
    return EventChunk(first, count, msgspec.json.encode([{"n": first + i} for i in range(count)]).decode())


def ending(first: int = 0, text: str | None = "answer", state: str = COMPLETED) -> TurnEnding:
    """An end with one last event, and a message unless there is no text."""
    reply = Draft("assistant", ASSISTANT, text, parts='[{"type":"text"}]', token_count=3) if text is not None else None
    return TurnEnding(state, chunk(first), reply)


async def answer(store: Store, tenant_id: Uid, chat: Chat, asked: str, said: str) -> tuple[Message, Message]:
    """A whole turn: the message that asks, and the one that answers."""
    node = new_uid7()
    start = TurnStart(chat.key, new_uid7(), "assistant", draft(asked))
    claimed = await store.turns.claim(tenant_id, new_uid7(), start, node, MANY, LONG_LEASE_SECONDS)
    reply = await store.turns.finish(tenant_id, claimed.turn.id, node, ending(0, said))
    assert claimed.message is not None
    assert reply is not None
    return claimed.message, reply


async def let_die(store: Store, turn: Turn) -> None:
    """Let the leases of a turn's process run out."""
    await store.turns.renew(turn.tenant_id, turn.node, SHORT_LEASE_SECONDS)
    await wait_until_dead(store, turn)


async def wait_until_dead(store: Store, turn: Turn) -> None:
    """Until the lease is over."""

    async def is_over() -> bool:
        now = await store.turns.find(turn.tenant_id, turn.id)
        return now is not None and not now.is_live

    await until(is_over, "the lease ran out")


class ClaimContract:
    """`TurnStore.claim`: the slot, and the message that asks."""

    async def test_a_claim_takes_the_slot_and_stores_the_message(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        start = TurnStart(chat.key, new_uid7(), "helper", draft("hi", "ben"), title="Hi", model="m", reply_parts="[1]")
        turn_id = new_uid7()
        claimed = await store.turns.claim(tenant, turn_id, start, node, MANY, LONG_LEASE_SECONDS)
        turn = claimed.turn
        assert (turn.id, turn.tenant_id, turn.chat_key, turn.node) == (turn_id, tenant, chat.key, node)
        assert (turn.reply_id, turn.reply_parts, turn.model, turn.agent_name) == (start.reply_id, "[1]", "m", "helper")
        assert (turn.state, turn.event_count, turn.error, turn.ended_at) == (RUNNING, 0, None, None)
        assert (turn.is_live, turn.is_stop_requested) == (True, False)
        assert await store.turns.find(tenant, turn_id) == turn
        assert await store.turns.find_last(tenant, chat.key) == turn
        assert (await store.messages.page(tenant, chat.key, ALL)).items == [claimed.message]
        now = await reload_chat(store, chat, tenant)
        assert (now.active_turn, now.title, now.message_count, now.last_seq) == (turn_id, "Hi", 1, 1)
        assert now.updated_at > chat.updated_at
        assert await list_of_names(store, tenant) == (["ann", "ben"], 2)

    async def test_only_the_first_message_gives_a_title(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant, title="T")
        await store.turns.finish(
            tenant, (await claim(store, tenant, chat, node, title="none said")).id, node, ending(text=None)
        )
        assert (await reload_chat(store, chat, tenant)).title == chat.title
        await say(store, tenant, chat, "a")
        await claim(store, tenant, chat, node, message=draft("b"), title="late")
        assert (await reload_chat(store, chat, tenant)).title == chat.title

    async def test_a_slot_that_is_taken_says_by_whom(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        with pytest.raises(ChatHasActiveTurn) as refusal:
            await claim(store, tenant, chat, new_uid7(), message=draft("no"))
        assert (refusal.value.turn_id, refusal.value.is_expired) == (turn.id, False)
        await let_die(store, turn)
        with pytest.raises(ChatHasActiveTurn) as refusal:
            await claim(store, tenant, chat, new_uid7(), message=draft("no"))
        assert (refusal.value.turn_id, refusal.value.is_expired) == (turn.id, True)
        await store.turns.finish(tenant, turn.id, None, ending(0, None, INTERRUPTED))
        await claim(store, tenant, chat, new_uid7(), message=draft("yes"))
        assert await texts_of(store, tenant, chat.key) == ["yes"]

    async def test_a_message_that_is_there_is_not_stored_again(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        await store.messages.append(tenant, chat.key, [draft("a", client_id="x")])
        start = TurnStart(chat.key, new_uid7(), "assistant", draft("b", "new", client_id="x"), title="no")
        claimed = await store.turns.claim(tenant, new_uid7(), start, node, MANY, LONG_LEASE_SECONDS)
        assert claimed.message is None
        assert (await reload_chat(store, chat, tenant)).active_turn == claimed.turn.id
        assert await texts_of(store, tenant, chat.key) == ["a"]
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_a_refused_claim_changes_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 3)
        await say(store, tenant, chats[0], "a", "b")
        before = await reload_chat(store, chats[0], tenant)
        await claim(store, tenant, chats[1], node)
        with pytest.raises(LimitExceeded):
            await claim(store, tenant, chats[0], node, message=draft("c", "new"), turns_max=1)
        with pytest.raises(MessageNotFound):
            await claim(store, tenant, chats[0], node, message=draft("c"), rewind_to=new_uid7())
        monkeypatch.setattr(limits, "MESSAGES_PER_CHAT", 2)
        with pytest.raises(ChatFull):
            await claim(store, tenant, chats[0], node, message=draft("c", "new"))
        await detach(store, tenant, chats[2])
        with pytest.raises(ChatNotFound):
            await claim(store, tenant, chats[2], node, message=draft("c", "new"))
        assert await reload_chat(store, chats[0], tenant) == before
        assert await store.turns.find_last(tenant, chats[0].key) is None
        assert await texts_of(store, tenant, chats[0].key) == ["a", "b"]
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_a_turn_whose_process_is_dead_takes_no_place_of_the_tenant_s(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 2)
        dead = await claim(store, tenant, chats[0], node, lease_seconds=SHORT_LEASE_SECONDS)
        await wait_until_dead(store, dead)
        await claim(store, tenant, chats[1], node, turns_max=1)

    async def test_events_of_earlier_turns_go_and_the_turns_stay(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        first = await claim(store, tenant, chat, node)
        await store.turns.append_events(tenant, first.id, node, chunk(0, 5))
        await store.turns.finish(tenant, first.id, node, ending(5))
        over, chunks = await store.turns.events(tenant, first.id, 0, MANY)
        assert [one.count for one in chunks] == [5, 1]
        second = await claim(store, tenant, chat, node)
        assert await store.turns.events(tenant, first.id, 0, MANY) == (over, [])
        assert await store.turns.find_last(tenant, chat.key) == second


class RewindContract:
    """A claim that goes back to a message."""

    async def test_what_follows_goes_and_its_places_stay_used(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        _, first = await answer(store, tenant, chat, "a", "A")
        asked, _ = await answer(store, tenant, chat, "b", "B")
        await say(store, tenant, chat, "c", "d")
        new = draft("b2", "ignored", role=ASSISTANT, client_id="no", parts="[2]", metadata='{"n":2}', token_count=2)
        start = TurnStart(chat.key, new_uid7(), "assistant", new, asked.id, "no title")
        claimed = await store.turns.claim(tenant, new_uid7(), start, node, MANY, LONG_LEASE_SECONDS)
        content = {"text": "b2", "parts": "[2]", "metadata": '{"n":2}', "token_count": 2}
        assert claimed.message == msgspec.structs.replace(asked, **content)
        assert await texts_of(store, tenant, chat.key) == ["a", "A", "b2"]
        now = await reload_chat(store, chat, tenant)
        assert (now.message_count, now.last_seq, now.title) == (3, 6, chat.title)
        assert (now.last_message_at, now.last_answer_at) == (asked.created_at, first.created_at)
        reply = await store.turns.finish(tenant, claimed.turn.id, node, ending(0, "B2"))
        assert reply is not None
        assert reply.seq == 7
        stored = (await store.messages.page(tenant, chat.key, ALL)).items
        assert [message.seq for message in stored] == [1, 2, 3, 7]

        async def read(part: Slice) -> tuple[list[Message], int]:
            page = await store.messages.page(tenant, chat.key, part)
            return page.items, page.total

        await check_parts(read, stored)

    async def test_going_back_to_the_last_message_removes_nothing(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        stored = await say(store, tenant, chat, "a", "b")
        before = await reload_chat(store, chat, tenant)
        turn = await claim(store, tenant, chat, node, rewind_to=stored[1].id)
        after = await reload_chat(store, chat, tenant)
        assert (await store.messages.page(tenant, chat.key, ALL)).items == stored
        assert after == msgspec.structs.replace(before, active_turn=turn.id, updated_at=after.updated_at)

    async def test_all_answers_may_go(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        asked, _ = await answer(store, tenant, chat, "a", "A")
        await claim(store, tenant, chat, node, rewind_to=asked.id)
        now = await reload_chat(store, chat, tenant)
        assert (now.message_count, now.last_message_at, now.last_answer_at) == (1, asked.created_at, None)

    async def test_too_much_is_refused(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "TURN_REWIND_MESSAGES", 3)
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 2)
        stored = await say(store, tenant, chats[0], "a", "b", "c", "d", "e")
        (elsewhere,) = await say(store, tenant, chats[1], "x")
        before = await reload_chat(store, chats[0], tenant)
        with pytest.raises(LimitExceeded):
            await claim(store, tenant, chats[0], node, rewind_to=stored[0].id, message=draft("no"))
        with pytest.raises(MessageNotFound):
            await claim(store, tenant, chats[0], node, rewind_to=elsewhere.id)
        assert await reload_chat(store, chats[0], tenant) == before
        await claim(store, tenant, chats[0], node, rewind_to=stored[1].id)
        assert await texts_of(store, tenant, chats[0].key) == ["a", "b"]


class TurnEventContract:
    """The events of a turn."""

    async def test_events_are_found_from_anywhere(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        chunks = [chunk(0, 1), chunk(1, 4), chunk(5, 2), chunk(7, 64)]
        for one in chunks:
            assert await store.turns.append_events(tenant, turn.id, node, one) is False
        for first in range(72):
            wanted = [one for one in chunks if one.first + one.count > first]
            for limit in (1, 2, MANY):
                now, found = await store.turns.events(tenant, turn.id, first, limit)
                assert found == wanted[:limit], (first, limit)
                assert now == msgspec.structs.replace(turn, event_count=71)

    @pytest.mark.parametrize("body", ODD_JSON, ids=lambda text: text[:12])
    async def test_events_come_back_as_they_were(self, store: Store, body: str) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        told = EventChunk(0, 1, f"[{body}]")
        await store.turns.append_events(tenant, turn.id, node, told)
        assert (await store.turns.events(tenant, turn.id, 0, 1))[1] == [told]

    async def test_only_the_next_events_of_its_own_process_are_taken(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        await store.turns.append_events(tenant, turn.id, node, chunk(0, 2))
        for first in (0, 1, 3):
            with pytest.raises(StoreFailed):
                await store.turns.append_events(tenant, turn.id, node, chunk(first))
        for turn_id, whose in ((turn.id, new_uid7()), (new_uid7(), node)):
            with pytest.raises(TurnOver):
                await store.turns.append_events(tenant, turn_id, whose, chunk(2))
        assert await store.turns.events(tenant, turn.id, 0, MANY) == (
            msgspec.structs.replace(turn, event_count=2),
            [chunk(0, 2)],
        )
        await store.turns.finish(tenant, turn.id, node, ending(2))
        with pytest.raises(TurnOver):
            await store.turns.append_events(tenant, turn.id, node, chunk(3))

    async def test_a_wish_to_stop_is_heard(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 2)
        turn, other = [await claim(store, tenant, chat, node) for chat in chats]
        assert await store.turns.stopping(tenant, node) == set()
        await store.turns.request_stop(tenant, turn.id)
        await store.turns.request_stop(tenant, turn.id)
        assert await store.turns.append_events(tenant, turn.id, node, chunk(0)) is True
        assert await store.turns.append_events(tenant, other.id, node, chunk(0)) is False
        assert await store.turns.stopping(tenant, node) == {turn.id}
        assert await store.turns.stopping(tenant, new_uid7()) == set()
        await store.turns.finish(tenant, turn.id, node, ending(1))
        for turn_id in (turn.id, new_uid7()):
            await store.turns.request_stop(tenant, turn_id)
        assert await store.turns.stopping(tenant, node) == set()

    async def test_a_turn_and_its_events_are_of_one_moment(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)

        async def watch() -> Turn:
            while True:
                now, chunks = await store.turns.events(tenant, turn.id, 0, MANY)
                assert sum(one.count for one in chunks) == now.event_count, "events of another moment"
                if now.state != RUNNING:
                    return now
                await asyncio.sleep(0)

        watchers = [asyncio.ensure_future(watch()) for _ in range(3)]
        for first in range(0, 60, 3):
            await store.turns.append_events(tenant, turn.id, node, chunk(first, 3))
        await store.turns.finish(tenant, turn.id, node, ending(60))
        assert {now.event_count for now in await asyncio.gather(*watchers)} == {61}

    async def test_what_is_not_there_has_no_events(self, store: Store) -> None:
        tenant = await new_tenant(store)
        with pytest.raises(TurnNotFound):
            await store.turns.events(tenant, new_uid7(), 0, MANY)
        assert await store.turns.find(tenant, new_uid7()) is None
        assert await store.turns.find_last(tenant, new_uid7()) is None


class EndingContract:
    """`TurnStore.finish`: the last events, the message and the slot in one act."""

    async def test_an_end_stores_the_answer_and_frees_the_slot(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node, message=draft("a"))
        await store.turns.append_events(tenant, turn.id, node, chunk(0, 2))
        reply = await store.turns.finish(tenant, turn.id, node, ending(2))
        assert reply is not None
        assert (reply.id, reply.role, reply.author, reply.seq) == (turn.reply_id, ASSISTANT, "assistant", 2)
        assert (await store.messages.page(tenant, chat.key, ALL)).items[1] == reply
        over, chunks = await store.turns.events(tenant, turn.id, 0, MANY)
        assert (over.state, over.error, over.event_count, over.is_live) == (COMPLETED, None, 3, False)
        assert over.ended_at is not None
        assert chunks == [chunk(0, 2), chunk(2)]
        now = await reload_chat(store, chat, tenant)
        assert (now.active_turn, now.message_count, now.last_answer_at) == (None, 2, reply.created_at)
        with pytest.raises(TurnOver):
            await store.turns.finish(tenant, turn.id, node, ending(3))
        assert await texts_of(store, tenant, chat.key) == ["a", "answer"]

    async def test_a_stored_message_is_gone_on_with(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        _, old = await answer(store, tenant, chat, "a", "A")
        await say(store, tenant, chat, "b")
        before = await reload_chat(store, chat, tenant)
        turn = await claim(store, tenant, chat, node, reply_id=old.id, reply_parts=old.parts)
        reply = await store.turns.finish(tenant, turn.id, node, ending(0, "A, and more"))
        assert reply == msgspec.structs.replace(old, text="A, and more")
        assert await texts_of(store, tenant, chat.key) == ["a", "A, and more", "b"]
        now = await reload_chat(store, chat, tenant)
        assert (now.message_count, now.last_seq, now.last_message_at) == (3, 3, before.last_message_at)
        assert now.last_answer_at is not None
        assert now.last_answer_at > old.created_at

    async def test_an_end_without_words_stores_no_message(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        assert await store.turns.finish(tenant, turn.id, node, TurnEnding(FAILED, None, None, "no luck")) is None
        over = await store.turns.find(tenant, turn.id)
        assert over is not None
        assert (over.state, over.error, over.event_count) == (FAILED, "no luck", 0)
        now = await reload_chat(store, chat, tenant)
        assert (now.active_turn, now.message_count, now.last_answer_at) == (None, 0, None)

    async def test_a_turn_ends_for_its_process_or_once_that_is_dead(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        for whose in (None, new_uid7()):
            with pytest.raises(TurnOver):
                await store.turns.finish(tenant, turn.id, whose, ending())
        await let_die(store, turn)
        assert await store.turns.append_events(tenant, turn.id, node, chunk(0, 2)) is False
        with pytest.raises(TurnOver):  # it has gone on since somebody looked
            await store.turns.finish(tenant, turn.id, None, ending(0))
        with pytest.raises(TurnOver):
            await store.turns.finish(tenant, turn.id, new_uid7(), ending(2))
        assert await store.turns.finish(tenant, turn.id, None, ending(2, "half", INTERRUPTED)) is not None
        with pytest.raises(TurnOver):
            await store.turns.append_events(tenant, turn.id, node, chunk(3))
        with pytest.raises(TurnOver):
            await store.turns.finish(tenant, turn.id, node, ending(3, "whole"))
        assert await store.turns.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        assert await texts_of(store, tenant, chat.key) == ["half"]

    async def test_an_end_with_a_gap_in_the_events_is_none(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node)
        with pytest.raises(StoreFailed):
            await store.turns.finish(tenant, turn.id, node, ending(1))
        assert await store.turns.find(tenant, turn.id) == turn
        assert await texts_of(store, tenant, chat.key) == []

    async def test_a_full_chat_ends_the_turn_as_failed(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MESSAGES_PER_CHAT", 2)
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_multi(store, tenant)
        turn = await claim(store, tenant, chat, node, message=draft("a"))
        await say(store, tenant, chat, "b")
        assert await store.turns.finish(tenant, turn.id, node, ending()) is None
        over = await store.turns.find(tenant, turn.id)
        assert over is not None
        assert (over.state, over.error, over.event_count) == (FAILED, ChatFull().message, 1)
        assert (await reload_chat(store, chat, tenant)).active_turn is None
        assert await texts_of(store, tenant, chat.key) == ["a", "b"]


class TurnLeaseContract:
    """The lease of a turn, judged by the database's clock."""

    async def test_a_lease_that_ran_out_is_found_and_may_be_renewed(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 3)
        turns = [await claim(store, tenant, chat, node, lease_seconds=SHORT_LEASE_SECONDS) for chat in chats[:2]]
        await claim(store, tenant, chats[2], new_uid7())
        for turn in turns:
            await wait_until_dead(store, turn)
        assert {turn_id for _, turn_id in await store.turns.expired(MANY)} == {turn.id for turn in turns}
        assert await store.turns.expired(1) == [(tenant, turns[0].id)]
        assert await store.turns.renew(tenant, node, LONG_LEASE_SECONDS) == {turn.id for turn in turns}
        assert await store.turns.expired(MANY) == []
        assert await store.turns.find(tenant, turns[0].id) == turns[0]
        assert await store.turns.renew(tenant, new_uid7(), LONG_LEASE_SECONDS) == set()

    async def test_a_deleted_chat_has_no_lease_to_lose_or_renew(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 3)
        turn = await claim(store, tenant, chats[0], node)
        dead = await claim(store, tenant, chats[1], node, lease_seconds=SHORT_LEASE_SECONDS)
        await wait_until_dead(store, dead)
        for chat in chats[:2]:
            await detach(store, tenant, chat, CANCEL)
        assert await store.turns.expired(MANY) == []
        assert await store.turns.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        for one in (turn, dead):
            assert await store.turns.find(tenant, one.id) is None
            assert await store.turns.find_last(tenant, one.chat_key) is None
            outcomes = await race(
                store.turns.events(tenant, one.id, 0, MANY),
                store.turns.append_events(tenant, one.id, node, chunk(0)),
                store.turns.finish(tenant, one.id, node, ending()),
                store.turns.finish(tenant, one.id, None, ending()),
            )
            assert [type(outcome) for outcome in outcomes] == [TurnNotFound, TurnOver, TurnOver, TurnOver]
