"""Messages: whole batches in one order that is the same for every reader, with totals that fit what is read."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits, times
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import ChatFull, ChatNotFound, MessageIdTaken
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, USER, Message
from antiphon.stores.contract.worlds import (
    ALL,
    ODD_JSON,
    ODD_TEXTS,
    check_parts,
    detach,
    draft,
    list_of_names,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    race,
    reload_chat,
    say,
    texts_of,
    wins,
)


class MessageContract:
    """`core.ports.MessageStore`."""

    async def test_a_batch_is_stored_in_order(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        before = times.now()
        first = await say(store, tenant, chat, "a", "b")
        second = await say(store, tenant, chat, "c")
        stored = [*first, *second]
        assert [(message.seq, message.text) for message in stored] == [(1, "a"), (2, "b"), (3, "c")]
        assert {(message.role, message.author, message.client_id) for message in stored} == {(USER, "ann", None)}
        assert all(abs(message.created_at - before) < 60 * times.SECOND for message in stored)
        assert len({message.id for message in stored}) == 3
        page = await store.messages.page(tenant, chat.key, ALL)
        assert (page.items, page.total) == (stored, 3)

    async def test_the_counters_move_with_the_messages(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        said = (await say(store, tenant, chat, "a", "b"))[-1]
        now = await reload_chat(store, chat, tenant)
        assert (now.message_count, now.last_seq, now.last_message_at) == (2, 2, said.created_at)
        assert now.last_answer_at is None
        answer = draft("c", "assistant", role=ASSISTANT)
        answered, after = await store.messages.append(tenant, chat.key, [answer, draft("d")])
        now = await reload_chat(store, chat, tenant)
        assert (now.message_count, now.last_seq, now.last_message_at) == (4, 4, after.created_at)
        assert now.last_answer_at == answered.created_at
        assert now.created_at == chat.created_at

    async def test_every_page_from_every_offset(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        stored = await say(store, tenant, chat, *(f"m{i}" for i in range(9)))

        async def read(part: Slice) -> tuple[list[Message], int]:
            page = await store.messages.page(tenant, chat.key, part)
            return page.items, page.total

        await check_parts(read, stored)
        for limit in range(12):
            assert await store.messages.latest(tenant, chat.key, limit) == stored[max(0, 9 - limit) :]

    async def test_a_single_session_has_the_pages_of_its_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        multi, other = await new_multi(store, tenant)
        stored = await say(store, tenant, chat, *(f"m{i}" for i in range(5)))
        await say(store, tenant, other, "elsewhere")
        for part in (ALL, Slice(1, 2), Slice(1, 2, is_reversed=True), Slice(9, 5)):
            expected = await store.messages.page(tenant, chat.key, part)
            assert await store.messages.page_of_single(tenant, session.id, part) == expected
        assert (await store.messages.page_of_single(tenant, session.id, ALL)).items == stored
        await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        for gone in (session.id, multi.id, "nobody's"):
            with pytest.raises(ChatNotFound):
                await store.messages.page_of_single(tenant, gone, ALL)

    async def test_an_empty_chat_has_empty_pages(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        for part in (ALL, Slice(5, 5), Slice(0, 5, is_reversed=True)):
            page = await store.messages.page(tenant, chat.key, part)
            assert (page.items, page.total) == ([], 0)
        assert await store.messages.latest(tenant, chat.key, 5) == []

    async def test_appends_at_once_have_one_order_for_all(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        racers = [say(store, tenant, chats[i % 2], f"{i}a", f"{i}b", f"{i}c") for i in range(60)]
        batches = wins(await race(*racers))
        assert len(batches) == 60
        for parity, chat in enumerate(chats):
            mine = [batch for i, batch in enumerate(batches) if i % 2 == parity]
            assert all([m.seq for m in batch] == list(range(batch[0].seq, batch[0].seq + 3)) for batch in mine)
            ordered = sorted((message for batch in mine for message in batch), key=lambda message: message.seq)
            assert [message.seq for message in ordered] == list(range(1, 91))
            pages = await asyncio.gather(*(store.messages.page(tenant, chat.key, ALL) for _ in range(5)))
            assert all(page.items == ordered and page.total == 90 for page in pages)
            assert await store.messages.latest(tenant, chat.key, 40) == ordered[-40:]
            assert (await reload_chat(store, chat, tenant)).message_count == 90

    async def test_a_page_and_its_total_are_of_one_moment(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        is_over = False

        async def watch() -> int:
            seen = 0
            while not is_over:
                page = await store.messages.page(tenant, chat.key, Slice(0, 10_000))
                assert len(page.items) == page.total, "a total of another moment"
                assert page.total % 3 == 0, "half a batch"
                assert page.total >= seen, "back in time"
                seen = page.total
                await asyncio.sleep(0)
            return seen

        watchers = [asyncio.ensure_future(watch()) for _ in range(3)]
        for i in range(60):
            await say(store, tenant, chat, f"{i}a", f"{i}b", f"{i}c")
        is_over = True
        assert max(await asyncio.gather(*watchers)) > 0
        assert len(await texts_of(store, tenant, chat.key)) == 180

    async def test_what_was_acknowledged_is_read_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)

        async def say_and_look(i: int) -> bool:
            (stored,) = await say(store, tenant, chat, f"m{i}")
            page = await store.messages.page(tenant, chat.key, Slice(stored.seq - 1, 1))
            return page.items == [stored] and await store.messages.find(tenant, chat.key, stored.id) == stored

        assert await race(*(say_and_look(i) for i in range(40))) == [True] * 40

    async def test_a_message_is_found_in_its_own_chat_only(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        (stored,) = await say(store, tenant, chats[0], "a")
        assert await store.messages.find(tenant, chats[0].key, stored.id) == stored
        assert await store.messages.find(tenant, chats[1].key, stored.id) is None
        assert await store.messages.find(tenant, chats[0].key, new_uid7()) is None
        assert await store.messages.find(tenant, new_uid7(), stored.id) is None

    async def test_a_message_is_found_by_its_clients_id_in_its_own_chat_only(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        for chat in chats:
            await store.messages.append(tenant, chat.key, [draft("a"), draft("b", client_id="x")])
        await store.messages.append(tenant, chats[0].key, [draft("c", client_id="X ")])
        (_, one, other) = (await store.messages.page(tenant, chats[0].key, ALL)).items
        assert await store.messages.find_by_client_id(tenant, chats[0].key, "x") == one
        assert await store.messages.find_by_client_id(tenant, chats[0].key, "X ") == other
        assert await store.messages.find_by_client_id(tenant, chats[1].key, "X ") is None
        assert await store.messages.find_by_client_id(tenant, new_uid7(), "x") is None
        await detach(store, tenant, chats[0])
        assert await store.messages.find_by_client_id(tenant, chats[0].key, "x") is None

    async def test_a_chat_that_is_not_there_takes_and_gives_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        (stored,) = await say(store, tenant, chats[0], "a")
        await detach(store, tenant, chats[0])
        for key in (chats[0].key, new_uid7()):
            outcomes = await race(
                store.messages.append(tenant, key, [draft("late")]),
                store.messages.page(tenant, key, ALL),
                store.messages.latest(tenant, key, 5),
            )
            assert losses(outcomes) == [ChatNotFound] * 3
        assert await store.messages.find(tenant, chats[0].key, stored.id) is None

    async def test_a_full_chat_refuses_the_whole_batch(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MESSAGES_PER_CHAT", 5)
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        outcomes = await race(*(say(store, tenant, chat, "a", "b") for _ in range(8)))
        assert losses(outcomes) == [ChatFull] * 6
        assert (await reload_chat(store, chat, tenant)).message_count == 4
        await say(store, tenant, chat, "c")
        with pytest.raises(ChatFull):
            await say(store, tenant, chat, "d")
        assert await texts_of(store, tenant, chat.key) == ["a", "b", "a", "b", "c"]


class FidelityContract:
    """What comes in comes out."""

    @pytest.mark.parametrize("text", [*ODD_TEXTS, "w" * 2_000_000, "🦜" * 500_000], ids=lambda text: f"{text[:6]!a}")
    async def test_texts_come_back_as_they_were(self, store: Store, text: str) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        (stored,) = await say(store, tenant, chat, text)
        assert stored.text == text
        assert (await store.messages.page(tenant, chat.key, ALL)).items == [stored]

    async def test_an_empty_text_is_a_text(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        (stored,) = await say(store, tenant, chat, "")
        assert await store.messages.find(tenant, chat.key, stored.id) == stored
        assert stored.text == ""

    @pytest.mark.parametrize("text", ODD_JSON, ids=lambda text: text[:12])
    async def test_metadata_and_parts_come_back_as_they_were(self, store: Store, text: str) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        said = draft("a", parts=f"[{text}]", metadata=text, token_count=0)
        (stored,) = await store.messages.append(tenant, chat.key, [said])
        assert (stored.parts, stored.metadata, stored.token_count) == (f"[{text}]", text, 0)
        assert (await store.messages.page(tenant, chat.key, ALL)).items == [stored]

    async def test_a_page_of_ten_megabytes_is_whole(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        stored = []
        for i in range(20):
            stored += await say(store, tenant, chat, f"{i}" * 250_000)
        assert (await store.messages.page(tenant, chat.key, Slice(0, 100))).items == stored
        assert (await store.messages.page(tenant, chat.key, Slice(3, 10, is_reversed=True))).items == stored[16:6:-1]

    async def test_times_have_microseconds(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        stored = [(await say(store, tenant, chat, "a"))[0].created_at for _ in range(30)]
        assert any(moment % 1_000 for moment in stored)
        assert stored == sorted(stored)

    async def test_a_given_time_is_kept_and_changes_no_order(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        moments = [3_000_000_000_000_001, 0, -1, 1_234_567, 253_402_300_799_999_999, -62_135_596_800_000_000]
        for moment in moments:
            await store.messages.append(tenant, chat.key, [draft(str(moment), created_at=moment)])
        page = await store.messages.page(tenant, chat.key, ALL)
        assert [(message.text, message.created_at) for message in page.items] == [(str(at), at) for at in moments]
        assert (await reload_chat(store, chat, tenant)).last_message_at == moments[-1]


class ClientIdContract:
    """A client's own id names one message of a chat."""

    async def test_an_id_that_is_there_refuses_the_whole_batch(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        await store.messages.append(tenant, chat.key, [draft("a", client_id="x")])
        before = await reload_chat(store, chat, tenant)
        for batch in (["x"], ["y", "x"], ["z", "z"]):
            with pytest.raises(MessageIdTaken):
                await store.messages.append(tenant, chat.key, [draft(text, "new", client_id=text) for text in batch])
        assert await texts_of(store, tenant, chat.key) == ["a"]
        assert await reload_chat(store, chat, tenant) == before
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_of_many_at_once_one_is_stored(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        racers = [store.messages.append(tenant, chat.key, [draft(str(i), client_id="x")]) for i in range(20)]
        outcomes = await race(*racers)
        (stored,) = wins(outcomes)
        assert losses(outcomes) == [MessageIdTaken] * 19
        assert (await store.messages.page(tenant, chat.key, ALL)).items == stored

    async def test_a_taken_id_takes_nothing_of_others_along(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        await store.messages.append(tenant, chat.key, [draft("a", client_id="x")])
        racers = [store.messages.append(tenant, chat.key, [draft(f"{i}", client_id="xyz"[i % 3])]) for i in range(6)]
        outcomes = await race(*racers, say(store, tenant, chat, "b", "c"))
        assert losses(outcomes) == [MessageIdTaken] * 4
        assert len(await texts_of(store, tenant, chat.key)) == 5

    async def test_ids_are_a_chat_s_own_and_differ_by_every_character(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        for chat in chats:
            for text in ODD_TEXTS:
                (stored,) = await store.messages.append(tenant, chat.key, [draft("a", client_id=text)])
                assert stored.client_id == text
            page = await store.messages.page(tenant, chat.key, ALL)
            assert [message.client_id for message in page.items] == list(ODD_TEXTS)


class AuthorContract:
    """Who speaks is there, and is a member, from the first word on."""

    async def test_authors_are_made_and_join(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        said = [draft("a", "ben"), draft("b", "cid"), draft("c", "ben"), draft("d", "assistant", role=ASSISTANT)]
        stored = await store.messages.append(tenant, chat.key, said)
        assert [message.author for message in stored] == ["ben", "cid", "ben", "assistant"]
        assert await list_of_names(store, tenant) == (["ann", "ben", "cid", "assistant"], 4)
        members, total = await store.sessions.members(tenant, session.key, ALL)
        assert ([who.name for who in members], total) == (["ben", "cid", "assistant"], 3)

    async def test_a_new_author_at_once_is_one_participant(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        racers = [store.messages.append(tenant, chat.key, [draft(str(i), "ben")]) for i in range(30)]
        assert losses(await race(*racers)) == []
        assert await list_of_names(store, tenant) == (["ann", "ben"], 2)
        assert (await store.sessions.members(tenant, session.key, ALL))[1] == 1

    async def test_a_cancelled_append_is_there_or_not_but_never_half(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        for turns in range(6):
            task = asyncio.ensure_future(say(store, tenant, chat, "a", "b", "c"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await say(store, tenant, chat, "x", "y", "z")
        assert await _count(store, tenant, chat.key) % 3 == 0
        assert (await texts_of(store, tenant, chat.key))[-3:] == ["x", "y", "z"]


async def _count(store: Store, tenant_id: Uid, chat_key: Uid) -> int:
    """How many messages there are, by the total, the rows and the chat's own counter, which must agree."""
    page = await store.messages.page(tenant_id, chat_key, ALL)
    chat = await store.chats.find_by_key(tenant_id, chat_key)
    assert chat is not None
    assert page.total == len(page.items) == chat.message_count == chat.last_seq
    return page.total


class SpanContract:
    """Spans: a bounded part of a chat, from either end."""

    async def test_a_span_is_bounded_by_number_and_by_characters(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, (chat, _) = await new_chats(store, tenant, 2)
        await say(store, tenant, chat, *("x" * size for size in (8, 8, 98, 8, 8)))  # and two for the metadata

        async def found(first: int, last: int, limit: int, characters: int, *, is_reversed: bool) -> list[int]:
            part = await store.messages.span(tenant, chat.key, first, last, limit, characters, is_reversed=is_reversed)
            return [message.seq for message in part]

        assert await found(1, 9, 9, 1_000, is_reversed=False) == [1, 2, 3, 4, 5]
        assert await found(1, 9, 9, 1_000, is_reversed=True) == [5, 4, 3, 2, 1]
        assert await found(2, 4, 2, 1_000, is_reversed=False) == [2, 3]
        assert await found(2, 4, 2, 1_000, is_reversed=True) == [4, 3]
        assert await found(1, 9, 9, 25, is_reversed=False) == [1, 2]
        assert await found(1, 9, 9, 25, is_reversed=True) == [5, 4]
        assert await found(1, 3, 9, 25, is_reversed=True) == [3]
        assert await found(6, 9, 9, 25, is_reversed=True) == []
        await detach(store, tenant, chat)
        with pytest.raises(ChatNotFound):
            await found(1, 9, 9, 25, is_reversed=True)
