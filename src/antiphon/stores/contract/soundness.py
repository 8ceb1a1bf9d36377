"""Soundness: after any deletion nothing hangs in the air, and if something did, it would be seen."""

from __future__ import annotations

from antiphon.core.ports import Store
from antiphon.domain.deletions import CANCEL, ERASED, REMOVED, Order
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.domain.turns import EventChunk, TurnStart
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    add_chat,
    connect,
    detach,
    draft,
    new_multi,
    new_single,
    new_tenant,
    purge,
    reload_deletion,
)


async def new_busy_tenant(store: Store) -> Uid:
    """A tenant with a row in every table that can have one."""
    tenant = await new_tenant(store)
    session, chat = await new_multi(store, tenant, "ann")
    more, _ = await add_chat(store, tenant, session, "more")
    _, bens = await new_single(store, tenant, "s", "ben")
    ann, _ = await store.participants.ensure(tenant, PEER, "ann")
    key = await new_key(store, tenant, participant_id=ann.id)
    await store.tickets.create(tenant, key.id, b"digest", LONG_LEASE_SECONDS)
    for each in (chat, more, bens):
        await store.messages.append(
            tenant, each.key, [draft("a", "ann"), draft("b", "ben"), draft("c", "assistant", role="assistant")]
        )
        await store.chats.mark_read(tenant, each.key, ann.id)
        await connect(store, tenant, each, new_uid7(), who="ann")
        node = new_uid7()
        start = TurnStart(each.key, new_uid7(), "assistant")
        turn = (await store.turns.claim(tenant, new_uid7(), start, node, 10, LONG_LEASE_SECONDS)).turn
        await store.turns.append_events(tenant, turn.id, node, EventChunk(0, 1, "[1]"))
        await store.idempotency.claim(tenant, each.key, b"request", node, LONG_LEASE_SECONDS)
        told = Subject(each.key, session.key, ann.id)
        await store.idempotency.keep(tenant, each.key, node, b"answer", told, LONG_LEASE_SECONDS)
    return tenant


async def check_sound(store: Store) -> None:
    """Nothing was left behind, and nothing is broken."""
    assert {name: count for name, count in (await store.orphans()).items() if count} == {}
    assert await store.check_integrity() == []


class SoundnessContract:
    """`orphans`, `check_integrity` and `scrub`."""

    async def test_no_deletion_leaves_anything_behind(self, store: Store) -> None:
        for kind in ("chat", "session", "participant", "agent", "tenant"):
            tenant = await new_busy_tenant(store)
            await check_sound(store)
            await self._delete(store, tenant, kind)
            await check_sound(store)
            await purge(store, tenant, rows_max=3)
            await check_sound(store)

    async def _delete(self, store: Store, tenant: Uid, kind: str) -> None:
        chat = await store.chats.find(tenant, "more")
        assert chat is not None
        if kind == "chat":
            await detach(store, tenant, chat, CANCEL)
        elif kind == "session":
            session = await store.sessions.find(tenant, chat.session_id)
            assert session is not None
            await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        elif kind == "tenant":
            await store.deletions.detach_tenant(tenant, with_sessions=True)
        else:
            name = "ann" if kind == "participant" else "assistant"
            who, _ = await store.participants.ensure(tenant, PEER, name)
            await store.deletions.detach_participant(tenant, who.id, Order(CANCEL))

    async def test_a_tenant_s_receipt_counts_every_row(self, store: Store) -> None:
        tenant = await new_busy_tenant(store)
        job = (await store.deletions.detach_tenant(tenant, with_sessions=True)).deletion
        await purge(store, tenant, rows_max=7)
        assert (await reload_deletion(store, tenant, job.id)).counts == {
            "tenants": 1,
            "participants": 3,
            "keys": 1,
            "tickets": 1,
            "sessions": 2,
            "members": 6,
            "chats": 3,
            "messages": 9,
            "reads": 3,
            "turns": 3,
            "turn_events": 3,
            "idempotency": 3,
        }

    async def test_a_scrub_says_what_became_of_the_bytes(self, store: Store) -> None:
        tenant = await new_busy_tenant(store)
        await store.deletions.detach_tenant(tenant, with_sessions=True)
        await purge(store, tenant)
        assert await store.scrub() == (ERASED if store.kind == "sqlite" else REMOVED)
        assert await store.scrub() == (ERASED if store.kind == "sqlite" else REMOVED), "again, with nothing to do"
        await new_busy_tenant(store)
        await check_sound(store)
