"""Receipts: a chain per tenant without a gap, whoever appends to it at once, and whatever becomes of the tenant."""

from __future__ import annotations

import asyncio
import json

from antiphon.core.ports import Lease, Store
from antiphon.domain import limits, times
from antiphon.domain.deletions import CANCEL, DONE, ERASED, REMOVED, Deletion, Order
from antiphon.domain.errors import NotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import NO_PREVIOUS, Receipt, SigningKey
from antiphon.stores.contract.worlds import (
    KID,
    LONG_LEASE_SECONDS,
    complete,
    detach,
    issue,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    reload_deletion,
    remove,
    say,
    take_lease,
    wins,
)


def check_chain(chain: list[Receipt]) -> None:
    """Each link has the next number and names the one before by its hash."""
    assert [receipt.sequence for receipt in chain] == list(range(1, len(chain) + 1))
    bodies = [json.loads(receipt.body) for receipt in chain]
    assert [body["sequence"] for body in bodies] == [receipt.sequence for receipt in chain]
    assert [body["previous"] for body in bodies] == [NO_PREVIOUS, *(receipt.hash for receipt in chain)][: len(chain)]
    assert len({body["tenant"] for body in bodies}) <= 1


class ReceiptContract:
    """`complete`, and `core.ports.ReceiptStore`."""

    async def test_a_deletion_ends_with_its_receipt(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say(store, tenant, chats[0], "a")
        job = await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        await remove(store, lease, node)
        assert await store.receipts.list(tenant, 0, 10) == []
        seen: list[Deletion] = []

        def watched(deletion: Deletion, digest: str, sequence: int, previous: str) -> Receipt:
            seen.append(deletion)
            return issue(deletion, digest, sequence, previous)

        receipt = await store.deletions.complete(lease, node, REMOVED, watched)
        assert await store.receipts.find(tenant, receipt.id) == receipt
        assert await store.receipts.list(tenant, 0, 10) == [receipt]
        assert await store.receipts.find(tenant, new_uid7()) is None
        done = await reload_deletion(store, tenant, job.id)
        assert (done.state, done.bytes, done.receipt_id, done.target_id) == (DONE, REMOVED, receipt.id, None)
        assert (done.target_digest, done.counts) == (job.target_digest, {"messages": 1, "chats": 1})
        assert done.scrubbed_at is not None
        assert (seen[-1].bytes, seen[-1].scrubbed_at, seen[-1].counts) == (REMOVED, done.scrubbed_at, done.counts)
        assert seen[-1].purged_at is not None

    async def test_a_receipt_that_cannot_be_issued_ends_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        await remove(store, lease, node)

        def fail(*_: object) -> Receipt:
            raise RuntimeError

        (outcome,) = await race(store.deletions.complete(lease, node, ERASED, fail))
        assert isinstance(outcome, Exception)
        assert await store.receipts.list(tenant, 0, 10) == []
        receipt = await complete(store, lease, node)
        check_chain([receipt])

    async def test_only_what_was_purged_may_end(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say(store, tenant, chats[0], "a")
        await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        assert losses(await race(complete(store, lease, node))) == [NotFound]
        await remove(store, lease, node)
        assert losses(await race(complete(store, lease, new_uid7()))) == [NotFound]
        await complete(store, lease, node)

    async def test_the_chain_has_no_gap_when_many_end_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 21)
        node = new_uid7()
        leases: list[Lease] = []
        for chat in chats[:20]:
            await store.deletions.detach_chat(tenant, chat.key, Order(CANCEL, inline_messages=10))
        while found := await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS):
            leases += found
        assert len(leases) == 20
        outcomes = await race(*(complete(store, lease, node) for lease in leases * 2))
        assert losses(outcomes) == [NotFound] * 20
        assert len(wins(outcomes)) == 20
        chain = await store.receipts.list(tenant, 0, 100)
        check_chain(chain)
        assert {receipt.deletion_id for receipt in chain} == {lease.deletion_id for lease in leases}

    async def test_one_scrub_is_claimed_for_many(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 5)
        for chat in chats[:3]:
            await store.deletions.detach_chat(tenant, chat.key, Order(CANCEL, inline_messages=10))
        await detach(store, tenant, chats[3])
        claims = [await store.deletions.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) for _ in range(3)]
        assert [[lease.state for lease in leases] for leases in claims] == [["scrubbing"] * 3, ["purging"], []]

    async def test_the_chain_goes_on_through_the_end_of_its_tenant(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await new_multi(store, tenant)
        session, chat = await new_single(store, tenant)
        await say(store, tenant, chat, "a")
        await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        await purge(store, tenant)
        first = await store.receipts.list(tenant, 0, 10)
        assert await store.receipts.head(tenant) == first[0].hash
        assert await store.receipts.head(await new_tenant(store)) == NO_PREVIOUS
        await store.deletions.detach_tenant(tenant, with_sessions=True)
        await purge(store, tenant)
        chain = await store.receipts.list(tenant, 0, 10)
        check_chain(chain)
        assert chain[:1] == first
        assert len(chain) == 2
        assert await store.receipts.head(tenant) == chain[1].hash
        assert json.loads(chain[1].body)["target"] == json.loads(chain[1].body)["tenant"]
        assert await store.receipts.list(tenant, 1, 10) == chain[1:]
        assert await store.receipts.list(tenant, 10**limits.QUERY_NUMBER_DIGITS - 1, 10) == []
        assert await store.receipts.list(tenant, 0, 1) == first
        assert await store.receipts.find(tenant, chain[0].id) == chain[0]

    async def test_digests_are_of_the_tenant_alone(self, store: Store) -> None:
        digests = set()
        for _ in range(2):
            tenant = await new_tenant(store)
            for _ in range(2):
                session, _ = await new_single(store, tenant, "s", "ann@example.com")
                job = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL))).deletion
                assert job.target_id == "s"
                assert job.target_digest.startswith("hmac:")
                assert "ann" not in job.target_digest
                digests.add(job.target_digest)
            who, _ = await store.participants.ensure(tenant, PEER, "s")
            job = (await store.deletions.detach_participant(tenant, who.id, Order(CANCEL))).deletion
            digests.add(job.target_digest)
        assert len(digests) == 4, "the same in a tenant for one kind and id, and nowhere else"

    async def test_keys_are_known_once_and_retired_once(self, store: Store) -> None:
        before = await store.receipts.keys()
        now = times.now()
        keys = [SigningKey(f"k{new_uid7().hex()}", f"public {i}", now + i, None) for i in range(2)]
        await asyncio.gather(*(store.receipts.add_key(key) for key in keys * 3))
        await store.receipts.add_key(SigningKey(keys[0].kid, "another", now, None))
        assert [key for key in await store.receipts.keys() if key not in before] == keys
        await store.receipts.retire_key(keys[0].kid)
        retired = [key for key in await store.receipts.keys() if key.kid == keys[0].kid]
        assert retired[0].retired_at is not None
        await store.receipts.retire_key(keys[0].kid)
        assert [key for key in await store.receipts.keys() if key.kid == keys[0].kid] == retired

    async def test_what_a_key_signed_is_found_for_all_tenants(self, store: Store) -> None:
        issued = []
        for _ in range(2):
            tenant = await new_tenant(store)
            issued += await self._two_receipts(store, tenant)
        issued.sort(key=lambda receipt: (receipt.issued_at, receipt.id))
        assert await store.receipts.issued_by(KID, 0, 100) == issued
        assert await store.receipts.issued_by(KID, 0, 3) == issued[:3]
        assert await store.receipts.issued_by(KID, issued[-1].issued_at + 1, 100) == []
        assert await store.receipts.issued_by("another", 0, 100) == []

    async def _two_receipts(self, store: Store, tenant: Uid) -> list[Receipt]:
        _, chats = await new_chats(store, tenant, 3)
        for chat in chats[:2]:
            await detach(store, tenant, chat)
        await purge(store, tenant)
        return await store.receipts.list(tenant, 0, 10)
