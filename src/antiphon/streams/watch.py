"""Chats that somebody waits in for the next turn: looked at together, however many wait.

A turn that this process begins, and a chat that it deletes, are noticed at once; those of other processes within
CHAT_WATCH_SECONDS.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import ChatNotFound, StoreError
from antiphon.domain.ids import Uid
from antiphon.domain.turns import Turn

_log = logging.getLogger(__name__)


class Watches:
    """The chats of one process that are watched, each by one task for as long as anybody waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watches: dict[Uid, _Watch] = {}

    async def next_turn(self, tenant_id: Uid, chat_key: Uid, seen: Uid | None) -> Turn:
        """See `core.ports.streams.Streams.next_turn`."""
        watch = self._watches.get(chat_key)
        if watch is None or watch.tenant_id != tenant_id:
            watch = self._watches[chat_key] = _Watch(self._store, tenant_id, chat_key)
        watch.waiting += 1
        try:
            return await watch.next_turn(seen)
        finally:
            watch.waiting -= 1
            if not watch.waiting:
                watch.stop()
                if self._watches.get(chat_key) is watch:
                    del self._watches[chat_key]

    def wake(self, chat_key: Uid) -> None:
        """Something has happened to that chat."""
        if (watch := self._watches.get(chat_key)) is not None:
            watch.nudge.set()

    def close(self) -> None:
        """Look no more; those who wait are not told."""
        for watch in self._watches.values():
            watch.stop()


class _Watch:
    """One chat, looked at when something happens and every CHAT_WATCH_SECONDS."""

    def __init__(self, store: Store, tenant_id: Uid, chat_key: Uid) -> None:
        self.tenant_id = tenant_id
        self.waiting = 0
        self.nudge = asyncio.Event()
        self._store = store
        self._chat_key = chat_key
        self._newest: Turn | None = None
        self._is_gone = False
        self._looked = asyncio.Event()
        self._task = asyncio.create_task(self._keep_looking(), name="chat watch")

    def stop(self) -> None:
        """Look no more."""
        self._task.cancel()

    async def next_turn(self, seen: Uid | None) -> Turn:
        while True:
            if self._is_gone:
                raise ChatNotFound
            if self._newest is not None and self._newest.id != seen:
                return self._newest
            await self._looked.wait()

    async def _keep_looking(self) -> None:
        while True:
            self.nudge.clear()
            try:
                await self._look()
            except StoreError as error:  # "could not find out" is not "nothing there"
                _log.warning("a chat cannot be watched", extra={"code": error.code})
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.CHAT_WATCH_SECONDS):
                    await self.nudge.wait()

    async def _look(self) -> None:
        newest = await self._store.turns.find_last(self.tenant_id, self._chat_key)
        if newest is None and await self._store.chats.find_by_key(self.tenant_id, self._chat_key) is None:
            self._is_gone = True
        self._newest = newest or self._newest
