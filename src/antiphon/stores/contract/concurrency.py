"""Races between verbs: whoever comes first, what is left makes sense, and what was acknowledged holds.

Each race is run several times, its racers started in a random order.
"""

from __future__ import annotations

from antiphon.core.ports import Store
from antiphon.domain.deletions import CANCEL, REFUSE, Order
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatIsLastOfSession,
    ChatNotFound,
    SessionNotFound,
)
from antiphon.domain.ids import new_public_id, new_uid7
from antiphon.stores.contract.worlds import (
    ALL,
    LONG_LEASE_SECONDS,
    add_chat,
    complete,
    connect,
    detach,
    list_of_sessions,
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
    wins,
)

ROUNDS = 8


class ConcurrencyContract:
    """What may happen at once."""

    async def test_deleting_all_chats_at_once_leaves_one(self, store: Store) -> None:
        for count in (2, 3, 10, 50):
            tenant = await new_tenant(store)
            session, chats = await new_chats(store, tenant, count)
            outcomes = await race(*(detach(store, tenant, chat, CANCEL) for chat in chats))
            assert losses(outcomes) == [ChatIsLastOfSession]
            left = await store.chats.list_of_session(tenant, session.key)
            assert [chat.key for chat in left] == [
                chat.key for chat, outcome in zip(chats, outcomes, strict=True) if isinstance(outcome, BaseException)
            ]
            await purge(store, tenant)
            assert await store.chats.list_of_session(tenant, session.key) == left

    async def test_a_chat_is_deleted_once(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant = await new_tenant(store)
            session, chats = await new_chats(store, tenant, 2)
            outcomes = await race(*(detach(store, tenant, chats[0]) for _ in range(5)))
            assert len(wins(outcomes)) == 1
            assert losses(outcomes) == [ChatNotFound] * 4
            assert await store.chats.list_of_session(tenant, session.key) == [chats[1]]
        assert (await store.deletions.pending())[0] == ROUNDS

    async def test_a_session_and_its_chat_are_deleted_once_each(self, store: Store) -> None:
        tenant = await new_tenant(store)
        for _ in range(ROUNDS):
            session, chat = await new_single(store, tenant, "s")
            outcomes = await race(
                store.deletions.detach_chat(tenant, chat.key, Order(CANCEL)),
                store.deletions.detach_session(tenant, session.key, Order(CANCEL)),
            )
            assert len(wins(outcomes)) == 1
            assert await list_of_sessions(store, tenant) == ([], 0)
        await purge(store, tenant)

    async def test_deleting_against_appending(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant = await new_tenant(store)
            _, chats = await new_chats(store, tenant, 2)
            gone, *appends = await race(
                detach(store, tenant, chats[0], CANCEL),
                *(say(store, tenant, chats[0], "a", "b", "c") for _ in range(20)),
            )
            assert not isinstance(gone, BaseException)
            assert set(losses(appends)) <= {ChatNotFound}
            assert losses(await race(say(store, tenant, chats[0], "late"))) == [ChatNotFound]
            await purge(store, tenant, rows_max=7)
            done = await reload_deletion(store, tenant, gone.id)
            assert done.counts.get("messages", 0) == 3 * len(wins(appends))
            assert losses(await race(say(store, tenant, chats[0], "late"))) == [ChatNotFound]
            assert await store.chats.find(tenant, chats[0].id) is None

    async def test_deleting_a_small_chat_against_appending(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant = await new_tenant(store)
            _, chats = await new_chats(store, tenant, 2)
            gone, *appends = await race(
                store.deletions.detach_chat(tenant, chats[0].key, Order(CANCEL, inline_messages=1_000)),
                *(say(store, tenant, chats[0], "a", "b") for _ in range(20)),
            )
            assert not isinstance(gone, BaseException)
            assert gone.deletion.counts.get("messages", 0) == 2 * len(wins(appends))

    async def test_deleting_against_connecting(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant = await new_tenant(store)
            _, chats = await new_chats(store, tenant, 2)
            node = new_uid7()
            gone, *sockets = await race(
                detach(store, tenant, chats[0], REFUSE),
                *(connect(store, tenant, chats[0], node, who=f"n{i}") for i in range(3)),
            )
            held = await store.connections.renew(tenant, node, LONG_LEASE_SECONDS)
            if isinstance(gone, ChatHasActiveConnections):
                assert losses(sockets) == []
                assert len(held) == 3
            else:
                assert not isinstance(gone, BaseException)
                assert losses(sockets) == [ChatNotFound] * 3
                assert held == set()

    async def test_deleting_a_session_against_new_chats(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant = await new_tenant(store)
            session, first = await new_multi(store, tenant)
            ids = [new_public_id() for _ in range(10)]
            gone, *made = await race(
                store.deletions.detach_session(tenant, session.key, Order(CANCEL)),
                *(add_chat(store, tenant, session, chat_id) for chat_id in ids),
            )
            assert not isinstance(gone, BaseException)
            assert set(losses(made)) <= {SessionNotFound}
            assert set(gone.chat_keys) == {first.key, *(chat.key for chat, _ in wins(made))}
            assert [await store.chats.find(tenant, chat_id) for chat_id in ids] == [None] * 10
            assert await store.chats.list_of_owner(tenant, "ann", ALL) == ([], 0)

    async def test_deleting_against_putting_the_same_id(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, chat = await new_single(store, tenant, "s")
        for i in range(ROUNDS):
            await say(store, tenant, chat, f"old {i}")
            gone, *puts = await race(
                store.deletions.detach_session(tenant, session.key, Order(CANCEL)),
                *(store.sessions.put_single(tenant, "s", "ann", None, f'{{"k{i}":1}}', []) for _ in range(5)),
            )
            assert losses([gone, *puts]) == []
            assert [is_new for _, is_new in wins(puts)].count(True) <= 1
            session, chat = await new_single(store, tenant, "s")
            assert await texts_of(store, tenant, chat.key) == []
            assert await list_of_sessions(store, tenant) == (["s"], 1)

    async def test_creating_an_id_while_it_is_deleted_and_purged(self, store: Store) -> None:
        tenant = await new_tenant(store)
        session, _ = await new_multi(store, tenant)
        chat, _ = await add_chat(store, tenant, session, "c")
        node = new_uid7()
        for _ in range(ROUNDS):
            await say(store, tenant, chat, *(f"old {i}" for i in range(10)))
            await detach(store, tenant, chat)
            lease = await take_lease(store, tenant, node)
            _, *outcomes = await race(
                store.deletions.step(lease, node, 4, LONG_LEASE_SECONDS),
                *(add_chat(store, tenant, session, "c") for _ in range(5)),
            )
            assert len({made[0].key for made in outcomes if isinstance(made, tuple)}) == 1
            found = await store.chats.find(tenant, "c")
            assert found is not None
            assert (found.key != chat.key, found.message_count) == (True, 0)
            chat = found
            assert await texts_of(store, tenant, chat.key) == []
        await purge(store, tenant)
        assert (await store.deletions.pending())[0] == ROUNDS  # each is still leased by the first worker

    async def test_a_job_is_claimed_by_one_of_many(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 6)
        for chat in chats[:5]:
            await detach(store, tenant, chat)
        claims = [store.deletions.claim(tenant, new_uid7(), LONG_LEASE_SECONDS) for _ in range(20)]
        taken = [lease.deletion_id for leases in wins(await race(*claims)) for lease in leases]
        assert len(taken) == len(set(taken)) == 5

    async def test_steps_of_many_jobs_at_once(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 6)
        for chat in chats:
            await say(store, tenant, chat, *(f"m{i}" for i in range(40)))
        node = new_uid7()
        for chat in chats[:5]:
            await detach(store, tenant, chat)
        leases = [await take_lease(store, tenant, node) for _ in range(5)]
        while leases:
            steps = await race(
                *(store.deletions.step(lease, node, 9, LONG_LEASE_SECONDS) for lease in leases),
            )
            assert losses(steps) == []
            await say(store, tenant, chats[5], "more")
            for lease, step in list(zip(leases, wins(steps), strict=True)):
                if step.is_done:
                    leases.remove(lease)
                    await complete(store, lease, node)
        kept = await reload_chat(store, chats[5], tenant)
        assert kept.message_count == len(await texts_of(store, tenant, kept.key)) > 40
        assert await store.deletions.pending() == (0, 0)
