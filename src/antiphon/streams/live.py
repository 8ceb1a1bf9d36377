"""The streams of one process: turns that it runs from memory, turns of others through the store.

A turn of another process is read from the store once for all its followers here: a mirror polls what that process has
stored into a channel of its own, which is dropped with its last follower.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import StoreError, TurnNotFound
from antiphon.domain.events import TurnEnded, decode_events
from antiphon.domain.ids import Uid
from antiphon.domain.turns import RUNNING, Turn
from antiphon.streams.channel import MemoryChannel, MemoryFollower
from antiphon.streams.watch import Watches

DELETED = "deleted"

Closer = Callable[[Uid, Uid], Awaitable[None]]
"""Closes a turn (tenant, turn) whose process is dead."""

_log = logging.getLogger(__name__)


class LiveStreams:
    """`core.ports.streams.Streams`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[Uid, MemoryChannel] = {}
        self._mirrors: dict[tuple[Uid, Uid], _Mirror] = {}
        self._closer: Closer | None = None
        self._watches = Watches(store)

    def open(self, turn: Turn) -> MemoryChannel:
        """See the port."""
        channel = _OwnChannel(turn, self._own)
        self._own[turn.id] = channel
        self._watches.wake(turn.chat_key)
        return channel

    async def follow(
        self, tenant_id: Uid, turn_id: Uid, first: int, on_cut: Callable[[], None], *, is_stored_only: bool = False
    ) -> MemoryFollower:
        """See the port."""
        own = self._own.get(turn_id)
        if own is not None and own.turn.tenant_id == tenant_id:
            return own.join(first, on_cut, is_stored_only=is_stored_only)
        mirror = self._mirrors.get((tenant_id, turn_id))
        if mirror is None:
            turn = await self._store.turns.find(tenant_id, turn_id)
            if turn is None:
                raise TurnNotFound
            mirror = self._mirrors.get((tenant_id, turn_id)) or self._reflect(turn)
        return mirror.channel.join(first, on_cut, is_stored_only=is_stored_only)

    async def next_turn(self, tenant_id: Uid, chat_key: Uid, seen: Uid | None) -> Turn:
        """See the port."""
        return await self._watches.next_turn(tenant_id, chat_key, seen)

    def _reflect(self, turn: Turn) -> _Mirror:
        key = (turn.tenant_id, turn.id)
        mirror = self._mirrors[key] = _Mirror(self._store, turn, self._close_dead, lambda: self._drop(key))
        return mirror

    def set_closer(self, close_dead: Closer) -> None:
        """See the port."""
        self._closer = close_dead

    async def _close_dead(self, tenant_id: Uid, turn_id: Uid) -> None:
        if self._closer is not None:
            await self._closer(tenant_id, turn_id)

    def _drop(self, key: tuple[Uid, Uid]) -> None:
        if (mirror := self._mirrors.pop(key, None)) is not None:
            mirror.stop()

    def lose_chats(self, chat_keys: Sequence[Uid]) -> None:
        """See the port."""
        gone = set(chat_keys)
        channels = [*self._own.values(), *(mirror.channel for mirror in self._mirrors.values())]
        for channel in channels:
            if channel.turn.chat_key in gone:
                channel.lose([TurnEnded(DELETED)], 0)
        for chat_key in gone:
            self._watches.wake(chat_key)

    async def keep_watch(self) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(limits.FOLLOWER_CHECK_SECONDS)
            now = loop.time()
            for channel in [*self._own.values(), *(mirror.channel for mirror in self._mirrors.values())]:
                channel.check(now)

    async def close(self) -> None:
        """See the port; those who follow turns of others end without an end, and go on elsewhere."""
        for mirror in list(self._mirrors.values()):
            mirror.channel.close()
        for key in list(self._mirrors):
            self._drop(key)
        self._watches.close()


class _OwnChannel(MemoryChannel):
    """The channel of a turn of this process: found by who follows, until it is closed and nobody follows any more."""

    def __init__(self, turn: Turn, registry: dict[Uid, MemoryChannel]) -> None:
        super().__init__(turn, self._forget_if_closed)
        self._registry = registry

    def close(self) -> None:
        """See the base."""
        super().close()
        if not self.followers:
            self._forget_if_closed()

    def _forget_if_closed(self) -> None:
        if self.is_closed:
            self._registry.pop(self.turn.id, None)


class _Mirror:
    """Polls the events of a turn of another process into a channel."""

    def __init__(self, store: Store, turn: Turn, close_dead: Closer, on_idle: Callable[[], None]) -> None:
        self.channel = MemoryChannel(turn, on_idle)
        self._store = store
        self._close_dead = close_dead
        self._task = asyncio.create_task(self._poll(turn), name="mirror")

    def stop(self) -> None:
        """End the polling."""
        self._task.cancel()

    async def _poll(self, turn: Turn) -> None:
        while not self.channel.is_closed:
            try:
                if await self._read(turn):
                    continue
            except TurnNotFound:
                self.channel.lose([TurnEnded(DELETED)], 0)
                return
            except StoreError as error:  # "could not find out" is not "nothing there"
                _log.warning("a turn cannot be read", extra={"code": error.code})
            except Exception as fault:  # noqa: BLE001  whoever follows must not wait for what will never come
                _log.error("a turn cannot be told", extra={"fault": type(fault).__name__})
                self.channel.close()
                return
            await asyncio.sleep(limits.FOLLOW_POLL_SECONDS)

    async def _read(self, turn: Turn) -> bool:
        """Take what is new; whether there may be more at once."""
        seen = self.channel.count
        now, chunks = await self._store.turns.events(turn.tenant_id, turn.id, seen, limits.FOLLOW_CHUNKS)
        for chunk in chunks:
            self.channel.publish(decode_events(chunk.body)[self.channel.count - chunk.first :])
            self.channel.confirm(self.channel.count)
            await asyncio.sleep(0)  # a store that never waits would keep everybody else waiting
        if self.channel.count < now.event_count and chunks:
            return True
        if now.state != RUNNING:
            if self.channel.count < now.event_count:  # forgotten, since a newer turn has begun: its end is known still
                self.channel.publish([TurnEnded(now.state)])
            self.channel.close()
        elif not now.is_live:
            await self._close_dead(now.tenant_id, now.id)
        return False
