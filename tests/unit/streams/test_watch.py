"""What followers are told before it is stored and after, and chats that are watched for their next turn."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import ChatNotFound, StoreUnavailable
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.turns import Turn
from antiphon.streams.channel import MemoryChannel
from antiphon.streams.watch import Watches
from tests.unit.streams.test_channel import TURN, never, piece


def after(turn: Turn) -> Turn:
    """Another turn of the same chat."""
    return msgspec.structs.replace(turn, id=new_uid7())


async def test_who_wants_what_is_stored_waits_for_it() -> None:
    channel = MemoryChannel(TURN)
    live, stored = channel.join(0, never), channel.join(0, never, is_stored_only=True)
    channel.publish([piece(0), piece(1)])
    assert [record.sequence for record in await anext(live)] == [0, 1]
    waiting = asyncio.ensure_future(anext(stored))
    await asyncio.sleep(0)
    channel.publish([piece(2)])
    assert not waiting.done()
    channel.confirm(2)
    assert [record.sequence for record in await waiting] == [0, 1]
    channel.publish([piece(3)])
    channel.close()
    assert [record.sequence for record in await anext(stored)] == [2, 3]
    with pytest.raises(StopAsyncIteration):
        await anext(stored)


async def test_who_waits_for_the_store_is_not_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOLLOWER_EVENTS_BEHIND", 1)
    channel = MemoryChannel(TURN)
    channel.join(0, never, is_stored_only=True)
    channel.publish([piece(0), piece(1), piece(2)])
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_LAG_SECONDS)
    assert len(channel.followers) == 1


async def test_who_was_cut_off_is_let_go() -> None:
    """Whoever keeps it may never come back to close it."""
    idle: list[bool] = []
    channel = MemoryChannel(TURN, lambda: idle.append(True))
    channel.join(0, lambda: None)
    channel.publish([piece(0)])
    channel.check(asyncio.get_running_loop().time() + limits.FOLLOWER_STALL_SECONDS + 1)
    assert idle == [True]
    assert not channel.followers


class Chats:
    """The two questions that a watch asks a store; `looks` gets an item whenever it is asked for the newest turn."""

    def __init__(self) -> None:
        self.newest: Turn | None = None
        self.is_there = True
        self.is_away = False
        self.looks: asyncio.Queue[None] = asyncio.Queue()
        self.turns = self.chats = self

    async def find_last(self, tenant_id: Uid, chat_key: Uid) -> Turn | None:
        self.looks.put_nowait(None)
        if self.is_away:
            raise StoreUnavailable
        return self.newest if self.is_there else None

    async def find_by_key(self, tenant_id: Uid, key: Uid) -> object | None:
        return object() if self.is_there else None


def watches_of(store: Chats) -> Watches:
    """Watches over such a store."""
    return Watches(cast("Store", store))


async def test_the_newest_turn_is_there_at_once_unless_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAT_WATCH_SECONDS", 1000)
    store = Chats()
    watches = watches_of(store)
    store.newest = TURN
    assert await watches.next_turn(TURN.tenant_id, TURN.chat_key, None) == TURN
    waiting = asyncio.ensure_future(watches.next_turn(TURN.tenant_id, TURN.chat_key, TURN.id))
    for _ in range(2):
        await store.looks.get()
    assert not waiting.done()
    store.newest = after(TURN)
    watches.wake(TURN.chat_key)
    assert await waiting == store.newest


async def test_a_turn_of_another_process_is_found_by_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over a store that is away for a moment; many who wait look together."""
    monkeypatch.setattr(limits, "CHAT_WATCH_SECONDS", 0)
    store = Chats()
    watches = watches_of(store)
    store.is_away = True
    waiting = [asyncio.ensure_future(watches.next_turn(TURN.tenant_id, TURN.chat_key, None)) for _ in range(50)]
    for _ in range(3):
        await store.looks.get()
    assert store.looks.qsize() < 20
    store.is_away, store.newest = False, TURN
    assert await asyncio.gather(*waiting) == [TURN] * 50
    assert not watches._watches


async def test_who_waits_in_a_chat_that_goes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAT_WATCH_SECONDS", 1000)
    store = Chats()
    watches = watches_of(store)
    waiting = asyncio.ensure_future(watches.next_turn(TURN.tenant_id, TURN.chat_key, None))
    await store.looks.get()
    store.is_there = False
    watches.wake(TURN.chat_key)
    with pytest.raises(ChatNotFound):
        await waiting


async def test_another_tenant_does_not_share_a_watch() -> None:
    store = Chats()
    watches = watches_of(store)
    ours = asyncio.ensure_future(watches.next_turn(TURN.tenant_id, TURN.chat_key, None))
    await asyncio.sleep(0)
    theirs = asyncio.ensure_future(watches.next_turn(new_uid7(), TURN.chat_key, None))
    await asyncio.sleep(0)
    store.newest = TURN
    watches.wake(TURN.chat_key)
    assert await theirs == TURN
    ours.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ours
    watches.close()
