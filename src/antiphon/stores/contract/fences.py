"""Fences: what a tenant's detach ends at once, and what a new tenant of the same name may see of the old: nothing."""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain.deletions import DONE, TENANT, Order
from antiphon.domain.errors import NotFound, TenantHasSessions, TenantNotFound, TurnOver
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.domain.tenants import Tenant
from antiphon.domain.turns import STOPPED, EventChunk, TurnEnding, TurnStart
from antiphon.stores.contract.keys import loaded, new_key
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    add_chat,
    complete,
    connect,
    draft,
    list_of_names,
    list_of_sessions,
    losses,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    reload_deletion,
    remove,
    say,
    say_many,
    take_lease,
    wins,
)


async def new_gone_tenant(store: Store) -> tuple[Tenant, Uid]:
    """A detached tenant, `acme`, that had people, a purged session and one that is not purged; and its `ann`."""
    tenant = await store.tenants.create("acme", "assistant", '{"old":1}')
    ann, _ = await store.participants.ensure(tenant.id, PEER, "ann")
    for i in range(30):
        await store.participants.ensure(tenant.id, SCOPE, f"scope {i}")
    for session_id in ("s1", "s2"):
        session, chat = await new_single(store, tenant.id, session_id)
        await say_many(store, tenant.id, chat, 20)
        await store.deletions.detach_session(tenant.id, session.key, Order("cancel"))
        if session_id == "s1":
            await purge(store, tenant.id)
    await store.deletions.detach_tenant(tenant.id)
    return tenant, ann.id


class FenceContract:
    """The detach of a tenant."""

    async def test_a_detached_tenant_is_not_there(self, store: Store) -> None:
        tenant, ann = await new_gone_tenant(store)
        assert await store.tenants.find(tenant.id) is None
        assert await store.tenants.find_by_name("acme") is None
        assert await store.tenants.list(ALL) == ([], 0)
        assert await store.participants.find(tenant.id, PEER, "ann") is None
        assert await store.participants.find_by_id(tenant.id, ann) is None
        for kind in (PEER, SCOPE):
            assert await list_of_names(store, tenant.id, kind) == ([], 0)
        for shape in (SINGLE, MULTI):
            assert await list_of_sessions(store, tenant.id, shape) == ([], 0)

    async def test_nothing_is_made_in_a_detached_tenant(self, store: Store) -> None:
        tenant, ann = await new_gone_tenant(store)
        outcomes = await race(
            store.tenants.update(tenant.id, "{}", "{}"),
            store.participants.ensure(tenant.id, PEER, "new"),
            store.participants.ensure(tenant.id, SCOPE, "new"),
            store.participants.ensure(tenant.id, PEER, "ann"),
            store.participants.put(tenant.id, "new", "{}", None),
            store.participants.put(tenant.id, "ann", '{"late":1}', None),
            store.sessions.create_multi(tenant.id, ann, "T", None, None),
            store.sessions.put_single(tenant.id, "new", "ann", None, None, []),
            store.sessions.put_single(tenant.id, "new", "new", None, None, []),
            store.chats.create_single(tenant.id, "ann", None, "{}"),
            store.chats.create_single(tenant.id, "new", None, "{}"),
            new_key(store, tenant.id),
            store.deletions.detach_tenant(tenant.id),
        )
        assert losses(outcomes) == [TenantNotFound] * 13

    async def test_late_writers_find_nothing_of_a_tenant_with_sessions(self, store: Store) -> None:
        tenant = await new_tenant(store, "acme")
        session, chat = await new_multi(store, tenant)
        _, alone = await new_single(store, tenant)
        (said,) = await say(store, tenant, chat, "a")
        node = new_uid7()
        socket = await connect(store, tenant, chat, node)
        start = TurnStart(alone.key, new_uid7(), "assistant")
        turn = (await store.turns.claim(tenant, new_uid7(), start, node, 10, LONG_LEASE_SECONDS)).turn
        detached = await store.deletions.detach_tenant(tenant, with_sessions=True)
        assert set(detached.chat_keys) == {chat.key, alone.key}
        outcomes = await race(
            store.messages.append(tenant, chat.key, [draft("late")]),
            store.messages.append(tenant, chat.key, [draft("late")], socket.id),
            store.messages.page(tenant, chat.key, ALL),
            store.messages.latest(tenant, chat.key, 1),
            connect(store, tenant, chat, node),
            store.turns.claim(tenant, new_uid7(), TurnStart(chat.key, new_uid7(), "assistant"), node, 10, 60),
            store.turns.append_events(tenant, turn.id, node, EventChunk(0, 1, "[1]")),
            store.turns.finish(tenant, turn.id, node, TurnEnding(STOPPED, None, draft("late"))),
            store.turns.events(tenant, turn.id, 0, 10),
            store.chats.mark_read(tenant, chat.key, session.owner_id),
            add_chat(store, tenant, session, "late"),
            store.deletions.detach_chat(tenant, chat.key, Order("cancel")),
            store.deletions.detach_session(tenant, session.key, Order("cancel")),
            store.deletions.detach_participant(tenant, session.owner_id, Order("cancel")),
            store.deletions.survey(tenant, "session", session.key),
        )
        assert len(losses(outcomes)) == len(outcomes)
        assert all(issubclass(loss, NotFound | TurnOver) for loss in losses(outcomes)), losses(outcomes)
        assert await store.chats.find(tenant, chat.id) is None
        assert await store.chats.find_by_key(tenant, chat.key) is None
        assert await store.chats.find_of_single(tenant, "s") is None
        assert await store.chats.list_of_session(tenant, session.key) == []
        assert await store.chats.list_of_owner(tenant, "ann", ALL) == ([], 0)
        assert await store.sessions.find(tenant, session.id) is None
        assert await store.sessions.titles(tenant, session.owner_id) == set()
        assert await store.messages.find(tenant, chat.key, said.id) is None
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        assert await store.turns.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        assert await store.turns.find(tenant, turn.id) is None
        await purge(store, tenant, rows_max=2)
        assert (await store.deletions.pending())[0] == 0

    async def test_its_keys_end_with_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        who, _ = await store.participants.ensure(tenant, PEER, "ann")
        keys = [await new_key(store, tenant), await new_key(store, tenant, participant_id=who.id)]
        assert len(await loaded(store, tenant, *keys)) == 2
        await store.deletions.detach_tenant(tenant)
        assert await loaded(store, tenant, *keys) == set()
        assert await store.keys.list(tenant) == []
        await purge(store, tenant)
        assert await loaded(store, tenant, *keys) == set()

    async def test_its_name_is_free_at_once_and_shows_nothing_old(self, store: Store) -> None:
        old, _ = await new_gone_tenant(store)
        new = await store.tenants.create("acme", "helper")
        assert new.id != old.id
        assert await store.tenants.find_by_name("acme") == new
        assert await store.tenants.list(ALL) == ([new], 1)
        assert await list_of_names(store, new.id) == ([], 0)
        assert await list_of_names(store, new.id, SCOPE) == ([], 0)
        await new_single(store, new.id, "s1")
        await purge(store, old.id, rows_max=7)
        assert await store.tenants.find_by_name("acme") == new
        assert await list_of_names(store, new.id) == (["ann"], 1)
        assert await list_of_sessions(store, new.id) == (["s1"], 1)

    async def test_it_is_removed_in_bounded_steps_that_add_up(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for i in range(30):
            await store.participants.ensure(tenant, PEER, f"n{i}")
            await new_key(store, tenant)
        _, chat = await new_single(store, tenant)
        await say_many(store, tenant, chat, 25)
        session = await store.sessions.find(tenant, "s")
        assert session is not None
        await store.deletions.detach_session(tenant, session.key, Order("cancel"))
        job = (await store.deletions.detach_tenant(tenant)).deletion
        node = new_uid7()
        leases = [await take_lease(store, tenant, node) for _ in range(2)]
        lease = leases[[lease.deletion_id for lease in leases].index(job.id)]
        while not (step := await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)).is_done:
            assert 0 < sum(step.removed.values()) <= 10
        await complete(store, lease, node)
        found = await reload_deletion(store, tenant, job.id)
        assert (found.kind, found.state) == (TENANT, DONE)
        expected = {"messages": 25, "chats": 1, "members": 1, "sessions": 1, "keys": 30, "participants": 31}
        assert found.counts == {**expected, "tenants": 1}
        leases.remove(lease)
        assert (await store.deletions.step(leases[0], node, 10, LONG_LEASE_SECONDS)).is_done
        await complete(store, leases[0], node)
        assert await store.deletions.pending() == (0, 0)

    async def test_a_tenant_goes_or_gets_a_session_but_never_both(self, store: Store) -> None:
        for _ in range(10):
            tenant = await new_tenant(store)
            gone, *made = await race(
                store.deletions.detach_tenant(tenant), *(new_multi(store, tenant) for _ in range(5))
            )
            if isinstance(gone, TenantHasSessions):
                assert await store.tenants.find(tenant) is not None
                assert losses(made) == []
            else:
                assert not isinstance(gone, BaseException)
                assert losses(made) == [TenantNotFound] * 5
                assert await store.tenants.find(tenant) is None

    async def test_a_tenant_is_detached_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        outcomes = await race(*(store.deletions.detach_tenant(tenant) for _ in range(10)))
        assert len(wins(outcomes)) == 1
        assert losses(outcomes) == [TenantNotFound] * 9
        assert (await store.deletions.pending())[0] == 1

    async def test_the_proof_outlives_the_tenant(self, store: Store) -> None:
        tenant, _ = await new_gone_tenant(store)
        jobs = await store.deletions.due()
        assert [job_tenant for job_tenant, _ in jobs] == [tenant.id]
        with pytest.raises(TenantNotFound):
            await store.deletions.detach_tenant(tenant.id)
        node = new_uid7()
        leases = [await take_lease(store, tenant.id, node) for _ in range(2)]
        for lease in leases:
            await remove(store, lease, node, 50)
            receipt = await complete(store, lease, node)
            found = await reload_deletion(store, tenant.id, lease.deletion_id)
            assert (found.state, found.target_id, found.receipt_id) == (DONE, None, receipt.id)
        chain = await store.receipts.list(tenant.id, 0, 100)
        assert [receipt.sequence for receipt in chain] == [1, 2, 3]
