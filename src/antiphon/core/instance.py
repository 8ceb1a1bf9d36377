"""One running Antiphon: its verbs, bundled for those who serve them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from antiphon.core.chats import Chats
from antiphon.core.compaction import Compactions
from antiphon.core.conclusions import Conclusions
from antiphon.core.connections import Connections
from antiphon.core.deletion.engine import Deletions
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.worker import Worker
from antiphon.core.embeddings import Embeddings
from antiphon.core.export import Exports
from antiphon.core.faults import describe
from antiphon.core.idempotency import Idempotency
from antiphon.core.imports import Imports
from antiphon.core.indexing import Indexing
from antiphon.core.keys import Keys
from antiphon.core.messages import Messages, TokenCounter
from antiphon.core.participants import Participants
from antiphon.core.ports import Agent, Store, Tool
from antiphon.core.ports.embeddings import Embedder
from antiphon.core.ports.sandboxes import SandboxProvider
from antiphon.core.ports.streams import Streams
from antiphon.core.ports.webhooks import Sender
from antiphon.core.replies import Replies
from antiphon.core.sandboxes import Sandboxes
from antiphon.core.sessions import Sessions
from antiphon.core.tenants import Tenants
from antiphon.core.tickets import Tickets
from antiphon.core.turns import ToolsOf, Turns
from antiphon.core.webhooks import Webhooks
from antiphon.domain import limits
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Principal

_log = logging.getLogger(__name__)


def no_tools(_tenant_id: Uid, _chat_key: Uid) -> Sequence[Tool]:
    """No tools at all."""
    return ()


class Instance:
    """The verbs of one Antiphon over a store, an agent with its tools, and live streams.

    `default_model` is the name shown for chats without one, in tenants without one. `everybody` is set while
    authentication is off: then every request is that principal's. Without a `sender` webhooks are kept and nothing is
    sent from this process; `webhook_secret` is what their secrets are made from, without it one that nobody knows
    afterwards. Without an `embedder` searches are full text.
    """

    def __init__(
        self,
        store: Store,
        agent: Agent,
        count_tokens: TokenCounter,
        default_model: str,
        streams: Streams,
        receipts: Receipts,
        tools_of: ToolsOf = no_tools,
        sender: Sender | None = None,
        webhook_secret: str | None = None,
        sandboxes: SandboxProvider | None = None,
        embedder: Embedder | None = None,
        *,
        has_sandboxes: bool = True,
        has_sandbox_tools: bool = True,
        imports_folder: Path | None = None,
    ) -> None:
        self.store = store
        self.agent = agent
        self.default_model = default_model
        self.everybody: Principal | None = None
        self.tenants = Tenants(store)
        self.keys = Keys(store)
        self.tickets = Tickets(store)
        self.idempotency = Idempotency(store)
        self.participants = Participants(store)
        self.sessions = Sessions(store)
        self.chats = Chats(store)
        self.messages = Messages(store, count_tokens)
        self.embeddings = Embeddings(store, embedder)
        self.conclusions = Conclusions(store, self.messages, self.embeddings)
        self.indexing = Indexing(store, [store.search, self.embeddings] if embedder else [store.search])
        self.lists = store.lists
        self.members = store.members
        self.connections = Connections(store)
        self.receipts = receipts
        self.sandboxes = Sandboxes(store, sandboxes, is_on=has_sandboxes, offers_tools=has_sandbox_tools)
        self.worker = Worker(store, receipts, remove_files=self.sandboxes.remove_files)
        self.streams = streams
        self.turns = Turns(store, self.messages, agent, streams, tools_of, self.sandboxes.enter, self.tenants)
        self.deletions = Deletions(store, self._lose_chats, self.worker.wake)
        self.exports = Exports(store)
        self.imports = Imports(store, imports_folder)
        self.replies = Replies(store, self.messages, agent, tenants=self.tenants)
        self.compactions = Compactions(self.messages, agent, self.tenants)
        self.webhooks = Webhooks(store, sender, webhook_secret or secrets.token_urlsafe())

    async def model_of(self, tenant_id: Uid) -> str:
        """The name shown in a tenant for chats without a model of their own."""
        return (await self.tenants.settings(tenant_id)).model or self.default_model

    def _lose_chats(self, tenant_id: Uid, chat_keys: tuple[Uid, ...]) -> None:
        """Close what is live on chats that are gone, in this process."""
        self.turns.lose_chats(chat_keys)
        self.connections.lose_chats(tenant_id, chat_keys)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do the background work (keys, leases, purges) while inside; on leaving, end it and let go of sockets.

        Raises StoreError when the keys of the receipts cannot be made or read.
        """
        await self.receipts.start()
        tasks = [
            asyncio.create_task(_forever(name, work), name=name)
            for name, work in (
                ("keys", self.keys.keep_fresh),
                ("leases", self.connections.keep_renewing),
                ("purges", self.worker.run),
                ("turns", self.turns.keep_renewing),
                ("dead turns", self.turns.keep_reaping),
                ("followers", self.streams.keep_watch),
                ("webhooks", self.webhooks.run),
                ("sandboxes", self.sandboxes.run),
                ("imports", self.imports.run),
                ("embeddings", self.embeddings.run),
                ("indexing", self.indexing.run),
                ("kept answers", self.idempotency.keep_swept),
            )
        ]
        try:
            yield
        finally:
            await self.turns.close()
            await self.sandboxes.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.connections.close_all()
            await self.worker.release()
            await self.webhooks.release()
            await self.imports.release()
            await self.embeddings.close()
            await self.streams.close()


async def _forever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do that work until cancelled; what breaks it is logged, and it begins anew after WORK_RESTART_SECONDS."""
    while True:
        try:
            await work()
        except Exception as fault:  # noqa: BLE001  whatever it is: a server without this work would fail in silence
            _log.error("background work failed", extra={"work": name, **describe(fault)})
        await asyncio.sleep(limits.WORK_RESTART_SECONDS)
