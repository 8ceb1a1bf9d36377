"""What the core needs of a store to write exports that hold everything, and to take them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.ids import Uid
from antiphon.domain.imports import Batch, Import, ImportedMember, ImportedRead, Opening


class ImportStore(Protocol):
    """Imports, and what an export holds beside sessions, chats and messages. Leases are of the database's clock."""

    async def members(self, tenant_id: Uid, session_key: Uid, offset: int, limit: int) -> list[ImportedMember]:
        """Some places of a session, also of those who have left, in order of joining."""
        ...

    async def reads(self, tenant_id: Uid, chat_key: Uid, offset: int, limit: int) -> list[ImportedRead]:
        """Some read marks of a chat, by the names of their owners."""
        ...

    async def marks(self, tenant_id: Uid, chat_key: Uid, message_ids: Sequence[Uid]) -> dict[Uid, bool]:
        """Whether something is to be derived from these messages of a chat: those that say so or not themselves."""
        ...

    async def begin(self, tenant_id: Uid, opening: Opening) -> tuple[Import, bool]:
        """Begin an import, and whether this did: one of the same file that goes on, or whose work is there, is given.

        Raises ImportIdTaken when an id of the file is in use, TenantNotFound.
        """
        ...

    async def find(self, tenant_id: Uid, import_id: Uid) -> Import | None:
        """The import of that id."""
        ...

    async def claim(self, tenant_id: Uid, import_id: Uid, node: Uid, lease_seconds: float) -> Import | None:
        """Take the lease of an import that is being written and that no other process holds."""
        ...

    async def write(
        self, tenant_id: Uid, import_id: Uid, node: Uid, cursor: int, batch: Batch, lease_seconds: float
    ) -> Import:
        """Write the next step, if the import stands at that cursor and this process holds it; extends the lease.

        Raises ImportNotFound when it does not, ParticipantNotFound, SessionNotFound or ChatNotFound when what the
        import hangs on was deleted, MessageIdTaken.
        """
        ...

    async def finish(self, tenant_id: Uid, import_id: Uid, node: Uid) -> Import:
        """Show all of it at once.

        Raises ImportNotFound, ImportIdTaken, ParticipantNotFound, UndoParentDeleted, UndoTooLate, LimitExceeded.
        """
        ...

    async def give_up(self, tenant_id: Uid, import_id: Uid, error: str) -> None:
        """End an import that cannot be finished: what it has written goes as anything that is deleted."""
        ...

    async def release(self, node: Uid) -> None:
        """Let go of all leases of a process. System scope."""
        ...

    async def sweep(self, kept_seconds: float, abandoned_seconds: float) -> None:
        """Give up what nobody goes on with, and forget what has been over for long. System scope."""
        ...
