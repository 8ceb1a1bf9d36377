"""Tickets: each works once, for one of all who try, and not a moment after its end by the database's clock."""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.deletions import Order
from antiphon.domain.errors import KeyNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    new_tenant,
    purge,
    race,
)

DIGEST = bytes(range(32))
NO_TIME = 0.0


async def new_maker(store: Store) -> tuple[Uid, Uid]:
    """A tenant, and a key of it that makes tickets."""
    tenant = await new_tenant(store)
    return tenant, (await new_key(store, tenant)).id


class TicketContract:
    """`core.ports.TicketStore`."""

    async def test_a_ticket_works_once(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        before = times.now()
        expires_at = await store.tickets.create(tenant, key, DIGEST, LONG_LEASE_SECONDS)
        assert before < expires_at <= times.now() + 2 * LONG_LEASE_SECONDS * times.SECOND
        assert await store.tickets.redeem(tenant, DIGEST[::-1]) is False
        assert await store.tickets.redeem(tenant, DIGEST) is True
        assert await store.tickets.redeem(tenant, DIGEST) is False

    async def test_one_of_many_gets_it(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        for _ in range(5):
            await store.tickets.create(tenant, key, DIGEST, LONG_LEASE_SECONDS)
            outcomes = await race(*(store.tickets.redeem(tenant, DIGEST) for _ in range(8)))
            assert sorted(outcomes) == [False] * 7 + [True]

    async def test_a_late_one_is_no_good(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        await store.tickets.create(tenant, key, DIGEST, NO_TIME)
        assert await store.tickets.redeem(tenant, DIGEST) is False

    async def test_late_ones_are_swept_when_others_are_made(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        await store.tickets.create(tenant, key, DIGEST[::-1], LONG_LEASE_SECONDS)
        await store.tickets.create(tenant, key, DIGEST, NO_TIME)
        await store.tickets.create(tenant, key, DIGEST, LONG_LEASE_SECONDS)  # its digest is free again
        assert await store.tickets.redeem(tenant, DIGEST) is True
        assert await store.tickets.redeem(tenant, DIGEST[::-1]) is True, "one in time was swept too"

    async def test_a_ticket_needs_a_key_of_its_tenant_that_is_not_revoked(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        other = await new_tenant(store)
        for whose, which in ((other, key), (tenant, new_uid7())):
            with pytest.raises(KeyNotFound):
                await store.tickets.create(whose, which, DIGEST, LONG_LEASE_SECONDS)
        await store.keys.revoke(tenant, key)
        with pytest.raises(KeyNotFound):
            await store.tickets.create(tenant, key, DIGEST, LONG_LEASE_SECONDS)
        assert await store.tickets.redeem(tenant, DIGEST) is False

    async def test_another_tenant_s_ticket_is_not_there(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        other, _ = await new_maker(store)
        await store.tickets.create(tenant, key, DIGEST, LONG_LEASE_SECONDS)
        assert await store.tickets.redeem(other, DIGEST) is False
        assert await store.tickets.redeem(tenant, DIGEST) is True

    async def test_tickets_go_with_the_participant_of_their_key(self, store: Store) -> None:
        tenant, key = await new_maker(store)
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        anns = await new_key(store, tenant, participant_id=ann.id)
        await store.tickets.create(tenant, anns.id, DIGEST, LONG_LEASE_SECONDS)
        await store.tickets.create(tenant, key, DIGEST[::-1], LONG_LEASE_SECONDS)
        await store.deletions.detach_participant(tenant, ann.id, Order())
        await purge(store, tenant, rows_max=1)
        assert await store.tickets.redeem(tenant, DIGEST) is False
        assert await store.tickets.redeem(tenant, DIGEST[::-1]) is True
