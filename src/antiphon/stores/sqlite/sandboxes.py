"""The lives of sandboxes in SQLite."""

from __future__ import annotations

from antiphon.core.ports.sandboxes import Transition
from antiphon.domain.errors import SessionNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.sandboxes import Sandbox
from antiphon.stores.sandbox_rows import sandbox_of, values_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


class SqliteSandboxes:
    """`core.ports.sandboxes.SandboxStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def find(self, tenant_id: Uid, session_key: Uid) -> Sandbox | None:
        """See the port."""
        row = self._file.row("find_sandbox", tenant_id=tenant_id, session_key=session_key)
        return sandbox_of(row) if row else None

    async def find_of_chat(self, tenant_id: Uid, chat_key: Uid) -> Sandbox | None:
        """See the port."""
        row = self._file.row("session_with_sandbox", tenant_id=tenant_id, chat_key=chat_key)
        return await self.find(tenant_id, row[0]) if row else None

    async def change(self, tenant_id: Uid, session_key: Uid, transition: Transition) -> Sandbox:
        """See the port."""

        def operation(tx: Transaction) -> Sandbox:
            row = tx.row("find_sandbox", tenant_id=tenant_id, session_key=session_key)
            if row is None:
                raise SessionNotFound
            before = sandbox_of(row)
            after = transition(before)
            if after != before:
                tx.run("put_sandbox", **values_of(after))
                tx.run("touch_session", tenant_id=tenant_id, key=session_key, now=tx.now)
            return after

        return await self._file.write(operation)

    async def is_placed(self, tenant_id: Uid, session_key: Uid) -> bool:
        """See the port."""
        return self._file.row("is_placed", tenant_id=tenant_id, session_key=session_key) is not None

    async def overdue(self, place: str, now: int, limit: int) -> list[tuple[Uid, Uid]]:
        """See the port."""
        rows = self._file.rows("overdue_sandboxes", place=place, now=now, limit=limit)
        return [(tenant_id, session_key) for tenant_id, session_key in rows]
