"""Deleting: the detach is the deletion; from then on nothing shows what was deleted, and no late writer finds it.

The detach is one small transaction whose cost does not depend on the number of messages. What is left is a husk that
only the purge knows (see `worker`).
"""

from __future__ import annotations

from collections.abc import Callable

from antiphon.core.connections import Connections
from antiphon.core.ports import Detached, Store
from antiphon.domain import limits
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import DONE, Deletion
from antiphon.domain.ids import Uid
from antiphon.domain.sessions import Session


class Deletions:
    """The verbs of deletions. `wake` tells this process's worker that there is work."""

    def __init__(self, store: Store, connections: Connections, wake: Callable[[], None]) -> None:
        self._store = store
        self._connections = connections
        self._wake = wake

    async def delete_chat(self, tenant_id: Uid, chat: Chat, mode: str) -> Deletion:
        """Delete a chat; that of a `single` session takes its session with it. A small one is gone on return, rows too.

        Raises ChatNotFound (also when somebody else was first), ChatIsLastOfSession, and in the mode `refuse`
        ChatHasActiveConnections and ChatHasActiveTurn; in the mode `cancel` sockets on it are closed.
        """
        return self._settle(
            await self._store.deletions.detach_chat(tenant_id, chat.key, mode, limits.PURGE_INLINE_MESSAGES)
        )

    async def delete_session(self, tenant_id: Uid, session: Session, mode: str) -> Deletion:
        """Delete a session with all its chats; the rows go in the background.

        Raises SessionNotFound, and in the mode `refuse` as above.
        """
        return self._settle(await self._store.deletions.detach_session(tenant_id, session.key, mode, 0))

    async def delete_tenant(self, tenant_id: Uid) -> Deletion:
        """Delete a tenant that has no sessions. Raises TenantNotFound and TenantHasSessions."""
        return self._settle(await self._store.deletions.detach_tenant(tenant_id))

    def _settle(self, detached: Detached) -> Deletion:
        deletion = detached.deletion
        self._connections.lose_chats(deletion.tenant_id, detached.chat_keys)
        if deletion.state != DONE:
            self._wake()
        return deletion
