"""What the core needs of a store to delete: the detach, the queue of what is left to do, and the proofs.

The general rules stand in `store`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from antiphon.domain.deletions import CANCEL, Deletion, Order, Step, Survey
from antiphon.domain.ids import Uid
from antiphon.domain.receipts import Receipt, SigningKey


class Detached(msgspec.Struct, frozen=True):
    """A deletion that has taken hold, with the keys of the chats that are gone with it."""

    deletion: Deletion
    chat_keys: tuple[Uid, ...]


Issue = Callable[[Deletion, str, int, str], Receipt]
"""Makes and signs the receipt of a deletion, given the tenant's digest, its place in the tenant's chain (from 1 on),
and the hash of the one before."""


ALL_OF_IT = Order(CANCEL)
"""The order that ends what is live."""


class Lease(msgspec.Struct, frozen=True):
    """A deletion that this worker may go on with, and the state in which it was taken."""

    tenant_id: Uid
    deletion_id: Uid
    state: str


class DeletionStore(Protocol):
    """Deletions: the detach, and the queue of what is left to do."""

    @property
    def purge_rows(self) -> int:
        """How many rows steps that are taken together may remove: so long do others wait for this store to write."""
        ...

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, order: Order) -> Detached:
        """Set the chat's id free, write its tombstone and enqueue the job, in one transaction that decides everything.

        A chat of a `single` session takes its session with it. Raises ChatNotFound, ChatIsLastOfSession, PlanChanged
        when `order.if_digest` does not fit, and, in the mode `refuse`, ChatHasActiveConnections and ChatHasActiveTurn.
        In the mode `after` something live makes it wait: nothing is detached yet, and `chat_keys` is empty.
        """
        ...

    async def detach_session(self, tenant_id: Uid, session_key: Uid, order: Order) -> Detached:
        """The same for a session with all its chats. Raises SessionNotFound, and as above."""
        ...

    async def detach_participant(self, tenant_id: Uid, participant_id: Uid, order: Order) -> Detached:
        """The same for a participant: name and keys, own sessions and their chats at once; the rest is `detaching`.

        Raises ParticipantNotFound, and as above.
        """
        ...

    async def detach_tenant(self, tenant_id: Uid, order: Order = ALL_OF_IT, *, with_sessions: bool = False) -> Detached:
        """Set the tenant's name free and end its keys: then nothing of it can be reached.

        Raises TenantNotFound, and TenantHasSessions unless `with_sessions`.
        """
        ...

    async def survey(self, tenant_id: Uid, kind: str, key: Uid) -> Survey:
        """What deleting that target would remove now, from one snapshot. Raises NotFound's kinds."""
        ...

    async def due(self) -> list[tuple[Uid, int]]:
        """Tenants with work that is not leased, each with the moment when the first of it may run. System scope."""
        ...

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> list[Lease]:
        """Take the leases of the tenant's jobs that may run now: the oldest one, or all that only need scrubbing.

        At most SCRUBS_AT_ONCE of the latter.
        """
        ...

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float, rounds: int = 1) -> Step:
        """Do one bounded step of a job that is not scrubbing yet, and extend the lease, in one transaction.

        While rows are left to purge that is done up to `rounds` times, each time in a transaction of its own; `removed`
        is of all of them.

        Waiting: detach if nothing is live. Detaching: take some messages out of some chat. Detached: nothing is removed
        before `undo_until`. Purging: remove up to `rows_max` rows, children before parents. Idempotent: it removes what
        is there. Raises NotFound when the lease has been lost.
        """
        ...

    async def clear_files(self, lease: Lease, node: Uid, session_key: Uid, count: int) -> None:
        """Note that the directory of a session's sandbox is gone, with so many files, in one transaction.

        Raises NotFound when the lease has been lost.
        """
        ...

    async def complete(self, lease: Lease, node: Uid, bytes_state: str, issue: Issue) -> Receipt:
        """End a job that was scrubbed: its receipt is issued and appended to the tenant's chain, in one transaction.

        Raises NotFound when the lease has been lost.
        """
        ...

    async def postpone(self, lease: Lease, node: Uid, error: str | None, delay_seconds: float) -> None:
        """Give the job back, to be tried again after the delay: with an error as a failed attempt, which it shows."""
        ...

    async def release(self, node: Uid) -> None:
        """Give back all jobs that a process holds: no attempt is counted, and anybody may claim them at once."""
        ...

    async def undo(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """Put back all that a deletion within its window has set free, or nothing, in one transaction.

        One that still waits has taken nothing, and is called off, with or without a window.

        Ids, keys, counters and turns' slots are as before, the tombstones gone; sockets stay closed, and the turn of a
        process that gave it up ends when its lease does. Raises UndoTooLate (also for a deletion that is not there),
        UndoIdTaken, UndoParentDeleted, and LimitExceeded when a session would get too many chats.
        """
        ...

    async def retry(self, tenant_id: Uid, deletion_id: Uid) -> None:
        """Let a job that waits run now; its attempts are kept. One that is over or at work is left alone."""
        ...

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """The deletion of that id."""
        ...

    async def list(
        self, tenant_id: Uid, states: Sequence[str], before: Uid | None, limit: int, overdue_seconds: float | None
    ) -> list[Deletion]:
        """The newest deletions of the tenant first: those in one of the states (none: in any), made before `before`.

        With `overdue_seconds` only those that are not over and were requested longer ago (by the database's clock).
        """
        ...

    async def pending(self) -> tuple[int, int]:
        """How many deletions wait in the whole instance, and for how many microseconds the oldest. System scope."""
        ...

    async def overdue(self, seconds: float) -> int:
        """How many of them were requested longer ago, by the database's clock. System scope."""
        ...


class ReceiptStore(Protocol):
    """Receipts, and the keys that sign them."""

    async def find(self, tenant_id: Uid, receipt_id: Uid) -> Receipt | None:
        """The receipt of that id."""
        ...

    async def issued_by(self, kid: str, after: int, limit: int) -> list[Receipt]:
        """All receipts that a key has signed since that moment (microseconds), oldest first. System scope."""
        ...

    async def add_key(self, key: SigningKey) -> None:
        """Make a public key known; one that is known is left as it is. System scope."""
        ...

    async def retire_key(self, kid: str) -> None:
        """Note that a key signs no more. System scope."""
        ...

    async def keys(self) -> list[SigningKey]:
        """All keys, oldest first. System scope."""
        ...

    async def list(self, tenant_id: Uid, after: int, limit: int) -> list[Receipt]:
        """The receipts of a tenant whose sequence is greater than `after`, in order. The tenant may be gone."""
        ...

    async def head(self, tenant_id: Uid) -> str:
        """The hash that the next receipt of a tenant will name as `previous`. The tenant may be gone."""
        ...
