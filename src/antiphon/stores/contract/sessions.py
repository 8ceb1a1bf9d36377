"""Sessions: one of an id, with at least one chat; what many ask for at once happens once and loses nothing."""

from __future__ import annotations

import json

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits
from antiphon.domain.chats import DEFAULT_TITLE
from antiphon.domain.deletions import Order
from antiphon.domain.errors import (
    AccessDenied,
    ChatIdTaken,
    LimitExceeded,
    SessionIdTaken,
    SessionNotFound,
    TenantNotFound,
    VersionChanged,
)
from antiphon.domain.ids import Uid, is_canonical_uuid, new_public_id, new_uid7
from antiphon.domain.participants import PEER, Member, Participant
from antiphon.domain.sessions import DEFAULT_STATUS, MULTI, SINGLE, NewSession, Session
from antiphon.stores.contract.worlds import (
    ALL,
    ODD_JSON,
    ODD_TEXTS,
    check_parts,
    list_of_names,
    list_of_sessions,
    losses,
    new_multi,
    new_single,
    new_tenant,
    race,
    say,
    wins,
)


async def member_names(store: Store, tenant_id: Uid, session: Session) -> list[str]:
    """Who is a member now, longest member first."""
    found, total = await store.sessions.members(tenant_id, session.key, ALL)
    assert total == len(found)
    return [who.name for who in found]


class SessionContract:
    """`core.ports.SessionStore`."""

    async def test_a_multi_session_has_its_first_chat_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        who, _ = await store.participants.ensure(tenant, PEER, "ann")
        artist = "0f0e0d0c-0b0a-4908-8706-050403020100"
        session, chat = await store.sessions.create_multi(tenant, who.id, "Trip / 🦜", artist, "some/model")
        assert (session.shape, session.owner_id, session.title) == (MULTI, who.id, "Trip / 🦜")
        assert (session.status, session.artist_id) == (DEFAULT_STATUS, artist)
        assert (session.metadata, session.configuration) == ("{}", "{}")
        assert is_canonical_uuid(session.id)
        assert is_canonical_uuid(chat.id)
        assert (chat.session_id, chat.session_shape) == (session.id, MULTI)
        assert (chat.owner_id, chat.owner_name) == (who.id, "ann")
        assert (chat.title, chat.model, chat.message_count, chat.last_message_at) == (
            DEFAULT_TITLE,
            "some/model",
            0,
            None,
        )
        assert await store.sessions.find(tenant, session.id) == session
        assert await store.chats.list_of_session(tenant, session.key) == [chat]

    async def test_a_single_session_is_made_with_its_only_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, is_new = await store.sessions.put_single(tenant, "s/1", "ann", '{"a":1}', '{"x":1}', [])
        assert is_new
        assert (session.id, session.shape, session.metadata, session.configuration) == (
            "s/1",
            SINGLE,
            '{"a":1}',
            '{"x":1}',
        )
        owner = await store.participants.find(tenant, PEER, "ann")
        assert owner is not None
        assert session.owner_id == owner.id
        (chat,) = await store.chats.list_of_session(tenant, session.key)
        assert (chat.session_id, chat.session_shape, chat.owner_name) == ("s/1", SINGLE, "ann")
        assert await store.chats.find_of_single(tenant, "s/1") == chat
        assert await store.sessions.find(tenant, "s/1") == session

    async def test_fifty_at_once_make_one(self, store: Store) -> None:
        tenant = await new_tenant(store)
        outcomes = wins(await race(*(store.sessions.put_single(tenant, "s", "ann", None, None, []) for _ in range(50))))
        assert len(outcomes) == 50
        assert [is_new for _, is_new in outcomes].count(True) == 1
        assert len({session.key for session, _ in outcomes}) == 1
        assert await list_of_sessions(store, tenant) == (["s"], 1)
        assert len(await store.chats.list_of_session(tenant, outcomes[0][0].key)) == 1

    async def test_put_replaces_the_metadata_and_merges_the_configuration(self, store: Store) -> None:
        tenant = await new_tenant(store)
        first, _ = await store.sessions.put_single(tenant, "s", "ann", '{"a":1}', '{"x":1,"y":{"deep":1}}', [])
        changed, is_new = await store.sessions.put_single(tenant, "s", "ben", '{"b":2}', '{"y":{"other":2}}', [])
        assert not is_new
        assert (changed.key, changed.owner_id, changed.metadata) == (first.key, first.owner_id, '{"b":2}')
        assert json.loads(changed.configuration) == {"x": 1, "y": {"other": 2}}
        assert await store.sessions.put_single(tenant, "s", "ann", None, None, []) == (changed, False)
        assert await store.sessions.find(tenant, "s") == changed

    async def test_configurations_that_come_at_once_lose_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        racers = [
            store.sessions.put_single(tenant, "s", "ann", None, f'{{"k{i}":{i}}}', [Member(f"n{i}")]) for i in range(30)
        ]
        assert losses(await race(*racers)) == []
        found = await store.sessions.find(tenant, "s")
        assert found is not None
        assert json.loads(found.configuration) == {f"k{i}": i for i in range(30)}
        assert sorted(await member_names(store, tenant, found)) == sorted(f"n{i}" for i in range(30))

    async def test_the_id_of_a_multi_session_is_taken(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        for change in (None, "{}"):
            with pytest.raises(SessionIdTaken):
                await store.sessions.put_single(tenant, session.id, "ann", change, None, [])
        assert await store.sessions.find(tenant, session.id) == session
        assert await list_of_sessions(store, tenant) == ([], 0)

    async def test_odd_ids_are_all_different(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = {text: (await new_single(store, tenant, text))[0] for text in ODD_TEXTS}
        assert len({session.key for session in made.values()}) == len(ODD_TEXTS)
        for text, session in made.items():
            assert session.id == text
            assert await store.sessions.find(tenant, text) == session

    @pytest.mark.parametrize("text", ODD_JSON, ids=lambda text: text[:12])
    async def test_json_comes_back_as_it_was(self, store: Store, text: str) -> None:
        tenant = await new_tenant(store)
        await store.sessions.put_single(tenant, "s", "ann", text, text, [])
        found = await store.sessions.find(tenant, "s")
        assert found is not None
        assert (found.metadata, found.configuration) == (text, text)

    async def test_titles_are_those_of_the_owner_s_multi_sessions(self, store: Store) -> None:
        tenant = await new_tenant(store)
        mine = [await new_multi(store, tenant, "ann", title) for title in ("Oslo", "Oslo", "oslo")]
        await new_multi(store, tenant, "ben", "Rome")
        await new_single(store, tenant, owner="ann")
        assert await store.sessions.titles(tenant, mine[0][0].owner_id) == {"Oslo", "oslo"}
        assert await store.sessions.titles(tenant, new_uid7()) == set()

    async def test_the_lists_of_the_shapes_are_in_order_of_making(self, store: Store) -> None:
        tenant = await new_tenant(store)
        multi, single = [], []
        for i in range(5):
            multi.append((await new_multi(store, tenant))[0])
            single.append((await new_single(store, tenant, f"s{9 - i}"))[0])
        for shape, made in ((MULTI, multi), (SINGLE, single)):

            async def read(part: Slice, shape: str = shape) -> tuple[list[Session], int]:
                return await store.sessions.list(tenant, shape, part)

            await check_parts(read, made)

    async def test_a_tenant_that_is_not_there_gets_no_session(self, store: Store) -> None:
        nobody = new_uid7()
        with pytest.raises(TenantNotFound):
            await store.sessions.put_single(nobody, "s", "ann", None, None, [])
        with pytest.raises(TenantNotFound):
            await store.chats.create_single(nobody, "ann", None, "{}")
        assert await list_of_sessions(store, nobody) == ([], 0)


class MemberContract:
    """The members of sessions, and what they may do."""

    async def test_members_are_made_when_missing_and_stay_in_order(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben"), Member("ann")])
        await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("cid"), Member("ben")])
        assert await member_names(store, tenant, session) == ["ben", "ann", "cid"]
        everybody = [await store.participants.find(tenant, PEER, name) for name in ("ben", "ann", "cid")]

        async def read(part: Slice) -> tuple[list[Participant], int]:
            return await store.sessions.members(tenant, session.key, part)

        await check_parts(read, everybody)

    async def test_the_owner_is_a_member_only_when_named(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben")])
        ben = await store.participants.find(tenant, PEER, "ben")
        assert ben is not None
        assert await store.sessions.is_member(tenant, session.key, ben.id)
        assert not await store.sessions.is_member(tenant, session.key, session.owner_id)
        assert not await store.sessions.is_member(tenant, new_uid7(), ben.id)

    async def test_a_member_joins_once_however_many_add_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        racers = [store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben")]) for _ in range(20)]
        assert losses(await race(*racers, *(say(store, tenant, chat, "hi") for _ in range(20)))) == []
        assert sorted(await member_names(store, tenant, session)) == ["ann", "ben"]
        assert sorted((await list_of_names(store, tenant))[0]) == ["ann", "ben"]

    async def test_too_many_observers_are_refused_and_nothing_changes(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "HONCHO_OBSERVERS_PER_SESSION", 3)
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(tenant, "s", "ann", '{"a":1}', None, _observers(0, 2))
        with pytest.raises(LimitExceeded):
            await store.sessions.put_single(tenant, "s", "ann", '{"b":2}', '{"x":1}', _observers(2, 4))
        assert await store.sessions.find(tenant, "s") == session
        assert await member_names(store, tenant, session) == ["o0", "o1"]
        assert await list_of_names(store, tenant) == (["ann", "o0", "o1"], 3)
        with pytest.raises(LimitExceeded):
            await store.sessions.put_single(tenant, "new", "ann", None, None, _observers(0, 4))
        assert await store.sessions.find(tenant, "new") is None

    async def test_observers_that_come_at_once_do_not_pass_the_limit(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "HONCHO_OBSERVERS_PER_SESSION", 3)
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        racers = [store.sessions.put_single(tenant, "s", "ann", None, None, _observers(i, i + 1)) for i in range(10)]
        assert losses(await race(*racers)) == [LimitExceeded] * 7
        assert len(await member_names(store, tenant, session)) == 3

    async def test_a_member_keeps_its_settings(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "HONCHO_OBSERVERS_PER_SESSION", 1)
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(
            tenant, "s", "ann", None, None, [Member("o0", observe_others=True), Member("ben", observe_others=False)]
        )
        await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben", observe_others=True)])
        await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("o0", observe_others=False)])
        with pytest.raises(LimitExceeded):  # o0 still observes, as it said when it came
            await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("cid", observe_others=True)])
        assert await member_names(store, tenant, session) == ["o0", "ben"]

    async def test_an_actor_that_is_no_member_changes_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(tenant, "s", "ann", '{"a":1}', None, [Member("ben")])
        eve, _ = await store.participants.ensure(tenant, PEER, "eve")
        for metadata, members in ((None, []), ('{"b":2}', []), (None, [Member("eve")])):
            with pytest.raises(AccessDenied):
                await store.sessions.put_single(tenant, "s", "eve", metadata, None, members, eve.id)
        assert await store.sessions.find(tenant, "s") == session
        assert await member_names(store, tenant, session) == ["ben"]

    async def test_an_owner_that_is_no_member_may_look_only(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben")])
        ann = session.owner_id
        assert await store.sessions.put_single(tenant, "s", "ann", None, None, [], ann) == (session, False)
        with pytest.raises(AccessDenied):
            await store.sessions.put_single(tenant, "s", "ann", '{"b":2}', None, [], ann)
        assert await store.sessions.find(tenant, "s") == session

    async def test_a_member_may_change_and_anybody_may_make(self, store: Store) -> None:
        tenant = await new_tenant(store)
        ben, _ = await store.participants.ensure(tenant, PEER, "ben")
        made, is_new = await store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ben")], ben.id)
        assert is_new
        changed, is_new = await store.sessions.put_single(tenant, "s", "ann", '{"b":2}', None, [], ben.id)
        assert not is_new
        assert (changed.key, changed.metadata) == (made.key, '{"b":2}')


def _observers(first: int, end: int) -> list[Member]:
    return [Member(f"o{i}", observe_others=True) for i in range(first, end)]


class ChosenIdContract:
    """Sessions of either shape under ids of the client's, and their titles."""

    @pytest.mark.parametrize("shape", [SINGLE, MULTI])
    async def test_a_session_is_made_with_its_chat(self, store: Store, shape: str) -> None:
        tenant = await new_tenant(store)
        made = await store.sessions.create(tenant, NewSession(shape, "s/1", "ann", "T", "c/1", "C"))
        assert (made.id, made.shape, made.title, made.created_at) == ("s/1", shape, "T", made.updated_at)
        assert await store.sessions.find(tenant, "s/1") == made
        (chat,) = await store.chats.list_of_session(tenant, made.key)
        assert (chat.id, chat.title, chat.owner_name, chat.session_shape) == ("c/1", "C", "ann", shape)
        assert await list_of_sessions(store, tenant, shape) == (["s/1"], 1)
        assert await list_of_sessions(store, tenant, MULTI if shape == SINGLE else SINGLE) == ([], 0)
        assert await list_of_names(store, tenant) == (["ann"], 1)
        assert (await store.chats.list_of_owner(tenant, "ann", ALL))[1] == 0

    async def test_a_chat_with_a_uuid_counts_as_its_owners(self, store: Store) -> None:
        tenant = await new_tenant(store)
        uuid = new_public_id()
        await store.sessions.create(tenant, NewSession(MULTI, "s", "ann", "T", uuid, "C"))
        chats, total = await store.chats.list_of_owner(tenant, "ann", ALL)
        assert ([chat.id for chat in chats], total) == ([uuid], 1)

    async def test_an_id_that_is_taken_is_refused_and_nothing_is_made(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await store.sessions.create(tenant, NewSession(SINGLE, "s", "ann", "T", "c", "C"))
        with pytest.raises(SessionIdTaken):
            await store.sessions.create(tenant, NewSession(MULTI, "s", "ben", "T", "free", "C"))
        with pytest.raises(ChatIdTaken):
            await store.sessions.create(tenant, NewSession(MULTI, "free", "ben", "T", "c", "C"))
        assert await list_of_names(store, tenant) == (["ann"], 1)
        assert await list_of_sessions(store, tenant, MULTI) == ([], 0)

    async def test_of_many_at_once_one_makes_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        new = NewSession(SINGLE, "s", "ann", "T", "c", "C")
        outcomes = await race(*(store.sessions.create(tenant, new) for _ in range(10)))
        assert len(wins(outcomes)) == 1
        assert set(losses(outcomes)) == {SessionIdTaken}

    async def test_a_detached_tenant_takes_none(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await store.deletions.detach_tenant(tenant)
        with pytest.raises(TenantNotFound):
            await store.sessions.create(tenant, NewSession(SINGLE, "s", "ann", "T", "c", "C"))

    @pytest.mark.parametrize("shape", [SINGLE, MULTI])
    async def test_a_title_is_changed_if_it_is_as_it_was_seen(self, store: Store, shape: str) -> None:
        tenant = await new_tenant(store)
        made = await store.sessions.create(tenant, NewSession(shape, "s", "ann", "T", "c", "C"))
        first = await store.sessions.rename(tenant, made.key, "U", made.updated_at)
        assert (first.title, first.created_at) == ("U", made.created_at)
        assert first.updated_at > made.updated_at
        with pytest.raises(VersionChanged):
            await store.sessions.rename(tenant, made.key, "V", made.updated_at)
        assert await store.sessions.find(tenant, "s") == first
        assert (await store.sessions.rename(tenant, made.key, "W")).title == "W"
        await store.deletions.detach_session(tenant, made.key, Order("refuse"))
        with pytest.raises(SessionNotFound):
            await store.sessions.rename(tenant, made.key, "X", made.updated_at)

    async def test_a_chat_is_changed_if_it_is_as_it_was_seen(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        changed = await store.chats.change(tenant, chat.key, "U", None, chat.updated_at)
        assert changed.title == "U"
        with pytest.raises(VersionChanged):
            await store.chats.change(tenant, chat.key, "V", None, chat.updated_at)
        assert await store.chats.find(tenant, chat.id) == changed
