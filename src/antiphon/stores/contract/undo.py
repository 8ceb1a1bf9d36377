"""Undo: within the window of a deletion all of it comes back as it was, or nothing does."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import (
    AFTER,
    CANCEL,
    CHAT,
    DETACHED,
    DONE,
    PARTICIPANT,
    PURGING,
    SESSION,
    TENANT,
    UNDONE,
    WAITING,
    Deletion,
    Order,
    Step,
)
from antiphon.domain.errors import (
    LimitExceeded,
    NotFound,
    TenantNotFound,
    UndoIdTaken,
    UndoParentDeleted,
    UndoTooLate,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER, SCOPE
from antiphon.domain.sessions import MULTI, SINGLE, Session
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.turns import claim, wait_until_dead
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    SHORT_LEASE_SECONDS,
    add_chat,
    connect,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    reload_chat,
    reload_deletion,
    say,
    take_lease,
    texts_of,
    until,
    wins,
)

WINDOW = Order(CANCEL, inline_messages=100, undo_seconds=60)
SHORT = Order(CANCEL, undo_seconds=SHORT_LEASE_SECONDS)


class World(msgspec.Struct, frozen=True):
    """A tenant in which ann owns a session of two chats and a single one, and ben has a say in the first."""

    tenant_id: Uid
    session: Session
    chats: tuple[Chat, Chat]
    single: Session
    single_chat: Chat
    key_id: Uid


async def new_world(store: Store) -> World:
    """A world, with messages, a read mark and a key of ann's."""
    tenant = await new_tenant(store)
    session, chats = await new_chats(store, tenant, 2)
    single, single_chat = await new_single(store, tenant, "s")
    for chat in (*chats, single_chat):
        await say(store, tenant, chat, "one", "two")
    await store.participants.put(tenant, "ann", '{"likes":"tea"}', '{"a":1}')
    await store.participants.ensure(tenant, SCOPE, "ann")
    key = await new_key(store, tenant, participant_id=session.owner_id, participant_name="ann")
    await store.chats.mark_read(tenant, chats[0].key, session.owner_id)
    return World(tenant, session, (chats[0], chats[1]), single, single_chat, key.id)


async def seen(store: Store, w: World) -> dict[str, Any]:
    """All that can be seen of the world."""
    tenant, chats = w.tenant_id, (*w.chats, w.single_chat)
    found = [await store.chats.find_by_key(tenant, chat.key) for chat in chats]
    return {
        "tenant": await store.tenants.find(tenant),
        "peers": await store.participants.list(tenant, PEER, ALL),
        "scopes": await store.participants.list(tenant, SCOPE, ALL),
        "singles": await store.sessions.list(tenant, SINGLE, ALL),
        "multis": await store.sessions.list(tenant, MULTI, ALL),
        "session": await store.sessions.find(tenant, w.session.id),
        "members": await store.sessions.members(tenant, w.session.key, ALL),
        "chats": found,
        "by id": [await store.chats.find(tenant, chat.id) for chat in chats],
        "owned": await store.chats.list_of_owner(tenant, "ann", ALL),
        "messages": [await store.messages.page(tenant, chat.key, ALL) for chat in found if chat],
        "reads": await store.chats.read_marks(tenant, w.session.key, w.session.owner_id),
        "keys": [key.id for key, _ in await store.keys.load(tenant, [w.key_id])],
    }


async def take_away(store: Store, w: World, kind: str, order: Order = WINDOW) -> Deletion:
    """The deletion of a part of the world, or of all of it."""
    verbs = store.deletions
    if kind == CHAT:
        return (await verbs.detach_chat(w.tenant_id, w.chats[1].key, order)).deletion
    if kind == SESSION:
        return (await verbs.detach_session(w.tenant_id, w.session.key, order)).deletion
    if kind == PARTICIPANT:
        return (await verbs.detach_participant(w.tenant_id, w.session.owner_id, order)).deletion
    if kind == TENANT:
        return (await verbs.detach_tenant(w.tenant_id, order, with_sessions=True)).deletion
    return (await verbs.detach_chat(w.tenant_id, w.single_chat.key, order)).deletion


KINDS = (CHAT, "single chat", SESSION, PARTICIPANT, TENANT)


class UndoContract:
    """What comes back, and when."""

    @pytest.mark.parametrize("kind", KINDS)
    async def test_all_is_as_it_was(self, store: Store, kind: str) -> None:
        world = await new_world(store)
        before = await seen(store, world)
        job = await take_away(store, world, kind)
        assert job.state == DETACHED
        undone = await store.deletions.undo(world.tenant_id, job.id)
        assert (undone.state, undone.target_id, undone.target_digest) == (UNDONE, None, job.target_digest)
        assert undone == await reload_deletion(store, world.tenant_id, job.id)
        assert await seen(store, world) == before
        assert not any((await store.orphans()).values())
        assert await store.deletions.pending() == (0, 0)
        again = await take_away(store, world, kind, Order(CANCEL))
        assert again.id != job.id
        await purge(store, world.tenant_id)
        assert not any((await store.orphans()).values())

    @pytest.mark.parametrize("kind", KINDS)
    async def test_nothing_comes_back_twice_or_too_late(self, store: Store, kind: str) -> None:
        world = await new_world(store)
        job = await take_away(store, world, kind)
        await store.deletions.undo(world.tenant_id, job.id)
        before = await seen(store, world)
        with pytest.raises(UndoTooLate):
            await store.deletions.undo(world.tenant_id, job.id)
        assert await seen(store, world) == before
        late = await take_away(store, world, kind, SHORT)

        async def is_over() -> bool:
            return bool(await store.deletions.list(world.tenant_id, [DETACHED], None, 1, 0))

        await until(is_over, "the window ended")
        after = await seen(store, world) if kind != TENANT else None
        with pytest.raises(UndoTooLate):
            await store.deletions.undo(world.tenant_id, late.id)
        assert after is None or await seen(store, world) == after
        assert (await reload_deletion(store, world.tenant_id, late.id)).state == DETACHED

    async def test_without_a_window_there_is_no_undo(self, store: Store) -> None:
        world = await new_world(store)
        job = await take_away(store, world, CHAT, Order(CANCEL))
        for deletion_id in (job.id, new_uid7()):
            with pytest.raises(UndoTooLate):
                await store.deletions.undo(world.tenant_id, deletion_id)

    async def test_what_waits_gets_its_window_when_it_takes_hold(self, store: Store) -> None:
        world = await new_world(store)
        tenant, node = world.tenant_id, new_uid7()
        before = await seen(store, world)
        socket = await connect(store, tenant, world.chats[1], node)
        job = await take_away(store, world, CHAT, Order(AFTER, undo_seconds=60))
        await store.connections.close(tenant, socket.id)
        lease = await take_lease(store, tenant, node)
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == DETACHED
        step = await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
        assert (step.state, step.is_blocked) == (DETACHED, True)
        await store.deletions.postpone(lease, node, None, 0)
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []
        found = await reload_deletion(store, tenant, job.id)
        assert found.undo_until is not None
        assert found.detached_at is not None
        assert found.run_after == found.undo_until
        assert abs(found.undo_until - found.detached_at - 60 * times.SECOND) < 5 * times.SECOND
        await store.deletions.undo(tenant, job.id)
        assert await seen(store, world) == before

    @pytest.mark.parametrize("window", [0, 60])
    async def test_what_waits_is_called_off(self, store: Store, window: int) -> None:
        world = await new_world(store)
        tenant, node = world.tenant_id, new_uid7()
        before = await seen(store, world)
        socket = await connect(store, tenant, world.chats[1], node)
        job = await take_away(store, world, CHAT, Order(AFTER, undo_seconds=window))
        assert job.state == WAITING
        lease = await take_lease(store, tenant, node)
        undone = await store.deletions.undo(tenant, job.id)
        assert (undone.state, undone.target_id, undone.undo_until) == (UNDONE, None, None)
        await store.connections.close(tenant, socket.id)
        with pytest.raises(NotFound):
            await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []
        assert await seen(store, world) == before
        with pytest.raises(UndoTooLate):
            await store.deletions.undo(tenant, job.id)
        again = await take_away(store, world, CHAT, Order(CANCEL))
        await purge(store, tenant)
        assert (await reload_deletion(store, tenant, again.id)).state == DONE

    async def test_a_race_with_one_that_takes_hold(self, store: Store) -> None:
        """Called off, or put back: it is undone in any case, and nothing is gone."""
        world = await new_world(store)
        tenant, node = world.tenant_id, new_uid7()
        before = await seen(store, world)
        for _ in range(10):
            socket = await connect(store, tenant, world.chats[1], node)
            job = await take_away(store, world, CHAT, Order(AFTER, undo_seconds=60))
            lease = await take_lease(store, tenant, node)
            await store.connections.close(tenant, socket.id)
            undoing, stepping = await asyncio.gather(
                store.deletions.undo(tenant, job.id),
                store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS),
                return_exceptions=True,
            )
            assert isinstance(undoing, Deletion), undoing
            assert undoing.state == UNDONE
            assert isinstance(stepping, (Step, NotFound)), stepping
            assert await seen(store, world) == before

    async def test_one_that_is_in_its_window_is_not_late(self, store: Store) -> None:
        world = await new_world(store)
        await take_away(store, world, CHAT)
        other = await take_away(store, world, "single chat", Order(CANCEL))

        async def is_late() -> bool:
            return await store.deletions.overdue(0.01) == 1

        await until(is_late, "the other was late")
        found = await store.deletions.list(world.tenant_id, (), None, 10, 0.01)
        assert [job.id for job in found] == [other.id]

    async def test_a_participant_of_many_sessions_is_gone_as_a_whole(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "DETACH_SESSIONS", 1)
        world = await new_world(store)
        before = await seen(store, world)
        job, node = await take_away(store, world, PARTICIPANT), new_uid7()
        lease = await take_lease(store, world.tenant_id, node)
        while not (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).is_blocked:
            pass
        await store.deletions.postpone(lease, node, None, 0)
        assert await store.deletions.claim(world.tenant_id, node, LONG_LEASE_SECONDS) == []
        assert [chat for chat in (await seen(store, world))["chats"] if chat] == []
        await store.deletions.undo(world.tenant_id, job.id)
        assert await seen(store, world) == before

    async def test_what_was_said_after_an_undo_goes_with_the_next_deletion(self, store: Store) -> None:
        """A tombstone that stayed would tell an older time, before which alone an agent's turns are taken out."""
        world = await new_world(store)
        tenant = world.tenant_id
        job = await take_away(store, world, PARTICIPANT)
        await store.deletions.undo(tenant, job.id)
        _, chat = await new_single(store, tenant, "of ben", "ben")
        await say(store, tenant, chat, "ann was here")
        turn = await claim(store, tenant, chat, new_uid7(), agent_name="ann")
        await take_away(store, world, PARTICIPANT, Order(CANCEL))
        await purge(store, tenant)
        assert await store.turns.find(tenant, turn.id) is None

    async def test_sockets_stay_closed_and_a_turn_ends_with_its_lease(self, store: Store) -> None:
        world = await new_world(store)
        tenant, node = world.tenant_id, new_uid7()
        await connect(store, tenant, world.chats[1], node)
        turn = await claim(store, tenant, world.chats[1], node, lease_seconds=SHORT_LEASE_SECONDS)
        job = await take_away(store, world, CHAT)
        assert await store.turns.find(tenant, turn.id) is None
        await store.deletions.undo(tenant, job.id)
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        assert (await reload_chat(store, world.chats[1], tenant)).active_turn == turn.id
        await wait_until_dead(store, turn)

    async def test_a_key_that_was_revoked_meanwhile_stays_so(self, store: Store) -> None:
        world = await new_world(store)
        job = await take_away(store, world, PARTICIPANT)
        await store.keys.revoke(world.tenant_id, world.key_id)
        await store.deletions.undo(world.tenant_id, job.id)
        assert (await seen(store, world))["keys"] == []


class UndoConflictContract:
    """What stands in the way of an undo, and races with it."""

    @pytest.mark.parametrize("kind", ["single chat", PARTICIPANT, TENANT])
    async def test_an_id_that_was_taken_keeps_all_of_it_away(self, store: Store, kind: str) -> None:
        world = await new_world(store)
        tenant = await store.tenants.find(world.tenant_id)
        assert tenant is not None
        job = await take_away(store, world, kind)
        if kind == TENANT:
            await new_tenant(store, tenant.name)
        elif kind == PARTICIPANT:
            await store.participants.ensure(world.tenant_id, PEER, "ann")
        else:
            await new_single(store, world.tenant_id, world.single.id, "ben")
        after = await seen(store, world) if kind != TENANT else None
        for _ in range(2):
            with pytest.raises(UndoIdTaken):
                await store.deletions.undo(world.tenant_id, job.id)
        assert after is None or await seen(store, world) == after
        assert (await reload_deletion(store, world.tenant_id, job.id)).state == DETACHED

    async def test_one_of_many_ids_is_enough(self, store: Store) -> None:
        world = await new_world(store)
        job = await take_away(store, world, SESSION)
        other, _ = await new_multi(store, world.tenant_id)
        await add_chat(store, world.tenant_id, other, world.chats[1].id)
        before = await seen(store, world)
        with pytest.raises(UndoIdTaken):
            await store.deletions.undo(world.tenant_id, job.id)
        assert await seen(store, world) == before
        assert before["session"] is None

    @pytest.mark.parametrize(("what", "of"), [(CHAT, SESSION), (CHAT, PARTICIPANT), (SESSION, PARTICIPANT)])
    async def test_what_it_belongs_to_must_come_back_first(self, store: Store, what: str, of: str) -> None:
        world = await new_world(store)
        before = await seen(store, world)
        first = await take_away(store, world, what)
        second = await take_away(store, world, of)
        with pytest.raises(UndoParentDeleted):
            await store.deletions.undo(world.tenant_id, first.id)
        await store.deletions.undo(world.tenant_id, second.id)
        assert await store.chats.find_by_key(world.tenant_id, world.chats[1].key) is None, "it is of the first"
        await store.deletions.undo(world.tenant_id, first.id)
        assert await seen(store, world) == before

    async def test_with_a_tenant_gone_nothing_comes_back_into_it(self, store: Store) -> None:
        world = await new_world(store)
        first = await take_away(store, world, CHAT)
        await take_away(store, world, TENANT)
        with pytest.raises(UndoParentDeleted):
            await store.deletions.undo(world.tenant_id, first.id)

    async def test_rows_that_went_with_what_they_belonged_to_are_lost(self, store: Store) -> None:
        world = await new_world(store)
        first = await take_away(store, world, CHAT)
        await take_away(store, world, SESSION, Order(CANCEL))
        await purge(store, world.tenant_id)
        with pytest.raises(UndoTooLate):
            await store.deletions.undo(world.tenant_id, first.id)
        assert not any((await store.orphans()).values())

    async def test_a_session_gets_no_more_chats_than_it_may_have(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "CHATS_PER_SESSION", 2)
        world = await new_world(store)
        job = await take_away(store, world, CHAT)
        await add_chat(store, world.tenant_id, world.session, "instead")
        with pytest.raises(LimitExceeded):
            await store.deletions.undo(world.tenant_id, job.id)
        assert await store.chats.find_by_key(world.tenant_id, world.chats[1].key) is None

    async def test_of_many_undos_one_wins(self, store: Store) -> None:
        for kind in KINDS:
            world = await new_world(store)
            before = await seen(store, world)
            job = await take_away(store, world, kind)
            outcomes = await race(*(store.deletions.undo(world.tenant_id, job.id) for _ in range(4)))
            assert (len(wins(outcomes)), set(losses(outcomes))) == (1, {UndoTooLate})
            assert await seen(store, world) == before

    async def test_a_race_with_one_who_takes_the_id(self, store: Store) -> None:
        for _ in range(20):
            world = await new_world(store)
            job = await take_away(store, world, "single chat")
            taking = store.sessions.put_single(world.tenant_id, world.single.id, "ben", None, None, [])
            undone, (taken, is_new) = await race(store.deletions.undo(world.tenant_id, job.id), taking)
            assert isinstance(undone, UndoIdTaken) == is_new
            assert (taken.key == world.single.key) == (not is_new)
            found = await store.chats.find_of_single(world.tenant_id, world.single.id)
            assert found is not None
            said = await texts_of(store, world.tenant_id, found.key)
            assert said == ([] if is_new else ["one", "two"])
            assert (await store.sessions.list(world.tenant_id, SINGLE, ALL))[1] == 1

    @pytest.mark.parametrize("around", [SESSION, PARTICIPANT, TENANT])
    async def test_what_waits_within_what_comes_back_waits_on(self, store: Store, around: str) -> None:
        world, node = await new_world(store), new_uid7()
        await connect(store, world.tenant_id, world.chats[1], node)
        waiting = await take_away(store, world, CHAT, Order(AFTER))
        gone = await take_away(store, world, around)
        lease = await take_lease(store, world.tenant_id, node)
        assert lease.deletion_id == waiting.id
        step = await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
        assert step == Step({}, WAITING, is_blocked=True), "nobody says that it is done with: it may come back"
        await store.deletions.undo(world.tenant_id, gone.id)
        step = await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
        assert step.state == PURGING
        assert await store.chats.find_by_key(world.tenant_id, world.chats[1].key) is None
        assert await store.chats.find_by_key(world.tenant_id, world.chats[0].key) is not None

    async def test_a_race_with_the_end_of_the_window(self, store: Store) -> None:
        for _ in range(20):
            world = await new_world(store)
            before, node = await seen(store, world), new_uid7()
            job = await take_away(store, world, CHAT, SHORT)

            async def end(tenant: Uid = world.tenant_id, node: Uid = node) -> bool:
                for lease in await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS):
                    return (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == PURGING
                return False

            while True:
                undone, is_over = await race(store.deletions.undo(world.tenant_id, job.id), end())
                if not isinstance(undone, UndoTooLate) or is_over is True:
                    break
            state = (await reload_deletion(store, world.tenant_id, job.id)).state
            assert state == (PURGING if isinstance(undone, UndoTooLate) else UNDONE)
            assert (await seen(store, world) == before) == (state == UNDONE)

    async def test_a_race_with_the_deletion_of_its_session(self, store: Store) -> None:
        for _ in range(20):
            world = await new_world(store)
            job = await take_away(store, world, CHAT)
            undone, gone = await race(
                store.deletions.undo(world.tenant_id, job.id), take_away(store, world, SESSION, Order(CANCEL))
            )
            assert isinstance(gone, Deletion)
            assert isinstance(undone, Deletion | UndoParentDeleted)
            assert await store.chats.find_by_key(world.tenant_id, world.chats[1].key) is None
            await purge(store, world.tenant_id)

    async def test_the_settings_of_a_tenant_stay(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await store.tenants.update(tenant, None, None, '{"undo_window":60}')
        changed = await store.tenants.update(tenant, '{"a":1}', '{"b":2}')
        assert (changed.metadata, changed.configuration, changed.settings) == (
            '{"a":1}',
            '{"b":2}',
            '{"undo_window":60}',
        )
        assert await store.tenants.find(tenant) == changed
        with pytest.raises(TenantNotFound):
            await store.tenants.update(new_uid7(), None, None, '{"undo_window":0}')
