"""The work on messages that no append waits for: each kind goes through what is due, chat by chat, in small steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from antiphon.core.faults import describe
from antiphon.core.ports import Store
from antiphon.core.ports.indexing import Backlog, Behind, IndexWork
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed, InvalidInput, StoreError, StoreUnavailable
from antiphon.domain.ids import Uid

_log = logging.getLogger(__name__)


class Indexing:
    """Does the kinds of work that it is given. Any number of processes may: a chat's cursor lets one through."""

    def __init__(self, store: Store, works: Sequence[IndexWork]) -> None:
        self._store = store
        self._works = works
        self._failures: dict[tuple[str, Uid], int] = {}
        self._rests = {work.kind: 0 for work in works}  # in a row
        self.passed_over = {work.kind: 0 for work in works}

    async def run(self) -> None:
        """Do all of them side by side, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in self._works:
                group.create_task(self._keep_doing(work), name=f"indexing {work.kind}")

    async def catch_up(self) -> None:
        """Do what is due now, until nothing is."""
        for work in self._works:
            while await self._go_round(work):
                pass

    async def backlogs(self) -> dict[str, Backlog]:
        """What waits, by the kind of work."""
        return {work.kind: await self._store.indexing.backlog(work.kind) for work in self._works}

    async def _keep_doing(self, work: IndexWork) -> None:
        while True:
            wait: float = limits.INDEX_SCAN_SECONDS
            try:
                if await self._go_round(work):
                    continue
            except (StoreError, AgentFailed) as fault:
                _log.warning("nothing can be indexed now", extra={"work": work.kind, **describe(fault)})
                self._rests[work.kind] += 1
                wait = _pause(self._rests[work.kind])
            await asyncio.sleep(wait)

    async def _go_round(self, work: IndexWork) -> bool:
        """One step in each chat that is due, those of one tenant after those of another; whether there were any."""
        indexing = self._store.indexing
        tenants = await indexing.tenants_behind(work.kind, limits.INDEX_TENANTS)
        count = 0
        for tenant_id in tenants:
            for chat in await indexing.chats_behind(work.kind, tenant_id, limits.INDEX_CHATS):
                await self._see_to(work, tenant_id, chat)
                count += 1
        return count > 0

    async def _see_to(self, work: IndexWork, tenant_id: Uid, chat: Behind) -> None:
        """One step in a chat. Of messages that cannot be done together half are tried, down to the one at fault."""
        indexing = self._store.indexing
        if work.claim_seconds and not await indexing.claim(work.kind, tenant_id, chat, work.claim_seconds):
            return
        span = min(work.batch, max(chat.last_seq - chat.cursor, 1))
        while True:
            try:
                cursor = await work.advance(tenant_id, chat.chat_key, chat.cursor, chat.cursor + span)
            except StoreUnavailable as fault:
                _log.warning("a chat is indexed later", extra={"work": work.kind, **describe(fault)})
                await self._put_off(work.kind, tenant_id, chat)
                return
            except AgentFailed:
                await self._put_off(work.kind, tenant_id, chat)  # others first, should it be the fault of this one
                raise
            except Exception as fault:  # noqa: BLE001  whatever a message does to the work: others are not to wait for it
                if span == 1:
                    await self._give_up(work.kind, tenant_id, chat, fault)
                    return
                span //= 2
            else:
                self._failures.pop((work.kind, chat.chat_key), None)
                self._rests[work.kind] = 0
                if work.claim_seconds and cursor == chat.cursor:  # refused, and so it has changed: give the claim back
                    await indexing.put_off(work.kind, tenant_id, chat.chat_key, 0)
                return

    async def _give_up(self, kind: str, tenant_id: Uid, chat: Behind, fault: Exception) -> None:
        """Pass a message over for good, once it has failed often enough, or is refused for what it is."""
        is_refused = isinstance(fault, InvalidInput)
        if not is_refused and self._failures.get((kind, chat.chat_key), 0) + 1 < limits.INDEX_ATTEMPTS:
            _log.warning("a chat is indexed later", extra={"work": kind, **describe(fault)})
            await self._put_off(kind, tenant_id, chat)
            return
        self._failures.pop((kind, chat.chat_key), None)
        self.passed_over[kind] += 1
        _log.error("a message is passed over", extra={"work": kind, **describe(fault)})
        await self._store.indexing.settle(kind, tenant_id, chat.chat_key, chat.cursor, chat.cursor + 1)

    async def _put_off(self, kind: str, tenant_id: Uid, chat: Behind) -> None:
        """Let a chat wait, after each failure twice as long."""
        failures = self._failures[kind, chat.chat_key] = self._failures.get((kind, chat.chat_key), 0) + 1
        await self._store.indexing.put_off(kind, tenant_id, chat.chat_key, _pause(failures))


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(limits.INDEX_RETRY_SECONDS * 2.0 ** min(failures - 1, 10), limits.INDEX_RETRY_SECONDS_MAX)
