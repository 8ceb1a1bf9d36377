"""Chats: one of an id in a tenant, whoever comes first; lists in order of making, with totals that never drift."""

from __future__ import annotations

import re

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits, times
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.deletions import Order
from antiphon.domain.errors import ChatIdTaken, ChatNotFound, LimitExceeded, SessionNotFound
from antiphon.domain.ids import new_public_id, new_uid7
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import SINGLE
from antiphon.stores.contract.worlds import (
    ALL,
    ODD_JSON,
    ODD_TEXTS,
    add_chat,
    check_parts,
    detach,
    list_of_sessions,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    reload_chat,
    wins,
)


class ChatContract:
    """`core.ports.ChatStore`."""

    async def test_a_new_chat_is_found_by_id_and_by_key(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        before = times.now()
        chat, is_new = await store.chats.create(tenant, session.key, session.owner_id, "c/1", "A 🦜", "some/model")
        assert is_new
        assert (chat.id, chat.session_id, chat.owner_name, chat.title, chat.model) == (
            "c/1",
            session.id,
            "ann",
            "A 🦜",
            "some/model",
        )
        assert (chat.metadata, chat.message_count, chat.last_seq) == ("{}", 0, 0)
        assert (chat.last_message_at, chat.last_answer_at, chat.active_turn) == (None, None, None)
        assert chat.created_at == chat.updated_at
        assert abs(chat.created_at - before) < 60 * times.SECOND
        assert await store.chats.find(tenant, "c/1") == chat
        assert await store.chats.find_by_key(tenant, chat.key) == chat

    async def test_fifty_creates_of_an_id_make_one_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        outcomes = wins(await race(*(add_chat(store, tenant, session, "c") for _ in range(50))))
        assert len(outcomes) == 50
        assert [is_new for _, is_new in outcomes].count(True) == 1
        assert len({chat.key for chat, _ in outcomes}) == 1
        assert await store.chats.list_of_session(tenant, session.key) == [first, outcomes[0][0]]

    async def test_a_repeated_create_changes_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        chat, _ = await add_chat(store, tenant, session, "c")
        again = await store.chats.create(tenant, session.key, session.owner_id, "c", "other", "other")
        assert again == (chat, False)

    async def test_two_sessions_cannot_have_one_id(self, store: Store) -> None:
        tenant = await new_tenant(store)
        sessions = [(await new_multi(store, tenant))[0] for _ in range(2)]
        outcomes = await race(*(add_chat(store, tenant, sessions[i % 2], "c") for i in range(40)))
        winners = {chat.session_id for chat, _ in wins(outcomes)}
        assert len(winners) == 1
        assert losses(outcomes) == [ChatIdTaken] * 20
        counts = sorted([len(await store.chats.list_of_session(tenant, session.key)) for session in sessions])
        assert counts == [1, 2]

    async def test_the_id_of_a_single_session_s_chat_is_taken(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        chat, _ = await store.chats.create_single(tenant, "ann", None, "{}")
        with pytest.raises(ChatIdTaken):
            await add_chat(store, tenant, session, chat.id)
        assert len(await store.chats.list_of_session(tenant, session.key)) == 1

    async def test_odd_ids_are_all_different(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        made = {text: (await add_chat(store, tenant, session, text))[0] for text in ODD_TEXTS}
        assert len({chat.key for chat in made.values()}) == len(ODD_TEXTS)
        for text, chat in made.items():
            assert chat.id == text
            assert await store.chats.find(tenant, text) == chat
        await detach(store, tenant, made["a"])
        assert await store.chats.find(tenant, "a") is None
        assert await store.chats.list_of_session(tenant, session.key) == [
            first,
            *(chat for text, chat in made.items() if text != "a"),
        ]

    async def test_only_a_multi_session_takes_chats(self, store: Store) -> None:
        tenant = await new_tenant(store)
        single, _ = await new_single(store, tenant)
        for key in (single.key, new_uid7()):
            with pytest.raises(SessionNotFound):
                await store.chats.create(tenant, key, single.owner_id, "c", DEFAULT_TITLE, None)
        assert await store.chats.find(tenant, "c") is None
        assert len(await store.chats.list_of_session(tenant, single.key)) == 1

    async def test_a_full_session_takes_no_more(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "CHATS_PER_SESSION", 5)
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant)
        outcomes = await race(*(add_chat(store, tenant, session, f"c{i}") for i in range(20)))
        assert losses(outcomes) == [LimitExceeded] * 16
        assert len(await store.chats.list_of_session(tenant, session.key)) == 5
        made = wins(outcomes)[0][0]
        assert await add_chat(store, tenant, session, made.id) == (made, False)
        await detach(store, tenant, chat)
        assert (await add_chat(store, tenant, session, "again"))[1]

    async def test_the_chats_of_a_session_are_in_order_of_making(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 8)
        await new_chats(store, await new_tenant(store), 3)
        assert await store.chats.list_of_session(tenant, session.key) == chats
        assert await store.chats.list_of_session(tenant, new_uid7()) == []


class SingleChatContract:
    """Chats that have a session of their own."""

    async def test_it_has_a_session_of_its_id(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, is_owner_new = await store.chats.create_single(tenant, "ann", "Mine", '{"a":1}')
        assert is_owner_new
        assert (chat.session_id, chat.session_shape, chat.owner_name) == (chat.id, SINGLE, "ann")
        assert (chat.title, chat.metadata) == ("Mine", '{"a":1}')
        session = await store.sessions.find(tenant, chat.id)
        assert session is not None
        assert (session.shape, session.owner_id) == (SINGLE, chat.owner_id)
        assert await store.chats.find_of_single(tenant, chat.id) == chat
        assert await list_of_sessions(store, tenant) == ([chat.id], 1)

    async def test_without_a_title_it_is_named_by_its_minute(self, store: Store) -> None:
        tenant = await new_tenant(store)
        chat, _ = await store.chats.create_single(tenant, "ann", None, "{}")
        assert re.fullmatch(r"Chat \d{4}-\d\d-\d\d \d\d:\d\d", chat.title)
        assert chat.title.removeprefix("Chat ").replace(" ", "T") == times.text_of(chat.created_at)[:16]
        assert (await store.chats.create_single(tenant, "ann", "", "{}"))[0].title == ""

    async def test_an_owner_is_new_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        outcomes = wins(await race(*(store.chats.create_single(tenant, "ann", None, "{}") for _ in range(20))))
        assert [is_new for _, is_new in outcomes].count(True) == 1
        assert len({chat.id for chat, _ in outcomes}) == 20
        assert (await store.chats.list_of_owner(tenant, "ann", ALL))[1] == 20
        assert (await list_of_sessions(store, tenant))[1] == 20

    async def test_only_a_single_session_has_the_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        multi, _ = await new_multi(store, tenant)
        _, chat = await new_single(store, tenant, "s")
        assert await store.chats.find_of_single(tenant, "s") == chat
        assert await store.chats.find_of_single(tenant, multi.id) is None
        assert await store.chats.find_of_single(tenant, "S") is None

    @pytest.mark.parametrize("text", ODD_JSON, ids=lambda text: text[:12])
    async def test_json_comes_back_as_it_was(self, store: Store, text: str) -> None:
        tenant = await new_tenant(store)
        chat, _ = await store.chats.create_single(tenant, "ann", None, text)
        found = await store.chats.find(tenant, chat.id)
        assert found is not None
        assert found.metadata == text


class OwnerContract:
    """The chats of an owner."""

    async def test_the_list_has_the_chats_with_a_uuid_in_order_of_making(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        mine = [first]
        for i in range(3):
            await add_chat(store, tenant, session, f"no uuid {i}")
            mine.append((await add_chat(store, tenant, session, new_public_id()))[0])
            mine.append((await store.chats.create_single(tenant, "ann", None, "{}"))[0])
            await store.chats.create_single(tenant, "Ann", None, "{}")

        async def read(part: Slice) -> tuple[list[Chat], int]:
            return await store.chats.list_of_owner(tenant, "ann", part)

        await check_parts(read, mine)
        assert await store.chats.list_of_owner(tenant, "nobody", ALL) == ([], 0)

    async def test_the_total_follows_every_change(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant)
        alone, _ = await store.chats.create_single(tenant, "ann", None, "{}")
        second, _ = await add_chat(store, tenant, session, new_public_id())
        other, _ = await add_chat(store, tenant, session, "no uuid")

        async def totals() -> tuple[list[str], int]:
            chats, total = await store.chats.list_of_owner(tenant, "ann", ALL)
            return [chat.id for chat in chats], total

        assert await totals() == ([first.id, alone.id, second.id], 3)
        await detach(store, tenant, other)
        assert await totals() == ([first.id, alone.id, second.id], 3)
        await detach(store, tenant, first)
        assert await totals() == ([alone.id, second.id], 2)
        await detach(store, tenant, alone)
        assert await totals() == ([second.id], 1)
        await purge(store, tenant)
        assert await totals() == ([second.id], 1)
        await store.deletions.detach_session(tenant, session.key, Order("refuse", inline_messages=1_000))
        assert await totals() == ([], 0)


class ReadMarkContract:
    """When somebody last read a chat."""

    async def test_a_mark_is_set_and_moves_on(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 3)
        ann = session.owner_id
        ben, _ = await store.participants.ensure(tenant, PEER, "ben")
        assert await store.chats.read_marks(tenant, session.key, ann) == {}
        before = times.now()
        await store.chats.mark_read(tenant, chats[0].key, ann)
        await store.chats.mark_read(tenant, chats[2].key, ann)
        first = await store.chats.read_marks(tenant, session.key, ann)
        assert set(first) == {chats[0].key, chats[2].key}
        assert abs(first[chats[0].key] - before) < 60 * times.SECOND
        await store.chats.mark_read(tenant, chats[0].key, ann)
        second = await store.chats.read_marks(tenant, session.key, ann)
        assert second[chats[0].key] > first[chats[0].key]
        assert second[chats[2].key] == first[chats[2].key]
        assert await store.chats.read_marks(tenant, session.key, ben.id) == {}

    async def test_marks_at_once_are_one_mark(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant)
        racers = [store.chats.mark_read(tenant, chat.key, session.owner_id) for _ in range(30)]
        assert losses(await race(*racers)) == []
        assert set(await store.chats.read_marks(tenant, session.key, session.owner_id)) == {chat.key}
        assert await reload_chat(store, chat, tenant) == chat

    async def test_a_chat_that_is_gone_has_no_mark(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        for chat in chats:
            await store.chats.mark_read(tenant, chat.key, session.owner_id)
        await detach(store, tenant, chats[0])
        assert set(await store.chats.read_marks(tenant, session.key, session.owner_id)) == {chats[1].key}
        for key in (chats[0].key, new_uid7()):
            with pytest.raises(ChatNotFound):
                await store.chats.mark_read(tenant, key, session.owner_id)
