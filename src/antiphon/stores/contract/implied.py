"""Owners whom nobody has named: there as owners, not listed or counted, and made for the one who names them first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import ParticipantNotFound
from antiphon.domain.filters import EVERYTHING
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.imports import Batch, ImportedChat, ImportedMember
from antiphon.domain.messages import ASSISTANT
from antiphon.domain.participants import PEER, SCOPE, Member, Participant
from antiphon.domain.sessions import MULTI, SINGLE, NewSession, Session
from antiphon.stores.contract.imports import CHAT_ID, NODE, PAST, begin, opening, session_of, write
from antiphon.stores.contract.worlds import (
    ALL,
    check_parts,
    connect,
    draft,
    list_of_names,
    list_of_sessions,
    losses,
    new_single,
    new_tenant,
    purge,
    race,
    wins,
)

AGENT = "assistant"
OWNER = ImportedMember(PEER, AGENT, "{}", "{}", None, None, 0, None, True)
AS_MEMBER = ImportedMember(PEER, AGENT, '{"of":"file"}', '{"x":1}', None, None, PAST, None)

Act = Callable[[Store, Uid], Awaitable[Any]]


async def make(store: Store, tenant: Uid, session_id: str = "s") -> Session:
    """A single session that was made without anybody."""
    session, is_new = await store.sessions.put_single(tenant, session_id, AGENT, None, None, [], is_owner_implied=True)
    assert is_new
    return session


async def owner_of(store: Store, tenant: Uid) -> Participant:
    """The owner, by name."""
    found = await store.participants.find(tenant, PEER, AGENT)
    assert found is not None
    return found


async def is_named(store: Store, tenant: Uid) -> bool:
    """Whether the owner is named, in every way in which that shows."""
    lists = [
        await store.participants.list(tenant, PEER, ALL),
        await store.participants.list(tenant, PEER, Slice(0, 5, is_reversed=True)),
        await store.lists.participants(tenant, "t", PEER, EVERYTHING, ALL),
        await store.lists.participants(tenant, "t", None, EVERYTHING, ALL),
    ]
    listed = {AGENT in [who.name for who in found] for found, _ in lists}
    assert [len(found) for found, _ in lists] == [total for _, total in lists]
    assert listed == {not (await owner_of(store, tenant)).is_implied}
    return listed == {True}


async def _append(store: Store, tenant: Uid) -> None:
    _, chat = await new_single(store, tenant, "other")
    await store.messages.append(tenant, chat.key, [draft("yes", AGENT, role=ASSISTANT)])


async def _append_there(store: Store, tenant: Uid) -> None:
    chat = await store.chats.find_of_single(tenant, "s")
    assert chat is not None
    await store.messages.append(tenant, chat.key, [draft("a", "ann"), draft("b", AGENT)])


async def _connect(store: Store, tenant: Uid) -> None:
    chat = await store.chats.find_of_single(tenant, "s")
    assert chat is not None
    assert (await connect(store, tenant, chat, new_uid7(), who=AGENT)).is_new_participant


NAMING: dict[str, Act] = {
    "ensure": lambda store, tenant: store.participants.ensure(tenant, PEER, AGENT),
    "put": lambda store, tenant: store.participants.put(tenant, AGENT, '{"a":1}', None),
    "member": lambda store, tenant: store.sessions.put_single(tenant, "s", "ann", None, None, [Member(AGENT)]),
    "member of a new one": lambda store, tenant: store.sessions.put_single(
        tenant, "n", AGENT, None, None, [Member(AGENT)], is_owner_implied=True
    ),
    "members": lambda store, tenant: store.members.replace(tenant, "s", [Member(AGENT), Member("ann")]),
    "owner": lambda store, tenant: store.sessions.put_single(tenant, "n", AGENT, None, None, []),
    "owner of a multi": lambda store, tenant: store.sessions.create(
        tenant, NewSession(MULTI, "n", AGENT, "T", "c", "T")
    ),
    "owner of a chat": lambda store, tenant: store.chats.create_single(tenant, AGENT, None, "{}"),
    "message": _append,
    "message among others": _append_there,
    "connection": _connect,
    "card": lambda store, tenant: store.conclusions.put_card(tenant, "ann", AGENT, "[]"),
}

LEAVING: dict[str, Act] = {
    "its owner again": lambda store, tenant: make(store, tenant, "n"),
    "a multi session": lambda store, tenant: store.sessions.create(
        tenant, NewSession(MULTI, "n", AGENT, "T", "c", "T", is_owner_implied=True)
    ),
    "the same one": lambda store, tenant: store.sessions.put_single(tenant, "s", "ann", '{"a":1}', None, []),
    "a clone": lambda store, tenant: store.members.clone(tenant, "s", "n", None),
    "another speaks": lambda store, tenant: store.sessions.put_single(tenant, "s", "ann", None, None, [Member("ann")]),
    "a scope of that name": lambda store, tenant: store.participants.ensure(tenant, SCOPE, AGENT),
}

MISSING: dict[str, Act] = {
    "join": lambda store, tenant: store.members.join(tenant, ["s"], PEER, [AGENT]),
    "configure": lambda store, tenant: store.members.configure(tenant, "s", Member(AGENT, True)),
    "observer": lambda store, tenant: store.conclusions.create(tenant, [ConclusionDraft("x", AGENT, "ann", None)]),
    "observed": lambda store, tenant: store.conclusions.create(tenant, [ConclusionDraft("x", "ann", AGENT, None)]),
}


class ImpliedOwnerContract:
    """`Participant.is_implied`."""

    async def test_it_owns_and_is_not_listed(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session = await make(store, tenant)
        owner = await owner_of(store, tenant)
        assert (owner.id, owner.is_implied) == (session.owner_id, True)
        assert await store.participants.find_by_id(tenant, owner.id) == owner
        assert await store.pages.participants(tenant, PEER, None, None, 5) == [owner]
        assert not await is_named(store, tenant)
        chats, total = await store.chats.list_of_owner(tenant, AGENT, ALL)
        assert (len(chats), total) in {(0, 0), (1, 1)}
        assert await store.sessions.members(tenant, session.key, ALL) == ([], 0)

    async def test_the_list_is_whole_around_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        made = [(await store.participants.ensure(tenant, PEER, "ann"))[0]]
        await make(store, tenant)
        made += [(await store.participants.ensure(tenant, PEER, name))[0] for name in ("ben", "cid")]

        async def read(part: Slice) -> tuple[list[Participant], int]:
            return await store.participants.list(tenant, PEER, part)

        await check_parts(read, made)

    @pytest.mark.parametrize("way", NAMING)
    async def test_whatever_makes_a_participant_names_it(self, store: Store, way: str) -> None:
        tenant = await new_tenant(store)
        owner_id = (await make(store, tenant)).owner_id
        await store.participants.ensure(tenant, PEER, "ann")
        await NAMING[way](store, tenant)
        assert await is_named(store, tenant)
        assert (await owner_of(store, tenant)).id == owner_id
        assert await list_of_names(store, tenant) in ((["ann", AGENT], 2), ([AGENT, "ann"], 2))
        assert (await store.participants.ensure(tenant, PEER, AGENT))[1] is False

    @pytest.mark.parametrize("way", LEAVING)
    async def test_what_does_not_name_it_leaves_it(self, store: Store, way: str) -> None:
        tenant = await new_tenant(store)
        await make(store, tenant)
        await LEAVING[way](store, tenant)
        assert (await owner_of(store, tenant)).is_implied
        assert AGENT not in (await list_of_names(store, tenant))[0]

    @pytest.mark.parametrize("way", MISSING)
    async def test_who_is_asked_for_and_not_made_is_missing(self, store: Store, way: str) -> None:
        tenant = await new_tenant(store)
        await make(store, tenant)
        await store.participants.ensure(tenant, PEER, "ann")
        with pytest.raises(ParticipantNotFound):
            await MISSING[way](store, tenant)
        assert not await is_named(store, tenant)

    async def test_put_tells_that_it_was_made_and_keeps_what_it_was_given(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session = await make(store, tenant)
        made, is_new = await store.participants.put(tenant, AGENT, '{"a":1}', '{"x":1}')
        assert (made.id, made.metadata, made.configuration, is_new) == (session.owner_id, '{"a":1}', '{"x":1}', True)
        assert made.is_implied is False
        assert await store.participants.put(tenant, AGENT, None, '{"x":2}') == (await owner_of(store, tenant), False)

    async def test_one_who_is_there_stays_named(self, store: Store) -> None:
        tenant = await new_tenant(store)
        ann, _ = await store.participants.ensure(tenant, PEER, AGENT)
        assert (await make(store, tenant)).owner_id == ann.id
        assert await is_named(store, tenant)

    async def test_of_twenty_who_name_it_at_once_one_is_told(self, store: Store) -> None:
        tenant = await new_tenant(store)
        owner_id = (await make(store, tenant)).owner_id
        racers = [store.participants.ensure(tenant, PEER, AGENT) for _ in range(10)]
        racers += [store.participants.put(tenant, AGENT, '{"a":1}', None) for _ in range(10)]
        outcomes = wins(await race(*racers))
        assert len(outcomes) == 20
        assert [is_new for _, is_new in outcomes].count(True) == 1
        assert {who.id for who, _ in outcomes} == {owner_id}
        assert (await owner_of(store, tenant)).metadata == '{"a":1}'
        assert await list_of_names(store, tenant) == ([AGENT], 1)

    async def test_naming_in_every_way_at_once_counts_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await make(store, tenant)
        await store.participants.ensure(tenant, PEER, "ann")
        ways = [NAMING[way] for way in ("ensure", "put", "member", "members", "message among others", "card")]
        outcomes = await race(*(way(store, tenant) for way in (*ways, *ways)))  # type: ignore[arg-type]
        assert losses(outcomes) == []
        assert await is_named(store, tenant)
        assert (await list_of_names(store, tenant))[1] == 2

    async def test_made_and_named_at_once_it_is_one(self, store: Store) -> None:
        tenant = await new_tenant(store)
        makers = [make(store, tenant, f"s{i}") for i in range(10)]
        outcomes = await race(*makers, *(store.participants.ensure(tenant, PEER, AGENT) for _ in range(10)))
        assert losses(outcomes) == []
        owner = await owner_of(store, tenant)
        assert {one.owner_id for one in outcomes[:10]} == {owner.id}
        assert [is_new for _, is_new in outcomes[10:]].count(True) == 1
        assert await list_of_names(store, tenant) == ([AGENT], 1)
        assert (await list_of_sessions(store, tenant))[1] == 10

    @pytest.mark.parametrize("named", [False, True])
    async def test_its_deletion_takes_its_sessions_and_an_undo_brings_it_back_as_it_was(
        self, store: Store, named: bool
    ) -> None:
        tenant = await new_tenant(store)
        session = await make(store, tenant)
        await store.participants.ensure(tenant, PEER, "ann")
        if named:
            await store.participants.ensure(tenant, PEER, AGENT)
        before = await owner_of(store, tenant), await list_of_names(store, tenant)
        order = Order(CANCEL, undo_seconds=60)
        job = (await store.deletions.detach_participant(tenant, session.owner_id, order)).deletion
        assert await store.participants.find(tenant, PEER, AGENT) is None
        assert await store.sessions.find(tenant, "s") is None
        assert await list_of_names(store, tenant) == (["ann"], 1)
        await store.deletions.undo(tenant, job.id)
        assert (await owner_of(store, tenant), await list_of_names(store, tenant)) == before
        assert await store.sessions.find(tenant, "s") == session
        await store.deletions.detach_participant(tenant, session.owner_id, Order(CANCEL))
        await purge(store, tenant)
        assert await list_of_names(store, tenant) == (["ann"], 1)
        assert not any((await store.orphans()).values())

    async def test_its_deletion_and_its_naming_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for i in range(5):
            session = await make(store, tenant, f"s{i}")
            outcomes = await race(
                store.deletions.detach_participant(tenant, session.owner_id, Order(CANCEL)),
                *(store.participants.ensure(tenant, PEER, AGENT) for _ in range(4)),
            )
            assert losses(outcomes) == []
            after = await store.participants.find(tenant, PEER, AGENT)  # None where the deletion came last
            assert await list_of_names(store, tenant) == (([AGENT], 1) if after else ([], 0))
            if after is not None:
                assert (after.id != session.owner_id, after.is_implied) == (True, False)
                await store.deletions.detach_participant(tenant, after.id, Order(CANCEL))
            assert await list_of_names(store, tenant) == ([], 0)

    @pytest.mark.parametrize("is_there", [False, True])
    async def test_an_import_keeps_it(self, store: Store, is_there: bool) -> None:
        tenant = await new_tenant(store)
        if is_there:
            await make(store, tenant, "before")
        await bring(store, tenant, OWNER)
        found = await store.sessions.find(tenant, "s")
        assert found is not None
        assert found.owner_id == (await owner_of(store, tenant)).id
        assert not await is_named(store, tenant)

    @pytest.mark.parametrize("is_there", [False, True])
    async def test_an_import_whose_file_has_it_as_a_member_names_it(self, store: Store, is_there: bool) -> None:
        tenant = await new_tenant(store)
        if is_there:
            await make(store, tenant, "before")
        await bring(store, tenant, AS_MEMBER)
        owner = await owner_of(store, tenant)
        assert (owner.metadata, owner.configuration) == ('{"of":"file"}', '{"x":1}')
        assert await is_named(store, tenant)
        assert await list_of_names(store, tenant) == ([AGENT], 1)


async def bring(store: Store, tenant: Uid, owner: ImportedMember) -> None:
    """Import a session of the owner's with a chat and a message of nobody else."""
    session = msgspec.structs.replace(session_of(SINGLE), owner=AGENT)
    known = await begin(store, tenant, opening(session=session, participants=(owner,), messages=0))
    members = () if owner.is_implied else (owner,)
    chat = ImportedChat(CHAT_ID, AGENT, "T", None, "{}", PAST, PAST)
    await write(store, tenant, known, Batch(20, members, chat))
    await store.imports.finish(tenant, known.id, NODE)
