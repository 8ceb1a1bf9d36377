"""Filtered lists, members, copies and conclusions: the same answers from every store."""

from __future__ import annotations

import json

import pytest

from antiphon.core.ports import Slice, Store
from antiphon.domain import limits
from antiphon.domain.conclusions import ConclusionDraft
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import (
    LimitExceeded,
    MessageNotFound,
    ParticipantNotFound,
    SessionNotFound,
)
from antiphon.domain.filters import (
    CONTAINS,
    EQ,
    EVERYTHING,
    GT,
    GTE,
    IN,
    IS_NULL,
    IS_SET,
    LT,
    NE,
    All,
    Contained,
    FieldTest,
    Filter,
    KeyTest,
    Not,
    Some,
)
from antiphon.domain.ids import new_uid7
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER, SCOPE, Member
from antiphon.domain.reasoning import SessionUnits
from antiphon.stores.contract.worlds import ALL, new_single, new_tenant

TAGS = (
    '{"n":1,"kind":"tea","deep":{"a":1,"b":2},"list":["x","y"]}',
    '{"n":2,"kind":"coffee","deep":{"a":2},"flag":true}',
    '{"n":10,"kind":"Tea%","list":["y"]}',
    "{}",
)
CASES: tuple[tuple[Filter, str], ...] = (
    (EVERYTHING, "0123"),
    (Some(), ""),
    (FieldTest("author", EQ, ("ann",)), "0"),
    (FieldTest("author", IN, ("ann", "bob")), "01"),
    (FieldTest("author", IN, ()), ""),
    (FieldTest("author", NE, ("ann",)), "123"),
    (FieldTest("author", CONTAINS, ("AN",)), "02"),
    (FieldTest("author", CONTAINS, ("_",)), "2"),
    (FieldTest("author", GT, ("ann",)), "12"),
    (FieldTest("author", IS_NULL), ""),
    (FieldTest("author", IS_SET), "0123"),
    (FieldTest("tenant", EQ, ("here",)), "0123"),
    (FieldTest("tenant", EQ, ("there",)), ""),
    (FieldTest("session", EQ, ("s",)), "0123"),
    (FieldTest("created_at", GTE, (2_000_000,)), "123"),
    (FieldTest("created_at", LT, (2_000_000,)), "0"),
    (FieldTest("token_count", GTE, (2.5,)), "3"),
    (FieldTest("token_count", EQ, (0,)), "0"),
    (Not(FieldTest("author", EQ, ("ann",))), "123"),
    (All((FieldTest("author", NE, ("ann",)), KeyTest("n", LT, (10,)))), "1"),
    (Some((FieldTest("author", EQ, ("ann",)), KeyTest("n", EQ, (2,)))), "01"),
    (Contained('{"kind":"tea"}'), "0"),
    (Contained('{"deep":{"a":1}}'), "0"),
    (Contained('{"list":["y"]}'), "02"),
    (Contained('{"list":["y","x","x"]}'), "0"),
    (Contained('{"n":1.0}'), "0"),
    (Contained('{"flag":1}'), ""),
    (Not(Contained('{"kind":"tea"}')), "123"),
    (KeyTest("n", GTE, (2,)), "12"),
    (KeyTest("kind", GT, ("coffee",)), "0"),
    (KeyTest("kind", NE, ("tea",)), "12"),
    (KeyTest("kind", NE, (1,)), "012"),
    (KeyTest("kind", GT, (1,)), ""),
    (KeyTest("n", IN, ("1", 2)), "01"),
    (KeyTest("kind", CONTAINS, ("TEA",)), "02"),
    (KeyTest("kind", CONTAINS, ("%",)), "2"),
    (KeyTest("flag", EQ, ("true",)), "1"),
    (KeyTest("deep", CONTAINS, ("a",)), ""),
    (KeyTest("n", IS_SET), "012"),
)


class FilterContract:
    """`core.ports.lists.ListStore`, `MemberStore` and `ConclusionStore`."""

    async def test_messages_are_filtered(self, store: Store) -> None:
        tenant = await new_tenant(store, "here")
        _, chat = await new_single(store, tenant)
        authors = ("ann", "bob", "ann_x", "BOB")
        drafts = [
            Draft(authors[i], USER, str(i), metadata=TAGS[i], created_at=(i + 1) * 1_000_000, token_count=i)
            for i in range(4)
        ]
        await store.messages.append(tenant, chat.key, drafts)
        for wanted, texts in CASES:
            page = await store.lists.messages(tenant, "here", chat.key, wanted, ALL)
            assert ("".join(one.text for one in page.items), page.total) == (texts, len(texts)), wanted
        page = await store.lists.messages(tenant, "here", chat.key, KeyTest("n", IS_SET), Slice(1, 1, is_reversed=True))
        assert ([one.text for one in page.items], page.total) == (["1"], 3)
        page = await store.lists.messages(tenant, "here", chat.key, EVERYTHING, Slice(9, 5))
        assert (page.items, page.total) == ([], 4)

    async def test_nothing_of_another_tenant_or_of_what_is_gone_is_listed(self, store: Store) -> None:
        here, there = await new_tenant(store, "here"), await new_tenant(store, "there")
        for tenant in (here, there):
            _, chat = await new_single(store, tenant)
            await store.messages.append(tenant, chat.key, [Draft("ann", USER, "kea")])
        named = FieldTest("id", EQ, ("s",))
        rows, total = await store.lists.sessions(here, "here", None, named, ALL)
        assert ([row.id for row in rows], total) == (["s"], 1)
        hits = await store.lists.newest_messages(here, "here", FieldTest("text", CONTAINS, ("KEA",)), 10)
        assert [(session_id, message.text) for session_id, message in hits] == [("s", "kea")]
        await store.deletions.detach_session(here, rows[0].key, Order(CANCEL))
        assert await store.lists.sessions(here, "here", None, named, ALL) == ([], 0)
        assert await store.lists.newest_messages(here, "here", EVERYTHING, 10) == []
        assert (await store.lists.sessions(there, "there", None, named, ALL))[1] == 1

    async def test_participants_and_tenants_are_filtered(self, store: Store) -> None:
        tenant = await new_tenant(store, "here")
        await store.participants.put(tenant, "ann", '{"a":1}', None)
        await store.participants.ensure(tenant, PEER, "bob")
        await store.participants.put(tenant, "scope.x", '{"a":1}', None, SCOPE)
        for kind, wanted, names in (
            (PEER, EVERYTHING, ["ann", "bob"]),
            (PEER, Contained('{"a":1}'), ["ann"]),
            (SCOPE, EVERYTHING, ["scope.x"]),
            (None, EVERYTHING, ["ann", "bob", "scope.x"]),
            (PEER, FieldTest("id", IN, ("bob", "eve")), ["bob"]),
        ):
            found, total = await store.lists.participants(tenant, "here", kind, wanted, ALL)
            assert ([one.name for one in found], total) == (names, len(names))
        tenants, total = await store.lists.tenants(FieldTest("id", EQ, ("here",)), ALL)
        assert ([one.id for one in tenants], total) == ([tenant], 1)

    async def test_members_leave_come_back_and_are_replaced(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        await store.members.replace(tenant, "s", [Member("ann", observe_me=False), Member("bob")])
        assert await _members(store, tenant, session.key) == ["ann", "bob"]
        await store.members.leave(tenant, "s", PEER, ["ann", "nobody"])
        assert await _members(store, tenant, session.key) == ["bob"]
        assert await store.members.find(tenant, "s", "ann") == Member("ann", observe_me=False)
        await store.members.replace(tenant, "s", [Member("ann", observe_others=True)])
        assert await _members(store, tenant, session.key) == ["ann"]
        assert await store.members.find(tenant, "s", "ann") == Member("ann", observe_others=True)
        await store.members.configure(tenant, "s", Member("ann", observe_me=True))
        assert await store.members.find(tenant, "s", "ann") == Member("ann", observe_me=True, observe_others=True)
        await store.members.replace(tenant, "s", [])
        assert await _members(store, tenant, session.key) == []
        with pytest.raises(SessionNotFound):
            await store.members.leave(tenant, "other", PEER, ["ann"])
        with pytest.raises(ParticipantNotFound):
            await store.members.configure(tenant, "s", Member("nobody"))

    async def test_too_many_observers_change_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "HONCHO_OBSERVERS_PER_SESSION", 1)
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        await store.members.replace(tenant, "s", [Member("ann", observe_others=True), Member("bob")])
        with pytest.raises(LimitExceeded):
            await store.members.configure(tenant, "s", Member("bob", observe_others=True))
        with pytest.raises(LimitExceeded):
            await store.members.replace(
                tenant, "s", [Member("cid", observe_others=True), Member("dan", observe_others=True)]
            )
        assert await _members(store, tenant, session.key) == ["ann", "bob"]
        assert await store.participants.find(tenant, PEER, "cid") is None

    async def test_a_scope_has_sessions_and_is_no_member_to_others(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        scope, _ = await store.participants.put(tenant, "scope.x", None, None, SCOPE)
        await store.members.join(tenant, ["s"], SCOPE, ["scope.x"])
        assert await _members(store, tenant, session.key) == []
        found, total = await store.lists.sessions_of_member(tenant, scope.id, ALL)
        assert ([one.id for one in found], total) == (["s"], 1)
        await store.members.leave(tenant, "s", SCOPE, ["scope.x"])
        assert await store.lists.sessions_of_member(tenant, scope.id, ALL) == ([], 0)
        assert (await store.lists.sessions(tenant, "t", scope.id, EVERYTHING, ALL))[1] == 1

    async def test_sessions_are_joined_all_or_none(self, store: Store) -> None:
        tenant = await new_tenant(store)
        scopes = [(await store.participants.put(tenant, f"scope.{n}", None, None, SCOPE))[0] for n in "xy"]
        for session_id in ("b", "a"):
            await new_single(store, tenant, session_id)
        for sessions, names, refusal in (
            (["b", "never"], ["scope.x"], SessionNotFound),
            (["b", "a"], ["scope.x", "scope.never"], ParticipantNotFound),
        ):
            with pytest.raises(refusal):
                await store.members.join(tenant, sessions, SCOPE, names)
            assert await store.lists.sessions_of_member(tenant, scopes[0].id, ALL) == ([], 0)
        await store.members.join(tenant, ["b", "a", "b"], SCOPE, ["scope.y", "scope.x"])
        for scope in scopes:
            found, _ = await store.lists.sessions_of_member(tenant, scope.id, ALL)
            assert [one.id for one in found] == ["b", "a"]

    async def test_who_comes_back_is_the_newest_member(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_single(store, tenant)
        await new_single(store, tenant, "other")
        ann, _ = await store.participants.ensure(tenant, PEER, "ann")
        for session_id in ("s", "other"):
            await store.members.replace(tenant, session_id, [Member("ann"), Member("bob")])
        await store.members.leave(tenant, "s", PEER, ["ann"])
        await store.members.replace(tenant, "s", [Member("bob"), Member("ann")])
        assert await _members(store, tenant, session.key) == ["bob", "ann"]
        found, _ = await store.lists.sessions_of_member(tenant, ann.id, ALL)
        assert [one.id for one in found] == ["other", "s"]

    async def test_a_clone_has_all_or_a_part(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await store.sessions.put_single(tenant, "s", "ann", '{"a":1}', '{"b":2}', [Member("eve", observe_me=False)])
        chat = await store.chats.find_of_single(tenant, "s")
        assert chat is not None
        drafts = [Draft("ann", USER, str(i), metadata=f'{{"n":{i}}}', token_count=7, created_at=5) for i in range(3)]
        said = await store.messages.append(tenant, chat.key, drafts)
        await store.members.leave(tenant, "s", PEER, ["ann"])
        made = await store.members.clone(tenant, "s", "copy", None)
        assert (made.id, made.metadata, made.configuration) == ("copy", '{"a":1}', '{"b":2}')
        copy = await store.chats.find_of_single(tenant, "copy")
        assert copy is not None
        page = await store.messages.page(tenant, copy.key, ALL)
        assert [(one.text, one.metadata, one.token_count) for one in page.items] == [
            (one.text, one.metadata, one.token_count) for one in said
        ]
        assert {one.id for one in page.items}.isdisjoint({one.id for one in said})
        assert await _members(store, tenant, made.key) == ["eve"]
        assert await store.members.find(tenant, "copy", "eve") == Member("eve", observe_me=False)
        part = await store.members.clone(tenant, "s", "part", said[1].id)
        chat = await store.chats.find_of_single(tenant, part.id)
        assert chat is not None
        assert chat.message_count == 2
        with pytest.raises(MessageNotFound):
            await store.members.clone(tenant, "s", "none", page.items[0].id)
        with pytest.raises(SessionNotFound):
            await store.members.clone(tenant, "other", "none", None)
        assert await store.sessions.find(tenant, "none") is None

    async def test_an_empty_session_is_cloned_and_a_large_one_is_not(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await store.members.clone(tenant, "s", "empty", None)
        assert await store.sessions.find(tenant, "empty") is not None
        said = await store.messages.append(tenant, chat.key, [Draft("ann", USER, "x")] * 3)
        monkeypatch.setattr(limits, "CLONE_MESSAGES", 2)
        with pytest.raises(LimitExceeded):
            await store.members.clone(tenant, "s", "large", None)
        assert await store.sessions.find(tenant, "large") is None
        await store.members.clone(tenant, "s", "small", said[1].id)

    async def test_metadata_of_a_message_are_replaced(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        (message,) = await store.messages.append(tenant, chat.key, [Draft("ann", USER, "x", metadata='{"a":1}')])
        await store.members.set_metadata(tenant, chat.key, message.id, '{"b":22}')
        found = await store.messages.find(tenant, chat.key, message.id)
        assert found is not None
        assert found.metadata == '{"b":22}'
        with pytest.raises(MessageNotFound):
            await store.members.set_metadata(tenant, chat.key, new_uid7(), "{}")
        with pytest.raises(MessageNotFound):
            await store.members.set_metadata(tenant, new_uid7(), message.id, "{}")

    async def test_conclusions_are_all_or_none_and_go_with_their_session(self, store: Store) -> None:
        tenant = await new_tenant(store, "here")
        session, _ = await new_single(store, tenant)
        await store.participants.ensure(tenant, PEER, "bob")
        with pytest.raises(ParticipantNotFound):
            await store.conclusions.create(
                tenant, [ConclusionDraft("a", "ann", "bob"), ConclusionDraft("b", "ann", "nobody")]
            )
        with pytest.raises(SessionNotFound):
            await store.conclusions.create(tenant, [ConclusionDraft("a", "ann", "bob", "other")])
        assert await store.conclusions.list(tenant, "here", EVERYTHING, ALL) == ([], 0)
        made = await store.conclusions.create(
            tenant, [ConclusionDraft("tea", "ann", "bob", "s"), ConclusionDraft("jam", "ann", "bob")]
        )
        assert await store.conclusions.list(tenant, "here", EVERYTHING, ALL) == (made, 2)
        for wanted, contents in (
            (FieldTest("session", IS_NULL), ["jam"]),
            (FieldTest("session", NE, ("s",)), ["jam"]),
            (Not(FieldTest("session", EQ, ("s",))), ["jam"]),
            (FieldTest("session", IS_SET), ["tea"]),
            (FieldTest("id", IN, (made[0].id,)), ["tea"]),
            (FieldTest("observed", EQ, ("ann",)), []),
        ):
            found, _ = await store.conclusions.list(tenant, "here", wanted, ALL)
            assert [one.content for one in found] == contents
        await store.deletions.detach_session(tenant, session.key, Order(CANCEL))
        assert await store.conclusions.list(tenant, "here", EVERYTHING, ALL) == ([made[1]], 1)
        assert not await store.conclusions.delete(tenant, made[0].id)
        assert await store.conclusions.delete(tenant, made[1].id)
        assert not await store.conclusions.delete(tenant, made[1].id)

    async def test_a_card_is_replaced(self, store: Store) -> None:
        tenant = await new_tenant(store)
        lines = [json.dumps(["likes tea"]), json.dumps(["likes jam", "🦜"])]
        for one in lines:
            await store.conclusions.put_card(tenant, "ann", "bob", one)
            ann, bob = [await store.participants.find(tenant, PEER, name) for name in ("ann", "bob")]
            assert ann is not None
            assert bob is not None
            assert await store.conclusions.find_card(tenant, ann.id, bob.id) == one
            assert await store.conclusions.find_card(tenant, bob.id, ann.id) is None

    async def test_what_messages_say_of_themselves_tells_the_units(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        off, on = Draft("ann", USER, "x", is_reasoned=False), Draft("ann", USER, "x", is_reasoned=True)
        drafts = [off, on, Draft("ann", USER, "x"), Draft("bob", USER, "x")]
        await store.messages.append(tenant, chat.key, drafts)
        units = store.conclusions.count_units
        assert await units(tenant, None, None) == [SessionUnits(session.key, "s", "{}", 2, 1)]
        assert await units(tenant, "s", "ann") == [SessionUnits(session.key, "s", "{}", 1, 1)]
        assert await units(tenant, "s", "bob") == [SessionUnits(session.key, "s", "{}", 1, 0)]
        assert await units(tenant, "other", None) == []
        for alone, counts in ((off, (2, 1)), (on, (2, 2))):
            await store.messages.append(tenant, chat.key, [alone])
            assert [(one.unmarked, one.wanted) for one in await units(tenant, "s", None)] == [counts]

    async def test_what_was_cloned_is_no_unit(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant)
        drafts = [Draft("ann", USER, "x", is_reasoned=mark) for mark in (None, True, False)]
        await store.messages.append(tenant, chat.key, drafts)
        await store.members.clone(tenant, "s", "copy", None)
        assert [one.session_key for one in await store.conclusions.count_units(tenant, None, None)] == [session.key]
        copy = await store.chats.find_of_single(tenant, "copy")
        assert copy is not None
        await store.messages.append(tenant, copy.key, [Draft("ann", USER, "new")])
        (units,) = await store.conclusions.count_units(tenant, "copy", None)
        assert (units.unmarked, units.wanted) == (1, 0)


async def _members(store: Store, tenant_id: bytes, session_key: bytes) -> list[str]:
    members, _ = await store.sessions.members(tenant_id, session_key, ALL)
    return [member.name for member in members]
