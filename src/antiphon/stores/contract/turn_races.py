"""Turns and what may happen at the same time: deletions, appends, other turns."""

from __future__ import annotations

import pytest

from antiphon.core.ports import Store
from antiphon.domain.deletions import CANCEL, REFUSE
from antiphon.domain.errors import ChatHasActiveTurn, ChatNotFound, LimitExceeded, TurnOver
from antiphon.domain.ids import new_uid7
from antiphon.stores.contract.turns import MANY, chunk, claim, ending, wait_until_dead
from antiphon.stores.contract.worlds import (
    ALL,
    SHORT_LEASE_SECONDS,
    detach,
    draft,
    losses,
    new_chats,
    new_multi,
    new_single,
    new_tenant,
    purge,
    race,
    reload_chat,
    say,
    texts_of,
    wins,
)

ROUNDS = 8


class TurnRaceContract:
    """Whoever comes first, one wins, and what is left makes sense."""

    async def test_of_many_claims_of_a_chat_one_wins(self, store: Store) -> None:
        for _ in range(ROUNDS // 2):
            tenant = await new_tenant(store)
            _, chat = await new_multi(store, tenant)
            racers = [claim(store, tenant, chat, new_uid7(), message=draft(f"m{i}", f"n{i}")) for i in range(30)]
            outcomes = await race(*racers)
            (turn,) = wins(outcomes)
            assert losses(outcomes) == [ChatHasActiveTurn] * 29
            assert {one.turn_id for one in outcomes if isinstance(one, ChatHasActiveTurn)} == {turn.id}
            assert len(await texts_of(store, tenant, chat.key)) == 1
            assert (await reload_chat(store, chat, tenant)).active_turn == turn.id

    async def test_a_tenant_has_no_more_turns_than_it_may(self, store: Store) -> None:
        tenant = await new_tenant(store)
        _, chats = await new_chats(store, tenant, 20)
        outcomes = await race(*(claim(store, tenant, chat, new_uid7(), turns_max=7) for chat in chats))
        assert (len(wins(outcomes)), losses(outcomes)) == (7, [LimitExceeded] * 13)

    async def test_claim_against_detach(self, store: Store) -> None:
        for mode in (REFUSE, CANCEL) * ROUNDS:
            tenant, node = await new_tenant(store), new_uid7()
            _, chats = await new_chats(store, tenant, 2)
            turn, gone = await race(
                claim(store, tenant, chats[0], node, message=draft("a")), detach(store, tenant, chats[0], mode)
            )
            if isinstance(gone, BaseException):
                assert isinstance(gone, ChatHasActiveTurn)
                assert (mode, gone.turn_id) == (REFUSE, turn.id)
                assert (await store.turns.find(tenant, turn.id)) == turn
            else:
                assert isinstance(turn, ChatNotFound) or await store.turns.find(tenant, turn.id) is None
                assert await store.turns.renew(tenant, node, 60) == set()

    async def test_finish_against_detach(self, store: Store) -> None:
        for mode in (REFUSE, CANCEL) * ROUNDS:
            tenant, node = await new_tenant(store), new_uid7()
            _, chats = await new_chats(store, tenant, 2)
            turn = await claim(store, tenant, chats[0], node)
            reply, gone = await race(
                store.turns.finish(tenant, turn.id, node, ending()), detach(store, tenant, chats[0], mode)
            )
            if isinstance(gone, BaseException):
                assert (type(gone), mode) == (ChatHasActiveTurn, REFUSE)
                assert (await store.messages.page(tenant, chats[0].key, ALL)).items == [reply]
            else:
                assert type(reply) is TurnOver or reply.text == "answer"
                assert await store.chats.find_by_key(tenant, chats[0].key) is None

    async def test_a_turn_ends_once(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant, node = await new_tenant(store), new_uid7()
            _, chat = await new_multi(store, tenant)
            turn = await claim(store, tenant, chat, node, lease_seconds=SHORT_LEASE_SECONDS)
            await wait_until_dead(store, turn)
            ends = [store.turns.finish(tenant, turn.id, (node, None)[i % 2], ending(0, f"{i}")) for i in range(10)]
            outcomes = await race(*ends)
            assert losses(outcomes) == [TurnOver] * 9
            assert (await store.messages.page(tenant, chat.key, ALL)).items == wins(outcomes)

    async def test_events_against_detach(self, store: Store) -> None:
        for _ in range(ROUNDS):
            tenant, node = await new_tenant(store), new_uid7()
            _, chats = await new_chats(store, tenant, 2)
            turn = await claim(store, tenant, chats[0], node)
            stored, _ = await race(
                store.turns.append_events(tenant, turn.id, node, chunk(0)), detach(store, tenant, chats[0], CANCEL)
            )
            assert stored is False or type(stored) is TurnOver
            with pytest.raises(TurnOver):
                await store.turns.append_events(tenant, turn.id, node, chunk(1))
            await purge(store, tenant)

    async def test_turns_and_messages_of_one_chat_stand_in_one_order(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chat = await new_single(store, tenant)

        async def turn_of(i: int) -> bool:
            try:
                turn = await claim(store, tenant, chat, node, message=draft(f"q{i}", f"n{i % 3}"))
            except ChatHasActiveTurn:
                return False
            await store.turns.append_events(tenant, turn.id, node, chunk(0))
            await store.turns.finish(tenant, turn.id, node, ending(1, f"a{i}"))
            return True

        outcomes = await race(*(turn_of(i) for i in range(20)), *(say(store, tenant, chat, f"{i}") for i in range(20)))
        assert losses(outcomes) == []
        done = outcomes[:20].count(True)
        assert done > 0
        page = await store.messages.page(tenant, chat.key, ALL)
        assert [message.seq for message in page.items] == list(range(1, 20 + 2 * done + 1))
        assert page.total == 20 + 2 * done


class TurnDeletionContract:
    """Turns and the deletion of what they belong to."""

    async def test_a_live_turn_holds_the_chat_unless_it_is_cancelled(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        session, chats = await new_chats(store, tenant, 2)
        turn = await claim(store, tenant, chats[0], node)
        with pytest.raises(ChatHasActiveTurn) as refusal:
            await detach(store, tenant, chats[0])
        assert refusal.value.turn_id == turn.id
        assert await store.chats.list_of_session(tenant, session.key) == [
            await reload_chat(store, chats[0], tenant),
            chats[1],
        ]
        await detach(store, tenant, chats[0], CANCEL)
        assert await store.turns.find(tenant, turn.id) is None

    async def test_a_turn_that_is_over_or_dead_holds_nothing(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 3)
        dead = await claim(store, tenant, chats[0], node, lease_seconds=SHORT_LEASE_SECONDS)
        over = await claim(store, tenant, chats[1], node)
        await store.turns.finish(tenant, over.id, node, ending())
        await wait_until_dead(store, dead)
        for chat in chats[:2]:
            await detach(store, tenant, chat)
            assert await store.chats.find_by_key(tenant, chat.key) is None

    async def test_turns_and_events_go_with_the_chat(self, store: Store) -> None:
        tenant, node = await new_tenant(store), new_uid7()
        _, chats = await new_chats(store, tenant, 3)
        for chat in (chats[0], chats[0], chats[1]):
            turn = await claim(store, tenant, chat, node)
            for first in range(25):
                await store.turns.append_events(tenant, turn.id, node, chunk(first))
            await store.turns.finish(tenant, turn.id, node, ending(25))
        kept = await store.turns.events(tenant, turn.id, 0, MANY)
        job = await detach(store, tenant, chats[0])
        await purge(store, tenant, rows_max=7)
        done = await store.deletions.find(tenant, job.id)
        assert done is not None
        assert {name: done.counts.get(name) for name in ("turns", "turn_events", "messages", "chats")} == {
            "turns": 2,
            "turn_events": 26,
            "messages": 2,
            "chats": 1,
        }
        assert await store.turns.events(tenant, turn.id, 0, MANY) == kept
