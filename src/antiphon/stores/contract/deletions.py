"""Deletions: gone for everybody at once, and then row by row for good, however often it is interrupted."""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.deletions import CANCEL, CHAT, DONE, PURGING, REFUSE, SCRUBBING, SESSION, TENANT, Order
from antiphon.domain.errors import (
    ChatIsLastOfSession,
    ChatNotFound,
    NotFound,
    SessionNotFound,
    TenantHasSessions,
    TenantNotFound,
)
from antiphon.domain.ids import new_uid7
from antiphon.domain.sessions import MULTI, NewSession
from antiphon.stores.contract.imports import HEAD, opening
from antiphon.stores.contract.imports import NODE as IMPORTING_NODE
from antiphon.stores.contract.imports import begin as begin_import
from antiphon.stores.contract.imports import write as write_import
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    SHORT_LEASE_SECONDS,
    add_chat,
    complete,
    connect,
    detach,
    list_of_sessions,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    reload_chat,
    reload_deletion,
    say,
    say_many,
    take_lease,
    texts_of,
    until,
    wait_for_lease,
)


class DetachContract:
    """The detach: one act, after which nothing finds the thing."""

    async def test_a_detached_chat_is_not_there(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        (stored,) = await say(store, tenant, chats[0], "a")
        before = times.now()
        detached = await store.deletions.detach_chat(tenant, chats[0].key, Order(REFUSE))
        assert detached.chat_keys == (chats[0].key,)
        job = detached.deletion
        assert (job.tenant_id, job.kind, job.target_key, job.mode) == (tenant, CHAT, chats[0].key, REFUSE)
        assert (job.state, job.purged_at, job.counts, job.attempts, job.last_error) == (PURGING, None, {}, 0, None)
        assert job.detached_at is not None
        assert abs(job.detached_at - before) < 60 * times.SECOND
        assert await store.deletions.find(tenant, job.id) == job
        assert await store.chats.find(tenant, chats[0].id) is None
        assert await store.chats.find_by_key(tenant, chats[0].key) is None
        assert await store.messages.find(tenant, chats[0].key, stored.id) is None
        assert await store.chats.list_of_session(tenant, session.key) == [chats[1]]

    async def test_what_is_not_there_cannot_be_detached(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        await detach(store, tenant, chats[0])
        for mode in (REFUSE, CANCEL):
            for key in (chats[0].key, session.key, new_uid7()):
                with pytest.raises(ChatNotFound):
                    await store.deletions.detach_chat(tenant, key, Order(mode))
            for key in (chats[1].key, new_uid7()):
                with pytest.raises(SessionNotFound):
                    await store.deletions.detach_session(tenant, key, Order(mode))
        with pytest.raises(TenantNotFound):
            await store.deletions.detach_tenant(new_uid7())
        assert await store.chats.list_of_session(tenant, session.key) == [chats[1]]

    async def test_the_last_chat_of_a_multi_session_stays(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant)
        await say(store, tenant, chat, "a")
        for mode in (REFUSE, CANCEL):
            with pytest.raises(ChatIsLastOfSession):
                await store.deletions.detach_chat(tenant, chat.key, Order(mode, inline_messages=1_000))
        assert await texts_of(store, tenant, chat.key) == ["a"]
        assert await store.deletions.pending() == (0, 0)
        await add_chat(store, tenant, session, "c")
        await detach(store, tenant, chat)

    async def test_the_chat_of_a_single_session_takes_it_along(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant, "s")
        detached = await store.deletions.detach_chat(tenant, chat.key, Order(REFUSE))
        assert detached.chat_keys == (chat.key,)
        assert await store.sessions.find(tenant, "s") is None
        assert await store.chats.find_of_single(tenant, "s") is None
        assert await list_of_sessions(store, tenant) == ([], 0)
        with pytest.raises(SessionNotFound):
            await store.deletions.detach_session(tenant, session.key, Order(REFUSE))

    async def test_the_record_of_a_single_session_s_chat_is_the_chat_s(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant, "s")
        await say(store, tenant, chat, "a")
        job = await detach(store, tenant, chat)
        assert (job.kind, job.target_key, job.target_id) == (CHAT, chat.key, chat.id)
        await purge(store, tenant)
        done = await reload_deletion(store, tenant, job.id)
        assert (done.kind, done.target_id) == (CHAT, None)
        assert done.counts == {"messages": 1, "chats": 1, "members": 1, "sessions": 1}
        assert (await store.orphans())["sessions.husk"] == 0
        _, again = await new_single(store, tenant, "s")
        assert (again.key != chat.key, again.message_count) == (True, 0)
        assert session.id == again.session_id

    async def test_a_session_of_very_many_chats_goes_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 300)
        detached = await store.deletions.detach_session(tenant, session.key, Order(CANCEL, inline_messages=100))
        assert set(detached.chat_keys) == {chat.key for chat in chats}
        assert await store.chats.list_of_session(tenant, session.key) == []
        assert await store.chats.list_of_owner(tenant, "ann", ALL) == ([], 0)
        await purge(store, tenant)
        done = await reload_deletion(store, tenant, detached.deletion.id)
        assert done.counts == {"chats": 300, "sessions": 1}

    async def test_what_is_more_than_small_is_left_to_the_worker(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("antiphon.domain.limits.PURGE_INLINE_ROWS", 4)
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 9)
        job = (await store.deletions.detach_chat(tenant, chats[0].key, Order(CANCEL, inline_messages=100))).deletion
        assert (job.state, job.counts) == (PURGING, {"messages": 4})
        await purge(store, tenant)
        assert (await reload_deletion(store, tenant, job.id)).counts == {"messages": 9, "chats": 1}

    @pytest.mark.parametrize("kind", [CHAT, SESSION])
    async def test_no_import_tells_of_what_is_detached(self, store: Store, kind: str) -> None:
        tenant = await new_tenant(store)
        if kind == CHAT:
            await store.sessions.create(tenant, NewSession(MULTI, "s", "ann", "T", "first", "T"))
        known = await begin_import(store, tenant, opening(kind=kind))
        assert await store.deletions.pending() == (0, 0), "an import that goes on deletes nothing"
        await write_import(store, tenant, known, HEAD)
        done = await store.imports.finish(tenant, known.id, IMPORTING_NODE)
        if kind == CHAT:
            await store.deletions.detach_chat(tenant, done.target_key, Order(CANCEL))
        else:
            await store.deletions.detach_session(tenant, done.target_key, Order(CANCEL))
        assert await store.imports.find(tenant, known.id) is None

    async def test_a_detached_session_is_not_there_with_its_chats(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 3)
        await say(store, tenant, chats[0], "a")
        await store.chats.mark_read(tenant, chats[0].key, session.owner_id)
        detached = await store.deletions.detach_session(tenant, session.key, Order(REFUSE))
        assert set(detached.chat_keys) == {chat.key for chat in chats}
        assert (detached.deletion.kind, detached.deletion.target_key) == (SESSION, session.key)
        assert await store.sessions.find(tenant, session.id) is None
        assert await store.sessions.titles(tenant, session.owner_id) == set()
        assert [await store.chats.find(tenant, chat.id) for chat in chats] == [None] * 3
        assert await store.chats.list_of_session(tenant, session.key) == []
        assert await store.chats.read_marks(tenant, session.key, session.owner_id) == {}
        assert await store.sessions.is_member(tenant, session.key, session.owner_id) is False
        assert (await list_of_sessions(store, tenant, MULTI))[1] == 0

    async def test_a_small_chat_is_purged_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 3)
        for chat in chats[:2]:
            await say_many(store, tenant, chat, 5)
        small = (await store.deletions.detach_chat(tenant, chats[0].key, Order(REFUSE, inline_messages=5))).deletion
        assert (small.state, small.counts["messages"]) == (SCRUBBING, 5)
        assert small.purged_at is not None
        assert await store.deletions.find(tenant, small.id) == small
        large = (await store.deletions.detach_chat(tenant, chats[1].key, Order(REFUSE, inline_messages=4))).deletion
        assert (large.state, large.purged_at) == (PURGING, None)
        assert (await store.deletions.pending())[0] == 2
        await purge(store, tenant)
        assert await store.deletions.pending() == (0, 0)

    async def test_a_small_session_is_purged_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 3)
        for chat in chats:
            await say_many(store, tenant, chat, 5)
        done = (await store.deletions.detach_session(tenant, session.key, Order(REFUSE, inline_messages=15))).deletion
        assert (done.state, done.counts["messages"], done.counts["chats"]) == (SCRUBBING, 15, 3)

    async def test_a_tenant_with_sessions_stays(self, store: Store) -> None:
        tenant = await new_tenant(store, "acme")
        session, _ = await new_multi(store, tenant)
        single, _ = await new_single(store, tenant)
        for key in (session.key, single.key):
            with pytest.raises(TenantHasSessions):
                await store.deletions.detach_tenant(tenant)
            assert await store.tenants.find_by_name("acme") is not None
            await store.deletions.detach_session(tenant, key, Order(REFUSE))
        job = (await store.deletions.detach_tenant(tenant)).deletion
        assert (job.kind, job.target_key, job.state) == (TENANT, tenant, PURGING)


class PurgeContract:
    """The purge: bounded steps, each of which may be the last that its process does."""

    async def test_steps_are_bounded_and_add_up(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 3)
        for chat in chats:
            await say_many(store, tenant, chat, 31)
            await store.chats.mark_read(tenant, chat.key, session.owner_id)
        job = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL))).deletion
        node, total = new_uid7(), dict.fromkeys(("messages", "reads", "chats", "members", "sessions"), 0)
        lease = await take_lease(store, tenant, node)
        is_done = False
        while not is_done:
            step = await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)
            is_done = step.is_done
            assert sum(step.removed.values()) <= 10
            assert is_done or step.removed, "a step without progress"
            for table, count in step.removed.items():
                total[table] += count
            now = await store.deletions.find(tenant, job.id)
            assert now is not None
            assert now.counts == {table: count for table, count in total.items() if count}
            assert (now.state, now.purged_at is not None) == (SCRUBBING if is_done else PURGING, is_done)
        assert total == {"messages": 93, "reads": 3, "chats": 3, "members": 1, "sessions": 1}

    async def test_a_purge_touches_nothing_else(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 3)
        _, alone = await new_single(store, tenant)
        for chat in (*chats, alone):
            await say_many(store, tenant, chat, 7)
        await store.chats.mark_read(tenant, chats[2].key, alone.owner_id)
        node = new_uid7()
        connection = await connect(store, tenant, chats[2], node)
        before = [await reload_chat(store, chat, tenant) for chat in (*chats[1:], alone)]
        await detach(store, tenant, chats[0])
        await purge(store, tenant, rows_max=2)
        assert [await reload_chat(store, chat, tenant) for chat in (*chats[1:], alone)] == before
        for chat in (*chats[1:], alone):
            assert await texts_of(store, tenant, chat.key) == [f"m{i}" for i in range(7)]
        marks = await store.chats.read_marks(tenant, session.key, alone.owner_id)
        assert set(marks) == {chats[2].key}
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == {connection.id}

    async def test_an_id_is_free_at_once_and_shows_nothing_old(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        old, _ = await add_chat(store, tenant, session, "c")
        (stored, *_) = await say(store, tenant, old, *(f"old {i}" for i in range(20)))
        await store.chats.mark_read(tenant, old.key, session.owner_id)
        await detach(store, tenant, old)
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        assert not (await store.deletions.step(lease, node, 3, LONG_LEASE_SECONDS)).is_done
        new, is_new = await add_chat(store, tenant, session, "c")
        assert is_new
        assert new.key != old.key
        assert (new.message_count, new.last_seq, new.last_message_at) == (0, 0, None)
        assert await texts_of(store, tenant, new.key) == []
        assert await store.messages.find(tenant, new.key, stored.id) is None
        assert new.key not in await store.chats.read_marks(tenant, session.key, session.owner_id)
        assert [message.seq for message in await say(store, tenant, new, "new")] == [1]
        while not (await store.deletions.step(lease, node, 3, LONG_LEASE_SECONDS)).is_done:
            assert await texts_of(store, tenant, new.key) == ["new"]
        assert await texts_of(store, tenant, new.key) == ["new"]
        assert await store.chats.find(tenant, "c") == await reload_chat(store, new, tenant)

    async def test_a_step_of_some_rounds_is_as_many_steps(self, store: Store) -> None:
        """Each of them durable by itself; what they have removed is told together."""
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        chat, _ = await add_chat(store, tenant, session, "c")
        await say_many(store, tenant, chat, 40)
        deletion = await detach(store, tenant, chat)
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        first = await store.deletions.step(lease, node, 5, LONG_LEASE_SECONDS, 3)
        assert (sum(first.removed.values()), first.state) == (15, PURGING)
        assert (await reload_deletion(store, tenant, deletion.id)).counts == first.removed
        rest = await store.deletions.step(lease, node, 5, LONG_LEASE_SECONDS, 100)
        assert rest.state == SCRUBBING
        assert first.removed.get("messages", 0) + rest.removed["messages"] == 40
        assert (await reload_deletion(store, tenant, deletion.id)).counts["messages"] == 40
        assert (await store.deletions.step(lease, node, 5, LONG_LEASE_SECONDS, 2)).removed == {}

    async def test_a_session_s_id_is_free_at_once_and_shows_nothing_old(self, store: Store) -> None:
        tenant = await new_tenant(store)
        old, chat = await new_single(store, tenant, "s")
        await say_many(store, tenant, chat, 20)
        await store.deletions.detach_session(tenant, old.key, Order(CANCEL))
        new, is_new = await store.sessions.put_single(tenant, "s", "ben", None, None, [])
        assert is_new
        fresh = await store.chats.find_of_single(tenant, "s")
        assert fresh is not None
        assert fresh.message_count == 0
        assert (await store.sessions.members(tenant, new.key, ALL))[1] == 0
        await say(store, tenant, fresh, "new")
        await purge(store, tenant, rows_max=3)
        assert await texts_of(store, tenant, fresh.key) == ["new"]
        assert await list_of_sessions(store, tenant) == (["s"], 1)

    async def test_a_chat_and_then_its_session(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        for chat in chats:
            await say_many(store, tenant, chat, 12)
        first = await detach(store, tenant, chats[0])
        second = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL))).deletion
        await purge(store, tenant, rows_max=5)
        found = [await store.deletions.find(tenant, job.id) for job in (first, second)]
        assert [job.state for job in found if job] == [DONE, DONE]
        assert sum(job.counts.get("messages", 0) for job in found if job) == 24
        assert sum(job.counts.get("chats", 0) for job in found if job) == 2
        assert sum(job.counts.get("sessions", 0) for job in found if job) == 1


class QueueContract:
    """The queue: one worker a job, no job lost, none stuck behind another."""

    async def test_a_job_is_held_by_one(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 4)
        jobs = [(await detach(store, tenant, chat)).id for chat in chats[:3]]
        nodes = [new_uid7(), new_uid7()]
        claims = [await store.deletions.claim(tenant, nodes[i % 2], LONG_LEASE_SECONDS) for i in range(5)]
        assert [[lease.deletion_id for lease in leases] for leases in claims] == [*([job] for job in jobs), [], []]
        for i, (lease,) in enumerate(claims[:3]):
            with pytest.raises(NotFound):
                await store.deletions.step(lease, nodes[(i + 1) % 2], 10, LONG_LEASE_SECONDS)
            assert (await store.deletions.step(lease, nodes[i % 2], 10, LONG_LEASE_SECONDS)).is_done

    async def test_a_lost_lease_goes_to_another_without_a_failed_attempt(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 10)
        job = await detach(store, tenant, chats[0])
        dead, heir = new_uid7(), new_uid7()
        lost = await take_lease(store, tenant, dead, SHORT_LEASE_SECONDS)
        taken = await wait_for_lease(store, tenant, heir)
        with pytest.raises(NotFound):
            await store.deletions.step(lost, dead, 10, LONG_LEASE_SECONDS)
        await store.deletions.postpone(lost, dead, "late_word", 60)
        assert taken == lost
        assert (await store.deletions.step(lost, heir, 100, LONG_LEASE_SECONDS)).is_done
        with pytest.raises(NotFound):
            await complete(store, lost, dead)
        await complete(store, taken, heir)
        done = await reload_deletion(store, tenant, job.id)
        assert (done.state, done.attempts, done.last_error, done.counts["messages"]) == (DONE, 0, None, 10)

    async def test_what_is_given_back_may_be_claimed_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 3)
        jobs = {(await detach(store, tenant, chat)).id for chat in chats[:2]}
        leaving, staying = new_uid7(), new_uid7()
        await take_lease(store, tenant, leaving, LONG_LEASE_SECONDS)
        kept = await take_lease(store, tenant, staying, LONG_LEASE_SECONDS)
        await store.deletions.release(leaving)
        again = await take_lease(store, tenant, new_uid7())
        assert {again.deletion_id, kept.deletion_id} == jobs
        given_back = await store.deletions.find(tenant, again.deletion_id)
        assert given_back is not None
        assert given_back.attempts == 0

    async def test_a_step_extends_the_lease(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 10)
        await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node, 5)
        await store.deletions.step(lease, node, 1, 500)
        ((_, free_at),) = await store.deletions.due() or [(tenant, times.now() + 500 * times.SECOND)]
        assert free_at > times.now() + 400 * times.SECOND

    async def test_an_expired_lease_does_no_step(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 10)
        job = await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node, SHORT_LEASE_SECONDS)

        async def is_due() -> bool:
            return any(free_at <= times.now() for _, free_at in await store.deletions.due())

        await until(is_due, "the lease ran out")
        with pytest.raises(NotFound):
            await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)
        found = await store.deletions.find(tenant, job.id)
        assert found is not None
        assert found.counts == {}

    async def test_a_finished_job_does_no_step(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await detach(store, tenant, chats[0])
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        assert (await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)).is_done
        await complete(store, lease, node)
        with pytest.raises(NotFound):
            await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)
        with pytest.raises(NotFound):
            await complete(store, lease, node)
        await store.deletions.postpone(lease, node, "late_word", 60)
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []
        assert await store.deletions.due() == []

    async def test_a_postponed_job_says_why_and_lets_others_pass(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 3)
        poison = await detach(store, tenant, chats[0])
        node = new_uid7()
        for attempt in (1, 2, 3):
            lease = await wait_for_lease(store, tenant, node)
            delay = 120 if attempt == 3 else 0
            before = times.now()
            await store.deletions.postpone(lease, node, f"error_{attempt}", delay)
            found = await store.deletions.find(tenant, poison.id)
            assert found is not None
            assert (found.state, found.attempts, found.last_error) == (PURGING, attempt, f"error_{attempt}")
            assert abs(found.run_after - before - delay * times.SECOND) < 10 * times.SECOND
            with pytest.raises(NotFound):
                await store.deletions.step(lease, node, 10, LONG_LEASE_SECONDS)
        other = await detach(store, tenant, chats[1])
        assert (await wait_for_lease(store, tenant, node)).deletion_id == other.id
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []

    async def test_a_postponed_job_comes_back(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        job = await detach(store, tenant, chats[0])
        node = new_uid7()
        await store.deletions.postpone(await take_lease(store, tenant, node), node, "oops", SHORT_LEASE_SECONDS)

        async def is_done() -> bool:
            await purge(store, tenant)
            found = await store.deletions.find(tenant, job.id)
            assert found is not None
            assert (found.last_error is None) == (found.state == DONE)
            return found.state == DONE

        await until(is_done, "the postponed job was done")

    async def test_what_waits_is_counted(self, store: Store) -> None:
        assert await store.deletions.pending() == (0, 0)
        tenants = [await new_tenant(store) for _ in range(2)]
        for tenant in tenants:
            _, chats = await new_chats(store, tenant, 3)
            for chat in chats[:2]:
                await detach(store, tenant, chat)
        count, age = await store.deletions.pending()
        assert count == 4
        assert 0 <= age < 60 * times.SECOND
        assert [await store.deletions.overdue(seconds) for seconds in (60, -60)] == [0, 4]
        now = times.now() + times.SECOND
        assert {tenant for tenant, run_after in await store.deletions.due() if run_after <= now} == set(tenants)
        await purge(store, tenants[0])
        assert (await store.deletions.pending())[0] == 2
        assert [tenant for tenant, _ in await store.deletions.due()] == [tenants[1]]
        for _ in range(2):
            await take_lease(store, tenants[1], new_uid7())
        assert [tenant for tenant, run_after in await store.deletions.due() if run_after <= now] == []
        assert (await store.deletions.pending())[0] == 2
