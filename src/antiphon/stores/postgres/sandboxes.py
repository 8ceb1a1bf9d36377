"""The lives of sandboxes in PostgreSQL."""

from __future__ import annotations

from antiphon.core.ports.sandboxes import Transition
from antiphon.domain.errors import SessionNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.sandboxes import Sandbox
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.sandbox_rows import sandbox_of, values_of


class PostgresSandboxes:
    """`core.ports.sandboxes.SandboxStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: Uid, session_key: Uid) -> Sandbox | None:
        """See the port."""
        row = await self._database.row("find_sandbox", tenant_id=tenant_id, session_key=session_key)
        return sandbox_of(row) if row else None

    async def find_of_chat(self, tenant_id: Uid, chat_key: Uid) -> Sandbox | None:
        """See the port."""
        row = await self._database.row("session_with_sandbox", tenant_id=tenant_id, chat_key=chat_key)
        return await self.find(tenant_id, row[0]) if row else None

    async def change(self, tenant_id: Uid, session_key: Uid, transition: Transition) -> Sandbox:
        """See the port."""

        async def operation(tx: Cursor) -> Sandbox:
            # The session's lock is what one transition waits for while another is applied: there may be no row yet.
            held = await tx.row("lock_multi", tenant_id=tenant_id, session_key=session_key)
            row = await tx.row("find_sandbox", tenant_id=tenant_id, session_key=session_key) if held else None
            if row is None:
                raise SessionNotFound
            before = sandbox_of(row)
            after = transition(before)
            if after != before:
                await tx.run("put_sandbox", **values_of(after))
                await tx.run("touch_session", tenant_id=tenant_id, key=session_key, now=tx.now)
            return after

        return await self._database.transact(operation)

    async def is_placed(self, tenant_id: Uid, session_key: Uid) -> bool:
        """See the port."""
        row = await self._database.row("is_placed", tenant_id=tenant_id, session_key=session_key)
        return row is not None

    async def overdue(self, place: str, now: int, limit: int) -> list[tuple[Uid, Uid]]:
        """See the port."""
        rows = await self._database.rows("overdue_sandboxes", place=place, now=now, limit=limit)
        return [(tenant_id, session_key) for tenant_id, session_key in rows]
