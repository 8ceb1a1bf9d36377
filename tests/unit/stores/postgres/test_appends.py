"""Appends that meet: gathered, judged one by one, and in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.errors import ChatFull, ChatNotFound, ConnectionNotFound, MessageIdTaken, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import Message
from antiphon.stores.contract.worlds import (
    ALL,
    detach,
    draft,
    losses,
    new_chats,
    new_multi,
    new_tenant,
    say,
    texts_of,
    wins,
)
from antiphon.stores.postgres.database import Cursor
from antiphon.stores.postgres.store import PostgresStore


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that are run from now on."""
    names: list[str] = []
    rows = Cursor.rows

    async def noted(self: Cursor, name: str, /, **values: Any) -> Any:
        names.append(name)
        return await rows(self, name, **values)

    monkeypatch.setattr(Cursor, "rows", noted)
    return names


async def new_known(store: PostgresStore) -> tuple[Uid, Chat]:
    """A tenant and a chat in which `ann` has spoken, so that nobody must be made."""
    tenant = await new_tenant(store)
    _, chat = await new_multi(store, tenant)
    await say(store, tenant, chat, "first")
    return tenant, chat


async def together(*appends: Any) -> list[list[Message] | BaseException]:
    """Start in this order, and wait for all."""
    return await asyncio.gather(*appends, return_exceptions=True)


async def test_those_that_meet_are_one_statement_in_their_order(postgres_store: PostgresStore, sent: list[str]) -> None:
    tenant, chat = await new_known(postgres_store)
    sent.clear()
    outcomes = await together(*(say(postgres_store, tenant, chat, f"{i}a", f"{i}b") for i in range(100)))
    assert sent == ["append"]
    assert [message.seq for made in wins(outcomes) for message in made] == list(range(2, 202))
    page = await postgres_store.messages.page(tenant, chat.key, ALL)
    assert page.items[1:] == [message for made in wins(outcomes) for message in made]


async def test_a_batch_has_a_limit(
    postgres_store: PostgresStore, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, chat = await new_known(postgres_store)
    monkeypatch.setattr(limits, "WRITE_BATCH_OPERATIONS", 7)
    sent.clear()
    await together(*(say(postgres_store, tenant, chat, "a") for _ in range(20)))
    assert sent == ["append"] * 3
    monkeypatch.setattr(limits, "WRITE_BATCH_CHARACTERS", 10)
    sent.clear()
    await together(*(say(postgres_store, tenant, chat, "x" * 9) for _ in range(4)))
    assert sent == ["append_one"] * 4  # the empty metadata counts too


async def test_one_that_fails_takes_no_other_with_it(postgres_store: PostgresStore) -> None:
    tenant, chat = await new_known(postgres_store)
    await postgres_store.messages.append(tenant, chat.key, [draft("taken", client_id="x")])
    drafts = [draft(str(i), client_id="x" if i == 2 else None) for i in range(5)]
    outcomes = await together(*(postgres_store.messages.append(tenant, chat.key, [one]) for one in drafts))
    assert losses(outcomes) == [MessageIdTaken]
    assert await texts_of(postgres_store, tenant, chat.key) == ["first", "taken", "0", "1", "3", "4"]


async def test_each_is_judged_by_itself(postgres_store: PostgresStore) -> None:
    tenant = await new_tenant(postgres_store)
    _, chats = await new_chats(postgres_store, tenant, 3)
    for chat in chats:
        await say(postgres_store, tenant, chat, "first")
    await detach(postgres_store, tenant, chats[0])
    append = postgres_store.messages.append
    outcomes = await together(
        append(tenant, chats[0].key, [draft("gone"), draft("gone")]),
        append(tenant, chats[1].key, [draft("one"), draft("two")]),
        append(tenant, chats[1].key, [draft("lost"), draft("lost")], new_uid7()),
        append(tenant, chats[2].key, [draft("new", author="eve"), draft("three")]),
        append(tenant, new_uid7(), [draft("nowhere"), draft("nowhere")]),
    )
    assert losses(outcomes) == [ChatNotFound, ConnectionNotFound, ChatNotFound]
    assert await texts_of(postgres_store, tenant, chats[1].key) == ["first", "one", "two"]
    assert await texts_of(postgres_store, tenant, chats[2].key) == ["first", "new", "three"]


async def test_what_does_not_fit_lets_a_smaller_one_pass(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, chat = await new_known(postgres_store)
    monkeypatch.setattr(limits, "MESSAGES_PER_CHAT", 6)
    outcomes = await together(
        say(postgres_store, tenant, chat, "a", "b", "c"),
        say(postgres_store, tenant, chat, "d", "e", "f"),
        say(postgres_store, tenant, chat, "g", "h"),
    )
    assert losses(outcomes) == [ChatFull]
    assert isinstance(outcomes[1], ChatFull)
    assert await texts_of(postgres_store, tenant, chat.key) == ["first", "a", "b", "c", "g", "h"]
    for count in (1, 2):
        with pytest.raises(ChatFull):
            await say(postgres_store, tenant, chat, *["late"] * count)


async def test_many_new_authors_are_each_made_once(postgres_store: PostgresStore) -> None:
    tenant, chat = await new_known(postgres_store)
    await together(
        *(postgres_store.messages.append(tenant, chat.key, [draft("hi", author=f"new {i % 5}")]) for i in range(40))
    )
    session = await postgres_store.sessions.find(tenant, chat.session_id)
    assert session is not None
    members, total = await postgres_store.sessions.members(tenant, session.key, ALL)
    assert total == 6
    assert {member.name for member in members} == {"ann", *(f"new {i}" for i in range(5))}
    assert (await postgres_store.participants.list(tenant, "peer", ALL))[1] == 6
    assert len(await texts_of(postgres_store, tenant, chat.key)) == 41


async def test_who_goes_away_before_the_statement_has_said_nothing(postgres_store: PostgresStore) -> None:
    tenant, chat = await new_known(postgres_store)
    first = asyncio.ensure_future(say(postgres_store, tenant, chat, "under way"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks = [asyncio.ensure_future(say(postgres_store, tenant, chat, text)) for text in ("gone away", "stays")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await together(first, *tasks)
    assert await texts_of(postgres_store, tenant, chat.key) == ["first", "under way", "stays"]


async def test_closing_finishes_what_waits_and_takes_no_more(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WRITE_BATCH_OPERATIONS", 2)
    store = await PostgresStore.open(postgres_url)
    tenant, chat = await new_known(store)
    tasks = [asyncio.ensure_future(say(store, tenant, chat, str(i))) for i in range(10)]
    await asyncio.sleep(0)
    await store.close()
    assert losses(await together(*tasks)) == []
    with pytest.raises(StoreUnavailable):
        await say(store, tenant, chat, "late")
    other = await PostgresStore.open(postgres_url)
    assert len(await texts_of(other, tenant, chat.key)) == 11
    await other.close()


async def test_a_long_queue_is_refused(postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, chat = await new_known(postgres_store)
    monkeypatch.setattr(limits, "WRITE_QUEUE_OPERATIONS", 5)
    outcomes = await together(*(say(postgres_store, tenant, chat, "a") for _ in range(8)))
    assert losses(outcomes) == [StoreUnavailable] * 3
    assert losses(await together(say(postgres_store, tenant, chat, "later"))) == []


async def test_two_processes_leave_no_gap_and_never_block_each_other(
    postgres_store: PostgresStore, postgres_url: str, aside: Any
) -> None:
    other = await PostgresStore.open(postgres_url)
    tenant = await new_tenant(postgres_store)
    _, chats = await new_chats(postgres_store, tenant, 20)
    for chat in chats:
        await say(postgres_store, tenant, chat, "first")

    async def talk(store: PostgresStore, order: list[Chat]) -> None:
        for _ in range(15):
            assert losses(await together(*(say(store, tenant, chat, "a") for chat in order))) == []

    await asyncio.gather(talk(postgres_store, chats), talk(other, chats[::-1]), talk(other, chats[7:] + chats[:7]))
    await other.close()
    rows = await aside.fetch("SELECT count(*), max(seq), count(DISTINCT seq) FROM messages GROUP BY chat_key")
    assert [tuple(row) for row in rows] == [(46, 46, 46)] * 20
    assert await aside.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
