"""Receipts: issuing them, keeping them beside the database, and reading and verifying those in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from antiphon.core.deletion.verify import Deleted, Fault, Statement, Verdict, Verification, text_of_signature
from antiphon.core.ports import Lease, Store
from antiphon.core.ports.signing import Keyring, Ledger, Signer, Verifier
from antiphon.domain import limits, times
from antiphon.domain.deletions import Deletion
from antiphon.domain.errors import NotFound, StoreError
from antiphon.domain.ids import Uid, new_uid7, parse_uuid, text_of
from antiphon.domain.receipts import (
    DELETION_PREFIX,
    ID_PREFIX,
    NO_PREVIOUS,
    VERSION,
    Receipt,
    SigningKey,
    canonical,
    hash_of,
)

DATABASE = "database"
"""What stands in place of a file's name where the database was read."""

_log = logging.getLogger(__name__)


class _Owner(msgspec.Struct):
    tenant: str


_owner_of = msgspec.json.Decoder(_Owner).decode


class Receipts:
    """The verbs of receipts, with the keys of this process's data directory."""

    def __init__(self, store: Store, keyring: Keyring, verify: Verifier) -> None:
        self._store = store
        self._keyring = keyring
        self._verify = verify
        self._signer: Signer | None = None
        self._ledgers: dict[str, Ledger] = {}
        self._turn = asyncio.Lock()  # keys and files are looked at by one at a time

    async def start(self) -> None:
        """Make the keys of the data directory known to the store, and add to the files what a crash left out.

        Raises StoreError. It may be called again, and need not have been called before the rest.
        """
        await self._refresh()
        for key in await asyncio.to_thread(self._keyring.public_keys):
            await self._store.receipts.add_key(key)
            if self._signer is not None and key.kid != self._signer.key.kid:
                await self._store.receipts.retire_key(key.kid)
            await self._repair(key.kid)

    async def complete(self, lease: Lease, node: Uid, bytes_state: str) -> Receipt:
        """End a deletion that was scrubbed, with its receipt in the store and in the file.

        Raises NotFound when the lease has been lost, and StoreError: then nothing has ended. When only the file cannot
        be written the log says so, and the next receipt of the tenant, or the next start, brings it there.
        """
        await self._refresh()
        receipt = await self._store.deletions.complete(lease, node, bytes_state, self.issue)
        try:
            await self._keep(receipt)
        except StoreError as error:
            _log.warning("receipt not in the file yet", extra={"receipt": show_id(receipt), "code": error.code})
        return receipt

    def issue(self, deletion: Deletion, tenant: str, sequence: int, previous: str) -> Receipt:
        """The signed receipt of a deletion, at its place in the chain of the tenant (by its digest).

        For the store, inside the transaction that appends it; from any thread.
        """
        signer = self._signer
        if signer is None:
            raise RuntimeError("receipts are issued by `complete`, which sees to the key")
        moment, uid = times.now(), new_uid7()
        statement = Statement(
            version=VERSION,
            id=ID_PREFIX + text_of(uid),
            tenant=tenant,
            sequence=sequence,
            previous=previous,
            kid=signer.key.kid,
            deletion=DELETION_PREFIX + text_of(deletion.id),
            target=Deleted(deletion.kind, deletion.target_digest),
            mode=deletion.mode,
            reason=deletion.reason,
            counts=deletion.counts,
            requested_at=times.text_of(deletion.requested_at),
            detached_at=_text(deletion.detached_at),
            purged_at=_text(deletion.purged_at),
            scrubbed_at=_text(deletion.scrubbed_at),
            bytes_state=deletion.bytes,
            signature="",
        )
        signature = text_of_signature(signer.sign(statement.signed_part()))
        body = canonical(msgspec.to_builtins(msgspec.structs.replace(statement, signature=signature)))
        return Receipt(
            deletion.tenant_id, sequence, uid, deletion.id, signer.key.kid, body.decode(), hash_of(body), moment
        )

    async def get(self, tenant_id: Uid, receipt_id: str) -> Receipt:
        """The receipt of that id (`rcp_` and a UUID). Raises NotFound."""
        uid = parse_uuid(receipt_id.removeprefix(ID_PREFIX)) if receipt_id.startswith(ID_PREFIX) else None
        found = None if uid is None else await self._store.receipts.find(tenant_id, uid)
        if found is None:
            raise NotFound("There is no such receipt in this tenant.")
        return found

    async def all_of(self, tenant_id: Uid, after: int = 0) -> AsyncIterator[list[Receipt]]:
        """The receipts of a tenant, which may be gone, after that sequence, in parts of at most RECEIPTS_READ."""
        while part := await self._store.receipts.list(tenant_id, after, limits.RECEIPTS_READ):
            yield part
            after = part[-1].sequence

    async def keys(self) -> list[SigningKey]:
        """The public keys of all processes, oldest first."""
        return await self._store.receipts.keys()

    async def verify(self, tenant_id: Uid) -> Verdict:
        """Check the whole chain of a tenant as the store has it, to the link that it says is the last, with its keys.

        It shows mistakes and tampering with receipts; against somebody who can change the keys too, verify elsewhere.
        """
        verification = Verification({key.kid: key.public_key for key in await self.keys()}, self._verify)
        head = await self._store.receipts.head(tenant_id)  # first: a link that comes meanwhile is behind it
        async for part in self.all_of(tenant_id):
            fault = await asyncio.to_thread(_read_rows, verification, part)
            if fault is not None:
                return _with_fault(verification.verdict(), fault)
        verdict = verification.verdict(() if head == NO_PREVIOUS else (head,))
        if len(verdict.chains) > 1:
            return _with_fault(verdict, Fault(DATABASE, 0, "there are receipts of another tenant"))
        return verdict

    async def rotate_key(self) -> SigningKey:
        """A new key for this data directory; the private half of the one before is gone on return.

        Other processes that use the directory sign with it from their next receipt on. Raises StoreError.
        """
        async with self._turn:
            self._signer = await asyncio.to_thread(self._keyring.rotate)
        await self.start()
        return self._signer.key

    async def _refresh(self) -> None:
        """See which key signs now, and make it known before it does."""
        async with self._turn:
            signer = await asyncio.to_thread(self._keyring.signer)
            if self._signer is None or signer.key.kid != self._signer.key.kid:
                await self._store.receipts.add_key(signer.key)
                self._signer = signer

    async def _repair(self, kid: str) -> None:
        """Add the receipts of a key that its file lacks, and cut what a crash left of a line."""
        async with self._turn:
            ledger = self._ledger(kid)
            after = await asyncio.to_thread(ledger.sure_until)
            while part := await self._store.receipts.issued_by(kid, after, limits.RECEIPTS_READ):
                for receipt in {receipt.tenant_id: receipt for receipt in sorted(part, key=_place)}.values():
                    last = await asyncio.to_thread(ledger.last, _owner_of(receipt.body).tenant)
                    if last < receipt.sequence:
                        await self._catch_up(ledger, receipt, last)
                if len(part) < limits.RECEIPTS_READ:
                    break
                # Several may be of one moment, which the end of a part must not tear apart.
                after = max(after + 1, part[-1].issued_at - 1)
            await asyncio.to_thread(ledger.append, [])

    async def _keep(self, receipt: Receipt) -> None:
        """See that a receipt stands in its file, after all of its tenant that belong there before it."""
        async with self._turn:
            ledger = self._ledger(receipt.kid)
            last = await asyncio.to_thread(ledger.last, _owner_of(receipt.body).tenant)
            if last == receipt.sequence - 1:
                await asyncio.to_thread(ledger.append, [receipt.body])
            elif last < receipt.sequence:
                await self._catch_up(ledger, receipt, last)

    async def _catch_up(self, ledger: Ledger, receipt: Receipt, last: int) -> None:
        """Add all receipts of its tenant and key after that sequence."""
        async for part in self.all_of(receipt.tenant_id, last):
            lines = [each.body for each in part if each.kid == receipt.kid]
            await asyncio.to_thread(ledger.append, lines)

    def _ledger(self, kid: str) -> Ledger:
        return self._ledgers.setdefault(kid, self._keyring.ledger(kid))

    async def list(self, tenant_id: Uid, after: int, limit: int) -> list[Receipt]:
        """At most `limit` receipts of a tenant, which may be gone, after that sequence, in order."""
        return await self._store.receipts.list(tenant_id, after, limit)


def _read_rows(verification: Verification, rows: list[Receipt]) -> Fault | None:
    """The first row that is not what its receipt says; what is wrong in the receipt itself is for the verdict."""
    for row in rows:
        body = row.body.encode()
        verification.read(DATABASE, row.sequence, body + b"\n")
        if row.hash != hash_of(body):
            return Fault(DATABASE, row.sequence, "the row's hash is not that of the receipt")
    return None


def _with_fault(verdict: Verdict, fault: Fault) -> Verdict:
    return Verdict(verdict.receipts, verdict.chains, verdict.first_error or fault)


def _place(receipt: Receipt) -> int:
    return receipt.sequence


def show_id(receipt: Receipt) -> str:
    """The id as it is shown."""
    return ID_PREFIX + text_of(receipt.id)


def _text(moment: int | None) -> str | None:
    return None if moment is None else times.text_of(moment)
