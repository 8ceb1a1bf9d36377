"""How a deletion was ordered: to wait until nothing is live, to hit only what was looked at, to be undone in time."""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits, times
from antiphon.domain.deletions import (
    AFTER,
    CANCEL,
    CHAT,
    DETACHED,
    DETACHING,
    DONE,
    PARTICIPANT,
    PURGING,
    REFUSE,
    SCRUBBING,
    SESSION,
    TENANT,
    WAITING,
    Order,
    digest_of_surveys,
)
from antiphon.domain.errors import (
    ChatIsLastOfSession,
    ChatNotFound,
    NotFound,
    PlanChanged,
    SessionNotFound,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7, text_of
from antiphon.domain.participants import PEER
from antiphon.domain.turns import STOPPED, TurnEnding, TurnStart
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    SHORT_LEASE_SECONDS,
    add_chat,
    complete,
    connect,
    detach,
    draft,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    reload_deletion,
    remove,
    say,
    say_many,
    take_lease,
    texts_of,
    until,
    wait_for_lease,
)


async def digest_of(store: Store, tenant: Uid, kind: str, key: Uid) -> str:
    """What the survey of a target is known by now."""
    return digest_of_surveys((await store.deletions.survey(tenant, kind, key),))


class AfterContract:
    """The mode `after`."""

    async def test_it_waits_for_a_socket_and_is_no_failure(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say(store, tenant, chats[0], "a")
        socket = await connect(store, tenant, chats[0], new_uid7())
        detached = await store.deletions.detach_chat(tenant, chats[0].key, Order(AFTER, inline_messages=100))
        job = detached.deletion
        assert (job.state, job.detached_at, detached.chat_keys) == (WAITING, None, ())
        assert await texts_of(store, tenant, chats[0].key) == ["a"]
        node = new_uid7()
        for _ in range(3):
            lease = await wait_for_lease(store, tenant, node)
            step = await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
            assert (step.state, step.is_blocked, step.is_done, step.removed) == (WAITING, True, False, {})
            await store.deletions.postpone(lease, node, None, 0)
        found = await reload_deletion(store, tenant, job.id)
        assert (found.state, found.attempts, found.last_error) == (WAITING, 0, None)
        await say(store, tenant, chats[0], "b")
        await store.connections.close(tenant, socket.id)
        lease = await wait_for_lease(store, tenant, node)
        before = times.now()
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == PURGING
        assert await store.chats.find_by_key(tenant, chats[0].key) is None
        with pytest.raises(ChatNotFound):
            await say(store, tenant, chats[0], "late")
        assert await remove(store, lease, node) == {"messages": 2, "chats": 1}
        await complete(store, lease, node)
        done = await reload_deletion(store, tenant, job.id)
        assert (done.state, done.attempts) == (DONE, 0)
        assert done.detached_at is not None
        assert done.detached_at >= before - times.SECOND

    async def test_it_waits_for_a_turn(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        node = new_uid7()
        start = TurnStart(chat.key, new_uid7(), "assistant")
        turn = (await store.turns.claim(tenant, new_uid7(), start, node, 10, LONG_LEASE_SECONDS)).turn
        job = (await store.deletions.detach_session(tenant, session.key, Order(AFTER))).deletion
        lease = await take_lease(store, tenant, node)
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).is_blocked
        await store.turns.finish(tenant, turn.id, node, TurnEnding(STOPPED, None, None))
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == PURGING
        assert await store.sessions.find(tenant, session.id) is None
        assert (await reload_deletion(store, tenant, job.id)).state == PURGING

    async def test_a_dead_process_holds_nothing_up(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await connect(store, tenant, chats[0], new_uid7(), SHORT_LEASE_SECONDS)
        await store.deletions.detach_chat(tenant, chats[0].key, Order(AFTER))
        node = new_uid7()
        lease = await take_lease(store, tenant, node)

        async def goes_on() -> bool:
            return not (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).is_blocked

        await until(goes_on, "the lease of the socket ran out")
        assert await store.chats.find_by_key(tenant, chats[0].key) is None

    async def test_with_nothing_live_it_does_not_wait(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        assert (await detach(store, tenant, chats[0], AFTER)).state == PURGING
        assert await store.chats.find_by_key(tenant, chats[0].key) is None

    async def test_what_is_gone_meanwhile_needs_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say(store, tenant, chats[0], "a")
        await connect(store, tenant, chats[0], new_uid7())
        waiting = await detach(store, tenant, chats[0], AFTER)
        first = await detach(store, tenant, chats[0], CANCEL)
        await purge(store, tenant)
        jobs = [await reload_deletion(store, tenant, job.id) for job in (waiting, first)]
        assert [job.state for job in jobs] == [DONE, DONE]
        assert [job.counts.get("messages", 0) for job in jobs] == [0, 1]

    async def test_it_never_takes_the_last_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        socket = await connect(store, tenant, chats[0], new_uid7())
        await detach(store, tenant, chats[0], AFTER)
        await detach(store, tenant, chats[1], CANCEL)
        await store.connections.close(tenant, socket.id)
        node = new_uid7()
        leases = [await take_lease(store, tenant, node) for _ in range(2)]
        (lease,) = [lease for lease in leases if lease.state == WAITING]
        with pytest.raises(ChatIsLastOfSession):
            await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)
        assert [chat.key for chat in await store.chats.list_of_session(tenant, session.key)] == [chats[0].key]
        await add_chat(store, tenant, session, "new")
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == PURGING

    async def test_a_participant_waits_for_its_socket_anywhere(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant, "ben")
        await store.messages.append(tenant, chat.key, [draft("a", "ann"), draft("b", "ben")])
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        socket = await connect(store, tenant, chat, new_uid7(), who="ann")
        job = (await store.deletions.detach_participant(tenant, ann.id, Order(AFTER))).deletion
        assert job.state == WAITING
        assert await store.participants.find(tenant, PEER, "ann") == ann
        await store.connections.close(tenant, socket.id)
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == DETACHING
        assert await store.participants.find(tenant, PEER, "ann") is None
        await remove(store, lease, node)
        assert await texts_of(store, tenant, chat.key) == ["b"]

    async def test_a_tenant_waits_for_anything_live(self, store: Store) -> None:
        tenant = await new_tenant(store, "acme")
        _, chat = await new_single(store, tenant)
        socket = await connect(store, tenant, chat, new_uid7())
        job = (await store.deletions.detach_tenant(tenant, Order(AFTER), with_sessions=True)).deletion
        assert (job.kind, job.state) == (TENANT, WAITING)
        assert await store.tenants.find_by_name("acme") is not None
        await store.connections.close(tenant, socket.id)
        await purge(store, tenant)
        assert (await reload_deletion(store, tenant, job.id)).state == DONE
        assert await store.tenants.find_by_name("acme") is None


class PlanContract:
    """The survey, and deletions of exactly what was surveyed."""

    async def test_a_survey_says_what_goes_and_changes_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        await say(store, tenant, chats[0], "a", "b")
        survey = await store.deletions.survey(tenant, SESSION, session.key)
        assert (survey.kind, survey.id, survey.blocked_by) == (SESSION, session.id, ())
        assert [(chat.id, chat.last_seq, chat.message_count) for chat in survey.chats] == [
            (chats[0].id, 2, 2),
            (chats[1].id, 0, 0),
        ]
        counts = {table: survey.counts[table] for table in ("messages", "chats", "sessions", "members")}
        assert counts == {"messages": 2, "chats": 2, "sessions": 1, "members": 1}
        assert await store.deletions.survey(tenant, SESSION, session.key) == survey
        assert await store.deletions.pending() == (0, 0)
        job = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL))).deletion
        await purge(store, tenant)
        assert (await reload_deletion(store, tenant, job.id)).counts == counts

    async def test_a_survey_names_what_is_live_but_its_digest_does_not(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        digest = await digest_of(store, tenant, CHAT, chat.key)
        socket = await connect(store, tenant, chat, new_uid7())
        blockers = (await store.deletions.survey(tenant, CHAT, chat.key)).blocked_by
        assert [blocker.kind for blocker in blockers] == ["last_chat", "connection"]
        assert blockers[1].id == text_of(socket.id)
        assert await digest_of(store, tenant, CHAT, chat.key) == digest

    async def test_the_survey_of_a_participant_has_the_chats_of_others(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, own = await new_multi(store, tenant, "ann")
        _, other = await new_multi(store, tenant, "ben")
        await store.messages.append(tenant, other.key, [draft("a", "ann"), draft("b", "ben")])
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        survey = await store.deletions.survey(tenant, PARTICIPANT, ann.id)
        assert (survey.id, [chat.id for chat in survey.chats]) == ("ann", [own.id, other.id])
        assert (survey.counts["chats"], survey.counts["sessions"], survey.counts["participants"]) == (1, 1, 1)

    async def test_the_survey_of_a_participant_counts_its_words_in_the_chats_of_others(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant = await new_tenant(store)
        _, other = await new_multi(store, tenant, "ben")
        _, own = await new_multi(store, tenant, "ann")
        await store.messages.append(tenant, other.key, [draft("a", "ann"), draft("b", "ben"), draft("c", "ann")])
        await store.messages.append(tenant, own.key, [draft("d", "ann")])
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        survey = await store.deletions.survey(tenant, PARTICIPANT, ann.id)
        assert (survey.counts["messages"], survey.counts["messages_elsewhere"], survey.counts["members"]) == (1, 2, 2)
        monkeypatch.setattr(limits, "PLAN_MESSAGES_READ", 2)
        assert "messages_elsewhere" not in (await store.deletions.survey(tenant, PARTICIPANT, ann.id)).counts
        digest = await digest_of(store, tenant, PARTICIPANT, ann.id)
        await store.messages.append(tenant, other.key, [draft("e", "ann")])
        assert await digest_of(store, tenant, PARTICIPANT, ann.id) != digest

    async def test_a_plan_counts_more_sessions_than_a_detach_takes(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "DETACH_SESSIONS", 1)
        tenant = await new_tenant(store)
        for text in ("a", "b", "c"):
            await say(store, tenant, (await new_multi(store, tenant, "ann"))[1], text)
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        survey = await store.deletions.survey(tenant, PARTICIPANT, ann.id)
        assert (survey.counts["sessions"], survey.counts["chats"], survey.counts["messages"]) == (3, 3, 3)

    async def test_the_survey_of_a_tenant_has_everything(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        _, alone = await new_single(store, tenant)
        await say(store, tenant, alone, "a", "b", "c")
        survey = await store.deletions.survey(tenant, TENANT, tenant)
        assert {chat.id for chat in survey.chats} == {chat.id for chat in (*chats, alone)}
        counts = {table: survey.counts[table] for table in ("messages", "chats", "sessions", "participants")}
        assert counts == {"messages": 3, "chats": 3, "sessions": 2, "participants": 1}

    async def test_what_is_not_there_has_no_survey(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for kind, error in ((CHAT, ChatNotFound), (SESSION, SessionNotFound), (PARTICIPANT, NotFound)):
            with pytest.raises(error):
                await store.deletions.survey(tenant, kind, new_uid7())
        with pytest.raises(TenantNotFound):
            await store.deletions.survey(new_uid7(), TENANT, new_uid7())

    async def test_a_changed_plan_is_not_carried_out(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        targets = ((CHAT, chats[0].key), (SESSION, session.key), (PARTICIPANT, session.owner_id), (TENANT, tenant))
        for author in ("ann", "ben"):
            digests = [await digest_of(store, tenant, *target) for target in targets]
            await store.messages.append(tenant, chats[0].key, [draft("more", author)])
            for (kind, key), digest in zip(targets, digests, strict=True):
                await self._refuses(store, tenant, kind, key, digest)
        digests = [await digest_of(store, tenant, *target) for target in targets[1:]]
        await add_chat(store, tenant, session, "new")
        for (kind, key), digest in zip(targets[1:], digests, strict=True):
            await self._refuses(store, tenant, kind, key, digest)
        digest = await digest_of(store, tenant, SESSION, session.key)
        job = (await store.deletions.detach_session(tenant, session.key, Order(CANCEL, if_digest=digest))).deletion
        assert job.state == PURGING

    async def _refuses(self, store: Store, tenant: Uid, kind: str, key: Uid, digest: str) -> None:
        order = Order(CANCEL, if_digest=digest)
        verbs = store.deletions
        detach_it = {CHAT: verbs.detach_chat, SESSION: verbs.detach_session, PARTICIPANT: verbs.detach_participant}
        whole = verbs.detach_tenant(tenant, order, with_sessions=True) if kind == TENANT else None
        act = whole or detach_it[kind](tenant, key, order)
        with pytest.raises(PlanChanged):
            await act
        assert await store.deletions.pending() == (0, 0)


class UndoWindowContract:
    """The state `detached`: nothing finds the thing, and nothing of it is removed yet."""

    async def test_nothing_is_purged_before_the_window_is_over(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 5)
        order = Order(REFUSE, inline_messages=100, undo_seconds=60)
        job = (await store.deletions.detach_chat(tenant, chats[0].key, order)).deletion
        assert (job.state, job.counts, job.purged_at) == (DETACHED, {}, None)
        assert job.detached_at is not None
        assert job.undo_until is not None
        assert abs(job.undo_until - job.detached_at - 60 * times.SECOND) < 5 * times.SECOND
        assert await store.chats.find_by_key(tenant, chats[0].key) is None
        assert await store.deletions.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) == []
        await store.deletions.retry(tenant, job.id)
        assert await store.deletions.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) == []
        assert (await store.deletions.pending())[0] == 1

    async def test_then_it_goes_on(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await say_many(store, tenant, chats[0], 5)
        order = Order(REFUSE, undo_seconds=SHORT_LEASE_SECONDS)
        job = (await store.deletions.detach_chat(tenant, chats[0].key, order)).deletion
        node = new_uid7()
        lease = await wait_for_lease(store, tenant, node)
        assert lease.state == DETACHED
        assert (await store.deletions.step(lease, node, 100, LONG_LEASE_SECONDS)).state == PURGING
        found = await reload_deletion(store, tenant, job.id)
        assert (found.state, found.detached_at) == (PURGING, job.detached_at)
        assert await remove(store, lease, node) == {"messages": 5, "chats": 1}
        assert (await reload_deletion(store, tenant, job.id)).state == SCRUBBING


class ListContract:
    """What is shown of deletions, and a try at once."""

    async def test_the_newest_come_first_by_state_and_in_parts(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 6)
        old = [await detach(store, tenant, chat) for chat in chats[:2]]
        await purge(store, tenant)
        new = [await detach(store, tenant, chat) for chat in chats[2:5]]
        ids = [job.id for job in (*old, *new)][::-1]

        async def listed(*states: str, before: Uid | None = None, limit: int = 100) -> list[Uid]:
            return [job.id for job in await store.deletions.list(tenant, states, before, limit, None)]

        assert await listed() == ids
        assert await listed(DONE) == [job.id for job in old][::-1]
        assert await listed(PURGING, SCRUBBING) == [job.id for job in new][::-1]
        assert await listed(DONE, PURGING) == ids
        assert await listed(WAITING) == []
        assert await listed(limit=2) == ids[:2]
        assert await listed(before=ids[1], limit=2) == ids[2:4]
        assert await listed(before=ids[-1]) == []
        assert await store.deletions.list(await new_tenant(store), (), None, 10, None) == []

    async def test_overdue_are_those_that_should_be_over(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 3)
        await detach(store, tenant, chats[0])
        await purge(store, tenant)
        late = await detach(store, tenant, chats[1])

        async def is_overdue() -> bool:
            return [job.id for job in await store.deletions.list(tenant, (), None, 10, 0.01)] == [late.id]

        await until(is_overdue, "it was late")
        assert await store.deletions.list(tenant, (), None, 10, 60) == []
        assert (await store.deletions.overdue(0.01), await store.deletions.overdue(60)) == (1, 0)

    async def test_a_retry_runs_now_and_keeps_its_attempts(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        job = await detach(store, tenant, chats[0])
        node = new_uid7()
        await store.deletions.postpone(await take_lease(store, tenant, node), node, "oops", 600)
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []
        await store.deletions.retry(tenant, job.id)
        found = await reload_deletion(store, tenant, job.id)
        assert (found.attempts, found.last_error) == (1, "oops")
        lease = await wait_for_lease(store, tenant, node)
        await store.deletions.retry(tenant, job.id)
        assert await store.deletions.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) == [], "one at work is left alone"
        await remove(store, lease, node)
        await complete(store, lease, node)
        done = await reload_deletion(store, tenant, job.id)
        await store.deletions.retry(tenant, job.id)
        await store.deletions.retry(tenant, new_uid7())
        assert await reload_deletion(store, tenant, job.id) == done
        assert (done.state, done.attempts) == (DONE, 1)

    async def test_a_job_that_is_given_back_without_an_error_has_not_failed(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        job = await detach(store, tenant, chats[0])
        node = new_uid7()
        await store.deletions.postpone(await take_lease(store, tenant, node), node, "oops", 0)
        await store.deletions.postpone(await wait_for_lease(store, tenant, node), node, None, 600)
        found = await reload_deletion(store, tenant, job.id)
        assert (found.attempts, found.last_error) == (1, "oops")
        assert await store.deletions.claim(tenant, node, LONG_LEASE_SECONDS) == []
