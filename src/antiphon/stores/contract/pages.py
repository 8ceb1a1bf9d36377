"""Pages: what they hold in which order, that one begins where the other ended, and what a choice leaves out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from antiphon.core.ports import Choice, Store
from antiphon.domain.deletions import Order
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER, SCOPE, Member
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.contract.keys import new_key
from antiphon.stores.contract.worlds import add_chat, detach, new_multi, new_single, new_tenant

T = TypeVar("T")

EVERYTHING = Choice()
ORDER = Order("cancel")


async def walked(read: Callable[[Uid | None], Awaitable[list[T]]], place_of: Callable[[T], Uid]) -> list[T]:
    """All that pages hold, read one after the other."""
    found: list[T] = []
    while page := await read(place_of(found[-1]) if found else None):
        found += page
    return found


async def sessions_of(store: Store, tenant: Uid, choice: Choice = EVERYTHING, shape: str | None = None) -> list[str]:
    """The ids of all sessions of a choice, in pages of two."""
    cards = await walked(
        lambda before: store.pages.sessions(tenant, choice, shape, before, 2), lambda card: card.session.key
    )
    return [card.session.id for card in cards]


async def chats_of(store: Store, tenant: Uid, choice: Choice = EVERYTHING) -> list[str]:
    """The ids of all chats of a choice, in pages of two."""
    chats = await walked(lambda before: store.pages.chats(tenant, choice, before, 2), lambda chat: chat.key)
    return [chat.id for chat in chats]


class PageContract:
    """`core.ports.PageStore`."""

    async def test_tenants_come_in_order_of_making_without_the_detached(self, store: Store) -> None:
        made = [await new_tenant(store) for _ in range(5)]
        await store.deletions.detach_tenant(made[2])
        found = await walked(lambda after: store.pages.tenants(after, 2), lambda tenant: tenant.id)
        assert [tenant.id for tenant in found] == [made[0], made[1], made[3], made[4]]
        assert found[0] == await store.tenants.find(made[0])

    async def test_keys_come_in_order_of_making_without_the_revoked(self, store: Store) -> None:
        tenant = await new_tenant(store)
        who, _ = await store.participants.ensure(tenant, PEER, "ann")
        made = [await new_key(store, tenant, participant_id=who.id, participant_name="ann") for _ in range(5)]
        await store.keys.revoke(tenant, made[1].id)
        found = await walked(lambda after: store.pages.keys(tenant, after, 2), lambda key: key.id)
        assert found == [made[0], *made[2:]]
        assert [await store.keys.find(tenant, key.id) for key in made[:2]] == [made[0], None]

    async def test_participants_come_by_kind_and_name(self, store: Store) -> None:
        tenant = await new_tenant(store)
        peers = [(await store.participants.ensure(tenant, PEER, name))[0] for name in ("ann", "ben", "cid")]
        scope, _ = await store.participants.ensure(tenant, SCOPE, "ann")
        await store.deletions.detach_participant(tenant, peers[1].id, ORDER)

        async def found(kind: str | None, name: str | None) -> list[Uid]:
            read = lambda after: store.pages.participants(tenant, kind, name, after, 1)  # noqa: E731  two lines long
            return [one.id for one in await walked(read, lambda one: one.id)]

        assert await found(None, None) == [peers[0].id, peers[2].id, scope.id]
        assert await found(PEER, None) == [peers[0].id, peers[2].id]
        assert await found(None, "ann") == [peers[0].id, scope.id]
        assert await found(SCOPE, "cid") == []

    async def test_sessions_come_with_owner_and_number_of_chats_the_newest_first(self, store: Store) -> None:
        tenant = await new_tenant(store)
        first, _ = await new_multi(store, tenant)
        await add_chat(store, tenant, first, "c2")
        second, _ = await new_single(store, tenant, "s2", "ben")
        third, _ = await new_single(store, tenant, "s3", "ben")
        gone, _ = await new_single(store, tenant, "gone")
        await store.deletions.detach_session(tenant, gone.key, ORDER)
        assert await sessions_of(store, tenant) == ["s3", "s2", first.id]
        assert await sessions_of(store, tenant, shape=SINGLE) == ["s3", "s2"]
        assert await sessions_of(store, tenant, shape=MULTI) == [first.id]
        cards = await store.pages.sessions(tenant, EVERYTHING, None, None, 9)
        assert [(card.session, card.owner_name, card.chat_count) for card in cards] == [
            (third, "ben", 1),
            (second, "ben", 1),
            (await store.sessions.find(tenant, first.id), "ann", 2),
        ]

    async def test_a_choice_of_sessions_is_owned_joined_or_named(self, store: Store) -> None:
        tenant = await new_tenant(store)
        mine, _ = await new_multi(store, tenant, "ann")
        await store.sessions.put_single(tenant, "joined", "ben", None, None, [Member("ann")])
        await store.sessions.put_single(tenant, "left", "ben", None, None, [Member("ann")])
        await store.members.leave(tenant, "left", PEER, ["ann"])
        other, _ = await new_single(store, tenant, "other", "cid")
        ann, ben = [(await store.participants.ensure(tenant, PEER, name))[0].id for name in ("ann", "ben")]
        reached = Choice(owner_id=ann, member_id=ann)
        assert await sessions_of(store, tenant, reached) == ["joined", mine.id]
        assert await sessions_of(store, tenant, Choice(owner_id=ann)) == [mine.id]
        assert await sessions_of(store, tenant, reached, SINGLE) == ["joined"]
        assert await sessions_of(store, tenant, Choice(member_id=ann, only_of=ben)) == ["joined"]
        assert await sessions_of(store, tenant, Choice(session_key=other.key)) == ["other"]
        assert await sessions_of(store, tenant, Choice(session_key=other.key, only_of=ben)) == []

    async def test_chats_come_the_newest_first_and_by_choice(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, first = await new_multi(store, tenant, "ann")
        for name in ("c2", "c3", "gone"):
            chat, _ = await add_chat(store, tenant, session, name)
        await detach(store, tenant, chat)
        joined, _ = await store.sessions.put_single(tenant, "joined", "ben", None, None, [Member("ann")])
        inside = await store.chats.find_of_single(tenant, "joined")
        assert inside is not None
        other, _ = await store.chats.create_single(tenant, "cid", None, "{}")
        ann, ben = [(await store.participants.ensure(tenant, PEER, name))[0].id for name in ("ann", "ben")]
        assert await chats_of(store, tenant) == [other.id, inside.id, "c3", "c2", first.id]
        assert await chats_of(store, tenant, Choice(owner_id=ann, member_id=ann)) == [inside.id, "c3", "c2", first.id]
        assert await chats_of(store, tenant, Choice(session_key=session.key)) == ["c3", "c2", first.id]
        assert await chats_of(store, tenant, Choice(session_key=session.key, only_of=ben)) == []
        assert await chats_of(store, tenant, Choice(member_id=ann, only_of=ben)) == [inside.id]
        assert (await store.pages.chats(tenant, Choice(session_key=joined.key), None, 1)) == [inside]

    async def test_a_detached_tenant_has_no_pages(self, store: Store) -> None:
        tenant = await new_tenant(store)
        await new_key(store, tenant)
        await new_single(store, tenant)
        await store.deletions.detach_tenant(tenant, with_sessions=True)
        assert await store.pages.keys(tenant, None, 9) == []
        assert await store.pages.participants(tenant, None, None, None, 9) == []
        assert await sessions_of(store, tenant) == []
        assert await chats_of(store, tenant) == []
