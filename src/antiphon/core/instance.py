"""One running Antiphon: its verbs, bundled for those who serve them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from antiphon.core.chats import Chats
from antiphon.core.connections import Connections
from antiphon.core.deletion.engine import Deletions
from antiphon.core.deletion.worker import Worker
from antiphon.core.faults import describe
from antiphon.core.keys import Keys
from antiphon.core.messages import Messages, TokenCounter
from antiphon.core.participants import Participants
from antiphon.core.ports import Agent, Store
from antiphon.core.replies import Replies
from antiphon.core.sessions import Sessions
from antiphon.core.tenants import Tenants
from antiphon.domain import limits
from antiphon.domain.keys import Principal

_log = logging.getLogger(__name__)


class Instance:
    """The verbs of one Antiphon over a store and an agent.

    `default_model` is the name shown for chats without one. `everybody` is set while authentication is off: then every
    request is that principal's.
    """

    def __init__(self, store: Store, agent: Agent, count_tokens: TokenCounter, default_model: str) -> None:
        self.store = store
        self.agent = agent
        self.default_model = default_model
        self.everybody: Principal | None = None
        self.tenants = Tenants(store)
        self.keys = Keys(store)
        self.participants = Participants(store)
        self.sessions = Sessions(store)
        self.chats = Chats(store)
        self.messages = Messages(store, count_tokens)
        self.connections = Connections(store)
        self.worker = Worker(store)
        self.deletions = Deletions(store, self.connections, self.worker.wake)
        self.replies = Replies(store, self.messages, agent)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do the background work (keys, leases, purges) while inside; on leaving, end it and let go of sockets."""
        tasks = [
            asyncio.create_task(_forever(name, work), name=name)
            for name, work in (
                ("keys", self.keys.keep_fresh),
                ("leases", self.connections.keep_renewing),
                ("purges", self.worker.run),
            )
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.connections.close_all()
            await self.worker.release()


async def _forever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do that work until cancelled; what breaks it is logged, and it begins anew after WORK_RESTART_SECONDS."""
    while True:
        try:
            await work()
        except Exception as fault:  # noqa: BLE001  whatever it is: a server without this work would fail in silence
            _log.error("background work failed", extra={"work": name, **describe(fault)})
        await asyncio.sleep(limits.WORK_RESTART_SECONDS)
