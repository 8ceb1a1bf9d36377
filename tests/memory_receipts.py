"""Receipts in memory: as much of a store as issuing and reading them needs, and deletions that are ready for one."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.core.deletion.receipts import Receipts
from antiphon.core.ports import Lease
from antiphon.core.ports.signing import Keyring
from antiphon.domain import times
from antiphon.domain.deletions import Deletion
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.receipts import NO_PREVIOUS, Receipt, SigningKey, digest_of
from antiphon.signing.ed25519 import verify_signature

SECRET = b"secret of all tenants of the tests"
NODE = bytes(16)


class MemoryReceipts:
    """The chains of receipts, and the keys."""

    def __init__(self) -> None:
        self.chains: dict[Uid, list[Receipt]] = {}
        self.heads: dict[Uid, str] = {}
        self.known: dict[str, SigningKey] = {}

    async def find(self, tenant_id: Uid, receipt_id: Uid) -> Receipt | None:
        return next((receipt for receipt in self.chains.get(tenant_id, []) if receipt.id == receipt_id), None)

    async def list(self, tenant_id: Uid, after: int, limit: int) -> list[Receipt]:
        return [receipt for receipt in self.chains.get(tenant_id, []) if receipt.sequence > after][:limit]

    async def head(self, tenant_id: Uid) -> str:
        return self.heads.get(tenant_id, NO_PREVIOUS)

    async def issued_by(self, kid: str, after: int, limit: int) -> Any:
        rows = [receipt for chain in self.chains.values() for receipt in chain]
        found = [receipt for receipt in rows if receipt.kid == kid and receipt.issued_at > after]
        return sorted(found, key=lambda receipt: receipt.issued_at)[:limit]

    async def add_key(self, key: SigningKey) -> None:
        self.known.setdefault(key.kid, key)

    async def retire_key(self, kid: str) -> None:
        if self.known[kid].retired_at is None:
            self.known[kid] = msgspec.structs.replace(self.known[kid], retired_at=times.now())

    async def keys(self) -> Any:
        return list(self.known.values())


class MemoryStore:
    """A store with nothing in it but receipts. `complete` is all that its deletions can do."""

    def __init__(self) -> None:
        self.receipts = MemoryReceipts()
        self.deletions = self
        self.waiting: dict[Uid, Deletion] = {}

    def scrubbed(self, tenant_id: Uid, **changes: Any) -> Lease:
        """A deletion that lacks nothing but its receipt."""
        deletion = msgspec.structs.replace(a_deletion(tenant_id), **changes)
        self.waiting[deletion.id] = deletion
        return Lease(tenant_id, deletion.id, deletion.state)

    async def complete(self, lease: Lease, node: Uid, bytes_state: str, issue: Any) -> Receipt:
        deletion = msgspec.structs.replace(
            self.waiting.pop(lease.deletion_id), bytes=bytes_state, scrubbed_at=times.now()
        )
        chain = self.receipts.chains.setdefault(lease.tenant_id, [])
        previous = chain[-1].hash if chain else NO_PREVIOUS
        receipt: Receipt = issue(deletion, digest_of_tenant(lease.tenant_id), len(chain) + 1, previous)
        chain.append(receipt)
        self.receipts.heads[lease.tenant_id] = receipt.hash
        return receipt


def digest_of_tenant(tenant_id: Uid) -> str:
    """What stands for a tenant in its receipts."""
    return digest_of(SECRET, "tenant", tenant_id.hex())


def a_deletion(tenant_id: Uid) -> Deletion:
    """A session's deletion, purged."""
    now = times.now()
    return Deletion(
        id=new_uid7(),
        tenant_id=tenant_id,
        kind="session",
        target_key=new_uid7(),
        target_id="ferries",
        target_digest=digest_of(SECRET, "session", "ferries"),
        mode="cancel",
        reason=None,
        state="scrubbing",
        requested_at=now,
        detached_at=now,
        undo_until=None,
        purged_at=now,
        scrubbed_at=None,
        counts={"messages": 3, "chats": 1},
        total=4,
        attempts=0,
        run_after=now,
        last_error=None,
        bytes=None,
        receipt_id=None,
    )


def verbs(store: Any, keyring: Keyring) -> Receipts:
    """The verbs of a process that has those keys."""
    return Receipts(store, keyring, verify_signature)


async def issue_some(store: MemoryStore, receipts: Receipts, tenant_id: Uid, count: int) -> list[Receipt]:
    """Complete so many deletions of a tenant."""
    return [await receipts.complete(store.scrubbed(tenant_id), NODE, "erased") for _ in range(count)]
