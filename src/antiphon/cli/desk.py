"""What the commands need done, wherever that is: on this machine, or by a server elsewhere.

A command is written once, over a `Desk`. `local` has the one that works on a store, `remote` the one that asks a server
through its API. What they give is what the commands show, in the order in which they show it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from antiphon.core.deletion.verify import Verdict
from antiphon.domain.deletions import AFTER, CANCEL, Order
from antiphon.domain.errors import AntiphonError, Conflict
from antiphon.domain.tenants import TenantSettings

Tell = Callable[[str, int, int], None]
"""Told how far something long is: what is being done, how much of it, of how much."""

LOOK_SECONDS = 0.2
"""How soon one looks again at what one waits for, at first."""

ALREADY_THERE = "already there"
"""The state of an import that had nothing to do."""


class ImportFailed(AntiphonError):
    """The import was given up, and nothing of it is there."""

    code = "import_failed"


def with_way_out(message: str) -> Conflict:
    """The error when something live is in the way of a deletion: with what can be done about that."""
    return Conflict(f"{message} --mode {CANCEL} ends what is live, --mode {AFTER} waits for it.")


class TenantRow(msgspec.Struct, frozen=True):
    """A tenant."""

    id: str
    name: str
    created_at: str
    settings: TenantSettings


class KeyRow(msgspec.Struct, frozen=True):
    """A key without its text; `tenant` is a name."""

    id: str
    tenant: str
    participant: str | None
    scopes: list[str]
    session: str | None
    label: str | None
    created_at: str
    expires_at: str | None


class KeyOrder(msgspec.Struct, frozen=True):
    """A key that is to be made, as `core.keys.Keys.create` takes it."""

    participant: str | None
    scope: str | None
    session: str | None
    expires_at: int | None
    label: str | None


class DeletionRow(msgspec.Struct, frozen=True):
    """A deletion. `target` is its id, and a digest when it is over; `next_try_at` is None unless it waits for that."""

    id: str
    tenant: str
    kind: str
    target: str | None
    mode: str
    reason: str | None
    state: str
    requested_at: str
    undo_until: str | None
    removed: int
    total: int
    attempts: int
    last_error: str | None
    next_try_at: str | None
    overdue: bool
    receipt: str | None


class PlanRow(msgspec.Struct, frozen=True):
    """What deleting something would remove now: rows by table, and in words what stands in the way."""

    kind: str
    target: str
    digest: str
    counts: dict[str, int]
    blocked_by: list[str]


class PublicKeyRow(msgspec.Struct, frozen=True):
    """A public key that verifies receipts."""

    kid: str
    algorithm: str
    public_key: str
    created_at: str
    retired_at: str | None


class ChatRow(msgspec.Struct, frozen=True):
    """A chat. `participant` is the name of its owner, `connections` how many sockets are open on it."""

    id: str
    session: str
    participant: str
    title: str
    messages: int
    last_message_at: str | None
    created_at: str
    updated_at: str
    active_turn: str | None
    connections: int


class ImportRow(msgspec.Struct, frozen=True, rename={"id": "import", "target": "id"}):
    """An import that has come to its end: `done`, or `already there`."""

    id: str
    kind: str
    target: str
    messages: int
    state: str


class Desk(Protocol):
    """The verbs of the commands, each raising AntiphonError.

    It works for the tenant that `--tenant` names; without it on this machine for all of them where a command says so,
    and at a server for the tenant of the key. `poll_seconds`: how often it may be asked about something it is at.
    """

    poll_seconds: float

    async def tenant_name(self) -> str:
        """The name of its tenant; the id of one that is deleted. Raises TenantNotFound."""
        ...

    async def create_tenant(self, name: str) -> TenantRow:
        """Make a tenant."""
        ...

    async def change_tenant(self, name: str, settings: Mapping[str, str | int | None]) -> TenantRow:
        """Change settings of the tenant of that name or id; None removes one."""
        ...

    async def tenants(self) -> list[TenantRow]:
        """All tenants, oldest first."""
        ...

    async def create_key(self, order: KeyOrder) -> tuple[KeyRow, str]:
        """Make a key: with its text, given back here and never again."""
        ...

    async def keys(self) -> list[KeyRow]:
        """The keys of the tenant that are not revoked, oldest first."""
        ...

    async def revoke_key(self, key_id: str) -> None:
        """End a key, of all tenants without one."""
        ...

    async def plan(self, kind: str, target_id: str) -> PlanRow:
        """What deleting this would remove now. A tenant is the desk's own, whatever `target_id` says."""
        ...

    async def delete(self, kind: str, target_id: str, order: Order) -> DeletionRow:
        """Delete this. What is live in its way is told by `with_way_out`."""
        ...

    async def deletions(self, states: Sequence[str], *, is_overdue: bool) -> list[DeletionRow]:
        """The deletions in some states (none: in any), of each tenant the newest first; of all tenants without one."""
        ...

    async def deletion(self, deletion_id: str) -> DeletionRow:
        """The deletion of that id, of all tenants without one."""
        ...

    async def retry_deletion(self, deletion_id: str) -> DeletionRow:
        """Let it run now, if it waits for its next try."""
        ...

    async def undo_deletion(self, deletion_id: str) -> DeletionRow:
        """Put back all that it has taken."""
        ...

    async def is_neglected(self, deletion_id: str) -> bool:
        """Whether it waits for somebody to work on it, and nobody does at this moment."""
        ...

    async def receipts(self) -> list[str]:
        """The receipts of the tenant in the order of their chain, each exactly as it was signed."""
        ...

    async def receipt(self, receipt_id: str) -> str:
        """The receipt of that id, of all tenants without one."""
        ...

    async def verify_receipts(self) -> Verdict:
        """Check the whole chain of the tenant."""
        ...

    async def public_keys(self) -> list[PublicKeyRow]:
        """The keys that sign receipts or did, oldest first."""
        ...

    async def chats(self, session: str | None, participant: str | None, limit: int | None) -> list[ChatRow]:
        """The chats of the tenant, the newest first: of one session, of one owner, at most so many."""
        ...

    async def chat(self, chat_id: str) -> ChatRow:
        """The chat of that id."""
        ...

    def export(self, kind: str, name: str, form_name: str) -> AsyncIterator[bytes]:
        """All of a chat or a session, in pieces. Raises also in the middle, when what came is not all."""
        ...

    async def bring(self, file: Path, size: int, tell: Tell) -> ImportRow:
        """Import a file of so many bytes, to the end.

        Raises ImportRefused and its kinds, ImportFailed, and OSError for the file.
        """
        ...
