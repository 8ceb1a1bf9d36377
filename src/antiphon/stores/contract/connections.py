"""Connections: a socket counts while its lease holds by the database's clock, and not a moment after.

Short leases are waited for by asking again, never by sleeping for their length.
"""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.connections import Connection
from antiphon.domain.deletions import Order
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatNotFound,
    ConnectionLimitExceeded,
    ConnectionNotFound,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.stores.contract.worlds import (
    LONG_LEASE_SECONDS,
    NO_LIMIT,
    SHORT_LEASE_SECONDS,
    connect,
    detach,
    draft,
    list_of_names,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    race,
    texts_of,
    until,
    wins,
)


async def is_live(store: Store, connection: Connection) -> bool:
    """Whether a message may be stored under the socket's lease; stores one if so."""
    try:
        await store.messages.append(connection.tenant_id, connection.chat_key, [draft("ping")], connection.id)
    except ConnectionNotFound:
        return False
    return True


async def wait_for_end(store: Store, connection: Connection) -> None:
    """Until the lease is over."""

    async def is_over() -> bool:
        return not await is_live(store, connection)

    await until(is_over, "the lease ran out")


class ConnectionContract:
    """`core.ports.ConnectionStore`."""

    async def test_a_socket_is_registered_with_its_participant(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        node = new_uid7()
        made = await connect(store, tenant, chat, node, who="ben")
        assert (made.tenant_id, made.chat_key, made.chat_id, made.participant_name) == (
            tenant,
            chat.key,
            chat.id,
            "ben",
        )
        assert made.is_new_participant
        assert not (await connect(store, tenant, chat, node, who="ben")).is_new_participant
        assert await list_of_names(store, tenant) == (["ann", "ben"], 2)

    async def test_a_participant_is_new_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        made = wins(await race(*(connect(store, tenant, chat, new_uid7(), who="ben") for _ in range(20))))
        assert len({connection.id for connection in made}) == 20
        assert [connection.is_new_participant for connection in made].count(True) == 1

    async def test_a_live_socket_holds_the_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chats = await new_chats(store, tenant, 2)
        before = times.now()
        first = await connect(store, tenant, chats[0], new_uid7(), lease_seconds=30)
        await connect(store, tenant, chats[0], new_uid7(), lease_seconds=60)
        with pytest.raises(ChatHasActiveConnections) as refusal:
            await detach(store, tenant, chats[0])
        assert refusal.value.count == 2
        assert abs(refusal.value.until - before - 60 * times.SECOND) < 10 * times.SECOND
        with pytest.raises(ChatHasActiveConnections):
            await store.deletions.detach_session(tenant, session.key, Order("refuse"))
        assert await store.chats.list_of_session(tenant, session.key) == chats
        assert await is_live(store, first)

    async def test_a_closed_socket_holds_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        connection = await connect(store, tenant, chats[0], new_uid7())
        await store.connections.close(tenant, connection.id)
        assert not await is_live(store, connection)
        await store.connections.close(tenant, connection.id)
        await store.connections.close(tenant, new_uid7())
        await detach(store, tenant, chats[0])

    async def test_a_lease_that_ran_out_holds_nothing(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        await connect(store, tenant, chats[0], new_uid7(), SHORT_LEASE_SECONDS)

        async def is_free() -> bool:
            outcome = await race(detach(store, tenant, chats[0]))
            return losses(outcome) == []

        await until(is_free, "the lease ran out")
        assert await store.chats.find_by_key(tenant, chats[0].key) is None

    async def test_a_message_needs_the_lease_of_its_own_chat(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        connection = await connect(store, tenant, chats[0], new_uid7())
        await store.messages.append(tenant, chats[0].key, [draft("a")], connection.id)
        for chat, connection_id in ((chats[1], connection.id), (chats[0], new_uid7())):
            with pytest.raises(ConnectionNotFound):
                await store.messages.append(tenant, chat.key, [draft("b", "new")], connection_id)
        assert await texts_of(store, tenant, chats[0].key) == ["a"]
        assert await texts_of(store, tenant, chats[1].key) == []
        assert await list_of_names(store, tenant) == (["ann"], 1)

    async def test_a_detached_chat_is_told_from_a_lost_lease(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        connection = await connect(store, tenant, chat, new_uid7())
        await detach(store, tenant, chat, "cancel")
        with pytest.raises(ChatNotFound):
            await is_live(store, connection)

    async def test_nobody_connects_to_a_chat_that_is_not_there(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_single(store, tenant)
        await detach(store, tenant, chat)
        for key in (chat.key, new_uid7()):
            with pytest.raises(ChatNotFound):
                await store.connections.open(tenant, key, "new", new_uid7(), NO_LIMIT, LONG_LEASE_SECONDS)
        assert await list_of_names(store, tenant) == (["ann"], 1)


class LeaseContract:
    """Renewal of leases, and the end of a process."""

    async def test_renewal_says_what_is_held_and_no_more(self, store: Store) -> None:
        tenant, other = await new_tenant(store), await new_tenant(store)
        here, there = new_uid7(), new_uid7()
        _, chat = await new_multi(store, tenant)
        _, other_chat = await new_multi(store, other)
        mine = {(await connect(store, tenant, chat, here)).id for _ in range(3)}
        await connect(store, tenant, chat, there)
        elsewhere = await connect(store, other, other_chat, here)
        assert await store.connections.renew(tenant, here, LONG_LEASE_SECONDS) == mine
        assert await store.connections.renew(other, here, LONG_LEASE_SECONDS) == {elsewhere.id}
        assert await store.connections.renew(tenant, new_uid7(), LONG_LEASE_SECONDS) == set()
        gone = mine.pop()
        await store.connections.close(tenant, gone)
        assert await store.connections.renew(tenant, here, LONG_LEASE_SECONDS) == mine

    async def test_renewal_extends(self, store: Store) -> None:
        tenant = await new_tenant(store)
        node = new_uid7()
        _, chats = await new_chats(store, tenant, 2)
        connection = await connect(store, tenant, chats[0], node, lease_seconds=5)
        before = times.now()
        assert await store.connections.renew(tenant, node, 300) == {connection.id}
        with pytest.raises(ChatHasActiveConnections) as refusal:
            await detach(store, tenant, chats[0])
        assert abs(refusal.value.until - before - 300 * times.SECOND) < 10 * times.SECOND

    async def test_renewal_cannot_revive(self, store: Store) -> None:
        tenant = await new_tenant(store)
        node = new_uid7()
        _, chats = await new_chats(store, tenant, 2)
        dead = await connect(store, tenant, chats[0], node, SHORT_LEASE_SECONDS)
        alive = await connect(store, tenant, chats[1], node)
        await wait_for_end(store, dead)
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == {alive.id}
        assert not await is_live(store, dead)
        assert await is_live(store, alive)
        await detach(store, tenant, chats[0])

    async def test_renewal_in_time_keeps_a_short_lease(self, store: Store) -> None:
        tenant = await new_tenant(store)
        node = new_uid7()
        _, chat = await new_multi(store, tenant)
        connection = await connect(store, tenant, chat, node, lease_seconds=5)
        ends_at = times.now() + 2 * SHORT_LEASE_SECONDS * times.SECOND

        async def is_past_its_first_end() -> bool:
            assert await store.connections.renew(tenant, node, 5) == {connection.id}
            return times.now() > ends_at

        await until(is_past_its_first_end, "the first lease would have ended")
        assert await is_live(store, connection)

    async def test_a_deletion_ends_the_leases(self, store: Store) -> None:
        tenant = await new_tenant(store)
        node = new_uid7()
        session, chats = await new_chats(store, tenant, 3)
        held = [await connect(store, tenant, chat, node) for chat in chats]
        await detach(store, tenant, chats[0], "cancel")
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == {held[1].id, held[2].id}
        await store.deletions.detach_session(tenant, session.key, Order("cancel"))
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == set()

    async def test_the_end_of_a_process_frees_what_it_held(self, store: Store) -> None:
        here, there = new_uid7(), new_uid7()
        kept, freed = [], []
        for _ in range(2):
            tenant = await new_tenant(store)
            _, chats = await new_chats(store, tenant, 3)
            freed.append((tenant, chats[0]))
            await connect(store, tenant, chats[0], here)
            kept.append(await connect(store, tenant, chats[1], there))
        await store.connections.close_node(here)
        for tenant, chat in freed:
            await detach(store, tenant, chat)
        assert [await is_live(store, connection) for connection in kept] == [True, True]
        await store.connections.close_node(here)


class SocketLimitContract:
    """How many sockets a tenant may have."""

    async def test_no_more_than_the_limit_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        outcomes = await race(*(_open(store, tenant, chats[i % 2], f"n{i}", 3) for i in range(12)))
        assert losses(outcomes) == [ConnectionLimitExceeded] * 9
        held = wins(outcomes)
        assert len((await list_of_names(store, tenant))[0]) == 1 + 3, "a refused socket made its participant"
        await store.connections.close(tenant, held[0].id)
        await _open(store, tenant, chats[0], "again", 3)
        with pytest.raises(ConnectionLimitExceeded):
            await _open(store, tenant, chats[0], "more", 3)

    async def test_the_limit_is_each_tenant_s_own(self, store: Store) -> None:
        for _ in range(2):
            tenant = await new_tenant(store)
            _, chat = await new_multi(store, tenant)
            await _open(store, tenant, chat, "ann", 1)
            with pytest.raises(ConnectionLimitExceeded):
                await _open(store, tenant, chat, "ann", 1)

    async def test_what_ran_out_does_not_count(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        for _ in range(3):
            await connect(store, tenant, chat, new_uid7(), SHORT_LEASE_SECONDS)

        async def has_room() -> bool:
            return losses(await race(_open(store, tenant, chat, "ann", 1))) == []

        await until(has_room, "the leases ran out")

    async def test_without_a_limit_there_is_none(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        assert losses(await race(*(_open(store, tenant, chat, "ann", NO_LIMIT) for _ in range(80)))) == []


async def _open(store: Store, tenant_id: Uid, chat: Chat, who: str, sockets_max: int) -> Connection:
    return await store.connections.open(tenant_id, chat.key, who, new_uid7(), sockets_max, LONG_LEASE_SECONDS)


class PresenceContract:
    """What is known of live sockets, and their dismissal."""

    async def test_live_sockets_are_listed_and_counted(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 3)
        node = new_uid7()
        made = [await connect(store, tenant, chats[0], node, who=who) for who in ("ann", "ben", "cid")]
        await connect(store, tenant, chats[1], new_uid7())
        late = await connect(store, tenant, chats[0], node, SHORT_LEASE_SECONDS)
        await wait_for_end(store, late)
        found = await store.connections.list(tenant, chats[0].key, None, 9)
        assert [(one.id, one.participant_name, one.node) for one in found] == [
            (one.id, one.participant_name, node) for one in made
        ]
        assert await store.connections.list(tenant, chats[0].key, made[0].id, 1) == found[1:2]
        assert await store.connections.find(tenant, made[1].id) == found[1]
        assert await store.connections.find(tenant, late.id) is None
        assert abs(found[0].until - found[0].since - LONG_LEASE_SECONDS * times.SECOND) < times.SECOND
        keys = [chat.key for chat in chats]
        assert await store.connections.counts(tenant, keys) == {keys[0]: 3, keys[1]: 1}
        assert await store.connections.counts(tenant, []) == {}

    async def test_a_dismissed_socket_does_not_live(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 2)
        node = new_uid7()
        gone, other = [await connect(store, tenant, chats[0], node) for _ in range(2)]
        await store.connections.dismiss(tenant, gone.id)
        assert not await is_live(store, gone)
        assert await store.connections.renew(tenant, node, LONG_LEASE_SECONDS) == {other.id}
        assert await store.connections.find(tenant, gone.id) is None
        assert await store.connections.counts(tenant, [chats[0].key]) == {chats[0].key: 1}
        with pytest.raises(ConnectionNotFound):
            await store.connections.dismiss(tenant, gone.id)
        await store.connections.close(tenant, other.id)
        await detach(store, tenant, chats[0])

    async def test_its_process_can_find_out_until_it_closes_it(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        gone, late = [await connect(store, tenant, chat, new_uid7(), lease) for lease in (60, SHORT_LEASE_SECONDS)]
        await store.connections.dismiss(tenant, gone.id)
        await wait_for_end(store, late)
        await connect(store, tenant, chat, new_uid7())  # sweeps up what is over
        assert await store.connections.was_dismissed(tenant, gone.id)
        assert not await store.connections.was_dismissed(tenant, late.id)
        await store.connections.close(tenant, gone.id)
        assert not await store.connections.was_dismissed(tenant, gone.id)

    async def test_the_note_of_a_dead_process_is_swept_up(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "CONNECTION_LEASE_SECONDS", 0)
        tenant = await new_tenant(store)
        _, chat = await new_multi(store, tenant)
        gone = await connect(store, tenant, chat, new_uid7())
        await store.connections.dismiss(tenant, gone.id)
        await connect(store, tenant, chat, new_uid7())
        assert not await store.connections.was_dismissed(tenant, gone.id)
