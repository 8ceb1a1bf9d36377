"""The deletion of a participant: what it owned and said goes everywhere, what others said stays where it was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain.chats import Chat
from antiphon.domain.deletions import (
    CANCEL,
    DETACHING,
    DONE,
    PARTICIPANT,
    PURGING,
    REFUSE,
    SCRUBBING,
    Deletion,
    Order,
)
from antiphon.domain.errors import (
    AntiphonError,
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    ConnectionNotFound,
    ParticipantNotFound,
    TurnOver,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, Draft
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import MULTI, SINGLE
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
    reload_chat,
    reload_deletion,
    remove,
    take_lease,
    texts_of,
)

AGENT = "assistant"


async def id_of(store: Store, tenant: Uid, name: str = "ann") -> Uid:
    """The participant's id; it is made when missing."""
    return (await store.participants.ensure(tenant, PEER, name))[0].id


async def forget(store: Store, tenant: Uid, who: Uid, mode: str = CANCEL) -> Deletion:
    """Delete a participant, leaving its words in the chats of others to the worker."""
    return (await store.deletions.detach_participant(tenant, who, Order(mode))).deletion


async def talk(store: Store, tenant: Uid, chat: Chat, *lines: tuple[str, str]) -> None:
    """Append one message a line of speaker and text; what the agent says has the role assistant."""
    drafts = [draft(text, who, role=ASSISTANT) if who == AGENT else draft(text, who) for who, text in lines]
    await store.messages.append(tenant, chat.key, drafts)


async def check_pages(store: Store, tenant: Uid, chat: Chat, texts: Sequence[str]) -> None:
    """What is left is found from every offset both ways, and the counters fit it."""
    now = await reload_chat(store, chat, tenant)
    whole = (await store.messages.page(tenant, chat.key, ALL)).items
    assert [message.text for message in whole] == list(texts)
    assert now.message_count == len(texts)
    assert now.last_message_at == (whole[-1].created_at if whole else None)
    answers = [message.created_at for message in whole if message.role == ASSISTANT]
    assert now.last_answer_at == (answers[-1] if answers else None)
    for is_reversed in (False, True):
        expected = list(texts)[::-1] if is_reversed else list(texts)
        for offset in range(len(texts) + 2):
            page = await store.messages.page(tenant, chat.key, Slice(offset, 3, is_reversed))
            assert ([m.text for m in page.items], page.total) == (expected[offset : offset + 3], len(texts))
    assert [m.text for m in await store.messages.latest(tenant, chat.key, 4)] == list(texts)[-4:]


class ForgettingContract:
    """`detach_participant`, and the steps after it."""

    async def test_what_it_owns_goes_at_once_with_the_words_of_others(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant, "ann")
        more, _ = await add_chat(store, tenant, session, "more")
        single, alone = await new_single(store, tenant, "s", "ann")
        other, bens = await new_multi(store, tenant, "ben")
        for own in (chat, more, alone):
            await talk(store, tenant, own, ("ann", "a"), ("ben", "b"))
        ann = await id_of(store, tenant)
        detached = await store.deletions.detach_participant(tenant, ann, Order(CANCEL))
        job = detached.deletion
        assert set(detached.chat_keys) == {chat.key, more.key, alone.key}
        assert (job.kind, job.target_key, job.target_id, job.state) == (PARTICIPANT, ann, "ann", DETACHING)
        assert job.detached_at is None, "it is said to have taken hold when its last word is out"
        assert [await store.chats.find_by_key(tenant, own.key) for own in (chat, more, alone)] == [None] * 3
        assert [await store.sessions.find(tenant, own.id) for own in (session, single)] == [None] * 2
        assert await list_of_sessions(store, tenant, MULTI) == ([other.id], 1)
        assert await list_of_sessions(store, tenant, SINGLE) == ([], 0)
        await purge(store, tenant)
        assert await reload_chat(store, bens, tenant) == bens
        counts = (await reload_deletion(store, tenant, job.id)).counts
        expected = {"messages": 6, "chats": 3, "sessions": 2, "members": 4, "participants": 1}
        assert counts == expected

    async def test_its_words_go_chat_by_chat_and_those_of_others_stay(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant, "ben")
        chats = [first, *[(await add_chat(store, tenant, session, f"c{i}"))[0] for i in range(3)]]
        _, alone = await new_single(store, tenant, "s", "cid")
        for chat in (*chats[:3], alone):
            lines = [("ann" if i % 3 else "ben", f"{i} of {'ann' if i % 3 else 'ben'}") for i in range(20)]
            await talk(store, tenant, chat, *lines, (AGENT, "to ann"), ("ann", "the last word"))
        job = await forget(store, tenant, await id_of(store, tenant))
        await purge(store, tenant, rows_max=5)
        kept = [f"{i} of ben" for i in range(0, 20, 3)] + ["to ann"]
        for chat in (*chats[:3], alone):
            await check_pages(store, tenant, chat, kept)
        await check_pages(store, tenant, chats[3], [])
        done = await reload_deletion(store, tenant, job.id)
        assert (done.state, done.counts["messages"], done.counts["members"]) == (DONE, 4 * 14, 2)
        assert done.detached_at is not None
        await talk(store, tenant, first, ("ben", "goes on"))
        await check_pages(store, tenant, first, [*kept, "goes on"])

    async def test_each_step_leaves_counters_that_fit(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant, "ben")
        await talk(store, tenant, chat, *((("ann", "ben")[i % 2], f"m{i}") for i in range(30)))
        job = await forget(store, tenant, await id_of(store, tenant))
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        states = []
        while (now := await reload_deletion(store, tenant, job.id)).state == DETACHING:
            step = await store.deletions.step(lease, node, 4, LONG_LEASE_SECONDS)
            assert sum(step.removed.values()) <= 4
            states.append(step.state)
            await check_pages(store, tenant, chat, await texts_of(store, tenant, chat.key))
        assert len(states) > 3
        assert now.state in {PURGING, SCRUBBING}
        assert now.detached_at is not None
        assert await texts_of(store, tenant, chat.key) == [f"m{i}" for i in range(1, 30, 2)]

    async def test_its_name_is_free_at_once_and_shows_nothing_old(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant, "ben")
        await store.participants.put(tenant, "ann", '{"old":1}', '{"old":2}')
        await talk(store, tenant, chat, ("ann", "old"))
        old = await id_of(store, tenant)
        await store.chats.mark_read(tenant, chat.key, old)
        await forget(store, tenant, old)
        assert await store.participants.find(tenant, PEER, "ann") is None
        assert await store.participants.find_by_id(tenant, old) is None
        assert await list_of_names(store, tenant) == (["ben"], 1)
        assert await store.sessions.members(tenant, session.key, ALL) == ([], 0)
        new, is_new = await store.participants.ensure(tenant, PEER, "ann")
        assert (is_new, new.metadata, new.configuration, new.id != old) == (True, "{}", "{}", True)
        assert await store.chats.read_marks(tenant, session.key, new.id) == {}
        assert await store.chats.list_of_owner(tenant, "ann", ALL) == ([], 0)
        assert not await store.sessions.is_member(tenant, session.key, new.id)
        await talk(store, tenant, chat, ("ann", "new"))
        await purge(store, tenant, rows_max=3)
        assert await texts_of(store, tenant, chat.key) == ["new"]
        assert await list_of_names(store, tenant) == (["ben", "ann"], 2)
        assert await store.sessions.is_member(tenant, session.key, new.id)

    async def test_its_keys_and_sockets_end_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant, "ben")
        ann, ben = await id_of(store, tenant), await id_of(store, tenant, "ben")
        keys = [await new_key(store, tenant, participant_id=who) for who in (ann, ben)]
        node = new_uid7()
        hers, his = [await connect(store, tenant, chat, node, who=name) for name in ("ann", "ben")]
        with pytest.raises(ChatHasActiveConnections):
            await forget(store, tenant, ann, REFUSE)
        await forget(store, tenant, ann)
        assert await loaded(store, tenant, *keys) == {keys[1].id}
        assert [key.id for key in await store.keys.list(tenant)] == [keys[1].id]
        with pytest.raises(ConnectionNotFound):
            await store.messages.append(tenant, chat.key, [draft("late")], hers.id)
        await store.messages.append(tenant, chat.key, [draft("in time", "ben")], his.id)
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == {his.id}
        await purge(store, tenant)
        assert await loaded(store, tenant, *keys) == {keys[1].id}
        assert await texts_of(store, tenant, chat.key) == ["in time"]

    async def test_nothing_is_made_for_one_who_is_gone(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_multi(store, tenant, "ben")
        await talk(store, tenant, chat, ("ann", "old"))
        ann = await id_of(store, tenant)
        await forget(store, tenant, ann)
        for _ in range(2):
            outcomes = await race(
                store.sessions.create_multi(tenant, ann, "T", None, None),
                store.chats.create(tenant, session.key, ann, "late", "T", None),
                store.chats.mark_read(tenant, chat.key, ann),
                new_key(store, tenant, participant_id=ann),
                forget(store, tenant, ann),
            )
            assert len(losses(outcomes)) == 5
            assert all(issubclass(loss, AntiphonError) for loss in losses(outcomes))
            assert not await store.sessions.is_member(tenant, session.key, ann)
            await purge(store, tenant)
        assert (await list_of_sessions(store, tenant, MULTI))[1] == 1
        assert await store.chats.list_of_session(tenant, session.key) == [await reload_chat(store, chat, tenant)]

    async def test_one_is_forgotten_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        ann = await id_of(store, tenant)
        outcomes = await race(*(forget(store, tenant, ann) for _ in range(5)))
        assert losses(outcomes) == [ParticipantNotFound] * 4
        with pytest.raises(ParticipantNotFound):
            await store.deletions.survey(tenant, PARTICIPANT, ann)

    async def test_what_the_agent_said_and_is_saying_goes(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant, "ben")
        _, quiet = await new_multi(store, tenant, "cid", "U")
        await talk(store, tenant, chat, ("ben", "q1"), (AGENT, "a1"), ("ben", "q2"))
        node = new_uid7()
        turn = await self._start(store, tenant, chat, node)
        ended = await self._start(store, tenant, quiet, node)
        await store.turns.finish(tenant, ended, node, TurnEnding(STOPPED, None, Draft(AGENT, ASSISTANT, "a2")))
        agent = await id_of(store, tenant, AGENT)
        with pytest.raises(ChatHasActiveTurn):
            await forget(store, tenant, agent, REFUSE)
        await forget(store, tenant, agent)
        with pytest.raises(TurnOver):
            await store.turns.append_events(tenant, turn, node, EventChunk(1, 1, "[1]"))
        with pytest.raises(TurnOver):
            await store.turns.finish(tenant, turn, node, TurnEnding(STOPPED, None, Draft(AGENT, ASSISTANT, "late")))
        assert await store.turns.renew(tenant, node, LONG_LEASE_SECONDS) == set()
        assert (await reload_chat(store, chat, tenant)).active_turn is None
        await purge(store, tenant, rows_max=3)
        await check_pages(store, tenant, chat, ["q1", "q2"])
        await check_pages(store, tenant, quiet, [])
        for uid in (turn, ended):
            assert await store.turns.find(tenant, uid) is None
        assert [await store.turns.find_last(tenant, each.key) for each in (chat, quiet)] == [None, None]

    async def test_the_agent_that_comes_after_is_another(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant, "ben")
        await talk(store, tenant, chat, (AGENT, "old"))
        await forget(store, tenant, await id_of(store, tenant, AGENT))
        node = new_uid7()
        turn = await self._start(store, tenant, chat, node)
        await store.turns.finish(tenant, turn, node, TurnEnding(STOPPED, None, Draft(AGENT, ASSISTANT, "new")))
        await purge(store, tenant)
        await check_pages(store, tenant, chat, ["new"])
        found, chunks = await store.turns.events(tenant, turn, 0, 10)
        assert (found.state, [chunk.body for chunk in chunks]) == (STOPPED, ['[{"said":1}]'])

    async def test_late_sessions_of_one_with_very_many_go_too(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("antiphon.domain.limits.DETACH_SESSIONS", 2)
        tenant = await new_tenant(store)
        chats = [(await new_multi(store, tenant, "ann", f"T{i}"))[1] for i in range(5)]
        job = (await store.deletions.detach_participant(tenant, await id_of(store, tenant), Order(CANCEL))).deletion
        node = new_uid7()
        lease = await take_lease(store, tenant, node)
        while (await reload_deletion(store, tenant, job.id)).state == DETACHING:
            await store.deletions.step(lease, node, 500, LONG_LEASE_SECONDS)
        assert [await store.chats.find_by_key(tenant, chat.key) for chat in chats] == [None] * 5
        await remove(store, lease, node)
        await complete(store, lease, node)
        assert (await reload_deletion(store, tenant, job.id)).counts["sessions"] == 5

    async def _start(self, store: Store, tenant: Uid, chat: Chat, node: Uid) -> Uid:
        """A turn that has said something."""
        start = TurnStart(chat.key, new_uid7(), AGENT)
        turn = (await store.turns.claim(tenant, new_uid7(), start, node, 10, LONG_LEASE_SECONDS)).turn
        await store.turns.append_events(tenant, turn.id, node, EventChunk(0, 1, '[{"said":1}]'))
        return turn.id
