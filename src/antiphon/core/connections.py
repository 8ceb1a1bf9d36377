"""Connections: the live sockets of this process, each with a lease in the store that everybody can see."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from antiphon.core.faults import describe
from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.connections import Connection, Presence
from antiphon.domain.errors import (
    AntiphonError,
    ChatNotFound,
    ConnectionDismissed,
    ConnectionNotFound,
    StoreError,
)
from antiphon.domain.ids import Uid, new_uid7

Closer = Callable[[AntiphonError], None]
"""Called once when a connection is lost: with ChatNotFound when its chat was deleted, with ConnectionDismissed when
somebody closed it, else with ConnectionNotFound."""

_log = logging.getLogger(__name__)


class Connections:
    """The verbs of connections.

    `node` names this process. A lease is renewed every CONNECTION_RENEW_SECONDS and valid for CONNECTION_LEASE_SECONDS
    by the database's clock: a socket whose process is dead stops counting by itself.
    """

    def __init__(
        self,
        store: Store,
        sockets_max: int = limits.SOCKETS_PER_TENANT,
        lease_seconds: float = limits.CONNECTION_LEASE_SECONDS,
        renew_seconds: float = limits.CONNECTION_RENEW_SECONDS,
    ) -> None:
        self.node = new_uid7()
        self._store = store
        self._sockets_max = sockets_max
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._open: dict[Uid, dict[Uid, tuple[Connection, Closer]]] = defaultdict(dict)
        self._opening: Counter[Uid] = Counter()
        self._closing: set[asyncio.Future[None]] = set()
        self._unclosed: list[Connection] = []

    async def open(self, tenant_id: Uid, chat_key: Uid, participant_name: str, on_lost: Closer) -> Connection:
        """Register a socket; from here on the chat cannot be deleted in the mode `refuse`.

        Who is cancelled meanwhile leaves nothing registered. Raises ChatNotFound and ConnectionLimitExceeded.
        """
        opening = asyncio.ensure_future(
            self._store.connections.open(
                tenant_id, chat_key, participant_name, self.node, self._sockets_max, self._lease_seconds
            )
        )
        self._opening[tenant_id] += 1
        try:
            connection = await asyncio.shield(opening)
            self._open[tenant_id][connection.id] = (connection, on_lost)
        except asyncio.CancelledError:
            opening.add_done_callback(self._abandon)
            raise
        finally:
            self._opening[tenant_id] -= 1
            if not self._opening[tenant_id]:
                del self._opening[tenant_id]
        return connection

    def _abandon(self, opening: asyncio.Future[Connection]) -> None:
        """Forget a socket whose opener did not wait: its lease would be renewed with the others of this process."""
        if not opening.cancelled() and opening.exception() is None:
            closing = asyncio.ensure_future(self.close(opening.result()))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self, connection: Connection) -> None:
        """Forget a socket, whose work must have ended. A store that is away is told before the next renewal."""
        self._forget(connection)
        try:
            await self._store.connections.close(connection.tenant_id, connection.id)
        except StoreError as error:
            self._unclosed.append(connection)
            _log.warning("connection not closed in the store", extra={"code": error.code})

    def _forget(self, connection: Connection) -> Closer | None:
        held = self._open.get(connection.tenant_id, {})
        _, on_lost = held.pop(connection.id, (None, None))
        if not held:
            self._open.pop(connection.tenant_id, None)
        return on_lost

    def lose_chats(self, tenant_id: Uid, chat_keys: tuple[Uid, ...]) -> None:
        """Tell the sockets of these chats, in this process, that their chat is gone."""
        gone = set(chat_keys)
        for connection, _ in list(self._open.get(tenant_id, {}).values()):
            if connection.chat_key in gone and (on_lost := self._forget(connection)):
                on_lost(ChatNotFound())

    async def find(self, tenant_id: Uid, connection_id: Uid) -> Presence | None:
        """The live socket of that id, in whichever process."""
        return await self._store.connections.find(tenant_id, connection_id)

    async def list(self, tenant_id: Uid, chat_key: Uid, after: Uid | None, limit: int) -> list[Presence]:
        """The live sockets of a chat, of all processes, in order of opening, behind that one."""
        return await self._store.connections.list(tenant_id, chat_key, after, limit)

    async def counts(self, tenant_id: Uid, chat_keys: Sequence[Uid]) -> dict[Uid, int]:
        """How many live sockets each of these chats has; those without any are left out."""
        return await self._store.connections.counts(tenant_id, chat_keys)

    async def dismiss(self, tenant_id: Uid, connection_id: Uid) -> None:
        """Close a socket, in whichever process. Raises ConnectionNotFound.

        From here on nothing is stored for it. This process tells it at once, another one when it renews its leases.
        """
        await self._store.connections.dismiss(tenant_id, connection_id)
        held, _ = self._open.get(tenant_id, {}).get(connection_id, (None, None))
        if held is not None and (on_lost := self._forget(held)):
            on_lost(ConnectionDismissed())

    async def why_lost(self, connection: Connection) -> AntiphonError:
        """Why a socket has no lease any more."""
        if await self._store.chats.find_by_key(connection.tenant_id, connection.chat_key) is None:
            return ChatNotFound()
        if await self._store.connections.was_dismissed(connection.tenant_id, connection.id):
            return ConnectionDismissed()
        return ConnectionNotFound()

    async def renew(self) -> None:
        """Extend the leases of this process, one statement a tenant, and give up the sockets whose lease is gone.

        Raises StoreError when the store refused a tenant, after trying all of them.
        """
        refusal: StoreError | None = None
        await self._close_late()
        for tenant_id, mine in [(tenant_id, dict(held)) for tenant_id, held in self._open.items()]:
            try:
                await self._renew_tenant(tenant_id, mine)
            except StoreError as error:
                refusal = error
        if refusal is not None:
            raise refusal

    async def _close_late(self) -> None:
        """Close what could not be closed: a renewal, which is for the whole process, would keep it alive."""
        for connection in list(self._unclosed):
            self._unclosed.remove(connection)
            await self.close(connection)

    async def _renew_tenant(self, tenant_id: Uid, mine: dict[Uid, tuple[Connection, Closer]]) -> None:
        held = await self._store.connections.renew(tenant_id, self.node, self._lease_seconds)
        for connection_id, (connection, _) in mine.items():
            if connection_id in held:
                continue
            reason = await self.why_lost(connection)
            if on_lost := self._forget(connection):
                on_lost(reason)
        await self._close_unknown(tenant_id, held)

    async def _close_unknown(self, tenant_id: Uid, held: set[Uid]) -> None:
        """Close what the store counts and nobody here has: a socket whose opening failed after it was committed.

        A renewal, which is for the whole process, would keep it alive.
        """
        if not self._opening[tenant_id]:
            late = {connection.id for connection in self._unclosed}
            for connection_id in held - self._open.get(tenant_id, {}).keys() - late:
                await self._store.connections.close(tenant_id, connection_id)

    async def keep_renewing(self) -> None:
        """Renew until cancelled. After a failure of the store it tries again soon: the leases outlast a few tries."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await self.renew()
            except StoreError as error:
                _log.warning("leases not renewed", extra={"code": error.code})
                await asyncio.sleep(min(1.0, self._renew_seconds))

    async def close_all(self) -> None:
        """Forget every socket of this process, at its orderly end."""
        self._open.clear()
        try:
            async with asyncio.timeout(limits.GOODBYE_SECONDS):
                await self._store.connections.close_node(self.node)
        except (StoreError, TimeoutError) as error:
            _log.warning("connections not closed in the store", extra=describe(error))

    @property
    def count(self) -> int:
        """How many sockets this process holds."""
        return sum(len(held) for held in self._open.values())
